//! What the engine reads of roles and bindings.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rule::{Rule, null_is_empty};
use crate::authz::quote::quote;
use crate::user::SERVICE_ACCOUNT_PREFIX;

/// API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// The four kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Rules for the whole cluster.
    ClusterRole,
    /// Who has a [`Kind::ClusterRole`] everywhere.
    ClusterRoleBinding,
    /// Rules for one namespace.
    Role,
    /// Who has a role in one namespace.
    RoleBinding,
}

/// One row a kind.
const KINDS: [(Kind, &str, &str); 4] = [
    (Kind::ClusterRole, "ClusterRole", "clusterroles"),
    (Kind::ClusterRoleBinding, "ClusterRoleBinding", "clusterrolebindings"),
    (Kind::Role, "Role", "roles"),
    (Kind::RoleBinding, "RoleBinding", "rolebindings"),
];

impl Kind {
    /// The kind at this plural name of [`GROUP`].
    #[must_use]
    pub fn of_plural(plural: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.2 == plural).map(|row| row.0)
    }

    /// `ClusterRole`.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// `clusterroles`.
    #[must_use]
    pub fn plural(self) -> &'static str {
        KINDS.iter().find(|row| row.0 == self).map_or("", |row| row.2)
    }
}

/// An object that is no role or binding.
#[derive(Debug, thiserror::Error)]
#[error("{kind} cannot be read: {source}; the API refuses such an object, so the store or its version is not what it should be", kind = .kind.name())]
pub struct PolicyError {
    /// What it should have been.
    pub kind: Kind,
    /// What does not fit.
    pub source: serde_json::Error,
}

/// Who a binding is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// [`GROUP`] for users and groups, empty for service accounts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// Name.
    pub name: String,
    /// Namespace of a service account; a role binding's own where it is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// The role of a binding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleRef {
    /// [`GROUP`].
    pub api_group: String,
    /// `ClusterRole` or `Role`.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// A [`Kind::RoleBinding`], or, without a namespace, a [`Kind::ClusterRoleBinding`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// Namespace, empty for a cluster role binding.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Its role.
    pub role: RoleRef,
    /// Who has it.
    pub subjects: Vec<Subject>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Deserialize)]
struct RoleView {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BindingView {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_empty")]
    subjects: Vec<Subject>,
    role_ref: RoleRef,
}

/// Namespace, name and rules of a role of either kind.
pub(super) fn role(kind: Kind, object: &Value) -> Result<(String, String, Vec<Rule>), PolicyError> {
    let view = RoleView::deserialize(object).map_err(|source| PolicyError { kind, source })?;
    let namespace = if kind == Kind::ClusterRole {
        String::new()
    } else {
        view.metadata.namespace
    };
    Ok((namespace, view.metadata.name, view.rules))
}

/// A binding of either kind.
pub(super) fn binding(kind: Kind, object: &Value) -> Result<Binding, PolicyError> {
    let view = BindingView::deserialize(object).map_err(|source| PolicyError { kind, source })?;
    let namespace = if kind == Kind::ClusterRoleBinding {
        String::new()
    } else {
        view.metadata.namespace
    };
    Ok(Binding {
        namespace,
        name: view.metadata.name,
        role: view.role_ref,
        subjects: view.subjects,
    })
}

impl Subject {
    /// A user.
    pub fn user(name: impl Into<String>) -> Self {
        Self {
            kind: "User".into(),
            api_group: GROUP.into(),
            name: name.into(),
            namespace: String::new(),
        }
    }

    /// A group.
    pub fn group(name: impl Into<String>) -> Self {
        Self {
            kind: "Group".into(),
            api_group: GROUP.into(),
            name: name.into(),
            namespace: String::new(),
        }
    }

    /// A service account.
    pub fn service_account(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: "ServiceAccount".into(),
            api_group: String::new(),
            name: name.into(),
            namespace: namespace.into(),
        }
    }

    /// Which users it stands for, in a binding of this namespace. None if it stands for nobody.
    pub(super) fn principal(&self, binding_namespace: &str) -> Option<Principal> {
        match self.kind.as_str() {
            "User" => Some(Principal::User(self.name.clone())),
            "Group" => Some(Principal::Group(self.name.clone())),
            "ServiceAccount" => {
                let namespace = self.namespace_in(binding_namespace);
                (!namespace.is_empty())
                    .then(|| Principal::User(format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{}", self.name)))
            }
            _ => None,
        }
    }

    /// As reasons name it: `ServiceAccount "name/namespace"`.
    fn describe(&self, binding_namespace: &str) -> String {
        match self.kind.as_str() {
            "ServiceAccount" => {
                format!(
                    "{} {}",
                    self.kind,
                    quote(&format!("{}/{}", self.name, self.namespace_in(binding_namespace)))
                )
            }
            _ => format!("{} {}", self.kind, quote(&self.name)),
        }
    }

    fn namespace_in<'a>(&'a self, binding_namespace: &'a str) -> &'a str {
        if self.namespace.is_empty() {
            binding_namespace
        } else {
            &self.namespace
        }
    }
}

/// What a request can be recognised by. A service account is the user of its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Principal {
    User(String),
    Group(String),
}

impl Binding {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.namespace.is_empty() {
            Kind::ClusterRoleBinding
        } else {
            Kind::RoleBinding
        }
    }

    /// As reasons name it: `RoleBinding "name/namespace" of Role "r" to User "u"`.
    #[must_use]
    pub fn describe(&self, subject: &Subject) -> String {
        let name = match self.kind() {
            Kind::RoleBinding => quote(&format!("{}/{}", self.name, self.namespace)),
            _ => quote(&self.name),
        };
        format!(
            "{} {name} of {} {} to {}",
            self.kind().name(),
            self.role.kind,
            quote(&self.role.name),
            subject.describe(&self.namespace)
        )
    }
}
