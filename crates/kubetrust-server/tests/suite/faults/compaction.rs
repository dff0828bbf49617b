//! etcd forgets its history under the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kubetrust_server::compaction;
use kubetrust_server::start::start;
use kubetrust_store::{Error, Range};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::block_in_place;

use super::proxy::Way;
use super::site::Site;
use crate::registry::world::{World, config_map, names, revision, told, until};
use crate::support::{Client, Cluster, Engine, Events, engine};

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/work/rolebindings";

fn binding(user: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_seen_it_goes_on_showing() {
    let site = Site::start().await;
    let world = &site.world;
    let maps = format!("{}/configmaps", world.namespace("work").await);
    let begin = revision(&world.read(&maps).await);
    let mut open = world.watch(&format!("{maps}?watch=1&resourceVersion={begin}")).await;
    world.create(&maps, &config_map("a")).await;
    let first = world.read(&format!("{maps}?limit=1")).await;
    let now = revision(&world.create(&maps, &config_map("b")).await);
    block_in_place(|| site.etcd.cluster.etcdctl(&["compaction", &now.to_string()]).success());
    world.create(&maps, &config_map("c")).await;

    let all = ["ADDED a", "ADDED b", "ADDED c"];
    assert_eq!(open.names(3).await, all);
    // A watch is fed by the server, and begins where etcd could not begin any more.
    let mut late = world.watch(&format!("{maps}?watch=1&resourceVersion={begin}")).await;
    assert_eq!(late.names(3).await, all);
    // What was there at a revision only etcd could say.
    let exact = format!("{maps}?resourceVersion={begin}&resourceVersionMatch=Exact");
    assert_eq!(told(&world.admin.get(&exact).await), "410 Expired");
    assert_eq!(rest(world, &maps, &first).await, ["b", "c", "kube-root-ca.crt"]);
    site.world.running.stop().await;
}

/// Goes on with a list whose revision is gone: it is told so, and how to go on with what there is now.
async fn rest(world: &World, path: &str, page: &Value) -> Vec<String> {
    let token = |page: &Value| page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    let gone = world.admin.get(&format!("{path}?continue={}", token(page))).await;
    assert_eq!(told(&gone), "410 Expired");
    let now = world.read(&format!("{path}?continue={}", token(&gone.json()))).await;
    names(&now).into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_not_seen_is_skipped_by_no_watch() {
    let site = Site::start().await;
    let world = &site.world;
    let other = start(site.direct()).await.unwrap();
    let admin = world.cluster.client(other.address, world.cluster.kubeconfig("admin"));
    let maps = format!("{}/configmaps", world.namespace("work").await);
    for name in ["a", "b", "c"] {
        world.create(&maps, &config_map(name)).await;
    }
    world.create(BINDINGS, &binding("bob")).await;
    let may = async |user: &str| world.as_user(user, http::Method::GET, &maps, None).await.code;
    until("bob may", async || may("bob").await == 200).await;
    assert_eq!(may("alice").await, 403);
    let first = world.read(&format!("{maps}?limit=1")).await;
    let begin = revision(&first);
    let from = format!("{maps}?watch=1&allowWatchBookmarks=true&resourceVersion={begin}");
    let mut open = world.watch(&from).await;

    site.proxy.set(Way::Reset);
    let now = changes(&admin, &maps).await;
    other.registry.store().compact(now).await.unwrap();
    site.proxy.set(Way::Open);

    // Nobody can say what the watch has missed, so it ends; and says nothing that would let it go on later than here.
    assert_eq!(open.next().await, None);
    until("the server has caught up", async || {
        world.admin.get(&format!("{maps}/d")).await.code == 200
    })
    .await;
    let (code, status) = Events::open(&world.admin, &from)
        .await
        .err()
        .expect("a watch goes on over a gap");
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")), "{status}");
    assert_eq!(rest(world, &maps, &first).await, ["c", "d", "kube-root-ca.crt"]);

    // From here on the two servers are one again, in what they know and in whom they let in.
    let whole = world.read(&maps).await;
    assert_eq!(whole["items"], admin.get(&maps).await.json()["items"]);
    assert_eq!((may("alice").await, may("bob").await), (200, 403));
    let again = format!("{maps}?watch=1&resourceVersion={}", revision(&whole));
    let mut again = world.watch(&again).await;
    assert_eq!(admin.post(&maps, &config_map("e")).await.code, 201);
    world.create(&maps, &config_map("f")).await;
    assert_eq!(again.names(2).await, ["ADDED e", "ADDED f"]);
    world.namespace("later").await;
    other.stop().await;
    site.world.running.stop().await;
}

/// What the one server does not see: an object that is new, one that is changed, one that goes, and so for rights. The
/// last revision.
async fn changes(other: &Client, maps: &str) -> u64 {
    assert_eq!(other.post(maps, &config_map("d")).await.code, 201);
    let changed = json!({"data": {"key": "2"}});
    let patched = other
        .patch(&format!("{maps}/a"), "application/merge-patch+json", &changed)
        .await;
    assert_eq!(patched.code, 200);
    assert_eq!(other.delete(&format!("{maps}/b")).await.code, 200);
    assert_eq!(other.delete(&format!("{BINDINGS}/bob")).await.code, 200);
    let last = other.post(BINDINGS, &binding("alice")).await;
    assert_eq!(last.code, 201, "{}", last.message());
    revision(&last.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_lets_etcd_forget_if_it_is_told_to() {
    const INTERVAL: Duration = Duration::from_millis(200);
    let mut cluster = block_in_place(|| Cluster::alone(Engine::Etcd));
    for interval in [None, Some(INTERVAL)] {
        cluster.options.compaction_interval = interval;
        let running = cluster.start().await;
        let admin = cluster.client(running.address, cluster.kubeconfig("admin"));
        let maps = "/api/v1/namespaces/default/configmaps";
        let begin = revision(&admin.get(maps).await.json());
        let name = if interval.is_some() { "b" } else { "a" };
        assert_eq!(admin.post(maps, &config_map(name)).await.code, 201);
        let exact = format!("{maps}?resourceVersion={begin}&resourceVersionMatch=Exact");
        let forgets = async || admin.get(&exact).await.code == 410;
        if interval.is_some() {
            until("what is old is forgotten", forgets).await;
        } else {
            tokio::time::sleep(INTERVAL * 5).await;
            assert!(!forgets().await);
        }
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_let_etcd_forget_once_an_interval_and_never_what_is_younger() {
    const INTERVAL: Duration = Duration::from_secs(1);
    let cluster = block_in_place(|| Cluster::alone(Engine::Etcd));
    let etcd = cluster.etcd.as_ref().unwrap();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(engine::open(&cluster.options.store).await);
    }
    let (stop, stopped) = watch::channel(false);
    let begun = Instant::now();
    let compacting = stores
        .iter()
        .map(|store| tokio::spawn(compaction::run(Arc::clone(store), INTERVAL, stopped.clone())));
    let compacting: Vec<_> = compacting.collect();
    let put = |value: &str| block_in_place(|| etcd.cluster.etcdctl(&["put", "/registry/x", value]).success());
    put("old");
    let old = stores[0].revision().await.unwrap();
    put("new");
    let at = async |revision| {
        let range = Range {
            at: Some(revision),
            ..Range::prefix("/registry/")
        };
        stores[0].range(range).await
    };
    until("what is old is forgotten", async || {
        matches!(at(old).await, Err(Error::Compacted { .. }))
    })
    .await;
    assert!(begun.elapsed() > INTERVAL, "after {:?}", begun.elapsed());
    // Nobody forgets within an interval what was written in it: the next turn is in its middle.
    tokio::time::sleep(INTERVAL / 2).await;
    let written = Instant::now();
    put("young");
    let young = stores[0].revision().await.unwrap();
    put("newest");
    loop {
        let read = at(young).await;
        if written.elapsed() > INTERVAL {
            break;
        }
        assert_eq!(read.unwrap().items[0].value.as_ref(), b"young");
        tokio::time::sleep(INTERVAL / 50).await;
    }
    stop.send_replace(true);
    for task in compacting {
        task.await.unwrap();
    }
    let (key, _) = stores[0].get(b"compact_rev_key").await.unwrap();
    let turns = begun.elapsed().as_millis() / INTERVAL.as_millis();
    let version = u128::from(key.unwrap().version);
    assert!(
        (2..=turns).contains(&version),
        "{version} compactions in {turns} intervals"
    );
}
