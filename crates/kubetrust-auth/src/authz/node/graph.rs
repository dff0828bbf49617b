//! Which node leads to what. Every question is a look-up: by the thing that is asked for, then by the node.

use std::collections::{BTreeSet, HashMap};

/// What a pod can refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
    ServiceAccount,
    ResourceClaim,
    /// A persistent volume claim.
    Claim,
}

/// A namespaced object that something refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A pod, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    /// Empty until it is scheduled.
    pub(super) node: String,
    pub(super) references: BTreeSet<Reference>,
}

/// A persistent volume that is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) claim: Reference,
    pub(super) secrets: Vec<Reference>,
}

/// A change to take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    Pod { namespace: String, name: String, pod: Pod },
    Volume { name: String, volume: Option<Volume> },
    Attachment { name: String, node: String },
    Slice { name: String, node: String },
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Referred(Kind),
    Pod,
    /// A persistent volume.
    Volume,
    Attachment,
    Slice,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    /// By namespace and name.
    pods: HashMap<(String, String), Pod>,
    /// How many pods on which nodes refer to a thing.
    referred: HashMap<Reference, HashMap<String, usize>>,
    volumes: HashMap<String, Volume>,
    /// The volumes that need a secret.
    secret_volumes: HashMap<Reference, BTreeSet<String>>,
    attachments: HashMap<String, String>,
    slices: HashMap<String, String>,
}

impl Graph {
    pub(super) fn put(&mut self, feed: Feed) {
        match feed {
            Feed::Pod { namespace, name, pod } => self.put_pod(namespace, name, pod),
            Feed::Volume { name, volume } => self.put_volume(name, volume),
            Feed::Attachment { name, node } => put_node(&mut self.attachments, name, node),
            Feed::Slice { name, node } => put_node(&mut self.slices, name, node),
        }
    }

    pub(super) fn delete(&mut self, group: &str, plural: &str, namespace: &str, name: &str) -> bool {
        match (group, plural) {
            ("", "pods") => self.delete_pod(namespace, name),
            ("", "persistentvolumes") => self.delete_volume(name),
            ("storage.k8s.io", "volumeattachments") => drop(self.attachments.remove(name)),
            ("resource.k8s.io", "resourceslices") => drop(self.slices.remove(name)),
            _ => return false,
        }
        true
    }

    fn put_pod(&mut self, namespace: String, name: String, pod: Pod) {
        self.delete_pod(&namespace, &name);
        if pod.node.is_empty() {
            return;
        }
        for reference in &pod.references {
            let nodes = self.referred.entry(reference.clone()).or_default();
            *nodes.entry(pod.node.clone()).or_default() += 1;
        }
        self.pods.insert((namespace, name), pod);
    }

    fn delete_pod(&mut self, namespace: &str, name: &str) {
        let Some(pod) = self.pods.remove(&(namespace.to_owned(), name.to_owned())) else {
            return;
        };
        for reference in &pod.references {
            let Some(nodes) = self.referred.get_mut(reference) else {
                continue;
            };
            if let Some(count) = nodes.get_mut(&pod.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&pod.node);
                }
            }
            if nodes.is_empty() {
                self.referred.remove(reference);
            }
        }
    }

    fn put_volume(&mut self, name: String, volume: Option<Volume>) {
        self.delete_volume(&name);
        let Some(volume) = volume else { return };
        for secret in &volume.secrets {
            self.secret_volumes
                .entry(secret.clone())
                .or_default()
                .insert(name.clone());
        }
        self.volumes.insert(name, volume);
    }

    fn delete_volume(&mut self, name: &str) {
        let Some(volume) = self.volumes.remove(name) else {
            return;
        };
        for secret in &volume.secrets {
            let Some(volumes) = self.secret_volumes.get_mut(secret) else {
                continue;
            };
            volumes.remove(name);
            if volumes.is_empty() {
                self.secret_volumes.remove(secret);
            }
        }
    }

    /// Whether a thing concerns a node.
    pub(super) fn leads(&self, node: &str, target: Target, namespace: &str, name: &str) -> bool {
        match target {
            Target::Attachment | Target::Slice | Target::Volume if !namespace.is_empty() => false,
            Target::Attachment => self.attachments.get(name).is_some_and(|own| own == node),
            Target::Slice => self.slices.get(name).is_some_and(|own| own == node),
            Target::Volume => self.volume_leads(node, name),
            Target::Pod => self
                .pods
                .get(&(namespace.to_owned(), name.to_owned()))
                .is_some_and(|pod| pod.node == node),
            Target::Referred(kind) => {
                let reference = Reference {
                    kind,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                };
                self.referred_leads(node, &reference)
                    || self
                        .secret_volumes
                        .get(&reference)
                        .is_some_and(|volumes| volumes.iter().any(|volume| self.volume_leads(node, volume)))
            }
        }
    }

    fn volume_leads(&self, node: &str, name: &str) -> bool {
        self.volumes
            .get(name)
            .is_some_and(|volume| self.referred_leads(node, &volume.claim))
    }

    fn referred_leads(&self, node: &str, reference: &Reference) -> bool {
        self.referred
            .get(reference)
            .is_some_and(|nodes| nodes.contains_key(node))
    }

    /// The nodes that have anything.
    pub(super) fn nodes(&self) -> BTreeSet<String> {
        let pods = self.pods.values().map(|pod| &pod.node);
        pods.chain(self.attachments.values())
            .chain(self.slices.values())
            .cloned()
            .collect()
    }
}

fn put_node(nodes: &mut HashMap<String, String>, name: String, node: String) {
    if node.is_empty() {
        nodes.remove(&name);
    } else {
        nodes.insert(name, node);
    }
}
