//! `kubetrust up`: a whole cluster's API server in one process, from nothing: issues the credentials, opens the store,
//! serves, and shows who gets in as whom.

mod accounts;
mod furnish;
mod identities;
mod matrix;
mod probes;
mod refused;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use jiff::Timestamp;
use kubetrust_pki::catalog::Component;
use kubetrust_pki::cluster::{Loaded, SPEC_FILE};
use kubetrust_pki::flags::flags;
use kubetrust_pki::inventory::HOSTS;
use kubetrust_pki::spec::{Cluster, Host, Role};
use kubetrust_server::options::Options;
use kubetrust_server::start::start;

use super::apiserver::ApiserverArgs;
use super::serve;
use crate::cli::{DirArg, Format, InitArgs};
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

/// The folder of the store, in the cluster's directory.
const STORE: &str = "store";

/// `up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The cluster's directory; it is made where there is none.
    #[arg(short, long, value_name = "DIR", default_value = "horse")]
    pub dir: PathBuf,
    /// The control-plane host to be; the first where it is not given.
    #[arg(long)]
    pub host: Option<String>,
    /// End after the matrix: 0 if every cell is as it must be, 1 if not.
    #[arg(long)]
    pub once: bool,
    /// How to print the matrix.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// The flags of the API server, as [`flags`] prints them.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Flags {
    #[command(flatten)]
    server: ApiserverArgs,
}

pub fn run(args: &UpArgs, now: Timestamp, ui: &Ui) -> Result<Exit, Failure> {
    if !args.dir.join(SPEC_FILE).exists() {
        let init = InitArgs {
            dir: DirArg { dir: args.dir.clone() },
            spec: None,
            output: Format::Table,
        };
        super::init::make(&init, now, ui)?.say(ui);
    }
    let loaded = Loaded::read(&args.dir, now)?;
    let host = host(args, &loaded.cluster)?;
    let folder = args.dir.join(HOSTS).join(host.name.as_str());
    if !folder.is_dir() {
        let dir = args.dir.display();
        return Err(Failure::Usage(format!(
            "{dir} has nothing for {} yet; run: kubetrust apply -d {dir}",
            host.name
        )));
    }
    let options = options(args, &loaded.cluster, host, &folder)?;
    let host = host.clone();
    let place = identities::Place {
        root: args.dir.clone(),
        folder,
        host,
        cluster: loaded.cluster,
        authorities: loaded.authorities,
    };
    serve::runtime()?.block_on(async {
        let running = start(options).await?;
        furnish::run(&running.registry, &args.dir, Timestamp::now()).await?;
        let kubeconfig = place.admin_kubeconfig();
        let listens = format!(
            "The API server of cluster {} listens on {}.",
            place.cluster.name, running.address
        );
        let example = format!("  kubectl --kubeconfig {} get namespaces\n\n", kubeconfig.display());
        match args.output {
            Format::Table => ui.print(&format!("{listens}\n{example}"))?,
            // Standard output is one document of JSON.
            Format::Json => ui.say(&listens),
        }
        let matrix = matrix::take(&place, &running).await?;
        matrix.print(args.output, ui)?;
        if !args.once {
            ui.say("Serving until Ctrl-C.");
            serve::until_told_to_stop().await;
        }
        running.stop().await;
        Ok(if matrix.is_right() { Exit::Done } else { Exit::Findings })
    })
}

fn host<'a>(args: &UpArgs, cluster: &'a Cluster) -> Result<&'a Host, Failure> {
    match &args.host {
        Some(name) => super::host(cluster, name),
        None => cluster
            .hosts_with(Role::ControlPlane)
            .next()
            .ok_or_else(|| Failure::Usage("no host of this cluster is a control plane".into())),
    }
}

/// The flags that this host's API server runs by, with the files where they lie, on the embedded store.
fn options(args: &UpArgs, cluster: &Cluster, host: &Host, folder: &Path) -> Result<Options, Failure> {
    let absolute = fs::canonicalize(folder).map_err(|error| Failure::Io {
        what: folder.display().to_string(),
        error,
    })?;
    let given = flags(cluster, host, Component::ApiServer, Some(&absolute), true);
    let kept = given
        .iter()
        .filter(|flag| !flag.name.starts_with("etcd-"))
        .map(kubetrust_pki::flags::Flag::to_argument);
    let own = [
        format!("--data-dir={}", args.dir.join(STORE).display()),
        format!("--bind-address={}", host.address()),
    ];
    let parsed = Flags::try_parse_from(kept.chain(own))
        .map_err(|error| Failure::Usage(format!("the flags of this cluster can't be used: {error}")))?;
    let mut options = parsed.server.options()?;
    // What signed the serving certificate is what pods believe the server by.
    let ca = given
        .iter()
        .find(|flag| flag.name == "client-ca-file")
        .map(|flag| flag.value.clone());
    options.root_ca = ca.and_then(|path| fs::read_to_string(path).ok());
    Ok(options)
}
