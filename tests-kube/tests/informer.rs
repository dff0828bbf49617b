//! Informers of kube-rs: what they hold is what the server has, however often it crashes meanwhile.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::reflector::Store;
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Api, Client, Config, ResourceExt as _};
use kubetrust_testkit::peers;
use kubetrust_testkit::up::Up;
use serde_json::json;

/// What the informer selects.
const LABEL: &str = "informed=yes";
/// How often the server is killed.
const CRASHES: usize = 3;
/// How many writes go through before each crash, and after the last one.
const WRITES: usize = 60;
/// How many objects are written in turn.
const OBJECTS: usize = 25;
/// How long an informer may take to be as the server is: it backs off after each failure.
const CAUGHT_UP: Duration = Duration::from_secs(90);

/// An object's name → the version of it.
type Seen = BTreeMap<String, String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_informer_runs_through_crashes_of_the_server() {
    runs_through_crashes(watcher::Config::default().page_size(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streaming_informer_runs_through_crashes_of_the_server() {
    runs_through_crashes(watcher::Config::default().streaming_lists()).await;
}

async fn runs_through_crashes(config: watcher::Config) {
    let mut up = Up::start(peers::kubetrust());
    let api: Api<ConfigMap> = Api::default_namespaced(client(&up).await);
    let (store, writer) = reflector::store();
    let stream = watcher(api.clone(), config.labels(LABEL))
        .default_backoff()
        .reflect(writer);
    let informer = tokio::spawn(stream.for_each(|_| async {}));
    store.wait_until_ready().await.unwrap();

    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writing = tokio::spawn(write(api.clone(), Arc::clone(&stop), Arc::clone(&written)));
    for _ in 0..CRASHES {
        wait_for_writes(&written).await;
        up = tokio::task::spawn_blocking(|| restarted(up)).await.unwrap();
    }
    wait_for_writes(&written).await;
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();

    let wanted = listed(&api).await;
    assert!(!wanted.is_empty(), "nothing is left of {WRITES} writes and more");
    let begun = Instant::now();
    while held(&store) != wanted {
        assert!(
            begun.elapsed() < CAUGHT_UP,
            "the informer holds {:?}\nand the server {wanted:?}\n{}",
            held(&store),
            up.tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // It is alive, not only caught up.
    api.create(&PostParams::default(), &object("last")).await.unwrap();
    while !held(&store).contains_key("last") {
        assert!(
            begun.elapsed() < CAUGHT_UP,
            "the informer sees nothing new\n{}",
            up.tail()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    informer.abort();
}

fn restarted(mut up: Up) -> Up {
    up.crash_and_restart();
    up
}

async fn wait_for_writes(written: &AtomicUsize) {
    let wanted = written.load(Ordering::Relaxed) + WRITES;
    while written.load(Ordering::Relaxed) < wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Creates, changes and deletes in turn until told to stop. A write that fails is one that the crash took, or that a
/// write whose answer the crash took had done already.
async fn write(api: Api<ConfigMap>, stop: Arc<AtomicBool>, written: Arc<AtomicUsize>) {
    let patch = |turn: usize| Patch::Merge(json!({"data": {"turn": turn.to_string()}}));
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("item-{}", turn % OBJECTS);
        let done = match turn / OBJECTS % 4 {
            0 => api.create(&PostParams::default(), &object(&name)).await.map(drop),
            3 if turn % 2 == 0 => api.delete(&name, &DeleteParams::default()).await.map(drop),
            _ => api.patch(&name, &PatchParams::default(), &patch(turn)).await.map(drop),
        };
        match done {
            Ok(()) => drop(written.fetch_add(1, Ordering::Relaxed)),
            Err(kube::Error::Api(status)) => assert!(matches!(status.code, 404 | 409), "{status:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn object(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"informed": "yes"}}})).unwrap()
}

async fn listed(api: &Api<ConfigMap>) -> Seen {
    let list = api.list(&ListParams::default().labels(LABEL)).await.unwrap();
    list.iter().map(seen).collect()
}

fn held(store: &Store<ConfigMap>) -> Seen {
    store.state().iter().map(|object| seen(object)).collect()
}

fn seen(object: &ConfigMap) -> (String, String) {
    (object.name_any(), object.resource_version().unwrap_or_default())
}

async fn client(up: &Up) -> Client {
    let kubeconfig = Kubeconfig::read_from(up.kubeconfig("admin")).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}
