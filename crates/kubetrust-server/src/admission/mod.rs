//! Admission: what a write has to pass between authorization and the store, first to be changed, then to be checked.
//!
//! The store's writing functions take an [`Admitted`], which only [`Admission`] makes: nothing is stored that was not
//! admitted. Plugins are asynchronous and get the whole operation, so that webhooks and CEL policies fit in later.

mod certificates;
mod default_toleration_seconds;
mod fields;
mod namespace_lifecycle;
mod node_restriction;
mod objects;
mod owner_references;
mod plugins;
mod pod;
mod priority;
mod rbac_escalation;
mod service_account;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use kubetrust_api::meta;
use kubetrust_api::resource::{Resource, Subresource};
use kubetrust_api::status::Status;
use kubetrust_auth::user::User;
use serde_json::Value;

use crate::metrics::admission::Times;

pub use certificates::{CertificateApproval, CertificateSigning, CertificateSubjectRestriction};
pub use default_toleration_seconds::DefaultTolerationSeconds;
pub use namespace_lifecycle::NamespaceLifecycle;
pub use node_restriction::NodeRestriction;
pub use owner_references::OwnerReferencesPermissionEnforcement;
pub use plugins::{PluginListError, default_plugins};
pub use priority::{Priority, SYSTEM_CLASSES};
pub use rbac_escalation::RbacEscalation;
pub use service_account::ServiceAccount;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A new object, or a create of a subresource.
    Create,
    /// A change, by update or patch.
    Update,
    /// A removal.
    Delete,
}

impl Verb {
    /// As messages and webhooks name it: `CREATE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// Which of the two steps, as upstream calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The object is changed.
    Admit,
    /// It is checked as it would be stored.
    Validate,
}

/// A write, as the plugins see it.
#[derive(Clone, Debug)]
pub struct Operation<'a> {
    /// Who asks.
    pub user: &'a User,
    /// For what.
    pub verb: Verb,
    /// Of which resource.
    pub resource: &'static Resource,
    /// Of which subresource.
    pub subresource: Option<&'static Subresource>,
    /// In which namespace.
    pub namespace: &'a str,
    /// The object's name; empty for one whose name is still to be made.
    pub name: &'a str,
    /// The object, null for a removal: to those that change it as the client sent it, with its defaults; to those that
    /// check it as it would be stored.
    pub object: Value,
    /// The object as it is.
    pub old: Option<&'a Value>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

impl Operation<'_> {
    /// Whether it is about this resource, without a subresource.
    #[must_use]
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.is_subresource(group, plural, "")
    }

    /// Whether it is about this subresource.
    #[must_use]
    pub fn is_subresource(&self, group: &str, plural: &str, subresource: &str) -> bool {
        self.resource.group == group && self.resource.plural == plural && self.subresource() == subresource
    }

    /// The subresource's name, or empty.
    #[must_use]
    pub fn subresource(&self) -> &'static str {
        self.subresource.map_or("", |subresource| subresource.name)
    }

    /// 403 from a plugin.
    #[must_use]
    pub fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(self.resource.group, self.resource.plural, self.known_name(), why)
    }

    /// The name, as far as it is known: that of the object, or what it is to begin with (`NewForbidden` of
    /// `apiserver/pkg/admission/errors.go`).
    fn known_name(&self) -> &str {
        let known = [
            self.name,
            meta::name(&self.object),
            meta::text(&self.object, "generateName"),
        ];
        known.into_iter().find(|name| !name.is_empty()).unwrap_or("Unknown")
    }
}

/// A rule about writes.
pub trait Plugin: Send + Sync {
    /// Its name, as `--enable-admission-plugins` has it.
    fn name(&self) -> &'static str;

    /// Whether it has to be asked in this step: most have nothing to do with most writes.
    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool;

    /// Changes the object, or refuses the write. Only those are asked that handle [`Step::Admit`].
    fn mutate<'a>(&'a self, _operation: &'a mut Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Refuses the write, or not. Only those are asked that handle [`Step::Validate`].
    fn validate<'a>(&'a self, _operation: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// All plugins, in their order.
#[derive(Default)]
pub struct Admission {
    plugins: Vec<Box<dyn Plugin>>,
    times: Option<Times>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_list()
            .entries(self.plugins.iter().map(|plugin| plugin.name()))
            .finish()
    }
}

/// A write that every plugin has had its change of; what is still to be done is the strategy, validation, and
/// [`Admission::validate`].
#[derive(Clone, Debug)]
pub struct Mutated<'a>(Operation<'a>);

impl<'a> Mutated<'a> {
    /// The object.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.0.object
    }

    /// The object, for the strategy.
    pub fn object_mut(&mut self) -> &mut Value {
        &mut self.0.object
    }

    /// The same, under a name that was made meanwhile.
    #[must_use]
    pub fn named(self, name: &'a str) -> Self {
        Self(Operation { name, ..self.0 })
    }
}

/// What may be stored: an object that passed, or a removal that did.
#[derive(Debug)]
pub struct Admitted {
    object: Value,
}

impl Admitted {
    /// A write of the server itself, as the default policy at its start: no user asked for it.
    #[must_use]
    pub fn by_the_server(object: Value) -> Self {
        Self { object }
    }

    /// An admitted removal that first only marks the object.
    pub(crate) fn marked(_removal: Self, object: Value) -> Self {
        Self { object }
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// The object.
    #[must_use]
    pub fn into_object(self) -> Value {
        self.object
    }
}

impl Admission {
    /// These plugins, in the order that they run in.
    #[must_use]
    pub fn new(plugins: Vec<Box<dyn Plugin>>) -> Self {
        let names: Vec<&'static str> = plugins.iter().map(|plugin| plugin.name()).collect();
        let times = Some(Times::new(&names));
        Self { plugins, times }
    }

    /// How long they take; nothing where there are none.
    #[must_use]
    pub fn times(&self) -> Option<&Times> {
        self.times.as_ref()
    }

    /// Lets every plugin change the object that a client sent, before the strategy of its resource takes out of it what
    /// the client has no say in: what would be taken out can be refused here.
    pub async fn mutate<'a>(&self, mut operation: Operation<'a>) -> Result<Mutated<'a>, Status> {
        let mut watch = Watch::start(self.times(), Step::Admit, operation.verb);
        for (place, plugin) in self.plugins.iter().enumerate() {
            if !plugin.handles(Step::Admit, &operation) {
                watch.left_out(place);
                continue;
            }
            let passed = plugin.mutate(&mut operation).await;
            watch.passed(place, passed)?;
        }
        watch.end(false);
        Ok(Mutated(operation))
    }

    /// Lets every plugin refuse, after the object has been found valid.
    pub async fn validate(&self, Mutated(operation): Mutated<'_>) -> Result<Admitted, Status> {
        let mut watch = Watch::start(self.times(), Step::Validate, operation.verb);
        for (place, plugin) in self.plugins.iter().enumerate() {
            if !plugin.handles(Step::Validate, &operation) {
                watch.left_out(place);
                continue;
            }
            let passed = plugin.validate(&operation).await;
            watch.passed(place, passed)?;
        }
        watch.end(false);
        Ok(Admitted {
            object: operation.object,
        })
    }
}

/// Times one step: one plugin begins when the other ends.
struct Watch<'a> {
    times: Option<&'a Times>,
    step: Step,
    verb: Verb,
    begun: Instant,
    last: Instant,
}

impl<'a> Watch<'a> {
    fn start(times: Option<&'a Times>, step: Step, verb: Verb) -> Self {
        let now = Instant::now();
        Self {
            times,
            step,
            verb,
            begun: now,
            last: now,
        }
    }

    /// A plugin that has nothing to do with the write is counted too, as upstream.
    fn left_out(&self, place: usize) {
        if let Some(times) = self.times {
            times.plugin(place, self.step, self.verb, false, Duration::ZERO);
        }
    }

    fn passed(&mut self, place: usize, outcome: Result<(), Status>) -> Result<(), Status> {
        let now = Instant::now();
        let took = now.duration_since(self.last);
        if let Some(times) = self.times {
            times.plugin(place, self.step, self.verb, outcome.is_err(), took);
        }
        self.last = now;
        if outcome.is_err() {
            self.end(true);
        }
        outcome
    }

    fn end(&self, rejected: bool) {
        if let Some(times) = self.times {
            times.step(self.step, self.verb, rejected, self.last.duration_since(self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kubetrust_api::resource::TABLE;
    use parking_lot::Mutex;

    use super::*;

    /// Refuses whatever it is asked about, and keeps what that was.
    struct Refuses {
        handled: Option<Step>,
        asked: Arc<Mutex<Vec<Step>>>,
    }

    impl Plugin for Refuses {
        fn name(&self) -> &'static str {
            "Refuses"
        }

        fn handles(&self, step: Step, _: &Operation<'_>) -> bool {
            self.handled == Some(step)
        }

        fn mutate<'a>(&'a self, _: &'a mut Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
            self.asked.lock().push(Step::Admit);
            Box::pin(std::future::ready(Err(Status::internal("no"))))
        }

        fn validate<'a>(&'a self, _: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
            self.asked.lock().push(Step::Validate);
            Box::pin(std::future::ready(Err(Status::internal("no"))))
        }
    }

    #[tokio::test]
    async fn a_plugin_is_asked_in_the_steps_that_it_handles() {
        for (handled, asked_in, passes) in [
            (None, vec![], true),
            (Some(Step::Admit), vec![Step::Admit], false),
            (Some(Step::Validate), vec![Step::Validate], false),
        ] {
            let asked = Arc::new(Mutex::new(Vec::new()));
            let plugin = Refuses {
                handled,
                asked: Arc::clone(&asked),
            };
            let admission = Admission::new(vec![Box::new(plugin)]);
            let operation = Operation {
                user: &User::default(),
                verb: Verb::Create,
                resource: &TABLE[0],
                subresource: None,
                namespace: "",
                name: "x",
                object: Value::Null,
                old: None,
                dry_run: false,
            };
            let admitted = match admission.mutate(operation).await {
                Ok(mutated) => admission.validate(mutated).await,
                Err(status) => Err(status),
            };
            assert_eq!(admitted.is_ok(), passes, "{handled:?}");
            assert_eq!(*asked.lock(), asked_in, "{handled:?}");
        }
    }
}
