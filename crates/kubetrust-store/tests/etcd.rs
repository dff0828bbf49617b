//! The engine on a real etcd that is stopped, restarted, killed and given other certificates.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/etcd.rs"]
mod peer;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kubetrust_store::etcd::{Etcd, Files, Options};
use kubetrust_store::{Change, Error, Event, Expect, Outcome, Revision, Store, Watched, Write, prefix_end};
use peer::Authority;

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Less than what it takes, after a call was given up, until the connection is given up too: 5 s.
const GIVEN_UP: Duration = Duration::from_secs(3);

fn put(key: &str, value: impl Into<Bytes>, expect: Option<Expect>) -> Vec<Write> {
    vec![Write {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect,
        change: Some(Change::Put {
            value: value.into(),
            lease: None,
        }),
    }]
}

async fn start(members: u8) -> peer::Etcd {
    tokio::task::spawn_blocking(move || peer::Etcd::start(members))
        .await
        .unwrap()
}

async fn watch(store: &dyn Store, after: Revision) -> BoxStream<'static, Result<Watched, Error>> {
    store.watch("/t/".into(), prefix_end(b"/t/"), after).await.unwrap()
}

/// Reads a watch until it has delivered a revision; every revision once, in order.
async fn until(watch: &mut BoxStream<'static, Result<Watched, Error>>, last: Revision) -> Vec<Revision> {
    let mut found = Vec::new();
    let mut reached = 0;
    while reached < last {
        let next = tokio::time::timeout(PATIENCE, watch.next())
            .await
            .expect("nothing came");
        match next.expect("it ended").unwrap() {
            Watched::Events { events, revision } => {
                found.extend(events.iter().map(Event::revision));
                reached = revision;
            }
            Watched::Progress(revision) => reached = revision,
        }
    }
    assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    found
}

/// Writes until it is told to stop; what was acknowledged, and what nobody knows about.
struct Writer {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(Vec<Revision>, usize)>,
}

impl Writer {
    fn start(store: Arc<Etcd>, name: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut acknowledged, mut unknown) = (Vec::new(), 0);
            let mut number = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                number += 1;
                let key = format!("/t/{name}/{number}");
                match store.commit(put(&key, number.to_string(), Some(Expect::Absent))).await {
                    Ok(Outcome::Committed(revision)) => acknowledged.push(revision),
                    Ok(Outcome::Conflict { .. }) => panic!("{key} was written twice"),
                    Err(Error::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(Error::Unknown(_)) => unknown += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (acknowledged, unknown)
        });
        Self { stop, task }
    }

    async fn stop(self) -> (Vec<Revision>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// Waits until a write goes through.
async fn writable(store: &dyn Store, key: &str) -> Revision {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store.commit(put(key, "x", None)).await {
            Ok(Outcome::Committed(revision)) => return revision,
            other => assert!(Instant::now() < deadline, "still not writable: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_etcd_loses_nothing_and_watches_go_on() {
    let mut etcd = start(1).await;
    let store = Arc::new(Etcd::new(etcd.options()).unwrap());
    let begin = writable(store.as_ref(), "/t/begin").await;
    let mut events = watch(store.as_ref(), begin).await;
    let writers: Vec<_> = (0..4).map(|name| Writer::start(Arc::clone(&store), name)).collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        etcd = tokio::task::spawn_blocking(move || {
            etcd.cluster.restart(0);
            etcd
        })
        .await
        .unwrap();
    }
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.stop().await.0);
    }
    let last = writable(store.as_ref(), "/t/end").await;
    let found = until(&mut events, last).await;
    acknowledged.push(last);
    for revision in acknowledged {
        assert!(found.binary_search(&revision).is_ok(), "the watch missed {revision}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_members_that_are_left_take_over() {
    let mut etcd = start(3).await;
    let store = Arc::new(Etcd::new(etcd.options()).unwrap());
    let begin = writable(store.as_ref(), "/t/begin").await;
    let mut events = watch(store.as_ref(), begin).await;
    let writers: Vec<_> = (0..4).map(|name| Writer::start(Arc::clone(&store), name)).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The member that is connected to; with luck the leader.
    etcd.cluster.member(0).kill();
    let last = writable(store.as_ref(), "/t/middle").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut acknowledged = vec![last];
    for writer in writers {
        acknowledged.extend(writer.stop().await.0);
    }
    let last = writable(store.as_ref(), "/t/end").await;
    let found = until(&mut events, last).await;
    for revision in acknowledged {
        assert!(found.binary_search(&revision).is_ok(), "the watch missed {revision}");
    }
    // Without a majority nothing is written and nothing is read, and it is said at once enough.
    etcd.cluster.member(1).kill();
    let error = store.commit(put("/t/none", "x", None)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_) | Error::Unknown(_)), "{error}");
    let error = store.revision().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    store.health().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hangs_is_left_for_another() {
    let mut etcd = start(3).await;
    let store = Etcd::new(etcd.options()).unwrap();
    let begin = writable(&store, "/t/begin").await;
    let mut events = watch(&store, begin).await;
    etcd.cluster.member(0).signal("STOP");
    let revision = writable(&store, "/t/after").await;
    assert!(store.revision().await.unwrap() >= revision);
    // The watch goes with the calls, and not only when the connection is given up for dead.
    let written = Instant::now();
    until(&mut events, revision).await;
    assert!(written.elapsed() < GIVEN_UP, "{:?}", written.elapsed());
    etcd.cluster.member(0).signal("CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_authority_are_replaced_while_running() {
    let mut etcd = start(1).await;
    let store = Arc::new(Etcd::new(etcd.options()).unwrap());
    let begin = writable(store.as_ref(), "/t/begin").await;
    let mut events = watch(store.as_ref(), begin).await;

    // A new authority on etcd's side, which knows the old one no more; first nobody is let in.
    let other = Authority::new(&etcd.folder().join("other"));
    let server = etcd.options().servers[0].clone();
    let address = server
        .trim_start_matches("https://")
        .trim_end_matches(":2379")
        .to_owned();
    let (certificate, key) = other.pair("m1", &format!("IP:{address},IP:127.0.0.1"));
    let folder = etcd.folder().join("ca");
    for (from, to) in [
        (other.certificate(), "ca.crt"),
        (certificate, "m1.crt"),
        (key, "m1.key"),
    ] {
        fs::copy(from, folder.join(to)).unwrap();
    }
    let (certificate, key) = other.pair("client", "DNS:client");
    let mut client = etcd.cluster.client().clone();
    client.cacert = Some(other.certificate());
    client.cert = Some(certificate.clone());
    client.key = Some(key.clone());
    etcd.cluster.set_client(client);
    let etcd = tokio::task::spawn_blocking(move || {
        etcd.cluster.restart(0);
        etcd
    })
    .await
    .unwrap();
    let error = store.commit(put("/t/refused", "x", None)).await.unwrap_err();
    let Error::Unavailable(reason) = &error else {
        panic!("{error}");
    };
    assert!(reason.contains("certificate"), "{reason}");

    // A half-way state: the new certificate with the old key is not taken.
    fs::copy(&certificate, etcd.files.certfile.as_ref().unwrap()).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    store.commit(put("/t/refused", "x", None)).await.unwrap_err();

    etcd.install(&other.certificate(), (&certificate, &key));
    let last = writable(store.as_ref(), "/t/end").await;
    assert_eq!(until(&mut events, last).await.last(), Some(&last));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_credentials_are_used_without_a_broken_connection() {
    let etcd = start(1).await;
    let store = Arc::new(Etcd::new(etcd.options()).unwrap());
    let begin = writable(store.as_ref(), "/t/begin").await;
    let mut events = watch(store.as_ref(), begin).await;
    let writers: Vec<_> = (0..4).map(|name| Writer::start(Arc::clone(&store), name)).collect();
    for round in 0..2 {
        let (certificate, key) = etcd.authority.pair(&format!("again-{round}"), "DNS:client");
        etcd.install(&etcd.authority.certificate(), (&certificate, &key));
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    // Rubbish stays out.
    fs::write(etcd.files.cafile.as_ref().unwrap(), "rubbish").unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut acknowledged = Vec::new();
    for writer in writers {
        let (revisions, unknown) = writer.stop().await;
        assert_eq!(unknown, 0, "a write was cut off");
        acknowledged.extend(revisions);
    }
    let last = writable(store.as_ref(), "/t/end").await;
    acknowledged.push(last);
    let found = until(&mut events, last).await;
    acknowledged.sort_unstable();
    assert_eq!(found, acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_name_or_authority_is_not_spoken_to() {
    let etcd = start(1).await;
    // The member listens on its address; its certificate does not name this host.
    let server = &etcd.options().servers[0];
    let options = Options {
        servers: vec![
            server
                .replace("https://127.", "https://[::ffff:127.")
                .replace(":2379", "]:2379"),
        ],
        ..etcd.options()
    };
    let stranger = Etcd::new(options).unwrap();
    let error = stranger.revision().await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");

    let other = Authority::new(&etcd.folder().join("other"));
    let untrusting = Options {
        files: Files {
            cafile: Some(other.certificate()),
            ..etcd.files.clone()
        },
        ..etcd.options()
    };
    let error = Etcd::new(untrusting).unwrap().revision().await.unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");

    let (certificate, key) = other.pair("client", "DNS:client");
    let unknown = Options {
        files: Files {
            certfile: Some(certificate),
            keyfile: Some(key),
            ..etcd.files.clone()
        },
        ..etcd.options()
    };
    let error = Etcd::new(unknown)
        .unwrap()
        .commit(put("/t/a", "x", None))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_together_is_refused_by_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("one"));
    let (certificate, key) = authority.pair("client", "DNS:client");
    let (_, other) = authority.pair("other", "DNS:other");
    let rubbish = folder.path().join("rubbish");
    fs::write(&rubbish, "-----BEGIN CERTIFICATE-----\nrubbish\n").unwrap();
    let files = |ca, certificate, key| Files {
        cafile: ca,
        certfile: certificate,
        keyfile: key,
    };
    let good = "https://127.0.0.1:2379";
    let ca = authority.certificate();
    let cases = [
        (vec![], Files::default(), "--etcd-servers is missing"),
        (vec!["127.0.0.1:2379"], Files::default(), "write https://HOST:PORT"),
        (vec!["ftp://a"], Files::default(), "write https://HOST:PORT"),
        (vec!["https://a/path"], Files::default(), "it has a path"),
        (vec!["https://user@a"], Files::default(), "it has a user"),
        (vec![good], Files::default(), "--etcd-cafile is missing"),
        (
            vec![good],
            files(Some(ca.clone()), Some(certificate.clone()), None),
            "belong together",
        ),
        (
            vec![good],
            files(Some(ca.clone()), None, Some(key.clone())),
            "belong together",
        ),
        (
            vec![good],
            files(Some(folder.path().join("none")), None, None),
            "--etcd-cafile=",
        ),
        (vec![good], files(Some(rubbish.clone()), None, None), "--etcd-cafile="),
        (
            vec![good],
            files(Some(ca.clone()), Some(rubbish.clone()), Some(key.clone())),
            "--etcd-certfile=",
        ),
        (
            vec![good],
            files(Some(ca.clone()), Some(certificate.clone()), Some(rubbish)),
            "--etcd-keyfile=",
        ),
        (
            vec![good],
            files(Some(ca), Some(certificate), Some(other)),
            "can't be used",
        ),
    ];
    for (servers, files, expected) in cases {
        let servers = servers.into_iter().map(str::to_owned).collect();
        let error = Etcd::new(Options { servers, files }).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_etcd_see_each_other_in_order() {
    let etcd = start(1).await;
    let stores: Vec<_> = (0..2).map(|_| Arc::new(Etcd::new(etcd.options()).unwrap())).collect();
    let begin = writable(stores[0].as_ref(), "/t/begin").await;
    let writers: Vec<_> = (0..6)
        .map(|name| Writer::start(Arc::clone(&stores[name % 2]), name))
        .collect();
    let mut watches = Vec::new();
    for store in &stores {
        watches.push(watch(store.as_ref(), begin).await);
    }
    for _ in 0..20 {
        let written = writable(stores[0].as_ref(), "/t/seen").await;
        assert!(stores[1].revision().await.unwrap() >= written);
    }
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.stop().await.0);
    }
    let last = writable(stores[1].as_ref(), "/t/end").await;
    let one = until(&mut watches[0], last).await;
    assert_eq!(one, until(&mut watches[1], last).await);
    assert!(acknowledged.iter().all(|revision| one.binary_search(revision).is_ok()));
}
