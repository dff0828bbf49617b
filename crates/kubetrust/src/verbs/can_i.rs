//! `kubetrust can-i`: from a certificate, or a name, to user and groups, to what they may do.

use std::path::PathBuf;

use clap::Args;
use http::Method;
use kubetrust_auth::authz::rbac::Rule;
use kubetrust_auth::authz::{Attributes, Decision, Rules};
use kubetrust_auth::user::User;
use serde_json::{Value, json};

use super::policy::{Source, carried_out};
use super::question::{Namespace, Question};
use super::{serve, whom};
use crate::cli::Format;
use crate::client::Connection;
use crate::client::access::{self, Access};
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// `can-i`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["as_certificate", "as_user"]))]
pub struct CanIArgs {
    /// The verb: get, list, watch, create, update, patch, delete, deletecollection, …
    #[arg(required_unless_present = "list")]
    pub verb: Option<String>,
    /// A resource, as pods, po, pods/log or deployments.apps; or a path, as /healthz.
    #[arg(value_name = "RESOURCE|PATH", required_unless_present = "list")]
    pub what: Option<String>,
    /// The name of one object.
    pub name: Option<String>,
    /// In this namespace, instead of default.
    #[arg(short, long, value_name = "NS", conflicts_with = "all_namespaces")]
    pub namespace: Option<String>,
    /// In all namespaces at once.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Print everything that may be done, instead of answering one question.
    #[arg(long, conflicts_with_all = ["verb", "what", "name"])]
    pub list: bool,
    /// Whom this certificate names: PEM, or a kubeconfig that has one.
    #[arg(long, value_name = "FILE", help_heading = "Who asks")]
    pub as_certificate: Option<PathBuf>,
    /// This user.
    #[arg(long = "as", value_name = "USER", help_heading = "Who asks")]
    pub as_user: Option<String>,
    /// In this group. May be repeated.
    #[arg(
        long = "as-group",
        value_name = "GROUP",
        help_heading = "Who asks",
        requires = "as_user"
    )]
    pub as_groups: Vec<String>,
    #[command(flatten)]
    pub source: Source,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Format::Table, help_heading = None)]
    pub output: Format,
}

pub fn run(args: &CanIArgs, ui: &Ui) -> Result<Exit, Failure> {
    let user = user(args)?;
    let namespace = Namespace::of(args.namespace.as_deref(), args.all_namespaces);
    let (Some(verb), Some(what)) = (&args.verb, &args.what) else {
        let rules = args.source.authorizer(ui)?.rules_for(&user, namespace.name());
        print_rules(&rules, args.output, ui)?;
        return Ok(Exit::Done);
    };
    let question = Question {
        verb,
        what,
        name: args.name.as_deref(),
        namespace,
    };
    let attributes = question.attributes(ui)?;
    let decision = match &args.source.kubeconfig {
        None => args.source.authorizer(ui)?.authorize(&user, &attributes),
        Some(path) => {
            let access = Access::read(path)?;
            serve::runtime()?.block_on(ask(&access, &user, &attributes))?
        }
    };
    let allowed = decision.is_allowed();
    match args.output {
        Format::Json => ui.print_json(&json!({
            "user": whom::to_info(&user),
            "allowed": allowed,
            "reason": decision.reason(),
        }))?,
        Format::Table => {
            let yes = if allowed { "yes" } else { "no" };
            let reason = decision.reason();
            let why = if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            };
            ui.print(&format!("{yes}{why}"))?;
        }
    }
    Ok(if allowed { Exit::Done } else { Exit::Findings })
}

/// Who asks.
fn user(args: &CanIArgs) -> Result<User, Failure> {
    if let Some(path) = &args.as_certificate {
        let certificate = access::certificate(path)?;
        return whom::of_certificate(&certificate).ok_or_else(|| {
            Failure::Usage(format!(
                "{}: the certificate has no CN, so it names no user",
                path.display()
            ))
        });
    }
    let mut user = User {
        name: args.as_user.clone().unwrap_or_default(),
        groups: args.as_groups.clone(),
        ..User::default()
    };
    if user.is_anonymous() && user.groups.is_empty() {
        return Ok(User::anonymous());
    }
    // As impersonation does.
    if user.groups.is_empty() {
        user.groups = whom::groups_of_account(&user);
    }
    Ok(whom::proven(user))
}

/// Asks a server by a `SubjectAccessReview`.
async fn ask(access: &Access, user: &User, attributes: &Attributes) -> Result<Decision, Failure> {
    let mut spec = json!({"user": user.name, "groups": user.groups, "uid": user.uid, "extra": user.extra});
    match attributes {
        Attributes::NonResource { verb, path } => spec["nonResourceAttributes"] = json!({"verb": verb, "path": path}),
        Attributes::Resource(asked) => {
            spec["resourceAttributes"] = json!({
                "verb": asked.verb,
                "group": asked.group,
                "version": asked.version,
                "resource": asked.resource,
                "subresource": asked.subresource,
                "namespace": asked.namespace,
                "name": asked.name,
            });
        }
    }
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
    let mut connection = Connection::open(&access.endpoint, &access.credential).await?;
    let answer = carried_out(&connection.send(Method::POST, REVIEWS, Some(&review)).await?)?;
    let status = &answer["status"];
    let reason = status["reason"].as_str().unwrap_or_default().to_owned().into();
    Ok(match (status["allowed"].as_bool(), status["denied"].as_bool()) {
        (Some(true), _) => Decision::Allow(reason),
        (_, Some(true)) => Decision::Deny(reason),
        _ => Decision::NoOpinion(reason),
    })
}

/// The table of `kubectl auth can-i --list`.
fn print_rules(rules: &Rules, format: Format, ui: &Ui) -> Result<(), Failure> {
    if format == Format::Json {
        let list: Vec<Value> = rules.rules.iter().map(|rule| json!(rule)).collect();
        return ui.print_json(&json!({
            "rules": list,
            "incomplete": rules.incomplete,
            "evaluationError": rules.evaluation_error,
        }));
    }
    if rules.incomplete || !rules.evaluation_error.is_empty() {
        ui.warn(&format!("the list is not complete: {}", rules.evaluation_error));
    }
    let words = |list: &[String]| format!("[{}]", list.join(" "));
    let resource_row = |rule: &Rule| {
        let named = |group: &String| {
            let in_group = |resource: &String| match group.as_str() {
                "" => resource.clone(),
                group => format!("{resource}.{group}"),
            };
            rule.resources.iter().map(in_group).collect::<Vec<_>>()
        };
        let resources: Vec<String> = rule.api_groups.iter().flat_map(named).collect();
        [
            resources.join(","),
            words(&[]),
            words(&rule.resource_names),
            words(&rule.verbs),
        ]
    };
    let url_row = |rule: &Rule| {
        [
            String::new(),
            words(&rule.non_resource_urls),
            words(&[]),
            words(&rule.verbs),
        ]
    };
    let rows = rules
        .of_resources()
        .map(resource_row)
        .chain(rules.of_urls().map(url_row));
    ui.print_table(
        ["RESOURCES", "NON-RESOURCE URLS", "RESOURCE NAMES", "VERBS"],
        rows.collect(),
    )
}
