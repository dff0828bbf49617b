//! `kubetrust apiserver`: an API server by the flags of kube-apiserver (S15).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kubetrust_auth::authz::Mode;
use kubetrust_server::audit::log::Options as AuditLog;
use kubetrust_server::options::{Options, Pair, RequestHeader, ServiceAccounts, SniPair, StoreOptions};
use kubetrust_server::registry::services::{self, AddressRange, PortRange, Ranges};
use kubetrust_store::etcd;

use crate::exit::{Exit, Failure};
use crate::ui::Ui;

/// `apiserver`. Names and meanings are kube-apiserver's; what Kubernetes does not have says so.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Serving")]
pub struct ApiserverArgs {
    /// The address to listen on.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// The port to listen on; 0 takes any that is free.
    #[arg(long, default_value_t = 6443, value_name = "PORT")]
    pub secure_port: u16,
    /// The address that others reach this server at.
    #[arg(long, value_name = "IP")]
    pub advertise_address: Option<IpAddr>,
    /// The serving certificate, intermediates after it. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: PathBuf,
    /// The key of the serving certificate. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: PathBuf,
    /// A pair for some names: CERTIFICATE,KEY or CERTIFICATE,KEY:NAME,NAME. May be repeated.
    #[arg(long, value_name = "CERT,KEY[:NAME,…]", value_parser = sni)]
    pub tls_sni_cert_key: Vec<SniPair>,
    /// Reads that are worked on at once.
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub max_requests_inflight: usize,
    /// Writes that are worked on at once.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_mutating_requests_inflight: usize,

    /// The CA whose certificates name users: CN the user, O the groups. Read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub client_ca_file: Option<PathBuf>,
    /// Revoked client certificates: CRLs, signed by the CA. Kubernetes has none. Read again when it changes.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Authentication",
        requires = "client_ca_file"
    )]
    pub client_crl_file: Option<PathBuf>,
    /// Serial numbers of revoked client certificates, one a line. Kubernetes has none. Read again when it changes.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Authentication",
        requires = "client_ca_file"
    )]
    pub client_revoked_serials_file: Option<PathBuf>,
    /// The CA of the front proxies, whose X-Remote-* headers are believed. Read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// The names that a front proxy's certificate may have; none for any.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Authentication",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_allowed_names: Vec<String>,
    /// The headers that carry the user.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        help_heading = "Authentication",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_username_headers: Vec<String>,
    /// The headers that carry the UID.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        help_heading = "Authentication",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_uid_headers: Vec<String>,
    /// The headers that carry the groups.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        help_heading = "Authentication",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_group_headers: Vec<String>,
    /// What the names of extra headers begin with.
    #[arg(
        long,
        value_name = "PREFIXES",
        value_delimiter = ',',
        help_heading = "Authentication",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// Static tokens: token,user,uid,"group,…". Read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub token_auth_file: Option<PathBuf>,
    /// Static passwords: password,user,uid,"group,…". Kubernetes gave it up in 1.19, for good reasons.
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub basic_auth_file: Option<PathBuf>,
    /// Believe the bootstrap tokens in kube-system.
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "Authentication")]
    pub enable_bootstrap_token_auth: bool,
    /// Let requests without credentials in as system:anonymous.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "Authentication")]
    pub anonymous_auth: bool,

    /// Who issues service-account tokens; the first issues, all are believed. May be repeated.
    #[arg(long, value_name = "URL", help_heading = "Service accounts")]
    pub service_account_issuer: Vec<String>,
    /// A key that verifies tokens: public, or private for its public half. May be repeated. Read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Service accounts")]
    pub service_account_key_file: Vec<PathBuf>,
    /// The key that signs tokens. Read again when it changes.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Service accounts",
        requires = "service_account_issuer"
    )]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// For whom tokens are good that name nobody; the issuer where it is not given.
    #[arg(
        long,
        value_name = "AUDIENCES",
        value_delimiter = ',',
        help_heading = "Service accounts"
    )]
    pub api_audiences: Vec<String>,
    /// Where others find the keys that verify tokens.
    #[arg(long, value_name = "URL", help_heading = "Service accounts")]
    pub service_account_jwks_uri: Option<String>,
    /// The longest life of a token, as 12h or 30m.
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Service accounts")]
    pub service_account_max_token_expiration: Option<Duration>,
    /// Let the tokens of kubelets live a year, with a warning after the hour that was asked for.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set, help_heading = "Service accounts")]
    pub service_account_extend_token_expiration: bool,

    /// Who decides, in this order: Node, RBAC, `AlwaysAllow`, `AlwaysDeny`.
    #[arg(
        long,
        value_name = "MODES",
        value_delimiter = ',',
        default_value = "Node,RBAC",
        help_heading = "Authorization and admission"
    )]
    pub authorization_mode: Vec<Mode>,
    /// Admission plugins beside those that are on by default.
    #[arg(
        long,
        value_name = "PLUGINS",
        value_delimiter = ',',
        help_heading = "Authorization and admission"
    )]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins to leave out.
    #[arg(
        long,
        value_name = "PLUGINS",
        value_delimiter = ',',
        help_heading = "Authorization and admission"
    )]
    pub disable_admission_plugins: Vec<String>,

    /// What of requests is recorded: an audit.k8s.io/v1 Policy. Read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Audit", requires = "audit_log_path")]
    pub audit_policy_file: Option<PathBuf>,
    /// Where the audit events go; `-` is standard output.
    #[arg(long, value_name = "FILE", help_heading = "Audit", requires = "audit_policy_file")]
    pub audit_log_path: Option<PathBuf>,
    /// Days after which a rotated audit log is removed; 0 for never.
    #[arg(long, value_name = "DAYS", default_value_t = 0, help_heading = "Audit")]
    pub audit_log_maxage: u32,
    /// Rotated audit logs that are kept; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Audit")]
    pub audit_log_maxbackup: u32,
    /// Mebibytes after which the audit log is rotated; 0 for never.
    #[arg(long, value_name = "MIB", default_value_t = 0, help_heading = "Audit")]
    pub audit_log_maxsize: u32,

    /// Keep objects in this folder, without etcd. Kubernetes has none.
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Store",
        conflicts_with = "etcd_servers",
        required_unless_present = "etcd_servers"
    )]
    pub data_dir: Option<PathBuf>,
    /// Keep objects in etcd: the URLs of its members.
    #[arg(long, value_name = "URLS", value_delimiter = ',', help_heading = "Store")]
    pub etcd_servers: Vec<String>,
    /// The CA of etcd. Read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Store", requires = "etcd_servers")]
    pub etcd_cafile: Option<PathBuf>,
    /// Our client certificate for etcd. Read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Store", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", help_heading = "Store", requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// How long etcd keeps what has changed, at least, as 5m; 0 leaves it to others to let it forget.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration,
        default_value = "5m0s",
        help_heading = "Store",
        conflicts_with = "data_dir"
    )]
    pub etcd_compaction_interval: Duration,
    /// How values are encrypted where they are stored: an `EncryptionConfiguration`. Read again when it changes.
    #[arg(long, value_name = "FILE", help_heading = "Store")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Where the keys begin.
    #[arg(long, value_name = "PREFIX", default_value = "/registry", help_heading = "Store")]
    pub etcd_prefix: String,

    /// The addresses of services: one range, or one for IPv4 and one for IPv6.
    #[arg(
        long,
        value_name = "CIDRS",
        value_delimiter = ',',
        default_value = services::DEFAULT_RANGE,
        help_heading = "Cluster"
    )]
    pub service_cluster_ip_range: Vec<AddressRange>,
    /// The node ports of services.
    #[arg(long, value_name = "PORTS", default_value_t = PortRange::default(), help_heading = "Cluster")]
    pub service_node_port_range: PortRange,
    /// The CA that kubelets' serving certificates are verified by.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Our client certificate for kubelets.
    #[arg(long, value_name = "FILE", help_heading = "Cluster", requires = "kubelet_client_key")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Cluster",
        requires = "kubelet_client_certificate"
    )]
    pub kubelet_client_key: Option<PathBuf>,
    /// Which address of a node is tried first.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', help_heading = "Cluster")]
    pub kubelet_preferred_address_types: Vec<String>,
    /// Our client certificate for extension servers.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Cluster",
        requires = "proxy_client_key_file"
    )]
    pub proxy_client_cert_file: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Cluster",
        requires = "proxy_client_cert_file"
    )]
    pub proxy_client_key_file: Option<PathBuf>,
}

impl ApiserverArgs {
    /// What the server is told.
    pub fn options(self) -> Result<Options, Failure> {
        let store = match self.data_dir {
            Some(folder) => StoreOptions::Embedded(folder),
            None => StoreOptions::Etcd(etcd::Options {
                servers: self.etcd_servers,
                files: etcd::Files {
                    cafile: self.etcd_cafile,
                    certfile: self.etcd_certfile,
                    keyfile: self.etcd_keyfile,
                },
            }),
        };
        let request_header = self.requestheader_client_ca_file.map(|client_ca_file| RequestHeader {
            client_ca_file,
            allowed_names: self.requestheader_allowed_names,
            username_headers: self.requestheader_username_headers,
            uid_headers: self.requestheader_uid_headers,
            group_headers: self.requestheader_group_headers,
            extra_headers_prefix: self.requestheader_extra_headers_prefix,
        });
        if self.service_account_signing_key_file.is_some() && self.service_account_key_file.is_empty() {
            return Err(Failure::Usage(
                "--service-account-signing-key-file without --service-account-key-file: the server would refuse the tokens \
                 that it signs; name the key's public half (sa.pub) there"
                    .into(),
            ));
        }
        let services = Ranges::new(self.service_cluster_ip_range, self.service_node_port_range)
            .map_err(|bad| Failure::Usage(format!("--service-cluster-ip-range: {bad}")))?;
        Ok(Options {
            bind_address: self.bind_address,
            secure_port: self.secure_port,
            advertise: self.advertise_address,
            serving: Pair {
                certificate: self.tls_cert_file,
                key: self.tls_private_key_file,
            },
            sni: self.tls_sni_cert_key,
            client_ca_file: self.client_ca_file,
            client_crl_file: self.client_crl_file,
            client_revoked_serials_file: self.client_revoked_serials_file,
            request_header,
            token_auth_file: self.token_auth_file,
            basic_auth_file: self.basic_auth_file,
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            anonymous: self.anonymous_auth,
            anonymous_paths: Vec::new(),
            service_accounts: ServiceAccounts {
                issuers: self.service_account_issuer,
                key_files: self.service_account_key_file,
                signing_key_file: self.service_account_signing_key_file,
                audiences: self.api_audiences,
                max_expiration: self.service_account_max_token_expiration,
                extend_expiration: self.service_account_extend_token_expiration,
                jwks_uri: self.service_account_jwks_uri,
            },
            authorization_modes: self.authorization_mode,
            enable_admission_plugins: self.enable_admission_plugins,
            disable_admission_plugins: self.disable_admission_plugins,
            audit_policy_file: self.audit_policy_file,
            audit_log: self.audit_log_path.map(|path| AuditLog {
                path,
                max_age: self.audit_log_maxage,
                max_backup: self.audit_log_maxbackup,
                max_size: self.audit_log_maxsize,
            }),
            max_requests_in_flight: self.max_requests_inflight,
            max_mutating_requests_in_flight: self.max_mutating_requests_inflight,
            store,
            encryption_provider_config: self.encryption_provider_config,
            prefix: self.etcd_prefix,
            compaction_interval: Some(self.etcd_compaction_interval).filter(|interval| !interval.is_zero()),
            services,
            root_ca: None,
        })
    }
}

/// Serves until it is told to stop.
pub fn run(args: ApiserverArgs, ui: &Ui) -> Result<Exit, Failure> {
    let options = args.options()?;
    super::serve::runtime()?.block_on(async {
        let running = kubetrust_server::start::start(options).await?;
        ui.say(&format!("kubetrust apiserver listens on {}", running.address));
        super::serve::until_told_to_stop().await;
        running.stop().await;
        Ok(Exit::Done)
    })
}

fn sni(text: &str) -> Result<SniPair, String> {
    let (files, names) = match text.split_once(':') {
        Some((files, names)) => (files, names.split(',').map(str::to_owned).collect()),
        None => (text, Vec::new()),
    };
    let (certificate, key) = files
        .split_once(',')
        .ok_or("write CERTIFICATE,KEY or CERTIFICATE,KEY:NAME,NAME")?;
    Ok(SniPair {
        pair: Pair {
            certificate: certificate.into(),
            key: key.into(),
        },
        names,
    })
}

/// `12h`, `1h30m`, `45s`, as Go writes durations; nothing at all needs no unit.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| format!("{text:?} is no duration; write 12h or 30m"))?;
    Duration::try_from(span).map_err(|_| "a duration can't be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: ApiserverArgs,
    }

    #[test]
    fn etcd_forgets_as_often_as_the_flag_says() {
        let store = "--etcd-servers=https://127.0.0.1:2379";
        let minutes = |count| Some(Duration::from_mins(count));
        for (flags, want) in [
            (&[store][..], Ok(minutes(5))),
            (&[store, "--etcd-compaction-interval=10m0s"], Ok(minutes(10))),
            (&[store, "--etcd-compaction-interval=1h"], Ok(minutes(60))),
            (&[store, "--etcd-compaction-interval=0"], Ok(None)),
            (&[store, "--etcd-compaction-interval=0s"], Ok(None)),
            (
                &[store, "--etcd-compaction-interval=5"],
                Err("\"5\" is no duration; write 12h or 30m"),
            ),
            (
                &[store, "--etcd-compaction-interval=-5m"],
                Err("a duration can't be negative"),
            ),
            (
                &["--data-dir=d", "--etcd-compaction-interval=5m"],
                Err("cannot be used with"),
            ),
        ] {
            let needed = [
                "apiserver",
                "--service-account-issuer=https://a",
                "--service-account-key-file=sa.pub",
                "--tls-cert-file=a",
                "--tls-private-key-file=a",
            ];
            let parsed = Command::try_parse_from(needed.iter().chain(flags));
            let said = parsed
                .map_err(|error| error.to_string())
                .map(|command| command.args.options().unwrap().compaction_interval);
            match (said, want) {
                (Err(said), Err(want)) => assert!(said.contains(want), "{flags:?}: {said}"),
                (said, want) => assert_eq!(said, want.map_err(str::to_owned), "{flags:?}"),
            }
        }
    }
}
