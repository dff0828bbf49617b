//! What can be asked. Every verb shows an example in its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use kubetrust_pki::catalog::Component;

use crate::verbs::apiserver::ApiserverArgs;
use crate::verbs::can_i::CanIArgs;
use crate::verbs::store::StoreArgs;
use crate::verbs::up::UpArgs;
use crate::verbs::who_can::WhoCanArgs;
use crate::verbs::whoami::WhoamiArgs;

/// The trust plane of a Kubernetes cluster: issues every credential, and keeps them what the spec says.
#[derive(Debug, Parser)]
#[command(
    name = "kubetrust",
    version,
    about,
    after_help = "Examples:\n  kubetrust init -d horse          a whole cluster's credentials, from no spec at all\n  \
                  kubetrust plan -d horse          what would change, and why\n\n\
                  Exit codes: 0 done, 1 findings or failed, 2 usage or spec error."
)]
pub struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a whole cluster's API server in one process, from nothing, and show who gets in as whom.
    #[command(
        after_help = "Examples:\n  kubetrust up\n  kubetrust up -d horse --once     ends after the matrix; 1 if a cell is wrong"
    )]
    Up(UpArgs),
    /// Serve the Kubernetes API, by the flags of kube-apiserver.
    #[command(after_help = "Example:\n  kubetrust apiserver $(kubetrust flags kube-apiserver -d horse --host m1)")]
    Apiserver(Box<ApiserverArgs>),
    /// Say whom a credential names: by itself, or as a server sees it.
    #[command(
        after_help = "Examples:\n  kubetrust whoami --kubeconfig horse/hosts/m1/kubernetes/auth/admin.conf\n  \
                      kubetrust whoami --certificate apiserver-kubelet-client.crt -d horse\n  \
                      kubetrust whoami --kubeconfig refused.conf --explained-by admin.conf"
    )]
    Whoami(WhoamiArgs),
    /// Say who may do something, by which binding and role.
    #[command(
        after_help = "Examples:\n  kubetrust who-can get secrets -n kube-system -f horse/manifests\n  \
                      kubetrust who-can get /metrics\n  \
                      kubetrust who-can create pods/exec -A --kubeconfig admin.conf"
    )]
    WhoCan(WhoCanArgs),
    /// Say whether somebody may do something: a certificate's user, or any. Exits with 0 for yes, 1 for no.
    #[command(
        after_help = "Examples:\n  kubetrust can-i list nodes --as-certificate scheduler.conf\n  \
                      kubetrust can-i create deployments.apps -n web --as jane --as-group dev -f manifests\n  \
                      kubetrust can-i --list --as system:serviceaccount:default:default"
    )]
    CanI(CanIArgs),
    /// Back up, restore, check or move the store of an API server.
    Store(StoreArgs),
    /// Make a cluster's directory: write its spec and issue everything.
    #[command(
        after_help = "Examples:\n  kubetrust init -d horse\n  kubetrust init -d horse -f cluster.yaml\n  \
                            kubetrust spec example | kubetrust init -d horse -f -"
    )]
    Init(InitArgs),
    /// Show what apply would do, each step with its reason. Changes nothing.
    #[command(after_help = "Examples:\n  kubetrust plan -d horse\n  kubetrust plan -d horse -o json")]
    Plan(PlanArgs),
    /// Make the directory match its spec. What matches already is not touched.
    #[command(after_help = "Examples:\n  kubetrust apply -d horse\n  kubetrust apply -d horse --dry-run -o json")]
    Apply(ApplyArgs),
    /// List every certificate and kubeconfig.
    #[command(after_help = "Examples:\n  kubetrust show -d horse\n  kubetrust show -d horse --host m1 -o wide")]
    Show(ShowArgs),
    /// Print the flags with which a component uses these files.
    #[command(after_help = "Examples:\n  kubetrust flags kube-apiserver -d horse --host m1\n  \
                            kubetrust flags etcd -d horse --host m1 -o env > /etc/etcd/etcd.env")]
    Flags(FlagsArgs),
    /// Make a tar of exactly what a host must hold.
    #[command(after_help = "Examples:\n  kubetrust bundle m1 -d horse -o m1.tar\n  \
                            kubetrust bundle w1 -d horse | ssh w1 tar -xpf - --no-same-owner -C /")]
    Bundle(BundleArgs),
    /// Print the spec's JSON Schema, or a commented example.
    #[command(
        after_help = "Examples:\n  kubetrust spec example > cluster.yaml\n  kubetrust spec schema > cluster.schema.json"
    )]
    Spec(SpecArgs),
    /// Print a shell's completions.
    #[command(after_help = "Example:\n  kubetrust completions bash > /etc/bash_completion.d/kubetrust")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write man pages into a folder.
    #[command(after_help = "Example:\n  kubetrust man /usr/local/share/man/man1")]
    Man {
        /// The folder; it must exist.
        folder: PathBuf,
    },
}

/// Which cluster.
#[derive(Debug, Args)]
pub struct DirArg {
    /// The cluster's directory.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    pub dir: DirArg,
    /// The spec; `-` reads standard input. Without it, a single host with every default.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// How to print what was done.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub dir: DirArg,
    /// How to print the steps.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Do as plan does: show the steps and take none.
    #[arg(long)]
    pub dry_run: bool,
}

/// `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub dir: DirArg,
    /// Only this host.
    #[arg(long)]
    pub host: Option<String>,
    /// How to print the list.
    #[arg(short, long, value_enum, default_value_t = ShowFormat::Table)]
    pub output: ShowFormat,
}

/// `flags`.
#[derive(Debug, Args)]
pub struct FlagsArgs {
    /// The component.
    #[arg(value_enum)]
    pub component: ComponentArg,
    #[command(flatten)]
    pub dir: DirArg,
    /// The host that it runs on. May be left out where the component runs on one host alone.
    #[arg(long)]
    pub host: Option<String>,
    /// How to print them: a command line, etcd's environment, a static pod's `command:`, or JSON.
    #[arg(short, long, value_enum, default_value_t = FlagsFormat::Flags)]
    pub output: FlagsFormat,
    /// Name the files where they lie in the directory, instead of where they are installed.
    #[arg(long)]
    pub in_place: bool,
}

/// `bundle`.
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The host.
    pub host: String,
    #[command(flatten)]
    pub dir: DirArg,
    /// Where the tar goes. Without it, or with `-`, standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `spec`.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// What to print.
    #[arg(value_enum)]
    pub what: SpecWhat,
}

/// A table for people or JSON for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table.
    Table,
    /// JSON.
    Json,
}

/// As [`Format`], with more of the table or all of it as YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// What matters most.
    Table,
    /// Every column.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// How flags are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FlagsFormat {
    /// One flag a line, as on a command line.
    Flags,
    /// etcd's environment variables.
    Env,
    /// The `command:` of a static pod.
    Yaml,
    /// JSON: a list of names and values.
    Json,
}

/// What `spec` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SpecWhat {
    /// The JSON Schema.
    Schema,
    /// A commented example with every field.
    Example,
}

/// A component by its binary's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComponentArg(pub Component);

impl ValueEnum for ComponentArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [ComponentArg; Component::ALL.len()] = {
            let mut all = [ComponentArg(Component::Etcd); Component::ALL.len()];
            let mut index = 0;
            while index < all.len() {
                all[index] = ComponentArg(Component::ALL[index]);
                index += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}
