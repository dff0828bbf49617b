//! End to end: `kubetrust apiserver` as a whole process and a client in this one, each figure beside its limit,
//! measured in the same run and in turn.
//!
//! The limit is a bare server: the same TLS, the same HTTP library, the same bytes, and nothing in between.
//!
//! `cargo bench -p kubetrust --bench serve -- reads writes` measures these parts alone; [`PARTS`] names them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints and may stop"
)]

mod bare;
#[allow(dead_code, reason = "the bench has a client of its own, and shares how it connects")]
#[path = "../../../kubetrust-server/tests/suite/support/client.rs"]
mod client;
mod indexed;
mod load;
mod server;

use std::sync::Arc;
use std::time::Duration;

use load::{Load, Mode};
use mimalloc::MiMalloc;
use server::{Setup, Store};

/// As the program has it: a limit gives and takes memory no slower than what it is the limit of.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long one measurement runs; each is taken several times, in turn with its limit.
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
/// How many turns a round is cut into where little is to be told apart.
const SHORT_TURNS: u32 = 5;
/// Objects of the large store.
const OBJECTS: usize = 50_000;
/// Watches of one resource.
const WATCHERS: usize = 1_000;
/// Writers at once.
const WRITERS: usize = 32;

/// What can be measured by itself.
const PARTS: [&str; 7] = ["start", "reads", "tokens", "writes", "etcd", "watches", "large"];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(asked) = bare::asked_for(&arguments) {
        return bare::serve(&asked);
    }
    if let Some(folder) = server::asked_to_read(&arguments) {
        return server::read(&folder);
    }
    // `cargo test --benches` only asks whether it runs.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let named = |part: &&str| arguments.iter().any(|argument| argument == part);
    let mut parts: Vec<&str> = PARTS.into_iter().filter(named).collect();
    if parts.is_empty() {
        parts = PARTS.to_vec();
    }
    runtime.block_on(run(&parts));
}

async fn run(parts: &[&str]) {
    println!(
        "{} cores; medians of {ROUNDS}\n",
        std::thread::available_parallelism().unwrap()
    );
    println!("{:<62} {:>12} {:>12} {:>7}  goal", "what", "measured", "limit", "ratio");
    let setup = Setup::new("ecdsa-p256");
    for part in parts {
        match *part {
            "start" => start(&setup),
            "reads" => reads(&setup).await,
            "tokens" => {
                tokens(&setup, "ES256").await;
                tokens(&Setup::new("rsa-2048"), "RS256").await;
            }
            "writes" => writes(&setup).await,
            "etcd" => writes_on_etcd(&setup).await,
            "watches" => watches(&setup).await,
            _ => large().await,
        }
    }
}

/// From the start of the process to `/readyz`, and what it takes then.
fn start(setup: &Setup) {
    let fresh = server::median((0..ROUNDS).map(|_| setup.ready_in(Store::Empty)).collect());
    row(
        "start to /readyz, credentials there, empty store",
        &millis(fresh),
        "",
        None,
        "<= 60 ms",
    );
    setup.run(Store::Kept).end();
    let again = server::median((0..ROUNDS).map(|_| setup.ready_in(Store::Kept)).collect());
    row("start to /readyz, second start", &millis(again), "", None, "<= 60 ms");
    let server = setup.run(Store::Kept);
    std::thread::sleep(Duration::from_secs(3));
    row(
        "memory when idle",
        &format!("{:.1} MiB", server.resident_mib()),
        "",
        None,
        "<= 30 MiB",
    );
    server.stop();
}

async fn reads(setup: &Setup) {
    let server = setup.run(Store::Empty);
    let admin = Load::new(setup, server.address, Some("admin"), None);
    let object = admin.prepare_object().await;
    let bare = bare::Bare::start(setup, &object.body);
    let limit = Load::new(setup, bare.address, Some("admin"), None);
    let (ours, theirs) = load::in_turn(&admin, &limit, &object.path, Mode::Streams(32), ROUND, ROUNDS).await;
    row(
        "GET of one object, mutual TLS, HTTP/2, 32 in flight",
        &rate(ours),
        &rate(theirs),
        Some(ours / theirs),
        ">= 70 % of bare hyper",
    );
    let (ours, theirs) = load::in_turn(&admin, &limit, &object.path, Mode::Connections(8), ROUND, ROUNDS).await;
    row(
        "fresh mutual-TLS connection + GET",
        &rate(ours),
        &rate(theirs),
        Some(ours / theirs),
        ">= 90 % of bare rustls",
    );
    server.stop();
}

async fn tokens(setup: &Setup, algorithm: &str) {
    let server = setup.run(Store::Empty);
    let admin = Load::new(setup, server.address, Some("admin"), None);
    let object = admin.prepare_object().await;
    let token = admin.account_with_token().await;
    let account = Load::new(setup, server.address, None, Some(token.clone()));
    // A certificate that gets the same answer from the same authorizer: the difference is the token.
    let scheduler = Load::new(setup, server.address, Some("scheduler"), None);
    // In short turns: the difference is smaller than what a machine's speed changes by in seconds.
    let (time, rounds) = (ROUND / SHORT_TURNS, ROUNDS * SHORT_TURNS as usize);
    let (ours, theirs) = load::in_turn(&account, &scheduler, &object.path, Mode::Indexed(32), time, rounds).await;
    row(
        &format!("GET with a service-account token, {algorithm}, warm"),
        &rate(ours),
        &rate(theirs),
        Some(ours / theirs),
        ">= 95 % of a certificate's",
    );
    // hyper's client sends the whole token each time: beside a certificate alone, and beside one that sends the same
    // header, which is not looked at, since the certificate decides.
    let (ours, theirs) = load::in_turn(&account, &scheduler, &object.path, Mode::Streams(32), ROUND, ROUNDS).await;
    row(
        "  by a client that sends it whole each time",
        &rate(ours),
        &rate(theirs),
        Some(ours / theirs),
        "",
    );
    let laden = Load::new(setup, server.address, Some("scheduler"), Some(token));
    let (ours, theirs) = load::in_turn(&account, &laden, &object.path, Mode::Streams(32), ROUND, ROUNDS).await;
    row(
        "  beside a certificate that sends the same header",
        &rate(ours),
        &rate(theirs),
        Some(ours / theirs),
        "",
    );
    server.stop();
}

async fn writes(setup: &Setup) {
    let (mut measured, mut limits) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (ours, bytes) = creates(setup, Store::Empty, round).await;
        measured.push(ours);
        limits.push(alone(server::engine(setup), bytes, &round.to_string()).await);
    }
    let (ours, limit) = (load::middle(measured), load::middle(limits));
    row(
        &format!("create, durable, {WRITERS} writers"),
        &rate(ours),
        &rate(limit),
        Some(ours / limit),
        ">= 60 % of the engine",
    );
}

async fn writes_on_etcd(setup: &Setup) {
    let etcd = setup.etcd();
    let (mut measured, mut limits, mut watched, mut passed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (ours, bytes) = creates(setup, Store::Etcd, round).await;
        measured.push(ours);
        limits.push(alone(server::etcd_client(setup), bytes, &round.to_string()).await);
        let store = server::etcd_client(setup);
        let watch = server::watch(&store).await;
        watched.push(alone(store, bytes, &format!("{round}-watched")).await);
        watch.abort();
        let bare = bare::Bare::start_on_etcd(setup);
        let client = Load::new(setup, bare.address, Some("admin"), None);
        passed.push(client.posts(WRITERS, ROUND, round));
    }
    drop(etcd);
    let [ours, limit, watched, passed] = [measured, limits, watched, passed].map(load::middle);
    row(
        &format!("create on etcd, {WRITERS} writers"),
        &rate(ours),
        &rate(limit),
        Some(ours / limit),
        ">= 80 % of the etcd client",
    );
    // Every API server watches what it stores, and etcd pays for that.
    row(
        "  beside the client with a watch of the same keys",
        &rate(ours),
        &rate(watched),
        Some(ours / watched),
        "",
    );
    // What is left of the limit once there is a server between the writers and etcd, whatever it does.
    row(
        "  beside a bare server that stores what it is sent",
        &rate(ours),
        &rate(passed),
        Some(ours / passed),
        "",
    );
    row(
        "  the bare server, beside the client alone",
        &rate(passed),
        &rate(limit),
        Some(passed / limit),
        "",
    );
}

/// Creates a second by a server on this store, and how large the objects are.
async fn creates(setup: &Setup, store: Store, round: usize) -> (f64, usize) {
    let server = setup.run(store);
    let admin = Load::new(setup, server.address, Some("admin"), None);
    let created = admin.creates(WRITERS, ROUND, round).await;
    server.stop();
    created
}

/// Creates a second by what is under a server alone.
async fn alone(store: Arc<dyn kubetrust_store::Store>, bytes: usize, round: &str) -> f64 {
    server::raw_commits(store, WRITERS, bytes, ROUND, round).await
}

async fn watches(setup: &Setup) {
    let server = setup.run(Store::Empty);
    let admin = Load::new(setup, server.address, Some("admin"), None);
    let object = admin.prepare_object().await;
    let ours = admin.watched_write(WATCHERS, &object, 20).await;
    server.stop();
    let bare = bare::Bare::start(setup, &object.body);
    let limit = Load::new(setup, bare.address, Some("admin"), None)
        .pushed(WATCHERS, 20)
        .await;
    row(
        &format!("one write seen by {WATCHERS} watchers"),
        &millis(ours),
        &millis(limit),
        Some(ours.as_secs_f64() / limit.as_secs_f64()),
        "<= 2 x writing the bytes to as many streams",
    );
}

async fn large() {
    let setup = Setup::new("ecdsa-p256");
    let server = setup.run(Store::Kept);
    let admin = Load::new(&setup, server.address, Some("admin"), None);
    admin.fill(OBJECTS, WRITERS).await;
    let before = server.resident_mib();
    let (ours, body) = admin.whole_list().await;
    let grown = server.peak_mib() - before;
    let bare = bare::Bare::start(&setup, &body);
    let (limit, _) = Load::new(&setup, bare.address, Some("admin"), None).whole_body().await;
    let size = body.len() as f64 / f64::from(1 << 20);
    row(
        &format!("list of {OBJECTS} objects, {size:.0} MiB"),
        &millis(ours),
        &millis(limit),
        Some(ours.as_secs_f64() / limit.as_secs_f64()),
        "<= 3 x copy + TLS of the bytes",
    );
    row(
        "  growth of the peak memory",
        &format!("{grown:.0} MiB"),
        &format!("{size:.0} MiB"),
        Some(grown / size),
        "<= 2 x its size",
    );
    let (times, lists) = admin.beside_lists(4 * ROUND).await;
    let alone = admin.one_by_one(ROUND);
    for (what, per_mille) in [("99th percentile", 990), ("longest", 1_000)] {
        let [ours, limit] = [&times, &alone].map(|times| times[(times.len() * per_mille).div_ceil(1_000) - 1]);
        row(
            &format!("GET beside {lists} such lists as kubectl asks for, {what}"),
            &millis(ours),
            &millis(limit),
            None,
            "",
        );
    }
    server.end();
    let again = server::median((0..ROUNDS).map(|_| setup.ready_in(Store::Kept)).collect());
    let read = server::median((0..ROUNDS).map(|_| setup.read_store()).collect());
    row(
        &format!("start with {OBJECTS} objects stored"),
        &millis(again),
        &millis(read),
        Some(again.as_secs_f64() / read.as_secs_f64()),
        "<= 2 x reading the file",
    );
}

fn row(what: &str, measured: &str, limit: &str, ratio: Option<f64>, goal: &str) {
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    println!("{what:<62} {measured:>12} {limit:>12} {ratio:>7}  {goal}");
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn rate(per_second: f64) -> String {
    format!("{per_second:.0} /s")
}
