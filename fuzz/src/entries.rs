//! One function for each entry that bytes of strangers reach, with what has to hold whatever they are.
//!
//! libFuzzer calls them with coverage feedback, and a test of the workspace with seeds and a few thousand mutations of
//! them (`crates/kubetrust-server/tests/suite/fuzz.rs`, which includes this file by its path).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use kubetrust_api::decode::{self, Encoding, Expected, FieldValidation};
use kubetrust_api::patch::{self, Kind};
use kubetrust_api::select::{field, label};
use kubetrust_api::{default, protobuf, resource, strategy, validate};
use kubetrust_auth::authn::service_account::Keys;
use kubetrust_auth::authn::x509::{Pool, Verifier};
use kubetrust_auth::authn::{
    Authenticators, Config, Nothing, PasswordFile, PeerChain, Presented, ServiceAccounts, TokenFile,
};
use kubetrust_server::audit::policy::Policy;
use kubetrust_server::http::query::Query;
use kubetrust_server::http::request_info::RequestInfo;
use kubetrust_server::registry::continue_token::ContinueToken;
use kubetrust_server::registry::options::ListOptions;
use kubetrust_store::embedded::{Embedded, Options, check, check_backup};
use kubetrust_store::{Change, Error, Event, Outcome, Range, Revision, Store, Watched, Write};
use rustls_pki_types::CertificateDer;
use serde_json::json;

/// An entry and its name, which is also that of its seeds' folder.
pub type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub const ENTRIES: &[Entry] = &[
    ("token", token),
    ("certificate", certificate),
    ("token_file", token_file),
    ("request_line", request_line),
    ("audit_policy", audit_policy),
    ("body", body),
    ("patch", patch),
    ("selectors", selectors),
    ("continue_token", continue_token),
    ("watch_resume", watch_resume),
    ("store_recovery", store_recovery),
];

/// A CA whose key nobody has.
const CA: &[u8] = include_bytes!("../fuzz_targets/ca.crt");

static BY_TOKEN: LazyLock<Authenticators> = LazyLock::new(|| {
    let keys = Keys::from_pem("sa.pub", CA).expect("the certificate beside this file");
    let accounts = ServiceAccounts::new(keys, ["https://issuer".to_owned()], ["https://issuer".to_owned()]);
    let file = TokenFile::parse("token.csv", b"known-token,user,uid").expect("a good file");
    Authenticators::new(Config {
        service_accounts: Some(Arc::new(accounts.expect("randomness"))),
        token_file: Some(Arc::new(file)),
        bootstrap_tokens: true,
        ..Config::default()
    })
});

static BY_CERTIFICATE: LazyLock<Authenticators> = LazyLock::new(|| {
    let pool = Pool::from_pem("ca", CA).expect("the CA beside this file");
    Authenticators::new(Config {
        client: Some(Verifier::new(pool, Arc::default())),
        ..Config::default()
    })
});

/// A bearer token is one that is known, or nobody's.
pub fn token(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let found = BY_TOKEN.authenticate_token(token, None, &Nothing, Timestamp::UNIX_EPOCH);
    assert!(found.is_err() || token == "known-token", "{token:?} is nobody's");
}

/// A client certificate that nobody signed is nobody's.
pub fn certificate(data: &[u8]) {
    let Some(peer) = PeerChain::new(vec![CertificateDer::from(data.to_vec())]) else {
        return;
    };
    let headers = HeaderMap::new();
    let presented = Presented {
        peer: Some(&peer),
        last_token: None,
        headers: &headers,
        path: "/",
        now: Timestamp::UNIX_EPOCH,
    };
    let found = BY_CERTIFICATE.authenticate(&presented, &Nothing);
    assert!(found.is_err(), "nobody has that CA's key");
}

/// `--token-auth-file` and the password file.
pub fn token_file(data: &[u8]) {
    if let Ok(file) = TokenFile::parse("token.csv", data) {
        assert!(file.user("").is_none(), "an empty token is nobody's");
    }
    let _ = PasswordFile::parse("password.csv", data);
}

/// A method, by the first byte, and a path with its query: nothing that is authorized leaves its place.
pub fn request_line(data: &[u8]) {
    const METHODS: [Method; 7] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::TRACE,
    ];
    let Some((choice, line)) = data.split_first() else {
        return;
    };
    let method = &METHODS[usize::from(*choice) % METHODS.len()];
    let Ok(uri) = Uri::try_from(line) else { return };
    let Ok(info) = RequestInfo::of(method, &uri) else {
        return;
    };
    if let Some(resource) = info.resource() {
        for segment in [&resource.namespace, &resource.resource, &resource.subresource] {
            assert!(
                !segment.contains('/') && segment != "..",
                "{segment:?} leaves its place"
            );
        }
    }
}

/// `--audit-policy-file`.
pub fn audit_policy(data: &[u8]) {
    let _ = Policy::parse(data);
}

/// An object of the resource that the first byte chooses, in every encoding.
pub fn body(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let row = &resource::TABLE[usize::from(*choice) % resource::TABLE.len()];
    let expected = Expected::built_in(row.group, row.version, row.kind);
    for encoding in [Encoding::Json, Encoding::Yaml] {
        if let Ok(decoded) = decode::object(body, encoding, expected, FieldValidation::Warn) {
            let mut object = decoded.object;
            default::apply(row, &mut object);
            strategy::prepare_for_create(row, &mut object);
            let _ = validate::create(row, &object);
        }
    }
    let _ = protobuf::decode(body);
}

/// A patch of each kind, of a pod.
pub fn patch(data: &[u8]) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}});
    for kind in [Kind::Json, Kind::Merge, Kind::Strategic] {
        if let Ok(patch) = patch::read(kind, data) {
            let expected = Expected::built_in("", "v1", "Pod");
            let _ = decode::patched(pod.clone(), &patch, expected, FieldValidation::Strict);
        }
    }
}

/// Selectors by labels and fields: what one prints means the same.
pub fn selectors(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let pod = json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {}, "status": {"phase": "Running"}});
    if let Ok(selector) = label::Selector::parse(text) {
        let again = label::Selector::parse(&selector.to_string()).expect("its own text");
        assert_eq!(selector.matches_object(&pod), again.matches_object(&pod), "{text:?}");
    }
    let pods = resource::lookup("", "v1", "pods").expect("pods are served");
    if let Ok(selector) = field::Selector::parse(text, field::fields(pods)) {
        let _ = selector.matches(&pod, field::fields(pods));
    }
}

/// A continue token never leads out of its list.
pub fn continue_token(data: &[u8]) {
    const PREFIX: &[u8] = b"/registry/pods/default/";
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(token) = ContinueToken::decode(text, PREFIX) {
        assert!(token.start.starts_with(PREFIX), "{text:?}");
    }
}

/// A folder without a disk below it, where there is one: most of the time would go into waiting otherwise.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// Where a watch begins is asked for by a query; then each byte does something to a store: writes, removes, compacts,
/// closes it and opens it again, or resumes a watch from an earlier revision, which has every later event once.
pub fn watch_resume(data: &[u8]) {
    /// Most that one input does.
    const STEPS: usize = 24;
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Ok(text) = std::str::from_utf8(line) {
        let query = Query::parse(text);
        let _ = ListOptions::for_watch(&query);
        let _ = ListOptions::for_list(&query);
    }
    let steps = data.get(line.len() + 1..).unwrap_or_default();
    if steps.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut watched = Watching::begin();
        for step in steps.iter().take(STEPS) {
            watched.step(*step).await;
        }
        watched.resume(0).await;
    });
}

/// A store, and what has to come out of it.
struct Watching {
    folder: tempfile::TempDir,
    store: Embedded,
    /// Every event so far: its key, and whether that was removed.
    events: Vec<(Revision, String, bool)>,
    /// What is there.
    keys: BTreeMap<String, Revision>,
    newest: Revision,
    compacted: Revision,
}

impl Watching {
    fn begin() -> Self {
        let folder = folder();
        let store = Embedded::open(folder.path(), Options::default()).expect("a new store");
        Self {
            folder,
            store,
            events: Vec::new(),
            keys: BTreeMap::new(),
            newest: 1,
            compacted: 1,
        }
    }

    async fn step(&mut self, step: u8) {
        let argument = step >> 3;
        let key = format!("k/{}", argument % 4);
        match step & 7 {
            0..=2 => self.write(&[(key, false)]).await,
            3 => self.write(&[(key, false), ("other".to_owned(), false)]).await,
            4 => self.write(&[(key, true)]).await,
            5 => {
                let revision = self.newest.saturating_sub(u64::from(argument % 8));
                match self.store.compact(revision).await {
                    Ok(()) => {
                        assert!(revision > self.compacted);
                        self.compacted = revision;
                    }
                    Err(Error::Compacted { .. }) => assert!(revision <= self.compacted),
                    Err(other) => panic!("compacting {revision}: {other}"),
                }
            }
            6 => {
                self.store.close();
                self.store = Embedded::open(self.folder.path(), Options::default()).expect("its own store");
                assert_eq!(self.store.revision_now(), Some(self.newest));
            }
            _ => self.resume(u64::from(argument)).await,
        }
    }

    async fn write(&mut self, changes: &[(String, bool)]) {
        let write = |(key, remove): &(String, bool)| Write {
            key: key.clone().into(),
            expect: None,
            change: Some(if *remove {
                Change::Delete
            } else {
                Change::Put {
                    value: Bytes::from_static(b"v"),
                    lease: None,
                }
            }),
        };
        let outcome = self.store.commit(changes.iter().map(write).collect()).await;
        let Ok(Outcome::Committed(revision)) = outcome else {
            panic!("{outcome:?}")
        };
        for (key, remove) in changes {
            let there = self.keys.contains_key(key);
            if *remove && !there {
                continue;
            }
            self.events.push((revision, key.clone(), *remove));
            if *remove {
                self.keys.remove(key);
            } else {
                self.keys.insert(key.clone(), revision);
            }
        }
        assert!(revision >= self.newest);
        self.newest = revision;
    }

    /// A watch of `k/` from so many revisions ago.
    async fn resume(&self, ago: u64) {
        let after = self.newest.saturating_sub(ago).max(1);
        let Range { start, end, .. } = Range::prefix("k/");
        let mut stream = self.store.watch(start, end, after).await.expect("a watch");
        let mut found = Vec::new();
        let mut reached = after;
        while reached < self.newest {
            match stream.next().await {
                Some(Ok(Watched::Progress(revision))) => reached = revision,
                Some(Ok(Watched::Events { events, revision })) => {
                    found.extend(events.iter().map(|event| {
                        let key = String::from_utf8_lossy(event.key()).into_owned();
                        (event.revision(), key, matches!(event, Event::Delete { .. }))
                    }));
                    reached = revision;
                }
                Some(Err(Error::Compacted { .. })) => {
                    assert!(after < self.compacted, "{after} is not compacted");
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
        let later = self
            .events
            .iter()
            .filter(|(revision, key, _)| *revision > after && key.starts_with("k/"));
        assert_eq!(found, later.cloned().collect::<Vec<_>>(), "after {after}");
    }
}

/// A store's file of any content is opened, or not; every key that is served has a value that was written.
pub fn store_recovery(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("store.redb");
    std::fs::write(&path, data).expect("the file");
    let _ = check_backup(&path, |_| {});
    if let Ok(store) = Embedded::open(folder.path(), Options::default()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        if let Ok(page) = runtime.block_on(store.range(Range::prefix(""))) {
            for kv in page.items {
                assert_eq!(kv.value, recovered(&kv.key), "{:?}", kv.key);
            }
        }
    }
    let _ = check(folder.path(), |_| {});
}

/// Keys of the stores that are seeds; each has a value that follows from it.
const RECOVERED: usize = 12;

fn recovered(key: &[u8]) -> Bytes {
    [b"<the value of ", key, b">"].concat().into()
}

/// A store's file, for a seed: too big to lie among the sources.
#[must_use]
pub fn store_file() -> Vec<u8> {
    let folder = folder();
    let store = Embedded::open(folder.path(), Options::default()).expect("a new store");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    for number in 0..RECOVERED {
        let key = Bytes::from(format!("/registry/secrets/default/{number}"));
        let value = recovered(&key);
        let write = Write {
            key,
            expect: None,
            change: Some(Change::Put { value, lease: None }),
        };
        runtime.block_on(store.commit(vec![write])).expect("a write");
    }
    store.close();
    std::fs::read(folder.path().join("store.redb")).expect("its file")
}
