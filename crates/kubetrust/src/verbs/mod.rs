//! One verb a file.

pub mod apiserver;
mod apply;
mod bundle;
pub mod can_i;
mod completions;
mod explanation;
mod flags;
mod init;
mod man;
mod plan;
mod policy;
mod question;
mod serve;
mod show;
mod spec;
pub mod store;
pub mod up;
pub mod who_can;
pub mod whoami;
mod whom;

use std::path::Path;

use jiff::Timestamp;
use kubetrust_pki::cluster::read_spec;
use kubetrust_pki::spec::{Cluster, Host};
use kubetrust_pki::write::ReadLock;

use crate::cli::Verb;
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

/// Runs a verb. The clock is read here, once.
pub fn run(verb: Verb, ui: &Ui) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    match verb {
        Verb::Up(args) => up::run(&args, now, ui),
        Verb::Whoami(args) => whoami::run(&args, now, ui),
        Verb::WhoCan(args) => who_can::run(&args, ui),
        Verb::CanI(args) => can_i::run(&args, ui),
        Verb::Apiserver(args) => apiserver::run(*args, ui),
        Verb::Store(args) => store::run(args, ui),
        Verb::Init(args) => init::run(&args, now, ui),
        Verb::Plan(args) => plan::run(&args, now, ui),
        Verb::Apply(args) => apply::run(&args, now, ui),
        Verb::Show(args) => show::run(&args, now, ui),
        Verb::Flags(args) => flags::run(&args, now, ui),
        Verb::Bundle(args) => bundle::run(&args, now, ui),
        Verb::Spec(args) => spec::run(&args, ui),
        Verb::Completions { shell } => completions::run(shell, ui),
        Verb::Man { folder } => man::run(&folder, ui),
    }
}

/// The host of that name, or an error that lists those there are.
fn host<'a>(cluster: &'a Cluster, name: &str) -> Result<&'a Host, Failure> {
    cluster.host(name).ok_or_else(|| {
        let known: Vec<_> = cluster.hosts.iter().take(10).map(|host| host.name.as_str()).collect();
        let more = if cluster.hosts.len() > known.len() { ", …" } else { "" };
        Failure::Usage(format!(
            "there is no host {name} in the spec; it has {}{more}",
            known.join(", ")
        ))
    })
}

/// Locks a directory for reading.
fn read_lock(root: &Path) -> Result<ReadLock, Failure> {
    // A directory without a spec is no cluster's: that says more than what the lock would say.
    read_spec(root)?;
    Ok(ReadLock::open(root)?)
}
