use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Encryption, TransformError};

const KEY: &[u8] = b"/registry/secrets/default/s";
const PLAIN: &[u8] = b"k8s\0{\"kind\":\"Secret\"}";

/// Keys of 16, 24 and 32 bytes: 0, 1, 2, …
const KEYS: [&str; 3] = [
    "AAECAwQFBgcICQoLDA0ODw==",
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];

/// [`PLAIN`] under [`KEY`] by each key, made with OpenSSL (Python's `cryptography` 48.0, `AESGCM` and `modes.CBC`) and with
/// libsodium (`PyNaCl` 1.6.2, `SecretBox`).
#[rustfmt::skip]
const VECTORS: [(&str, usize, &str); 7] = [
    ("secretbox", 2, "yMnKy8zNzs/Q0dLT1NXW19jZ2tvc3d7fEiJxc2+JEl8KsZoA6uSamJFqHHU7EDqr44yh+Yxu2myXduq3fg=="),
    ("aesgcm", 0, "ZGVmZ2hpamtsbW5vcVo9paAg05P1WnUqpJlOj0LtDN3vFbBgcwKWM32kXU/3qb05OA=="),
    ("aescbc", 0, "yMnKy8zNzs/Q0dLT1NXW15GEgLGsh4pzpvHWKUpcVwrh08nQc9FvvtLEoEbyqfgq"),
    ("aesgcm", 1, "ZGVmZ2hpamtsbW5vglDIfCmNZVG9tcA72KH+3a88KuiHum7EY9BuGRLywHwR/iYn/w=="),
    ("aescbc", 1, "yMnKy8zNzs/Q0dLT1NXW16WT4ItasW1ojQt+K0yXA3PmaWHqsMpx5ELOijLBrq0/"),
    ("aesgcm", 2, "ZGVmZ2hpamtsbW5vIyOtZgLLPfdQBn3S+DYPnjCncij2PMwDAu69zWz+zVKerv+lyA=="),
    ("aescbc", 2, "yMnKy8zNzs/Q0dLT1NXW13ojECeli1knpz/kSLB6e2QDXzW/eJJ32IfE5KjhSTC4"),
];

fn configuration(entries: &str) -> String {
    format!("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n{entries}")
}

fn parse(entries: &str) -> Encryption {
    Encryption::parse(&configuration(entries)).unwrap()
}

/// One entry for secrets, with these providers.
fn secrets(providers: &[String]) -> Encryption {
    parse(&format!(
        "- resources: [secrets]\n  providers: [{}]\n",
        providers.join(", ")
    ))
}

fn provider(kind: &str, names: &[(&str, usize)]) -> String {
    let key = |(name, index): &(&str, usize)| format!("{{name: {name}, secret: {}}}", KEYS[*index]);
    format!(
        "{{{kind}: {{keys: [{}]}}}}",
        names.iter().map(key).collect::<Vec<_>>().join(", ")
    )
}

const IDENTITY: &str = "{identity: {}}";

fn stored(kind: &str, name: &str, body: &str) -> Bytes {
    let head = format!("k8s:enc:{kind}:v1:{name}:").into_bytes();
    [head, STANDARD.decode(body).unwrap()].concat().into()
}

#[test]
fn values_of_another_implementation_are_read() {
    for (kind, index, body) in VECTORS {
        let transformer = secrets(&[provider(kind, &[("key1", index)])]).transformer("", "secrets");
        let (plain, stale) = transformer.from_storage(KEY, stored(kind, "key1", body)).unwrap();
        assert_eq!((plain.as_ref(), stale), (PLAIN, false), "{kind} {index}");
    }
}

/// The test of `NaCl` itself, `tests/secretbox.c`: the first key, then the nonce with the box, then the message.
const NACL: [&str; 3] = [
    "GydVZHPphdRizVEZeppGx2AJVJ6sZHTyBsTuCET2g4k=",
    "aWlu6VW2K3PNYr2odfxz1oIZ4ANregs38//HcD+UAOUqfftLPTMF2Y6ZO59IaBJzwpZQujL8ds5IMy6nFk2WpEdvuMUxoRhqwN/BfJjc6HtNp/AR\
     7EjJcnHSwg+bko/iJw1vuGPVFzi0ju7jFKfMirkyFkVI5SaukCJDaFF6z+q9a7NzK8Dp2pmDK2HKAbbeViRKnojV+bN5c/YipD0UplmbH2VMtFp041Wl",
    "vgdfxTyB8tXPFBMW6+sMe1IoxSpMYsvUS2aEm2QkT/zl7LqvM711GhrHKNRebGEpbNw8ASM1YfQdtmzOMUrbMQ476CUMRvBtzuo6f6E0gFfi9lVq1\
     rExigJKg48hrx/eBIl360j1n/1JJMocYJAuUvCgibx2iXBA4IL5N3Y4SGReBwU=",
];

#[test]
fn nacls_own_box_is_opened() {
    let [key, sealed, plain] = NACL;
    let entry = format!("{{secretbox: {{keys: [{{name: nacl, secret: {key}}}]}}}}");
    let transformer = secrets(&[entry]).transformer("", "secrets");
    let opened = transformer
        .from_storage(KEY, stored("secretbox", "nacl", sealed))
        .unwrap();
    assert_eq!(opened, (STANDARD.decode(plain).unwrap().into(), false));
}

#[test]
fn values_are_read_as_they_were_written_and_written_as_kubernetes_does() {
    for kind in ["aescbc", "aesgcm", "secretbox"] {
        let transformer = secrets(&[provider(kind, &[("key1", 2)])]).transformer("", "secrets");
        for length in [0, 1, 15, 16, 17, 1000, 1 << 20] {
            let plain = Bytes::from(vec![7; length]);
            let sealed = transformer.to_storage(KEY, plain.clone()).unwrap();
            let again = transformer.to_storage(KEY, plain.clone()).unwrap();
            assert_ne!(sealed, again, "no two nonces are the same");
            let head = format!("k8s:enc:{kind}:v1:key1:");
            assert!(sealed.starts_with(head.as_bytes()));
            let overhead = match kind {
                "aesgcm" => 12 + 16,
                "secretbox" => 24 + 16,
                _ => 16 + 16 - length % 16,
            };
            assert_eq!(sealed.len(), head.len() + length + overhead);
            assert_eq!(transformer.from_storage(KEY, sealed).unwrap(), (plain, false));
        }
    }
}

#[test]
fn a_value_belongs_to_its_key() {
    let transformer = secrets(&[provider("aesgcm", &[("key1", 2)])]).transformer("", "secrets");
    let sealed = transformer.to_storage(KEY, Bytes::from_static(PLAIN)).unwrap();
    let error = transformer
        .from_storage(b"/registry/secrets/default/other", sealed)
        .unwrap_err();
    assert_eq!(error, TransformError::NoKey);
}

#[test]
fn no_changed_bit_is_read() {
    for kind in ["aesgcm", "secretbox"] {
        let transformer = secrets(&[provider(kind, &[("key1", 2)])]).transformer("", "secrets");
        let sealed = transformer.to_storage(KEY, Bytes::from_static(PLAIN)).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            transformer.from_storage(KEY, bad.into()).unwrap_err();
        }
    }
    for kind in ["aescbc", "aesgcm", "secretbox"] {
        let transformer = secrets(&[provider(kind, &[("key1", 2)])]).transformer("", "secrets");
        let sealed = transformer.to_storage(KEY, Bytes::from_static(PLAIN)).unwrap();
        for length in 0..sealed.len() {
            if let Ok((plain, _)) = transformer.from_storage(KEY, sealed.slice(..length)) {
                assert_eq!(kind, "aescbc", "only what is not authenticated may end early");
                assert_ne!(plain, PLAIN);
            }
        }
    }
}

#[test]
fn a_rotation_goes_step_by_step() {
    let one = provider("aescbc", &[("key1", 0)]);
    let (old, new) = (
        provider("aesgcm", &[("key1", 1)]),
        provider("aesgcm", &[("key2", 2), ("key1", 1)]),
    );
    let salsa = provider("secretbox", &[("key1", 2)]);
    let salsa_anew = format!(
        "{{secretbox: {{keys: [{{name: key3, secret: {}}}, {{name: key1, secret: {}}}]}}}}",
        NACL[0], KEYS[2]
    );
    let plain = Bytes::from_static(PLAIN);
    // Each step reads what all before wrote, and says that it is stale.
    let steps = [
        vec![IDENTITY.to_owned()],
        vec![IDENTITY.to_owned(), old.clone()],
        vec![old.clone(), IDENTITY.to_owned()],
        vec![new.clone(), IDENTITY.to_owned()],
        vec![one.clone(), new.clone(), IDENTITY.to_owned()],
        vec![salsa.clone(), one.clone(), new.clone(), IDENTITY.to_owned()],
        vec![one.clone(), salsa.clone(), new.clone(), IDENTITY.to_owned()],
        vec![new.clone(), salsa, one.clone(), IDENTITY.to_owned()],
        vec![salsa_anew.clone(), new.clone(), one.clone(), IDENTITY.to_owned()],
        vec![IDENTITY.to_owned(), one.clone(), salsa_anew, new.clone()],
    ];
    let mut written: Vec<Bytes> = Vec::new();
    for step in steps {
        let transformer = secrets(&step).transformer("", "secrets");
        let now = transformer.to_storage(KEY, plain.clone()).unwrap();
        for before in &written {
            let (found, stale) = transformer.from_storage(KEY, before.clone()).unwrap();
            let same_writer = before.split(|byte| *byte == b':').nth(4) == now.split(|byte| *byte == b':').nth(4)
                && before.get(..16) == now.get(..16);
            assert_eq!((found, stale), (plain.clone(), !same_writer), "{transformer:?}");
        }
        assert_eq!(
            transformer.from_storage(KEY, now.clone()).unwrap(),
            (plain.clone(), false)
        );
        written.push(now);
    }
    // Two providers of one kind share a prefix.
    let both = secrets(&[provider("aescbc", &[("b", 1)]), provider("aescbc", &[("a", 0)])]).transformer("", "secrets");
    let first = secrets(&[provider("aescbc", &[("a", 0)])]).transformer("", "secrets");
    let sealed = first.to_storage(KEY, plain.clone()).unwrap();
    assert_eq!(both.from_storage(KEY, sealed).unwrap(), (plain.clone(), true));
    // Without its provider a value is not read, and never given out as it is stored.
    let sealed = first.to_storage(KEY, plain).unwrap();
    for other in [vec![IDENTITY.to_owned()], vec![old, IDENTITY.to_owned()]] {
        let error = secrets(&other)
            .transformer("", "secrets")
            .from_storage(KEY, sealed.clone())
            .unwrap_err();
        assert_eq!(error, TransformError::NoProvider);
    }
    let error = secrets(&[provider("aescbc", &[("c", 0)])])
        .transformer("", "secrets")
        .from_storage(KEY, sealed);
    assert_eq!(error.unwrap_err(), TransformError::NoKey);
}

#[test]
fn a_resource_has_the_rule_that_is_nearest() {
    let entry = |resources: &str, name| {
        format!(
            "- resources: [{resources}]\n  providers: [{}]\n",
            provider("aesgcm", &[(name, 0)])
        )
    };
    let encryption = parse(
        &[
            "- resources: [events]\n  providers: [{identity: {}}]\n".to_owned(),
            entry("secrets, pandas.bears.example", "named"),
            entry("'*.apps'", "group"),
            entry("'*.'", "core"),
            entry("'*.*'", "all"),
        ]
        .concat(),
    );
    let cases = [
        ("", "events", None),
        ("", "secrets", Some("named")),
        ("bears.example", "pandas", Some("named")),
        ("apps", "deployments", Some("group")),
        ("", "pods", Some("core")),
        ("batch", "jobs", Some("all")),
    ];
    for (group, resource, expected) in cases {
        let sealed = encryption
            .transformer(group, resource)
            .to_storage(KEY, Bytes::from_static(PLAIN))
            .unwrap();
        match expected {
            Some(name) => assert!(
                sealed.starts_with(format!("k8s:enc:aesgcm:v1:{name}:").as_bytes()),
                "{resource}"
            ),
            None => assert_eq!(sealed, PLAIN),
        }
    }
    let plain = Encryption::default()
        .transformer("", "secrets")
        .to_storage(KEY, Bytes::from_static(PLAIN))
        .unwrap();
    assert_eq!(plain, PLAIN);
}

#[test]
fn every_misconfiguration_is_named_with_its_place() {
    let with = |resources: &str, providers: &str| {
        configuration(&format!("- resources: {resources}\n  providers: {providers}\n"))
    };
    let good = provider("aescbc", &[("a", 0)]);
    let in_secrets = |providers: &str| with("[secrets]", providers);
    let in_list = |resources: &str| with(resources, &format!("[{good}]"));
    let cases = [
        (String::new(), ""),
        ("- a".to_owned(), ""),
        (
            "apiVersion: v1\nkind: Secret".to_owned(),
            "apiVersion: \"v1\" is not known",
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v2
kind: EncryptionConfiguration
resources: []"
                .to_owned(),
            "apiVersion: \"apiserver.config.k8s.io/v2\"",
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources: []"
                .to_owned(),
            "resources: at least one",
        ),
        (with("[]", "[{identity: {}}]"), "resources[0].resources: at least one"),
        (in_secrets("[]"), "resources[0].providers: at least one"),
        (in_secrets("[{}]"), "resources[0].providers[0]: no provider"),
        (
            in_secrets("[{identity: {}, aescbc: {keys: []}}]"),
            "resources[0].providers[0]: more than one",
        ),
        (in_secrets("[{kms: {name: a}}]"), "resources[0].providers[0].kms: kms"),
        (in_secrets("[{aescbc: {kyes: []}}]"), "unknown field `kyes`"),
        (in_secrets("[{aes: {}}]"), "unknown field `aes`"),
        (in_list("['*']"), "resources[0].resources[0]: \"*\": use '*.'"),
        (in_list("[Secrets]"), "should not contain capital letters"),
        (in_list("['']"), "it names no resource"),
        (in_list("[pods.*]"), "across groups is not supported"),
        (in_list("[events.events.k8s.io]"), "Use 'events' instead"),
        (in_list("[ingresses.extensions]"), "has been removed"),
        (in_list("[apiserveripinfo]"), "do not have REST API"),
        (
            in_list("[secrets, secrets]"),
            "resources[0].resources: the same resource",
        ),
        (in_list("[secrets, '*.']"), "resources[0].resources: using overlapping"),
        (in_list("[secrets, '*.*']"), "resources[0].resources: using overlapping"),
        (
            configuration(&format!(
                "- {{resources: ['*.*'], providers: [{good}]}}\n- {{resources: [secrets], providers: [{good}]}}\n"
            )),
            "resources[1].resources[0]: resource \"secrets\" is masked by earlier rule \"*.*\"",
        ),
        (
            configuration(&format!(
                "- {{resources: ['*.'], providers: [{good}]}}\n- {{resources: [secrets], providers: [{good}]}}\n"
            )),
            "masked by earlier rule \"*.\"",
        ),
    ];
    for (yaml, expected) in cases {
        let error = Encryption::parse(&yaml).unwrap_err();
        assert!(error.to_string().contains(expected), "{yaml}\n{error}");
    }
    // All at once.
    let error = Encryption::parse(&in_secrets("[{aescbc: {keys: [{}]}}, {}]")).unwrap_err();
    assert_eq!(error.faults.len(), 3, "{error}");
}

#[test]
fn every_key_that_does_not_fit_is_named_with_its_place() {
    let aes = "expected one of [16, 24, 32]";
    for (kind, lengths) in [("aescbc", aes), ("aesgcm", aes), ("secretbox", "expected one of [32]")] {
        let wrong = format!("keys[0].secret: secret is not of the expected length, got 3, {lengths}");
        let cases = [
            ("{}", "keys: at least one keys is required"),
            ("{keys: []}", "keys: at least one keys is required"),
            (
                "{keys: [{secret: AAAA}]}",
                "keys[0].name: name is a mandatory field for a key",
            ),
            (
                "{keys: [{name: a}]}",
                "keys[0].secret: secret is a mandatory field for a key",
            ),
            (
                "{keys: [{name: a, secret: '*'}]}",
                "keys[0].secret: secrets must be base64 encoded",
            ),
            ("{keys: [{name: a, secret: AAAA}]}", &wrong),
        ];
        for (keys, expected) in cases {
            let yaml = configuration(&format!("- resources: [secrets]\n  providers: [{{{kind}: {keys}}}]\n"));
            let error = Encryption::parse(&yaml).unwrap_err();
            let expected = format!("resources[0].providers[0].{kind}.{expected}");
            assert!(error.to_string().contains(&expected), "{keys}: {error}");
        }
    }
    // A length that is AES's alone.
    let error = Encryption::parse(&configuration(&format!(
        "- resources: [secrets]\n  providers: [{}]\n",
        provider("secretbox", &[("a", 1)])
    )));
    assert!(error.unwrap_err().to_string().contains("got 24, expected one of [32]"));
}

#[test]
fn no_message_shows_a_secret() {
    const SECRET: &str = "c2VjcmV0IHNlY3JldA";
    let wrong = [
        format!("[{{aescbc: {SECRET}}}]"),
        format!("[{{aescbc: {{keys: {SECRET}}}}}]"),
        format!("[{{aescbc: {{keys: [{SECRET}]}}}}]"),
        format!("[{{aescbc: {{keys: [{{name: a, secret: {SECRET}}}]}}}}]"),
        format!("[{{aescbc: {{keys: [{{name: [{SECRET}], secret: {SECRET}}}]}}}}]"),
        format!("[{{aescbc: {{keys: [{{name: a, secret: \"{SECRET}]}}}}]"),
        format!("[{{aescbc: {{keys: [{{name: a, secret: !!int {SECRET}}}]}}}}]"),
    ];
    for providers in wrong {
        let yaml = configuration(&format!("- resources: [secrets]\n  providers: {providers}\n"));
        let error = Encryption::parse(&yaml).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    }
    let shown = format!("{:?}", secrets(&[provider("aescbc", &[("key1", 0)])]));
    assert!(shown.contains("key1") && !shown.contains(KEYS[0]), "{shown}");
}
