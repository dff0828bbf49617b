//! Role-based access control: the union of all rules of all roles that are bound to who asks.
//!
//! ```text
//! who asks: user, groups → their grants → in the cluster, in the namespace → by resource → rules
//! ```
//!
//! A decision looks at who asks and what for, never at all the bindings. What it looks at is a [`Policy`]: a value that
//! never changes. An update copies the little that differs and puts the copy in force at once.

pub mod aggregate;
pub mod cover;
mod decide;
mod grants;
pub mod objects;
pub mod reconcile;
pub mod rule;
mod table;
pub mod who;

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;

pub use decide::Rules;
use grants::Grants;
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
    /// Keys of the bindings that refer to a role, by its [`role_key`].
    referrers: Table<Arc<BTreeSet<String>>>,
    users: Table<Arc<Grants>>,
    groups: Table<Arc<Grants>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            roles: Table::new(),
            bindings: Table::new(),
            referrers: Table::new(),
            users: Table::new(),
            groups: Table::new(),
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
        let key = role_key(kind.name(), namespace, name);
        self.roles.insert(&key, rules.into_iter().map(Arc::new).collect());
        self.role_changed(&key);
    }

    /// Forgets a role. Bindings to it stay and allow nothing.
    pub fn delete_role(&mut self, kind: Kind, namespace: &str, name: &str) {
        let key = role_key(kind.name(), namespace, name);
        if self.roles.remove(&key).is_some() {
            self.role_changed(&key);
        }
    }

    /// Sets a binding.
    pub fn put_binding(&mut self, binding: Binding) {
        self.delete_binding(&binding.namespace, &binding.name);
        let key = binding_key(&binding.namespace, &binding.name);
        let binding = Arc::new(binding);
        self.bindings.insert(&key, Arc::clone(&binding));
        let role = role_key(&binding.role.kind, &binding.namespace, &binding.role.name);
        if let Some(referrers) = self.referrers.entry(&role, Arc::default) {
            Arc::make_mut(referrers).insert(key);
        }
        for subject in &binding.subjects {
            if let Some(grants) = self.grants_mut(subject.principal(&binding.namespace)) {
                Arc::make_mut(grants).put(&binding, subject);
            }
        }
    }

    /// Forgets a binding. The namespace of a cluster role binding is empty.
    pub fn delete_binding(&mut self, namespace: &str, name: &str) {
        let key = binding_key(namespace, name);
        let Some(binding) = self.bindings.remove(&key) else {
            return;
        };
        let role = role_key(&binding.role.kind, namespace, &binding.role.name);
        let unreferred = self.referrers.entry(&role, Arc::default).is_none_or(|referrers| {
            let referrers = Arc::make_mut(referrers);
            referrers.remove(&key);
            referrers.is_empty()
        });
        if unreferred {
            self.referrers.remove(&role);
        }
        for principal in binding
            .subjects
            .iter()
            .filter_map(|subject| subject.principal(namespace))
        {
            let (table, who) = self.table_of(&principal);
            let empty = table.entry(who, Arc::default).is_none_or(|grants| {
                let grants = Arc::make_mut(grants);
                grants.delete(namespace, name);
                grants.is_empty()
            });
            if empty {
                table.remove(who);
            }
        }
    }

    /// Drops what was derived from the rules of this role.
    fn role_changed(&mut self, role: &str) {
        let Some(referrers) = self.referrers.get(role).map(Arc::clone) else {
            return;
        };
        for key in referrers.iter() {
            let Some(binding) = self.bindings.get(key).map(Arc::clone) else {
                continue;
            };
            for subject in &binding.subjects {
                if let Some(grants) = self.grants_mut(subject.principal(&binding.namespace)) {
                    Arc::make_mut(grants).forget_derived(&binding.namespace);
                }
            }
        }
    }

    fn grants_mut(&mut self, principal: Option<Principal>) -> Option<&mut Arc<Grants>> {
        let principal = principal?;
        let (table, who) = self.table_of(&principal);
        table.entry(who, Arc::default)
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
    pub fn bindings(&self) -> usize {
        self.bindings.len()
    }

    /// How many roles there are.
    pub fn roles(&self) -> usize {
        self.roles.len()
    }
}
