//! Role-based access control: the union of all rules of all roles that are bound to who asks.
//!
//! ```text
//! who asks: user, groups → what they hold in the cluster, and in the namespace → by resource → rules
//! ```
//!
//! A decision looks at who asks and what for, never at all the bindings. What it looks at is a [`Policy`]: a value that
//! never changes. An update copies the little that differs and puts the copy in force at once.

pub mod aggregate;
pub mod cover;
mod decide;
mod grants;
mod held;
pub mod objects;
pub mod reconcile;
pub mod rule;
mod table;
pub mod who;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;

pub use decide::Rules;
use grants::Grants;
use held::Memo;
pub use held::{MAX_NAMESPACES, MAX_USERS};
use objects::Principal;
pub use objects::{Binding, GROUP, Kind, PolicyError, RoleRef, Subject};
pub use rule::Rule;
use table::Table;

/// The policy in force. Reading takes no lock; changes follow one another.
#[derive(Debug, Default)]
pub struct Rbac {
    current: ArcSwap<Policy>,
    change: Mutex<()>,
}

impl Rbac {
    /// The policy as it is now.
    pub fn policy(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// Runs with the policy as it is now, without counting references.
    pub(super) fn read<T>(&self, with: impl FnOnce(&Policy) -> T) -> T {
        with(&self.current.load())
    }

    /// Changes the policy. All that the closure does is seen at once; the more it does, the cheaper each change.
    pub fn update<T>(&self, change: impl FnOnce(&mut Policy) -> T) -> T {
        let _one_at_a_time = self.change.lock();
        let mut next = Policy::clone(&self.current.load());
        let result = change(&mut next);
        self.current.store(Arc::new(next));
        result
    }
}

/// All roles and bindings, and who has them. Copies share what is the same.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Rules by [`role_key`].
    roles: Table<Arc<[Arc<Rule>]>>,
    /// Bindings by [`binding_key`].
    bindings: Table<Arc<Binding>>,
    users: Table<Arc<Grants>>,
    groups: Table<Arc<Grants>>,
    memo: Memo,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            roles: Table::new(),
            bindings: Table::new(),
            users: Table::new(),
            groups: Table::new(),
            memo: Memo::default(),
        }
    }
}

/// Names have no slash, so that keys are unambiguous.
fn role_key(kind: &str, namespace: &str, name: &str) -> String {
    match kind {
        "ClusterRole" => format!("ClusterRole//{name}"),
        _ => format!("{kind}/{namespace}/{name}"),
    }
}

fn binding_key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl Policy {
    /// Takes in a role or binding, new or changed.
    pub fn put(&mut self, kind: Kind, object: &Value) -> Result<(), PolicyError> {
        match kind {
            Kind::ClusterRole | Kind::Role => {
                let (namespace, name, rules) = objects::role(kind, object)?;
                self.put_role(kind, &namespace, &name, rules);
            }
            Kind::ClusterRoleBinding | Kind::RoleBinding => self.put_binding(objects::binding(kind, object)?),
        }
        Ok(())
    }

    /// Forgets a role or binding. The namespace of what has none is empty.
    pub fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        match kind {
            Kind::ClusterRole | Kind::Role => self.delete_role(kind, namespace, name),
            Kind::ClusterRoleBinding | Kind::RoleBinding => self.delete_binding(namespace, name),
        }
    }

    /// Sets the rules of a role.
    pub fn put_role(&mut self, kind: Kind, namespace: &str, name: &str, rules: Vec<Rule>) {
        self.memo = Memo::default();
        self.roles.insert(
            &role_key(kind.name(), namespace, name),
            rules.into_iter().map(Arc::new).collect(),
        );
    }

    /// Forgets a role. Bindings to it stay and allow nothing.
    pub fn delete_role(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.memo = Memo::default();
        self.roles.remove(&role_key(kind.name(), namespace, name));
    }

    /// Sets a binding.
    pub fn put_binding(&mut self, binding: Binding) {
        self.delete_binding(&binding.namespace, &binding.name);
        let binding = Arc::new(binding);
        self.bindings
            .insert(&binding_key(&binding.namespace, &binding.name), Arc::clone(&binding));
        for (position, subject) in binding.subjects.iter().enumerate() {
            let Some(principal) = subject.principal(&binding.namespace) else {
                continue;
            };
            let (table, who) = self.table_of(&principal);
            if let Some(grants) = table.entry(who, Arc::default) {
                Arc::make_mut(grants).put(&binding, position);
            }
        }
    }

    /// Forgets a binding. The namespace of a cluster role binding is empty.
    pub fn delete_binding(&mut self, namespace: &str, name: &str) {
        self.memo = Memo::default();
        let Some(binding) = self.bindings.remove(&binding_key(namespace, name)) else {
            return;
        };
        for principal in binding
            .subjects
            .iter()
            .filter_map(|subject| subject.principal(namespace))
        {
            let (table, who) = self.table_of(&principal);
            let Some(grants) = table.entry(who, Arc::default) else {
                continue;
            };
            let grants = Arc::make_mut(grants);
            grants.delete(namespace, name);
            if grants.is_empty() {
                table.remove(who);
            }
        }
    }

    fn table_of<'a>(&mut self, principal: &'a Principal) -> (&mut Table<Arc<Grants>>, &'a str) {
        match principal {
            Principal::User(name) => (&mut self.users, name),
            Principal::Group(name) => (&mut self.groups, name),
        }
    }

    /// The rules of the role that a binding refers to, or what upstream says of a reference that leads nowhere.
    pub fn rules_of(&self, role: &RoleRef, binding_namespace: &str) -> Result<Arc<[Arc<Rule>]>, String> {
        let plural = match role.kind.as_str() {
            "ClusterRole" => "clusterrole",
            "Role" => "role",
            other => {
                return Err(format!(
                    "unsupported role reference kind: {}",
                    super::quote::quote(other)
                ));
            }
        };
        self.roles
            .get(&role_key(&role.kind, binding_namespace, &role.name))
            .map(Arc::clone)
            .ok_or_else(|| format!("{plural}.{GROUP} {} not found", super::quote::quote(&role.name)))
    }

    /// How many bindings there are.
    #[must_use]
    pub fn bindings(&self) -> usize {
        self.bindings.len()
    }

    /// How many roles there are.
    #[must_use]
    pub fn roles(&self) -> usize {
        self.roles.len()
    }
}
