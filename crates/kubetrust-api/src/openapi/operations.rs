//! What can be done where: the paths of a group version with their operations, of which both versions of
//! `OpenAPI` are made.

use crate::resource::{self, Kept, Resource, Scope, Subresource};
use crate::schema;

use super::parameters;

const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// A path with what can be done there.
pub(super) struct Path {
    pub pattern: String,
    /// The names in it, as `{name}`.
    pub names: Vec<&'static str>,
    pub operations: Vec<Operation>,
}

/// A method on a path.
pub(super) struct Operation {
    /// HTTP method, in lower case.
    pub method: &'static str,
    /// `x-kubernetes-action`.
    pub action: &'static str,
    pub id: String,
    pub description: String,
    /// Group, version and kind of the objects that it is about.
    pub kind: (&'static str, &'static str, &'static str),
    /// Parameters in the query.
    pub parameters: &'static [&'static str],
    pub body: Body,
    /// The definition of the answer; text if there is none.
    pub answer: Option<&'static str>,
}

/// The body of a request.
#[derive(Clone, Copy)]
pub(super) enum Body {
    /// There is none.
    None,
    /// An object of this definition, or none.
    Optional(&'static str),
    /// An object of this definition.
    Required(&'static str),
    /// A patch.
    Patch,
}

impl Body {
    /// Its definition.
    pub(super) fn definition(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Optional(name) | Self::Required(name) => Some(name),
            Self::Patch => Some(PATCH),
        }
    }
}

/// A way to use a resource: its verb, method, action, the verb in its identifier and in its description.
struct Use {
    verb: &'static str,
    method: &'static str,
    action: &'static str,
    id: &'static str,
    description: &'static str,
    parameters: &'static [&'static str],
}

const fn usage(
    verb: &'static str,
    method: &'static str,
    action: &'static str,
    id: &'static str,
    description: &'static str,
    parameters: &'static [&'static str],
) -> Use {
    Use {
        verb,
        method,
        action,
        id,
        description,
        parameters,
    }
}

/// What is done to all objects of a namespace or of the cluster.
#[rustfmt::skip]
const COLLECTION: [Use; 3] = [
    usage("list", "get", "list", "list", "list or watch objects of kind", parameters::LIST),
    usage("create", "post", "post", "create", "create", parameters::WRITE),
    usage("deletecollection", "delete", "deletecollection", "delete", "delete collection of", parameters::DELETE_COLLECTION),
];

/// What is done to one object, or to a part of it.
#[rustfmt::skip]
const ITEM: [Use; 5] = [
    usage("get", "get", "get", "read", "read the specified", &[]),
    usage("update", "put", "put", "replace", "replace the specified", parameters::WRITE),
    usage("patch", "patch", "patch", "patch", "partially update the specified", parameters::PATCH),
    usage("delete", "delete", "delete", "delete", "delete", parameters::DELETE),
    usage("create", "post", "post", "create", "create", parameters::WRITE),
];

/// Methods of connections, with their verbs.
const CONNECT: [(&str, &str); 5] = [
    ("get", "get"),
    ("update", "put"),
    ("create", "post"),
    ("delete", "delete"),
    ("patch", "patch"),
];

/// The paths of a group version.
pub(super) fn of(group: &str, version: &str) -> Vec<Path> {
    resource::of_group_version(group, version).flat_map(paths).collect()
}

/// `api/v1` or `apis/GROUP/VERSION`.
pub(super) fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// `core_v1`, `rbacAuthorization_v1`: what operations are sorted under.
pub(super) fn tag(group: &str, version: &str) -> String {
    let name = words(group);
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect::<String>() + "_" + version
}

fn paths(resource: &'static Resource) -> Vec<Path> {
    let prefix = prefix(resource.group, resource.version);
    let (namespaced, names): (bool, &[&str]) = match resource.scope {
        Scope::Namespaced => (true, &["namespace"]),
        Scope::Cluster => (false, &[]),
    };
    let place = if namespaced { "namespaces/{namespace}/" } else { "" };
    let collection = format!("/{prefix}/{place}{}", resource.plural);
    let item = format!("{collection}/{{name}}");
    let item_names = [&["name"], names].concat();

    let mut paths = vec![
        Path {
            pattern: collection,
            names: names.to_vec(),
            operations: operations(resource, None, &COLLECTION),
        },
        Path {
            pattern: item.clone(),
            names: item_names.clone(),
            operations: items(resource),
        },
    ];
    for subresource in resource.subresources {
        let operations = if subresource.is_stream() {
            connections(resource, subresource)
        } else {
            operations(resource, Some(subresource), &ITEM)
        };
        paths.push(Path {
            pattern: format!("{item}/{}", subresource.name),
            names: item_names.clone(),
            operations,
        });
    }
    if namespaced && resource.verbs.contains(&"list") {
        paths.push(everywhere(resource, &prefix));
    }
    paths.retain(|path| !path.operations.is_empty());
    paths
}

/// The objects of all namespaces.
fn everywhere(resource: &'static Resource, prefix: &str) -> Path {
    let mut operations = operations(resource, None, COLLECTION.get(..1).unwrap_or_default());
    for operation in &mut operations {
        operation.id = format!("list{}{}ForAllNamespaces", group_version(resource), resource.kind);
    }
    Path {
        pattern: format!("/{prefix}/{}", resource.plural),
        names: Vec::new(),
        operations,
    }
}

/// What is done to one object. To create is the collection's.
fn items(resource: &'static Resource) -> Vec<Operation> {
    let mut operations = operations(resource, None, &ITEM);
    operations.retain(|operation| operation.action != "post");
    operations
}

fn operations(resource: &'static Resource, part: Option<&'static Subresource>, uses: &[Use]) -> Vec<Operation> {
    let verbs = part.map_or(resource.verbs, |part| part.verbs);
    uses.iter()
        .filter(|usage| verbs.contains(&usage.verb))
        .map(|usage| operation(resource, part, usage))
        .collect()
}

fn operation(resource: &'static Resource, part: Option<&'static Subresource>, usage: &Use) -> Operation {
    let kind = kind_of(resource, part);
    let definition = schema::name_of_kind(kind.0, kind.1, kind.2);
    let body = match (usage.action, definition) {
        ("post" | "put", Some(definition)) => Body::Required(definition),
        ("patch", _) => Body::Patch,
        ("delete" | "deletecollection", _) => Body::Optional(DELETE_OPTIONS),
        _ => Body::None,
    };
    let answer = match usage.action {
        "list" => schema::name_of_kind(kind.0, kind.1, &format!("{}List", kind.2)),
        "delete" | "deletecollection" => Some(STATUS),
        // A log is text.
        _ if part.is_some_and(|part| part.connects) => None,
        _ => definition,
    };
    let collection = if usage.action == "deletecollection" {
        "Collection"
    } else {
        ""
    };
    let (name, of_kind) = part.map_or((String::new(), String::new()), |part| {
        (capitalised(part.name), format!("{} of the specified ", part.name))
    });
    Operation {
        method: usage.method,
        action: usage.action,
        id: format!(
            "{}{}{collection}{}{}{name}",
            usage.id,
            group_version(resource),
            scope(resource),
            resource.kind
        ),
        description: match part {
            None => format!("{} {}", usage.description, resource.kind),
            Some(_) => format!(
                "{} {of_kind}{}",
                usage.description.trim_end_matches(" the specified"),
                resource.kind
            ),
        },
        kind,
        parameters: if resource.kept == Kept::Answered {
            parameters::WRITE
        } else {
            usage.parameters
        },
        body,
        answer,
    }
}

fn connections(resource: &'static Resource, part: &'static Subresource) -> Vec<Operation> {
    CONNECT
        .iter()
        .filter(|(verb, _)| part.verbs.contains(verb))
        .map(|(_, method)| Operation {
            method,
            action: "connect",
            id: format!(
                "connect{}{}{}{}{}",
                group_version(resource),
                capitalised(method),
                scope(resource),
                resource.kind,
                capitalised(part.name)
            ),
            description: format!(
                "connect {} requests to {} of {}",
                method.to_uppercase(),
                part.name,
                resource.kind
            ),
            kind: kind_of(resource, Some(part)),
            parameters: &[],
            body: Body::None,
            answer: None,
        })
        .collect()
}

impl Subresource {
    /// Whether its requests open streams, and neither carry nor answer objects.
    fn is_stream(&self) -> bool {
        self.connects && self.verbs.contains(&"create")
    }
}

fn kind_of(resource: &Resource, part: Option<&Subresource>) -> (&'static str, &'static str, &'static str) {
    let own = (resource.group, resource.version);
    match part {
        None => (own.0, own.1, resource.kind),
        Some(part) => {
            let (group, version) = part.kind_group_version.unwrap_or(own);
            (group, version, part.kind)
        }
    }
}

fn scope(resource: &Resource) -> &'static str {
    match resource.scope {
        Scope::Namespaced => "Namespaced",
        Scope::Cluster => "",
    }
}

/// `CoreV1`
fn group_version(resource: &Resource) -> String {
    words(resource.group) + &capitalised(resource.version)
}

/// `Core`, `RbacAuthorization`
fn words(group: &str) -> String {
    match group.strip_suffix(".k8s.io").unwrap_or(group) {
        "" => "Core".to_owned(),
        group => group.split('.').map(capitalised).collect(),
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}
