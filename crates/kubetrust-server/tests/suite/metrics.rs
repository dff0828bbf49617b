//! What `/metrics` says, under the names and labels that alerts select.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use kubetrust_auth::authn::service_account::issue::TokenIssuer;
use kubetrust_auth::authn::service_account::{Reference, SigningKey};
use kubetrust_server::audit;
use kubetrust_server::options::Options;
use serde_json::{Value, json};

use crate::registry::world::{World, until};
use crate::support::{Cluster, Credential, Engine, Events};

on_both!(
    what_people_alert_on_is_counted,
    the_use_of_a_token_from_a_secret_is_written_on_it,
);

/// What upstream calls stable and an API server without webhooks can have, with its type
/// (`test/instrumentation/testdata/stable-metrics-list.yaml`).
const STABLE: &[(&str, &str)] = &[
    ("apiserver_admission_controller_admission_duration_seconds", "histogram"),
    ("apiserver_admission_step_admission_duration_seconds", "histogram"),
    ("apiserver_current_inflight_requests", "gauge"),
    ("apiserver_longrunning_requests", "gauge"),
    ("apiserver_request_duration_seconds", "histogram"),
    ("apiserver_request", "counter"),
    ("apiserver_requested_deprecated_apis", "gauge"),
    ("apiserver_response_sizes", "histogram"),
    ("apiserver_storage_objects", "gauge"),
    ("apiserver_storage_size_bytes", "gauge"),
    ("kubernetes_healthcheck", "gauge"),
    ("kubernetes_healthchecks", "counter"),
];

/// One scrape.
struct Scrape(String);

impl Scrape {
    async fn of(world: &World) -> Self {
        let reply = world.admin.get("/metrics").await;
        assert_eq!(reply.code, 200);
        Self(String::from_utf8(reply.body.to_vec()).unwrap())
    }

    /// The sum of all series of a name whose labels are among others these: `resource="pods",verb="GET"`.
    fn sum(&self, series: &str) -> f64 {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let wanted: Vec<&str> = labels
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty())
            .collect();
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
            let is_it = found == name && wanted.iter().all(|label| labels.contains(label));
            is_it.then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }

    /// Panics unless a series has at least this value.
    #[track_caller]
    fn at_least(&self, series: &str, least: f64) {
        let is = self.sum(series);
        assert!(is >= least, "{series} is {is}, not {least}:\n{}", self.like(series));
    }

    /// Panics unless a series has this value.
    #[track_caller]
    fn exactly(&self, series: &str, value: f64) {
        let is = self.sum(series);
        assert!(
            (is - value).abs() < 0.5,
            "{series} is {is}, not {value}:\n{}",
            self.like(series)
        );
    }

    fn like(&self, series: &str) -> String {
        let (name, _) = series.split_once('{').unwrap_or((series, ""));
        let lines = self.0.lines().filter(|line| line.starts_with(name));
        lines.take(60).collect::<Vec<_>>().join("\n")
    }
}

/// What these requests are counted by, and how often at least; `OF` and `DRY` are the labels of config maps, and of what is
/// no dry run.
#[rustfmt::skip]
const COUNTED: &[(&str, f64)] = &[
    (r#"apiserver_request_total{verb="POST",scope="resource",code="201",OF,DRY}"#, 1.0),
    (r#"apiserver_request_total{verb="POST",scope="resource",code="201",OF,dry_run="All"}"#, 1.0),
    (r#"apiserver_request_total{verb="PUT",scope="resource",code="200",OF,DRY}"#, 1.0),
    (r#"apiserver_request_total{verb="PATCH",scope="resource",code="200",OF,DRY}"#, 1.0),
    (r#"apiserver_request_total{verb="GET",scope="resource",code="404",OF,DRY}"#, 1.0),
    (r#"apiserver_request_total{verb="LIST",scope="namespace",code="200",OF,DRY}"#, 1.0),
    (r#"apiserver_request_total{verb="DELETE",scope="resource",code="200",OF,DRY}"#, 1.0),
    (r#"apiserver_request_total{verb="GET",code="401",subresource="/version"}"#, 1.0),
    (r#"apiserver_request_duration_seconds_count{verb="GET",scope="resource",OF,DRY}"#, 2.0),
    (r#"apiserver_request_duration_seconds_bucket{le="60.0",verb="POST",scope="resource",OF,DRY}"#, 1.0),
    (r#"apiserver_request_sli_duration_seconds_bucket{le="1.0",verb="LIST",scope="namespace",OF,DRY}"#, 1.0),
    (r#"apiserver_response_sizes_count{verb="LIST",scope="namespace",OF}"#, 1.0),
    (r#"apiserver_longrunning_requests{verb="WATCH",scope="namespace",OF}"#, 1.0),
    (r#"apiserver_watch_events_total{group="",version="v1",resource="configmaps"}"#, 1.0),
    (r#"apiserver_requested_deprecated_apis{resource="componentstatuses",removed_release=""}"#, 1.0),
    (r#"apiserver_current_inflight_requests{request_kind="readOnly"}"#, 1.0),
    (r#"apiserver_admission_controller_admission_duration_seconds_count{name="ServiceAccount",type="admit",operation="CREATE",rejected="true"}"#, 1.0),
    (r#"apiserver_admission_controller_admission_duration_seconds_count{name="NodeRestriction",type="admit",operation="UPDATE",rejected="false"}"#, 2.0),
    (r#"apiserver_admission_step_admission_duration_seconds_count{type="validate",operation="DELETE",rejected="false"}"#, 1.0),
    (r#"apiserver_admission_step_admission_duration_seconds_count{type="admit",operation="CREATE",rejected="true"}"#, 1.0),
    (r#"authentication_attempts{result="success"}"#, 10.0),
    (r#"authentication_attempts{result="failure"}"#, 1.0),
    ("apiserver_client_certificate_expiration_seconds_count", 10.0),
    (r#"apiserver_client_certificate_expiration_seconds_bucket{le="+Inf"}"#, 10.0),
    (r#"apiserver_storage_objects{resource="configmaps"}"#, 1.0),
    (r#"apiserver_storage_objects{resource="clusterroles.rbac.authorization.k8s.io"}"#, 50.0),
    (r#"apiserver_resource_objects{group="rbac.authorization.k8s.io",resource="clusterroles"}"#, 50.0),
    (r#"etcd_request_duration_seconds_count{operation="create",group="",resource="configmaps"}"#, 1.0),
    (r#"etcd_request_duration_seconds_count{operation="update",group="",resource="configmaps"}"#, 1.0),
    (r#"etcd_request_duration_seconds_count{operation="delete",group="",resource="configmaps"}"#, 1.0),
    (r#"kubernetes_healthcheck{name="etcd",type="readyz"}"#, 1.0),
    (r#"kubernetes_healthchecks_total{name="ping",type="livez",status="success"}"#, 1.0),
    ("process_resident_memory_bytes", 1e6),
    ("process_open_fds", 3.0),
];

/// One request of each kind. What it gives is a watch that is open.
async fn ask_for_everything(world: &World) -> Events {
    let maps = format!("{}/configmaps", world.namespace("counted").await);
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    world.create(&maps, &map("a")).await;
    world
        .admin
        .request(Method::POST, &format!("{maps}?dryRun=All"), &[], Some(&map("b")))
        .await;
    world
        .admin
        .request(Method::PUT, &format!("{maps}/a"), &[], Some(&map("a")))
        .await;
    world
        .admin
        .patch(
            &format!("{maps}/a"),
            "application/merge-patch+json",
            &json!({"data": {"a": "1"}}),
        )
        .await;
    world.read(&format!("{maps}/a")).await;
    world.read(&maps).await;
    assert_eq!(world.admin.get(&format!("{maps}/none")).await.code, 404);
    let mut watch = world.watch(&format!("{maps}?watch=1")).await;
    watch.next().await;
    let deprecated = world.admin.get("/api/v1/componentstatuses").await;
    let warning = deprecated.headers["warning"].to_str().unwrap();
    assert_eq!(warning, r#"299 - "v1 ComponentStatus is deprecated in v1.19+""#);
    assert_eq!(world.admin.get("/readyz").await.code, 200);
    assert_eq!(world.admin.get("/livez/ping").await.code, 200);
    let missing = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"serviceAccountName": "none", "containers": [{"name": "c", "image": "i"}]}});
    let refused = world.admin.post(&maps.replace("configmaps", "pods"), &missing).await;
    assert_eq!(refused.code, 403, "{}", refused.message());
    let stranger = world.client(Credential::token("nobody"));
    assert_eq!(stranger.get("/version").await.code, 401);
    world.admin.delete(&format!("{maps}/a")).await;
    watch
}

async fn what_people_alert_on_is_counted(engine: Engine) {
    let world = World::on(engine).await;
    let watch = ask_for_everything(&world).await;
    let scrape = Scrape::of(&world).await;
    for (name, kind) in STABLE {
        assert!(scrape.0.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
    }
    let of_maps = r#"group="",version="v1",resource="configmaps",subresource="",component="apiserver""#;
    let dry = r#"dry_run="""#;
    for (series, least) in COUNTED {
        scrape.at_least(&series.replace("OF", of_maps).replace("DRY", dry), *least);
    }
    // A certificate that ends within a year is not counted as one that ends within the hour.
    let soon = r#"apiserver_client_certificate_expiration_seconds_bucket{le="3600.0"}"#;
    scrape.exactly(soon, 0.0);
    until("the size of the store is known", async || {
        Scrape::of(&world).await.sum("apiserver_storage_size_bytes") > 1000.0
    })
    .await;
    // Whoever invents resources invents no labels.
    let before = scrape.0.lines().count();
    for number in 0..50 {
        world
            .admin
            .get(&format!("/apis/invented{number}/v1/things/{number}"))
            .await;
        world.admin.get(&format!("/invented/{number}")).await;
    }
    let after = Scrape::of(&world).await.0.lines().count();
    assert!(after < before + 200, "{after} lines after {before}");
    // A watch that ends is not counted any more.
    drop(watch);
    until("the watch is not counted", async || {
        let open = r#"apiserver_longrunning_requests{verb="WATCH",resource="configmaps"}"#;
        Scrape::of(&world).await.sum(open) == 0.0
    })
    .await;
    world.running.stop().await;
}

/// A Secret with a token of an account, and the token.
async fn secret_with_token(world: &World, account: &Value, name: &str) -> String {
    let key = std::fs::read_to_string(world.cluster.file("pki/sa.key")).unwrap();
    let key = SigningKey::from_pem("sa.key", key.as_bytes()).unwrap();
    let issuer = TokenIssuer::new("unused".into(), key, Vec::new(), None, false);
    let text = |field: &str| account["metadata"][field].as_str().unwrap().to_owned();
    let reference = Reference {
        name: text("name"),
        uid: text("uid"),
    };
    let token = issuer.issue_legacy("default", &reference, name).unwrap().to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": name, "annotations": {
            "kubernetes.io/service-account.name": reference.name, "kubernetes.io/service-account.uid": reference.uid,
        }},
        "data": {"token": STANDARD.encode(&token)},
    });
    world.create("/api/v1/namespaces/default/secrets", &secret).await;
    token
}

async fn the_use_of_a_token_from_a_secret_is_written_on_it(engine: Engine) {
    const LABEL: &str = "kubernetes.io/legacy-token-last-used";
    const INVALID: &str = "kubernetes.io/legacy-token-invalid-since";
    let cluster = Cluster::issue(engine);
    let (policy, log) = (
        cluster.folder.path().join("audit.yaml"),
        cluster.folder.path().join("audit.log"),
    );
    std::fs::write(
        &policy,
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n",
    )
    .unwrap();
    let options = Options {
        audit_policy_file: Some(policy),
        audit_log: Some(audit::log::Options {
            path: log.clone(),
            max_age: 0,
            max_backup: 0,
            max_size: 0,
        }),
        ..cluster.options.clone()
    };
    let world = World::start(cluster, options).await;
    let tracking = "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
    let today = || Timestamp::now().strftime("%Y-%m-%d").to_string();
    let since = world.read(tracking).await["data"]["since"].as_str().unwrap().to_owned();
    assert!(since <= today() && since.len() == 10, "{since}");

    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    let account = world
        .create("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    let used = secret_with_token(&world, &account, "used").await;
    let marked = secret_with_token(&world, &account, "marked").await;
    secret_with_token(&world, &account, "unused").await;
    let secret = |name: &str| format!("/api/v1/namespaces/default/secrets/{name}");
    let invalid = json!({"metadata": {"labels": {INVALID: "2024-01-01", LABEL: "2023-01-01"}}});
    world
        .admin
        .patch(&secret("marked"), "application/merge-patch+json", &invalid)
        .await;

    let first = today();
    let robot = world.client(Credential::token(&used));
    for _ in 0..5 {
        let (name, _) = robot.whoami(&[]).await.unwrap();
        assert_eq!(name, "system:serviceaccount:default:robot");
    }
    assert_eq!(world.client(Credential::token(&marked)).whoami(&[]).await, Err(401));
    for name in ["used", "marked"] {
        let is_labelled = async || {
            let label = world.read(&secret(name)).await["metadata"]["labels"][LABEL].clone();
            label == first.as_str() || label == today().as_str()
        };
        until(name, is_labelled).await;
    }
    let unused = world.read(&secret("unused")).await;
    assert_eq!(unused["metadata"]["labels"], Value::Null, "{unused}");
    // Once a day is enough: what was written stays as it is.
    let written = world.read(&secret("used")).await["metadata"]["resourceVersion"].clone();
    robot.whoami(&[]).await.unwrap();
    world.read(&secret("used")).await;
    assert_eq!(
        world.read(&secret("used")).await["metadata"]["resourceVersion"],
        written
    );
    assert_eq!(
        world.read(&secret("used")).await["data"]["token"],
        STANDARD.encode(&used)
    );

    let annotation = r#""authentication.k8s.io/legacy-token-manual-secret":"used""#;
    let is_recorded = async || std::fs::read_to_string(&log).unwrap().contains(annotation);
    until("the audit event says by which secret", is_recorded).await;
    let scrape = Scrape::of(&world).await;
    for (counter, is) in [
        ("serviceaccount_legacy_tokens_total", 6.0),
        ("serviceaccount_legacy_manual_token_uses_total", 6.0),
        ("serviceaccount_legacy_auto_token_uses_total", 0.0),
        ("serviceaccount_invalid_legacy_auto_token_uses_total", 1.0),
        (r#"authentication_token_cache_request_total{status="miss"}"#, 2.0),
        (r#"authentication_token_cache_request_total{status="hit"}"#, 5.0),
    ] {
        scrape.exactly(counter, is);
    }
    world.running.stop().await;
}
