//! Two API servers on one etcd are one cluster; a folder of the embedded store is one server's.

use std::sync::Arc;

use kubetrust_server::options::Options;
use kubetrust_server::registry::services::Ranges;
use kubetrust_server::start::start;
use serde_json::json;

use super::cases::services::servers_of;
use super::world::{World, config_map, revision, secret, until};
use crate::support::{Client, Cluster, Engine, Events};

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_see_one_anothers_writes_in_order() {
    const ROUNDS: usize = 40;
    let one = World::on(Engine::Etcd).await;
    let other = start(one.options.clone()).await.unwrap();
    let client = |address| Arc::new(one.cluster.client(address, one.cluster.kubeconfig("admin")));
    let servers: [Arc<Client>; 2] = [client(one.running.address), client(other.address)];
    let secrets = format!("{}/secrets", one.namespace("shared").await);
    let begin = revision(&one.read(&secrets).await);
    let path = format!("{secrets}?watch=1&resourceVersion={begin}");
    let mut watches = [
        Events::open(&servers[0], &path).await.unwrap(),
        Events::open(&servers[1], &path).await.unwrap(),
    ];

    // What the one has acknowledged the other shows, from its cache too.
    for round in 0..ROUNDS {
        let (writer, reader) = (&servers[round % 2], &servers[(round + 1) % 2]);
        let name = format!("s{round}");
        let made = writer.post(&secrets, &secret(&name)).await;
        assert_eq!(made.code, 201, "{}", made.message());
        let read = reader.get(&format!("{secrets}/{name}")).await;
        assert_eq!((read.code, read.json()), (200, made.json()));
        let listed = reader.get(&secrets).await.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), round + 1);
        assert!(revision(&listed) >= revision(&made.json()));
    }
    // Writers at both count one number up: none of them goes over the other's.
    let counter = format!("{secrets}/s0");
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let (server, counter) = (Arc::clone(&servers[number % 2]), counter.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    loop {
                        let mut object = server.get(&counter).await.json();
                        let count = object["metadata"]["annotations"]["n"]
                            .as_str()
                            .unwrap_or("0")
                            .parse::<u32>()
                            .unwrap();
                        object["metadata"]["annotations"] = json!({"n": (count + 1).to_string()});
                        match server.put(&counter, &object).await.code {
                            200 => break,
                            409 => {}
                            code => panic!("{code}"),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for server in &servers {
        assert_eq!(server.get(&counter).await.json()["metadata"]["annotations"]["n"], "40");
    }
    let mut histories = Vec::new();
    for watch in &mut watches {
        let mut history = Vec::new();
        for _ in 0..ROUNDS + 40 {
            history.push(watch.what().await);
        }
        assert!(history.is_sorted_by(|one, next| one.2 < next.2), "{history:?}");
        histories.push(history);
    }
    assert_eq!(histories[0], histories[1]);

    // What the one forbids the other forbids at once, and what it takes up the other serves.
    let bob = [("impersonate-user", "bob")];
    let ask = async |server: &Client| server.request(http::Method::GET, &secrets, &bob, None).await.code;
    assert_eq!((ask(&servers[0]).await, ask(&servers[1]).await), (403, 403));
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "bob"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/shared/rolebindings";
    assert_eq!(servers[0].post(bindings, &binding).await.code, 201);
    until("the other lets bob in", async || ask(&servers[1]).await == 200).await;
    assert_eq!(servers[1].delete(&format!("{bindings}/bob")).await.code, 200);
    until("the one turns bob away", async || ask(&servers[0]).await == 403).await;

    // One goes, the other is none the worse for it.
    other.stop().await;
    one.create(&secrets.replace("secrets", "configmaps"), &config_map("x"))
        .await;
    one.running.stop().await;
}

/// Of a pool that is just large enough, every writer at every server gets its part, nobody another's, and one more
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_give_no_address_and_no_port_twice() {
    const SERVICES: usize = 29;
    let cluster = Cluster::issue(Engine::Etcd);
    let options = Options {
        // Thirty addresses, of which `default/kubernetes` has the first.
        services: Ranges::new(vec!["10.96.0.0/27".parse().unwrap()], "30000-30028".parse().unwrap()).unwrap(),
        ..cluster.options.clone()
    };
    let one = World::start(cluster, options).await;
    until("the Service kubernetes", async || {
        one.admin
            .get("/api/v1/namespaces/default/services/kubernetes")
            .await
            .code
            == 200
    })
    .await;
    let other = start(one.options.clone()).await.unwrap();
    let client = |address| Arc::new(one.cluster.client(address, one.cluster.kubeconfig("admin")));
    let servers: [Arc<Client>; 2] = [client(one.running.address), client(other.address)];
    let services = format!("{}/services", one.namespace("pool").await);
    let service = |number: usize| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{number}")},
            "spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    };
    let writers: Vec<_> = (0..SERVICES)
        .map(|number| {
            let (server, path, service) = (Arc::clone(&servers[number % 2]), services.clone(), service(number));
            tokio::spawn(async move {
                let reply = server.post(&path, &service).await;
                assert_eq!(reply.code, 201, "{}", reply.message());
                let spec = reply.json()["spec"].clone();
                (spec["clusterIP"].clone(), spec["ports"][0]["nodePort"].clone())
            })
        })
        .collect();
    let (mut addresses, mut ports) = (Vec::new(), Vec::new());
    for writer in writers {
        let (address, port) = writer.await.unwrap();
        addresses.push(address.as_str().unwrap().to_owned());
        ports.push(port.as_u64().unwrap());
    }
    addresses.sort();
    addresses.dedup();
    ports.sort_unstable();
    assert_eq!((addresses.len(), ports), (SERVICES, (30000..=30028).collect()));
    let reply = servers[1].post(&services, &service(SERVICES)).await;
    let full = "Internal error occurred: failed to allocate a serviceIP for Service \"s29\": range is full";
    assert_eq!((reply.code, reply.message().as_str()), (500, full));

    // What the one has given back the other gives.
    assert_eq!(servers[0].delete(&format!("{services}/s3")).await.code, 200);
    let reply = servers[1].post(&services, &service(SERVICES)).await;
    assert_eq!(reply.code, 201, "{}", reply.message());
    other.stop().await;
    one.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_stand_behind_the_service_kubernetes_until_one_stops() {
    let one = World::on(Engine::Etcd).await;
    let advertise = Some("192.0.2.7".parse().unwrap());
    let other = start(Options {
        advertise,
        ..one.options.clone()
    })
    .await
    .unwrap();
    let here = one.running.address.ip().to_string();
    let both = vec![here.clone(), "192.0.2.7".to_owned()];
    until("both are there", async || servers_of(&one.admin).await == both).await;
    other.stop().await;
    assert_eq!(servers_of(&one.admin).await, [here]);
    one.running.stop().await;
}
