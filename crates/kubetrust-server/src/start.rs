//! Starts a server: credentials, store, cache, listener, defaults, and what keeps running beside it.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kubetrust_api::resource::{Kept, TABLE};
use kubetrust_api::status::Status;
use kubetrust_auth::authz::{Authorizer, WATCHED};
use kubetrust_store::Store;
use kubetrust_store::embedded::{Embedded, OpenError};
use kubetrust_store::etcd::{self, Etcd};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::ApiServer;
use crate::admission::{self, PluginListError};
use crate::audit::Audit;
use crate::audit::counters::Counters;
use crate::audit::log::Log;
use crate::audit::log::LogError;
use crate::audit::policy::Policy;
use crate::bootstrap;
use crate::chain::limit::InFlight;
use crate::compaction;
use crate::controllers;
use crate::credentials::{Credentials, Reloading};
use crate::endpoints::backup::Live;
use crate::endpoints::health::Health;
use crate::files::{self, BadFile};
use crate::listen::{self, Limits};
use crate::metrics::Metrics;
use crate::options::{Options, StoreOptions};
use crate::registry::Registry;
use crate::registry::cache::{Cache, Change, Hook, Kind};
use crate::registry::services::{self, Held};
use crate::registry::values::Values;
use crate::stop::told;

/// How often the store is asked whether it works, for `/readyz`.
const HEALTH: Duration = Duration::from_secs(2);
/// How long it may take to answer (`--etcd-healthcheck-timeout`).
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A credential or policy file.
    #[error(transparent)]
    File(#[from] BadFile),
    /// The embedded store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// How etcd is reached.
    #[error(transparent)]
    Etcd(#[from] etcd::ConfigError),
    /// The store, once it is open.
    #[error("the store can't be read: {0}")]
    Store(#[from] kubetrust_store::Error),
    /// The lists of admission plugins.
    #[error(transparent)]
    Plugin(#[from] PluginListError),
    /// The address.
    #[error("{address} can't be listened on: {source}; name another with --bind-address and --secure-port")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] LogError),
    /// TLS.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The defaults that every cluster has.
    #[error("the defaults of the cluster can't be stored: {0}")]
    Defaults(Status),
}

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its objects.
    pub registry: Registry,
    /// Who may what.
    pub authorizer: Arc<Authorizer>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
    leaving: JoinHandle<()>,
    embedded: Option<Arc<Embedded>>,
    audit: Audit,
}

impl Running {
    /// Stops taking connections, waits until what is in flight is answered, and lets go of the store: another server
    /// can have its folder then.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.served.await;
        let _ = self.leaving.await;
        if !self.audit.flush().await {
            warn!("the audit log could not be written to its end");
        }
        self.registry.cache().end();
        if let Some(embedded) = self.embedded {
            // What runs beside the requests has been told, and may still hold the store for a moment.
            let _ = tokio::task::spawn_blocking(move || embedded.close()).await;
        }
    }
}

/// Starts a server. When it returns, `/readyz` says ok.
pub async fn start(options: Options) -> Result<Running, StartError> {
    // A future as large as all that a start does would be in whatever waits for it.
    Box::pin(start_within(options, Limits::default())).await
}

/// Starts a server that puts up with this much from its clients.
pub async fn start_within(options: Options, limits: Limits) -> Result<Running, StartError> {
    let values = Arc::new(Credentials::values(&options)?);
    let authorizer = Arc::new(Authorizer::new(options.authorization_modes.iter().copied()));
    let root = Bytes::from(format!("{}/", options.prefix.trim_end_matches('/')));
    let held = Arc::new(Held::default());
    let loaded = credentials(&options, Arc::clone(&values));
    let stored = read(&options.store, values, root.clone(), &authorizer, &held);
    // At the same time: the first random bytes of the process take as long as reading thousands of objects. But no store
    // is made for credentials that can't be used.
    let ((credentials, reloading), (cache, embedded)) = if options.store.is_there() {
        tokio::try_join!(loaded, stored)?
    } else {
        (loaded.await?, stored.await?)
    };
    let closed_at_stop = embedded.as_ref().map(|live| Arc::clone(&live.store));
    let registry = Registry::new(cache, root).with_services(options.services.clone(), held);

    let address = SocketAddr::new(options.bind_address, options.secure_port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })?;
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Listen { address, source })?;

    let advertised = options
        .advertise
        .map_or(address, |ip| SocketAddr::new(ip, address.port()));
    let audit = audit(&options)?;
    let (stop, stopped) = watch::channel(false);
    let (used_secrets, used) = mpsc::channel(controllers::USED_SECRETS);
    let health = Health::default();
    let server = Arc::new(ApiServer {
        registry: registry.clone(),
        authenticators: Arc::clone(&credentials.authenticators),
        authorizer: Arc::clone(&authorizer),
        admission: admission::default_plugins(
            &registry,
            &authorizer,
            &options.enable_admission_plugins,
            &options.disable_admission_plugins,
        )?,
        audit: audit.clone(),
        in_flight: InFlight::new(options.max_requests_in_flight, options.max_mutating_requests_in_flight),
        issuer: Arc::clone(&credentials.issuer),
        health: health.clone(),
        embedded,
        metrics: Metrics::new(Timestamp::now()),
        reloads: Arc::clone(&credentials.reloads),
        address: advertised.to_string(),
        used_secrets,
        stop: stopped.clone(),
    });
    health.store.store(true, Ordering::Relaxed);
    let serving = tokio::spawn(listen::serve(
        listener,
        Arc::clone(&credentials.tls),
        server,
        limits,
        stopped.clone(),
    ));
    info!(%address, "serving securely");

    let authentication = credentials.cluster_authentication();
    bootstrap::run(&registry, &authentication, Timestamp::now())
        .await
        .map_err(StartError::Defaults)?;
    health.started.store(true, Ordering::Release);
    info!("the defaults of the cluster are in place");
    tokio::spawn(reloading.run(credentials, registry.clone(), audit.clone(), stopped.clone()));
    tokio::spawn(watch_store(registry.clone(), health, stopped.clone()));
    if let (StoreOptions::Etcd(_), Some(interval)) = (&options.store, options.compaction_interval) {
        let store = Arc::clone(registry.store());
        tokio::spawn(compaction::run(store, interval, stopped.clone()));
    }
    let leaving = controllers::spawn(&registry, advertised, options.root_ca, used, &stopped);
    Ok(Running {
        address,
        registry,
        authorizer,
        stop,
        served: serving,
        leaving,
        embedded: closed_at_stop,
        audit,
    })
}

/// Reads the credentials beside other work.
async fn credentials(options: &Options, values: Arc<Values>) -> Result<(Credentials, Reloading), StartError> {
    let options = options.clone();
    let loaded = tokio::task::spawn_blocking(move || Credentials::load(&options, values)).await;
    // The runtime is there still, so it can only have panicked.
    let loaded = loaded.unwrap_or_else(|failure| resume_unwind(failure.into_panic()));
    info!("the credentials are read");
    loaded
}

/// Opens the store, and reads what is in it.
async fn read(
    options: &StoreOptions,
    values: Arc<Values>,
    root: Bytes,
    authorizer: &Arc<Authorizer>,
    held: &Arc<Held>,
) -> Result<(Arc<Cache>, Option<Live>), StartError> {
    let (store, embedded) = open(options)?;
    info!("the store is open");
    let hooks = vec![authorizer_hook(Arc::clone(authorizer), root.len()), services_hook(held)];
    let cache = Cache::load(store, values, root, storages(), hooks).await?;
    info!(revision = cache.reached(), "the store is read");
    Ok((cache, embedded))
}

fn open(options: &StoreOptions) -> Result<(Arc<dyn Store>, Option<Live>), StartError> {
    match options {
        StoreOptions::Embedded(folder) => {
            let store = Arc::new(Embedded::open(folder, kubetrust_store::embedded::Options::default())?);
            Ok((
                Arc::clone(&store) as Arc<dyn Store>,
                Some(Live {
                    store,
                    folder: folder.clone(),
                }),
            ))
        }
        StoreOptions::Etcd(options) => Ok((Arc::new(Etcd::new(options.clone())?), None)),
    }
}

/// Opens the audit log, if a policy says what goes into it.
fn audit(options: &Options) -> Result<Audit, StartError> {
    const FLAG: &str = "--audit-policy-file";
    let (Some(path), Some(log)) = (&options.audit_policy_file, &options.audit_log) else {
        return Ok(Audit::off());
    };
    let policy = Policy::parse(&files::read(FLAG, path)?).map_err(|fault| BadFile::new(FLAG, path, &fault))?;
    let counters = Counters::default();
    let log = if log.path == Path::new("-") {
        Log::to_writer(Box::new(std::io::stdout()), counters)?
    } else {
        Log::open(log.clone(), Timestamp::now(), counters)?
    };
    Ok(Audit::new(policy, log, Timestamp::now))
}

/// Every path under the root that objects are stored at, once.
fn storages() -> impl Iterator<Item = &'static str> {
    let mut storages: Vec<&str> = TABLE
        .iter()
        .filter(|resource| resource.kept == Kept::Stored)
        .map(|resource| resource.storage)
        .collect();
    storages.sort_unstable();
    storages.dedup();
    storages.into_iter()
}

/// Feeds the authorizers with what they decide by.
fn authorizer_hook(authorizer: Arc<Authorizer>, root: usize) -> Hook {
    let watched: Vec<(&'static str, &'static str, &'static str)> = WATCHED
        .iter()
        .filter_map(|(group, plural)| {
            let resource = TABLE
                .iter()
                .find(|resource| resource.group == *group && resource.plural == *plural)?;
            Some((resource.storage, *group, *plural))
        })
        .collect();
    let storages = watched.iter().map(|(storage, ..)| *storage).collect();
    let tell = move |storage: &'static str, change: &Change| {
        let Some((_, group, plural)) = watched.iter().find(|(watched, _, _)| *watched == storage) else {
            return;
        };
        if change.kind == Kind::Deleted {
            let key = String::from_utf8_lossy(&change.key[root + storage.len() + 1..]).into_owned();
            let (namespace, name) = key.split_once('/').unwrap_or(("", &key));
            authorizer.delete(group, plural, namespace, name);
        } else if let Err(error) = authorizer.put(group, plural, &change.object.value()) {
            warn!(%group, %plural, %error, "a stored object says nothing to the authorizers");
        }
    };
    Hook {
        storages,
        tell: Box::new(tell),
    }
}

/// Feeds the registry with what services hold.
fn services_hook(held: &Arc<Held>) -> Hook {
    let held = Arc::clone(held);
    Hook {
        storages: vec![services::STORAGE],
        tell: Box::new(move |_, change| held.apply(change)),
    }
}

async fn watch_store(registry: Registry, health: Health, mut stop: watch::Receiver<bool>) {
    loop {
        let answers = tokio::time::timeout(HEALTH_PATIENCE, registry.store().health()).await;
        match &answers {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the store does not answer"),
            Err(_) => warn!(after = ?HEALTH_PATIENCE, "the store does not answer"),
        }
        health.store.store(matches!(answers, Ok(Ok(()))), Ordering::Relaxed);
        if let Ok(Ok(bytes)) = tokio::time::timeout(HEALTH_PATIENCE, registry.store().size()).await {
            health.size.store(bytes, Ordering::Relaxed);
        }
        tokio::select! {
            () = tokio::time::sleep(HEALTH) => {}
            () = told(&mut stop) => return,
        }
    }
}
