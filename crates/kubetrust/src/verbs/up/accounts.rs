//! Service accounts for the matrix: the admin asks for the tokens, as `kubectl create token` does.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use kubetrust_auth::user::{CREDENTIAL_ID, User};
use serde_json::{Value, json};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::identities::Identity;
use crate::client::Connection;
use crate::exit::Failure;
use crate::verbs::policy::carried_out;
use crate::verbs::whom;

/// Where the accounts are.
const NAMESPACE: &str = "kube-system";
/// The account that every namespace has.
const DEFAULT: &str = "default";
/// An account that is made to be deleted.
const DELETED: &str = "kubetrust-up";
/// Somebody who takes tokens of this cluster, and is not its API server.
const ELSEWHERE: &str = "https://vault.example.org";
/// How long it may take until the controllers of a new cluster have made the default accounts.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(5);
/// Seconds that the tokens live: the least that may be asked for.
const SECONDS: i64 = 600;

/// Tokens, and whose they are.
pub struct Account {
    /// A good one.
    pub token: Zeroizing<String>,
    /// Whose it is.
    pub user: User,
    /// What it says of itself.
    pub claims: Value,
    /// One of the same account for somebody else.
    pub for_others: Zeroizing<String>,
    /// One of an account that is no more.
    pub of_deleted: Zeroizing<String>,
}

impl Account {
    /// Has the admin ask for them.
    pub async fn ask(admin: &Identity) -> Result<Self, Failure> {
        let mut connection = Connection::open(&admin.endpoint, &admin.credential).await?;
        // Pods in `default` run as its account: the probe that creates one waits for it too.
        wait_for(&mut connection, "default", DEFAULT).await?;
        let uid = wait_for(&mut connection, NAMESPACE, DEFAULT).await?;
        let token = token(&mut connection, DEFAULT, &[]).await?;
        let for_others = self::token(&mut connection, DEFAULT, &[ELSEWHERE]).await?;
        let of_deleted = deleted(&mut connection).await?;
        let claims = claims(&token);
        let jti = claims["jti"].as_str().unwrap_or_default();
        let mut user = User {
            name: format!("system:serviceaccount:{NAMESPACE}:{DEFAULT}"),
            uid,
            extra: [(CREDENTIAL_ID.to_owned(), vec![format!("JTI={jti}")])].into(),
            ..User::default()
        };
        user.groups = whom::groups_of_account(&user);
        Ok(Self {
            user: whom::proven(user),
            token,
            claims,
            for_others,
            of_deleted,
        })
    }
}

fn accounts(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts")
}

/// The UID of an account, once it is there.
async fn wait_for(connection: &mut Connection, namespace: &str, name: &str) -> Result<String, Failure> {
    let path = format!("{}/{name}", accounts(namespace));
    let begun = Instant::now();
    loop {
        let answer = connection.send(Method::GET, &path, None).await?;
        if answer.code != 404 || begun.elapsed() > PATIENCE {
            let account = carried_out(&answer)?;
            return Ok(account["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn token(connection: &mut Connection, name: &str, audiences: &[&str]) -> Result<Zeroizing<String>, Failure> {
    let path = format!("{}/{name}/token", accounts(NAMESPACE));
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": SECONDS, "audiences": audiences},
    });
    let answer = carried_out(&connection.send(Method::POST, &path, Some(&request)).await?)?;
    Ok(Zeroizing::new(
        answer["status"]["token"].as_str().unwrap_or_default().to_owned(),
    ))
}

/// The token of an account that is made, and then deleted.
async fn deleted(connection: &mut Connection) -> Result<Zeroizing<String>, Failure> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DELETED}});
    let made = connection
        .send(Method::POST, &accounts(NAMESPACE), Some(&account))
        .await?;
    // One that is there was left by a run that broke off.
    if made.code != 409 {
        carried_out(&made)?;
    }
    let token = token(connection, DELETED, &[]).await?;
    let path = format!("{}/{DELETED}", accounts(NAMESPACE));
    carried_out(&connection.send(Method::DELETE, &path, None).await?)?;
    Ok(token)
}

/// The payload of a token.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}
