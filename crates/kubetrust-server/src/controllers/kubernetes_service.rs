//! The Service `default/kubernetes`, and behind it every API server that lives: its `Endpoints` and its `EndpointSlice`
//! (`pkg/controlplane/controller/kubernetesservice`, `pkg/controlplane/reconcilers`).
//!
//! Each server keeps its address under a lease; whoever looks next writes down which of them are left.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kubetrust_api::resource;
use kubetrust_api::status::Status;
use kubetrust_store::{Change, LeaseId, Outcome, Range, Write};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::bootstrap::{AsServer, change_as_server};
use crate::registry::Registry;
use crate::registry::cache::status_of;
use crate::registry::target::Target;
use crate::stop::told;

/// How often a server says that it lives (`DefaultEndpointReconcilerInterval`).
const INTERVAL: Duration = Duration::from_secs(10);
/// How long it is believed (`DefaultEndpointReconcilerTTL`).
const BELIEVED: Duration = Duration::from_secs(15);
/// How long a server that stops tries to take itself away.
const LEAVING: Duration = Duration::from_secs(1);
const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
/// Where the servers' addresses are, below the root.
const LEASES: &str = "masterleases/";
const PORT: u16 = 443;

/// One server's part in it.
struct Servers {
    registry: Registry,
    /// Where clients reach this one.
    address: SocketAddr,
    service_address: IpAddr,
    lease: Option<LeaseId>,
}

/// Says every few seconds that this server lives, and when it stops that it has gone.
pub(super) async fn run(
    registry: Registry,
    address: SocketAddr,
    service_address: Option<IpAddr>,
    mut stop: watch::Receiver<bool>,
) {
    let Some(service_address) = service_address else { return };
    if address.ip().is_unspecified() {
        warn!("without --advertise-address, clients in the cluster are not told where this server is");
    }
    let mut servers = Servers {
        registry,
        address,
        service_address,
        lease: None,
    };
    loop {
        if let Err(error) = servers.show(Timestamp::now()).await {
            warn!(%error, "the Service kubernetes can't be brought up to date");
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = told(&mut stop) => break,
        }
    }
    match tokio::time::timeout(LEAVING, servers.leave(Timestamp::now())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "this server could not be taken out of the Service kubernetes"),
        Err(_) => warn!(after = ?LEAVING, "this server could not be taken out of the Service kubernetes"),
    }
}

impl Servers {
    async fn show(&mut self, now: Timestamp) -> Result<(), Status> {
        self.ensure_service(now).await?;
        if self.address.ip().is_unspecified() {
            return Ok(());
        }
        self.renew().await?;
        let living = self.living().await?;
        self.write_down(&living, now).await
    }

    /// Takes this server away, so that nobody is sent to it until its lease ends.
    async fn leave(&mut self, now: Timestamp) -> Result<(), Status> {
        let Some(lease) = self.lease.take() else { return Ok(()) };
        self.registry
            .store()
            .revoke(lease)
            .await
            .map_err(|error| status_of(&error))?;
        let living = self.living().await?;
        self.write_down(&living, now).await
    }

    /// Makes the service, unless it is there; one that is there stays as it is.
    async fn ensure_service(&self, now: Timestamp) -> Result<(), Status> {
        let target = target("", "v1", "services")?;
        if self.registry.cached(&target).is_some() {
            return Ok(());
        }
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": NAME, "namespace": NAMESPACE, "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": self.service_address.to_string(),
                "ipFamilyPolicy": "SingleStack",
                "sessionAffinity": "None",
                "ports": [{"name": "https", "protocol": "TCP", "port": PORT, "targetPort": self.address.port()}],
            },
        });
        self.create(&target, now, service).await
    }

    /// Puts this server's address under a new lease: the key leaves the one before, which ends with nothing.
    async fn renew(&mut self) -> Result<(), Status> {
        let store = self.registry.store();
        let lease = store.grant(BELIEVED).await.map_err(|error| status_of(&error))?;
        let address = self.address.ip().to_string();
        let value = json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {}, "subsets": [{"addresses": [{"ip": address}]}]});
        let write = Write {
            key: Bytes::from(format!("{}{address}", self.leases())),
            expect: None,
            change: Some(Change::Put {
                value: value.to_string().into(),
                lease: Some(lease),
            }),
        };
        match store.commit(vec![write]).await.map_err(|error| status_of(&error))? {
            Outcome::Committed(_) => {}
            Outcome::Conflict { .. } => return Err(Status::internal("a write without a check met a conflict")),
        }
        if self.lease.replace(lease).is_none() {
            info!(%address, "clients in the cluster are told of this server");
        }
        Ok(())
    }

    /// The addresses of all servers that live. A kube-apiserver's keys have the same names, whatever their content.
    async fn living(&self) -> Result<Vec<IpAddr>, Status> {
        let prefix = self.leases();
        let page = self.registry.store().range(Range::prefix(prefix.clone())).await;
        let page = page.map_err(|error| status_of(&error))?;
        let mut living: Vec<IpAddr> = page
            .items
            .iter()
            .filter_map(|item| std::str::from_utf8(item.key.get(prefix.len()..)?).ok()?.parse().ok())
            .collect();
        living.sort_unstable();
        Ok(living)
    }

    fn leases(&self) -> String {
        format!("{}{LEASES}", self.registry.root())
    }

    async fn write_down(&self, living: &[IpAddr], now: Timestamp) -> Result<(), Status> {
        let endpoints = endpoints(living, self.address.port());
        self.put(&target("", "v1", "endpoints")?, now, endpoints).await?;
        let slice = slice(living, self.address.port());
        self.put(&target("discovery.k8s.io", "v1", "endpointslices")?, now, slice)
            .await
    }

    /// Makes this object be there, with these fields as they are here.
    async fn put(&self, target: &Target, now: Timestamp, wanted: Value) -> Result<(), Status> {
        self.registry.cache().fresh().await?;
        let Some(found) = self.registry.cached(target) else {
            return self.create(target, now, wanted).await;
        };
        if merged(&found.value(), &wanted) == *found.value() {
            return Ok(());
        }
        change_as_server(&self.registry, target, now, |old| {
            if old.is_null() {
                return Err(target.not_found());
            }
            let mut new = merged(old, &wanted);
            kubetrust_api::meta::remove(&mut new, "resourceVersion");
            Ok(new)
        })
        .await
    }

    /// Creates an object; that another server was faster is no error.
    async fn create(&self, target: &Target, now: Timestamp, object: Value) -> Result<(), Status> {
        let server = AsServer::default();
        let writer = server.writer(now);
        match self.registry.create(target, writer, object).await {
            Err(status) if status.reason != "AlreadyExists" => Err(status),
            _ => Ok(()),
        }
    }
}

fn target(group: &str, version: &str, plural: &str) -> Result<Target, Status> {
    let found = resource::lookup(group, version, plural).ok_or_else(Status::no_such_path)?;
    Ok(Target::object(found, NAMESPACE, NAME))
}

fn endpoints(living: &[IpAddr], port: u16) -> Value {
    let addresses: Vec<Value> = living.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let subsets = if living.is_empty() {
        json!([])
    } else {
        json!([{"addresses": addresses, "ports": ports}])
    };
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": subsets,
    })
}

/// Of the family of the first address; a slice has one.
fn slice(living: &[IpAddr], port: u16) -> Value {
    let v6 = !living.is_empty() && living.iter().all(IpAddr::is_ipv6);
    let endpoints: Vec<Value> = living
        .iter()
        .filter(|ip| ip.is_ipv6() == v6)
        .map(|ip| json!({"addresses": [ip.to_string()], "conditions": {"ready": true}}))
        .collect();
    let ports = if living.is_empty() {
        json!([])
    } else {
        json!([{"name": "https", "port": port, "protocol": "TCP"}])
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": if v6 { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": ports,
    })
}

/// What was found, with the labels and the content that are wanted.
fn merged(found: &Value, wanted: &Value) -> Value {
    let mut merged = found.clone();
    for (name, value) in wanted.as_object().into_iter().flatten() {
        if name == "metadata" {
            for (label, text) in value["labels"].as_object().into_iter().flatten() {
                merged["metadata"]["labels"][label] = text.clone();
            }
        } else {
            merged[name] = value.clone();
        }
    }
    merged
}
