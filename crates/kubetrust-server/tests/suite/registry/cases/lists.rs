//! Lists: what is selected, in pages, at which revision.

use serde_json::{Value, json};

use crate::registry::world::{World, config_map, names, revision, told};

pub async fn selectors_choose(world: &World) {
    let maps = format!("{}/configmaps", world.namespace("select").await);
    for (name, labels) in [
        ("a", json!({"app": "web", "tier": "1"})),
        ("b", json!({"app": "web", "tier": "2"})),
        ("c", json!({"app": "db"})),
        ("d", json!({})),
    ] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = labels;
        world.create(&maps, &map).await;
    }
    #[rustfmt::skip]
    let cases = [
        ("labelSelector=app=web", "a b"),
        ("labelSelector=app%3D%3Dweb,tier=2", "b"),
        ("labelSelector=app!=web", "c d kube-root-ca.crt"),
        ("labelSelector=app+in+(web,db)", "a b c"),
        ("labelSelector=tier+notin+(1)", "b c d kube-root-ca.crt"),
        ("labelSelector=tier", "a b"),
        ("labelSelector=!tier", "c d kube-root-ca.crt"),
        ("labelSelector=tier>1", "b"),
        ("labelSelector=nothing", ""),
        ("labelSelector=", "a b c d kube-root-ca.crt"),
        ("fieldSelector=metadata.name=c", "c"),
        ("fieldSelector=metadata.name!=c", "a b d kube-root-ca.crt"),
        ("fieldSelector=metadata.namespace=select", "a b c d kube-root-ca.crt"),
        ("fieldSelector=metadata.namespace=other", ""),
        ("fieldSelector=metadata.name=a&labelSelector=app=db", ""),
        ("labelSelector=app=web&limit=1", "a"),
        ("labelSelector=a+b", "400"),
        ("labelSelector=app+in+web", "400"),
        ("labelSelector=-=x", "400"),
        ("fieldSelector=spec.nothing=x", "400"),
        ("fieldSelector=metadata.name", "400"),
    ];
    for (query, want) in cases {
        let reply = world.admin.get(&format!("{maps}?{}", query.replace('>', "%3E"))).await;
        let is = if reply.code == 200 {
            names(&reply.json()).join(" ")
        } else {
            reply.code.to_string()
        };
        assert_eq!(is, want, "{query}");
    }
    let everywhere = world.read("/api/v1/configmaps?labelSelector=app").await;
    assert_eq!(names(&everywhere), ["a", "b", "c"]);
    // What may be selected depends on the resource.
    assert_eq!(
        world
            .admin
            .get("/api/v1/pods?fieldSelector=spec.nodeName=n,status.phase!=Running")
            .await
            .code,
        200
    );
    assert_eq!(
        world.admin.get("/api/v1/secrets?fieldSelector=type=Opaque").await.code,
        200
    );
}

/// The query that goes on with a list.
fn next(list: &Value) -> String {
    let token = list["metadata"]["continue"].as_str().unwrap_or_default();
    if token.is_empty() {
        String::new()
    } else {
        format!("&continue={token}")
    }
}

pub async fn pages_show_one_revision_while_objects_change(world: &World) {
    let namespace = world.namespace("pages").await;
    let secrets = format!("{namespace}/secrets");
    for number in 10..35 {
        world.secret(&namespace, &format!("s{number}")).await;
    }
    let first = world.read(&format!("{secrets}?limit=10")).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 15);
    let at = revision(&first);
    // Behind the page, before it, and in what is still to come.
    for name in ["s12", "s22", "s34"] {
        assert_eq!(world.admin.delete(&format!("{secrets}/{name}")).await.code, 200);
    }
    for name in ["s100", "s255", "t"] {
        world.secret(&namespace, name).await;
    }
    let patch = json!({"data": {"key": "Mg=="}});
    assert_eq!(
        world
            .admin
            .patch(&format!("{secrets}/s25"), "application/merge-patch+json", &patch)
            .await
            .code,
        200
    );

    let second = world.read(&format!("{secrets}?limit=10{}", next(&first))).await;
    assert_eq!(second["metadata"]["remainingItemCount"], 5);
    let third = world.read(&format!("{secrets}?limit=10{}", next(&second))).await;
    assert_eq!(
        (&third["metadata"]["continue"], &third["metadata"]["remainingItemCount"]),
        (&Value::Null, &Value::Null)
    );
    let all: Vec<String> = [&first, &second, &third]
        .iter()
        .flat_map(|page| names(page))
        .map(str::to_owned)
        .collect();
    let want: Vec<String> = (10..35).map(|number| format!("s{number}")).collect();
    assert_eq!(all, want);
    for page in [&second, &third] {
        assert_eq!(revision(page), at, "all pages are of one revision");
    }
    let unchanged = second["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["metadata"]["name"] == "s25")
        .unwrap();
    assert_eq!(unchanged["data"]["key"], "MQ==", "the page shows a later change");
    // The page can be read twice, and the rest without a limit.
    assert_eq!(
        world.read(&format!("{secrets}?limit=10{}", next(&first))).await["items"],
        second["items"]
    );
    assert_eq!(
        names(&world.read(&format!("{secrets}?{}", next(&second))).await).len(),
        5
    );

    // With a selection nobody knows how many remain, and pages are full all the same.
    for name in ["s10", "s20", "s30"] {
        let label = json!({"metadata": {"labels": {"tens": "1"}}});
        assert_eq!(
            world
                .admin
                .patch(&format!("{secrets}/{name}"), "application/merge-patch+json", &label)
                .await
                .code,
            200
        );
    }
    let chosen = world.read(&format!("{secrets}?labelSelector=tens&limit=2")).await;
    assert_eq!(
        (names(&chosen), &chosen["metadata"]["remainingItemCount"]),
        (vec!["s10", "s20"], &Value::Null)
    );
    let rest = world
        .read(&format!("{secrets}?labelSelector=tens&limit=2{}", next(&chosen)))
        .await;
    assert_eq!(
        (names(&rest), &rest["metadata"]["continue"]),
        (vec!["s30"], &Value::Null)
    );

    // A token belongs to its list; what is none is refused.
    for token in ["nothing", "%25%25", "e30", &"A".repeat(5000)] {
        let reply = world.admin.get(&format!("{secrets}?limit=1&continue={token}")).await;
        assert_eq!(reply.code, 400, "{token}");
    }
}

pub async fn a_page_goes_on_after_its_revision_is_gone(world: &World) {
    let namespace = world.namespace("expired").await;
    let secrets = format!("{namespace}/secrets");
    for name in ["a", "b", "c", "d", "e"] {
        world.secret(&namespace, name).await;
    }
    let whole = world.read(&secrets).await;
    let first = world.read(&format!("{secrets}?limit=2")).await;
    world.secret(&namespace, "cc").await;
    assert_eq!(world.admin.delete(&format!("{secrets}/d")).await.code, 200);
    let now = revision(&world.secret(&namespace, "f").await);
    world.running.registry.store().compact(now).await.unwrap();

    let reply = world.admin.get(&format!("{secrets}?limit=2{}", next(&first))).await;
    assert_eq!(told(&reply), "410 Expired");
    assert!(
        reply
            .message()
            .starts_with("The provided continue parameter is too old"),
        "{}",
        reply.message()
    );
    let token = reply.json()["metadata"]["continue"]
        .as_str()
        .expect("no token to go on with")
        .to_owned();
    // The rest is as it is now.
    let second = world.read(&format!("{secrets}?limit=2&continue={token}")).await;
    assert_eq!(names(&second), ["c", "cc"]);
    let third = world.read(&format!("{secrets}?limit=2{}", next(&second))).await;
    assert_eq!(names(&third), ["e", "f"]);
    assert_eq!(next(&third), "");

    // An exact read of what is gone.
    let old = world
        .admin
        .get(&format!(
            "{secrets}?resourceVersion={}&resourceVersionMatch=Exact",
            revision(&whole)
        ))
        .await;
    assert_eq!(told(&old), "410 Expired");
    // Not older than it is any newer one.
    let newer = world
        .read(&format!("{secrets}?resourceVersion={}", revision(&whole)))
        .await;
    assert_eq!(names(&newer), ["a", "b", "c", "cc", "e", "f"]);
}

pub async fn revisions_are_matched_as_the_table_says(world: &World) {
    let namespace = world.namespace("matches").await;
    let maps = format!("{namespace}/configmaps");
    let one = revision(&world.create(&maps, &config_map("one")).await);
    let two = revision(&world.create(&maps, &config_map("two")).await);
    let three = revision(&world.create(&maps, &config_map("zzz")).await);
    let future = three + 1_000_000;
    let (early, then, now) = (
        "kube-root-ca.crt one",
        "kube-root-ca.crt one two",
        "kube-root-ca.crt one two zzz",
    );
    #[rustfmt::skip]
    let cases = [
        (String::new(), now),
        ("resourceVersion=0".to_owned(), now),
        (format!("resourceVersion={two}"), now),
        (format!("resourceVersion={two}&resourceVersionMatch=NotOlderThan"), now),
        (format!("resourceVersion={two}&resourceVersionMatch=Exact"), then),
        (format!("resourceVersion={one}&resourceVersionMatch=Exact"), early),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan".to_owned(), now),
        // Before there was resourceVersionMatch a limit made it exact.
        (format!("resourceVersion={two}&limit=9"), then),
        (format!("resourceVersion={two}&limit=9&resourceVersionMatch=NotOlderThan"), now),
        ("resourceVersionMatch=Exact".to_owned(), "422 Invalid [resourceVersionMatch FieldValueForbidden]"),
        ("resourceVersion=0&resourceVersionMatch=Exact".to_owned(), "422 Invalid [resourceVersionMatch FieldValueForbidden]"),
        (format!("resourceVersion={two}&resourceVersionMatch=Nearly"), "422 Invalid [resourceVersionMatch FieldValueNotSupported]"),
        ("sendInitialEvents=true".to_owned(), "422 Invalid [sendInitialEvents FieldValueForbidden]"),
        ("resourceVersion=five".to_owned(), "422 Invalid [resourceVersion FieldValueInvalid]"),
        ("resourceVersion=-1".to_owned(), "422 Invalid [resourceVersion FieldValueInvalid]"),
        (format!("resourceVersion={future}"), "504 Timeout [ ResourceVersionTooLarge]"),
        (format!("resourceVersion={future}&resourceVersionMatch=Exact"), "504 Timeout [ ResourceVersionTooLarge]"),
        ("limit=many".to_owned(), "400 BadRequest"),
    ];
    for (query, want) in cases {
        let reply = world.admin.get(&format!("{maps}?{query}")).await;
        let is = if reply.code == 200 {
            let mut names: Vec<_> = names(&reply.json()).into_iter().map(str::to_owned).collect();
            names.sort_unstable();
            names.join(" ")
        } else {
            told(&reply)
        };
        assert_eq!(is, want, "{query}");
    }
    // A list says which revision it shows, and a read waits for the one it is told.
    assert_eq!(
        revision(
            &world
                .read(&format!("{maps}?resourceVersion={two}&resourceVersionMatch=Exact"))
                .await
        ),
        two
    );
    assert!(revision(&world.read(&maps).await) >= three);
    assert_eq!(
        world
            .admin
            .get(&format!("{maps}/one?resourceVersion={three}"))
            .await
            .code,
        200
    );
    let late = world.admin.get(&format!("{maps}/one?resourceVersion={future}")).await;
    assert_eq!(told(&late), "504 Timeout [ ResourceVersionTooLarge]");
    assert_eq!(late.headers["retry-after"], "1");
}
