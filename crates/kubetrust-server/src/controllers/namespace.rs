//! Empties namespaces that are being deleted, then lets them go (`pkg/controller/namespace`).

use std::time::Duration;

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource::{self, Kept, Scope, TABLE};
use kubetrust_api::status::Status;
use tokio::sync::watch;
use tracing::warn;

use super::queue::Queue;
use crate::bootstrap::{AsServer, change_as_server};
use crate::registry::Registry;
use crate::registry::cache::Kind;
use crate::registry::delete::{DeleteOptions, Propagation};
use crate::registry::target::Target;
use crate::stop::told;

/// How long to wait before a namespace is looked at again that something still holds.
const AGAIN: Duration = Duration::from_millis(500);
const FINALIZER: &str = "kubernetes";

pub(super) async fn run(registry: Registry, stop: watch::Receiver<bool>) {
    let mut namespaces = Queue::new(&registry, "namespaces", &stop);
    while let Some((kind, namespace)) = namespaces.change().await {
        let namespace = namespace.value();
        if kind != Kind::Deleted && meta::deletion_timestamp(&namespace).is_some() {
            // Each by itself: one that is held must not hold up the others.
            tokio::spawn(terminate(
                registry.clone(),
                meta::name(&namespace).to_owned(),
                stop.clone(),
            ));
        }
    }
}

async fn terminate(registry: Registry, name: String, mut stop: watch::Receiver<bool>) {
    loop {
        match empty(&registry, &name).await {
            Ok(true) => match finalize(&registry, &name).await {
                Ok(()) => return,
                Err(error) if error.code == 404 => return,
                Err(error) => warn!(namespace = %name, %error, "the namespace could not be finalized"),
            },
            Ok(false) => {}
            Err(error) => warn!(namespace = %name, %error, "the namespace could not be emptied"),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = told(&mut stop) => return,
        }
    }
}

/// Deletes everything in it. Whether nothing is left.
async fn empty(registry: &Registry, name: &str) -> Result<bool, Status> {
    let server = AsServer::default();
    let mut left = 0;
    let mut seen: Vec<&str> = Vec::new();
    for resource in TABLE
        .iter()
        .filter(|resource| resource.scope == Scope::Namespaced && resource.kept == Kept::Stored)
    {
        if seen.contains(&resource.storage) {
            continue;
        }
        seen.push(resource.storage);
        let Some(table) = registry.cache().table(resource.storage) else {
            continue;
        };
        let prefix = [table.prefix().as_ref(), name.as_bytes(), b"/"].concat();
        for (_, object) in table.snapshot(&prefix, None, 0).items {
            let value = object.value();
            let target = Target::object(resource, name, meta::name(&value));
            let writer = server.writer(Timestamp::now());
            // Nothing here will run to its end: pods get no grace where there is no kubelet to give it.
            let options = DeleteOptions {
                grace: Some(0),
                propagation: Some(Propagation::Background),
                ..DeleteOptions::default()
            };
            match registry.delete(&target, writer, &options).await {
                Ok(_) => {}
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        left += table.snapshot(&prefix, None, 0).items.len();
    }
    Ok(left == 0)
}

async fn finalize(registry: &Registry, name: &str) -> Result<(), Status> {
    let namespaces = resource::lookup("", "v1", "namespaces").ok_or_else(Status::no_such_path)?;
    let target = Target {
        subresource: namespaces.subresource("finalize"),
        ..Target::object(namespaces, "", name)
    };
    change_as_server(registry, &target, Timestamp::now(), |old| {
        if old.is_null() {
            return Err(target.not_found());
        }
        let mut namespace = old.clone();
        if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        meta::remove(&mut namespace, "resourceVersion");
        Ok(namespace)
    })
    .await
}
