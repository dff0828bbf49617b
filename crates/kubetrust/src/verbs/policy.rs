//! Roles and bindings, and what else decisions depend on: from manifests, or from a server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use http::Method;
use kubetrust_api::resource::{self, Resource};
use kubetrust_auth::authz::rbac::aggregate::{Aggregated, aggregate};
use kubetrust_auth::authz::rbac::{GROUP, Kind};
use kubetrust_auth::authz::{Authorizer, Mode, WATCHED, default_policy};
use kubetrust_pki::inventory::read_given;
use serde_json::{Value, json};

use super::serve;
use crate::client::access::Access;
use crate::client::{Answer, Connection};
use crate::exit::Failure;
use crate::ui::Ui;

/// Bytes of one file of manifests.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// Files of one folder.
const MAX_FILES: usize = 10_000;
/// Objects that a server is asked for at once.
const PAGE: usize = 500;
/// Pages of one resource.
const MAX_PAGES: usize = 10_000;
/// What manifests are called.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Where roles and bindings come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Roles and bindings")]
pub struct Source {
    /// Manifests: a file of YAML or JSON, or a folder of them. May be repeated.
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Leave out the roles and bindings that every cluster of Kubernetes v1.36 has.
    #[arg(long)]
    pub no_defaults: bool,
    /// Those of the server of this kubeconfig, instead of manifests.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "no_defaults"])]
    pub kubeconfig: Option<PathBuf>,
}

impl Source {
    /// An authorizer that decides as a server with these roles and bindings does.
    pub fn authorizer(&self, ui: &Ui) -> Result<Authorizer, Failure> {
        match &self.kubeconfig {
            None => self.offline(),
            Some(path) => {
                let access = Access::read(path)?;
                serve::runtime()?.block_on(from_server(&access, ui))
            }
        }
    }

    fn offline(&self) -> Result<Authorizer, Failure> {
        let mut objects = Objects::default();
        if !self.no_defaults {
            for default in default_policy::defaults() {
                objects.put("the default policy", default.object)?;
            }
        }
        for path in &self.files {
            for file in files(path)? {
                let name = file.display().to_string();
                for document in documents(&file)? {
                    objects.put(&name, document)?;
                }
            }
        }
        objects.aggregate();
        objects.authorizer()
    }
}

/// What was read, by group, plural name, namespace and name: what comes later takes the place of what was before.
#[derive(Default)]
struct Objects {
    by_key: BTreeMap<(&'static str, &'static str, String, String), (String, Value)>,
}

impl Objects {
    /// Takes an object, or a list of objects. What no decision depends on is passed over.
    fn put(&mut self, from: &str, object: Value) -> Result<(), Failure> {
        if let Some(Value::Array(items)) = object.get("items")
            && object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"))
        {
            for item in items {
                self.put_one(from, item.clone())?;
            }
            return Ok(());
        }
        self.put_one(from, object)
    }

    fn put_one(&mut self, from: &str, object: Value) -> Result<(), Failure> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let api_version = text(&object["apiVersion"]);
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let Some(resource) = resource::of_kind(group, version, &text(&object["kind"])) else {
            return Ok(());
        };
        if !WATCHED.contains(&(resource.group, resource.plural)) {
            return Ok(());
        }
        let name = text(&object["metadata"]["name"]);
        if name.is_empty() {
            return Err(Failure::Usage(format!(
                "{from}: a {} has no metadata.name",
                resource.kind
            )));
        }
        let mut namespace = text(&object["metadata"]["namespace"]);
        let mut object = object;
        match resource.scope {
            resource::Scope::Cluster => namespace.clear(),
            // As kubectl, where nobody says otherwise.
            resource::Scope::Namespaced if namespace.is_empty() => {
                "default".clone_into(&mut namespace);
                object["metadata"]["namespace"] = "default".into();
            }
            resource::Scope::Namespaced => {}
        }
        let key = (resource.group, resource.plural, namespace, name);
        self.by_key.insert(key, (from.to_owned(), object));
        Ok(())
    }

    /// Gives each cluster role that gathers others their rules, as the controller-manager does.
    fn aggregate(&mut self) {
        let is_role = |key: &(&str, &str, String, String)| (key.0, key.1) == (GROUP, Kind::ClusterRole.plural());
        // Each round is a step further; there can't be more steps than roles.
        for _ in 0..self.by_key.len() {
            let roles: Vec<Aggregated> = self
                .by_key
                .iter()
                .filter(|(key, _)| is_role(key))
                .filter_map(|(_, (_, object))| Aggregated::read(object).ok())
                .collect();
            let changed = aggregate(&roles);
            if changed.is_empty() {
                return;
            }
            for (name, rules) in changed {
                let key = (GROUP, Kind::ClusterRole.plural(), String::new(), name);
                if let Some((_, role)) = self.by_key.get_mut(&key) {
                    role["rules"] = json!(rules);
                }
            }
        }
    }

    fn authorizer(&self) -> Result<Authorizer, Failure> {
        let authorizer = Authorizer::new([Mode::Node, Mode::Rbac]);
        authorizer.rbac.update(|policy| {
            let roles_and_bindings = self.by_key.iter().filter(|((group, ..), _)| *group == GROUP);
            for ((_, plural, _, name), (from, object)) in roles_and_bindings {
                if let Some(kind) = Kind::of_plural(plural) {
                    let put = policy.put(kind, object);
                    put.map_err(|error| Failure::Usage(format!("{from}: {name}: {}", error.source)))?;
                }
            }
            Ok::<(), Failure>(())
        })?;
        for ((group, plural, _, name), (from, object)) in &self.by_key {
            if *group != GROUP {
                let put = authorizer.put(group, plural, object);
                put.map_err(|error| Failure::Usage(format!("{from}: {name}: {error}")))?;
            }
        }
        Ok(authorizer)
    }
}

/// A file, or the manifests of a folder, in order.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::Usage(format!("{}: {error}", path.display()));
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let extension = file
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        if EXTENSIONS.contains(&extension) && file.is_file() {
            files.push(file);
        }
    }
    if files.len() > MAX_FILES {
        return Err(Failure::Usage(format!(
            "{}: more than {MAX_FILES} manifests",
            path.display()
        )));
    }
    files.sort();
    Ok(files)
}

/// The objects of a file. JSON is YAML too.
fn documents(path: &Path) -> Result<Vec<Value>, Failure> {
    let wrong = |error: String| Failure::Usage(format!("{}: {error}", path.display()));
    let text = read_given(path, MAX_FILE).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(text).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let documents = serde_saphyr::from_multiple::<Value>(&text)
        .map_err(|error| wrong(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
    Ok(documents.into_iter().filter(Value::is_object).collect())
}

async fn from_server(access: &Access, ui: &Ui) -> Result<Authorizer, Failure> {
    let mut connection = Connection::open(&access.endpoint, &access.credential).await?;
    let mut objects = Objects::default();
    for (group, plural) in WATCHED {
        let row = resource::TABLE
            .iter()
            .find(|row| row.group == group && row.plural == plural);
        let Some(row) = row else { continue };
        match list(&mut connection, row).await {
            Ok(items) => {
                for mut item in items {
                    // The objects of a list do not say what they are.
                    item["apiVersion"] = row.api_version().into();
                    item["kind"] = row.kind.into();
                    objects.put("the server", item)?;
                }
            }
            // Without these, kubelets' rights that follow from their pods are not seen, and all else is.
            Err(Failure::Answered { code, message }) if group != GROUP => {
                ui.warn(&format!(
                    "{plural} are not taken into account: the server answers {code}: {message}"
                ));
            }
            Err(error) => return Err(error),
        }
    }
    objects.authorizer()
}

async fn list(connection: &mut Connection, row: &Resource) -> Result<Vec<Value>, Failure> {
    let root = if row.group.is_empty() { "/api" } else { "/apis" };
    let mut items = Vec::new();
    let mut next = String::new();
    for _ in 0..MAX_PAGES {
        let path = format!("{root}/{}/{}?limit={PAGE}{next}", row.api_version(), row.plural);
        let answer = connection.send(Method::GET, &path, None).await?;
        let mut page = carried_out(&answer)?;
        if let Some(found) = page["items"].as_array_mut() {
            items.append(found);
        }
        match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
            None => return Ok(items),
            Some(token) => {
                let token: String = percent_encoded(token);
                next = format!("&continue={token}");
            }
        }
    }
    Err(Failure::Usage(format!(
        "the server has more than {} {}",
        MAX_PAGES * PAGE,
        row.plural
    )))
}

/// The body of an answer, where the request was carried out.
pub fn carried_out(answer: &Answer) -> Result<Value, Failure> {
    if answer.is_success() {
        return Ok(answer.json());
    }
    Err(refused(answer))
}

/// A failure in the words of a server that refuses.
pub fn refused(answer: &Answer) -> Failure {
    let message = answer.json()["message"]
        .as_str()
        .unwrap_or("no Status of Kubernetes is in its answer")
        .to_owned();
    Failure::Answered {
        code: answer.code,
        message,
    }
}

/// As a query has it (RFC 3986 section 2.3: what is not unreserved is encoded).
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            encoded + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => encoded + &format!("%{byte:02X}"),
    })
}
