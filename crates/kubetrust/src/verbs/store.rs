//! `kubetrust store`: backs a store up, restores it, checks it, and moves it from one engine to the other.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::Method;
use kubetrust_server::endpoints::backup;
use kubetrust_store::embedded::{self, Embedded};
use kubetrust_store::etcd::{self, Etcd};
use kubetrust_store::{CopyError, Store};

use crate::client::Connection;
use crate::client::access::Access;
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

/// `store`.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// What to do.
    #[command(subcommand)]
    verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Write a backup of a store: of one that a server has open through that server, of another directly.
    #[command(after_help = "Examples:\n  kubetrust store backup --kubeconfig admin.conf\n  \
                            kubetrust store backup --data-dir horse/store -o horse.backup")]
    Backup(BackupArgs),
    /// Make a store out of a backup, where none is.
    #[command(after_help = "Example:\n  kubetrust store restore horse.backup --data-dir horse/store")]
    Restore {
        /// The backup.
        file: PathBuf,
        /// The store's folder.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Read every record of a store or of a backup, and name what is damaged. 1 if anything is.
    #[command(
        after_help = "Examples:\n  kubetrust store check --data-dir horse/store\n  kubetrust store check --backup horse.backup"
    )]
    Check(CheckArgs),
    /// Copy a cluster's objects from one store to another that has none. Stop the servers first.
    #[command(
        after_help = "Example:\n  kubetrust store copy --data-dir horse/store --to-etcd-servers https://10.0.0.1:2379 \\\n    \
                            --etcd-cafile ca.crt --etcd-certfile client.crt --etcd-keyfile client.key"
    )]
    Copy(CopyArgs),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["kubeconfig", "data_dir"]))]
struct BackupArgs {
    /// Ask the server of this kubeconfig; it writes the file into its store's folder.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The folder of a store that no server has open.
    #[arg(long, value_name = "DIR", requires = "output")]
    data_dir: Option<PathBuf>,
    /// Where the backup goes.
    #[arg(short, long, value_name = "FILE", conflicts_with = "kubeconfig")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["backup", "data_dir"]))]
struct CheckArgs {
    /// A backup.
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// The folder of a store that no server has open.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("etcd").required(true).args(["to_etcd_servers", "from_etcd_servers"]))]
struct CopyArgs {
    /// The folder of the embedded store.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Copy to the etcd at these URLs.
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    to_etcd_servers: Vec<String>,
    /// Copy from the etcd at these URLs.
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    from_etcd_servers: Vec<String>,
    /// The CA of etcd.
    #[arg(long, value_name = "FILE")]
    etcd_cafile: Option<PathBuf>,
    /// Our client certificate for etcd.
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    etcd_certfile: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    etcd_keyfile: Option<PathBuf>,
    /// Where the keys begin.
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    etcd_prefix: String,
}

/// Why a store can't be worked on.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] embedded::OpenError),
    /// The backup.
    #[error(transparent)]
    Backup(#[from] embedded::BackupError),
    /// etcd's options.
    #[error(transparent)]
    Etcd(#[from] etcd::ConfigError),
    /// The copy.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The server's answer.
    #[error("the server made no backup: {code} {message}")]
    Server {
        /// HTTP status.
        code: u16,
        /// What it said.
        message: String,
    },
}

pub fn run(args: StoreArgs, ui: &Ui) -> Result<Exit, Failure> {
    match args.verb {
        StoreVerb::Backup(args) => back_up(&args, ui),
        StoreVerb::Restore { file, data_dir } => {
            let summary = embedded::restore(&file, &data_dir, |_| {}).map_err(StoreFailure::from)?;
            ui.say(&format!(
                "Restored {} keys at revision {} into {}.",
                summary.keys,
                summary.revision,
                data_dir.display()
            ));
            Ok(Exit::Done)
        }
        StoreVerb::Check(args) => check(&args, ui),
        StoreVerb::Copy(args) => copy(&args, ui),
    }
}

fn back_up(args: &BackupArgs, ui: &Ui) -> Result<Exit, Failure> {
    match (&args.kubeconfig, &args.data_dir, &args.output) {
        (Some(kubeconfig), _, _) => back_up_live(kubeconfig, ui),
        (None, Some(folder), Some(file)) => {
            let store = Embedded::open(folder, embedded::Options::default()).map_err(StoreFailure::from)?;
            let summary = store.backup(file, |_| {}).map_err(StoreFailure::from)?;
            ui.say(&format!(
                "Backed {} keys at revision {} up into {}.",
                summary.keys,
                summary.revision,
                file.display()
            ));
            Ok(Exit::Done)
        }
        _ => Err(Failure::Usage(
            "name the store with --data-dir and the backup with -o, or a server with --kubeconfig".into(),
        )),
    }
}

fn back_up_live(kubeconfig: &Path, ui: &Ui) -> Result<Exit, Failure> {
    let access = Access::read(kubeconfig)?;
    super::serve::runtime()?.block_on(async {
        let mut connection = Connection::open(&access.endpoint, &access.credential).await?;
        let answer = connection.send(Method::POST, backup::PATH, None).await?;
        let body = answer.json();
        if !answer.is_success() {
            let message = body["message"].as_str().unwrap_or_default().to_owned();
            return Err(StoreFailure::Server {
                code: answer.code,
                message,
            }
            .into());
        }
        ui.print(body["file"].as_str().unwrap_or_default())?;
        ui.say(&format!(
            "Backed {} keys at revision {} up, on the server's host.",
            body["keys"], body["revision"]
        ));
        Ok(Exit::Done)
    })
}

fn check(args: &CheckArgs, ui: &Ui) -> Result<Exit, Failure> {
    if let Some(file) = &args.backup {
        let summary = embedded::check_backup(file, |_| {}).map_err(StoreFailure::from)?;
        ui.print(&format!(
            "{} keys at revision {}: nothing is damaged",
            summary.keys, summary.revision
        ))?;
        return Ok(Exit::Done);
    }
    let folder = args.data_dir.as_deref().unwrap_or(Path::new("."));
    let report = embedded::check(folder, |_| {}).map_err(StoreFailure::from)?;
    for fault in &report.faults {
        ui.print(fault)?;
    }
    if report.fault_count > report.faults.len() {
        ui.print(&format!("and {} more", report.fault_count - report.faults.len()))?;
    }
    if report.fault_count > 0 {
        return Ok(Exit::Findings);
    }
    ui.print(&format!(
        "{} keys, {} records, revision {}: nothing is damaged",
        report.keys, report.records, report.revision
    ))?;
    Ok(Exit::Done)
}

fn copy(args: &CopyArgs, ui: &Ui) -> Result<Exit, Failure> {
    super::serve::runtime()?.block_on(async {
        let embedded = Embedded::open(&args.data_dir, embedded::Options::default()).map_err(StoreFailure::from)?;
        let into_etcd = !args.to_etcd_servers.is_empty();
        let etcd = Etcd::new(etcd::Options {
            servers: if into_etcd {
                args.to_etcd_servers.clone()
            } else {
                args.from_etcd_servers.clone()
            },
            files: etcd::Files {
                cafile: args.etcd_cafile.clone(),
                certfile: args.etcd_certfile.clone(),
                keyfile: args.etcd_keyfile.clone(),
            },
        })
        .map_err(StoreFailure::from)?;
        let (from, to): (&dyn Store, &dyn Store) = if into_etcd {
            (&embedded, &etcd)
        } else {
            (&etcd, &embedded)
        };
        let prefix = Bytes::from(format!("{}/", args.etcd_prefix.trim_end_matches('/')));
        let copied = kubetrust_store::copy(from, to, prefix, |_| {})
            .await
            .map_err(StoreFailure::from)?;
        ui.say(&format!(
            "Copied {} keys, {} bytes, as of revision {}.",
            copied.keys, copied.bytes, copied.revision
        ));
        Ok(Exit::Done)
    })
}
