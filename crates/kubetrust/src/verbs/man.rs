//! `kubetrust man`: a page for the command and one for each verb.

use std::path::Path;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

pub fn run(folder: &Path, ui: &Ui) -> Result<Exit, Failure> {
    clap_mangen::generate_to(Cli::command(), folder).map_err(|error| Failure::Io {
        what: folder.display().to_string(),
        error,
    })?;
    ui.say(&format!("Man pages are in {}.", folder.display()));
    Ok(Exit::Done)
}
