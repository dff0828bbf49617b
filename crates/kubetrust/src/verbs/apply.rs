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
            return report(
                ui,
                args.output,
                &[],
                &plan.findings,
                "Nothing to do: the directory matches its spec.",
            );
        }
    }
    let directory = Directory::open(root, RealDisk)?;
    let loaded = Loaded::read(root, now)?;
    ui.warnings(&loaded.warnings);
    carry_out(&directory, loaded, args.output, ui)
}

/// Plans under the directory's lock, and applies.
pub fn carry_out(directory: &Directory, loaded: Loaded, format: Format, ui: &Ui) -> Result<Exit, Failure> {
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
    report(ui, format, &steps, &findings, &summary(&steps))
}

fn report(ui: &Ui, format: Format, steps: &[Step], findings: &[Finding], summary: &str) -> Result<Exit, Failure> {
    super::plan::print(ui, format, steps, findings)?;
    ui.findings(findings);
    if format == Format::Table {
        ui.say(summary);
    }
    Ok(Exit::of(findings))
}

fn summary(steps: &[Step]) -> String {
    let files: usize = steps.iter().map(|step| step.files.len()).sum();
    format!("Done: {} steps, {files} files.", steps.len())
}

/// What `authorities.mode: single` gives away, although flags and names confine it.
const SINGLE: &str = "one CA signs everything. etcd lets in only the names peer.etcd.* and client.etcd.*, and the API \
server believes X-Remote-* headers only from CN=front-proxy-client, by the flags that `kubetrust flags` prints. What \
remains: whoever holds the one CA key, or gets it to sign such a name, has etcd and every identity; so the \
controller-manager, which signs with it, is as powerful as etcd's administrator, and whoever may approve a CSR for \
CN=front-proxy-client is as powerful as system:masters. Separate authorities have none of this.";
