//! etcd is away for a while, in every way that it can be.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use kubetrust_store::{Change, Write};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::load::Load;
use super::proxy::Way;
use super::site::Site;
use crate::registry::world::{names, secret, until};
use crate::reload::files::{Ca, How, place};
use crate::support::{Client, Events, Reply, engine};

/// How long a request may wait for an etcd that says nothing: two calls of it, one after the other, and a try to connect.
const ANSWER: Duration = Duration::from_secs(30);
/// How long until `/readyz` has to say so, and until a new credential has to be in force: less than any call takes that
/// is not answered.
const NOTICED: Duration = Duration::from_secs(9);
/// How long an outage lasts at least.
const SHORT: Duration = Duration::from_secs(3);
/// How long a call waits for its answer: what lasts longer, everyone has noticed who asked for something.
const CALL: Duration = Duration::from_secs(11);
/// How many objects go with their owner: more than are collected before etcd is away.
const DEPENDENTS: usize = 40;

/// How etcd is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// Its process hangs.
    Hangs,
    /// It is stopped, and started again. (Not killed: etcd 3.5.1 can lose by that what it had acknowledged,
    /// etcd-io/etcd#13766. A reset is the same to us.)
    Ended,
    /// Nothing comes through, and what was sent meanwhile arrives late.
    Hole,
    /// We hear it, and it does not hear us.
    Deaf,
    /// Every connection is reset.
    Reset,
}

const OUTAGES: [Outage; 5] = [Outage::Hangs, Outage::Ended, Outage::Hole, Outage::Deaf, Outage::Reset];

impl Outage {
    fn begin(self, site: &mut Site) {
        match self {
            Self::Hangs => block_in_place(|| site.etcd.cluster.member(0).signal("STOP")),
            Self::Ended => block_in_place(|| site.etcd.cluster.end(0)),
            Self::Hole => site.proxy.set(Way::Hole),
            Self::Deaf => site.proxy.set(Way::Deaf),
            Self::Reset => site.proxy.set(Way::Reset),
        }
    }

    async fn end(self, site: &mut Site) {
        match self {
            Self::Hangs => block_in_place(|| site.etcd.cluster.member(0).signal("CONT")),
            Self::Ended => block_in_place(|| site.etcd.cluster.start_again(0)),
            Self::Hole | Self::Reset => site.proxy.set(Way::Open),
            Self::Deaf => {
                // What it did not hear it is never to hear.
                site.proxy.set(Way::Reset);
                sleep(SHORT / 10).await;
                site.proxy.set(Way::Open);
            }
        }
    }

    fn lasts(self) -> Duration {
        if self == Self::Deaf { CALL } else { SHORT }
    }
}

/// All of them beside one another: most of it is waiting.
#[test]
fn an_outage_is_told_to_everyone_and_leaves_no_trace() {
    let running = OUTAGES.map(|outage| {
        let endures = move || Runtime::new().unwrap().block_on(endures(outage));
        (outage, thread::spawn(endures))
    });
    let failed: Vec<Outage> = running
        .into_iter()
        .filter_map(|(outage, running)| running.join().is_err().then_some(outage))
        .collect();
    assert!(failed.is_empty(), "{failed:?}: see above");
}

async fn endures(outage: Outage) {
    let mut site = Site::start().await;
    let namespace = site.world.namespace("work").await;
    site.world
        .create(&format!("{namespace}/serviceaccounts"), &account("there"))
        .await;
    owner_of_many(&site, &namespace).await;
    let load = Load::start(&site.world, &namespace).await;
    load.goes_on().await;

    // The last word before it.
    let gone = site.world.admin.delete(&format!("{namespace}/secrets/owner")).await;
    assert_eq!(gone.code, 200, "{}", gone.message());
    outage.begin(&mut site);
    let begun = Instant::now();
    if outage == Outage::Deaf {
        tell_of_a_namespace(&site, "told").await;
    }
    let ca = trusts_another(&site).await;
    let failing = async {
        until("/readyz names etcd", async || !is_ready(&site.world.admin).await).await;
        assert!(begun.elapsed() < NOTICED, "{outage:?}: after {:?}", begun.elapsed());
    };
    tokio::join!(failing, everyone_is_told(&site, &namespace));
    assert!(!is_ready(&site.world.admin).await, "{outage:?}");
    sleep(outage.lasts().saturating_sub(begun.elapsed())).await;

    outage.end(&mut site).await;
    until("it is ready again", async || is_ready(&site.world.admin).await).await;
    load.goes_on().await;
    let told = load.end(&site.world).await;
    assert!(told.failures() > 0, "{outage:?} was no outage");
    assert!(
        told.slowest() < ANSWER,
        "{outage:?}: an answer took {:?}",
        told.slowest()
    );
    everyone_has_caught_up(&site, &namespace, outage, &ca).await;
    site.world.running.stop().await;
}

fn account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
}

/// An owner, and the objects that go with it, which are known to be its.
async fn owner_of_many(site: &Site, namespace: &str) {
    owned(site, namespace, "owner", DEPENDENTS).await;
    // Changes are looked at one after the other: what comes after them is done when they are.
    owned(site, namespace, "other", 1).await;
    let other = format!("{namespace}/secrets/other");
    assert_eq!(site.world.admin.delete(&other).await.code, 200);
    until("a dependent goes with its owner", async || {
        site.world.admin.get(&format!("{other}-0")).await.code == 404
    })
    .await;
}

async fn owned(site: &Site, namespace: &str, name: &str, count: usize) {
    let owner = site.world.secret(namespace, name).await;
    let reference = json!({"apiVersion": "v1", "kind": "Secret", "name": name, "uid": owner["metadata"]["uid"]});
    let create = async |number: usize| {
        let mut dependent = secret(&format!("{name}-{number}"));
        dependent["metadata"]["ownerReferences"] = json!([reference]);
        site.world.create(&format!("{namespace}/secrets"), &dependent).await;
    };
    join_all((0..count).map(create)).await;
}

/// Puts a namespace into etcd past every server.
async fn tell_of_a_namespace(site: &Site, name: &str) {
    let store = engine::open(&site.direct().store).await;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "uid": "6ad3f4a1-5ed3-4b7c-9a38-6f2a0d3f7b11", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    });
    let change = Change::Put {
        value: namespace.to_string().into(),
        lease: None,
    };
    let write = Write {
        key: format!("/registry/namespaces/{name}").into(),
        expect: None,
        change: Some(change),
    };
    store.commit(vec![write]).await.unwrap();
}

/// Another client CA beside the first is in force at once, and so is a revocation after it: that takes no store. The
/// file that says both.
async fn trusts_another(site: &Site) -> String {
    let ca = Ca::new("another-ca");
    let file = site.live.file("client-ca.crt");
    let both = format!("{}{}", fs::read_to_string(&file).unwrap(), ca.pem());
    let leaf = ca.client("somebody", &["system:masters"]);
    let known = async || site.world.client(leaf.credential()).whoami(&[]).await;
    let placed = Instant::now();
    place(How::Rename, &file, &both);
    until("another client CA is in force", async || known().await.is_ok()).await;
    let serial = leaf.certificate.serial_hex().replace(':', "");
    place(How::Rename, &site.live.file("revoked.txt"), serial);
    until("a revocation is in force", async || known().await == Err(401)).await;
    assert!(placed.elapsed() < NOTICED, "it waited for etcd");
    both
}

/// Whether `/readyz` says ok. If not, it is for etcd, and `/livez` and the check itself say the same.
async fn is_ready(client: &Client) -> bool {
    let text = |reply: &Reply| String::from_utf8_lossy(&reply.body).into_owned();
    let reply = client.get("/readyz").await;
    if reply.code == 200 {
        return true;
    }
    let failed: Vec<String> = text(&reply)
        .lines()
        .filter(|line| line.starts_with("[-]"))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        (reply.code, failed),
        (500, vec!["[-]etcd failed: reason withheld".to_owned()])
    );
    false
}

/// Everything that takes the store is refused by a Status, and soon; what the server knows it says.
async fn everyone_is_told(site: &Site, namespace: &str) {
    let all = format!("{namespace}/serviceaccounts");
    let there = format!("{all}/there");
    let merge = json!({"metadata": {"labels": {"key": "2"}}});
    #[rustfmt::skip]
    let refused: [(Method, &str, String, Option<Value>); 8] = [
        (Method::GET,    "",                             there.clone(),                    None),
        (Method::GET,    "",                             all.clone(),                      None),
        (Method::GET,    "",                             format!("{all}?watch=1"),         None),
        (Method::POST,   "application/json",             all.clone(),                      Some(account("x"))),
        (Method::PUT,    "application/json",             there.clone(),                    Some(account("there"))),
        (Method::PATCH,  "application/merge-patch+json", there.clone(),                    Some(merge)),
        (Method::DELETE, "",                             format!("{all}/default"),         None),
        (Method::DELETE, "",                             format!("{namespace}/endpoints"), None),
    ];
    let ask = async |(method, content_type, path, body): &(Method, &str, String, Option<Value>)| {
        let begun = Instant::now();
        let headers = [("content-type", *content_type)];
        let headers = if content_type.is_empty() { &[][..] } else { &headers };
        let reply = site
            .world
            .admin
            .request(method.clone(), path, headers, body.as_ref())
            .await;
        let what = format!("{method} {path}: {}", String::from_utf8_lossy(&reply.body));
        let reason = match reply.code {
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => panic!("{what}"),
        };
        let status = reply.json();
        assert_eq!(
            (&status["kind"], &status["reason"]),
            (&json!("Status"), &json!(reason)),
            "{what}"
        );
        assert!(begun.elapsed() < ANSWER, "{what}");
    };
    let known = async {
        for path in [&there, &all] {
            let reply = site.world.admin.get(&format!("{path}?resourceVersion=0")).await;
            assert_eq!(reply.code, 200, "{path}: {}", reply.message());
        }
        let watch = Events::open(&site.world.admin, &format!("{all}?watch=1&resourceVersion=0")).await;
        assert!(watch.is_ok());
    };
    tokio::join!(join_all(refused.iter().map(ask)), known);
}

/// What was to be done meanwhile is done.
async fn everyone_has_caught_up(site: &Site, namespace: &str, outage: Outage, ca: &str) {
    let admin = &site.world.admin;
    until("the dependents are gone with their owner", async || {
        names(&site.world.read(&format!("{namespace}/secrets")).await).is_empty()
    })
    .await;
    let told = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    until("extension servers know whom to believe", async || {
        admin.get(told).await.json()["data"]["client-ca-file"] == ca
    })
    .await;
    let spaces = if outage == Outage::Deaf {
        vec!["work", "told"]
    } else {
        vec!["work"]
    };
    for space in spaces {
        until("each namespace has its account", async || {
            let path = format!("/api/v1/namespaces/{space}/serviceaccounts/default");
            admin.get(&path).await.code == 200
        })
        .await;
    }
}
