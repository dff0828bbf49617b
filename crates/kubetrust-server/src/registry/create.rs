//! Creating objects.

use std::sync::Arc;

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource::{Resource, Scope};
use kubetrust_api::status::Status;
use kubetrust_api::{default, strategy, validate};
use kubetrust_store::Expect;
use serde_json::Value;

use super::Registry;
use super::object::Object;
use super::target::Target;
use super::write::{Stored, Writer, generated_name, metadata_mut, new_uid, refuse};
use crate::admission::{Operation, Verb};

/// How many generated names are tried before the client is told to try again.
const NAMES: usize = 8;

impl Registry {
    /// Creates an object from what a client sent, decoded.
    pub async fn create(&self, target: &Target, writer: Writer<'_>, mut object: Value) -> Result<Arc<Object>, Status> {
        place(target, &mut object)?;
        let resource = target.resource;
        let metadata = metadata_mut(&mut object);
        if metadata
            .get("resourceVersion")
            .and_then(Value::as_str)
            .is_some_and(|version| !version.is_empty())
        {
            return Err(Status::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        metadata.shift_remove("managedFields");
        let base = meta::text(&object, "generateName").to_owned();
        let generated = meta::text(&object, "name").is_empty() && !base.is_empty();

        for _ in 0..NAMES {
            let mut object = object.clone();
            if generated {
                metadata_mut(&mut object).insert("name".into(), generated_name(&base).into());
            }
            prepare(resource, writer.now, &mut object);
            match self.create_named(target, writer, object).await {
                Err(status) if generated && status.reason == "AlreadyExists" => {}
                other => return other,
            }
        }
        Err(Status::new(
            409,
            "AlreadyExists",
            format!(
                "{} \"{base}\" already exists, the server was not able to generate a unique name for the object",
                resource.qualified()
            ),
        )
        .retry_after(1))
    }

    async fn create_named(&self, target: &Target, writer: Writer<'_>, object: Value) -> Result<Arc<Object>, Status> {
        let resource = target.resource;
        let name = meta::text(&object, "name").to_owned();
        let named = Target {
            name: name.clone(),
            ..target.clone()
        };
        let mut operation = Operation {
            user: writer.user,
            verb: Verb::Create,
            resource,
            subresource: None,
            namespace: &target.namespace,
            name: &name,
            object,
            old: None,
            dry_run: writer.dry_run,
        };
        writer.admission.mutate(&mut operation).await?;
        refuse(resource, &name, validate::create(resource, &operation.object))?;
        let admitted = writer.admission.validate(operation).await?;
        let exists = || Status::already_exists(resource.group, resource.plural, &name);
        if writer.dry_run {
            self.cache.fresh().await?;
            return match self.cached(&named) {
                Some(_) => Err(exists()),
                None => unstored(admitted.object()),
            };
        }
        match self.store_object(&named, admitted, Expect::Absent).await? {
            Stored::Done(object) => Ok(object),
            Stored::Conflict(_) => Err(exists()),
        }
    }
}

/// The object as it would have been stored, for a dry run: without a revision.
pub(super) fn unstored(object: &Value) -> Result<Arc<Object>, Status> {
    let bytes = super::object::to_stored(object).ok_or_else(|| Status::internal("the object has no metadata"))?;
    Ok(Arc::new(Object::unstored(bytes)))
}

/// What the server writes into a new object. Some defaults are made from the UID, so it is there before them.
pub(crate) fn prepare(resource: &Resource, now: Timestamp, object: &mut Value) {
    strategy::wipe_system_fields(object);
    meta::set(object, "uid", new_uid());
    meta::set(object, "creationTimestamp", meta::time(now));
    default::apply(resource, object);
    strategy::prepare_for_create(resource, object);
}

/// Puts the object into the namespace of the request; 400 where it says another.
fn place(target: &Target, object: &mut Value) -> Result<(), Status> {
    let said = meta::text(object, "namespace").to_owned();
    if target.resource.scope == Scope::Cluster {
        metadata_mut(object).shift_remove("namespace");
        return Ok(());
    }
    if target.namespace.is_empty() {
        return Err(Status::bad_request("an empty namespace may not be set during creation"));
    }
    if !said.is_empty() && said != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata_mut(object).insert("namespace".into(), target.namespace.clone().into());
    Ok(())
}
