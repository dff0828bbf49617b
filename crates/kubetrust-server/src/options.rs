//! How a server is told what to do: what the flags of kube-apiserver say, typed, and whether they fit together.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use kubetrust_auth::authz::Mode;
use kubetrust_store::embedded;

use crate::registry::services::Ranges;

/// Everything that a server is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--bind-address`
    pub bind_address: IpAddr,
    /// `--secure-port`; 0 takes any that is free.
    pub secure_port: u16,
    /// `--advertise-address`
    pub advertise: Option<IpAddr>,
    /// `--tls-cert-file` and `--tls-private-key-file`
    pub serving: Pair,
    /// `--tls-sni-cert-key`
    pub sni: Vec<SniPair>,
    /// `--client-ca-file`
    pub client_ca_file: Option<PathBuf>,
    /// `--client-crl-file`: our own; Kubernetes has no revocation.
    pub client_crl_file: Option<PathBuf>,
    /// `--client-revoked-serials-file`: our own; one serial number a line.
    pub client_revoked_serials_file: Option<PathBuf>,
    /// The `--requestheader-*` flags; `None` where no front proxy is believed.
    pub request_header: Option<RequestHeader>,
    /// `--token-auth-file`
    pub token_auth_file: Option<PathBuf>,
    /// `--basic-auth-file`: gone from Kubernetes since 1.19, and in the document.
    pub basic_auth_file: Option<PathBuf>,
    /// `--enable-bootstrap-token-auth`
    pub bootstrap_tokens: bool,
    /// `--anonymous-auth`
    pub anonymous: bool,
    /// The paths that anonymous requests are confined to; empty for none.
    pub anonymous_paths: Vec<String>,
    /// The `--service-account-*` flags.
    pub service_accounts: ServiceAccounts,
    /// `--authorization-mode`
    pub authorization_modes: Vec<Mode>,
    /// `--enable-admission-plugins`
    pub enable_admission_plugins: Vec<String>,
    /// `--disable-admission-plugins`
    pub disable_admission_plugins: Vec<String>,
    /// `--audit-policy-file`; without it nothing is recorded.
    pub audit_policy_file: Option<PathBuf>,
    /// `--audit-log-path` and the flags of its rotation; the path `-` is standard output.
    pub audit_log: Option<crate::audit::log::Options>,
    /// `--max-requests-inflight`
    pub max_requests_in_flight: usize,
    /// `--max-mutating-requests-inflight`
    pub max_mutating_requests_in_flight: usize,
    /// Where objects are kept.
    pub store: StoreOptions,
    /// `--encryption-provider-config`
    pub encryption_provider_config: Option<PathBuf>,
    /// `--etcd-prefix`
    pub prefix: String,
    /// `--etcd-compaction-interval`: how long etcd keeps what has changed, at least; `None` if this server is not to let it
    /// forget. The embedded store forgets by itself.
    pub compaction_interval: Option<Duration>,
    /// `--service-cluster-ip-range` and `--service-node-port-range`
    pub services: Ranges,
    /// PEM that pods are given as `kube-root-ca.crt`, to believe this server by (`--root-ca-file` of the
    /// controller-manager).
    pub root_ca: Option<String>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, and the intermediates after it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A certificate for some names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniPair {
    /// The pair.
    pub pair: Pair,
    /// The names; those of the certificate where it is empty.
    pub names: Vec<String>,
}

/// What is believed of a front proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// `--requestheader-client-ca-file`
    pub client_ca_file: PathBuf,
    /// `--requestheader-allowed-names`; empty for every certificate of that CA.
    pub allowed_names: Vec<String>,
    /// `--requestheader-username-headers`
    pub username_headers: Vec<String>,
    /// `--requestheader-uid-headers`
    pub uid_headers: Vec<String>,
    /// `--requestheader-group-headers`
    pub group_headers: Vec<String>,
    /// `--requestheader-extra-headers-prefix`
    pub extra_headers_prefix: Vec<String>,
}

/// How service-account tokens are made and believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAccounts {
    /// `--service-account-issuer`: the first issues, all are believed.
    pub issuers: Vec<String>,
    /// `--service-account-key-file`; where it is empty, the key of the serving pair.
    pub key_files: Vec<PathBuf>,
    /// `--service-account-signing-key-file`
    pub signing_key_file: Option<PathBuf>,
    /// `--api-audiences`; the issuers where it is empty.
    pub audiences: Vec<String>,
    /// `--service-account-max-token-expiration`
    pub max_expiration: Option<Duration>,
    /// `--service-account-extend-token-expiration`
    pub extend_expiration: bool,
    /// `--service-account-jwks-uri`
    pub jwks_uri: Option<String>,
}

/// Where objects are kept.
#[derive(Clone, Debug)]
pub enum StoreOptions {
    /// In a folder of this machine.
    Embedded(PathBuf),
    /// In etcd, by `--etcd-servers`, `--etcd-cafile`, `--etcd-certfile` and `--etcd-keyfile`.
    Etcd(kubetrust_store::etcd::Options),
}

impl StoreOptions {
    /// Whether there is a store already; etcd is never made by us.
    #[must_use]
    pub fn is_there(&self) -> bool {
        match self {
            Self::Embedded(folder) => embedded::is_there(folder),
            Self::Etcd(_) => true,
        }
    }
}
