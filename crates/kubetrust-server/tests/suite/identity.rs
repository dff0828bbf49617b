//! Who the server takes whom for, over real connections with the files of a real cluster.

use http::Method;
use serde_json::json;

use crate::support::{Cluster, Credential, Engine};

on_both!(
    every_credential_of_the_cluster_is_who_its_certificate_or_token_says,
    a_service_account_is_known_by_its_token_for_as_long_as_it_exists,
    only_who_may_impersonate_acts_as_someone_else,
);

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];
/// Who somebody is taken for, or the code of the refusal.
type Known = Result<(&'static str, &'static [&'static str]), u16>;

async fn every_credential_of_the_cluster_is_who_its_certificate_or_token_says(engine: Engine) {
    let cluster = Cluster::issue(engine);
    let running = cluster.start().await;
    let token_csv = std::fs::read_to_string(cluster.file("token.csv")).unwrap();
    let static_token = token_csv.split(',').next().unwrap().to_owned();
    let proxy = [
        ("x-remote-user", "alice"),
        ("x-remote-group", "dev"),
        ("x-remote-group", "ops"),
    ];
    let cases: Vec<(&str, Credential, Headers<'_>, Known)> = vec![
        (
            "admin",
            cluster.kubeconfig("admin"),
            &[],
            Ok(("kubernetes-admin", &["system:masters", "system:authenticated"])),
        ),
        (
            "controller-manager",
            cluster.kubeconfig("controller-manager"),
            &[],
            Ok(("system:kube-controller-manager", &["system:authenticated"])),
        ),
        (
            "scheduler",
            cluster.kubeconfig("scheduler"),
            &[],
            Ok(("system:kube-scheduler", &["system:authenticated"])),
        ),
        (
            "kube-proxy",
            cluster.kubeconfig("kube-proxy"),
            &[],
            Ok(("system:kube-proxy", &["system:authenticated"])),
        ),
        (
            "static token",
            Credential::token(&static_token),
            &[],
            Ok(("system:bootstrapper", &["system:bootstrappers", "system:authenticated"])),
        ),
        (
            "front proxy",
            cluster.pair("front-proxy-client"),
            &proxy,
            Ok(("alice", &["dev", "ops", "system:authenticated"])),
        ),
        ("nobody", Credential::none(), &[], Err(403)),
        ("nobody as alice", Credential::none(), &proxy, Err(403)),
        (
            "admin as alice",
            cluster.kubeconfig("admin"),
            &proxy,
            Ok(("kubernetes-admin", &["system:masters", "system:authenticated"])),
        ),
        ("a proxy for nobody", cluster.pair("front-proxy-client"), &[], Err(401)),
        ("etcd's client", cluster.pair("apiserver-etcd-client"), &[], Err(401)),
        ("the server itself", cluster.pair("apiserver"), &[], Err(401)),
        ("an unknown token", Credential::token("nothing"), &[], Err(401)),
        ("no token", Credential::token(""), &[], Err(403)),
        (
            "admin with an unknown token",
            cluster.kubeconfig("admin").with_token("nothing"),
            &[],
            Ok(("kubernetes-admin", &["system:masters", "system:authenticated"])),
        ),
    ];
    for (name, credential, headers, want) in cases {
        let client = cluster.client(running.address, credential);
        let is = client.whoami(headers).await;
        let want = want.map(|(user, groups)| {
            (
                user.to_owned(),
                groups.iter().map(|group| (*group).to_owned()).collect(),
            )
        });
        assert_eq!(is, want, "{name}");
    }
    running.stop().await;
}

async fn a_service_account_is_known_by_its_token_for_as_long_as_it_exists(engine: Engine) {
    let cluster = Cluster::issue(engine);
    let running = cluster.start().await;
    let admin = cluster.client(running.address, cluster.kubeconfig("admin"));
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    assert_eq!(
        admin
            .post("/api/v1/namespaces/default/serviceaccounts", &account)
            .await
            .code,
        201
    );
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let issued = admin
        .post("/api/v1/namespaces/default/serviceaccounts/robot/token", &request)
        .await;
    assert_eq!(issued.code, 201, "{}", issued.message());
    let token = issued.json()["status"]["token"].as_str().unwrap().to_owned();

    let robot = cluster.client(running.address, Credential::token(&token));
    let groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    ];
    let who = (
        "system:serviceaccount:default:robot".to_owned(),
        groups.map(str::to_owned).to_vec(),
    );
    assert_eq!(robot.whoami(&[]).await, Ok(who));

    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let reviewed = admin
        .post("/apis/authentication.k8s.io/v1/tokenreviews", &review)
        .await
        .json();
    assert_eq!(reviewed["status"]["authenticated"], true, "{reviewed}");

    assert_eq!(
        admin
            .delete("/api/v1/namespaces/default/serviceaccounts/robot")
            .await
            .code,
        200
    );
    assert_eq!(robot.whoami(&[]).await, Err(401));
    let reviewed = admin
        .post("/apis/authentication.k8s.io/v1/tokenreviews", &review)
        .await
        .json();
    assert_eq!(
        reviewed["status"]["authenticated"],
        serde_json::Value::Null,
        "{reviewed}"
    );
    running.stop().await;
}

async fn only_who_may_impersonate_acts_as_someone_else(engine: Engine) {
    let cluster = Cluster::issue(engine);
    let running = cluster.start().await;
    let admin = cluster.client(running.address, cluster.kubeconfig("admin"));
    let is = admin
        .whoami(&[("impersonate-user", "bob"), ("impersonate-group", "dev")])
        .await;
    assert_eq!(
        is,
        Ok((
            "bob".to_owned(),
            vec!["dev".to_owned(), "system:authenticated".to_owned()]
        ))
    );
    let account = admin
        .whoami(&[("impersonate-user", "system:serviceaccount:default:default")])
        .await
        .unwrap();
    assert_eq!(
        account.1,
        [
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated"
        ]
    );
    let scheduler = cluster.client(running.address, cluster.kubeconfig("scheduler"));
    assert_eq!(scheduler.whoami(&[("impersonate-user", "bob")]).await, Err(403));
    assert_eq!(admin.whoami(&[("impersonate-group", "dev")]).await, Err(500));
    let refused = scheduler.request(Method::GET, "/api/v1/secrets", &[], None).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message(),
        "secrets is forbidden: User \"system:kube-scheduler\" cannot list resource \"secrets\" in API group \"\" at the cluster scope"
    );
    running.stop().await;
}
