//! `kubetrust show`: every certificate and kubeconfig.

use jiff::Timestamp;
use kubetrust_pki::certificate::{CLIENT_AUTH, Certificate, SERVER_AUTH};
use kubetrust_pki::cluster::{LoadError, Loaded};
use kubetrust_pki::listing::{self, Content, Entry};
use serde_json::{Value, json};

use crate::cli::{ShowArgs, ShowFormat};
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

const SECONDS_A_DAY: i64 = 86_400;

pub fn run(args: &ShowArgs, now: Timestamp, ui: &Ui) -> Result<Exit, Failure> {
    let root = &args.dir.dir;
    let _lock = super::read_lock(root)?;
    let loaded = Loaded::read(root, now)?;
    let only = args
        .host
        .as_deref()
        .map(|name| super::host(&loaded.cluster, name))
        .transpose()?;
    let entries = listing::list(root, &loaded.cluster, &loaded.authorities, only).map_err(LoadError::Obstacles)?;
    match args.output {
        ShowFormat::Table => ui.print_table(
            [
                "NAME",
                "HOST",
                "SUBJECT",
                "EXPIRES",
                "RESIDUAL TIME",
                "CERTIFICATE AUTHORITY",
            ],
            entries
                .iter()
                .map(|entry| {
                    let [name, host, subject, expires, left, ca, ..] = columns(entry, now);
                    [name, host, subject, expires, left, ca]
                })
                .collect(),
        )?,
        ShowFormat::Wide => ui.print_table(
            [
                "NAME",
                "HOST",
                "SUBJECT",
                "EXPIRES",
                "RESIDUAL TIME",
                "CERTIFICATE AUTHORITY",
                "EXTERNALLY MANAGED",
                "ISSUER",
                "USAGES",
                "SANS",
                "KEY",
                "SERIAL",
                "FILES",
            ],
            entries.iter().map(|entry| columns(entry, now)).collect(),
        )?,
        ShowFormat::Json => ui.print_json(&to_json(&entries, now))?,
        ShowFormat::Yaml => ui.print_yaml(&to_json(&entries, now))?,
    }
    Ok(Exit::Done)
}

fn columns(entry: &Entry, now: Timestamp) -> [String; 13] {
    let none = || "-".to_owned();
    let host = entry.host.clone().unwrap_or_else(none);
    let ca = entry.ca_name.clone().unwrap_or_else(none);
    let external = if entry.externally_managed { "yes" } else { "no" }.to_owned();
    let files = entry.files.join(",");
    match &entry.content {
        Content::Authority(certificate) | Content::Leaf(certificate) => [
            entry.name.clone(),
            host,
            certificate.subject.to_string(),
            day(certificate.not_after),
            residual(certificate.not_after, now),
            ca,
            external,
            certificate.issuer.to_string(),
            usages(certificate).join(","),
            or_none(sans(certificate).join(",")),
            certificate.public_key.kind.to_string(),
            certificate.serial_hex(),
            files,
        ],
        Content::Token { user, expires } => [
            entry.name.clone(),
            host,
            format!("{user} (token)"),
            expires.map_or_else(none, day),
            expires.map_or_else(none, |end| residual(end, now)),
            none(),
            "no".to_owned(),
            none(),
            none(),
            none(),
            none(),
            none(),
            files,
        ],
        Content::Absent(why) => [
            entry.name.clone(),
            host,
            format!("<{why}>"),
            none(),
            none(),
            ca,
            external,
            none(),
            none(),
            none(),
            none(),
            none(),
            files,
        ],
    }
}

/// The names that `kubeadm certs check-expiration -o json` uses, and ours beside them.
fn to_json(entries: &[Entry], now: Timestamp) -> Value {
    let list = |authorities: bool| -> Vec<Value> {
        entries
            .iter()
            .filter(|entry| matches!(entry.content, Content::Authority(_)) == authorities)
            .map(|entry| entry_json(entry, now))
            .collect()
    };
    json!({
        "kind": "CertificateExpirationInfo",
        "certificates": list(false),
        "certificateAuthorities": list(true),
    })
}

fn entry_json(entry: &Entry, now: Timestamp) -> Value {
    let mut value = json!({
        "name": entry.name,
        "host": entry.host,
        "files": entry.files,
        "caName": entry.ca_name,
        "externallyManaged": entry.externally_managed,
        "missing": matches!(entry.content, Content::Absent(_)),
    });
    let more = match &entry.content {
        Content::Authority(certificate) | Content::Leaf(certificate) => json!({
            "subject": certificate.subject.to_string(),
            "issuer": certificate.issuer.to_string(),
            "sans": sans(certificate),
            "usages": usages(certificate),
            "notBefore": certificate.not_before.to_string(),
            "expirationDate": certificate.not_after.to_string(),
            "residualTimeSeconds": seconds_left(certificate.not_after, now),
            "key": certificate.public_key.kind.to_string(),
            "serial": certificate.serial_hex(),
            "fingerprintSHA256": certificate.fingerprint(),
        }),
        Content::Token { user, expires } => json!({
            "user": user,
            "expirationDate": expires.map(|end| end.to_string()),
            "residualTimeSeconds": expires.map(|end| seconds_left(end, now)),
        }),
        Content::Absent(why) => json!({"reason": why}),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

fn usages(certificate: &Certificate) -> Vec<String> {
    if certificate.authority.is_some() {
        return vec!["CA".to_owned()];
    }
    let Some(usages) = &certificate.extended_usages else {
        return vec!["any".to_owned()];
    };
    usages
        .iter()
        .map(|usage| match *usage {
            SERVER_AUTH => "server auth".to_owned(),
            CLIENT_AUTH => "client auth".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

fn sans(certificate: &Certificate) -> Vec<String> {
    certificate
        .sans
        .iter()
        .map(ToString::to_string)
        .chain(certificate.other_sans.iter().cloned())
        .collect()
}

fn or_none(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn seconds_left(end: Timestamp, now: Timestamp) -> i64 {
    end.as_second() - now.as_second()
}

/// Days while there are some, hours and minutes on the last, and how long ago it ended.
fn residual(end: Timestamp, now: Timestamp) -> String {
    let seconds = seconds_left(end, now);
    let (left, ago) = if seconds >= 0 {
        (seconds, "")
    } else {
        (-seconds, " ago")
    };
    match left / SECONDS_A_DAY {
        0 => format!("{}h{:02}m{ago}", left / 3600, left % 3600 / 60),
        days => format!("{days}d{ago}"),
    }
}
