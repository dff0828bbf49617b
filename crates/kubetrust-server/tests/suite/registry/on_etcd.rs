//! What only etcd can show: where the objects are, and what becomes of a server without its store.

use kubetrust_server::start::start;

use super::world::World;
use crate::support::Engine;

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_where_kubernetes_puts_them_and_a_server_needs_its_etcd() {
    let mut world = World::alone(Engine::Etcd).await;
    let namespace = world.namespace("kept").await;
    world.secret(&namespace, "a").await;
    world.secret(&namespace, "b").await;
    let etcd = world.cluster.etcd.take().unwrap();
    let keys = tokio::task::block_in_place(|| {
        etcd.cluster
            .etcdctl(&["get", "/registry/secrets/kept/", "--prefix", "--keys-only"])
            .success()
    });
    assert_eq!(
        keys.stdout.split_whitespace().collect::<Vec<_>>(),
        ["/registry/secrets/kept/a", "/registry/secrets/kept/b"]
    );
    world.running.stop().await;
    drop(etcd);
    assert!(start(world.options).await.is_err());
}
