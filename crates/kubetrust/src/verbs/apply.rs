//! `kubetrust apply`: makes the directory match its spec.

use jiff::Timestamp;
use kubetrust_pki::cluster::Loaded;
use kubetrust_pki::plan::{Finding, Step};
use kubetrust_pki::spec::AuthorityMode;
use kubetrust_pki::write::{Directory, RealDisk};

use crate::cli::{ApplyArgs, Format};
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

pub fn run(args: &ApplyArgs, now: Timestamp, ui: &Ui) -> Result<Exit, Failure> {
    let ApplyArgs { plan: args, dry_run } = args;
    if *dry_run {
        return super::plan::run(args, now, ui);
    }
    let root = &args.dir.dir;
    // First without the right to write, so that a directory that matches already is not even touched.
    {
        let lock = super::read_lock(root)?;
        let loaded = Loaded::read(root, now)?;
        let plan = loaded.plan(root)?;
        if plan.is_empty() {
            // A run that was killed right at its end: what it replaced must not lie around.
            if lock.has_leftovers() {
                drop(lock);
                Directory::open(root, RealDisk)?;
            }
            ui.warnings(&loaded.warnings);
            let nothing = Carried {
                steps: Vec::new(),
                findings: plan.findings,
            };
            return nothing.report(args.output, ui);
        }
    }
    let directory = Directory::open(root, RealDisk)?;
    let loaded = Loaded::read(root, now)?;
    ui.warnings(&loaded.warnings);
    carry_out(&directory, loaded, ui)?.report(args.output, ui)
}

/// What was done, and what could not be.
pub struct Carried {
    steps: Vec<Step>,
    findings: Vec<Finding>,
}

/// Plans under the directory's lock, and applies.
pub fn carry_out(directory: &Directory, loaded: Loaded, ui: &Ui) -> Result<Carried, Failure> {
    let plan = loaded.plan(directory.root())?;
    let steps = plan.steps();
    let findings = plan.findings.clone();
    let single = loaded.cluster.authorities.mode == AuthorityMode::Single;
    let made_a_ca = !plan.authority.create.is_empty() || !plan.authority.take_up.is_empty();
    let published = {
        let progress = ui.progress();
        loaded.apply(directory, plan, &progress)?
    };
    for backup in &published.backups {
        ui.say(&format!("What was replaced lies in {}.", backup.display()));
    }
    if let Some(leftover) = &published.leftover {
        ui.warn(&format!(
            "everything is in place, but old versions could not be cleared away: {leftover}"
        ));
    }
    if single && made_a_ca {
        ui.warn(SINGLE);
    }
    Ok(Carried { steps, findings })
}

impl Carried {
    /// Prints each step, and says the rest.
    pub fn report(&self, format: Format, ui: &Ui) -> Result<Exit, Failure> {
        super::plan::print(ui, format, &self.steps, &self.findings)?;
        if format == Format::Table {
            return Ok(self.say(ui));
        }
        ui.findings(&self.findings);
        Ok(Exit::of(&self.findings))
    }

    /// Says how much it was, and what is left.
    pub fn say(&self, ui: &Ui) -> Exit {
        ui.findings(&self.findings);
        let files: usize = self.steps.iter().map(|step| step.files.len()).sum();
        if self.steps.is_empty() {
            ui.say("Nothing to do: the directory matches its spec.");
        } else {
            ui.say(&format!("Done: {} steps, {files} files.", self.steps.len()));
        }
        Exit::of(&self.findings)
    }
}

/// What `authorities.mode: single` gives away, although flags and names confine it.
const SINGLE: &str = "one CA signs everything. etcd lets in only the names peer.etcd.* and client.etcd.*, and the API \
server believes X-Remote-* headers only from CN=front-proxy-client, by the flags that `kubetrust flags` prints. What \
remains: whoever holds the one CA key, or gets it to sign such a name, has etcd and every identity; so the \
controller-manager, which signs with it, is as powerful as etcd's administrator, and whoever may approve a CSR for \
CN=front-proxy-client is as powerful as system:masters. Separate authorities have none of this.";
