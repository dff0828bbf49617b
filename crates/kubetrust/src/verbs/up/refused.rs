//! Every credential that must not let anybody in, or not as whom it says: certificates, tokens, headers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use kubetrust_auth::authn::service_account::issue::{BoundTo, SHORTEST_SECONDS, TokenAsk, TokenIssuer};
use kubetrust_auth::authn::service_account::{Reference, SigningKey};
use kubetrust_auth::authz::{Attributes, ResourceAttributes};
use kubetrust_auth::user::{MASTERS, User};
use kubetrust_pki::catalog::{self, Part};
use kubetrust_pki::inventory::{AuthorityFiles, CREDENTIAL_LIMIT, read_given};
use kubetrust_pki::issue::{IssueError, Issuer, Serial, self_sign};
use kubetrust_pki::key::{KeyError, PrivateKey};
use kubetrust_pki::profile::{Kind, Profile, Subject, Usages};
use kubetrust_pki::spec::{Authority, KeyAlgorithm, SubjectExtras};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::accounts::Account;
use super::identities::{Identity, Place};
use crate::client::{ClientError, Credential, Endpoint};

/// How long what is forged here would live.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Who would be in if a forgery were believed.
const WANTED: &str = "kubernetes-admin";
/// A controller whose account may do much.
const WANTED_ACCOUNT: &str = "system:serviceaccount:kube-system:clusterrole-aggregation-controller";

/// A credential, and what must become of it.
pub struct Refused {
    /// What it is.
    pub what: String,
    /// How the server is reached; [`None`] for the way that everybody takes.
    pub endpoint: Option<Endpoint>,
    /// What is shown.
    pub credential: Credential,
    /// What must become of it.
    pub fate: Fate,
}

/// What becomes of a credential that is not good, or not good for what it is used for.
pub enum Fate {
    /// 401.
    Unauthorized,
    /// It does not count, and the request is made as somebody else: nobody, or whom another credential proves.
    Counts(Box<User>),
    /// 403: this user may not do this, which the credential asks for.
    Forbidden(Box<User>, Box<Attributes>),
}

/// Why a forgery can't be made.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    /// A certificate.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What is needed for it.
    #[error("{0}")]
    Missing(String),
    /// As a client presents it.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Refused {
    /// One that gets a 401.
    pub fn unauthorized(what: impl Into<String>, credential: Credential) -> Self {
        Self {
            what: what.into(),
            endpoint: None,
            credential,
            fate: Fate::Unauthorized,
        }
    }

    fn counts_as(what: impl Into<String>, credential: Credential, user: User) -> Self {
        Self {
            fate: Fate::Counts(Box::new(user)),
            ..Self::unauthorized(what, credential)
        }
    }
}

/// Forges certificates that only look like a client's.
pub fn certificates(place: &Place, now: Timestamp) -> (Vec<Refused>, Vec<String>) {
    let (mut refused, mut untried) = (Vec::new(), Vec::new());
    let mut add = |what: &str, made: Result<Refused, Unmade>| match made {
        Ok(made) => refused.push(made),
        Err(why) => untried.push(format!("{what}: {why}")),
    };
    let of_clients = catalog::acting(&place.cluster, Authority::Kubernetes);
    let none = AuthorityFiles::default();
    let authority = place.authorities.cas.get(&of_clients).unwrap_or(&none);
    for (what, common_name, from, lifetime) in [
        (
            "a certificate that expired",
            WANTED,
            When::AuthorityBegan,
            SignedDuration::ZERO,
        ),
        ("a certificate that is not valid yet", WANTED, When::In(DAY), DAY),
        ("a certificate without a CN", "", When::In(SignedDuration::ZERO), DAY),
    ] {
        // Where front proxies are believed, as here, a certificate without a CN is a proxy's that is not allowed.
        let whose = if common_name.is_empty() {
            format!("in {MASTERS}")
        } else {
            common_name.to_owned()
        };
        let made = forged(authority, common_name, from, lifetime, now);
        add(
            what,
            made.map(|credential| Refused::unauthorized(format!("{what}, {whose}"), credential)),
        );
    }
    let what = "a certificate of another CA of the same name";
    add(
        what,
        of_impostor(authority, now).map(|credential| Refused::unauthorized(format!("{what}, {WANTED}"), credential)),
    );
    let what = "the CA's own certificate, with its key";
    add(
        what,
        own(authority).map(|credential| Refused::unauthorized(what, credential)),
    );

    let of_proxies = catalog::acting(&place.cluster, Authority::FrontProxy);
    if of_proxies != of_clients {
        let proxies = place.authorities.cas.get(&of_proxies).unwrap_or(&none);
        let what = "X-Remote-User with another certificate of the front proxy's CA";
        let made = forged(proxies, "somebody-else", When::In(SignedDuration::ZERO), DAY, now);
        add(
            what,
            made.map(|credential| Refused::unauthorized(what, for_admin(credential))),
        );
    }
    (refused, untried)
}

/// When a forged certificate begins.
#[derive(Clone, Copy)]
enum When {
    /// With its CA: the earliest that there is.
    AuthorityBegan,
    /// So long from now.
    In(SignedDuration),
}

/// A client certificate by a CA of the cluster.
fn forged(
    authority: &AuthorityFiles,
    common_name: &str,
    from: When,
    lifetime: SignedDuration,
    now: Timestamp,
) -> Result<Credential, Unmade> {
    let (Some(certificate), Some(key)) = (&authority.certificate, &authority.key) else {
        return Err(Unmade::Missing("the key of its CA is not in authority/".into()));
    };
    let begin = match from {
        When::AuthorityBegan => certificate.not_before,
        When::In(time) => now + time,
    };
    if lifetime.is_zero() && begin + SignedDuration::from_secs(1) >= now {
        return Err(Unmade::Missing(
            "the CA is younger than a second, so nothing of it has expired".into(),
        ));
    }
    let own = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
    let issuer = Issuer::new(certificate, key)?;
    let made = issuer.sign(
        &client(common_name, lifetime),
        own.public(),
        Serial::random()?,
        begin,
        SignedDuration::ZERO,
    )?;
    Ok(Credential::certificate(
        made.to_pem().as_bytes(),
        own.to_pem()?.as_bytes(),
    )?)
}

/// A client certificate by a CA that says it is the cluster's.
fn of_impostor(authority: &AuthorityFiles, now: Timestamp) -> Result<Credential, Unmade> {
    let name = authority
        .certificate
        .as_ref()
        .and_then(kubetrust_pki::certificate::Certificate::common_name);
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
    let profile = Profile {
        kind: Kind::Authority {
            path_len: 0,
            confined_to: None,
        },
        ..client(&name.unwrap_or_default(), DAY)
    };
    let impostor = self_sign(&profile, &key, Serial::random()?, now, SignedDuration::ZERO)?;
    let impostor = AuthorityFiles {
        certificate: Some(impostor),
        key: Some(key),
        ..AuthorityFiles::default()
    };
    forged(&impostor, WANTED, When::In(SignedDuration::ZERO), DAY, now)
}

fn own(authority: &AuthorityFiles) -> Result<Credential, Unmade> {
    let (Some(certificate), Some(key)) = (&authority.certificate, &authority.key) else {
        return Err(Unmade::Missing("the CA's key is not in authority/".into()));
    };
    Ok(Credential::certificate(
        certificate.to_pem().as_bytes(),
        key.to_pem()?.as_bytes(),
    )?)
}

/// The admin, as it would be issued.
fn client(common_name: &str, lifetime: SignedDuration) -> Profile {
    Profile {
        subject: Subject {
            common_name: common_name.to_owned(),
            organizations: vec![MASTERS.to_owned()],
            extras: SubjectExtras::default(),
        },
        sans: std::collections::BTreeSet::new(),
        kind: Kind::Leaf(Usages::Client),
        lifetime,
    }
}

/// `X-Remote-*` that would make its sender an admin.
fn for_admin(credential: Credential) -> Credential {
    credential
        .with_header("x-remote-user", WANTED)
        .with_header("x-remote-group", MASTERS)
}

/// Tokens that only look good. The admin of `identities` is whose certificate goes with some of them.
pub fn tokens(place: &Place, account: Option<&Account>, now: Timestamp) -> (Vec<Refused>, Vec<String>) {
    let (mut refused, mut untried) = (Vec::new(), Vec::new());
    let mut add = |what: &str, token: Result<Zeroizing<String>, Unmade>| {
        let made = token.and_then(|token| Ok(Credential::token(&token)?));
        match made {
            Ok(credential) => refused.push(Refused::unauthorized(what, credential)),
            Err(why) => untried.push(format!("{what}: {why}")),
        }
    };
    let text = |text: &str| Ok(Zeroizing::new(text.to_owned()));
    add("a token that nobody knows", text("0123456789abcdef0123456789abcdef"));
    add(
        "a token that is no JWT, and looks like one",
        text("eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"),
    );
    if let Some(token) = &place.authorities.bootstrap_token {
        let value = token.value();
        let wrong = value
            .chars()
            .next_back()
            .map(|last| if last == '0' { '1' } else { '0' });
        let mut changed = Zeroizing::new(
            value
                .get(..value.len().saturating_sub(1))
                .unwrap_or_default()
                .to_owned(),
        );
        changed.extend(wrong);
        add("the bootstrap token with another secret", Ok(changed));
    }
    let Some(account) = account else {
        return (refused, untried);
    };
    let by_cluster = || signing_key(place);
    let by_stranger = || {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        read_key(key.to_pem()?.as_bytes())
    };
    let issuer = account.claims["iss"].as_str().unwrap_or_default();
    let long_ago = now - DAY;
    add("a service-account token with alg none", unsigned(account));
    add(
        "a service-account token with HS256 over sa.pub",
        by_public_key(place, account),
    );
    add(
        "a service-account token for another account, its signature kept",
        changed(account),
    );
    add(
        "a service-account token by another key",
        by_stranger().and_then(|key| issued(account, key, issuer, now)),
    );
    add(
        "a service-account token of another issuer",
        by_cluster().and_then(|key| issued(account, key, "https://issuer.example.org", now)),
    );
    add(
        "a service-account token that expired",
        by_cluster().and_then(|key| issued(account, key, issuer, long_ago)),
    );
    add(
        "a service-account token that is not valid yet",
        by_cluster().and_then(|key| issued(account, key, issuer, now + DAY)),
    );
    add(
        "a service-account token for somebody else",
        Ok(account.for_others.clone()),
    );
    add(
        "a service-account token whose account was deleted",
        Ok(account.of_deleted.clone()),
    );
    (refused, untried)
}

fn signing_key(place: &Place) -> Result<SigningKey, Unmade> {
    read_key(&service_account_file(place, Part::Key)?)
}

fn read_key(pem: &[u8]) -> Result<SigningKey, Unmade> {
    SigningKey::from_pem("sa.key", pem).map_err(|error| Unmade::Missing(error.to_string()))
}

fn service_account_file(place: &Place, part: Part) -> Result<Zeroizing<Vec<u8>>, Unmade> {
    let files = catalog::host_files(&place.cluster, &place.host);
    let file = files
        .iter()
        .find(|file| file.row == "service-account" && file.part == part);
    let file = file.ok_or_else(|| Unmade::Missing("this host has no key of service accounts".into()))?;
    let path = place.folder.join(&file.path);
    let read = read_given(&path, CREDENTIAL_LIMIT).map(Zeroizing::new);
    read.map_err(|error| Unmade::Missing(format!("{}: {error}", path.display())))
}

/// A token of the account, as an API server with this key and this name would have issued it then.
fn issued(account: &Account, key: SigningKey, issuer: &str, then: Timestamp) -> Result<Zeroizing<String>, Unmade> {
    let audiences = account.claims["aud"].as_array().into_iter().flatten();
    let audiences = audiences.filter_map(Value::as_str).map(str::to_owned).collect();
    let (namespace, name) = account.user.service_account().unwrap_or_default();
    let ask = TokenAsk {
        namespace: namespace.to_owned(),
        account: Reference {
            name: name.to_owned(),
            uid: account.user.uid.clone(),
        },
        bound_to: BoundTo::Account,
        audiences,
        expiration_seconds: SHORTEST_SECONDS,
    };
    let issuer = TokenIssuer::new(issuer.to_owned(), key, ask.audiences.clone(), None, false);
    issuer
        .issue(ask, then)
        .map(|issued| issued.token)
        .map_err(|error| Unmade::Missing(error.to_string()))
}

/// Header and payload of a token, and its signature.
fn parts(token: &str) -> Result<(&str, &str, &str), Unmade> {
    let mut parts = token.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature)) => Ok((header, payload, signature)),
        _ => Err(Unmade::Missing("the server's token is no JWT".into())),
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn unsigned(account: &Account) -> Result<Zeroizing<String>, Unmade> {
    let (_, payload, _) = parts(&account.token)?;
    Ok(Zeroizing::new(format!(
        "{}.{payload}.",
        encoded(&json!({"alg": "none"}))
    )))
}

/// The classic: a server that lets the token choose takes its public key for a shared secret.
fn by_public_key(place: &Place, account: &Account) -> Result<Zeroizing<String>, Unmade> {
    let (_, payload, _) = parts(&account.token)?;
    let public = service_account_file(place, Part::PublicKeys)?;
    let signed = format!("{}.{payload}", encoded(&json!({"alg": "HS256"})));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    Ok(Zeroizing::new(format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(tag.as_ref())
    )))
}

fn changed(account: &Account) -> Result<Zeroizing<String>, Unmade> {
    let (header, _, signature) = parts(&account.token)?;
    let mut claims = account.claims.clone();
    claims["sub"] = WANTED_ACCOUNT.into();
    claims["kubernetes.io"]["serviceaccount"]["name"] = WANTED_ACCOUNT.rsplit(':').next().into();
    Ok(Zeroizing::new(format!("{header}.{}.{signature}", encoded(&claims))))
}

/// What is good, together with what is not: who is asking is decided by the credential that counts.
pub fn mixtures(identities: &[Identity], strangers: &[Refused]) -> Vec<Refused> {
    let mut refused = vec![
        Refused::counts_as(
            "X-Remote-User from nobody",
            for_admin(Credential::default()),
            User::anonymous(),
        ),
        Refused::counts_as(
            "user and password (basic auth)",
            Credential::default().with_header("authorization", "Basic YWRtaW46YWRtaW4="),
            User::anonymous(),
        ),
    ];
    let named = |name: &str| identities.iter().find(|identity| identity.name == name);
    let also = |identity: &Identity, what: &str, credential: Credential, user: User| Refused {
        endpoint: Some(identity.endpoint.clone()),
        ..Refused::counts_as(format!("{what} {}", identity.name), credential, user)
    };
    if let Some(admin) = named("admin.conf") {
        let asked = admin.credential.clone().with_header("x-remote-user", "jane");
        refused.push(also(admin, "X-Remote-User: jane, with", asked, admin.user.clone()));
        if let Ok(asked) = admin.credential.clone().with_token("0123456789abcdef") {
            refused.push(also(
                admin,
                "a token that nobody knows, with",
                asked,
                admin.user.clone(),
            ));
        }
    }
    if let Some(scheduler) = named("scheduler.conf") {
        let asked = scheduler.credential.clone().with_header("impersonate-user", WANTED);
        let impersonation = ResourceAttributes {
            verb: "impersonate".to_owned(),
            version: "v1".to_owned(),
            resource: "users".to_owned(),
            name: WANTED.to_owned(),
            ..ResourceAttributes::default()
        };
        refused.push(Refused {
            fate: Fate::Forbidden(
                Box::new(scheduler.user.clone()),
                Box::new(Attributes::Resource(impersonation)),
            ),
            ..also(
                scheduler,
                &format!("Impersonate-User: {WANTED}, with"),
                asked,
                scheduler.user.clone(),
            )
        });
    }
    // None can veto (S4): a token that is good counts, whatever certificate comes with it.
    if let (Some(stranger), Some(identity)) = (
        strangers.first(),
        identities.iter().find(|identity| identity.token.is_some()),
    ) && let Some(token) = &identity.token
        && let Ok(both) = stranger.credential.clone().with_token(token)
    {
        let what = format!("{}, with the token of", stranger.what);
        refused.push(also(identity, &what, both, identity.user.clone()));
    }
    refused
}
