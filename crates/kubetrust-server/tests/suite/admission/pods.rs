//! `Priority` and `DefaultTolerationSeconds`.

use kubetrust_server::admission::{DefaultTolerationSeconds, Priority};
use serde_json::{Value, json};

use super::world::{Request, World, create, decide, delete, update, user};
use crate::support::Engine;

on_both!(
    a_class_stands_for_a_number,
    one_class_is_the_default_and_those_of_the_system_stay,
);

fn pod(spec: Value) -> Value {
    json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": spec})
}

fn class(name: &str, value: i64, fields: Value) -> Value {
    let mut class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
    });
    for (field, value) in fields.as_object().unwrap() {
        class[field] = value.clone();
    }
    class
}

#[tokio::test]
async fn a_pod_stays_five_minutes_unless_it_says_otherwise() {
    let plugin = DefaultTolerationSeconds;
    let jane = user("jane", &[]);
    let added = |taint: &str| json!({"key": format!("node.kubernetes.io/{taint}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    let both = || vec![added("not-ready"), added("unreachable")];
    let own = |key: &str, effect: &str| json!({"key": key, "effect": effect, "tolerationSeconds": 7});
    let not_ready = "node.kubernetes.io/not-ready";
    for (given, expected) in [
        (vec![], both()),
        (vec![own("else", "NoExecute")], both()),
        (vec![own(not_ready, "NoExecute")], vec![added("unreachable")]),
        (vec![own(not_ready, "")], vec![added("unreachable")]),
        (vec![own(not_ready, "NoSchedule")], both()),
        (
            vec![own("node.kubernetes.io/unreachable", "NoExecute")],
            vec![added("not-ready")],
        ),
        (vec![own("", "NoExecute")], vec![]),
        (vec![own("", "")], vec![]),
        (vec![own("", "NoSchedule")], both()),
    ] {
        let spec = json!({"tolerations": given});
        let all = [given, expected].concat();
        let created = create(&jane, "pods", pod(spec.clone())).to(&plugin).await.unwrap();
        assert_eq!(created["spec"]["tolerations"], json!(all), "{spec}");
        let updated = update(&jane, "pods", pod(spec.clone()), pod(spec.clone()))
            .to(&plugin)
            .await
            .unwrap();
        assert_eq!(updated["spec"]["tolerations"], json!(all), "{spec}");
    }
    for request in [
        update(&jane, "pods/status", pod(json!({})), pod(json!({}))),
        create(&jane, "configmaps", pod(json!({}))),
        create(&jane, "pods", pod(json!("no object"))),
        create(&jane, "pods", pod(json!({"tolerations": "no list"}))),
    ] {
        let text = format!("{request:?}");
        let object = request.to(&plugin).await.unwrap();
        assert!(object["spec"]["tolerations"].as_array().is_none(), "{text}");
    }
}

async fn a_class_stands_for_a_number(engine: Engine) {
    let never = json!({"preemptionPolicy": "Never"});
    let world = World::of(engine, &[class("high", 1000, json!({})), class("polite", 500, never)]).await;
    let with_default = World::of(
        engine,
        &[
            class("usual", 20, json!({"globalDefault": true})),
            class("least", 10, json!({"globalDefault": true, "preemptionPolicy": "Never"})),
        ],
    )
    .await;
    let jane = user("jane", &[]);
    let lower = "PreemptLowerPriority";
    // What the pod asks for, and its class, number and policy.
    for (world, spec, name, value, policy) in [
        (&world, json!({}), Value::Null, 0, lower),
        (&world, json!({"priorityClassName": ""}), json!(""), 0, lower),
        (&world, json!({"priority": 0}), Value::Null, 0, lower),
        (&world, json!({"priorityClassName": "high"}), json!("high"), 1000, lower),
        (
            &world,
            json!({"priorityClassName": "high", "priority": 1000}),
            json!("high"),
            1000,
            lower,
        ),
        (
            &world,
            json!({"priorityClassName": "polite"}),
            json!("polite"),
            500,
            "Never",
        ),
        (
            &world,
            json!({"priorityClassName": "polite", "preemptionPolicy": "Never"}),
            json!("polite"),
            500,
            "Never",
        ),
        (
            &world,
            json!({"priorityClassName": "system-node-critical"}),
            json!("system-node-critical"),
            2_000_001_000,
            lower,
        ),
        (
            &world,
            json!({"priorityClassName": "system-cluster-critical"}),
            json!("system-cluster-critical"),
            2_000_000_000,
            lower,
        ),
        (&with_default, json!({}), json!("least"), 10, "Never"),
        (
            &with_default,
            json!({"priorityClassName": "usual"}),
            json!("usual"),
            20,
            lower,
        ),
    ] {
        let plugin = Priority::new(&world.registry);
        let pod = create(&jane, "pods", pod(spec.clone())).to(&plugin).await.unwrap();
        assert_eq!(pod["spec"]["priorityClassName"], name, "{spec}");
        assert_eq!(
            (
                pod["spec"]["priority"].as_i64(),
                pod["spec"]["preemptionPolicy"].as_str()
            ),
            (Some(value), Some(policy)),
            "{spec}"
        );
    }
    let plugin = Priority::new(&world.registry);
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, "pods", pod(json!({"priorityClassName": "none"}))),
            r#"pods "p" is forbidden: no PriorityClass with name none was found"#),
        (create(&jane, "pods", pod(json!({"priorityClassName": "high", "priority": 7}))),
            r#"pods "p" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name"#),
        (create(&jane, "pods", pod(json!({"priority": 2_000_001_000}))),
            r#"pods "p" is forbidden: the integer value of priority (2000001000) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"#),
        (create(&jane, "pods", pod(json!({"priorityClassName": "high", "preemptionPolicy": "Never"}))),
            r#"pods "p" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name"#),
    ];
    decide(&plugin, cases).await;
    let old = pod(json!({"priority": 1000, "preemptionPolicy": "Never"}));
    let kept = update(&jane, "pods", old.clone(), pod(json!({})))
        .to(&plugin)
        .await
        .unwrap();
    assert_eq!(kept, old);
}

async fn one_class_is_the_default_and_those_of_the_system_stay(engine: Engine) {
    let default = |name: &str| class(name, 1, json!({"globalDefault": true}));
    let plain = |name: &str| class(name, 1, json!({}));
    let world = World::of(engine, &[default("first"), plain("second")]).await;
    let plugin = Priority::new(&world.registry);
    let empty = World::of(engine, &[]).await;
    let jane = user("jane", &[]);
    let taken = |name: &str| {
        format!(
            r#"priorityclasses.scheduling.k8s.io "{name}" is forbidden: PriorityClass first is already marked as default. Only one default can exist"#
        )
    };
    #[rustfmt::skip]
    let cases: &[(Request, &str)] = &[
        (create(&jane, "priorityclasses", plain("third")), ""),
        (create(&jane, "priorityclasses", default("third")), &taken("third")),
        (update(&jane, "priorityclasses", default("first"), default("first")), ""),
        (update(&jane, "priorityclasses", default("first"), plain("first")), ""),
        (update(&jane, "priorityclasses", plain("second"), default("second")), &taken("second")),
        (delete(&jane, "priorityclasses", default("first")), ""),
        (delete(&jane, "priorityclasses", plain("system-node-critical")),
            r#"priorityclasses.scheduling.k8s.io "system-node-critical" is forbidden: this is a system priority class and cannot be deleted"#),
        (delete(&jane, "priorityclasses", plain("system-cluster-critical")),
            r#"priorityclasses.scheduling.k8s.io "system-cluster-critical" is forbidden: this is a system priority class and cannot be deleted"#),
    ];
    decide(&plugin, cases).await;
    decide(
        &Priority::new(&empty.registry),
        &[(create(&jane, "priorityclasses", default("third")), "")],
    )
    .await;
}
