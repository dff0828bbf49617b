//! `kubetrust flags`: with which flags a component uses these files.

use std::fs;

use jiff::Timestamp;
use kubetrust_pki::catalog;
use kubetrust_pki::cluster::Loaded;
use kubetrust_pki::flags::{Flag, flags};
use kubetrust_pki::inventory::HOSTS;
use kubetrust_pki::spec::{Authority, Cluster, Host};

use serde_json::{Value, json};

use crate::cli::{FlagsArgs, FlagsFormat};
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

pub fn run(args: &FlagsArgs, now: Timestamp, ui: &Ui) -> Result<Exit, Failure> {
    let component = args.component.0;
    if args.output == FlagsFormat::Env && component != catalog::Component::Etcd {
        return Err(Failure::Usage(format!(
            "{} takes no environment variables, only etcd does; use -o flags or -o yaml",
            component.as_str()
        )));
    }
    let root = &args.dir.dir;
    let _lock = super::read_lock(root)?;
    let loaded = Loaded::read(root, now)?;
    let cluster = &loaded.cluster;
    let host = host(args, cluster)?;
    let folder = root.join(HOSTS).join(host.name.as_str());
    let in_place = if args.in_place {
        let absolute = fs::canonicalize(&folder);
        Some(absolute.map_err(|error| Failure::Io {
            what: folder.display().to_string(),
            error,
        })?)
    } else {
        None
    };
    let acting = catalog::acting(cluster, Authority::Kubernetes);
    let key_is_here = loaded
        .authorities
        .cas
        .get(&acting)
        .is_none_or(|ca| ca.certificate.is_none() || ca.key.is_some());
    let signs = key_is_here && catalog::Holder::CaKey(Authority::Kubernetes).includes(cluster, host);
    let flags = flags(cluster, host, component, in_place.as_deref(), signs);
    let lines: Vec<String> = match args.output {
        FlagsFormat::Json => {
            let list = flags
                .iter()
                .map(|flag| json!({"name": flag.name, "value": flag.value}))
                .collect();
            ui.print_json(&Value::Array(list))?;
            return Ok(Exit::Done);
        }
        FlagsFormat::Flags => flags.iter().map(Flag::to_argument).collect(),
        FlagsFormat::Env => flags.iter().map(Flag::to_etcd_variable).collect(),
        FlagsFormat::Yaml => ["command:".to_owned(), format!("- {}", component.as_str())]
            .into_iter()
            .chain(
                flags
                    .iter()
                    .map(|flag| format!("- {}", yaml_scalar(&flag.to_argument()))),
            )
            .collect(),
    };
    ui.print(&lines.join("\n"))?;
    Ok(Exit::Done)
}

/// The host that is asked for, if the component runs there; or the only one on which it runs.
fn host<'a>(args: &FlagsArgs, cluster: &'a Cluster) -> Result<&'a Host, Failure> {
    let component = args.component.0;
    let running: Vec<&Host> = cluster
        .hosts
        .iter()
        .filter(|host| component.runs_on(cluster, host))
        .collect();
    let names = || {
        running
            .iter()
            .take(10)
            .map(|host| host.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (&args.host, running.as_slice()) {
        (Some(name), _) => {
            let host = super::host(cluster, name)?;
            if component.runs_on(cluster, host) {
                Ok(host)
            } else {
                let name = component.as_str();
                Err(Failure::Usage(format!(
                    "{name} does not run on {}; it runs on {}",
                    host.name,
                    names()
                )))
            }
        }
        (None, [only]) => Ok(only),
        (None, []) => Err(Failure::Usage(format!(
            "no host of this cluster runs {}",
            component.as_str()
        ))),
        (None, _) => Err(Failure::Usage(format!(
            "{} runs on several hosts; name one with --host: {}",
            component.as_str(),
            names()
        ))),
    }
}

/// Plain where YAML reads it as the same text, quoted otherwise.
fn yaml_scalar(text: &str) -> String {
    if text.contains([':', '#', '"', '*']) {
        format!("\"{}\"", text.replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}
