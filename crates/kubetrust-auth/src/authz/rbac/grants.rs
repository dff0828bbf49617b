//! What is bound to one user or group.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::objects::Binding;

/// The bindings of one user or group. Copies share what is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    cluster: Arc<Scope>,
    namespaces: HashMap<String, Arc<Scope>>,
}

/// Those that hold in one namespace, or, of cluster role bindings, everywhere: by name, each with the position of the
/// subject in it that is this user or group.
pub(super) type Scope = BTreeMap<String, Grant>;

/// A binding that applies, and the position of the subject by which it does.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) binding: Arc<Binding>,
    subject: usize,
}

impl Grant {
    /// As reasons name it.
    pub(super) fn describe(&self) -> String {
        let subject = self.binding.subjects.get(self.subject);
        subject
            .map(|subject| self.binding.describe(subject))
            .unwrap_or_default()
    }
}

impl Grants {
    pub(super) fn put(&mut self, binding: &Arc<Binding>, subject: usize) {
        let scope = match binding.namespace.as_str() {
            "" => &mut self.cluster,
            namespace => self.namespaces.entry(namespace.to_owned()).or_default(),
        };
        // The first of the binding's subjects that applies is the one that reasons name.
        let grant = || Grant {
            binding: Arc::clone(binding),
            subject,
        };
        Arc::make_mut(scope).entry(binding.name.clone()).or_insert_with(grant);
    }

    pub(super) fn delete(&mut self, namespace: &str, name: &str) {
        if namespace.is_empty() {
            Arc::make_mut(&mut self.cluster).remove(name);
        } else if let Some(scope) = self.namespaces.get_mut(namespace) {
            Arc::make_mut(scope).remove(name);
            if scope.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cluster.is_empty() && self.namespaces.is_empty()
    }

    /// Whether anything holds in some namespace only.
    pub(super) fn has_namespaces(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// What holds everywhere.
    pub(super) fn cluster(&self) -> &Scope {
        &self.cluster
    }

    /// What holds in this namespace only.
    pub(super) fn namespace(&self, namespace: &str) -> Option<&Scope> {
        self.namespaces.get(namespace).map(Arc::as_ref)
    }
}
