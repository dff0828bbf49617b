//! Removing objects: at once, or marked first where finalizers or a grace period hold them.

use std::sync::Arc;

use kubetrust_api::meta;
use kubetrust_api::status::{Cause, Status};
use kubetrust_api::strategy;
use serde_json::Value;

use super::Registry;
use super::list::List;
use super::object::Object;
use super::options::ListOptions;
use super::parts;
use super::select::Selection;
use super::target::Target;
use super::update::same;
use super::write::{ATTEMPTS, Stored, Writer, modified};
use crate::admission::{Operation, Verb};

/// What becomes of the objects that name the removed one as their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The owner goes at once, its dependents after it.
    Background,
    /// The dependents go first.
    Foreground,
    /// The dependents stay.
    Orphan,
}

/// Finalizer that waits for the dependents to be gone.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer that waits for the dependents to be let go.
pub const ORPHAN: &str = "orphan";

/// `meta/v1 DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds until it is forced; `None` is the default of its kind.
    pub grace: Option<i64>,
    /// The UID that it must have.
    pub uid: Option<String>,
    /// The revision that it must have.
    pub revision: Option<String>,
    /// What becomes of its dependents.
    pub propagation: Option<Propagation>,
    /// Nothing is stored.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// From the object of a body or of a query.
    pub fn of(value: &Value) -> Result<Self, Status> {
        let mut faults = Vec::new();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let propagation = match (&value["propagationPolicy"], &value["orphanDependents"]) {
            (Value::Null, Value::Null) => None,
            (Value::Null, Value::Bool(true)) => Some(Propagation::Orphan),
            (Value::Null, _) => Some(Propagation::Background),
            (Value::String(policy), Value::Null) => match policy.as_str() {
                "Background" => Some(Propagation::Background),
                "Foreground" => Some(Propagation::Foreground),
                "Orphan" => Some(Propagation::Orphan),
                other => {
                    faults.push(fault("FieldValueNotSupported", "propagationPolicy", format!("Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"")));
                    None
                }
            },
            _ => {
                faults.push(fault(
                    "FieldValueInvalid",
                    "propagationPolicy",
                    "Invalid value: orphanDependents and deletionPropagation cannot be both set".into(),
                ));
                None
            }
        };
        let grace = value["gracePeriodSeconds"].as_i64();
        if grace.is_some_and(|grace| grace < 0) {
            faults.push(fault(
                "FieldValueInvalid",
                "gracePeriodSeconds",
                format!(
                    "Invalid value: {}: must be greater than or equal to 0",
                    grace.unwrap_or_default()
                ),
            ));
        }
        let dry_run = dry_run(
            value["dryRun"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str),
            &mut faults,
        );
        if !faults.is_empty() {
            return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", faults));
        }
        let preconditions = &value["preconditions"];
        Ok(Self {
            grace,
            uid: text(&preconditions["uid"]),
            revision: text(&preconditions["resourceVersion"]),
            propagation,
            dry_run,
        })
    }
}

/// Reads `dryRun`: `All` is the only value there is.
pub fn dry_run<'a>(values: impl Iterator<Item = &'a str>, faults: &mut Vec<Cause>) -> bool {
    let mut dry = false;
    for value in values {
        if value == "All" {
            dry = true;
        } else {
            faults.push(fault(
                "FieldValueNotSupported",
                "dryRun",
                format!("Unsupported value: {value:?}: supported values: \"All\""),
            ));
        }
    }
    dry
}

fn fault(reason: &'static str, field: &str, message: String) -> Cause {
    Cause {
        reason,
        message,
        field: field.into(),
    }
}

/// What a removal has done.
#[derive(Debug)]
pub enum Deleted {
    /// It is gone; this was its last state.
    Gone(Arc<Object>),
    /// It is marked, and goes when its finalizers or its grace period are over.
    Marked(Arc<Object>),
}

impl Registry {
    /// Removes an object, or marks it.
    pub async fn delete(
        &self,
        target: &Target,
        writer: Writer<'_>,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let writer = Writer {
            dry_run: writer.dry_run || options.dry_run,
            ..writer
        };
        for _ in 0..ATTEMPTS {
            self.cache.fresh().await?;
            let old = self.cached(target).ok_or_else(|| target.not_found())?;
            if let Some(deleted) = self.delete_once(target, writer, options, &old).await? {
                return Ok(deleted);
            }
            if options.revision.is_some() {
                break;
            }
        }
        Err(modified(target))
    }

    /// `None` if another writer was faster.
    async fn delete_once(
        &self,
        target: &Target,
        writer: Writer<'_>,
        options: &DeleteOptions,
        old: &Arc<Object>,
    ) -> Result<Option<Deleted>, Status> {
        let before = old.value();
        check_preconditions(target, options, &before, old)?;
        let operation = Operation {
            user: writer.user,
            verb: Verb::Delete,
            resource: target.resource,
            subresource: None,
            namespace: &target.namespace,
            name: &target.name,
            object: Value::Null,
            old: Some(&before),
            dry_run: writer.dry_run,
        };
        let mutated = writer.admission.mutate(operation).await?;
        let admitted = writer.admission.validate(mutated).await?;

        let marked = mark(target, options, &before, writer.now);
        match marked {
            None if writer.dry_run => Ok(Some(Deleted::Gone(Arc::clone(old)))),
            None => match self.remove(target, old.revision, &before, admitted).await? {
                Ok(revision) => Ok(Some(Deleted::Gone(Arc::new(old.removed_at(revision))))),
                Err(Some(_)) => Ok(None),
                Err(None) => Err(target.not_found()),
            },
            Some(marked) if writer.dry_run => {
                super::create::unstored(&marked).map(|object| Some(Deleted::Marked(object)))
            }
            Some(marked) if same(&marked, &before) => Ok(Some(Deleted::Marked(Arc::clone(old)))),
            Some(marked) => {
                let admitted = crate::admission::Admitted::marked(admitted, marked);
                match self
                    .store_object(
                        target,
                        admitted,
                        kubetrust_store::Expect::Modified(old.revision),
                        Vec::new(),
                    )
                    .await?
                {
                    Stored::Done(object) => Ok(Some(Deleted::Marked(object))),
                    Stored::Conflict(_) | Stored::Taken => Ok(None),
                }
            }
        }
    }

    /// Removes every object of a list, one by one; what is gone meanwhile is no error.
    pub async fn delete_collection(
        &self,
        target: &Target,
        writer: Writer<'_>,
        options: &DeleteOptions,
        list: &ListOptions,
        selection: &Selection,
    ) -> Result<List, Status> {
        let found = self.list(target, list, selection).await?;
        for object in &found.items {
            let value = object.value();
            let one = Target {
                namespace: meta::text(&value, "namespace").to_owned(),
                name: meta::text(&value, "name").to_owned(),
                ..target.clone()
            };
            match self.delete(&one, writer, options).await {
                Ok(_) => {}
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        Ok(found)
    }
}

fn check_preconditions(target: &Target, options: &DeleteOptions, before: &Value, old: &Object) -> Result<(), Status> {
    let uid = meta::text(before, "uid");
    if let Some(wanted) = &options.uid
        && wanted != uid
    {
        return Err(target.conflict(&format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
        )));
    }
    if let Some(wanted) = &options.revision
        && *wanted != old.revision.to_string()
    {
        return Err(target.conflict(&format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {}",
            old.revision
        )));
    }
    Ok(())
}

/// The object marked for deletion; `None` if nothing holds it.
fn mark(target: &Target, options: &DeleteOptions, before: &Value, now: jiff::Timestamp) -> Option<Value> {
    let mut object = before.clone();
    let grace = strategy::grace_period(target.resource, before, options.grace);
    meta::remove(&mut object, "resourceVersion");
    let finalizers = finalizers_for(before, options.propagation);
    let held = !finalizers.is_empty() || parts::has_spec_finalizers(target.resource, &object);
    if grace == 0 && !held {
        return None;
    }
    meta::set_finalizers(&mut object, finalizers);
    let already = meta::deletion_timestamp(before).is_some();
    let known = before["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if !already || known.is_some_and(|known| grace < known) {
        let at = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
        meta::set(&mut object, "deletionTimestamp", meta::time(at));
        meta::set(&mut object, "deletionGracePeriodSeconds", grace);
        if let Some(generation) = before["metadata"]["generation"].as_i64() {
            meta::set(&mut object, "generation", generation.saturating_add(1));
        }
    }
    parts::begin_deletion(target.resource, &mut object);
    Some(object)
}

/// The finalizers after a deletion with this propagation: what it does not ask for is taken away.
fn finalizers_for(object: &Value, propagation: Option<Propagation>) -> Vec<String> {
    let mut finalizers: Vec<String> = meta::finalizers(object).map(str::to_owned).collect();
    if let Some(propagation) = propagation {
        finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
        match propagation {
            Propagation::Background => {}
            Propagation::Foreground => finalizers.push(FOREGROUND.into()),
            Propagation::Orphan => finalizers.push(ORPHAN.into()),
        }
    }
    finalizers
}
