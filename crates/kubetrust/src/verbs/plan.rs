//! `kubetrust plan`: what apply would do.

use jiff::Timestamp;
use kubetrust_pki::cluster::Loaded;
use kubetrust_pki::plan::{Finding, Step};
use serde_json::{Value, json};

use crate::cli::{Format, PlanArgs};
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

pub fn run(args: &PlanArgs, now: Timestamp, ui: &Ui) -> Result<Exit, Failure> {
    let root = &args.dir.dir;
    let _lock = super::read_lock(root)?;
    let loaded = Loaded::read(root, now)?;
    ui.warnings(&loaded.warnings);
    let plan = loaded.plan(root)?;
    let steps = plan.steps();
    print(ui, args.output, &steps, &plan.findings)?;
    ui.findings(&plan.findings);
    if args.output == Format::Table {
        ui.say(&match steps.len() {
            0 => "Nothing to do.".to_owned(),
            1 => "1 step; `kubetrust apply` takes it.".to_owned(),
            count => format!("{count} steps; `kubetrust apply` takes them."),
        });
    }
    Ok(Exit::of(&plan.findings))
}

/// Prints steps as a table or as JSON.
pub fn print(ui: &Ui, format: Format, steps: &[Step], findings: &[Finding]) -> Result<(), Failure> {
    match format {
        Format::Json => ui.print_json(&to_json(steps, findings)),
        Format::Table if steps.is_empty() => Ok(()),
        Format::Table => ui.print_table(["ACTION", "CREDENTIAL", "HOST", "REASON"], rows(steps)),
    }
}

/// Steps that do the same for the same reason on several hosts share a line.
fn rows(steps: &[Step]) -> Vec<[String; 4]> {
    let mut rows: Vec<([String; 3], Vec<&str>)> = Vec::new();
    for step in steps {
        let reasons = step
            .reasons
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ");
        let key = [step.action.to_owned(), step.credential.clone(), reasons];
        let host = step.host.as_deref();
        match rows.iter_mut().find(|(other, _)| *other == key) {
            Some((_, hosts)) => hosts.extend(host),
            None => rows.push((key, host.into_iter().collect())),
        }
    }
    rows.into_iter()
        .map(|([action, credential, reasons], hosts)| {
            let hosts = match hosts.as_slice() {
                [] => "-".to_owned(),
                few if few.len() <= 3 => few.join(","),
                many => format!("{},{},… ({})", many[0], many[1], many.len()),
            };
            [action, credential, hosts, reasons]
        })
        .collect()
}

fn to_json(steps: &[Step], findings: &[Finding]) -> Value {
    let steps: Vec<_> = steps
        .iter()
        .map(|step| {
            let reasons: Vec<_> = step
                .reasons
                .iter()
                .map(|reason| json!({"reason": reason.code(), "message": reason.to_string()}))
                .collect();
            json!({
                "action": step.action,
                "credential": step.credential,
                "host": step.host,
                "files": step.files,
                "reasons": reasons,
            })
        })
        .collect();
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code,
                "credential": finding.credential,
                "host": finding.host,
                "message": finding.message,
                "hint": finding.hint,
                "unfinished": finding.unfinished,
            })
        })
        .collect();
    json!({"steps": steps, "findings": findings})
}
