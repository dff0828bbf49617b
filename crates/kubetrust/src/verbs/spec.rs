//! `kubetrust spec`: what a spec may say.

use kubetrust_pki::spec;

use crate::cli::{SpecArgs, SpecWhat};
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

pub fn run(args: &SpecArgs, ui: &Ui) -> Result<Exit, Failure> {
    match args.what {
        SpecWhat::Schema => ui.print_json(&spec::json_schema())?,
        SpecWhat::Example => ui.print(&spec::example())?,
    }
    Ok(Exit::Done)
}
