//! A second evaluator, which shares no code with the first: it reads policies from text and goes through all of it.

use std::fmt::Write as _;

use kubetrust_auth::authz::Attributes;
use kubetrust_auth::authz::rbac::{Kind, Policy};
use kubetrust_auth::user::User;
use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Verbs, groups, resources, names, URLs.
pub type Rule = [Vec<String>; 5];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Role {
    pub namespace: String,
    pub name: String,
    pub labels: Vec<String>,
    pub gathers: Option<String>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Binding {
    pub namespace: String,
    pub name: String,
    pub of_kind: String,
    pub of: String,
    /// Kind, namespace, name.
    pub subjects: Vec<(String, String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub roles: Vec<Role>,
    pub bindings: Vec<Binding>,
}

impl Model {
    /// Reads the form of `default_policy.txt`.
    pub fn parse(text: &str) -> Self {
        let mut model = Self::default();
        let mut in_binding = false;
        for line in text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            match (line.starts_with(' '), in_binding) {
                (true, false) => model.roles.last_mut().unwrap().rules.push(rule(line)),
                (true, true) => {
                    let (namespace, name) = split(words[1]);
                    model
                        .bindings
                        .last_mut()
                        .unwrap()
                        .subjects
                        .push((words[0].into(), namespace, name));
                }
                (false, _) => {
                    in_binding = words[0].ends_with("Binding");
                    let (namespace, name) = split(words[1]);
                    if in_binding {
                        let [_, _, _, of_kind, of] = words[..] else {
                            panic!("{line}")
                        };
                        let (of_kind, of) = (of_kind.into(), of.into());
                        model.bindings.push(Binding {
                            namespace,
                            name,
                            of_kind,
                            of,
                            subjects: vec![],
                        });
                    } else {
                        let mut role = Role {
                            namespace,
                            name,
                            ..Role::default()
                        };
                        for pair in words[2..].chunks(2) {
                            match pair[0] {
                                "label" => role.labels.push(pair[1].into()),
                                "gathers" => role.gathers = Some(pair[1].into()),
                                other => panic!("{other}"),
                            }
                        }
                        model.roles.push(role);
                    }
                }
            }
        }
        model
    }

    /// The roles that gather have the rules of those that they gather from.
    pub fn gathered(mut self) -> Self {
        // The default roles gather from one another in two steps.
        for _ in 0..3 {
            let before = self.roles.clone();
            for role in &mut self.roles {
                let Some(label) = &role.gathers else { continue };
                let from = before
                    .iter()
                    .filter(|each| each.labels.contains(label) && each.name != role.name);
                role.rules = from.flat_map(|each| each.rules.clone()).collect();
            }
        }
        self
    }

    pub fn allows(&self, user: &User, attributes: &Attributes) -> bool {
        permitted(&self.bound_to(user), user, attributes)
    }

    /// The rules that a user has, each with the namespace in which; everywhere where it is empty.
    pub fn bound_to(&self, user: &User) -> Vec<(&str, &Rule)> {
        let applies = |binding: &&Binding| {
            binding
                .subjects
                .iter()
                .any(|subject| is(user, subject, &binding.namespace))
        };
        let bindings = self.bindings.iter().filter(applies);
        bindings
            .flat_map(|each| self.rules_of(each).iter().map(|rule| (each.namespace.as_str(), rule)))
            .collect()
    }

    fn rules_of(&self, binding: &Binding) -> &[Rule] {
        let namespace = match binding.of_kind.as_str() {
            "ClusterRole" => "",
            "Role" if !binding.namespace.is_empty() => &binding.namespace,
            _ => return &[],
        };
        let role = self
            .roles
            .iter()
            .find(|role| role.name == binding.of && role.namespace == namespace);
        role.map_or(&[], |role| &role.rules)
    }

    pub fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        for (kind, object) in self.objects() {
            policy.put(kind, &object).unwrap();
        }
        policy
    }

    pub fn objects(&self) -> Vec<(Kind, Value)> {
        let roles = self.roles.iter().map(|role| {
            let kind = if role.namespace.is_empty() {
                Kind::ClusterRole
            } else {
                Kind::Role
            };
            let rules: Vec<Value> = role.rules.iter().map(rule_object).collect();
            (
                kind,
                json!({ "metadata": { "name": role.name, "namespace": role.namespace }, "rules": rules }),
            )
        });
        roles.chain(self.bindings.iter().map(binding_object)).collect()
    }
}

pub fn permitted(bound: &[(&str, &Rule)], user: &User, attributes: &Attributes) -> bool {
    let asked_in = match attributes {
        Attributes::Resource(asked) => asked.namespace.as_str(),
        Attributes::NonResource { .. } => "",
    };
    let here = |namespace: &str| namespace.is_empty() || namespace == asked_in;
    user.groups.iter().any(|group| group == "system:masters")
        || bound
            .iter()
            .any(|(namespace, rule)| here(namespace) && permits(rule, attributes))
}

fn rule_object([verbs, groups, resources, names, urls]: &Rule) -> Value {
    json!({
        "verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names, "nonResourceURLs": urls,
    })
}

pub fn binding_object(binding: &Binding) -> (Kind, Value) {
    let kind = if binding.namespace.is_empty() {
        Kind::ClusterRoleBinding
    } else {
        Kind::RoleBinding
    };
    let subjects: Vec<Value> = binding
        .subjects
        .iter()
        .map(|(kind, namespace, name)| json!({ "kind": kind, "namespace": namespace, "name": name }))
        .collect();
    let object = json!({
        "metadata": { "name": binding.name, "namespace": binding.namespace },
        "roleRef": { "apiGroup": GROUP, "kind": binding.of_kind, "name": binding.of },
        "subjects": subjects,
    });
    (kind, object)
}

fn is(user: &User, (kind, namespace, name): &(String, String, String), binding_namespace: &str) -> bool {
    match kind.as_str() {
        "User" => user.name == *name,
        "Group" => user.groups.contains(name),
        "ServiceAccount" => {
            let namespace = if namespace.is_empty() {
                binding_namespace
            } else {
                namespace
            };
            !namespace.is_empty() && user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

fn permits([verbs, groups, resources, names, urls]: &Rule, attributes: &Attributes) -> bool {
    let has = |list: &[String], wanted: &str| list.iter().any(|each| each == "*" || each == wanted);
    if !has(verbs, attributes.verb()) {
        return false;
    }
    match attributes {
        Attributes::NonResource { path, .. } => urls.iter().any(|url| {
            let stem = url.trim_end_matches('*');
            if stem.len() < url.len() {
                path.starts_with(stem)
            } else {
                path == url
            }
        }),
        Attributes::Resource(asked) => {
            let mut spellings = vec![asked.resource.clone()];
            if !asked.subresource.is_empty() {
                spellings = vec![
                    format!("{}/{}", asked.resource, asked.subresource),
                    format!("*/{}", asked.subresource),
                ];
            }
            has(groups, &asked.group)
                && (has(resources, "*") || spellings.iter().any(|each| resources.contains(each)))
                && (names.is_empty() || names.contains(&asked.name))
        }
    }
}

fn rule(line: &str) -> Rule {
    let mut columns = line.split('|').map(|column| {
        column
            .split_whitespace()
            .map(|word| if word == "core" { String::new() } else { word.to_owned() })
            .collect()
    });
    std::array::from_fn(|_| columns.next().unwrap_or_default())
}

/// `namespace/name` or `name`.
fn split(text: &str) -> (String, String) {
    let (namespace, name) = text.split_once('/').unwrap_or(("", text));
    (namespace.into(), name.into())
}

/// An object of the default policy in the form of `default_policy.txt`.
pub fn text(object: &Value) -> String {
    let words = |value: &Value| -> String {
        let list = value
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .map(|each| each.as_str().unwrap());
        list.map(|word| if word.is_empty() { "core" } else { word })
            .collect::<Vec<_>>()
            .join(" ")
    };
    let metadata = &object["metadata"];
    let place = metadata["namespace"]
        .as_str()
        .map(|namespace| format!("{namespace}/"))
        .unwrap_or_default();
    let mut text = format!(
        "{} {place}{}",
        object["kind"].as_str().unwrap(),
        metadata["name"].as_str().unwrap()
    );
    let labels = metadata["labels"].as_object().unwrap();
    assert_eq!(labels["kubernetes.io/bootstrapping"], "rbac-defaults");
    assert_eq!(
        metadata["annotations"],
        json!({ "rbac.authorization.kubernetes.io/autoupdate": "true" })
    );
    for (label, value) in labels
        .iter()
        .filter(|(label, _)| *label != "kubernetes.io/bootstrapping")
    {
        assert_eq!(value, "true");
        write!(text, " label {label}").unwrap();
    }
    if let Some(role) = object.get("roleRef") {
        assert_eq!(role["apiGroup"], GROUP);
        write!(
            text,
            " of {} {}",
            role["kind"].as_str().unwrap(),
            role["name"].as_str().unwrap()
        )
        .unwrap();
        for subject in object.get("subjects").and_then(Value::as_array).into_iter().flatten() {
            let kind = subject["kind"].as_str().unwrap();
            assert_eq!(subject.get("apiGroup").is_some(), kind != "ServiceAccount");
            let place = subject
                .get("namespace")
                .map(|each| format!("{}/", each.as_str().unwrap()));
            let (place, name) = (place.unwrap_or_default(), subject["name"].as_str().unwrap());
            write!(text, "\n  {kind} {place}{name}").unwrap();
        }
        return text;
    }
    if let Some(rule) = object.get("aggregationRule") {
        let labels = rule["clusterRoleSelectors"][0]["matchLabels"].as_object().unwrap();
        write!(text, " gathers {}", labels.keys().next().unwrap()).unwrap();
    }
    for rule in object["rules"].as_array().map_or(&[][..], Vec::as_slice) {
        let columns = ["verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"];
        let line = columns.map(|column| words(&rule[column])).join(" | ");
        write!(text, "\n  {}", line.trim_end_matches([' ', '|'])).unwrap();
    }
    text
}
