//! CAs that the user brings with their keys: taken up as they are, used, and never replaced.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/openssl.rs"]
mod openssl;
mod support;

use std::fs;
use std::path::Path;

use kubetrust_pki::certificate::Certificate;
use openssl::{Ca, DAY, How, P256, openssl, public_key};
use support::Cluster;

const ONE: &str = "hosts: [{name: m1, addresses: [192.0.2.11], roles: [control-plane]}]\n";

#[test]
fn a_brought_key_of_any_kind_is_used_as_it_is() {
    let p521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
    let rsa: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
    // The key's kind; how openssl rewrites its file.
    let cases: [(&[&str], &[&str]); 6] = [
        (P256, &["pkey"]),
        (P256, &["ec"]),
        (p521, &["pkey"]),
        (rsa, &["pkey"]),
        (rsa, &["rsa", "-traditional"]),
        (&["-algorithm", "ED25519"], &["pkey"]),
    ];
    for (kind, form) in cases {
        let cluster = Cluster::nowhere();
        let ca = Ca::root(&cluster.beside().join("corp"), "/O=Corp/CN=Corp Root", kind);
        let rewritten = cluster.beside().join("corp/rewritten.key");
        openssl(form.iter().copied())
            .arg("-in", &ca.key())
            .arg("-out", &rewritten)
            .done();
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
        accepted_by_webpki(&leaf[0], &anchor[0]);
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
    assert_eq!(
        certificates(&cluster.host_file("m1", "kubernetes/pki/apiserver.crt"))[0].not_after,
        end
    );
    assert!(cluster.verb(["apply"]).success().stderr.contains("Nothing to do"));
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
    let key = fs::read(cluster.root().join("authority/etcd-ca.key")).unwrap();
    cluster.write_spec(&bring("second"));
    let refused = cluster.verb(["apply"]).failure();
    assert_eq!(refused.code(), Some(2));
    assert!(
        refused.stderr.contains("a CA is replaced in stages"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(cluster.root().join("authority/etcd-ca.key")).unwrap(), key);
}

fn certificates(file: &Path) -> Vec<Certificate> {
    Certificate::all_from_pem(&fs::read(file).unwrap()).unwrap()
}

fn accepted_by_webpki(leaf: &Certificate, anchor: &Certificate) {
    let anchor = rustls_pki_types::CertificateDer::from(anchor.der.as_slice());
    let anchor = webpki::anchor_from_trusted_cert(&anchor).unwrap();
    let der = rustls_pki_types::CertificateDer::from(leaf.der.as_slice());
    let end_entity = webpki::EndEntityCert::try_from(&der).unwrap();
    end_entity
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &[],
            rustls_pki_types::UnixTime::now(),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .unwrap();
}
