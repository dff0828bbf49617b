//! `kube-system/extension-apiserver-authentication`: what an extension server must know to believe us and our clients
//! (`pkg/controlplane/controller/clusterauthenticationtrust`).

use jiff::Timestamp;
use kubetrust_api::meta;
use kubetrust_api::resource;
use kubetrust_api::status::Status;
use serde_json::{Map, Value, json};

use super::{New, change_as_server, create_all};
use crate::registry::Registry;
use crate::registry::target::Target;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// What is published; what is not configured is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterAuthentication {
    /// PEM of `--client-ca-file`.
    pub client_ca: Option<String>,
    /// The front proxy's, with the flags that go with it.
    pub request_header: Option<RequestHeader>,
}

/// What the `--requestheader-*` flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// PEM of `--requestheader-client-ca-file`.
    pub ca: String,
    /// `--requestheader-allowed-names`
    pub allowed_names: Vec<String>,
    /// `--requestheader-username-headers`
    pub username_headers: Vec<String>,
    /// `--requestheader-uid-headers`
    pub uid_headers: Vec<String>,
    /// `--requestheader-group-headers`
    pub group_headers: Vec<String>,
    /// `--requestheader-extra-headers-prefix`
    pub extra_header_prefixes: Vec<String>,
}

impl ClusterAuthentication {
    fn data(&self) -> Map<String, Value> {
        let mut data = Map::new();
        if let Some(ca) = &self.client_ca {
            data.insert("client-ca-file".into(), ca.clone().into());
        }
        if let Some(request) = &self.request_header {
            data.insert("requestheader-client-ca-file".into(), request.ca.clone().into());
            for (key, list) in [
                ("requestheader-allowed-names", &request.allowed_names),
                ("requestheader-username-headers", &request.username_headers),
                ("requestheader-uid-headers", &request.uid_headers),
                ("requestheader-group-headers", &request.group_headers),
                ("requestheader-extra-headers-prefix", &request.extra_header_prefixes),
            ] {
                data.insert(key.into(), json!(list).to_string().into());
            }
        }
        data
    }

    /// Writes it where it differs from what is there.
    pub async fn publish(&self, registry: &Registry, now: Timestamp) -> Result<(), Status> {
        let data = self.data();
        if data.is_empty() {
            return Ok(());
        }
        let found = resource::lookup("", "v1", "configmaps");
        let config_maps = found.ok_or_else(|| Status::internal("config maps are not served"))?;
        let target = Target::object(config_maps, NAMESPACE, NAME);
        if registry.cached(&target).is_none() {
            let object = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": NAME, "namespace": NAMESPACE},
                "data": data,
            });
            return create_all(registry, vec![New::of("", "v1", "configmaps", object)?], now).await;
        }
        change_as_server(registry, &target, now, |old| {
            let mut object = old.clone();
            for (key, value) in &data {
                object["data"][key] = value.clone();
            }
            meta::remove(&mut object, "resourceVersion");
            Ok(object)
        })
        .await
    }
}
