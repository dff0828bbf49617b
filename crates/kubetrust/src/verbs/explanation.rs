//! How a server found out whom a credential names, or why it refuses it: asked, and made into lines.

use std::path::Path;

use http::Method;
use kubetrust_server::endpoints::explain::PATH;
use serde_json::{Value, json};

use super::policy::carried_out;
use crate::client::access::Access;
use crate::client::{ClientError, Connection};
use crate::exit::Failure;

/// What a server says of the very connection that it is asked on; nothing where it explains nothing, as kube-apiserver.
pub async fn own(connection: &mut Connection) -> Result<Option<Value>, ClientError> {
    let answer = connection.send(Method::GET, PATH, None).await?;
    let explanation = answer.json();
    Ok((answer.is_success() && explanation["schemes"].is_array()).then_some(explanation))
}

/// What a server says of a credential that somebody else shows it: the PEM of a certificate, an `Authorization` header,
/// or both. The one who asks is the user of this kubeconfig.
pub async fn of_another(
    asking: &Path,
    server: Option<&str>,
    certificate: &str,
    authorization: &str,
) -> Result<Value, Failure> {
    let mut access = Access::read(asking)?;
    if let Some(url) = server {
        access.endpoint = access.endpoint.moved(url)?;
    }
    let mut connection = Connection::open(&access.endpoint, &access.credential).await?;
    let question = json!({"certificate": certificate, "authorization": authorization});
    carried_out(&connection.send(Method::POST, PATH, Some(&question)).await?)
}

/// Each scheme, what it made of the credential, and why, or whom it took it for.
pub fn schemes(explanation: &Value) -> Vec<[String; 3]> {
    let asked = explanation["schemes"].as_array().into_iter().flatten();
    asked
        .map(|scheme| {
            let said = ["reason", "user"].iter().find_map(|field| scheme[*field].as_str());
            [
                text(&scheme["scheme"]),
                text(&scheme["outcome"]),
                said.unwrap_or_default().to_owned(),
            ]
        })
        .collect()
}

/// What the certificate says, and what each pool of CAs makes of it; nothing where none was shown.
pub fn certificate(explanation: &Value) -> Vec<[String; 2]> {
    let certificate = &explanation["certificate"];
    let fields = [
        ("Subject", "subject"),
        ("Issuer", "issuer"),
        ("Serial", "serial"),
        ("Valid from", "notBefore"),
        ("Valid until", "notAfter"),
        ("Unreadable", "unreadable"),
    ];
    let said = fields
        .into_iter()
        .filter(|(_, field)| certificate[*field].is_string())
        .map(|(label, field)| [label.to_owned(), text(&certificate[field])]);
    let pools = certificate["pools"].as_array().into_iter().flatten().map(|pool| {
        let found = match pool["trusted"].as_bool() {
            Some(true) => format!("trusted until {}", text(&pool["notAfter"])),
            _ => text(&pool["reason"]),
        };
        [format!("By {}", text(&pool["pool"])), found]
    });
    said.chain(pools).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
