//! What one certificate, one plan and one spec cost.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench may stop, and criterion's macro documents nothing"
)]

use std::fmt::Write as _;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::{SignedDuration, Timestamp};
use kubetrust_pki::catalog;
use kubetrust_pki::certificate::Certificate;
use kubetrust_pki::cluster::Loaded;
use kubetrust_pki::issue::{Issuer, Serial, self_sign};
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::spec::{self, Authority, KeyAlgorithm};

fn issue(criterion: &mut Criterion) {
    let cluster = spec::parse("bench", "").unwrap().cluster;
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let profile = catalog::authority_profile(&cluster, Authority::Kubernetes);
    let ca = self_sign(&profile, &key, Serial::random().unwrap(), now, SignedDuration::ZERO).unwrap();
    let issuer = Issuer::new(&ca, &key).unwrap();
    let row = catalog::row("apiserver").unwrap();
    let leaf = catalog::leaf_profile(&cluster, &cluster.hosts[0], row).unwrap();
    let mut group = criterion.benchmark_group("P-256");
    // The limit of what follows: the signature alone, over as many bytes.
    group.bench_function("raw signature", |bench| bench.iter(|| key.sign(&[0x30; 800]).unwrap()));
    group.bench_function("certificate", |bench| {
        bench.iter(|| {
            issuer
                .sign(
                    &leaf,
                    key.public(),
                    Serial::random().unwrap(),
                    now,
                    SignedDuration::ZERO,
                )
                .unwrap()
        });
    });
    let made = issuer
        .sign(
            &leaf,
            key.public(),
            Serial::random().unwrap(),
            now,
            SignedDuration::ZERO,
        )
        .unwrap();
    group.bench_function("read a certificate", |bench| {
        bench.iter(|| Certificate::from_der(&made.der).unwrap());
    });
    group.bench_function("verify a certificate's signature", |bench| {
        bench.iter(|| assert!(made.is_signed_by(&ca)));
    });
    group.finish();
}

fn large(criterion: &mut Criterion) {
    let mut text = String::from("hosts:\n- {name: m, addresses: [192.0.2.1], roles: [control-plane]}\n");
    for worker in 0..1_000 {
        writeln!(
            text,
            "- {{name: w{worker}, addresses: [198.18.{}.{}]}}",
            worker / 250,
            worker % 250 + 1
        )
        .unwrap();
    }
    let mut group = criterion.benchmark_group("1,000 workers");
    group.bench_function("read the spec", |bench| {
        bench.iter(|| spec::parse("bench", &text).unwrap());
    });
    let empty = tempfile::tempdir().unwrap();
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    group.bench_function("plan from nothing", |bench| {
        bench.iter(|| {
            let cluster = spec::parse("bench", &text).unwrap().cluster;
            let loaded = Loaded::with_spec(empty.path(), empty.path(), cluster, Vec::new(), now).unwrap();
            loaded.plan(empty.path()).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, issue, large);
criterion_main!(benches);
