//! Whether a decision takes the same time whatever the number of bindings. The goal is that the rows with 10,000 bindings
//! take at most 1.5 times as long as those with 10; 1,000 roles, and 100 groups in the request.
//!
//! *Elsewhere*: the many bindings are of others, and the request's groups hold ten. *Held*: the request's groups hold all
//! of them, of a thousand roles that are all about other resources. *Named*: those roles are each about one
//! object by name, all of the resource that is asked for.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench fails by panicking; criterion's macro makes functions"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kubetrust_auth::authz::rbac::{Binding, Kind, Policy, RoleRef, Rule, Subject};
use kubetrust_auth::authz::{Attributes, Authorizer, Mode, ResourceAttributes};
use kubetrust_auth::user::User;

const ROLES: usize = 1_000;
const GROUPS: usize = 100;
const FEW: usize = 10;
const MANY: usize = 10_000;

#[derive(Clone, Copy)]
enum Shape {
    Elsewhere,
    Held,
    Named,
}

fn policy(shape: Shape, bindings: usize) -> Policy {
    let mut policy = Policy::default();
    for role in 0..ROLES {
        let named = matches!(shape, Shape::Named);
        let rule = Rule {
            api_groups: vec!["apps".into()],
            resources: vec![if named { "pods".into() } else { format!("r{role}") }],
            verbs: ["get", "list", "watch"].map(str::to_owned).to_vec(),
            resource_names: named.then(|| format!("name-{role}")).into_iter().collect(),
            ..Rule::default()
        };
        policy.put_role(Kind::ClusterRole, "", &format!("role-{role}"), vec![rule]);
    }
    for binding in 0..bindings {
        let group = match shape {
            Shape::Elsewhere if binding >= FEW => format!("others-{binding}"),
            _ => format!("group-{}", binding % GROUPS),
        };
        policy.put_binding(Binding {
            namespace: if binding % 2 == 0 {
                String::new()
            } else {
                "default".into()
            },
            name: format!("binding-{binding}"),
            role: RoleRef {
                kind: "ClusterRole".into(),
                name: format!("role-{}", binding % ROLES),
                ..RoleRef::default()
            },
            subjects: vec![Subject::group(group)],
        });
    }
    policy
}

fn asked(resource: &str, name: &str) -> Attributes {
    Attributes::Resource(ResourceAttributes {
        verb: "get".into(),
        group: "apps".into(),
        version: "v1".into(),
        resource: resource.into(),
        namespace: "default".into(),
        name: name.into(),
        ..ResourceAttributes::default()
    })
}

fn user() -> User {
    User {
        name: "somebody".into(),
        groups: (0..GROUPS).map(|group| format!("group-{group}")).collect(),
        ..User::default()
    }
}

fn authorize(criterion: &mut Criterion) {
    let user = user();
    for (shape, name) in [
        (Shape::Elsewhere, "elsewhere"),
        (Shape::Held, "held"),
        (Shape::Named, "named"),
    ] {
        let allowed = match shape {
            Shape::Named => asked("pods", "name-7"),
            Shape::Elsewhere | Shape::Held => asked("r7", "web"),
        };
        for bindings in [FEW, MANY] {
            let authorizer = Authorizer::new([Mode::Node, Mode::Rbac]);
            authorizer.rbac.update(|current| *current = policy(shape, bindings));
            for (answer, asked) in [("allowed", &allowed), ("refused", &asked("pods", "web"))] {
                assert_eq!(authorizer.authorize(&user, asked).is_allowed(), answer == "allowed");
                let row = format!("authorize/{name}/{answer}/{bindings} bindings");
                criterion.bench_function(&row, |bencher| {
                    bencher.iter(|| authorizer.authorize(black_box(&user), black_box(asked)));
                });
            }
        }
    }
}

/// What a change costs, and the first decision after it, for somebody who holds all that is bound.
fn change(criterion: &mut Criterion) {
    for bindings in [FEW, MANY] {
        let authorizer = Authorizer::new([Mode::Rbac]);
        authorizer
            .rbac
            .update(|current| *current = policy(Shape::Held, bindings));
        let binding = authorizer
            .rbac
            .policy()
            .subjects_allowed(&asked("r7", "web"))
            .0
            .swap_remove(0)
            .binding;
        criterion.bench_function(&format!("put a binding/{bindings} bindings"), |bencher| {
            let put = |policy: &mut Policy| policy.put_binding(Binding::clone(&binding));
            bencher.iter(|| authorizer.rbac.update(put));
        });
        let (user, asked) = (user(), asked("r7", "web"));
        criterion.bench_function(
            &format!("put a binding, then authorize/{bindings} bindings"),
            |bencher| {
                let put = |policy: &mut Policy| policy.put_binding(Binding::clone(&binding));
                bencher.iter(|| {
                    authorizer.rbac.update(put);
                    authorizer.authorize(&user, &asked)
                });
            },
        );
    }
    criterion.bench_function("build/10000 bindings", |bencher| {
        bencher.iter(|| policy(Shape::Held, MANY));
    });
}

criterion_group!(benches, authorize, change);
criterion_main!(benches);
