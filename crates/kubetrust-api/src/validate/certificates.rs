//! Certificate signing requests (`pkg/apis/certificates/validation`). Their shape is checked here; the signature of the
//! request is for whoever has the cryptography.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    field::{self, Path},
    names, read,
};
use crate::{status::Cause, strategy};

/// Shortest life that can be asked for, in seconds.
pub const EXPIRATION_MIN: i64 = 600;
/// Longest path of a signer's name, in bytes: a label, a dot and a subdomain.
pub const SIGNER_PATH_MAX: usize = names::LABEL_MAX + 1 + names::SUBDOMAIN_MAX;

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const DECIDED: [&str; 2] = ["Approved", "Denied"];
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

/// What certificates can be used for, sorted.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// A request. On an update, what is wrong in `old` already is not told again.
pub fn request(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let at = Path::new("spec");
    let bytes = read::text(object, "/spec/request");
    let pem = STANDARD.decode(bytes).unwrap_or_default();
    if let Err(why) = pem_block(&pem, "CERTIFICATE REQUEST").and_then(|der| der_sequence(&der)) {
        faults.push(field::invalid(&at.child("request"), bytes, why));
    }
    let usages = read::list(object, "/spec/usages");
    if usages.is_empty() {
        faults.push(field::required(&at.child("usages"), ""));
    }
    let usages_at = at.child("usages");
    let same_usages = old.is_some_and(|old| read::list(old, "/spec/usages") == usages);
    let mut seen = HashSet::new();
    let texts = usages.iter().map(|usage| usage.as_str().unwrap_or_default());
    if !same_usages {
        for (index, usage) in texts.clone().enumerate().filter(|(_, usage)| !USAGES.contains(usage)) {
            faults.push(field::not_supported(&usages_at.index(index), usage, &USAGES));
        }
        for (index, usage) in texts.enumerate().filter(|(_, usage)| !seen.insert(*usage)) {
            faults.push(field::duplicate(&usages_at.index(index), usage));
        }
    }
    let signer = read::text(object, "/spec/signerName");
    let was_legacy = old.is_some_and(|old| read::text(old, "/spec/signerName") == LEGACY_SIGNER);
    let signer_at = at.child("signerName");
    if signer == LEGACY_SIGNER && !was_legacy {
        faults.push(field::invalid(
            &signer_at,
            signer,
            "the legacy signerName is not allowed via this API version",
        ));
    } else {
        signer_name(signer, &signer_at, faults);
    }
    if let Some(seconds) = read::number(object, "/spec/expirationSeconds").filter(|seconds| *seconds < EXPIRATION_MIN) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        faults.push(field::invalid(&at.child("expirationSeconds"), seconds, why));
    }
    conditions(object, faults);
    let certificate = read::text(object, "/status/certificate");
    let same = old.is_some_and(|old| read::text(old, "/status/certificate") == certificate);
    if let (false, Err(why)) = (same, certificates(&STANDARD.decode(certificate).unwrap_or_default())) {
        faults.push(field::invalid(
            &Path::new("status.certificate"),
            "<certificate data>",
            &why,
        ));
    }
}

/// The name of a signer: `example.com/signer-name`.
pub fn signer_name(name: &str, at: &Path<'_>, faults: &mut Vec<Cause>) {
    if name.is_empty() {
        faults.push(field::required(at, ""));
        return;
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        faults.push(field::invalid(at, name, why));
        return;
    };
    if domain.len() > names::SUBDOMAIN_MAX {
        faults.push(field::too_long(at, names::SUBDOMAIN_MAX));
    }
    labels(domain, names::dns1123_label, at, faults);
    if !domain.contains('.') {
        faults.push(field::invalid(
            at,
            domain,
            "should be a domain with at least two segments separated by dots",
        ));
    }
    labels(path, names::dns1123_subdomain, at, faults);
    if path.len() > SIGNER_PATH_MAX {
        faults.push(field::too_long(at, SIGNER_PATH_MAX));
    }
}

/// The first part that is wrong is told, with all that is wrong with it.
fn labels(text: &str, check: names::Check, at: &Path<'_>, faults: &mut Vec<Cause>) {
    let bad = text
        .split('.')
        .map(|label| (label, check(label)))
        .find(|(_, faults)| !faults.is_empty());
    for why in bad.iter().flat_map(|(_, faults)| faults) {
        let label = bad.as_ref().map_or("", |(label, _)| label);
        let why = format!("validating label {}: {why}", field::go_quoted(label));
        faults.push(field::invalid(at, text, &why));
    }
}

fn conditions(object: &Value, faults: &mut Vec<Cause>) {
    let at = Path::new("status.conditions");
    let mut seen: HashSet<&str> = HashSet::new();
    for (index, condition) in read::list(object, "/status/conditions").iter().enumerate() {
        let at_this = at.index(index);
        let kind = read::text(condition, "/type");
        if kind.is_empty() {
            faults.push(field::required(&at_this.child("type"), ""));
        }
        let status = read::text(condition, "/status");
        let allowed: &[&str] = if FINAL.contains(&kind) {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        if status.is_empty() {
            faults.push(field::required(&at_this.child("status"), ""));
        } else if !allowed.contains(&status) {
            faults.push(field::not_supported(&at_this.child("status"), status, allowed));
        }
        if DECIDED.contains(&kind) && DECIDED.iter().any(|other| *other != kind && seen.contains(other)) {
            faults.push(field::invalid(
                &at,
                kind,
                "Approved and Denied conditions are mutually exclusive",
            ));
        }
        if !seen.insert(kind) {
            faults.push(field::duplicate(&at_this.child("type"), kind));
        }
    }
}

/// Through which door a request is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The request itself.
    Main,
    /// `/status`: may set the certificate.
    Status,
    /// `/approval`: may set the conditions that decide.
    Approval,
}

/// What must not change in a request's status through this door.
pub fn update(new: &Value, old: &Value, door: Door, faults: &mut Vec<Cause>) {
    let at = Path::new("status.conditions");
    let of = |object: &Value, kind: &str| -> Vec<Value> {
        let conditions = read::list(object, "/status/conditions").iter();
        conditions
            .filter(|condition| read::text(condition, "/type") == kind)
            .cloned()
            .collect()
    };
    for kind in FINAL {
        if of(new, kind).len() < of(old, kind).len() {
            faults.push(field::forbidden(
                &at,
                &format!("updates may not remove a condition of type \"{kind}\""),
            ));
        }
    }
    if door != Door::Approval {
        for kind in DECIDED {
            let (new, old) = (of(new, kind), of(old, kind));
            if new.len() > old.len() {
                faults.push(field::forbidden(
                    &at,
                    &format!("updates may not add a condition of type \"{kind}\""),
                ));
            } else if new.len() == old.len() && !new.iter().zip(&old).all(|(a, b)| strategy::same(Some(a), Some(b))) {
                faults.push(field::forbidden(
                    &at,
                    &format!("updates may not modify a condition of type \"{kind}\""),
                ));
            }
        }
    }
    let certificate = |object| read::text(object, "/status/certificate");
    if certificate(new) != certificate(old) {
        let at = Path::new("status.certificate");
        if door != Door::Status {
            faults.push(field::forbidden(&at, "updates may not set certificate content"));
        } else if !certificate(old).is_empty() {
            faults.push(field::forbidden(
                &at,
                "updates may not modify existing certificate content",
            ));
        }
    }
}

const WRONG_BLOCK: &str = "PEM block type must be CERTIFICATE REQUEST";

/// The content of the first PEM block, which must have this label.
fn pem_block(pem: &[u8], label: &str) -> Result<Vec<u8>, &'static str> {
    let blocks = pem_blocks(pem).ok_or(WRONG_BLOCK)?;
    let (found, body) = blocks.into_iter().next().ok_or(WRONG_BLOCK)?;
    if found == label {
        body.ok_or(WRONG_BLOCK)
    } else {
        Err(WRONG_BLOCK)
    }
}

/// Labels and contents of all PEM blocks; a content is `None` if it is no base64, or has headers. `None` if the text is
/// none.
fn pem_blocks(pem: &[u8]) -> Option<Vec<(String, Option<Vec<u8>>)>> {
    let text = std::str::from_utf8(pem).ok()?;
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, after)) = after.split_once("-----") else {
            break;
        };
        let Some((body, after)) = after.split_once(&format!("-----END {label}-----")) else {
            break;
        };
        let body: String = body
            .chars()
            .filter(|character| !character.is_ascii_whitespace())
            .collect();
        blocks.push((label.to_owned(), STANDARD.decode(body).ok()));
        rest = after;
    }
    Some(blocks)
}

/// Whether the bytes are one DER SEQUENCE, and nothing after it (X.690, 8.1.3).
fn der_sequence(der: &[u8]) -> Result<(), &'static str> {
    const MALFORMED: &str = "asn1: structure error: malformed certificate request";
    let (length, header) = match der {
        [0x30, short @ 0..=0x7f, ..] => (usize::from(*short), 2),
        [0x30, 0x81, a, ..] => (usize::from(*a), 3),
        [0x30, 0x82, a, b, ..] => (usize::from(*a) << 8 | usize::from(*b), 4),
        [0x30, 0x83, a, b, c, ..] => (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c), 5),
        _ => return Err(MALFORMED),
    };
    if der.len() == header + length {
        Ok(())
    } else {
        Err(MALFORMED)
    }
}

/// One or more PEM certificates, or nothing at all.
fn certificates(pem: &[u8]) -> Result<(), String> {
    if pem.is_empty() {
        return Ok(());
    }
    let blocks = pem_blocks(pem).unwrap_or_default();
    if blocks.is_empty() {
        return Err("must contain at least one CERTIFICATE PEM block".into());
    }
    for (label, body) in blocks {
        if label != "CERTIFICATE" {
            return Err(format!(
                "only CERTIFICATE PEM blocks are allowed, found {}",
                field::go_quoted(&label)
            ));
        }
        let body = body.ok_or("no PEM block headers are permitted")?;
        der_sequence(&body).map_err(|_| "x509: malformed certificate")?;
    }
    Ok(())
}
