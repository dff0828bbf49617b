//! Requests in flight: how many at once, and that none is dropped when the server stops.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kubetrust_server::listen::Limits;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::frames::{DATA, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, frame, request};
use super::wire::Wire;
use super::world::{World, refused};
use crate::registry::world::until;
use crate::support::{Client, Cluster, Credential, Engine, Reply};

on_both!(
    reads_beyond_the_limit_are_told_to_come_again,
    writes_beyond_the_limit_are_told_to_come_again,
    a_server_that_stops_answers_everything_it_was_asked,
    no_request_is_dropped_by_a_stop_under_load,
);

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// A list of a revision that is not there yet: the server waits for it for three seconds, then says 504.
const HELD: &str = "/api/v1/namespaces/default/configmaps?resourceVersion=9000000000000000000";
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);

fn map(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).to_string()
}

/// The header lines of a POST, as whoever has this credential.
fn post(credential: &Credential, body: &str) -> String {
    let bearer = credential
        .token
        .as_ref()
        .map(|token| format!("authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    format!(
        "POST {MAPS} HTTP/1.1\r\nhost: k\r\n{bearer}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
}

async fn few(engine: Engine) -> (World, Credential) {
    let world = World::start_with(engine, Limits::default(), |options| {
        options.max_requests_in_flight = 2;
        options.max_mutating_requests_in_flight = 1;
    })
    .await;
    let robot = world.robot("robot").await;
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create"]});
    world.grant("robot", "default", &rule).await;
    (world, robot)
}

async fn reads_beyond_the_limit_are_told_to_come_again(engine: Engine) {
    let (world, robot) = few(engine).await;
    let stop = Arc::<AtomicBool>::default();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let (client, stop) = (world.client(robot.clone()), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut codes = BTreeSet::new();
                while !stop.load(Ordering::Acquire) {
                    // The reads below take a place too, for a moment.
                    codes.insert(client.get(HELD).await.code);
                    sleep(STEP).await;
                }
                codes
            })
        })
        .collect();
    let client = world.client(robot.clone());
    let reply = too_much(&client).await;
    let status = refused(&reply, "too many reads");
    assert_eq!(status["message"], "Too many requests, please try again later.");
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    assert_eq!(reply.headers["retry-after"], "1");
    // Watches are not counted, writes have a limit of their own, and administrators are never turned away.
    for _ in 0..5 {
        let mut watch = Wire::http1(&world, &Credential::none()).await;
        let token = robot.token.as_ref().unwrap();
        let line = format!("GET {MAPS}?watch=1 HTTP/1.1\r\nhost: k\r\nauthorization: Bearer {token}\r\n\r\n");
        watch.send(line.as_bytes()).await.unwrap();
        assert_eq!(watch.head().await, 200);
    }
    let written = client.post(MAPS, &serde_json::from_str(&map("written")).unwrap()).await;
    assert_eq!(written.code, 201, "{}", written.message());
    assert_eq!(world.admin().get(MAPS).await.code, 200);
    too_much(&client).await;
    stop.store(true, Ordering::Release);
    for read in held {
        let codes = read.await.unwrap();
        assert!(codes.contains(&504) && codes.is_subset(&[429, 504].into()), "{codes:?}");
    }
    assert_eq!(client.get(MAPS).await.code, 200);
    world.running.stop().await;
}

/// Reads until there are too many: the refusal.
async fn too_much(client: &Client) -> Reply {
    let begun = Instant::now();
    loop {
        let reply = client.get(MAPS).await;
        if reply.code != 200 {
            assert_eq!(reply.code, 429, "{}", reply.message());
            return reply;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing was ever too much");
        sleep(STEP).await;
    }
}

async fn writes_beyond_the_limit_are_told_to_come_again(engine: Engine) {
    let (world, robot) = few(engine).await;
    let body = map("slow");
    let mut slow = Wire::http1(&world, &Credential::none()).await;
    slow.send((post(&robot, &body) + &body[..10]).as_bytes()).await.unwrap();
    // It has its place before anybody else asks for it.
    until("the slow write is worked on", async || in_flight(&world).await == 1).await;
    let client = world.client(robot.clone());
    let reply = client
        .post(MAPS, &serde_json::from_str(&map("too-much")).unwrap())
        .await;
    assert_eq!(reply.code, 429, "{}", reply.message());
    assert_eq!(reply.headers["retry-after"], "1");
    refused(&reply, "too many writes");
    assert_eq!(client.get(MAPS).await.code, 200, "reads have a limit of their own");
    world
        .create(MAPS, &serde_json::from_str(&map("by-admin")).unwrap())
        .await;
    slow.send(&body.as_bytes()[10..]).await.unwrap();
    assert_eq!(slow.answer().await.unwrap().code, 201);
    let reply = client.post(MAPS, &serde_json::from_str(&map("after")).unwrap()).await;
    assert_eq!(reply.code, 201, "{}", reply.message());
    world.running.stop().await;
}

async fn a_server_that_stops_answers_everything_it_was_asked(engine: Engine) {
    let world = World::start(engine).await;
    let admin = world.cluster.kubeconfig("admin");
    let address = world.running.address;
    // Writes whose bodies are on their way, over both protocols; reads that wait; watches.
    let mut writes = Vec::new();
    for number in 0..40 {
        let body = map(&format!("old-{number}"));
        let mut wire = Wire::http1(&world, &admin).await;
        wire.send((post(&admin, &body) + &body[..10]).as_bytes()).await.unwrap();
        writes.push((wire, body));
    }
    let mut new = Wire::open(&world, &admin, b"h2").await;
    let streams: Vec<u32> = (0..40).map(|number| number * 2 + 1).collect();
    let opened: Vec<u8> = streams.iter().flat_map(|id| request(*id, 0, "POST", MAPS)).collect();
    new.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &opened].concat())
        .await
        .unwrap();
    let mut watches = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::http1(&world, &admin).await;
        wire.send(format!("GET {MAPS}?watch=1 HTTP/1.1\r\nhost: k\r\n\r\n").as_bytes())
            .await
            .unwrap();
        watches.push(wire);
    }
    let mut reads = Vec::new();
    for _ in 0..10 {
        let mut wire = Wire::http1(&world, &admin).await;
        wire.send(format!("GET {HELD} HTTP/1.1\r\nhost: k\r\n\r\n").as_bytes())
            .await
            .unwrap();
        reads.push(wire);
    }
    // All of them have reached the server when a later one on the same connections has been counted.
    let begun = Instant::now();
    while in_flight(&world).await < 40 + 40 + 10 {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} requests are in flight",
            in_flight(&world).await
        );
        sleep(STEP).await;
    }
    let World { cluster, running } = world;
    let stopping = tokio::spawn(running.stop());
    let begun = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "new connections are still taken");
        sleep(STEP).await;
    }
    for mut wire in watches {
        // Only the last chunk makes it an answer.
        assert_eq!(wire.answer().await.expect("a watch broke off").code, 200);
    }
    for (wire, body) in &mut writes {
        wire.send(&body.as_bytes()[10..]).await.unwrap();
        assert_eq!(wire.answer().await.expect("a write was dropped").code, 201);
    }
    for id in &streams {
        let body = map(&format!("new-{id}"));
        new.send(&frame(DATA, END_STREAM, *id, body.as_bytes())).await.unwrap();
    }
    let (mut answered, mut goaway) = (0, false);
    let reading = async {
        while let Some(frame) = new.answered_frame().await {
            answered += usize::from(frame.kind == DATA && frame.flags & END_STREAM != 0);
            goaway |= frame.kind == GOAWAY;
            if frame.kind == HEADERS {
                // 201 is no indexed status: it stands there in plain or in Huffman's code, 200 would be 0x88.
                assert_ne!(frame.payload[0], 0x88, "stream {}", frame.stream);
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("the connection did not end");
    assert!(goaway);
    assert_eq!(answered, streams.len(), "of the writes on one connection");
    for mut wire in reads {
        assert_eq!(wire.answer().await.expect("a read was dropped").code, 504);
    }
    timeout(PATIENCE, stopping)
        .await
        .expect("the server did not stop")
        .unwrap();
    everything_is_stored(cluster).await;
}

/// What was written while the server went is there when it has come back.
async fn everything_is_stored(cluster: Cluster) {
    let world = World {
        running: cluster.start().await,
        cluster,
    };
    let stored = world.admin().get(MAPS).await.json();
    let names: Vec<&str> = stored["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|map| map["metadata"]["name"].as_str())
        .collect();
    for number in 0..40 {
        assert!(names.contains(&format!("old-{number}").as_str()), "old-{number}");
        assert!(
            names.contains(&format!("new-{}", number * 2 + 1).as_str()),
            "new-{}",
            number * 2 + 1
        );
    }
    world.running.stop().await;
}

/// How many requests the server works on, by its own count, without this one.
async fn in_flight(world: &World) -> usize {
    let text = String::from_utf8(world.admin().get("/metrics").await.body.to_vec()).unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("apiserver_current_inflight_requests"));
    let counts = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
    counts.sum::<usize>().saturating_sub(1)
}

/// Asks without a pause, ten at a time, until the server says that it goes: how many requests it had taken, and which
/// of them it did not answer.
async fn ask_until_the_end(mut wire: Wire) -> (usize, Vec<u32>) {
    const AT_ONCE: u32 = 10;
    let (mut next, mut last) = (1, u32::MAX);
    let mut answered = BTreeSet::new();
    wire.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
        .await
        .unwrap();
    // What is read is given back, or the window of the connection is soon used up.
    let window = frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    wire.send(&window).await.unwrap();
    loop {
        if last == u32::MAX {
            let ids: Vec<u32> = (0..AT_ONCE).map(|number| next + number * 2).collect();
            next += AT_ONCE * 2;
            let asked: Vec<u8> = ids
                .iter()
                .flat_map(|id| request(*id, END_STREAM, "GET", "/api/v1/namespaces"))
                .collect();
            // The server may be gone: what it said before is read below.
            let _ = wire.send(&asked).await;
        }
        while last != u32::MAX || answered.len() < usize::try_from(next / 2).unwrap() {
            let Some(frame) = wire.answered_frame().await else {
                let taken: Vec<u32> = (1..next).step_by(2).filter(|id| *id <= last).collect();
                return (
                    taken.len(),
                    taken.into_iter().filter(|id| !answered.contains(id)).collect(),
                );
            };
            if frame.kind == GOAWAY {
                last = last.min(frame.last_stream());
            }
            if frame.flags & END_STREAM != 0 && matches!(frame.kind, DATA | HEADERS) {
                answered.insert(frame.stream);
            }
        }
    }
}

async fn no_request_is_dropped_by_a_stop_under_load(engine: Engine) {
    let world = World::start(engine).await;
    let admin = world.cluster.kubeconfig("admin");
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(tokio::spawn(ask_until_the_end(Wire::open(&world, &admin, b"h2").await)));
    }
    sleep(Duration::from_millis(500)).await;
    timeout(PATIENCE, world.running.stop())
        .await
        .expect("the server did not stop");
    for client in clients {
        let (taken, dropped) = timeout(PATIENCE, client).await.expect("a request hangs").unwrap();
        assert!(taken > 0);
        assert_eq!(dropped, Vec::<u32>::new(), "of {taken} requests");
    }
}
