//! Connections that are meant to hold or to cost: they are cut off, and everybody else is served.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use kubetrust_server::listen::Limits;
use kubetrust_testkit::Process;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::frames::{
    ACK, CONTINUATION, DATA, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, PING, PREFACE, PRIORITY, REFUSED_STREAM,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, request, setting,
};
use super::wire::{Wire, find, handshake};
use super::world::World;
use crate::support::{Credential, Engine, client};

on_both!(
    a_client_that_resets_what_it_asks_for_is_cut_off,
    streams_beyond_the_limit_are_refused,
    floods_of_frames_keep_nobody_from_being_served,
    a_header_that_comes_slowly_is_not_waited_for,
    a_handshake_that_never_ends_is_not_waited_for,
    who_does_not_read_a_big_list_is_cut_off,
    who_does_not_read_a_watch_is_cut_off_and_who_does_misses_nothing,
    a_connection_that_is_not_used_ends,
    ten_thousand_idle_connections_leave_room_for_others,
);

/// A good client never waits longer than this, on a slow machine that does other things too.
const GOOD: Duration = Duration::from_secs(5);
/// What the limits are for tests that wait for them.
const SHORT: Duration = Duration::from_secs(1);
/// How long an answer may lie in those tests: good readers must make it on a slow machine.
const STALL: Duration = Duration::from_secs(3);
/// Until when what has to be cut off is.
const CUT: Duration = Duration::from_secs(30);
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Bytes of one map's data: what a few of them hold is more than the sockets do.
const BIG: usize = 900 * 1024;

impl World {
    /// A new client is served at once.
    async fn good(&self, during: &str) {
        let begun = Instant::now();
        self.serves(during).await;
        assert!(
            begun.elapsed() < GOOD,
            "during {during} a good client waited {:?}",
            begun.elapsed()
        );
    }

    /// More in one collection than any buffer takes.
    async fn with_big_maps(&self) {
        for number in 0..16 {
            self.create(MAPS, &big_map(number)).await;
        }
    }
}

fn big_map(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("big-{number}")},
        "data": {"a": "x".repeat(BIG)},
    })
}

fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

async fn a_client_that_resets_what_it_asks_for_is_cut_off(engine: Engine) {
    let world = World::start(engine).await;
    for (who, credential) in [
        ("nobody", Credential::none()),
        ("an administrator", world.cluster.kubeconfig("admin")),
    ] {
        let mut wire = Wire::open(&world, &credential, b"h2").await;
        wire.send(&hello()).await.unwrap();
        let mut sent = 0_u32;
        let begun = Instant::now();
        while sent < 200_000 {
            let mut batch = Vec::new();
            for _ in 0..1000 {
                let id = sent * 2 + 1;
                batch.extend(request(id, END_STREAM, "GET", "/api/v1/secrets"));
                batch.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
                sent += 1;
            }
            if wire.send(&batch).await.is_err() {
                break;
            }
            if sent.is_multiple_of(20_000) {
                world.good("rapid resets").await;
            }
        }
        assert!(
            sent < 200_000,
            "{who} reset {sent} requests in {:?} and was let go on",
            begun.elapsed()
        );
        world.good("rapid resets").await;
    }
    world.running.stop().await;
}

async fn streams_beyond_the_limit_are_refused(engine: Engine) {
    let world = World::start(engine).await;
    let mut wire = Wire::open(&world, &world.cluster.kubeconfig("admin"), b"h2").await;
    let open: Vec<u8> = (0..1000).flat_map(|n| request(n * 2 + 1, 0, "POST", MAPS)).collect();
    wire.send(&[hello(), open].concat()).await.unwrap();
    world.good("1,000 streams").await;
    wire.send(&frame(PING, 0, 0, b"the-last")).await.unwrap();
    let mut refused = 0;
    loop {
        let frame = timeout(CUT, wire.frame()).await.expect("no answer to a ping");
        match frame {
            Some(frame) if frame.kind == RST_STREAM && frame.code() == REFUSED_STREAM => refused += 1,
            Some(frame) if frame.kind == PING && frame.flags & ACK != 0 => break,
            Some(frame) if frame.kind == GOAWAY => break,
            Some(_) => {}
            None => break,
        }
    }
    assert!(refused >= 500, "{refused} of 1,000 streams were refused");
    drop(wire);
    world.running.stop().await;
}

async fn floods_of_frames_keep_nobody_from_being_served(engine: Engine) {
    let world = World::start(engine).await;
    let headers = |flags| frame(HEADERS, flags, 1, &block("GET", "/api/v1/secrets", &[]));
    // What comes first, what is repeated, and whether that has to end the connection.
    #[rustfmt::skip] // a line a case
    let floods: Vec<(&str, Vec<u8>, Vec<u8>, bool)> = vec![
        ("settings", Vec::new(), setting(INITIAL_WINDOW, 65_535), false),
        ("pings", Vec::new(), frame(PING, 0, 0, b"12345678"), false),
        ("continuations", headers(0), frame(CONTINUATION, 0, 1, &block("GET", "/", &[])), true),
        ("empty continuations", headers(0), frame(CONTINUATION, 0, 1, &[]), true),
        ("window updates", Vec::new(), frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()), true),
        ("priorities", Vec::new(), frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), false),
        ("unknown frames", Vec::new(), frame(0xbe, 0, 0, &[0; 100]), false),
        ("data of no stream", Vec::new(), frame(DATA, 0, 7, b"x"), true),
        ("empty data", request(1, 0, "POST", MAPS), frame(DATA, 0, 1, &[]), false),
        ("frames that are too long", Vec::new(), frame(DATA, 0, 1, &vec![0; 100_000]), true),
        ("no frames", Vec::new(), vec![0xff; 1000], true),
    ];
    for (name, first, repeated, ends) in floods {
        let mut wire = Wire::open(&world, &world.cluster.kubeconfig("admin"), b"h2").await;
        wire.send(&[hello(), first].concat()).await.unwrap();
        let batch = repeated.repeat(1 + 64 * 1024 / repeated.len());
        let begun = Instant::now();
        let mut ended = false;
        for _ in 0..100 {
            // Nothing is read: what the server would like to answer piles up at its side, or it stops reading.
            match timeout(SHORT, wire.send(&batch)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    ended = true;
                    break;
                }
                Err(_) => break,
            }
        }
        world.good(name).await;
        if ends && !ended {
            ended = wire.drain(CUT).await.is_some();
        }
        assert!(ended || !ends, "{name} went on for {:?}", begun.elapsed());
    }
    world.running.stop().await;
}

async fn a_header_that_comes_slowly_is_not_waited_for(engine: Engine) {
    let world = World::start_with(
        engine,
        Limits {
            header: SHORT,
            ..Limits::default()
        },
        |_| (),
    )
    .await;
    let mut slow = Vec::new();
    for number in 0..50 {
        let mut wire = Wire::http1(&world, &Credential::none()).await;
        if number % 2 == 0 {
            wire.send(b"GET /version HTTP/1.1\r\n").await.unwrap();
        }
        slow.push(wire);
    }
    let begun = Instant::now();
    while !slow.is_empty() {
        assert!(begun.elapsed() < CUT, "{} connections are still waited for", slow.len());
        world.good("slow headers").await;
        let mut open = Vec::new();
        for mut wire in slow {
            let sent = wire.send(b"x-a: b\r\n").await;
            if sent.is_ok() && !wire.has_answer().await {
                open.push(wire);
            }
        }
        slow = open;
    }
    world.running.stop().await;
}

async fn a_handshake_that_never_ends_is_not_waited_for(engine: Engine) {
    let world = World::start_with(
        engine,
        Limits {
            handshake: SHORT,
            ..Limits::default()
        },
        |_| (),
    )
    .await;
    let hello = [22, 3, 1, 0x02, 0, 1, 0, 0x01, 0xfc, 3, 3];
    let openings: [(&str, &[u8]); 7] = [
        ("nothing", b""),
        ("the first bytes of a ClientHello", &hello),
        ("an alert", &[21, 3, 3, 0, 2, 1, 0]),
        ("an empty record", &[22, 3, 3, 0, 0]),
        ("plain HTTP", b"GET /api/v1/secrets HTTP/1.1\r\nhost: k\r\n\r\n"),
        ("plain HTTP/2", PREFACE),
        ("rubbish", &vec![0xff; 70_000]),
    ];
    let mut open = Vec::new();
    for (name, bytes) in openings {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(world.running.address).await.unwrap();
            let _ = stream.write_all(bytes).await;
            open.push((name, stream));
        }
    }
    world.good("unfinished handshakes").await;
    for (name, mut stream) in open {
        let mut said = Vec::new();
        timeout(CUT, stream.read_to_end(&mut said))
            .await
            .unwrap_or_else(|_| panic!("{name} is still waited for"))
            .ok();
        assert!(said.len() < 1024, "{name}: {}", String::from_utf8_lossy(&said));
    }
    world.running.stop().await;
}

async fn who_does_not_read_a_big_list_is_cut_off(engine: Engine) {
    let world = World::start_with(
        engine,
        Limits {
            stall: STALL,
            ..Limits::default()
        },
        |_| (),
    )
    .await;
    world.with_big_maps().await;
    let admin = world.cluster.kubeconfig("admin");
    let whole = world.admin().get(MAPS).await.body.len();

    let mut old = Wire::slow(&world, &admin, b"http/1.1").await;
    old.send(format!("GET {MAPS} HTTP/1.1\r\nhost: k\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut new = Wire::slow(&world, &admin, b"h2").await;
    new.send(&[hello(), request(1, END_STREAM, "GET", MAPS)].concat())
        .await
        .unwrap();
    let mut closed = Wire::open(&world, &admin, b"h2").await;
    let window = setting(INITIAL_WINDOW, 0);
    closed
        .send(&[PREFACE, &window, &request(1, END_STREAM, "GET", MAPS)].concat())
        .await
        .unwrap();
    // Pings are no reading.
    let begun = Instant::now();
    let mut ended = false;
    while begun.elapsed() < CUT && !ended {
        ended = closed.send(&frame(PING, 0, 0, b"12345678")).await.is_err() || closed.drain(SHORT / 4).await.is_some();
        world.good("slow readers").await;
    }
    assert!(ended, "a client without a window is still waited for");
    // The others leave what there is in their sockets until the server has cut them off.
    sleep(STALL * 2).await;
    for (name, mut wire) in [("HTTP/1.1", old), ("HTTP/2", new)] {
        let read = wire.drain(CUT).await.unwrap_or_else(|| panic!("{name}: still open"));
        assert!(read < whole, "{name}: all {read} bytes came");
    }
    world.good("slow readers").await;
    world.running.stop().await;
}

async fn who_does_not_read_a_watch_is_cut_off_and_who_does_misses_nothing(engine: Engine) {
    let world = World::start_with(
        engine,
        Limits {
            stall: STALL,
            ..Limits::default()
        },
        |_| (),
    )
    .await;
    let admin = world.cluster.kubeconfig("admin");
    world.create(MAPS, &big_map(0)).await;
    let line = format!("GET {MAPS}?watch=1&fieldSelector=metadata.name%3Dbig-0 HTTP/1.1\r\nhost: k\r\n\r\n");
    let mut slow = Wire::slow(&world, &admin, b"http/1.1").await;
    slow.send(line.as_bytes()).await.unwrap();
    let mut good = Wire::http1(&world, &admin).await;
    good.send(line.as_bytes()).await.unwrap();
    let writes = 24;
    let reading = tokio::spawn(async move {
        let mut events = 0;
        while events < writes + 1 {
            good.more().await.expect("the good watch ended");
            while let Some(at) = find(&good.rest, b"{\"type\":\"") {
                good.rest.drain(..=at);
                events += 1;
            }
            let keep = good.rest.len().saturating_sub(16);
            good.rest.drain(..keep);
        }
        good
    });
    for number in 0..writes {
        let patch = json!({"metadata": {"annotations": {"n": number.to_string()}}});
        let reply = world
            .admin()
            .patch(&format!("{MAPS}/big-0"), "application/merge-patch+json", &patch)
            .await;
        assert_eq!(reply.code, 200);
    }
    let mut good = timeout(CUT, reading).await.expect("events are missing").unwrap();
    // A watch in which nothing happens is no slow reader.
    sleep(STALL * 2).await;
    let read = slow.drain(CUT).await.expect("the slow watch is still open");
    assert!(read < writes * BIG, "all {read} bytes came");
    let patch = json!({"metadata": {"annotations": {"n": "last"}}});
    world
        .admin()
        .patch(&format!("{MAPS}/big-0"), "application/merge-patch+json", &patch)
        .await;
    timeout(CUT, good.more())
        .await
        .expect("no event")
        .expect("the good watch was cut off");
    world.running.stop().await;
}

async fn a_connection_that_is_not_used_ends(engine: Engine) {
    let limits = Limits {
        idle: SHORT,
        stall: SHORT,
        ..Limits::default()
    };
    let world = World::start_with(engine, limits, |_| ()).await;
    let mut wire = Wire::open(&world, &world.cluster.kubeconfig("admin"), b"h2").await;
    wire.send(&hello()).await.unwrap();
    let begun = Instant::now();
    let mut goaway = false;
    let mut last_ping = begun;
    loop {
        match timeout(SHORT / 4, wire.frame()).await {
            Ok(None) => break,
            Ok(Some(frame)) => goaway |= frame.kind == GOAWAY,
            Err(_) => assert!(begun.elapsed() < CUT, "an unused connection is still open"),
        }
        if last_ping.elapsed() > SHORT / 4 {
            last_ping = Instant::now();
            let _ = wire.send(&frame(PING, 0, 0, b"12345678")).await;
        }
    }
    assert!(goaway, "it ended without a word");
    world.running.stop().await;
}

/// How many files this process may open, after asking for as many as it may.
fn files() -> usize {
    let limits = || {
        let text = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap()
            .to_owned();
        let mut numbers = line
            .split_whitespace()
            .skip(3)
            .map(|number| number.parse().unwrap_or(1 << 20));
        (numbers.next().unwrap(), numbers.next().unwrap())
    };
    let (_, hard): (usize, usize) = limits();
    let pid = std::process::id().to_string();
    // Of util-linux; without it, it stays as it is.
    let _ = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={hard}:{hard}")])
        .status();
    limits().0
}

/// Tells the process that is to hold the other ends: the address, how many, the CA, and the file whose making ends it.
const HOLD: &str = "KUBETRUST_TEST_HOLD";
/// The test below, as the harness calls it.
const TEN_THOUSAND: &str = "ten_thousand_idle_connections_leave_room_for_others::embedded";

async fn ten_thousand_idle_connections_leave_room_for_others(engine: Engine) {
    /// Files for everything else, other tests beside this one included.
    const SPARE: usize = 4000;
    if let Ok(task) = std::env::var(HOLD) {
        return hold(&task).await;
    }
    let count = match engine {
        // Fewer only where the limit of files allows no more.
        Engine::Embedded => files().saturating_sub(SPARE).min(10_000),
        // Idle connections meet no store, and there are not files enough for all of them twice. That the one to etcd is
        // not lost among them shows with fewer.
        Engine::Etcd => 1000,
    };
    let limits = Limits {
        header: Duration::from_mins(5),
        idle: Duration::from_mins(5),
        // The other ends are mute.
        ping: (Duration::from_mins(5), Duration::from_mins(5)),
        ..Limits::default()
    };
    let world = World::start_with(engine, limits, |_| ()).await;
    let over = world.cluster.folder.path().join("over");
    let ca = world.cluster.file("pki/ca.crt");
    let (_, module) = module_path!().split_once("::").unwrap();
    let begun = Instant::now();
    let mut holder = Process::spawn(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", &format!("{module}::{TEN_THOUSAND}")])
            .env(
                HOLD,
                format!(
                    "{}\n{count}\n{}\n{}",
                    world.running.address,
                    ca.display(),
                    over.display()
                ),
            ),
    );
    while !holder.log().contains("all are open") {
        assert!(holder.is_running(), "{}", holder.tail());
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "{count} connections take longer: {}",
            holder.tail()
        );
        world.good("many connections").await;
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..20 {
        world.good("many connections").await;
    }
    std::fs::write(&over, "").unwrap();
    holder.wait_for(|log| log.contains(&format!("0 of {count} are gone")), CUT);
    assert!(holder.wait_exit(CUT).success(), "{}", holder.tail());
    world.good("ten thousand goodbyes").await;
    world.running.stop().await;
}

/// Holds the clients' ends, in a process with a limit of files of its own.
#[expect(clippy::print_stdout, reason = "what it says is what the other process waits for")]
async fn hold(task: &str) {
    let mut lines = task.lines();
    let mut next = || lines.next().unwrap();
    let address: SocketAddr = next().parse().unwrap();
    let count: usize = next().parse().unwrap();
    let (ca, over) = (Path::new(next()), Path::new(next()));
    assert!(files() >= count, "this process may open {} files", files());
    let configs = [b"h2".as_slice(), b"http/1.1"].map(|alpn| client::tls(ca, &Credential::none(), alpn));
    let opened: Vec<TlsStream<TcpStream>> = stream::iter(0..count)
        .map(|number| {
            let config = &configs[number % 2];
            async move {
                let mut stream = handshake(config, address, TcpStream::connect(address).await?).await?;
                if number % 2 == 0 {
                    stream.write_all(&hello()).await?;
                }
                Ok::<_, std::io::Error>(stream)
            }
        })
        .buffer_unordered(64)
        .try_collect()
        .await
        .unwrap();
    println!("all are open");
    let begun = Instant::now();
    while !over.exists() {
        assert!(begun.elapsed() < Duration::from_mins(2), "nobody says that it is over");
        sleep(Duration::from_millis(50)).await;
    }
    let mut gone = 0;
    for mut stream in opened {
        let mut byte = [0; 1];
        // Settings may have come; an end must not.
        if let Ok(Ok(0) | Err(_)) = timeout(Duration::ZERO, stream.read(&mut byte)).await {
            gone += 1;
        }
    }
    println!("{gone} of {count} are gone");
}
