//! What services are given, and how clients in the cluster find the servers.

use std::time::Duration;

use bytes::Bytes;
use kubetrust_store::{Change, Write};
use serde_json::{Value, json};

use crate::registry::world::{World, names, until};
use crate::support::Client;

fn service(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

fn addresses(path: &str) -> String {
    format!("/apis/networking.k8s.io/v1/ipaddresses/{path}")
}

pub async fn a_service_has_addresses_and_ports_as_its_type_and_families_say(world: &World) {
    let services = format!("{}/services", world.namespace("given").await);
    // Named ports keep the rows short: what is given is a cluster IP, and so many different node ports. The address that
    // is asked for comes first: any other service might be given it by chance.
    #[rustfmt::skip]
    let rows = [
        ("asked", json!({"clusterIP": "10.96.0.77", "ports": [{"port": 80}]}), true, 0, json!([["IPv4"], "SingleStack"])),
        ("plain", json!({"ports": [{"port": 80}]}), true, 0, json!([["IPv4"], "SingleStack"])),
        ("prefers", json!({"ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80}]}), true, 0, json!([["IPv4"], "PreferDualStack"])),
        ("headless", json!({"clusterIP": "None", "selector": {"a": "b"}}), false, 0, json!([["IPv4"], "SingleStack"])),
        ("free", json!({"clusterIP": "None"}), false, 0, json!([["IPv4", "IPv6"], "RequireDualStack"])),
        ("outside", json!({"type": "ExternalName", "externalName": "example.org"}), false, 0, json!([null, null])),
        ("node", json!({"type": "NodePort", "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}), true, 2, json!([["IPv4"], "SingleStack"])),
        ("protocols", json!({"type": "NodePort", "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1, "protocol": "UDP"}]}), true, 1, json!([["IPv4"], "SingleStack"])),
        ("balanced", json!({"type": "LoadBalancer", "ports": [{"port": 1}]}), true, 1, json!([["IPv4"], "SingleStack"])),
        ("balanced-elsewhere", json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 1}]}), true, 0, json!([["IPv4"], "SingleStack"])),
        ("local", json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 1}]}), true, 2, json!([["IPv4"], "SingleStack"])),
    ];
    let mut seen = Vec::new();
    for (name, spec, has_address, count, families) in rows {
        let dry = world
            .admin
            .post(&format!("{services}?dryRun=All"), &service(name, &spec))
            .await;
        assert_eq!(dry.code, 201, "{name}: {}", dry.message());
        let made = world.create(&services, &service(name, &spec)).await;
        assert_eq!(made, world.read(&format!("{services}/{name}")).await);
        let spec = &made["spec"];
        assert_eq!(json!([spec["ipFamilies"], spec["ipFamilyPolicy"]]), families, "{name}");
        let ports = spec["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|port| &port["nodePort"]);
        let mut ports: Vec<u64> = ports
            .chain([&spec["healthCheckNodePort"]])
            .filter_map(Value::as_u64)
            .collect();
        assert!(
            ports.iter().all(|port| (30_000..=32_767).contains(port)),
            "{name}: {ports:?}"
        );
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), count, "{name}");
        if has_address {
            let ip = spec["clusterIP"].as_str().unwrap();
            assert_eq!(spec["clusterIPs"], json!([ip]), "{name}");
            assert!(
                ip.starts_with("10.96.0.") && !seen.contains(&ip.to_owned()),
                "{name}: {ip}"
            );
            seen.push(ip.to_owned());
            let object = world.read(&addresses(ip)).await;
            let parent = json!({"group": "", "resource": "services", "namespace": "given", "name": name});
            assert_eq!(object["spec"]["parentRef"], parent, "{name}");
        }
    }
    assert!(seen.contains(&"10.96.0.77".to_owned()));
    until("the Service kubernetes", async || {
        world
            .admin
            .get("/api/v1/namespaces/default/services/kubernetes")
            .await
            .code
            == 200
    })
    .await;
    // One object for each address: no dry run has left one.
    let all = world.read("/apis/networking.k8s.io/v1/ipaddresses").await;
    assert_eq!(names(&all).len(), seen.len() + 1);
}

pub async fn an_address_or_port_that_is_taken_or_outside_is_refused(world: &World) {
    let services = format!("{}/services", world.namespace("refused").await);
    let taken = json!({"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}]});
    let taken = world.create(&services, &service("first", &taken)).await;
    assert_eq!(taken["spec"]["ports"][0]["nodePort"], 30080);
    let port = |port: u64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    #[rustfmt::skip]
    let rows = [
        (json!({"clusterIP": "10.96.0.9", "ports": [{"port": 1}]}), r#"spec.clusterIPs: Invalid value: ["10.96.0.9"]: failed to allocate IP 10.96.0.9: provided IP is already allocated"#),
        (json!({"clusterIP": "10.97.0.9", "ports": [{"port": 1}]}), r#"spec.clusterIPs: Invalid value: ["10.97.0.9"]: failed to allocate IP 10.97.0.9: the provided IP (10.97.0.9) is not in the valid range. The range of valid IPs is 10.96.0.0/24"#),
        (json!({"clusterIP": "10.96.0.0", "ports": [{"port": 1}]}), r#"spec.clusterIPs: Invalid value: ["10.96.0.0"]: failed to allocate IP 10.96.0.0: the provided IP (10.96.0.0) is not in the valid range. The range of valid IPs is 10.96.0.0/24"#),
        (json!({"clusterIP": "fd00::1", "ports": [{"port": 1}]}), r#"spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster"#),
        (json!({"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 1}]}), r#"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#),
        (port(30080), "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"),
        (port(80), "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ];
    for (spec, why) in rows {
        for path in [services.clone(), format!("{services}?dryRun=All")] {
            let reply = world.admin.post(&path, &service("second", &spec)).await;
            assert_eq!(
                (reply.code, reply.message()),
                (422, format!(r#"Service "second" is invalid: {why}"#)),
                "{spec}"
            );
        }
    }
    // Whoever comes by an update is told the same.
    let second = json!({"ports": [{"port": 80}]});
    world.create(&services, &service("second", &second)).await;
    let reply = world
        .admin
        .patch(&format!("{services}/second"), MERGE, &json!({"spec": port(30080)}))
        .await;
    assert_eq!(reply.code, 422, "{}", reply.message());
    assert!(
        reply.message().ends_with("provided port is already allocated"),
        "{}",
        reply.message()
    );
    // Nothing of what was refused is taken, and what is given back can be had.
    assert_eq!(world.admin.delete(&format!("{services}/first")).await.code, 200);
    assert_eq!(world.admin.get(&addresses("10.96.0.9")).await.code, 404);
    let again = json!({"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}]});
    world.create(&services, &service("third", &again)).await;
}

const MERGE: &str = "application/merge-patch+json";

pub async fn what_a_service_was_given_stays_until_it_goes_or_changes_its_type(world: &World) {
    let services = format!("{}/services", world.namespace("kept").await);
    let made = world
        .create(&services, &service("s", &json!({"ports": [{"port": 80}]})))
        .await;
    let ip = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let path = format!("{services}/s");
    // A replacement without it keeps it, another one is refused.
    let mut bare = service("s", &json!({"ports": [{"port": 81}]}));
    let replaced = world.admin.put(&path, &bare).await;
    assert_eq!(
        (replaced.code, &replaced.json()["spec"]["clusterIP"]),
        (200, &json!(ip))
    );
    bare["spec"]["clusterIP"] = json!("10.96.0.200");
    bare["spec"]["clusterIPs"] = json!(["10.96.0.200"]);
    let refused = world.admin.put(&path, &bare).await;
    assert_eq!(refused.code, 422, "{}", refused.message());
    assert!(
        refused.message().ends_with("may not change once set"),
        "{}",
        refused.message()
    );
    assert_eq!(world.admin.get(&addresses("10.96.0.200")).await.code, 404);

    let change = async |spec: Value| {
        let reply = world.admin.patch(&path, MERGE, &json!({"spec": spec})).await;
        assert_eq!(reply.code, 200, "{}", reply.message());
        reply.json()["spec"].clone()
    };
    let node = change(json!({"type": "NodePort"})).await;
    let port = node["ports"][0]["nodePort"].clone();
    assert!(port.is_u64(), "{node}");
    let balanced = change(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"})).await;
    assert_eq!(balanced["ports"][0]["nodePort"], port);
    assert!(balanced["healthCheckNodePort"].is_u64(), "{balanced}");
    let plain = change(json!({"type": "ClusterIP"})).await;
    assert_eq!(
        json!([plain["ports"][0]["nodePort"], plain["healthCheckNodePort"]]),
        json!([null, null])
    );
    assert_eq!(plain["clusterIP"], json!(ip));
    // The port is free again.
    let wanted = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    world.create(&services, &service("next", &wanted)).await;

    let outside = change(json!({"type": "ExternalName", "externalName": "example.org"})).await;
    assert_eq!(
        json!([outside["clusterIP"], outside["clusterIPs"]]),
        json!([null, null])
    );
    assert_eq!(world.admin.get(&addresses(&ip)).await.code, 404);
    let back = change(json!({"type": "ClusterIP", "externalName": null})).await;
    let ip = back["clusterIP"].as_str().unwrap();
    assert_eq!(world.admin.get(&addresses(ip)).await.code, 200);
    // A finalizer holds the service, and what it has.
    let held = world
        .admin
        .patch(&path, MERGE, &json!({"metadata": {"finalizers": ["example.org/x"]}}))
        .await;
    assert_eq!(held.code, 200, "{}", held.message());
    assert_eq!(world.admin.delete(&path).await.code, 200);
    assert_eq!(world.admin.get(&addresses(ip)).await.code, 200);
    let released = world
        .admin
        .patch(&path, MERGE, &json!({"metadata": {"finalizers": null}}))
        .await;
    assert_eq!(released.code, 200, "{}", released.message());
    assert_eq!(world.admin.get(&addresses(ip)).await.code, 404);
}

/// The addresses behind the Service `kubernetes`: in its Endpoints, and the same in its slice.
pub async fn servers_of(client: &Client) -> Vec<String> {
    let texts = |list: &Value, field: &str| {
        let items = list.as_array().into_iter().flatten();
        let mut texts: Vec<String> = items
            .filter_map(|item| Some(item.pointer(field)?.as_str()?.to_owned()))
            .collect();
        texts.sort();
        texts
    };
    let endpoints = client.get("/api/v1/namespaces/default/endpoints/kubernetes").await;
    let slice = client
        .get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
        .await;
    if (endpoints.code, slice.code) != (200, 200) {
        return Vec::new();
    }
    let one = texts(&endpoints.json()["subsets"][0]["addresses"], "/ip");
    let other = texts(&slice.json()["endpoints"], "/addresses/0");
    if one == other { one } else { Vec::new() }
}

pub async fn clients_in_the_cluster_are_told_of_the_servers_that_live(world: &World) {
    /// How long the lease of a server that is gone still runs.
    const LEFT: Duration = Duration::from_secs(1);
    let here = world.running.address.ip().to_string();
    until("this server", async || servers_of(&world.admin).await == [here.clone()]).await;
    let service = world.read("/api/v1/namespaces/default/services/kubernetes").await;
    assert_eq!(
        service["metadata"]["labels"],
        json!({"component": "apiserver", "provider": "kubernetes"})
    );
    let port = world.running.address.port();
    assert_eq!(
        json!([
            service["spec"]["type"],
            service["spec"]["clusterIP"],
            service["spec"]["ports"]
        ]),
        json!(["ClusterIP", "10.96.0.1", [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}]])
    );
    let endpoints = world.read("/api/v1/namespaces/default/endpoints/kubernetes").await;
    assert_eq!(
        endpoints["subsets"][0]["ports"],
        json!([{"name": "https", "port": port, "protocol": "TCP"}])
    );

    // Another server, of which nothing is left but its lease: it is shown, and no longer once that has ended.
    let registry = &world.running.registry;
    let lease = registry.store().grant(Duration::from_secs(30)).await.unwrap();
    let write = Write {
        key: Bytes::from(format!("{}masterleases/192.0.2.9", registry.root())),
        expect: None,
        change: Some(Change::Put {
            value: Bytes::from_static(b"whatever"),
            lease: Some(lease),
        }),
    };
    registry.store().commit(vec![write.clone()]).await.unwrap();
    let both = vec![here.clone(), "192.0.2.9".to_owned()];
    until("the other server", async || servers_of(&world.admin).await == both).await;
    let ending = registry.store().grant(LEFT).await.unwrap();
    let change = Some(Change::Put {
        value: Bytes::from_static(b"whatever"),
        lease: Some(ending),
    });
    registry.store().commit(vec![Write { change, ..write }]).await.unwrap();
    until("it is gone", async || servers_of(&world.admin).await == [here.clone()]).await;
}

pub async fn what_is_served_is_registered_as_available(world: &World) {
    let path = "/apis/apiregistration.k8s.io/v1/apiservices";
    let mut served = vec!["v1.".to_owned()];
    for group in world.read("/apis").await["groups"].as_array().unwrap() {
        let name = group["name"].as_str().unwrap();
        let versions = group["versions"].as_array().unwrap().iter();
        served.extend(versions.map(|version| format!("{}.{name}", version["version"].as_str().unwrap())));
    }
    // The group of the registrations has none.
    served.retain(|name| name != "v1.apiregistration.k8s.io");
    served.sort();
    until("all are registered", async || {
        names(&world.admin.get(path).await.json()) == served
    })
    .await;
    for item in world.read(path).await["items"].as_array().unwrap() {
        let name = item["metadata"]["name"].as_str().unwrap();
        let label = &item["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"];
        let condition = &item["status"]["conditions"][0];
        assert_eq!(
            json!([label, condition["type"], condition["status"], condition["reason"]]),
            json!(["onstart", "Available", "True", "Local"]),
            "{name}"
        );
        let spec = &item["spec"];
        assert_eq!(
            name,
            format!(
                "{}.{}",
                spec["version"].as_str().unwrap(),
                spec["group"].as_str().unwrap_or_default()
            )
        );
        assert!(spec["groupPriorityMinimum"].as_u64() > Some(10_000), "{name}");
    }
}
