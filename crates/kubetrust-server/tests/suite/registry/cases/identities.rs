//! Tokens that are asked for, and certificates that are requested.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::SignedDuration;
use kubetrust_pki::issue;
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::profile::{Kind, Profile, Subject, Usages};
use kubetrust_pki::spec::{KeyAlgorithm, SubjectExtras};
use serde_json::{Value, json};

use crate::registry::world::{World, told};
use crate::support::Credential;

pub async fn a_token_dies_with_what_it_is_bound_to(world: &World) {
    let namespace = world.namespace("bound").await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let asked = |reference: Value| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": reference}});
    let path = format!("{namespace}/serviceaccounts/default/token");
    for (kind, plural) in [("Pod", "pods"), ("Secret", "secrets")] {
        let object = if kind == "Pod" {
            world.create(&format!("{namespace}/pods"), &pod).await
        } else {
            world.secret(&namespace, "s").await
        };
        let (name, uid) = (&object["metadata"]["name"], &object["metadata"]["uid"]);
        let reference = json!({"kind": kind, "apiVersion": "v1", "name": name});
        let issued = world.create(&path, &asked(reference.clone())).await;
        let token = issued["status"]["token"].as_str().unwrap();
        let holder = world.client(Credential::token(token));
        let (user, _) = holder.whoami(&[]).await.unwrap();
        assert_eq!(user, "system:serviceaccount:bound:default", "{kind}");
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let review_path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let reviewed = world.create(review_path, &review).await;
        if kind == "Pod" {
            let extra = &reviewed["status"]["user"]["extra"];
            assert_eq!(
                extra["authentication.kubernetes.io/pod-name"],
                json!([name]),
                "{reviewed}"
            );
            assert_eq!(
                extra["authentication.kubernetes.io/pod-uid"],
                json!([uid]),
                "{reviewed}"
            );
        }
        // Bound to what is not there, or to another of that name, it is not given out.
        let mut other = reference.clone();
        other["uid"] = json!("another");
        assert_eq!(
            told(&world.admin.post(&path, &asked(other)).await),
            "409 Conflict",
            "{kind}"
        );
        let missing = json!({"kind": kind, "apiVersion": "v1", "name": "nothing"});
        assert_eq!(
            told(&world.admin.post(&path, &asked(missing)).await),
            "404 NotFound",
            "{kind}"
        );

        let place = format!("{namespace}/{plural}/{}?gracePeriodSeconds=0", name.as_str().unwrap());
        assert_eq!(world.admin.delete(&place).await.code, 200);
        assert_eq!(holder.whoami(&[]).await, Err(401), "{kind}: the token outlived it");
        let reviewed = world.create(review_path, &review).await;
        assert_eq!(reviewed["status"]["authenticated"], Value::Null, "{reviewed}");
    }
    let short =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 5}});
    assert_eq!(
        told(&world.admin.post(&path, &short).await),
        "422 Invalid [spec.expirationSeconds FieldValueInvalid]"
    );
    let service = json!({"kind": "Service", "apiVersion": "v1", "name": "s"});
    assert_eq!(told(&world.admin.post(&path, &asked(service)).await), "400 BadRequest");
}

/// A request of a new key for a client's certificate, in base64.
fn signing_request(user: &str, group: &str) -> String {
    let profile = Profile {
        subject: Subject {
            common_name: user.to_owned(),
            organizations: vec![group.to_owned()],
            extras: SubjectExtras::default(),
        },
        sans: BTreeSet::new(),
        kind: Kind::Leaf(Usages::Client),
        lifetime: SignedDuration::from_hours(1),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    STANDARD.encode(issue::request(&profile, &key).unwrap())
}

/// Lets alice ask, bob write approvals, and carol approve for this signer.
async fn let_people_ask_and_approve(world: &World, signer: &str) {
    let rules = |name: &str, rules: Value| {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}]});
        (role, binding)
    };
    let requests = |verbs: Value, resources: Value| json!({"apiGroups": ["certificates.k8s.io"], "resources": resources, "verbs": verbs});
    let update = requests(json!(["update"]), json!(["certificatesigningrequests/approval"]));
    let approve = json!({"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [signer], "verbs": ["approve"]});
    for (name, its) in [
        (
            "alice",
            json!([requests(
                json!(["create", "get"]),
                json!(["certificatesigningrequests"])
            )]),
        ),
        ("bob", json!([update])),
        ("carol", json!([update, approve])),
    ] {
        let (role, binding) = rules(name, its);
        world
            .create("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role)
            .await;
        world
            .create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)
            .await;
    }
}

pub async fn a_request_is_approved_by_who_may(world: &World) {
    const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let signer = "kubernetes.io/kube-apiserver-client";
    let object = |name: &str, group: &str| {
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {"request": signing_request("alice", group), "signerName": signer, "usages": ["client auth"],
                "username": "forged", "groups": ["system:masters"]}})
    };
    let_people_ask_and_approve(world, signer).await;
    assert_eq!(
        told(
            &world
                .as_user("dave", Method::POST, REQUESTS, Some(&object("r", "dev")))
                .await
        ),
        "403 Forbidden"
    );
    let masters = world
        .as_user("alice", Method::POST, REQUESTS, Some(&object("m", "system:masters")))
        .await;
    assert_eq!(told(&masters), "403 Forbidden");

    let made = world
        .as_user("alice", Method::POST, REQUESTS, Some(&object("r", "dev")))
        .await;
    assert_eq!(made.code, 201, "{}", made.message());
    let made = made.json();
    // Who asks is filled in by the server, and stays.
    assert_eq!(
        (&made["spec"]["username"], &made["spec"]["groups"]),
        (&json!("alice"), &json!(["system:authenticated"]))
    );
    let mut other = made.clone();
    other["spec"]["username"] = json!("bob");
    let kept = world.admin.put(&format!("{REQUESTS}/r"), &other).await;
    assert!(
        kept.code == 422 || kept.json()["spec"]["username"] == "alice",
        "{}",
        kept.json()
    );

    let mut approved = world.read(&format!("{REQUESTS}/r")).await;
    approved["status"] =
        json!({"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "message": "by hand"}]});
    approved["spec"]["username"] = json!("bob");
    let approval = format!("{REQUESTS}/r/approval");
    assert_eq!(
        told(&world.as_user("alice", Method::PUT, &approval, Some(&approved)).await),
        "403 Forbidden"
    );
    let refused = world.as_user("bob", Method::PUT, &approval, Some(&approved)).await;
    assert_eq!(told(&refused), "403 Forbidden");
    assert!(
        refused.message().contains(&format!(
            "user not permitted to approve requests with signerName \"{signer}\""
        )),
        "{}",
        refused.message()
    );
    let reply = world.as_user("carol", Method::PUT, &approval, Some(&approved)).await;
    assert_eq!(reply.code, 200, "{}", reply.message());
    let is = world.read(&format!("{REQUESTS}/r")).await;
    assert_eq!(
        (&is["status"]["conditions"][0]["type"], &is["spec"]["username"]),
        (&json!("Approved"), &json!("alice")),
        "{is}"
    );
    // An approval is not taken back, nor made through the object itself.
    let mut denied = is.clone();
    denied["status"]["conditions"] = json!([{"type": "Denied", "status": "True", "reason": "Test"}]);
    let reply = world.as_user("carol", Method::PUT, &approval, Some(&denied)).await;
    assert_eq!(reply.code, 422, "{}", reply.message());
    let again = world
        .as_user("alice", Method::POST, REQUESTS, Some(&object("q", "dev")))
        .await
        .json();
    let mut through = again.clone();
    through["status"] = is["status"].clone();
    let reply = world.admin.put(&format!("{REQUESTS}/q"), &through).await;
    assert!(
        reply.code == 422 || reply.json()["status"]["conditions"].is_null(),
        "{}",
        reply.json()
    );
}
