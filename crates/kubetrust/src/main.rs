//! kubetrust: the trust plane of a Kubernetes cluster, in one binary.
//!
//! `cli` says what can be asked, `verbs` does it (one file each), `client` asks servers, `ui` talks, and `exit` ends.

mod cli;
mod client;
mod exit;
mod ui;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

/// A seventh of what an API server's request takes is giving and taking memory: by the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let ui = ui::Ui::new();
    match verbs::run(cli.verb, &ui) {
        Ok(exit) => exit.into(),
        Err(error) => error.report(&ui),
    }
}
