//! The linter finds nothing that breaks a rule.

use kubetrust_testkit::pkilint::{self, Finding, Severity};

use crate::support::folder;
use crate::{Algorithm, samples};

/// Every certificate of the hosts and of `authority/`, linted in one start of the linter.
#[track_caller]
fn lints(algorithm: Algorithm) {
    let mut files = Vec::new();
    for sample in samples(algorithm) {
        files.extend(
            sample
                .credentials
                .iter()
                .map(|credential| credential.certificate.clone()),
        );
        let authority = sample.root.join("authority");
        let kept = folder::files(&authority).into_iter().map(|file| authority.join(file));
        files.extend(kept.filter(|file| file.extension().is_some_and(|extension| extension == "crt")));
    }
    let findings = pkilint::lint(&files);
    assert!(
        !findings.is_empty(),
        "the linter has not even a remark, so it has not run"
    );
    let counts = |finding: &&Finding| finding.severity >= Severity::Error && !names_a_cluster_needs(finding);
    let errors: Vec<&Finding> = findings.iter().filter(counts).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// The linter wants a dot in every DNS name and no `*`. RFC 5280 section 4.2.1.6 asks for the syntax of RFC 1034
/// section 3.5, where one label is a name, and leaves wildcards to whoever compares names (RFC 9525 section 6.3); no
/// pod could call `https://kubernetes` otherwise. Any other fault of a name counts.
fn names_a_cluster_needs(finding: &Finding) -> bool {
    let label = |name: &str| {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&name.len()) && name.bytes().all(letters) && !name.starts_with('-') && !name.ends_with('-')
    };
    let name = finding.message.strip_prefix("Invalid domain name syntax: \"");
    finding.code == "pkix.invalid_domain_name_syntax"
        && name
            .and_then(|name| name.strip_suffix('"'))
            .is_some_and(|name| label(name) || name == "*.kube.example.org")
}

#[test]
fn the_linter_objects_to_no_certificate_of_ecdsa_p256() {
    lints(Algorithm::EcdsaP256);
}

#[test]
fn the_linter_objects_to_no_certificate_of_ecdsa_p384() {
    lints(Algorithm::EcdsaP384);
}

#[test]
fn the_linter_objects_to_no_certificate_of_ed25519() {
    lints(Algorithm::Ed25519);
}

#[test]
fn the_linter_objects_to_no_certificate_of_rsa_2048() {
    lints(Algorithm::Rsa2048);
}

#[test]
fn the_linter_objects_to_no_certificate_of_rsa_3072() {
    lints(Algorithm::Rsa3072);
}

#[test]
fn the_linter_objects_to_no_certificate_of_rsa_4096() {
    lints(Algorithm::Rsa4096);
}
