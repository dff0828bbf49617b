//! What all writes share: who writes, and how an admitted object reaches the store.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource::{Resource, Scope};
use kubetrust_api::status::{Cause, Status};
use kubetrust_auth::random;
use kubetrust_auth::user::User;
use kubetrust_store::{Change, Expect, Outcome, Revision, Write};
use serde_json::Value;

use super::Registry;
use super::cache::status_of;
use super::convert;
use super::create::{complete, prepare};
use super::object::{Object, to_stored};
use super::target::Target;
use crate::admission::{Admission, Admitted};

/// Largest object that is stored, in bytes: what etcd takes by default.
pub const MAX_OBJECT: usize = 1_572_864;
/// How often a write that meets another one is tried, when it may go over whatever it finds.
pub const ATTEMPTS: usize = 32;

/// Who writes, and under which rules.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Who asks.
    pub user: &'a User,
    /// What it has to pass.
    pub admission: &'a Admission,
    /// When.
    pub now: Timestamp,
    /// Whether everything is done but the last step.
    pub dry_run: bool,
}

/// How a write to the store ended.
#[derive(Debug)]
pub(super) enum Stored {
    /// It is durable.
    Done(Arc<Object>),
    /// Something else is there: this revision, or nothing.
    Conflict(Option<Revision>),
    /// What was to be written with it meets what another writer has left there.
    Taken,
}

impl Registry {
    /// Stores an object under a check, with what else goes into its transaction, and waits until reads show it.
    pub(super) async fn store_object(
        &self,
        target: &Target,
        admitted: Admitted,
        expect: Expect,
        with: Vec<Write>,
    ) -> Result<Stored, Status> {
        let stored = convert::to_stored(target.resource, admitted.into_object());
        let bytes = to_stored(&stored).ok_or_else(|| Status::internal("the object has no metadata"))?;
        if bytes.len() > MAX_OBJECT {
            return Err(Status::too_large(format!(
                "Request entity too large: the object has {} bytes, the limit is {MAX_OBJECT}",
                bytes.len()
            )));
        }
        let plain = Bytes::from(bytes);
        let key = self.key(target);
        let value = self.cache.seal(target.resource.storage, &key, plain.clone())?;
        let change = Change::Put { value, lease: None };
        let alone = with.is_empty();
        match self.commit(target.resource, key.clone(), expect, change, with).await? {
            Ok(revision) => {
                let object = Object::from_stored(&plain, revision);
                let object = Arc::new(object.ok_or_else(|| Status::internal("the object has no metadata"))?);
                self.show(target, key, revision, Some(Arc::clone(&object)), alone).await;
                Ok(Stored::Done(object))
            }
            Err(current) if holds(expect, current) => Ok(Stored::Taken),
            Err(current) => Ok(Stored::Conflict(current)),
        }
    }

    /// Removes an object under a check, with what goes with it. The revision of the removal, or what is there instead.
    pub(super) async fn remove(
        &self,
        target: &Target,
        expect: Revision,
        object: &Value,
        _admitted: Admitted,
    ) -> Result<Result<Revision, Option<Revision>>, Status> {
        let key = self.key(target);
        let with = self.release_all(target, object)?;
        let (alone, expect) = (with.is_empty(), Expect::Modified(expect));
        let outcome = self
            .commit(target.resource, key.clone(), expect, Change::Delete, with)
            .await?;
        if let Ok(revision) = outcome {
            self.show(target, key, revision, None, alone).await;
        }
        Ok(outcome)
    }

    /// Whoever is answered finds the write in the cache; it is durable even where this takes too long. What was not alone
    /// in its transaction is not shown in part: the store tells all of it.
    async fn show(&self, target: &Target, key: Bytes, revision: Revision, object: Option<Arc<Object>>, alone: bool) {
        if alone {
            self.cache.wrote(target.resource.storage, key, revision, object);
        }
        let _ = self.cache.wait_for(revision).await;
    }

    /// The write of a new object that the server makes itself, with the status that it gives it.
    pub(crate) fn new_object(
        &self,
        target: &Target,
        user: &User,
        now: Timestamp,
        mut object: Value,
    ) -> Result<Write, Status> {
        let status = object.get("status").cloned();
        complete(target.resource, &mut object);
        prepare(target.resource, user, now, &mut object)?;
        if let Some(status) = status {
            object["status"] = status;
        }
        let text = to_stored(&object).ok_or_else(|| Status::internal("the object has no metadata"))?;
        let key = self.key(target);
        let value = self.cache.seal(target.resource.storage, &key, text.into())?;
        Ok(Write {
            key,
            expect: Some(Expect::Absent),
            change: Some(Change::Put { value, lease: None }),
        })
    }

    async fn commit(
        &self,
        resource: &Resource,
        key: Bytes,
        expect: Expect,
        change: Change,
        with: Vec<Write>,
    ) -> Result<Result<Revision, Option<Revision>>, Status> {
        let operation = match (&expect, &change) {
            (_, Change::Delete) => "delete",
            (Expect::Absent, _) => "create",
            _ => "update",
        };
        let write = Write {
            key,
            expect: Some(expect),
            change: Some(change),
        };
        let begun = Instant::now();
        let writes = std::iter::once(write).chain(with).collect();
        let outcome = self.store().commit(writes).await;
        self.times.committed(operation, resource, begun.elapsed());
        match outcome.map_err(|error| status_of(&error))? {
            Outcome::Committed(revision) => Ok(Ok(revision)),
            Outcome::Conflict { current, .. } => Ok(Err(current.into_iter().next().flatten().map(|kv| kv.modified))),
        }
    }
}

/// Whether the check of the object itself would have held.
fn holds(expect: Expect, current: Option<Revision>) -> bool {
    match expect {
        Expect::Absent => current.is_none(),
        Expect::Modified(revision) => current == Some(revision),
    }
}

/// 409 for a change of something that has changed since.
pub(super) fn modified(target: &Target) -> Status {
    target.conflict("the object has been modified; please apply your changes to the latest version and try again")
}

/// 422 with these faults, or nothing.
pub(crate) fn refuse(resource: &Resource, name: &str, faults: Vec<Cause>) -> Result<(), Status> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(resource.group, resource.kind, name, faults))
    }
}

/// A random UID.
pub(crate) fn new_uid() -> Result<String, Status> {
    random::uuid().map_err(|error| Status::internal(error.to_string()))
}

/// Letters and digits that make no words and are not mistaken for each other (`k8s.io/apimachinery/pkg/util/rand`).
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// Longest base of a generated name, in bytes.
const MAX_BASE: usize = 63 - SUFFIX_LENGTH;

/// A name from `generateName`.
pub(crate) fn generated_name(base: &str) -> String {
    let mut end = base.len().min(MAX_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = [0_u8; SUFFIX_LENGTH];
    // Without randomness there is no UID either, and nothing is created.
    let _ = random::fill(&mut bytes);
    let suffix: String = bytes
        .iter()
        .map(|byte| char::from(SUFFIX[usize::from(*byte) % SUFFIX.len()]))
        .collect();
    format!("{}{suffix}", &base[..end])
}

/// Puts an object into the namespace of the request; 400 where it says another.
/// (`rest.EnsureObjectNamespaceMatchesRequestNamespace`). Which manager wrote which field is not kept.
pub(super) fn place(target: &Target, object: &mut Value) -> Result<(), Status> {
    meta::remove(object, "managedFields");
    if target.resource.scope == Scope::Cluster {
        meta::remove(object, "namespace");
        return Ok(());
    }
    match meta::namespace(object) {
        "" => meta::set(object, "namespace", target.namespace.clone()),
        said if said == target.namespace => {}
        _ => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    Ok(())
}
