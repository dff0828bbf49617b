//! What it costs to know who is asking: a certificate on a connection that is known, and a token that is known beside
//! it; a new connection; a new token of either kind of key.
//!
//! Goal: what a known token costs more than a known certificate stays below 1 µs, so that a request with a token is
//! served at 95 % of the rate of one with a certificate wherever serving it takes 20 µs or more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench reports by panicking")]
#![allow(missing_docs, reason = "criterion's macros make items without documentation")]

#[path = "../tests/authn/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kubetrust_auth::authn::Lookup;
use kubetrust_auth::authn::service_account::issue::BoundTo;
use serde_json::Value;
use support::{WORLD, ask, bearer, headers, issuer, now, peer, presented, reference};

/// A watch cache at its best: every lookup is a clone of a pointer.
struct Cached {
    account: Arc<Value>,
    pod: Arc<Value>,
}

impl Lookup for Cached {
    fn secret(&self, _namespace: &str, _name: &str) -> Option<Arc<Value>> {
        None
    }
    fn service_account(&self, _namespace: &str, _name: &str) -> Option<Arc<Value>> {
        Some(Arc::clone(&self.account))
    }
    fn pod(&self, _namespace: &str, _name: &str) -> Option<Arc<Value>> {
        Some(Arc::clone(&self.pod))
    }
    fn node(&self, _name: &str) -> Option<Arc<Value>> {
        None
    }
}

fn authentication(criterion: &mut Criterion) {
    let all = WORLD.authenticators();
    let object = |key: &str| Arc::new(WORLD.cluster.0[key].clone());
    let lookup = Cached {
        account: object("serviceaccounts/app/robot"),
        pod: object("pods/app/pod-0"),
    };
    let pod = || BoundTo::Pod(reference("pod-0", "u-pod"), Some(reference("node-0", "u-node")));
    let none = headers(&[]);
    let jane = WORLD.client("jane");
    let with_token = bearer(&WORLD.token(pod()));
    let listed = bearer("static-token");

    let mut group = criterion.benchmark_group("authenticate");
    for (what, peer, headers) in [
        ("nothing", None, &none),
        ("a known certificate", Some(&jane), &none),
        ("a known service-account token", None, &with_token),
        ("a static token", None, &listed),
    ] {
        let presented = presented(peer, headers);
        group.bench_function(what, |bench| {
            bench.iter(|| all.authenticate(&presented, &lookup).unwrap());
        });
    }
    let certificate = jane.certificates()[0].to_vec();
    group.bench_function("a new connection's certificate", |bench| {
        bench.iter_batched(
            || peer(std::slice::from_ref(&certificate)),
            |peer| all.authenticate(&presented(Some(&peer), &none), &lookup).unwrap(),
            BatchSize::SmallInput,
        );
    });
    for (what, key) in [("a new RS256 token", &WORLD.rsa), ("a new ES256 token", &WORLD.ec)] {
        let issuer = issuer(key);
        group.bench_function(what, |bench| {
            bench.iter_batched(
                || bearer(&issuer.issue(ask(pod()), now()).unwrap().token),
                |headers| all.authenticate(&presented(None, &headers), &lookup).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, authentication);
criterion_main!(benches);
