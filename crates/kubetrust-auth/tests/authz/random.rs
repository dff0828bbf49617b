//! Whatever the policy and however it came about, the engine decides as the naive evaluator does.

use kubetrust_auth::authz::rbac::{Kind, Policy, cover};
use kubetrust_auth::authz::{Attributes, ResourceAttributes};
use kubetrust_auth::user::User;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::naive::{Binding, Model, Role, Rule, binding_object};

const VERBS: &[&str] = &["get", "list", "*"];
const GROUPS: &[&str] = &["", "apps", "*"];
const RESOURCES: &[&str] = &["pods", "pods/log", "scale", "*/log", "*"];
const NAMES: &[&str] = &["a", "b"];
const URLS: &[&str] = &["/a", "/a/*", "/a*", "/a/b", "*"];
const NAMESPACES: &[&str] = &["", "one", "two"];
const ROLES: &[&str] = &["r", "s", "t"];
const PEOPLE: &[&str] = &[
    "u",
    "v",
    "w",
    "system:serviceaccount:one:u",
    "system:serviceaccount:two:v",
];

fn some(words: &'static [&'static str], at_most: usize) -> impl Strategy<Value = Vec<String>> {
    subsequence(words, 0..=at_most).prop_map(|some| some.into_iter().map(str::to_owned).collect())
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(words).prop_map(str::to_owned)
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        some(VERBS, 2),
        some(GROUPS, 2),
        some(RESOURCES, 2),
        some(NAMES, 1),
        some(URLS, 2),
    )
        .prop_map(Into::into)
}

/// As the API takes them: about resources, or about URLs.
fn valid_rule() -> impl Strategy<Value = Rule> {
    (rule(), any::<bool>()).prop_map(|([verbs, groups, resources, names, urls], about_urls)| {
        let none = Vec::new;
        if about_urls {
            [verbs, none(), none(), none(), urls]
        } else {
            [verbs, groups, resources, names, none()]
        }
    })
}

fn role() -> impl Strategy<Value = Role> {
    (word(NAMESPACES), word(ROLES), vec(rule(), 0..3)).prop_map(|(namespace, name, rules)| Role {
        namespace,
        name,
        rules,
        ..Role::default()
    })
}

fn binding() -> impl Strategy<Value = Binding> {
    let subject = (
        word(&["User", "Group", "ServiceAccount", "Other"]),
        word(NAMESPACES),
        word(PEOPLE),
    );
    (
        word(NAMESPACES),
        word(&["a", "b", "c", "d"]),
        word(&["ClusterRole", "Role", "Other"]),
        word(ROLES),
        vec(subject, 0..3),
    )
        .prop_map(|(namespace, name, of_kind, of, subjects)| Binding {
            namespace,
            name,
            of_kind,
            of,
            subjects,
        })
}

fn user() -> impl Strategy<Value = User> {
    (word(PEOPLE), some(PEOPLE, 3)).prop_map(|(name, groups)| User {
        name,
        groups,
        ..User::default()
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let resource = (
        word(&["get", "list", "watch"]),
        word(&["", "apps", "other"]),
        word(&["pods", "scale", "log"]),
        word(&["", "log", "scale"]),
        word(NAMESPACES),
        word(&["", "a", "b"]),
    );
    let resource = resource.prop_map(|(verb, group, resource, subresource, namespace, name)| {
        Attributes::Resource(ResourceAttributes {
            verb,
            group,
            resource,
            subresource,
            namespace,
            name,
            ..ResourceAttributes::default()
        })
    });
    let url = (word(&["get", "post"]), word(&["/a", "/a/b", "/ab", "/", "/a/"]))
        .prop_map(|(verb, path)| Attributes::NonResource { verb, path });
    prop_oneof![4 => resource, 1 => url]
}

#[derive(Clone, Debug)]
enum Change {
    PutRole(Role),
    PutBinding(Binding),
    DeleteRole(Index),
    DeleteBinding(Index),
    /// Makes what the engine derives lazily.
    Ask,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => role().prop_map(Change::PutRole),
        6 => binding().prop_map(Change::PutBinding),
        1 => any::<Index>().prop_map(Change::DeleteRole),
        2 => any::<Index>().prop_map(Change::DeleteBinding),
        2 => Just(Change::Ask),
    ]
}

fn apply(change: Change, model: &mut Model, policy: &mut Policy, questions: &[(User, Attributes)]) {
    match change {
        Change::PutRole(role) => {
            let one = Model {
                roles: vec![role.clone()],
                bindings: vec![],
            };
            for (kind, object) in one.objects() {
                policy.put(kind, &object).unwrap();
            }
            model
                .roles
                .retain(|each| (&each.namespace, &each.name) != (&role.namespace, &role.name));
            model.roles.push(role);
        }
        Change::PutBinding(binding) => {
            let (kind, object) = binding_object(&binding);
            policy.put(kind, &object).unwrap();
            model
                .bindings
                .retain(|each| (&each.namespace, &each.name) != (&binding.namespace, &binding.name));
            model.bindings.push(binding);
        }
        Change::DeleteRole(index) if !model.roles.is_empty() => {
            let role = model.roles.remove(index.index(model.roles.len()));
            let kind = if role.namespace.is_empty() {
                Kind::ClusterRole
            } else {
                Kind::Role
            };
            policy.delete(kind, &role.namespace, &role.name);
        }
        Change::DeleteBinding(index) if !model.bindings.is_empty() => {
            let binding = model.bindings.remove(index.index(model.bindings.len()));
            let (kind, _) = binding_object(&binding);
            policy.delete(kind, &binding.namespace, &binding.name);
        }
        _ => {
            for (user, attributes) in questions {
                drop(policy.authorize(user, attributes));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_engine_decides_as_the_naive_evaluator_does(
        changes in vec(change(), 0..40),
        questions in vec((user(), attributes()), 1..20),
    ) {
        let (mut model, mut policy) = (Model::default(), Policy::default());
        let mut copies = Vec::new();
        for change in changes {
            apply(change, &mut model, &mut policy, &questions);
            copies.push((model.clone(), policy.clone()));
        }
        copies.push((model, policy));
        // A copy made before a change is not changed by it.
        for (model, policy) in copies.iter().rev().step_by(7) {
            for (user, attributes) in &questions {
                let allowed = policy.authorize(user, attributes).is_allowed();
                prop_assert_eq!(allowed, model.allows(user, attributes), "{:?} {:?}", user, attributes);
                // Whoever is allowed is named by the reverse question, and holds a rule that allows it.
                let (who, _) = policy.subjects_allowed(attributes);
                let named = who.iter().any(|each| match each.subject.kind.as_str() {
                    "User" => each.subject.name == user.name,
                    "Group" => user.groups.contains(&each.subject.name),
                    _ => user.name == format!("system:serviceaccount:{}:{}", each.subject.namespace, each.subject.name),
                });
                prop_assert_eq!(allowed, named);
            }
        }
    }

    #[test]
    fn one_who_holds_the_rules_may_grant_them(one in vec(valid_rule(), 0..4), other in vec(valid_rule(), 0..4), asked in attributes()) {
        let model = |rules: &[Rule]| Model {
            roles: vec![Role { name: "r".into(), rules: rules.to_vec(), ..Role::default() }],
            bindings: vec![Binding {
                name: "b".into(),
                of_kind: "ClusterRole".into(),
                of: "r".into(),
                subjects: vec![("User".into(), String::new(), "u".into())],
                ..Binding::default()
            }],
        };
        let user = User { name: "u".into(), ..User::default() };
        let (one, other) = (model(&one), model(&other));
        let rules = |model: &Model| model.policy().rules_for(&user, "").rules;
        let (held, granted) = (rules(&one), rules(&other));
        prop_assert_eq!(cover::covers(&held, &held), Some(vec![]));
        let missing = cover::covers(&held, &granted).unwrap();
        // What is covered allows nothing that is not held.
        if missing.is_empty() {
            prop_assert!(!other.allows(&user, &asked) || one.allows(&user, &asked));
        }
        let both = [held, missing].concat();
        prop_assert_eq!(cover::covers(&both, &granted), Some(vec![]));
    }
}
