//! Creating objects.

use std::sync::Arc;

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource::{Resource, Scope};
use kubetrust_api::status::Status;
use kubetrust_api::{default, strategy, validate};
use kubetrust_auth::user::User;
use kubetrust_store::{Expect, Write};
use serde_json::Value;

use super::Registry;
use super::object::Object;
use super::parts;
use super::services::Claimant;
use super::target::Target;
use super::write::{ATTEMPTS, Stored, Writer, generated_name, modified, new_uid, place, refuse};
use crate::admission::{Mutated, Operation, Verb};

/// How many generated names are tried before the client is told to try again.
const NAMES: usize = 8;

impl Registry {
    /// Creates an object from what a client sent, decoded.
    pub async fn create(&self, target: &Target, writer: Writer<'_>, mut object: Value) -> Result<Arc<Object>, Status> {
        if target.resource.scope == Scope::Namespaced && target.namespace.is_empty() {
            return Err(Status::bad_request("an empty namespace may not be set during creation"));
        }
        place(target, &mut object)?;
        if !meta::resource_version(&object).is_empty() {
            return Err(Status::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let resource = target.resource;
        complete(resource, &mut object);
        let name = meta::name(&object).to_owned();
        let operation = Operation {
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
        let mutated = writer.admission.mutate(operation).await?;
        let base = meta::text(mutated.object(), "generateName").to_owned();
        if base.is_empty() || !meta::name(mutated.object()).is_empty() {
            return self.create_named(target, writer, mutated).await;
        }
        for _ in 0..NAMES {
            let mut named = mutated.clone();
            meta::set(named.object_mut(), "name", generated_name(&base));
            match self.create_named(target, writer, named).await {
                Err(status) if status.reason == "AlreadyExists" => {}
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

    async fn create_named(
        &self,
        target: &Target,
        writer: Writer<'_>,
        mut mutated: Mutated<'_>,
    ) -> Result<Arc<Object>, Status> {
        let resource = target.resource;
        let name = meta::name(mutated.object()).to_owned();
        let named = Target {
            name: name.clone(),
            ..target.clone()
        };
        prepare(resource, writer.user, writer.now, mutated.object_mut())?;
        refuse(resource, &name, validate::create(resource, mutated.object()))?;
        if self.gives(&named) {
            // Few creations need it: the others' futures stay small.
            return Box::pin(self.create_claiming(&named, writer, mutated)).await;
        }
        let created = self.create_claimed(&named, writer, mutated, Vec::new()).await?;
        created.ok_or_else(|| modified(&named))
    }

    /// Creates what is given addresses and ports, with others of them where another writer was faster.
    async fn create_claiming(
        &self,
        named: &Target,
        writer: Writer<'_>,
        mutated: Mutated<'_>,
    ) -> Result<Arc<Object>, Status> {
        let claimant = Claimant {
            user: writer.user,
            now: writer.now,
        };
        for _ in 0..ATTEMPTS {
            let mut claiming = mutated.clone();
            let claims = self.claim(named, claimant, claiming.object_mut(), None).await?;
            if let Some(object) = self.create_claimed(named, writer, claiming, claims).await? {
                return Ok(object);
            }
            self.cache.fresh().await?;
        }
        Err(modified(named))
    }

    /// `None` if another writer has taken what it claims.
    async fn create_claimed(
        &self,
        named: &Target,
        writer: Writer<'_>,
        mutated: Mutated<'_>,
        claims: Vec<Write>,
    ) -> Result<Option<Arc<Object>>, Status> {
        let (resource, name) = (named.resource, named.name.clone());
        let admitted = writer.admission.validate(mutated.named(&name)).await?;
        let exists = || Status::already_exists(resource.group, resource.plural, &name);
        if writer.dry_run {
            self.cache.fresh().await?;
            return match self.cached(named) {
                Some(_) => Err(exists()),
                None => unstored(admitted.object()).map(Some),
            };
        }
        match self.store_object(named, admitted, Expect::Absent, claims).await? {
            Stored::Done(object) => Ok(Some(object)),
            Stored::Taken => Ok(None),
            Stored::Conflict(_) => Err(exists()),
        }
    }
}

/// The object as it would have been stored, for a dry run: without a revision.
pub(super) fn unstored(object: &Value) -> Result<Arc<Object>, Status> {
    let bytes = super::object::to_stored(object).ok_or_else(|| Status::internal("the object has no metadata"))?;
    Ok(Arc::new(Object::unstored(bytes)))
}

/// What a new object is before admission: without what only the server writes, and with the defaults.
pub(crate) fn complete(resource: &Resource, object: &mut Value) {
    strategy::wipe_system_fields(object);
    default::apply(resource, object);
}

/// What the server writes into a new object that has its name. A strategy may need the UID, so it is there before it.
pub(crate) fn prepare(resource: &Resource, user: &User, now: Timestamp, object: &mut Value) -> Result<(), Status> {
    meta::set(object, "uid", new_uid()?);
    meta::set(object, "creationTimestamp", meta::time(now));
    parts::prepare_for_create(resource, user, object);
    Ok(())
}
