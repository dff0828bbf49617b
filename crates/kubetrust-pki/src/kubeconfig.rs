//! kubeconfig files (S13): written for the catalog's rows, and read back from what is on disk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What a kubeconfig says, reduced to the one context that is in force.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    /// Name of the cluster entry.
    pub cluster: String,
    /// URL of the API server.
    pub server: String,
    /// The CA that verifies it.
    pub certificate_authority: Source,
    /// Name of the user entry.
    pub user: String,
    /// How that user proves itself.
    pub credential: Credential,
}

/// Data, or the path of a file that holds it. Files are read again when they change, data never is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, relative to the kubeconfig's folder or absolute.
    File(String),
    /// PEM.
    Data(String),
    /// The entry is not there.
    Absent,
}

/// A client's proof.
#[derive(Clone)]
pub enum Credential {
    /// A certificate and its key.
    Certificate {
        /// The certificate, with its chain.
        certificate: Source,
        /// The key, PKCS#8.
        key: KeySource,
    },
    /// A bearer token.
    Token(Zeroizing<String>),
    /// None that this crate issues: exec plugins, auth providers, passwords, none at all.
    Other,
}

/// As [`Source`], for a key.
#[derive(Clone)]
pub enum KeySource {
    /// A path.
    File(String),
    /// PEM.
    Data(Zeroizing<String>),
    /// The entry is not there.
    Absent,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate { .. } => "Certificate(…)",
            Self::Token(_) => "Token(…)",
            Self::Other => "Other",
        })
    }
}

/// Why a text is no kubeconfig that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// Not YAML, or not of a kubeconfig's shape.
    #[error("it is no kubeconfig: {0}")]
    Shape(String),
    /// The current context, or what it names, is missing.
    #[error("its {0} is missing")]
    Missing(&'static str),
    /// A `*-data` field that is no base64 of text.
    #[error("{0} is not base64 of PEM")]
    NotBase64(&'static str),
}

impl Kubeconfig {
    /// Writes the file.
    pub fn to_yaml(&self) -> Result<Zeroizing<String>, KubeconfigError> {
        let mut user = UserFields::default();
        match &self.credential {
            Credential::Certificate { certificate, key } => {
                match certificate {
                    Source::File(path) => user.client_certificate = Some(path.clone()),
                    Source::Data(pem) => user.client_certificate_data = Some(STANDARD.encode(pem)),
                    Source::Absent => {}
                }
                match key {
                    KeySource::File(path) => user.client_key = Some(path.clone()),
                    KeySource::Data(pem) => user.client_key_data = Some(STANDARD.encode(pem.as_bytes())),
                    KeySource::Absent => {}
                }
            }
            Credential::Token(token) => user.token = Some(token.to_string()),
            Credential::Other => {}
        }
        let mut cluster = ClusterFields {
            server: self.server.clone(),
            ..ClusterFields::default()
        };
        match &self.certificate_authority {
            Source::File(path) => cluster.certificate_authority = Some(path.clone()),
            Source::Data(pem) => cluster.certificate_authority_data = Some(STANDARD.encode(pem)),
            Source::Absent => {}
        }
        let context = format!("{}@{}", self.user, self.cluster);
        let file = Fields {
            api_version: "v1".to_owned(),
            kind: "Config".to_owned(),
            clusters: vec![NamedCluster {
                name: self.cluster.clone(),
                cluster,
            }],
            contexts: vec![NamedContext {
                name: context.clone(),
                context: ContextFields {
                    cluster: self.cluster.clone(),
                    user: self.user.clone(),
                },
            }],
            current_context: context,
            users: vec![NamedUser {
                name: self.user.clone(),
                user,
            }],
        };
        serde_saphyr::to_string(&file)
            .map(Zeroizing::new)
            .map_err(|error| KubeconfigError::Shape(error.to_string()))
    }

    /// Reads a file's current context.
    pub fn from_yaml(text: &str) -> Result<Self, KubeconfigError> {
        let mut file: Fields =
            serde_saphyr::from_str(text).map_err(|error| KubeconfigError::Shape(first_line(&error.to_string())))?;
        let context = file
            .contexts
            .iter()
            .find(|context| context.name == file.current_context)
            .ok_or(KubeconfigError::Missing("current-context"))?;
        let (cluster_name, user_name) = (context.context.cluster.clone(), context.context.user.clone());
        let cluster = file
            .clusters
            .iter()
            .find(|cluster| cluster.name == cluster_name)
            .ok_or(KubeconfigError::Missing("current context's cluster"))?;
        let user = file
            .users
            .iter_mut()
            .find(|user| user.name == user_name)
            .ok_or(KubeconfigError::Missing("current context's user"))?;
        let user = std::mem::take(&mut user.user);
        let certificate = match (&user.client_certificate_data, &user.client_certificate) {
            (Some(data), _) => Source::Data(decode(data, "client-certificate-data")?.to_string()),
            (None, Some(path)) => Source::File(path.clone()),
            (None, None) => Source::Absent,
        };
        let key = match (&user.client_key_data, &user.client_key) {
            (Some(data), _) => KeySource::Data(decode(data, "client-key-data")?),
            (None, Some(path)) => KeySource::File(path.clone()),
            (None, None) => KeySource::Absent,
        };
        let credential = match (&user.token, certificate) {
            (_, certificate @ (Source::Data(_) | Source::File(_))) => Credential::Certificate { certificate, key },
            (Some(token), Source::Absent) => Credential::Token(Zeroizing::new(token.clone())),
            (None, Source::Absent) => Credential::Other,
        };
        Ok(Self {
            cluster: cluster_name,
            server: cluster.cluster.server.clone(),
            certificate_authority: match (
                &cluster.cluster.certificate_authority_data,
                &cluster.cluster.certificate_authority,
            ) {
                (Some(data), _) => Source::Data(decode(data, "certificate-authority-data")?.to_string()),
                (None, Some(path)) => Source::File(path.clone()),
                (None, None) => Source::Absent,
            },
            user: user_name,
            credential,
        })
    }
}

fn decode(data: &str, field: &'static str) -> Result<Zeroizing<String>, KubeconfigError> {
    let bytes = STANDARD
        .decode(data.trim())
        .map_err(|_| KubeconfigError::NotBase64(field))?;
    String::from_utf8(bytes)
        .map(Zeroizing::new)
        .map_err(|_| KubeconfigError::NotBase64(field))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

// The file's own shape, as `k8s.io/client-go/tools/clientcmd/api/v1` has it; what we don't read we don't name.

#[derive(Serialize, Deserialize)]
struct Fields {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(rename = "current-context", default)]
    current_context: String,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Serialize, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterFields,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct ClusterFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
    #[serde(default)]
    server: String,
}

#[derive(Serialize, Deserialize)]
struct NamedContext {
    name: String,
    context: ContextFields,
}

#[derive(Serialize, Deserialize)]
struct ContextFields {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Serialize, Deserialize)]
struct NamedUser {
    name: String,
    user: UserFields,
}

#[derive(Serialize, Deserialize, Default, Zeroize, ZeroizeOnDrop)]
#[serde(rename_all = "kebab-case")]
struct UserFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}
