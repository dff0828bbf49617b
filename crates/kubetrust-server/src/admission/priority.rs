//! `Priority`: gives a pod the number that its priority class stands for (`plugin/pkg/admission/priority`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kubetrust_api::meta;
use kubetrust_api::status::Status;
use serde_json::Value;

use super::fields::{spec_mut, text};
use super::objects::Objects;
use super::{Operation, Plugin, Step, Verb};
use crate::registry::Registry;

const GROUP: &str = "scheduling.k8s.io";
/// What is preempted where a class does not say.
const PREEMPTION: &str = "PreemptLowerPriority";

/// The classes that every cluster has, with their values (`pkg/apis/scheduling/v1/helpers.go`). Validation lets nobody
/// change them, so they are known also where nobody has stored them.
pub const SYSTEM_CLASSES: [(&str, i64); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

/// The plugin.
#[derive(Debug)]
pub struct Priority {
    objects: Objects,
}

/// What a class stands for.
struct Resolved {
    class: String,
    value: i64,
    preemption: String,
}

impl Priority {
    /// Looks classes up in a registry.
    pub fn new(registry: &Registry) -> Self {
        Self {
            objects: Objects::new(registry),
        }
    }

    async fn admit(&self, operation: &mut Operation<'_>) -> Result<(), Status> {
        match (operation.verb, operation.old) {
            (Verb::Create, _) => {
                let resolved = self.resolve(operation).await?;
                set(operation, resolved)
            }
            (Verb::Update, Some(old)) => {
                keep(&mut operation.object, &old["spec"]);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn resolve(&self, operation: &Operation<'_>) -> Result<Resolved, Status> {
        let wanted = text(&operation.object["spec"], "priorityClassName");
        if wanted.is_empty() {
            let class = self.default_class();
            return Ok(class.map_or_else(Resolved::none, |class| Resolved::of(&class)));
        }
        let system = SYSTEM_CLASSES.iter().find(|(name, _)| *name == wanted);
        match (self.objects.find("priorityclasses", "", wanted).await?, system) {
            (Some(class), _) => Ok(Resolved::of(&class)),
            (None, Some((name, value))) => Ok(Resolved {
                class: (*name).to_owned(),
                value: *value,
                ..Resolved::none()
            }),
            (None, None) => Err(operation.forbidden(&format!("no PriorityClass with name {wanted} was found"))),
        }
    }

    /// The class of pods that name none: the least, should there be several.
    fn default_class(&self) -> Option<Arc<Value>> {
        let defaults = self
            .objects
            .all("priorityclasses")
            .filter(|class| class["globalDefault"] == true);
        defaults.min_by_key(|class| class["value"].as_i64().unwrap_or_default())
    }

    /// Whether a priority class may be as it is.
    fn check_class(&self, operation: &Operation<'_>) -> Result<(), Status> {
        if operation.verb == Verb::Delete {
            let system = SYSTEM_CLASSES.iter().any(|(name, _)| *name == operation.name);
            let refused = || operation.forbidden("this is a system priority class and cannot be deleted");
            return if system { Err(refused()) } else { Ok(()) };
        }
        if operation.object["globalDefault"] != true {
            return Ok(());
        }
        match self.default_class() {
            Some(other) if operation.verb == Verb::Create || meta::name(&other) != meta::name(&operation.object) => {
                let name = meta::name(&other);
                Err(operation.forbidden(&format!(
                    "PriorityClass {name} is already marked as default. Only one default can exist"
                )))
            }
            _ => Ok(()),
        }
    }
}

impl Resolved {
    fn of(class: &Value) -> Self {
        let preemption = text(class, "preemptionPolicy");
        Self {
            class: meta::name(class).to_owned(),
            value: class["value"].as_i64().unwrap_or_default(),
            preemption: if preemption.is_empty() {
                PREEMPTION.into()
            } else {
                preemption.into()
            },
        }
    }

    fn none() -> Self {
        Self {
            class: String::new(),
            value: 0,
            preemption: PREEMPTION.into(),
        }
    }
}

/// Writes the class, the value and the policy; a pod can't have others of its own.
fn set(
    operation: &mut Operation<'_>,
    Resolved {
        class,
        value,
        preemption,
    }: Resolved,
) -> Result<(), Status> {
    let spec = &operation.object["spec"];
    if let Some(given) = spec["priority"].as_i64()
        && given != value
    {
        return Err(operation.forbidden(&format!(
            "the integer value of priority ({given}) must not be provided in pod spec; \
             priority admission controller computed {value} from the given PriorityClass name"
        )));
    }
    let given = text(spec, "preemptionPolicy");
    if !given.is_empty() && given != preemption {
        return Err(operation.forbidden(&format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; \
             priority admission controller computed {preemption} from the given PriorityClass name"
        )));
    }
    if let Some(spec) = spec_mut(&mut operation.object) {
        if !class.is_empty() {
            spec.insert("priorityClassName".into(), class.into());
        }
        spec.insert("priority".into(), value.into());
        spec.insert("preemptionPolicy".into(), preemption.into());
    }
    Ok(())
}

/// What was resolved when the pod was created stays.
fn keep(pod: &mut Value, old: &Value) {
    let Some(spec) = spec_mut(pod) else { return };
    for field in ["priority", "preemptionPolicy"] {
        if spec.get(field).is_none_or(Value::is_null) && !old[field].is_null() {
            spec.insert(field.into(), old[field].clone());
        }
    }
}

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        match step {
            Step::Admit => operation.is("", "pods"),
            Step::Validate => operation.is(GROUP, "priorityclasses"),
        }
    }

    fn mutate<'a>(&'a self, operation: &'a mut Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.admit(operation))
    }

    fn validate<'a>(&'a self, operation: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(self.check_class(operation)))
    }
}
