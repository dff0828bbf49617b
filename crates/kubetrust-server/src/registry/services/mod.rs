//! What services are given: cluster IPs and node ports (`pkg/registry/core/service`).
//!
//! A cluster IP is taken by the object `IPAddress` of its name, which is written and removed in one transaction with its
//! service: none is lost, and none is given twice, whatever server asks. Node ports have no such object. There the
//! services themselves are the record, and a key that every transaction moves on that takes a port puts these in order:
//! whoever has decided by services that another server has added to meanwhile decides again. Upstream's bitmap of ports
//! is such a key too, but has to be repaired where a server stops between bitmap and service.

mod families;
mod range;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use kubetrust_api::resource;
use kubetrust_api::status::{Cause, Status};
use kubetrust_api::validate::field::{self, Path};
use kubetrust_auth::random::NoRandomness;
use kubetrust_auth::user::User;
use kubetrust_store::{Change, Expect, Write};
use parking_lot::RwLock;
use serde_json::{Value, json};

use super::Registry;
use super::cache::{self, status_of};
use super::target::Target;
use super::write::refuse;
pub use range::{AddressRange, BadRange, Family, PortRange};

/// The range that is taken where none is said (`DefaultServiceIPCIDR`).
pub const DEFAULT_RANGE: &str = "10.0.0.0/24";
/// The storage path of services.
pub(crate) const STORAGE: &str = "services/specs";
/// Which transaction took node ports last, below the root. No kube-apiserver has this key.
const PORTS_TURN: &[u8] = b"ranges/kubetrust-servicenodeports";

/// The addresses and ports of a cluster's services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    addresses: Vec<AddressRange>,
    ports: PortRange,
}

impl Ranges {
    /// One range of addresses, or one of each family: the first is what a service has that does not choose.
    pub fn new(addresses: Vec<AddressRange>, ports: PortRange) -> Result<Self, BadRange> {
        if addresses.is_empty() || !range::differ(addresses.iter().map(AddressRange::family)) {
            return Err(BadRange::Families);
        }
        Ok(Self { addresses, ports })
    }

    /// The address of the Service `kubernetes`.
    #[must_use]
    pub fn first(&self) -> Option<IpAddr> {
        self.addresses.first().map(AddressRange::first)
    }

    fn families(&self) -> Vec<Family> {
        self.addresses.iter().map(AddressRange::family).collect()
    }

    fn of(&self, family: Family) -> Option<&AddressRange> {
        self.addresses.iter().find(|range| range.family() == family)
    }
}

/// What services hold now, fed by the cache before readers of that revision go on.
#[derive(Debug, Default)]
pub struct Held(RwLock<Index>);

#[derive(Debug, Default)]
struct Index {
    of: HashMap<Bytes, Holding>,
    addresses: HashMap<IpAddr, Bytes>,
    ports: HashMap<u16, Bytes>,
}

/// What one service holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Holding {
    addresses: Vec<IpAddr>,
    ports: HashSet<u16>,
}

impl Holding {
    fn of(service: &Value) -> Self {
        let addresses = list(service, "clusterIPs").filter_map(|ip| ip.parse().ok());
        let ports = ports(service).map(|port| number(&port["nodePort"]));
        let health = number(&service["spec"]["healthCheckNodePort"]);
        Self {
            addresses: addresses.collect(),
            ports: ports.chain([health]).filter(|port| *port != 0).collect(),
        }
    }
}

impl Held {
    /// Takes a change of the cache over.
    pub fn apply(&self, change: &cache::Change) {
        let now = match change.kind {
            cache::Kind::Deleted => Holding::default(),
            _ => Holding::of(&change.object.parse()),
        };
        self.0.write().put(&change.key, now);
    }
}

impl Index {
    fn put(&mut self, key: &Bytes, now: Holding) {
        let before = self.of.remove(key).unwrap_or_default();
        for address in &before.addresses {
            if self.addresses.get(address) == Some(key) {
                self.addresses.remove(address);
            }
        }
        for port in &before.ports {
            if self.ports.get(port) == Some(key) {
                self.ports.remove(port);
            }
        }
        if now == Holding::default() {
            return;
        }
        self.addresses
            .extend(now.addresses.iter().map(|address| (*address, key.clone())));
        self.ports.extend(now.ports.iter().map(|port| (*port, key.clone())));
        self.of.insert(key.clone(), now);
    }
}

/// Whose service is written, and when.
#[derive(Clone, Copy)]
pub(super) struct Claimant<'a> {
    pub(super) user: &'a User,
    pub(super) now: Timestamp,
}

impl Registry {
    /// Whether this is given addresses and ports.
    pub(super) fn gives(&self, target: &Target) -> bool {
        self.ranges.is_some() && target.resource.storage == STORAGE && target.subresource.is_none()
    }

    /// Gives a service what it lacks, and says what else has to be written so that it is its alone. Nothing for what is
    /// no service, or where services get nothing.
    pub(super) async fn claim(
        &self,
        target: &Target,
        claimant: Claimant<'_>,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<Vec<Write>, Status> {
        let Some(ranges) = self.ranges.as_ref().filter(|_| self.gives(target)) else {
            return Ok(Vec::new());
        };
        let before = old.map(Holding::of).unwrap_or_default();
        let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let refused = |faults| refuse(target.resource, &name, faults);
        families::settle(new, old, &ranges.families()).or_else(refused)?;
        self.give_addresses(ranges, target, new, &before)?;
        let mut writes = Vec::new();
        if takes_ports(new, &before) {
            let key = Bytes::from([self.root.as_ref(), PORTS_TURN].concat());
            let (turn, _) = self.store().get(&key).await.map_err(|error| status_of(&error))?;
            // What took the last turn is among the services that are decided by.
            self.cache.fresh().await?;
            self.give_ports(ranges, target, new, old, &before)?;
            writes.push(Write {
                key,
                expect: Some(turn.map_or(Expect::Absent, |turn| Expect::Modified(turn.modified))),
                change: Some(Change::Put {
                    value: self.key(target),
                    lease: None,
                }),
            });
        }
        let after = Holding::of(new);
        for address in after
            .addresses
            .iter()
            .filter(|address| !before.addresses.contains(address))
        {
            writes.push(self.address_object(target, claimant, *address)?);
        }
        writes.extend(self.release(target, &before, &after)?);
        Ok(writes)
    }

    /// What has to be removed together with a service.
    pub(super) fn release_all(&self, target: &Target, service: &Value) -> Result<Vec<Write>, Status> {
        if !self.gives(target) {
            return Ok(Vec::new());
        }
        self.release(target, &Holding::of(service), &Holding::default())
    }

    /// The removal of the objects of addresses that a service no longer has.
    fn release(&self, target: &Target, before: &Holding, after: &Holding) -> Result<Vec<Write>, Status> {
        let mut writes = Vec::new();
        for address in before
            .addresses
            .iter()
            .filter(|address| !after.addresses.contains(address))
        {
            let place = address_target(*address)?;
            let Some(object) = self.cached(&place) else { continue };
            if object.value()["spec"]["parentRef"] == parent(target) {
                writes.push(Write {
                    key: self.key(&place),
                    expect: Some(Expect::Modified(object.revision)),
                    change: Some(Change::Delete),
                });
            }
        }
        Ok(writes)
    }

    fn give_addresses(
        &self,
        ranges: &Ranges,
        target: &Target,
        new: &mut Value,
        before: &Holding,
    ) -> Result<(), Status> {
        if !needs_addresses(new) {
            return Ok(());
        }
        let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let families: Vec<Family> = list(new, "ipFamilies").filter_map(Family::named).collect();
        let mut addresses: Vec<String> = list(new, "clusterIPs").map(str::to_owned).collect();
        let shown = Value::from(addresses.clone());
        for (index, family) in families.into_iter().enumerate() {
            let asked = addresses.get(index).and_then(|ip| ip.parse::<IpAddr>().ok());
            // A family that the cluster no longer has.
            let Some(range) = ranges.of(family) else { continue };
            match asked {
                Some(asked) if before.addresses.contains(&asked) => {}
                Some(asked) => {
                    let why = if !range.contains(asked) {
                        format!(
                            "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {range}"
                        )
                    } else if self.is_taken(target, asked) {
                        "provided IP is already allocated".to_owned()
                    } else {
                        continue;
                    };
                    let why = format!("failed to allocate IP {asked}: {why}");
                    let fault = field::invalid(&Path::new("spec.clusterIPs"), shown, &why);
                    return refuse(target.resource, &name, vec![fault]);
                }
                None => {
                    let next = range
                        .next(|address| !self.is_taken(target, address))
                        .map_err(no_randomness)?;
                    let next = next.ok_or_else(|| {
                        Status::internal(format!(
                            "failed to allocate a serviceIP for Service {name:?}: range is full"
                        ))
                    })?;
                    addresses.truncate(index);
                    addresses.push(next.to_string());
                }
            }
        }
        if let Some(first) = addresses.first() {
            new["spec"]["clusterIP"] = first.clone().into();
            new["spec"]["clusterIPs"] = addresses.into();
        }
        Ok(())
    }

    /// Whether an object says so, or another service, which may have come without one.
    fn is_taken(&self, target: &Target, address: IpAddr) -> bool {
        let owner = self.held.0.read().addresses.get(&address).cloned();
        owner.is_some_and(|owner| owner != self.key(target))
            || address_target(address).is_ok_and(|place| self.cached(&place).is_some())
    }

    fn address_object(&self, target: &Target, claimant: Claimant<'_>, address: IpAddr) -> Result<Write, Status> {
        let place = address_target(address)?;
        let object = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {"name": place.name, "labels": {
                "ipaddress.kubernetes.io/ip-family": Family::of(address).name(),
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            }},
            "spec": {"parentRef": parent(target)},
        });
        self.new_object(&place, claimant.user, claimant.now, object)
    }

    fn give_ports(
        &self,
        ranges: &Ranges,
        target: &Target,
        new: &mut Value,
        old: Option<&Value>,
        before: &Holding,
    ) -> Result<(), Status> {
        let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let (all, me) = (allocates_ports(new), self.key(target));
        let index = self.held.0.read();
        let is_taken = |port: u16| index.ports.get(&port).is_some_and(|owner| *owner != me);
        let refused = |port: u16| {
            if !ranges.ports.contains(port) {
                let valid = ranges.ports;
                Some(format!(
                    "provided port is not in the valid range. The range of valid ports is {valid}"
                ))
            } else if is_taken(port) {
                Some("provided port is already allocated".to_owned())
            } else {
                None
            }
        };
        let mut mine: HashSet<u16> = Holding::of(new).ports;
        // One port of a new service under two protocols is one node port.
        let mut by_port: HashMap<i64, u16> = HashMap::new();
        if old.is_none() {
            let asked = ports(new).filter(|port| number(&port["nodePort"]) != 0);
            by_port.extend(asked.map(|port| (port["port"].as_i64().unwrap_or_default(), number(&port["nodePort"]))));
        }
        let full = |what: &str| Status::internal(format!("failed to allocate a {what}: range is full"));
        for (at, port) in new
            .pointer_mut("/spec/ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .enumerate()
        {
            let asked = number(&port["nodePort"]);
            if asked != 0 {
                if before.ports.contains(&asked) {
                    continue;
                }
                if let Some(why) = refused(asked) {
                    let path = Path::new("spec.ports");
                    let fault: Cause = field::invalid(&path.index(at).child("nodePort"), i64::from(asked), &why);
                    return refuse(target.resource, &name, vec![fault]);
                }
                continue;
            }
            if !all {
                continue;
            }
            let service_port = port["port"].as_i64().unwrap_or_default();
            let next = match by_port.get(&service_port) {
                Some(shared) => *shared,
                None => ranges
                    .ports
                    .next(|port| !mine.contains(&port) && !is_taken(port))
                    .map_err(no_randomness)?
                    .ok_or_else(|| full("nodePort"))?,
            };
            mine.insert(next);
            if old.is_none() {
                by_port.insert(service_port, next);
            }
            port["nodePort"] = next.into();
        }
        if needs_health_port(new) {
            let asked = number(&new["spec"]["healthCheckNodePort"]);
            if asked == 0 {
                let next = ranges.ports.next(|port| !mine.contains(&port) && !is_taken(port));
                let next = next
                    .map_err(no_randomness)?
                    .ok_or_else(|| full("HealthCheck NodePort"))?;
                new["spec"]["healthCheckNodePort"] = next.into();
            } else if let Some(why) = refused(asked).filter(|_| !before.ports.contains(&asked)) {
                return Err(Status::internal(format!(
                    "failed to allocate requested HealthCheck NodePort {asked}: {why}"
                )));
            }
        }
        Ok(())
    }
}

fn no_randomness(error: NoRandomness) -> Status {
    Status::internal(error.to_string())
}

/// Whether a service is to have node ports that it has not.
fn takes_ports(new: &Value, before: &Holding) -> bool {
    let reachable = matches!(text(new, "type"), "NodePort" | "LoadBalancer");
    let all = allocates_ports(new);
    let lacks = |port: u16, wanted: bool| {
        if port == 0 {
            wanted
        } else {
            !before.ports.contains(&port)
        }
    };
    reachable
        && (ports(new).any(|port| lacks(number(&port["nodePort"]), all))
            || (needs_health_port(new) && lacks(number(&new["spec"]["healthCheckNodePort"]), true)))
}

fn allocates_ports(service: &Value) -> bool {
    text(service, "type") == "NodePort" || service["spec"]["allocateLoadBalancerNodePorts"] != json!(false)
}

fn needs_health_port(service: &Value) -> bool {
    text(service, "type") == "LoadBalancer" && text(service, "externalTrafficPolicy") == "Local"
}

fn needs_addresses(service: &Value) -> bool {
    text(service, "type") != "ExternalName" && !is_headless(service)
}

fn is_headless(service: &Value) -> bool {
    list(service, "clusterIPs").next() == Some("None") || text(service, "clusterIP") == "None"
}

fn text<'a>(service: &'a Value, field: &str) -> &'a str {
    service["spec"][field].as_str().unwrap_or_default()
}

fn list<'a>(service: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    let items = service["spec"][field].as_array();
    items.into_iter().flatten().filter_map(Value::as_str)
}

fn ports(service: &Value) -> impl Iterator<Item = &Value> {
    service["spec"]["ports"].as_array().into_iter().flatten()
}

/// A port; 0 where there is none.
fn number(value: &Value) -> u16 {
    value
        .as_u64()
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or_default()
}

/// `spec.parentRef` of a service's addresses.
fn parent(service: &Target) -> Value {
    json!({"group": "", "resource": "services", "namespace": service.namespace, "name": service.name})
}

fn address_target(address: IpAddr) -> Result<Target, Status> {
    let addresses = resource::lookup("networking.k8s.io", "v1", "ipaddresses").ok_or_else(Status::no_such_path)?;
    Ok(Target::object(addresses, "", &address.to_string()))
}
