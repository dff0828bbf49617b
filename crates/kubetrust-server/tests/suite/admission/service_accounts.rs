//! `ServiceAccount`.

use kubetrust_server::admission::ServiceAccount;
use serde_json::{Value, json};

use super::world::{Request, World, create, decide, delete, update, user};
use crate::support::Engine;

on_both!(
    a_pod_without_an_account_has_the_default_one_and_its_token,
    the_token_is_mounted_where_it_is_wanted_and_nothing_is_yet,
    pull_secrets_are_those_of_the_account_unless_the_pod_has_its_own,
    a_pod_runs_as_an_account_that_there_is,
    the_default_account_is_waited_for,
    an_account_can_keep_its_pods_to_its_own_secrets,
);

const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn account(name: &str, fields: Value) -> Value {
    let mut account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "ns", "name": name}});
    for (field, value) in fields.as_object().unwrap() {
        account[field] = value.clone();
    }
    account
}

fn strict(name: &str, says: &str) -> Value {
    let mut account = account(
        name,
        json!({"secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}]}),
    );
    account["metadata"]["annotations"] = json!({"kubernetes.io/enforce-mountable-secrets": says});
    account
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": spec})
}

fn mirror(spec: Value) -> Value {
    let mut pod = pod(spec);
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    pod
}

async fn world(engine: Engine) -> World {
    World::of(
        engine,
        &[
            account("default", json!({})),
            account("quiet", json!({"automountServiceAccountToken": false})),
            account("puller", json!({"imagePullSecrets": [{"name": "a"}, {"name": "b"}]})),
            strict("strict", "true"),
            strict("loose", "yes"),
        ],
    )
    .await
}

async fn a_pod_without_an_account_has_the_default_one_and_its_token(engine: Engine) {
    let world = world(engine).await;
    let plugin = ServiceAccount::new(&world.registry);
    let new = pod(json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}));
    let pod = create(&user("jane", &[]), "pods", new).to(&plugin).await.unwrap();

    let name = pod["spec"]["volumes"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(name.len(), "kube-api-access-xxxxx".len());
    assert!(name.starts_with("kube-api-access-"), "{name}");
    let mount = json!({"name": name, "readOnly": true, "mountPath": PATH});
    let expected = json!({
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "containers": [{"name": "c", "volumeMounts": [mount]}],
        "initContainers": [{"name": "i", "volumeMounts": [mount]}],
        "volumes": [{"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ]}}],
    });
    assert_eq!(pod["spec"], expected);
}

async fn the_token_is_mounted_where_it_is_wanted_and_nothing_is_yet(engine: Engine) {
    let world = world(engine).await;
    let plugin = ServiceAccount::new(&world.registry);
    let taken = json!({"name": "c", "volumeMounts": [{"name": "v", "mountPath": PATH}]});
    let free = json!({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/other"}]});
    let own = json!([{"name": "kube-api-access-mine", "emptyDir": {}}]);
    // The spec, how many containers have the mount after it, and how many volumes there are.
    for (spec, mounts, volumes) in [
        (json!({"containers": [free]}), 1, 1),
        (json!({"containers": [taken]}), 0, 0),
        (json!({"containers": [taken, free]}), 1, 1),
        (json!({"containers": [free], "volumes": own}), 1, 1),
        (
            json!({"containers": [free], "automountServiceAccountToken": false}),
            0,
            0,
        ),
        (json!({"containers": [free], "serviceAccountName": "quiet"}), 0, 0),
        (
            json!({"containers": [free], "serviceAccountName": "quiet", "automountServiceAccountToken": true}),
            1,
            1,
        ),
        (json!({"containers": []}), 0, 0),
        (json!({"containers": "no list", "volumes": 3}), 0, 0),
    ] {
        let pod = create(&user("jane", &[]), "pods", pod(spec.clone()))
            .to(&plugin)
            .await
            .unwrap();
        let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        let mounted = containers
            .iter()
            .flat_map(|container| container["volumeMounts"].as_array().unwrap());
        let mounted = mounted
            .filter(|mount| mount["mountPath"] == PATH && mount["name"] != "v")
            .count();
        let count = pod["spec"]["volumes"].as_array().map_or(0, Vec::len);
        assert_eq!((mounted, count), (mounts, volumes), "{spec}");
    }
}

async fn pull_secrets_are_those_of_the_account_unless_the_pod_has_its_own(engine: Engine) {
    let world = world(engine).await;
    let plugin = ServiceAccount::new(&world.registry);
    for (given, expected) in [
        (json!(null), json!([{"name": "a"}, {"name": "b"}])),
        (json!([]), json!([{"name": "a"}, {"name": "b"}])),
        (json!([{"name": "mine"}]), json!([{"name": "mine"}])),
    ] {
        let spec = json!({"serviceAccountName": "puller", "imagePullSecrets": given});
        let pod = create(&user("jane", &[]), "pods", pod(spec)).to(&plugin).await.unwrap();
        assert_eq!(pod["spec"]["imagePullSecrets"], expected);
    }
}

async fn a_pod_runs_as_an_account_that_there_is(engine: Engine) {
    let world = world(engine).await;
    let plugin = ServiceAccount::new(&world.registry);
    let jane = user("jane", &[]);
    let secret = json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]});
    let token = json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]});
    let old_name = create(&jane, "pods", pod(json!({"serviceAccount": "quiet"})))
        .to(&plugin)
        .await
        .unwrap();
    assert_eq!(old_name["spec"]["serviceAccountName"], "quiet");
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, "pods", pod(json!({"serviceAccountName": "quiet"}))), ""),
        (create(&jane, "pods", pod(json!({"serviceAccountName": "none"}))),
            r#"pods "p" is forbidden: error looking up service account ns/none: serviceaccount "none" not found"#),
        (create(&jane, "pods", pod(json!({"serviceAccountName": "../ns/quiet"}))),
            r#"pods "p" is forbidden: error looking up service account ns/../ns/quiet: serviceaccount "../ns/quiet" not found"#),
        (create(&jane, "pods", mirror(json!({}))), ""),
        (create(&jane, "pods", mirror(json!({"serviceAccountName": "default"}))),
            r#"pods "p" is forbidden: a mirror pod may not reference service accounts"#),
        (create(&jane, "pods", mirror(secret)), r#"pods "p" is forbidden: a mirror pod may not reference secrets"#),
        (create(&jane, "pods", mirror(token)),
            r#"pods "p" is forbidden: a mirror pod may not use ServiceAccountToken volume projections"#),
        (update(&jane, "pods", pod(json!({})), pod(json!({"serviceAccountName": "none"}))), ""),
        (update(&jane, "pods/status", pod(json!({})), pod(json!({}))), ""),
        (update(&jane, "pods/ephemeralcontainers", pod(json!({})), pod(json!({"serviceAccountName": "default"}))), ""),
        (update(&jane, "pods/ephemeralcontainers", pod(json!({})), pod(json!({"serviceAccountName": "none"}))),
            r#"pods "p" is forbidden: error looking up service account ns/none: serviceaccount "none" not found"#),
        (update(&jane, "pods/ephemeralcontainers", pod(json!({})), pod(json!({}))),
            r#"pods "p" is forbidden: no service account specified for pod ns/p"#),
        (delete(&jane, "pods", pod(json!({}))), ""),
        (create(&jane, "configmaps", pod(json!({}))), ""),
    ];
    decide(&plugin, cases).await;
}

async fn the_default_account_is_waited_for(engine: Engine) {
    let world = World::of(engine, &[]).await;
    let plugin = ServiceAccount::new(&world.registry);
    let request = create(&user("jane", &[]), "pods", pod(json!({})));
    let refused = request.to(&plugin).await.unwrap_err();
    let missing =
        r#"pods "p" is forbidden: error looking up service account ns/default: serviceaccount "default" not found"#;
    assert_eq!(refused.message, missing);

    let late = account("default", json!({}));
    let (admitted, ()) = tokio::join!(request.to(&plugin), async {
        tokio::time::sleep(std::time::Duration::from_millis(120)).await;
        world.put(&late).await;
    });
    assert_eq!(admitted.unwrap()["spec"]["serviceAccountName"], "default");
}

async fn an_account_can_keep_its_pods_to_its_own_secrets(engine: Engine) {
    let world = world(engine).await;
    let plugin = ServiceAccount::new(&world.registry);
    let jane = user("jane", &[]);
    let as_account = |name: &str, mut spec: Value| {
        spec["serviceAccountName"] = name.into();
        pod(spec)
    };
    let volume = |secret: &str| json!({"volumes": [{"name": "v", "secret": {"secretName": secret}}]});
    let variable = |list: &str, secret: &str| json!({list: [{"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": secret}}}]}]});
    let from = |list: &str, secret: &str| json!({list: [{"name": "c", "envFrom": [{"secretRef": {"name": secret}}]}]});
    let pull = |secret: &str| json!({"imagePullSecrets": [{"name": "pull"}, {"name": secret}]});
    let other = "is not allowed because service account strict does not reference that";
    let cases = [
        (
            volume("own"),
            volume("other"),
            format!(r#"volume with secret.secretName="other" {other} secret"#),
        ),
        (
            variable("containers", "own"),
            variable("containers", "other"),
            format!(r#"container c with envVar E referencing secret.secretName="other" {other} secret"#),
        ),
        (
            variable("initContainers", "own"),
            variable("initContainers", "other"),
            format!(r#"init container c with envVar E referencing secret.secretName="other" {other} secret"#),
        ),
        (
            from("containers", "own"),
            from("containers", "other"),
            format!(r#"container c with envFrom referencing secret.secretName="other" {other} secret"#),
        ),
        (
            from("initContainers", "own"),
            from("initContainers", "other"),
            format!(r#"init container c with envFrom referencing secret.secretName="other" {other} secret"#),
        ),
        (
            pull("pull"),
            pull("other"),
            format!(r#"imagePullSecrets[1].name="other" {other} imagePullSecret"#),
        ),
    ];
    for (allowed, refused, why) in cases {
        let why = format!(r#"pods "p" is forbidden: {why}"#);
        #[rustfmt::skip]
        let cases: &[(Request, &str)] = &[
            (create(&jane, "pods", as_account("strict", allowed)), ""),
            (create(&jane, "pods", as_account("strict", refused.clone())), &why),
            (create(&jane, "pods", as_account("loose", refused)), ""),
        ];
        decide(&plugin, cases).await;
    }
    let debug = |secret: &str| as_account("strict", variable("ephemeralContainers", secret));
    let why = format!(
        r#"pods "p" is forbidden: ephemeral container c with envVar E referencing secret.secretName="other" {other} secret"#
    );
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (update(&jane, "pods/ephemeralcontainers", debug("own"), debug("own")), ""),
        (update(&jane, "pods/ephemeralcontainers", debug("own"), debug("other")), &why),
    ];
    decide(&plugin, cases).await;
}
