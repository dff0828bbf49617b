//! Every credential that the server shows or believes: read from its files, validated, published, and replaced while
//! running when a file changes. What does not validate is not published; the last good one stays in use, and the log
//! says why.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;
use kubetrust_auth::authn::service_account::issue::TokenIssuer;
use kubetrust_auth::authn::service_account::{Keys, SigningKey, discovery};
use kubetrust_auth::authn::x509::{Pool, RevocationList, Revocations, RevokedSerials, Verifier};
use kubetrust_auth::authn::{
    Anonymous, Authenticators, Config, FileWarning, FrontProxy, PasswordFile, RemoteHeaders, ServiceAccounts, TokenFile,
};
use kubetrust_store::encrypt::Encryption;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::audit::Audit;
use crate::bootstrap::{ClusterAuthentication, RequestHeader};
use crate::controllers::through_outages;
use crate::files::{self, BadFile, Watched};
use crate::issuer::Issuer;
use crate::options::{Options, Pair};
use crate::registry::Registry;
use crate::registry::values::Values;
use crate::sources::Sources;
use crate::start::StartError;
use crate::stop::told;
use crate::tls::{self, ServingPair, ServingPairs};

/// How often the files are looked at: what is put in place is in force within a second.
const LOOK: Duration = Duration::from_millis(250);
/// How long files that changed have to look the same before they are read: one that is rewritten in place is empty for a
/// moment, and an empty list of tokens is a good one.
const SETTLED: Duration = Duration::from_millis(50);
/// How often that is tried before they are read as they are.
const SETTLE: usize = 5;

/// What is in force.
pub struct Credentials {
    /// For new connections.
    pub tls: Arc<ArcSwap<ServerConfig>>,
    /// For every request.
    pub authenticators: Arc<ArcSwap<Authenticators>>,
    /// For new tokens.
    pub issuer: Arc<ArcSwap<Issuer>>,
    /// How values are stored.
    pub values: Arc<Values>,
    /// How often something was replaced, and how often it was not because it did not validate.
    pub reloads: Arc<Reloads>,
    /// What extension servers must know.
    cluster_authentication: watch::Sender<ClusterAuthentication>,
}

/// Counts of reloads, for metrics.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Published.
    pub succeeded: AtomicU64,
    /// Refused: the last good one stayed.
    pub failed: AtomicU64,
}

/// What keeps the credentials current.
pub struct Reloading {
    options: Options,
    watched: Watched,
    /// What is in force.
    good: Sources,
}

/// What the files say, as far as it can be used.
struct Read {
    loaded: Result<Loaded, StartError>,
    sources: Sources,
    /// Why some are held at what they said before.
    held: Vec<BadFile>,
}

/// All of it, read and validated, not published yet.
struct Loaded {
    tls: Arc<ServerConfig>,
    authenticators: Authenticators,
    issuer: Issuer,
    encryption: Encryption,
    cluster_authentication: ClusterAuthentication,
}

impl Credentials {
    /// How values stand in the store, by its file alone: whoever begins to read the store needs nothing else.
    pub fn values(options: &Options) -> Result<Values, BadFile> {
        let sources = Sources::now(options.encryption_provider_config.clone());
        Ok(Values::new(&encryption(options, &sources)?))
    }

    /// Reads everything that the options name; `values` becomes what is read with the rest.
    pub fn load(options: &Options, values: Arc<Values>) -> Result<(Self, Reloading), StartError> {
        let watched = Watched::now(paths(options));
        let sources = Sources::now(paths(options));
        let loaded = Loaded::read(options, &sources)?;
        values.replace(&loaded.encryption);
        let credentials = Self {
            tls: Arc::new(ArcSwap::new(loaded.tls)),
            authenticators: Arc::new(ArcSwap::from_pointee(loaded.authenticators)),
            issuer: Arc::new(ArcSwap::from_pointee(loaded.issuer)),
            values,
            reloads: Arc::default(),
            cluster_authentication: watch::Sender::new(loaded.cluster_authentication),
        };
        Ok((
            credentials,
            Reloading {
                options: options.clone(),
                watched,
                good: sources,
            },
        ))
    }

    /// What extension servers must know.
    #[must_use]
    pub fn cluster_authentication(&self) -> ClusterAuthentication {
        self.cluster_authentication.borrow().clone()
    }

    fn publish(&self, loaded: Loaded) {
        self.tls.store(loaded.tls);
        self.authenticators.store(Arc::new(loaded.authenticators));
        self.issuer.store(Arc::new(loaded.issuer));
        self.values.replace(&loaded.encryption);
        self.cluster_authentication.send_if_modified(|now| {
            let is_news = *now != loaded.cluster_authentication;
            *now = loaded.cluster_authentication;
            is_news
        });
        info!("credentials were replaced: their files changed");
    }
}

impl Reloading {
    /// Looks at the files until the server stops.
    pub async fn run(
        mut self,
        credentials: Credentials,
        registry: Registry,
        audit: Audit,
        mut stop: watch::Receiver<bool>,
    ) {
        let news = credentials.cluster_authentication.subscribe();
        tokio::spawn(tell_extension_servers(news, registry, stop.clone()));
        let mut last_failure = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = told(&mut stop) => return,
            }
            if last_failure.is_empty() && !self.watched.changed() {
                continue;
            }
            let Read { loaded, sources, held } = self.read_settled().await;
            let mut failures: Vec<String> = held.iter().map(ToString::to_string).collect();
            failures.extend(reload_policy(&audit, &self.options).err().map(|bad| bad.to_string()));
            match loaded {
                // What can be used is, whatever is wrong with the others: a broken list of tokens must not keep a
                // revocation from coming into force.
                Ok(loaded) if sources != self.good => {
                    self.good = sources;
                    credentials.publish(loaded);
                    credentials.reloads.succeeded.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) if failures.is_empty() => {
                    credentials.reloads.succeeded.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => {}
                Err(failure) => failures.push(failure.to_string()),
            }
            // A pair that is being replaced does not match for a moment: it is tried again, and said once.
            let failure = failures.join("; ");
            if !failure.is_empty() && failure != last_failure {
                credentials.reloads.failed.fetch_add(1, Ordering::Relaxed);
                error!(%failure, "changed credentials are not used; the last good ones stay in force");
            }
            last_failure = failure;
        }
    }
}

/// Tells extension servers whom we believe from now on. Beside the rest, since this takes a store that answers: no
/// revocation waits for it.
async fn tell_extension_servers(
    mut news: watch::Receiver<ClusterAuthentication>,
    registry: Registry,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = told(&mut stop) => return,
        }
        let now = news.borrow_and_update().clone();
        if let Err(error) = through_outages(&stop, || now.publish(&registry, Timestamp::now())).await {
            warn!(%error, "extension-apiserver-authentication could not be updated");
        }
    }
}

impl Reloading {
    /// Reads the files, not while they are being written.
    async fn read_settled(&mut self) -> Read {
        for _ in 0..SETTLE {
            self.watched = Watched::now(paths(&self.options));
            tokio::time::sleep(SETTLED).await;
            if self.watched.changed() {
                continue;
            }
            let read = self.read();
            if !self.watched.changed() {
                return read;
            }
        }
        // Looked at before they are read: what changes while they are read is seen the next time.
        self.watched = Watched::now(paths(&self.options));
        self.read()
    }

    /// Reads the files; what can't be used is held at what it said when it last could, with what belongs to it.
    fn read(&self) -> Read {
        let mut sources = Sources::now(paths(&self.options));
        let mut held = Vec::new();
        loop {
            match Loaded::read(&self.options, &sources) {
                Err(StartError::File(bad)) if sources.hold(&self.good, &together(&self.options, &bad.path)) => {
                    held.push(bad);
                }
                loaded => return Read { loaded, sources, held },
            }
        }
    }
}

/// The files that are good or bad with this one: a certificate and its key, and the keys that sign and verify tokens.
fn together(options: &Options, path: &Path) -> Vec<PathBuf> {
    let pairs = std::iter::once(&options.serving).chain(options.sni.iter().map(|named| &named.pair));
    let mut groups: Vec<Vec<PathBuf>> = pairs
        .map(|pair| vec![pair.certificate.clone(), pair.key.clone()])
        .collect();
    let accounts = &options.service_accounts;
    groups.push(
        accounts
            .key_files
            .iter()
            .chain(&accounts.signing_key_file)
            .cloned()
            .collect(),
    );
    let group = groups
        .into_iter()
        .find(|group| group.iter().any(|member| member == path));
    group.unwrap_or_else(|| vec![path.to_owned()])
}

/// The audit policy is replaced with the credentials.
fn reload_policy(audit: &Audit, options: &Options) -> Result<(), BadFile> {
    const FLAG: &str = "--audit-policy-file";
    match &options.audit_policy_file {
        Some(path) => audit
            .reload(&files::read(FLAG, path)?)
            .map_err(|fault| BadFile::new(FLAG, path, &fault)),
        None => Ok(()),
    }
}

/// Every file that is read.
fn paths(options: &Options) -> Vec<PathBuf> {
    let mut paths = vec![options.serving.certificate.clone(), options.serving.key.clone()];
    for sni in &options.sni {
        paths.extend([sni.pair.certificate.clone(), sni.pair.key.clone()]);
    }
    let single = [
        &options.client_ca_file,
        &options.client_crl_file,
        &options.client_revoked_serials_file,
        &options.token_auth_file,
        &options.basic_auth_file,
        &options.service_accounts.signing_key_file,
        &options.encryption_provider_config,
        &options.audit_policy_file,
    ];
    paths.extend(single.into_iter().flatten().cloned());
    paths.extend(
        options
            .request_header
            .iter()
            .map(|header| header.client_ca_file.clone()),
    );
    paths.extend(options.service_accounts.key_files.iter().cloned());
    paths
}

impl Loaded {
    fn read(options: &Options, sources: &Sources) -> Result<Self, StartError> {
        let client_ca = options
            .client_ca_file
            .as_deref()
            .map(|path| Named::read(sources, "--client-ca-file", path))
            .transpose()?;
        let proxy_ca = match &options.request_header {
            Some(header) => Some(Named::read(
                sources,
                "--requestheader-client-ca-file",
                &header.client_ca_file,
            )?),
            None => None,
        };
        let authorities: Vec<_> = client_ca
            .iter()
            .chain(&proxy_ca)
            .flat_map(Named::certificates)
            .collect();
        let pairs = Arc::new(serving_pairs(options, sources)?);
        let tls = tls::server_config(&pairs, &authorities)?;
        let keys = service_account_keys(options, sources)?;
        let issuer = issuer(options, sources, keys.as_ref())?;
        let authenticators = authenticators(options, sources, client_ca.as_ref(), proxy_ca.as_ref(), keys)?;
        let cluster_authentication = ClusterAuthentication {
            client_ca: client_ca.map(Named::text),
            request_header: options
                .request_header
                .as_ref()
                .zip(proxy_ca)
                .map(|(header, ca)| RequestHeader {
                    ca: ca.text(),
                    allowed_names: header.allowed_names.clone(),
                    username_headers: header.username_headers.clone(),
                    uid_headers: header.uid_headers.clone(),
                    group_headers: header.group_headers.clone(),
                    extra_header_prefixes: header.extra_headers_prefix.clone(),
                }),
        };
        Ok(Self {
            tls,
            authenticators,
            issuer,
            encryption: encryption(options, sources)?,
            cluster_authentication,
        })
    }
}

fn encryption(options: &Options, sources: &Sources) -> Result<Encryption, BadFile> {
    let Some(path) = &options.encryption_provider_config else {
        return Ok(Encryption::default());
    };
    Named::read(sources, "--encryption-provider-config", path)?.parse(|_, text| {
        let text = std::str::from_utf8(text).map_err(|_| "the file is no UTF-8".to_owned())?;
        Encryption::parse(text).map_err(|error| error.to_string())
    })
}

/// The content of a file, with the flag that named it.
struct Named {
    flag: &'static str,
    path: PathBuf,
    content: Vec<u8>,
}

impl Named {
    fn read(sources: &Sources, flag: &'static str, path: &Path) -> Result<Self, BadFile> {
        Ok(Self {
            flag,
            path: path.to_owned(),
            content: sources.read(flag, path)?.to_vec(),
        })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(&self.content)
            .filter_map(Result::ok)
            .collect()
    }

    /// Parses it; the fault names the flag.
    fn parse<T, E: ToString>(&self, parse: impl FnOnce(&str, &[u8]) -> Result<T, E>) -> Result<T, BadFile> {
        parse(&self.name(), &self.content).map_err(|fault| BadFile::new(self.flag, &self.path, &fault))
    }
}

fn serving_pairs(options: &Options, sources: &Sources) -> Result<ServingPairs, BadFile> {
    let pair = |flags: (&'static str, &'static str), pair: &Pair, names: &[String]| {
        let certificate = sources.read(flags.0, &pair.certificate)?;
        let key = sources.read(flags.1, &pair.key)?;
        ServingPair::from_pem(certificate, key, names).map_err(|fault| BadFile::new(flags.0, &pair.certificate, &fault))
    };
    let default = pair(("--tls-cert-file", "--tls-private-key-file"), &options.serving, &[])?;
    let sni = ("--tls-sni-cert-key", "--tls-sni-cert-key");
    let by_name = options
        .sni
        .iter()
        .map(|named| pair(sni, &named.pair, &named.names))
        .collect::<Result<_, _>>()?;
    Ok(ServingPairs { default, by_name })
}

/// The keys that verify tokens: those of the files, else that of the serving pair (S10).
fn service_account_keys(options: &Options, sources: &Sources) -> Result<Option<Keys>, BadFile> {
    let mut files: Vec<(&'static str, &Path)> = options
        .service_accounts
        .key_files
        .iter()
        .map(|path| ("--service-account-key-file", path.as_path()))
        .collect();
    if files.is_empty() {
        files.push(("--tls-private-key-file", &options.serving.key));
    }
    let mut all: Option<Keys> = None;
    for (flag, path) in files {
        let keys = Named::read(sources, flag, path)?.parse(Keys::from_pem)?;
        match &mut all {
            Some(all) => all.extend(keys).map_err(|fault| BadFile::new(flag, path, &fault))?,
            None => all = Some(keys),
        }
    }
    Ok(all)
}

fn issuer(options: &Options, sources: &Sources, keys: Option<&Keys>) -> Result<Issuer, StartError> {
    let accounts = &options.service_accounts;
    let name = accounts.issuers.first().cloned().unwrap_or_default();
    let tokens = match &accounts.signing_key_file {
        Some(path) => {
            let key = Named::read(sources, "--service-account-signing-key-file", path)?.parse(SigningKey::from_pem)?;
            let longest = accounts
                .max_expiration
                .and_then(|longest| i64::try_from(longest.as_secs()).ok());
            Some(TokenIssuer::new(
                name.clone(),
                key,
                audiences(options),
                longest,
                accounts.extend_expiration,
            ))
        }
        None => None,
    };
    let jwks_uri = accounts
        .jwks_uri
        .clone()
        .unwrap_or_else(|| format!("{name}{}", discovery::JWKS_PATH));
    let (configuration, keys) = match keys {
        Some(keys) => {
            let configuration = discovery::configuration(&name, &jwks_uri, keys).ok();
            (
                configuration.map(|document| Bytes::from(document.to_string())),
                keys.jwks().to_string().into(),
            )
        }
        None => (None, Bytes::from_static(b"{\"keys\":[]}")),
    };
    Ok(Issuer {
        tokens,
        configuration,
        keys,
    })
}

/// `--api-audiences`, or the issuer.
fn audiences(options: &Options) -> Vec<String> {
    let accounts = &options.service_accounts;
    if accounts.audiences.is_empty() {
        accounts.issuers.first().cloned().into_iter().collect()
    } else {
        accounts.audiences.clone()
    }
}

fn authenticators(
    options: &Options,
    sources: &Sources,
    client_ca: Option<&Named>,
    proxy_ca: Option<&Named>,
    keys: Option<Keys>,
) -> Result<Authenticators, BadFile> {
    let client_pool = client_ca.map(|ca| ca.parse(Pool::from_pem)).transpose()?;
    let proxy_pool = proxy_ca.map(|ca| ca.parse(Pool::from_pem)).transpose()?;
    let pools: Vec<&Pool> = client_pool.iter().chain(&proxy_pool).collect();
    let revocations = Arc::new(revocations(options, sources, &pools)?);

    let front_proxy = match (&options.request_header, proxy_pool) {
        (Some(header), Some(pool)) => {
            let headers = RemoteHeaders::new(
                &header.username_headers,
                &header.uid_headers,
                &header.group_headers,
                &header.extra_headers_prefix,
            )
            .map_err(|fault| BadFile::new("--requestheader-client-ca-file", &header.client_ca_file, &fault))?;
            let verifier = Verifier::new(pool, Arc::clone(&revocations));
            Some(FrontProxy::new(verifier, header.allowed_names.clone(), headers))
        }
        _ => None,
    };
    let tokens = options
        .token_auth_file
        .as_deref()
        .map(|path| Named::read(sources, "--token-auth-file", path))
        .transpose()?;
    let token_file = tokens.map(|file| file.parse(TokenFile::parse)).transpose()?;
    let passwords = options
        .basic_auth_file
        .as_deref()
        .map(|path| Named::read(sources, "--basic-auth-file", path))
        .transpose()?;
    let password_file = passwords.map(|file| file.parse(PasswordFile::parse)).transpose()?;
    say(token_file.iter().flat_map(TokenFile::warnings));
    say(password_file.iter().flat_map(PasswordFile::warnings));

    let audiences = audiences(options);
    let service_accounts = keys
        .map(|keys| ServiceAccounts::new(keys, options.service_accounts.issuers.clone(), audiences.clone()))
        .transpose()
        .map_err(|fault| BadFile::new("--service-account-key-file", Path::new(""), &fault))?;
    Ok(Authenticators::new(Config {
        front_proxy,
        client: client_pool.map(|pool| Verifier::new(pool, revocations)),
        token_file: token_file.map(Arc::new),
        password_file: password_file.map(Arc::new),
        service_accounts: service_accounts.map(Arc::new),
        bootstrap_tokens: options.bootstrap_tokens,
        anonymous: match (options.anonymous, options.anonymous_paths.as_slice()) {
            (false, _) => Anonymous::Off,
            (true, []) => Anonymous::Everywhere,
            (true, paths) => Anonymous::Paths(paths.iter().cloned().collect()),
        },
        audiences,
    }))
}

fn revocations(options: &Options, sources: &Sources, pools: &[&Pool]) -> Result<Revocations, BadFile> {
    const CRL: &str = "--client-crl-file";
    const SERIALS: &str = "--client-revoked-serials-file";
    let lists = match &options.client_crl_file {
        Some(path) => Named::read(sources, CRL, path)?.parse(RevocationList::read)?,
        None => Vec::new(),
    };
    let serials = match &options.client_revoked_serials_file {
        Some(path) => Named::read(sources, SERIALS, path)?.parse(RevokedSerials::parse)?,
        None => RevokedSerials::default(),
    };
    let (revocations, warnings) = Revocations::new(lists, serials, pools)
        .map_err(|fault| BadFile::new(CRL, options.client_crl_file.as_deref().unwrap_or(Path::new("")), &fault))?;
    say(&warnings);
    Ok(revocations)
}

fn say<'a>(warnings: impl IntoIterator<Item = &'a FileWarning>) {
    for warning in warnings {
        warn!("{warning}");
    }
}
