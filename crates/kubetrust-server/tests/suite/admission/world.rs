//! What the cases need: a cluster with some objects in it, users, and writes.

use std::sync::Arc;

use bytes::Bytes;
use kubetrust_api::meta;
use kubetrust_api::resource::{Resource, TABLE};
use kubetrust_api::status::Status;
use kubetrust_auth::authz::{Authorizer, Mode};
use kubetrust_auth::user::User;
use kubetrust_server::admission::{Operation, Plugin, Step, Verb};
use kubetrust_server::registry::Registry;
use kubetrust_server::registry::cache::Cache;
use kubetrust_server::registry::object::to_stored;
use kubetrust_server::registry::target::Target;
use kubetrust_store::{Change, Write};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Engine, engine};

/// A cluster without a server.
pub struct World {
    pub registry: Registry,
    pub authorizer: Arc<Authorizer>,
    _folder: TempDir,
}

impl World {
    /// With these objects, which need a kind, an API version and a name.
    pub async fn of(engine: Engine, objects: &[Value]) -> Self {
        let folder = TempDir::new().unwrap();
        let (store, prefix) = engine.place(folder.path());
        let store = engine::open(&store).await;
        let root = Bytes::from(format!("{prefix}/"));
        let authorizer = Arc::new(Authorizer::new([Mode::Node, Mode::Rbac]));
        let storages: std::collections::BTreeSet<&str> = TABLE.iter().map(|resource| resource.storage).collect();
        let cache = Cache::load(store, Arc::default(), root.clone(), storages, Vec::new())
            .await
            .unwrap();
        let world = Self {
            registry: Registry::new(cache, root),
            authorizer,
            _folder: folder,
        };
        for object in objects {
            world.put(object).await;
        }
        world.registry.cache().fresh().await.unwrap();
        world
    }

    /// Stores an object, past all admission.
    pub async fn put(&self, object: &Value) {
        let resource = of_kind(object);
        let target = Target::object(resource, meta::namespace(object), meta::name(object));
        let change = Change::Put {
            value: to_stored(object).unwrap().into(),
            lease: None,
        };
        let write = Write {
            key: self.registry.key(&target),
            expect: None,
            change: Some(change),
        };
        self.registry.store().commit(vec![write]).await.unwrap();
        self.authorizer.put(resource.group, resource.plural, object).unwrap();
    }
}

fn of_kind(object: &Value) -> &'static Resource {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    TABLE
        .iter()
        .find(|row| row.kind == kind && row.api_version() == version)
        .unwrap()
}

/// A write that a plugin is asked about.
#[derive(Clone, Debug)]
pub struct Request {
    user: User,
    verb: Verb,
    what: &'static str,
    namespace: String,
    name: String,
    object: Value,
    old: Option<Value>,
}

/// The creation of an object: `pods`, `pods/eviction`.
pub fn create(user: &User, what: &'static str, object: Value) -> Request {
    Request::new(user, Verb::Create, what, object, None)
}

/// A change from the first to the second.
pub fn update(user: &User, what: &'static str, old: Value, new: Value) -> Request {
    Request::new(user, Verb::Update, what, new, Some(old))
}

/// A removal.
pub fn delete(user: &User, what: &'static str, old: Value) -> Request {
    Request::new(user, Verb::Delete, what, Value::Null, Some(old))
}

impl Request {
    fn new(user: &User, verb: Verb, what: &'static str, object: Value, old: Option<Value>) -> Self {
        let known = if object.is_null() {
            old.clone().unwrap_or_default()
        } else {
            object.clone()
        };
        let (namespace, name) = (meta::namespace(&known).to_owned(), meta::name(&known).to_owned());
        Self {
            user: user.clone(),
            verb,
            what,
            namespace,
            name,
            object,
            old,
        }
    }

    /// As one to this place.
    pub fn at(self, namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            ..self
        }
    }

    /// What becomes of it: the object, or the refusal.
    pub async fn to(&self, plugin: &dyn Plugin) -> Result<Value, Status> {
        let (plural, subresource) = self.what.split_once('/').unwrap_or((self.what, ""));
        let resource = TABLE.iter().find(|row| row.plural == plural).unwrap();
        let mut operation = Operation {
            user: &self.user,
            verb: self.verb,
            resource,
            subresource: (!subresource.is_empty()).then(|| resource.subresource(subresource).unwrap()),
            namespace: &self.namespace,
            name: &self.name,
            object: self.object.clone(),
            old: self.old.as_ref(),
            dry_run: false,
        };
        if plugin.handles(Step::Admit, &operation) {
            plugin.mutate(&mut operation).await?;
        }
        if plugin.handles(Step::Validate, &operation) {
            plugin.validate(&operation).await?;
        }
        Ok(operation.object)
    }
}

/// Asks about each write: the text of the refusal is that of the line, or there is none where it is empty.
pub async fn decide(plugin: &dyn Plugin, cases: &[(Request, &str)]) {
    for (request, refusal) in cases {
        let outcome = request.to(plugin).await;
        let said = outcome.as_ref().map_or_else(|status| status.message.as_str(), |_| "");
        assert_eq!(said, *refusal, "{request:#?}");
    }
}

/// A user in groups.
pub fn user(name: &str, groups: &[&str]) -> User {
    User {
        name: name.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..User::default()
    }
}

/// A kubelet.
pub fn kubelet(node: &str) -> User {
    user(
        &format!("system:node:{node}"),
        &["system:nodes", "system:authenticated"],
    )
}

/// A cluster role with one rule, bound to a user: verbs, group, resource, names (comma-separated; empty for all).
pub fn grant(who: &str, verbs: &str, group: &str, resource: &str, names: &str) -> [Value; 2] {
    let list = |text: &str| -> Vec<String> {
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let name = format!("{who}:{verbs}:{resource}:{names}").replace(['/', '*', ','], "-");
    let rule = serde_json::json!({
        "apiGroups": [group], "resources": list(resource), "verbs": list(verbs), "resourceNames": list(names),
    });
    [
        serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name}, "rules": [rule],
        }),
        serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}],
        }),
    ]
}
