//! CAs that the user brings with their keys: taken up as they are, used, and never replaced.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/openssl.rs"]
mod openssl;
mod support;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kubetrust_pki::certificate::Certificate;
use openssl::{Ca, DAY, How, P256, openssl, public_key};
use rustls_pki_types::{CertificateDer, UnixTime};
use support::Cluster;

const ONE: &str = "hosts: [{name: m1, addresses: [192.0.2.11], roles: [control-plane]}]\n";

#[test]
fn a_brought_key_of_any_kind_is_used_as_it_is() {
    let p521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
    let rsa: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
    let p384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    // The key's kind; how openssl rewrites its file; the label that it then has.
    let cases: [(&[&str], &[&str], &str); 8] = [
        (P256, &["pkey"], "PRIVATE KEY"),
        (P256, &["ec"], "EC PRIVATE KEY"),
        (p384, &["ec"], "EC PRIVATE KEY"),
        (p521, &["pkey"], "PRIVATE KEY"),
        (p521, &["ec"], "EC PRIVATE KEY"),
        (rsa, &["pkey"], "PRIVATE KEY"),
        (rsa, &["rsa", "-traditional"], "RSA PRIVATE KEY"),
        (&["-algorithm", "ED25519"], &["pkey"], "PRIVATE KEY"),
    ];
    for (kind, form, label) in cases {
        let cluster = Cluster::nowhere();
        let ca = Ca::root(&cluster.beside().join("corp"), "/O=Corp/CN=Corp Root", kind);
        let rewritten = cluster.beside().join("corp/rewritten.key");
        openssl(form.iter().copied())
            .arg("-in", &ca.key())
            .arg("-out", &rewritten)
            .done();
        let text = fs::read_to_string(&rewritten).unwrap();
        assert!(text.starts_with(&format!("-----BEGIN {label}-----")), "{text}");
        if label == "EC PRIVATE KEY" {
            // As `openssl ecparam -genkey` writes it.
            let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
            fs::write(&rewritten, parameters.to_owned() + &text).unwrap();
        }
        let spec = format!(
            "{ONE}authorities: {{bring: {{kubernetes: {{certificate: corp/ca.crt, key: corp/rewritten.key}}}}}}\n"
        );
        cluster.try_init(&spec).success();
        let taken = cluster.root().join("authority/kubernetes-ca.key");
        assert_eq!(public_key(&taken), public_key(&ca.key()), "{kind:?} {form:?}");
        let leaf = cluster.host_file("m1", "kubernetes/pki/apiserver.crt");
        openssl(["verify", "-purpose", "sslserver"])
            .arg("-CAfile", &ca.certificate())
            .path(&leaf)
            .done();
        accepted_by_webpki(&certificates(&leaf)[0], &certificates(&ca.certificate())[0], &[]);
        // What signs on the host is that same key.
        assert_eq!(
            public_key(&cluster.host_file("m1", "kubernetes/pki/ca.key")),
            public_key(&ca.key())
        );
        let before = fs::read(&taken).unwrap();
        assert!(
            cluster.verb(["apply"]).success().stderr.contains("Nothing to do"),
            "{kind:?} {form:?}"
        );
        assert_eq!(fs::read(&taken).unwrap(), before);
    }
}

#[test]
fn under_a_corporate_root_the_intermediate_alone_is_trusted_and_travels_with_its_leaves() {
    for chain_in_one_file in [false, true] {
        let cluster = Cluster::nowhere();
        let folder = cluster.beside();
        let root = Ca::root(
            &folder.join("root"),
            "/DC=org/DC=example/OU=Security/OU=Keys/CN=Example Root",
            P256,
        );
        let how = How {
            until: Some(DAY * 3000),
            ..How::default()
        };
        let issuing = root.intermediate(
            &folder.join("issuing"),
            "/DC=org/DC=example/OU=Platform/OU=K8s/CN=Issuing",
            &how,
        );
        let chain = if chain_in_one_file {
            let both =
                fs::read_to_string(issuing.certificate()).unwrap() + &fs::read_to_string(root.certificate()).unwrap();
            fs::write(issuing.certificate(), both).unwrap();
            ""
        } else {
            ", chain: root/ca.crt"
        };
        let spec = format!(
            "{ONE}authorities: {{bring: {{kubernetes: {{certificate: issuing/ca.crt, key: issuing/ca.key{chain}}}}}}}\n"
        );
        cluster.try_init(&spec).success();

        let anchor = certificates(&cluster.host_file("m1", "kubernetes/pki/ca.crt"));
        assert_eq!(anchor.len(), 1, "the controller-manager refuses a bundle as its signer");
        assert!(!anchor[0].is_self_issued());
        let leaf_file = cluster.host_file("m1", "kubernetes/pki/apiserver.crt");
        let leaf = certificates(&leaf_file);
        assert_eq!(leaf.len(), 2, "the leaf and the intermediate, never the root");
        assert_eq!(leaf[1].der, anchor[0].der);
        assert!(leaf[0].not_after <= anchor[0].not_after);
        // Who knows only the root, and who knows only the intermediate.
        openssl(["verify", "-purpose", "sslserver"])
            .arg("-CAfile", &root.certificate())
            .arg("-untrusted", &leaf_file)
            .path(&leaf_file)
            .done();
        openssl(["verify", "-purpose", "sslserver", "-partial_chain"])
            .arg("-CAfile", &cluster.host_file("m1", "kubernetes/pki/ca.crt"))
            .path(&leaf_file)
            .done();
        accepted_by_webpki(&leaf[0], &anchor[0], &[]);
        accepted_by_webpki(&leaf[0], &certificates(&root.certificate())[0], &leaf[1..]);
        // The name is taken as it is: an issuer with the same parts in another order is another one (RFC 5280
        // section 7.1).
        let name = |which: &str, file: &Path| {
            let said = openssl(["x509", "-noout", which, "-nameopt", "RFC2253"])
                .arg("-in", file)
                .done();
            said.stdout.split_once('=').unwrap().1.to_owned()
        };
        let issuer = name("-issuer", &leaf_file);
        assert_eq!(issuer, name("-subject", &issuing.certificate()));
        let parts: Vec<_> = issuer.trim_end().split(',').collect();
        for part in ["CN=Issuing", "OU=K8s", "OU=Platform", "DC=example", "DC=org"] {
            assert!(parts.contains(&part), "{issuer}");
        }
        for file in ["kubernetes-ca.crt", "kubernetes-ca.chain.crt"] {
            assert_eq!(
                certificates(&cluster.root().join("authority").join(file)).len(),
                1,
                "{file}"
            );
        }
        assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
    }
}

#[test]
fn leaves_end_with_a_brought_ca_and_are_not_renewed_for_that() {
    let cluster = Cluster::nowhere();
    let root = Ca::root(&cluster.beside().join("root"), "/CN=Root", P256);
    let how = How {
        until: Some(DAY * 30),
        ..How::default()
    };
    let short = root.intermediate(&cluster.beside().join("short"), "/CN=Short", &how);
    let bring = "{certificate: short/ca.crt, key: short/ca.key, chain: root/ca.crt}";
    cluster
        .try_init(&format!("{ONE}authorities: {{bring: {{kubernetes: {bring}}}}}\n"))
        .success();
    let end = certificates(&short.certificate())[0].not_after;
    for name in ["apiserver", "apiserver-kubelet-client"] {
        let file = cluster.host_file("m1", &format!("kubernetes/pki/{name}.crt"));
        assert_eq!(certificates(&file)[0].not_after, end, "{name}");
    }
    let again = cluster.verb(["apply"]).success();
    assert!(again.stderr.contains("Nothing to do"), "{again}");
    // They are in their renewal window, and so is the CA: that is said, and is not for apply to mend.
    cluster.write_spec(&format!(
        "{ONE}authorities: {{bring: {{kubernetes: {bring}}}}}\nrenewBefore: 1000h\n"
    ));
    let before = tree::read(&cluster.root());
    let again = cluster.verb(["apply"]).success();
    assert!(again.stderr.contains("within the renewal window"), "{again}");
    assert_eq!(tree::changes(&before, &tree::read(&cluster.root())), BTreeSet::new());
}

#[test]
fn above_an_intermediate_may_stand_others_and_all_but_the_root_travel() {
    let cluster = Cluster::nowhere();
    let folder = cluster.beside();
    let root = Ca::root(&folder.join("root"), "/O=Example/CN=Root", P256);
    let how = How {
        until: Some(DAY * 3000),
        ..How::default()
    };
    let policy = root.intermediate(&folder.join("policy"), "/O=Example/CN=Policy", &how);
    policy.intermediate(&folder.join("issuing"), "/O=Example/CN=Issuing", &how);
    let chain = fs::read_to_string(policy.certificate()).unwrap() + &fs::read_to_string(root.certificate()).unwrap();
    fs::write(folder.join("chain.crt"), chain).unwrap();
    let bring = "{certificate: issuing/ca.crt, key: issuing/ca.key, chain: chain.crt}";
    // Under `single` and kubelet CAs, the longest chain there is: leaf, kubelet CA, issuing, policy.
    cluster
        .try_init(&format!(
            "hosts: [{{name: m1, addresses: [192.0.2.11], roles: [control-plane, worker]}}]\n\
             authorities: {{mode: single, bring: {{single: {bring}}}}}\nkubelets: {{serving: kubelet-ca}}\n"
        ))
        .success();
    // File; how many certificates it holds; its purpose.
    let files = [
        ("etcd/pki/server", 3, "sslserver"),
        ("etcd/pki/peer", 3, "sslclient"),
        ("kubernetes/pki/apiserver-etcd-client", 3, "sslclient"),
        ("kubernetes/pki/apiserver", 3, "sslserver"),
        ("kubernetes/pki/apiserver-kubelet-client", 3, "sslclient"),
        ("kubernetes/pki/front-proxy-client", 3, "sslclient"),
        ("kubernetes/pki/kubelet", 4, "sslserver"),
    ];
    for (name, length, purpose) in files {
        let file = cluster.host_file("m1", &format!("{name}.crt"));
        let found = certificates(&file);
        assert_eq!(found.len(), length, "{name}");
        assert!(found.iter().all(|certificate| !certificate.is_self_issued()), "{name}");
        openssl(["verify", "-purpose", purpose, "-x509_strict"])
            .arg("-CAfile", &root.certificate())
            .arg("-untrusted", &file)
            .path(&file)
            .done();
    }
    for anchor in [
        "etcd/pki/ca.crt",
        "kubernetes/pki/ca.crt",
        "kubernetes/pki/front-proxy-ca.crt",
    ] {
        let anchor = certificates(&cluster.host_file("m1", anchor));
        assert_eq!(anchor.len(), 1);
        assert_eq!(anchor[0].common_name().as_deref(), Some("Issuing"));
    }
    let again = cluster.verb(["apply"]).success();
    assert!(again.stderr.contains("Nothing to do"), "{again}");
}

#[test]
fn another_ca_is_not_taken_up_in_the_place_of_the_one_there_is() {
    let cluster = Cluster::nowhere();
    for name in ["first", "second"] {
        Ca::root(&cluster.beside().join(name), &format!("/CN={name}"), P256);
    }
    let bring = |name: &str| {
        let folder = cluster.beside().join(name);
        let folder = folder.display();
        format!(
            "{ONE}authorities: {{bring: {{etcd: {{certificate: \"{folder}/ca.crt\", key: \"{folder}/ca.key\"}}}}}}\n"
        )
    };
    cluster.try_init(&bring("first")).success();
    cluster.write_spec(&bring("second"));
    let before = tree::read(&cluster.root());
    for verb in ["plan", "apply"] {
        let refused = cluster.verb([verb]).failure();
        assert_eq!(refused.code(), Some(2), "{refused}");
        assert!(refused.stderr.contains("a CA is replaced in stages"), "{refused}");
    }
    assert_eq!(tree::changes(&before, &tree::read(&cluster.root())), BTreeSet::new());
    // The first one again, at its own place or at none: all is well.
    for spec in [bring("first"), ONE.to_owned()] {
        cluster.write_spec(&spec);
        let again = cluster.verb(["apply"]).success();
        assert!(again.stderr.contains("Nothing to do"), "{again}");
    }
}

#[test]
fn no_flag_and_no_field_makes_a_ca_key_anew() {
    let cluster = Cluster::init(ONE);
    let keys = || -> Vec<_> {
        let tree = tree::read(&cluster.root().join("authority"));
        let keys = tree.into_iter().filter(|(path, _)| path.ends_with("-ca.key"));
        keys.map(|(path, file)| (path, file.content)).collect()
    };
    let before = keys();
    assert_eq!(before.len(), 3);
    for fields in [
        "keyAlgorithm: rsa-2048\n",
        "subject: {country: DE}\n",
        "validity: {ca: 90000h}\n",
        "layout: kubeadm\n",
    ] {
        cluster.write_spec(&format!("{ONE}{fields}"));
        cluster.verb(["apply"]).success();
        assert_eq!(keys(), before, "{fields}");
    }
    for verb in ["init", "apply"] {
        for flag in ["--force", "-f", "--overwrite", "--renew", "--yes", "--regenerate"] {
            cluster.verb([verb, flag]);
            assert_eq!(keys(), before, "{verb} {flag}");
        }
        let help = cluster.verb([verb, "--help"]).success().stdout.to_lowercase();
        for word in ["--force", "overwrite", "regenerate"] {
            assert!(!help.contains(word), "{verb}: {help}");
        }
    }
}

fn certificates(file: &Path) -> Vec<Certificate> {
    Certificate::all_from_pem(&fs::read(file).unwrap()).unwrap()
}

fn accepted_by_webpki(leaf: &Certificate, anchor: &Certificate, between: &[Certificate]) {
    let der = |certificate: &Certificate| CertificateDer::from(certificate.der.clone());
    let (leaf, anchor) = (der(leaf), der(anchor));
    let between: Vec<_> = between.iter().map(der).collect();
    webpki::EndEntityCert::try_from(&leaf)
        .unwrap()
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[webpki::anchor_from_trusted_cert(&anchor).unwrap()],
            &between,
            UnixTime::now(),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .unwrap();
}
