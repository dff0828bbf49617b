//! One cluster for all tests: its CAs, keys, files and objects.

pub mod x509;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use kubetrust_auth::authn::service_account::issue::{BoundTo, TokenAsk, TokenIssuer};
use kubetrust_auth::authn::service_account::{Keys, Reference, SigningKey};
use kubetrust_auth::authn::x509::{Pool, RevocationList, Revocations, RevokedSerials, Verifier};
use kubetrust_auth::authn::{
    Anonymous, Authenticated, Authenticators, Config, FrontProxy, Lookup, PasswordFile, PeerChain, Presented, Refusal,
    RemoteHeaders, ServiceAccounts, TokenFile,
};
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::pem;
use kubetrust_pki::spec::KeyAlgorithm;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use x509::{Authority, Wish};

pub const ISSUER: &str = "https://kubernetes.default.svc";
pub const AUDIENCE: &str = "https://kubernetes.default.svc";
pub const BOOTSTRAP: &str = "abcdef.0123456789abcdef";

/// When all tests play.
pub fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

pub struct World {
    pub ca: Authority,
    pub proxy_ca: Authority,
    /// Bears the name of `ca`, and isn't it.
    pub namesake: Authority,
    pub rsa: PrivateKey,
    pub ec: PrivateKey,
    pub cluster: Cluster,
}

pub static WORLD: LazyLock<World> = LazyLock::new(|| World {
    ca: Authority::root("kubernetes-ca"),
    proxy_ca: Authority::root("front-proxy-ca"),
    namesake: Authority::root("kubernetes-ca"),
    rsa: PrivateKey::generate(KeyAlgorithm::Rsa2048).unwrap(),
    ec: PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap(),
    cluster: Cluster::new(),
});

/// The objects that tokens are bound to.
#[derive(Clone)]
pub struct Cluster(pub HashMap<String, Value>);

impl Cluster {
    fn new() -> Self {
        let data = |pairs: &[(&str, &str)]| -> Value {
            pairs
                .iter()
                .map(|(key, value)| (key.to_string(), Value::from(STANDARD.encode(value))))
                .collect()
        };
        let objects = [
            ("serviceaccounts/app/robot", json!({"metadata": {"uid": "u-robot"}})),
            ("pods/app/pod-0", json!({"metadata": {"uid": "u-pod"}})),
            ("nodes/node-0", json!({"metadata": {"uid": "u-node"}})),
            ("secrets/app/bound", json!({"metadata": {"uid": "u-secret"}})),
            (
                "secrets/kube-system/bootstrap-token-abcdef",
                json!({"type": "bootstrap.kubernetes.io/token", "metadata": {}, "data": data(&[
                    ("token-id", "abcdef"), ("token-secret", "0123456789abcdef"),
                    ("usage-bootstrap-authentication", "true"),
                    ("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token"),
                ])}),
            ),
        ];
        Self(
            objects
                .into_iter()
                .map(|(key, object)| (key.to_owned(), object))
                .collect(),
        )
    }

    pub fn with(mut self, key: &str, change: impl FnOnce(&mut Value)) -> Self {
        change(self.0.get_mut(key).unwrap());
        self
    }

    pub fn without(mut self, key: &str) -> Self {
        self.0.remove(key).unwrap();
        self
    }

    fn get(&self, key: &str) -> Option<Arc<Value>> {
        self.0.get(key).cloned().map(Arc::new)
    }
}

impl Lookup for Cluster {
    fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.get(&format!("secrets/{namespace}/{name}"))
    }
    fn service_account(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.get(&format!("serviceaccounts/{namespace}/{name}"))
    }
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.get(&format!("pods/{namespace}/{name}"))
    }
    fn node(&self, name: &str) -> Option<Arc<Value>> {
        self.get(&format!("nodes/{name}"))
    }
}

impl World {
    /// Everything on, and these revoked.
    pub fn config(&self, lists: Vec<RevocationList>, serials: &str) -> Config {
        let client = Pool::from_pem("ca.crt", self.ca.pem().as_bytes()).unwrap();
        let proxy = Pool::from_pem("front-proxy-ca.crt", self.proxy_ca.pem().as_bytes()).unwrap();
        let serials = RevokedSerials::parse("revoked.txt", serials.as_bytes()).unwrap();
        let (revocations, _) = Revocations::new(lists, serials, &[&client, &proxy]).unwrap();
        let revocations = Arc::new(revocations);
        Config {
            front_proxy: Some(FrontProxy::new(
                Verifier::new(proxy, Arc::clone(&revocations)),
                vec!["front-proxy-client".into()],
                RemoteHeaders::standard(),
            )),
            client: Some(Verifier::new(client, revocations)),
            token_file: Some(Arc::new(
                TokenFile::parse("token.csv", b"static-token,alice,1,\"dev,ops\"\n").unwrap(),
            )),
            password_file: Some(Arc::new(
                PasswordFile::parse("basic.csv", b"swordfish,bob,2,dev\n").unwrap(),
            )),
            service_accounts: Some(Arc::new(self.service_accounts())),
            bootstrap_tokens: true,
            anonymous: Anonymous::Everywhere,
            audiences: vec![AUDIENCE.into()],
        }
    }

    pub fn authenticators(&self) -> Authenticators {
        Authenticators::new(self.config(Vec::new(), ""))
    }

    pub fn service_accounts(&self) -> ServiceAccounts {
        let both = format!("{}{}", self.rsa.public().to_pem(), self.ec.public().to_pem());
        let keys = Keys::from_pem("sa.pub", both.as_bytes()).unwrap();
        ServiceAccounts::new(keys, [ISSUER.to_owned()], [AUDIENCE.to_owned()]).unwrap()
    }

    /// A token of an hour for `robot`.
    pub fn token(&self, bound_to: BoundTo) -> String {
        let issued = issuer(&self.rsa).issue(ask(bound_to), now()).unwrap();
        issued.token.to_string()
    }

    /// A client's certificate, and its chain.
    pub fn client(&self, name: &str) -> PeerChain {
        peer(&[self.ca.issue(&Wish::client(name))])
    }

    pub fn proxy(&self) -> PeerChain {
        peer(&[self.proxy_ca.issue(&Wish::client("front-proxy-client"))])
    }
}

/// What issues tokens with a key.
pub fn issuer(key: &PrivateKey) -> TokenIssuer {
    let key = SigningKey::from_pem("sa.key", key.to_pem().unwrap().as_bytes()).unwrap();
    TokenIssuer::new(ISSUER.into(), key, vec![AUDIENCE.into()], None, true)
}

pub fn ask(bound_to: BoundTo) -> TokenAsk {
    TokenAsk {
        namespace: "app".into(),
        account: reference("robot", "u-robot"),
        bound_to,
        audiences: Vec::new(),
        expiration_seconds: 3600,
    }
}

pub fn reference(name: &str, uid: &str) -> Reference {
    Reference {
        name: name.into(),
        uid: uid.into(),
    }
}

/// A JWT of any header and payload, with an RS256 signature by `key`.
pub fn jwt(key: &PrivateKey, header: &Value, payload: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Header and payload of a token.
pub fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (next(), next())
}

pub fn peer(chain: &[Vec<u8>]) -> PeerChain {
    PeerChain::new(chain.iter().cloned().map(CertificateDer::from).collect()).unwrap()
}

pub fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

pub fn bearer(token: &str) -> HeaderMap {
    headers(&[("authorization", &format!("Bearer {token}"))])
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

pub fn presented<'a>(peer: Option<&'a PeerChain>, headers: &'a HeaderMap) -> Presented<'a> {
    Presented {
        peer,
        last_token: None,
        headers,
        path: "/api",
        now: now(),
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    pem::encode(label, der)
}

/// The user's name, or the refusal.
pub fn name(result: &Result<Authenticated, Refusal>) -> Result<&str, String> {
    match result {
        Ok(authenticated) => Ok(&authenticated.user.name),
        Err(refusal) => Err(refusal.to_string()),
    }
}
