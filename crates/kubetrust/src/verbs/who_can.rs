//! `kubetrust who-can`: who may do something, by which binding and role.

use clap::Args;
use kubetrust_auth::authz::WhoCan;
use kubetrust_auth::authz::node::Nodes;
use kubetrust_auth::authz::rbac::who::Allowed;
use kubetrust_auth::user::{MASTERS, NODE_PREFIX, NODES};
use serde_json::{Value, json};

use super::policy::Source;
use super::question::{Namespace, Question};
use crate::cli::Format;
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

/// `who-can`.
#[derive(Debug, Args)]
pub struct WhoCanArgs {
    /// The verb: get, list, watch, create, update, patch, delete, deletecollection, …
    pub verb: String,
    /// A resource, as pods, po, pods/log or deployments.apps; or a path, as /healthz.
    #[arg(value_name = "RESOURCE|PATH")]
    pub what: String,
    /// The name of one object.
    pub name: Option<String>,
    /// In this namespace, instead of default.
    #[arg(short, long, value_name = "NS", conflicts_with = "all_namespaces")]
    pub namespace: Option<String>,
    /// In all namespaces at once.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    #[command(flatten)]
    pub source: Source,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Format::Table, help_heading = None)]
    pub output: Format,
}

/// One who may.
struct Row {
    kind: String,
    namespace: String,
    name: String,
    binding: String,
    role: String,
}

pub fn run(args: &WhoCanArgs, ui: &Ui) -> Result<Exit, Failure> {
    let question = Question {
        verb: &args.verb,
        what: &args.what,
        name: args.name.as_deref(),
        namespace: Namespace::of(args.namespace.as_deref(), args.all_namespaces),
    };
    let attributes = question.attributes(ui)?;
    let who = args.source.authorizer(ui)?.who_can(&attributes);
    for error in &who.errors {
        ui.warn(&format!("a binding leads nowhere: {error}"));
    }
    let rows = rows(&who);
    match args.output {
        Format::Json => ui.print_json(&rows.iter().map(Row::to_json).collect())?,
        Format::Table => ui.print_table(
            ["KIND", "NAMESPACE", "NAME", "BINDING", "ROLE"],
            rows.into_iter().map(Row::columns).collect(),
        )?,
    }
    Ok(Exit::Done)
}

fn rows(who: &WhoCan) -> Vec<Row> {
    let by_itself = |kind: &str, name: String, by: &str| Row {
        kind: kind.to_owned(),
        namespace: String::new(),
        name,
        binding: by.to_owned(),
        role: String::new(),
    };
    let mut rows = Vec::new();
    if who.masters {
        rows.push(by_itself("Group", MASTERS.to_owned(), "(always, whatever is bound)"));
    }
    match &who.nodes {
        Nodes::None => {}
        Nodes::All => rows.push(by_itself("Group", NODES.to_owned(), "(Node authorizer)")),
        Nodes::Some(names) => rows.extend(
            names
                .iter()
                .map(|name| by_itself("User", format!("{NODE_PREFIX}{name}"), "(Node authorizer)")),
        ),
    }
    rows.extend(who.bound.iter().map(bound));
    rows
}

fn bound(Allowed { subject, binding }: &Allowed) -> Row {
    let place = if binding.namespace.is_empty() {
        String::new()
    } else {
        format!("{}/", binding.namespace)
    };
    Row {
        kind: subject.kind.clone(),
        namespace: subject.namespace.clone(),
        name: subject.name.clone(),
        binding: format!("{} {place}{}", binding.kind().name(), binding.name),
        role: format!("{} {}", binding.role.kind, binding.role.name),
    }
}

impl Row {
    fn columns(self) -> [String; 5] {
        [self.kind, self.namespace, self.name, self.binding, self.role]
            .map(|text| if text.is_empty() { "-".to_owned() } else { text })
    }

    fn to_json(&self) -> Value {
        json!({
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "binding": self.binding,
            "role": self.role,
        })
    }
}
