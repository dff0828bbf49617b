//! From the file to a [`Policy`]: every field a row of a table, every fault told with its place, all of them at once.
//!
//! Kubernetes passes over unknown fields with a warning in the log. Here they are refused: a rule whose misspelt
//! `namespace` is passed over matches every namespace, and records more or less than its author believes.

use std::fmt;

use kubetrust_api::validate::names;

use super::super::level::{LEVELS, Level, STAGES, Stage, Stages};
use super::yaml::{self, Data, Node, Place};
use super::{GroupResources, Policy, Rule};

/// Largest policy file, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Most rules of a policy: each request is held against them in turn.
pub const MAX_RULES: usize = 1024;
/// Most entries of a list within a rule.
pub const MAX_ITEMS: usize = 1024;
/// Most faults that are told of one file.
pub const MAX_FAULTS: usize = 100;

/// Most characters of what the file says that a message repeats.
const MAX_MESSAGE: usize = 1024;

const API_VERSION: &str = "audit.k8s.io/v1";
const KIND: &str = "Policy";

/// Everything that is wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.faults))]
pub struct PolicyError {
    /// In the order of the file, at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1; 0 where it is about the file as a whole.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// `rules[0].level`; empty where it is about no field.
    pub field: String,
    /// What is wrong, and the way out.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Policy {
    /// Reads a policy file.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let whole = |problem: String| PolicyError {
            faults: vec![Fault {
                line: 0,
                column: 0,
                field: String::new(),
                problem,
            }],
        };
        if bytes.len() > MAX_BYTES {
            return Err(whole(format!("larger than {MAX_BYTES} bytes; a policy is far smaller")));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            whole(format!(
                "no UTF-8 at byte {}; write it as plain text",
                error.valid_up_to()
            ))
        })?;
        let root = yaml::read(text).map_err(|(place, problem)| PolicyError {
            faults: vec![Fault {
                line: place.line,
                column: place.column,
                field: String::new(),
                problem,
            }],
        })?;
        let mut reader = Reader::default();
        let draft = reader.policy(&root);
        if reader.faults.is_empty() {
            Ok(draft.policy)
        } else {
            Err(PolicyError { faults: reader.faults })
        }
    }
}

/// A value that is being read, and the path that leads to it.
#[derive(Clone, Copy)]
struct At<'n> {
    node: &'n Node,
    path: &'n str,
}

type Row<T> = (&'static str, fn(&mut Reader, &mut T, At<'_>));

/// A policy, and what of its file is no part of it.
#[derive(Default)]
struct Draft {
    api_version: String,
    kind: String,
    policy: Policy,
}

const POLICY: [Row<Draft>; 6] = [
    ("apiVersion", |r, draft, at| draft.api_version = r.text(at)),
    ("kind", |r, draft, at| draft.kind = r.text(at)),
    // Upstream takes any ObjectMeta and reads nothing of it.
    ("metadata", |r, _, at| r.mapping(at)),
    ("rules", |r, draft, at| draft.policy.rules = r.rules(at)),
    ("omitStages", |r, draft, at| draft.policy.omit_stages = r.stages(at)),
    ("omitManagedFields", |r, draft, at| {
        draft.policy.omit_managed_fields = r.flag(at).unwrap_or_default();
    }),
];

const RULE: [Row<Rule>; 9] = [
    ("level", |r, rule, at| rule.level = r.level(at)),
    ("users", |r, rule, at| rule.users = r.texts(at)),
    ("userGroups", |r, rule, at| rule.user_groups = r.texts(at)),
    ("verbs", |r, rule, at| rule.verbs = r.texts(at)),
    ("resources", |r, rule, at| rule.resources = r.resources(at)),
    ("namespaces", |r, rule, at| rule.namespaces = r.texts(at)),
    ("nonResourceURLs", |r, rule, at| rule.non_resource_urls = r.urls(at)),
    ("omitStages", |r, rule, at| rule.omit_stages = r.stages(at)),
    ("omitManagedFields", |r, rule, at| rule.omit_managed_fields = r.flag(at)),
];

const GROUP_RESOURCES: [Row<GroupResources>; 3] = [
    ("group", |r, each, at| each.group = r.group(at)),
    ("resources", |r, each, at| each.resources = r.texts(at)),
    ("resourceNames", |r, each, at| each.resource_names = r.texts(at)),
];

#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn policy(&mut self, root: &Node) -> Draft {
        let at = At { node: root, path: "" };
        let mut draft = Draft::default();
        if matches!(root.data, Data::Null) {
            self.fault(
                root.place,
                "",
                &format!("the file is empty; begin it with apiVersion: {API_VERSION} and kind: {KIND}"),
            );
            return draft;
        }
        self.fields(at, &POLICY, &mut draft);
        if !matches!(root.data, Data::Mapping(_)) {
            return draft;
        }
        let is_read = self.faults.is_empty();
        for (field, is, want) in [
            ("apiVersion", &draft.api_version, API_VERSION),
            ("kind", &draft.kind, KIND),
        ] {
            if is.is_empty() && is_read {
                self.fault(root.place, field, &format!("is missing; write {want}"));
            } else if !is.is_empty() && is != want {
                let problem = format!("{is:?} is not what this file must be; write {want}");
                self.fault(place_of(root, field), field, &problem);
            }
        }
        if draft.policy.rules.is_empty() && self.faults.is_empty() {
            let problem =
                "there are no rules, so nothing would be recorded; write at least one, as `- level: Metadata`";
            self.fault(place_of(root, "rules"), "rules", problem);
        }
        draft
    }

    fn rules(&mut self, at: At<'_>) -> Vec<Rule> {
        self.items(at, MAX_RULES, Self::rule)
    }

    fn rule(&mut self, at: At<'_>) -> Option<Rule> {
        let mut rule = Rule::default();
        self.fields(at, &RULE, &mut rule);
        let Data::Mapping(entries) = &at.node.data else {
            return None;
        };
        let given = |field: &str| {
            entries
                .iter()
                .any(|entry| entry.name == field && !matches!(entry.value.data, Data::Null))
        };
        if !given("level") {
            self.fault(
                at.node.place,
                &under(at.path, "level"),
                &format!("is missing; write {}", names_of(&LEVELS)),
            );
        }
        let is_about_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
        if is_about_resources && !rule.non_resource_urls.is_empty() {
            let problem = "a rule cannot apply to both resources and non-resource URLs; make two rules of it";
            self.fault(
                place_of(at.node, "nonResourceURLs"),
                &under(at.path, "nonResourceURLs"),
                problem,
            );
        }
        Some(rule)
    }

    fn resources(&mut self, at: At<'_>) -> Vec<GroupResources> {
        self.items(at, MAX_ITEMS, |reader, at| {
            let mut each = GroupResources::default();
            reader.fields(at, &GROUP_RESOURCES, &mut each);
            if !each.resource_names.is_empty() && each.resources.is_empty() {
                let problem = "using resourceNames requires at least one resource; name it in resources";
                reader.fault(
                    place_of(at.node, "resourceNames"),
                    &under(at.path, "resourceNames"),
                    problem,
                );
            }
            Some(each)
        })
    }

    fn group(&mut self, at: At<'_>) -> String {
        let group = self.text(at);
        if !group.is_empty() && group != "*" {
            let faults = names::dns1123_subdomain(&group);
            if !faults.is_empty() {
                let problem = format!(
                    "{group:?} is no API group: {}; write it without a version",
                    faults.join(", ")
                );
                self.wrong(at, &problem);
            }
        }
        group
    }

    fn urls(&mut self, at: At<'_>) -> Vec<String> {
        self.items(at, MAX_ITEMS, |reader, at| {
            let url = reader.text(at);
            if url != "*" && !url.starts_with('/') {
                reader.wrong(at, &format!("{url:?} must begin with a '/', or be '*' for all"));
            }
            if url.strip_suffix('*').unwrap_or(&url).contains('*') {
                reader.wrong(at, &format!("{url:?}: a '*' must be the last character"));
            }
            Some(url)
        })
    }

    fn level(&mut self, at: At<'_>) -> Level {
        self.one_of(at, "level", &LEVELS).unwrap_or_default()
    }

    fn stages(&mut self, at: At<'_>) -> Stages {
        let stages: Vec<Stage> = self.items(at, MAX_ITEMS, |reader, at| reader.one_of(at, "stage", &STAGES));
        stages.into_iter().collect()
    }

    fn one_of<T: Copy>(&mut self, at: At<'_>, what: &str, table: &[(&str, T)]) -> Option<T> {
        let before = self.faults.len();
        let given = self.text(at);
        let found = table.iter().find(|(name, _)| *name == given).map(|(_, value)| *value);
        if found.is_none() && self.faults.len() == before {
            self.wrong(at, &format!("{given:?} is no {what}; write {}", names_of(table)));
        }
        found
    }

    fn texts(&mut self, at: At<'_>) -> Vec<String> {
        self.items(at, MAX_ITEMS, |reader, at| Some(reader.text(at)))
    }

    fn text(&mut self, at: At<'_>) -> String {
        match &at.node.data {
            Data::Text(text) => return text.clone(),
            other @ (Data::Flag(_) | Data::Number) => {
                self.wrong(
                    at,
                    &format!("is {}; put it in quotes if it is meant as text", other.what()),
                );
            }
            other => self.wrong(at, &format!("is {}; write text", other.what())),
        }
        String::new()
    }

    fn flag(&mut self, at: At<'_>) -> Option<bool> {
        match &at.node.data {
            Data::Flag(flag) => Some(*flag),
            other => {
                self.wrong(at, &format!("is {}; write true or false", other.what()));
                None
            }
        }
    }

    fn mapping(&mut self, at: At<'_>) {
        if !matches!(at.node.data, Data::Mapping(_)) {
            self.wrong(
                at,
                &format!("is {}; write fields and their values", at.node.data.what()),
            );
        }
    }

    fn items<T>(&mut self, at: At<'_>, most: usize, mut read: impl FnMut(&mut Self, At<'_>) -> Option<T>) -> Vec<T> {
        let Data::List(items) = &at.node.data else {
            self.wrong(at, &format!("is {}; write a list", at.node.data.what()));
            return Vec::new();
        };
        if items.len() > most {
            self.wrong(at, &format!("has {} entries; at most {most} are read", items.len()));
            return Vec::new();
        }
        let indexed = items.iter().enumerate();
        indexed
            .filter_map(|(index, node)| {
                read(
                    self,
                    At {
                        node,
                        path: &format!("{}[{index}]", at.path),
                    },
                )
            })
            .collect()
    }

    /// Reads the fields of a mapping by a table. Of a field without a value nothing is read, as if it were not there.
    fn fields<T>(&mut self, at: At<'_>, table: &[Row<T>], into: &mut T) {
        self.mapping(at);
        let Data::Mapping(entries) = &at.node.data else { return };
        for (index, entry) in entries.iter().enumerate() {
            let path = under(at.path, &entry.name);
            let Some((_, read)) = table.iter().find(|(name, _)| *name == entry.name) else {
                self.fault(
                    entry.place,
                    &path,
                    &format!("unknown field; the fields here are {}", names_of(table)),
                );
                continue;
            };
            if entries.iter().take(index).any(|before| before.name == entry.name) {
                self.fault(entry.place, &path, "stands here twice; leave one of them");
            } else if !matches!(entry.value.data, Data::Null) {
                read(
                    self,
                    into,
                    At {
                        node: &entry.value,
                        path: &path,
                    },
                );
            }
            if self.faults.len() >= MAX_FAULTS {
                return;
            }
        }
    }

    fn wrong(&mut self, at: At<'_>, problem: &str) {
        self.fault(at.node.place, at.path, problem);
    }

    fn fault(&mut self, place: Place, field: &str, problem: &str) {
        if self.faults.len() < MAX_FAULTS {
            let short = |text: &str| text.chars().take(MAX_MESSAGE).collect();
            let (field, problem) = (short(field), short(problem));
            self.faults.push(Fault {
                line: place.line,
                column: place.column,
                field,
                problem,
            });
        }
    }
}

fn under(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// Where a field's value stands, or else the mapping that lacks it.
fn place_of(node: &Node, field: &str) -> Place {
    match &node.data {
        Data::Mapping(entries) => entries
            .iter()
            .find(|entry| entry.name == field)
            .map_or(node.place, |entry| entry.value.place),
        _ => node.place,
    }
}

fn names_of<T>(table: &[(&str, T)]) -> String {
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
