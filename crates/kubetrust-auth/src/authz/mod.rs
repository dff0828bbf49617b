//! What they may do: the union of the authorizers, in the order of `--authorization-mode`.
//!
//! The first that allows or denies decides. [`rbac`] and [`node`] hold what they decide by and are fed every change of
//! the objects in [`WATCHED`]; nothing here reads a store or a clock.

pub mod attributes;
pub mod default_policy;
mod forbidden;
pub mod node;
mod quote;
pub mod rbac;

use std::borrow::Cow;
use std::collections::HashSet;
use std::str::FromStr;

use serde_json::Value;

pub use attributes::{Attributes, Operator, Requirement, ResourceAttributes};
pub use forbidden::{forbidden, message};
use node::Node;
pub use rbac::Rules;
use rbac::{Kind, Rbac, Rule, who::Allowed};

use crate::user::{MASTERS, User};

/// What an authorizer says. The text is what audit events and the messages to clients carry; it may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, whatever the others say.
    Allow(Cow<'static, str>),
    /// No, whatever the others say.
    Deny(Cow<'static, str>),
    /// The others decide; if none does, it is a no.
    NoOpinion(Cow<'static, str>),
}

impl Decision {
    /// Whether it is a yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Allow(reason) | Self::Deny(reason) | Self::NoOpinion(reason) => reason,
        }
    }
}

/// A value of `--authorization-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// What kubelets may, by the pods on their nodes.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Everything.
    AlwaysAllow,
    /// Nothing.
    AlwaysDeny,
}

/// The modes by the names that the flag takes.
pub const MODES: [(&str, Mode); 4] = [
    ("Node", Mode::Node),
    ("RBAC", Mode::Rbac),
    ("AlwaysAllow", Mode::AlwaysAllow),
    ("AlwaysDeny", Mode::AlwaysDeny),
];

/// Not a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--authorization-mode: {given:?} is no mode that this server has; write {known}", known = MODES.map(|row| row.0).join(", "))]
pub struct UnknownMode {
    /// What was given.
    pub given: String,
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(given: &str) -> Result<Self, UnknownMode> {
        let row = MODES.iter().find(|row| row.0 == given);
        row.map(|row| row.1).ok_or_else(|| UnknownMode {
            given: given.to_owned(),
        })
    }
}

/// Group and plural name of everything that decisions depend on: feed each object and each change of it to
/// [`Authorizer::put`] and [`Authorizer::delete`].
pub const WATCHED: [(&str, &str); 8] = [
    (rbac::GROUP, "clusterroles"),
    (rbac::GROUP, "clusterrolebindings"),
    (rbac::GROUP, "roles"),
    (rbac::GROUP, "rolebindings"),
    ("", "pods"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "volumeattachments"),
    ("resource.k8s.io", "resourceslices"),
];

/// An object that is not what its resource says.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A role or binding.
    #[error(transparent)]
    Rbac(#[from] rbac::PolicyError),
    /// Something of the node authorizer.
    #[error(transparent)]
    Node(#[from] node::GraphError),
}

/// The union.
#[derive(Debug)]
pub struct Authorizer {
    modes: Vec<Mode>,
    /// Roles and bindings.
    pub rbac: Rbac,
    /// Nodes and what is on them.
    pub node: Node,
}

/// Who may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhoCan {
    /// Everybody may: a mode allows all.
    pub everybody: bool,
    /// `system:masters` may, always.
    pub masters: bool,
    /// Who may by a role, with the binding.
    pub bound: Vec<Allowed>,
    /// Which kubelets may.
    pub nodes: node::Nodes,
    /// What stood in the way of finding all.
    pub errors: Vec<String>,
}

impl Authorizer {
    /// The union of these modes, with no roles, bindings, or pods yet.
    pub fn new(modes: impl IntoIterator<Item = Mode>) -> Self {
        Self {
            modes: modes.into_iter().collect(),
            rbac: Rbac::default(),
            node: Node::default(),
        }
    }

    /// Whether a user may. Members of `system:masters` may, before anyone is asked.
    pub fn authorize(&self, user: &User, attributes: &Attributes) -> Decision {
        if user.in_group(MASTERS) {
            return Decision::Allow("".into());
        }
        let mut reasons: Vec<Cow<'static, str>> = Vec::new();
        for mode in &self.modes {
            match self.ask(*mode, user, attributes) {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(match reasons.as_slice() {
            [] => "".into(),
            [only] => only.clone(),
            several => several.join("\n").into(),
        })
    }

    fn ask(&self, mode: Mode, user: &User, attributes: &Attributes) -> Decision {
        match mode {
            Mode::Node => self.node.authorize(user, attributes),
            Mode::Rbac => self.rbac.authorize(user, attributes),
            Mode::AlwaysAllow => Decision::Allow("".into()),
            Mode::AlwaysDeny => Decision::NoOpinion("Everything is forbidden.".into()),
        }
    }

    /// What a user may do in a namespace, as far as it can be listed.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        let mut all = Rules::default();
        let mut errors = Vec::new();
        for mode in &self.modes {
            let found = match mode {
                Mode::Node => self.node.rules_for(user),
                Mode::Rbac => self.rbac.read(|policy| policy.rules_for(user, namespace)),
                Mode::AlwaysAllow => Rules {
                    rules: rbac::cover::full_authority(),
                    ..Rules::default()
                },
                Mode::AlwaysDeny => Rules::default(),
            };
            all.rules.extend(found.rules);
            all.incomplete |= found.incomplete;
            if !found.evaluation_error.is_empty() {
                errors.push(found.evaluation_error);
            }
        }
        all.evaluation_error = aggregated(&errors.iter().collect::<Vec<_>>());
        all
    }

    /// Who may do something.
    pub fn who_can(&self, attributes: &Attributes) -> WhoCan {
        let mut who = WhoCan {
            masters: true,
            ..WhoCan::default()
        };
        for mode in &self.modes {
            match mode {
                Mode::Node => who.nodes = self.node.who_can(attributes),
                Mode::Rbac => (who.bound, who.errors) = self.rbac.read(|policy| policy.subjects_allowed(attributes)),
                Mode::AlwaysAllow => who.everybody = true,
                Mode::AlwaysDeny => {}
            }
        }
        who
    }

    /// Takes in an object, new or changed, and says whether it is one of [`WATCHED`].
    pub fn put(&self, group: &str, plural: &str, object: &Value) -> Result<bool, FeedError> {
        match (group, Kind::of_plural(plural)) {
            (rbac::GROUP, Some(kind)) => self.rbac.update(|policy| policy.put(kind, object))?,
            _ => return Ok(self.node.put(group, plural, object)?),
        }
        Ok(true)
    }

    /// Forgets an object, and says whether it is one of [`WATCHED`].
    pub fn delete(&self, group: &str, plural: &str, namespace: &str, name: &str) -> bool {
        match (group, Kind::of_plural(plural)) {
            (rbac::GROUP, Some(kind)) => {
                self.rbac.update(|policy| policy.delete(kind, namespace, name));
                true
            }
            _ => self.node.delete(group, plural, namespace, name),
        }
    }
}

impl Rules {
    /// Those about resources.
    pub fn of_resources(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| !rule.resources.is_empty())
    }

    /// Those about URLs.
    pub fn of_urls(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| !rule.non_resource_urls.is_empty())
    }
}

/// Several errors as one text, each once, as `k8s.io/apimachinery/pkg/util/errors` puts them together.
fn aggregated(errors: &[&String]) -> String {
    let mut seen = HashSet::new();
    let once: Vec<&str> = errors
        .iter()
        .map(|error| error.as_str())
        .filter(|error| seen.insert(*error))
        .collect();
    match once.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        several => format!("[{}]", several.join(", ")),
    }
}
