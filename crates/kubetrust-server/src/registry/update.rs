//! Changing objects: update, patch, and the subresources that change a part.

use std::sync::Arc;

use kubetrust_api::meta;
use kubetrust_api::resource::Resource;
use kubetrust_api::status::{Cause, Status};
use kubetrust_api::{default, strategy, validate};
use kubetrust_store::{Expect, Revision};
use serde_json::Value;

use super::Registry;
use super::convert;
use super::create::unstored;
use super::object::Object;
use super::parts;
use super::services::Claimant;
use super::target::Target;
use super::write::{ATTEMPTS, Stored, Writer, modified, place, refuse};
use crate::admission::{Operation, Verb};

/// An object after a change, and whether it is new.
#[derive(Debug)]
pub struct Updated {
    /// The object.
    pub object: Arc<Object>,
    /// Whether there was none before.
    pub created: bool,
}

impl Registry {
    /// Puts in place of the object what `change` makes of it. Without a revision in what it makes, it is tried again
    /// over whatever another writer has left there.
    pub async fn update(
        &self,
        target: &Target,
        writer: Writer<'_>,
        mut change: impl FnMut(&Value) -> Result<Value, Status>,
    ) -> Result<Updated, Status> {
        for _ in 0..ATTEMPTS {
            self.cache.fresh().await?;
            let Some(old) = self.cached(target) else {
                return self.create_by_update(target, writer, &mut change).await;
            };
            let stored = old.value();
            let before = convert::from_stored(target.resource, &stored);
            let mut new = change(&before)?;
            place(target, &mut new)?;
            check_identity(target, &new, &before)?;
            if let Some(object) = self.update_once(target, writer, &old, &before, new).await? {
                return Ok(Updated { object, created: false });
            }
        }
        Err(modified(target))
    }

    /// `None` if another writer was faster.
    async fn update_once(
        &self,
        target: &Target,
        writer: Writer<'_>,
        old: &Arc<Object>,
        before: &Value,
        mut new: Value,
    ) -> Result<Option<Arc<Object>>, Status> {
        let resource = target.resource;
        default::apply(resource, &mut new);
        let operation = Operation {
            user: writer.user,
            verb: Verb::Update,
            resource,
            subresource: target.subresource,
            namespace: &target.namespace,
            name: &target.name,
            object: new,
            old: Some(before),
            dry_run: writer.dry_run,
        };
        let mut mutated = writer.admission.mutate(operation).await?;
        // Whoever named a revision is refused here as soon as there is another.
        check_revision(target, mutated.object(), old.revision)?;
        let subresource = target.subresource.map_or("", |subresource| subresource.name);
        parts::prepare_for_update(resource, subresource, mutated.object_mut(), before);
        // What is checked is a change of what was found: whoever named no version means that one.
        meta::set(mutated.object_mut(), "resourceVersion", old.revision.to_string());
        let faults = validate::update(resource, subresource, mutated.object(), before);
        refuse(resource, &target.name, faults)?;
        let claims = if self.gives(target) {
            let claimant = Claimant {
                user: writer.user,
                now: writer.now,
            };
            Box::pin(self.claim(target, claimant, mutated.object_mut(), Some(before))).await?
        } else {
            Vec::new()
        };
        let admitted = writer.admission.validate(mutated).await?;
        if writer.dry_run {
            return unstored(admitted.object()).map(Some);
        }
        if same(admitted.object(), before) {
            return Ok(Some(Arc::clone(old)));
        }
        if is_released(resource, admitted.object()) {
            let last = unstored(admitted.object())?;
            return match self.remove(target, old.revision, before, admitted).await? {
                Ok(revision) => Ok(Some(Arc::new(last.removed_at(revision)))),
                Err(_) => Ok(None),
            };
        }
        match self
            .store_object(target, admitted, Expect::Modified(old.revision), claims)
            .await?
        {
            Stored::Done(object) => Ok(Some(object)),
            Stored::Conflict(None) => Err(target.not_found()),
            Stored::Conflict(Some(_)) | Stored::Taken => Ok(None),
        }
    }

    /// An update of something that is not there: some resources are created by it.
    async fn create_by_update(
        &self,
        target: &Target,
        writer: Writer<'_>,
        change: &mut impl FnMut(&Value) -> Result<Value, Status>,
    ) -> Result<Updated, Status> {
        if target.subresource.is_some() || !strategy::allows_create_on_update(target.resource) {
            return Err(target.not_found());
        }
        let new = change(&Value::Null)?;
        if !meta::text(&new, "resourceVersion").is_empty() || !meta::text(&new, "uid").is_empty() {
            return Err(target.not_found());
        }
        let object = self.create(target, writer, new).await?;
        Ok(Updated { object, created: true })
    }
}

/// Holds what a client says of the object's identity against what it is.
fn check_identity(target: &Target, new: &Value, before: &Value) -> Result<(), Status> {
    let name = meta::text(new, "name");
    if name != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let (said, is) = (meta::text(new, "uid"), meta::text(before, "uid"));
    if !said.is_empty() && said != is {
        return Err(target.conflict(&format!(
            "Precondition failed: UID in precondition: {said}, UID in object meta: {is}"
        )));
    }
    Ok(())
}

/// Holds the revision that a client names against the one that there is.
fn check_revision(target: &Target, new: &Value, revision: Revision) -> Result<(), Status> {
    match meta::resource_version(new) {
        "" if target.subresource.is_none() && !strategy::allows_unconditional_update(target.resource) => {
            refuse(target.resource, &target.name, vec![must_be_specified("0x0")])
        }
        "" => Ok(()),
        said => match said.parse::<Revision>() {
            Ok(said) if said == revision => Ok(()),
            Ok(_) => Err(modified(target)),
            Err(_) => refuse(target.resource, &target.name, vec![must_be_specified(said)]),
        },
    }
}

fn must_be_specified(said: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {said}: must be specified for an update"),
        field: "metadata.resourceVersion".into(),
    }
}

/// Whether nothing but the revision differs: such an update is not written, as upstream does not.
pub(super) fn same(new: &Value, before: &Value) -> bool {
    let (Some(new), Some(before)) = (new.as_object(), before.as_object()) else {
        return false;
    };
    let differs = |name: &String| match name.as_str() {
        "metadata" => !same_metadata(new.get("metadata"), before.get("metadata")),
        name => new.get(name) != before.get(name),
    };
    new.len() == before.len() && !new.keys().any(differs)
}

fn same_metadata(new: Option<&Value>, before: Option<&Value>) -> bool {
    let without_revision = |value: Option<&Value>| {
        let mut map = value.and_then(Value::as_object).cloned().unwrap_or_default();
        map.shift_remove("resourceVersion");
        map
    };
    without_revision(new) == without_revision(before)
}

/// Whether it was to be deleted and the last finalizer has let go of it.
fn is_released(resource: &Resource, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let grace = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    metadata["deletionTimestamp"].is_string()
        && grace == 0
        && meta::finalizers(object).next().is_none()
        && !parts::has_spec_finalizers(resource, object)
}
