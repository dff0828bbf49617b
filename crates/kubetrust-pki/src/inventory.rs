//! What is on disk now. Reads, and judges nothing: that is [`crate::plan`]'s part.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::catalog;
use crate::certificate::Certificate;
use crate::key::{PrivateKey, PublicKey};
use crate::spec::{Authority, AuthorityMode, Cluster, DnsName, KubeletServing};
use crate::token::BootstrapToken;
use crate::write::Mode;

/// The folder of CA keys and everything else that never travels.
pub const AUTHORITY: &str = "authority";
/// The folder of the hosts' folders.
pub const HOSTS: &str = "hosts";
/// The folder of what the API server must be told.
pub const MANIFESTS: &str = "manifests";

/// No credential's file is larger, in bytes.
pub const CREDENTIAL_LIMIT: u64 = 1 << 20;

/// Something on disk that can be neither used nor replaced without losing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct Obstacle {
    /// Where.
    pub path: PathBuf,
    /// What is the matter, and the way out.
    pub what: String,
}

impl Obstacle {
    pub(crate) fn new(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            what: what.into(),
        }
    }
}

/// A CA as it lies in `authority/`.
#[derive(Debug, Default)]
pub struct AuthorityFiles {
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// Its key; absent when it is kept offline.
    pub key: Option<PrivateKey>,
    /// The certificates above an intermediate, up to its root.
    pub chain: Vec<Certificate>,
    /// The last serial number it signed.
    pub serial: Option<String>,
}

/// `authority/`.
#[derive(Debug, Default)]
pub struct Authorities {
    /// The cluster's CAs.
    pub cas: BTreeMap<Authority, AuthorityFiles>,
    /// The kubelets' CAs (S7), by host.
    pub kubelet_cas: BTreeMap<String, KubeletCaFiles>,
    /// The key that signs service-account tokens.
    pub service_account_key: Option<PrivateKey>,
    /// The keys that verify them, in the file's order.
    pub service_account_public_keys: Vec<PublicKey>,
    /// `token.csv`.
    pub static_tokens: Option<Zeroizing<String>>,
    /// The bootstrap token.
    pub bootstrap_token: Option<BootstrapToken>,
    /// Private files that others can read, by name.
    pub exposed: BTreeMap<String, FoundFile>,
    /// The folder's permission bits, where they let others in.
    pub exposed_folder: Option<u32>,
}

/// A kubelet CA as it lies in `authority/kubelet-ca/`.
#[derive(Debug, Default)]
pub struct KubeletCaFiles {
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// Its key.
    pub key: Option<PrivateKey>,
    /// Its pending request.
    pub request: Option<String>,
    /// What was put beside the request as its answer.
    pub signed: Option<String>,
}

impl KubeletCaFiles {
    /// The certificate that answers the request, if what lies there is one.
    #[must_use]
    pub fn signed_certificate(&self) -> Option<Certificate> {
        let certificates = Certificate::all_from_pem(self.signed.as_ref()?.as_bytes()).ok()?;
        certificates.into_iter().next()
    }
}

/// A host's folder.
#[derive(Debug, Default)]
pub struct HostFiles {
    /// Whether the folder is there.
    pub exists: bool,
    /// Every file at a path of the catalog, and what lies beside one for a pending request.
    pub files: BTreeMap<String, FoundFile>,
}

/// A file as found.
#[derive(Clone)]
pub struct FoundFile {
    /// Its bytes.
    pub content: Zeroizing<Vec<u8>>,
    /// Its permission bits.
    pub mode: u32,
}

impl std::fmt::Debug for FoundFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FoundFile({} bytes, {:o})", self.content.len(), self.mode)
    }
}

impl HostFiles {
    /// The content of the file at `path`.
    #[must_use]
    pub fn content(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        self.files
            .get(path.as_ref().to_str()?)
            .map(|file| file.content.as_slice())
    }
}

/// The name of an authority's files in `authority/`, without extension.
#[must_use]
pub const fn authority_stem(authority: Authority) -> &'static str {
    match authority {
        Authority::Etcd => "etcd-ca",
        Authority::Kubernetes => "kubernetes-ca",
        Authority::FrontProxy => "front-proxy-ca",
        Authority::Single => "ca",
    }
}

/// Where the request for the certificate at `stem` (a path without extension) and its key wait, and where the signed
/// certificate may be put besides its final place.
#[must_use]
pub fn pending_paths(stem: &str) -> PendingPaths {
    PendingPaths {
        request: format!("{stem}.csr"),
        key: format!("{stem}.csr.key"),
        signed: [format!("{stem}.csr.crt"), format!("{stem}.crt")],
    }
}

/// See [`pending_paths`].
#[derive(Debug, Clone)]
pub struct PendingPaths {
    /// The PKCS#10 request.
    pub request: String,
    /// The key that made it.
    pub key: String,
    /// Where the signed certificate is looked for, in order.
    pub signed: [String; 2],
}

/// A path without its extension: what the files of one credential have in common.
#[must_use]
pub fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}

/// Reads `authority/`. Every file that can't be used is an obstacle, since nothing there is ever overwritten.
pub fn authorities(root: &Path, cluster: &Cluster) -> Result<Authorities, Vec<Obstacle>> {
    let folder = root.join(AUTHORITY);
    let mut reader = AuthorityReader {
        folder: &folder,
        obstacles: Vec::new(),
        exposed: BTreeMap::new(),
    };
    for folder in [folder.clone(), folder.join("kubelet-ca")] {
        reader.obstacles.extend(real_folder(&folder).err());
    }
    let mut found = Authorities::default();
    for authority in catalog::authorities(cluster.authorities.mode) {
        found
            .cas
            .insert(*authority, reader.authority(authority_stem(*authority)));
    }
    let other_mode = match cluster.authorities.mode {
        AuthorityMode::Separate => AuthorityMode::Single,
        AuthorityMode::Single => AuthorityMode::Separate,
    };
    for authority in catalog::authorities(other_mode) {
        let path = folder.join(format!("{}.crt", authority_stem(*authority)));
        if path.exists() {
            reader.obstacles.push(Obstacle::new(
                path,
                "this cluster was made with another `authorities.mode`; changing it would replace every CA at once: \
                 set the mode back, or make a new cluster in another directory",
            ));
        }
    }
    if cluster.kubelets.serving == KubeletServing::KubeletCa {
        for host in &cluster.hosts {
            let stem = format!("kubelet-ca/{}", host.name);
            let files = KubeletCaFiles {
                certificate: reader.certificates(&format!("{stem}.crt")).into_iter().next(),
                key: reader.key(&format!("{stem}.key")),
                request: reader.text(&format!("{stem}.csr")).map(|text| text.to_string()),
                signed: reader.text(&format!("{stem}.csr.crt")).map(|text| text.to_string()),
            };
            if files.certificate.is_some() || files.key.is_some() {
                found.kubelet_cas.insert(host.name.to_string(), files);
            }
        }
    }
    found.service_account_key = reader.key("sa.key");
    if let Some(text) = reader.text("sa.pub") {
        match PublicKey::all_from_pem(text.as_bytes()) {
            Ok(keys) => found.service_account_public_keys = keys,
            Err(error) => reader.obstacle("sa.pub", error.to_string()),
        }
    }
    found.static_tokens = reader.text("token.csv");
    if let Some(text) = reader.text("bootstrap-token.yaml") {
        match BootstrapToken::from_secret(&text) {
            Ok(token) => found.bootstrap_token = Some(token),
            Err(error) => reader.obstacle("bootstrap-token.yaml", error.to_string()),
        }
    }
    found.exposed = reader.exposed;
    found.exposed_folder = fs::symlink_metadata(&folder)
        .ok()
        .map(|metadata| metadata.permissions().mode() & 0o7777)
        .filter(|mode| *mode != Mode::Private.folder());
    if reader.obstacles.is_empty() {
        Ok(found)
    } else {
        Err(reader.obstacles)
    }
}

/// Whether a file of `authority/` is for its owner alone.
fn is_private(name: &str) -> bool {
    let is_key = Path::new(name).extension().is_some_and(|extension| extension == "key");
    is_key || name == "token.csv" || name == "bootstrap-token.yaml"
}

struct AuthorityReader<'a> {
    folder: &'a Path,
    obstacles: Vec<Obstacle>,
    exposed: BTreeMap<String, FoundFile>,
}

impl AuthorityReader<'_> {
    fn obstacle(&mut self, name: &str, what: impl Into<String>) {
        self.obstacles.push(Obstacle::new(self.folder.join(name), what));
    }

    fn text(&mut self, name: &str) -> Option<Zeroizing<String>> {
        match read(&self.folder.join(name)) {
            Ok(found) => found.map(|file| {
                let text = Zeroizing::new(String::from_utf8_lossy(&file.content).into_owned());
                if is_private(name) && file.mode != Mode::Private.file() {
                    self.exposed.insert(name.to_owned(), file);
                }
                text
            }),
            Err(obstacle) => {
                self.obstacles.push(obstacle);
                None
            }
        }
    }

    fn key(&mut self, name: &str) -> Option<PrivateKey> {
        let text = self.text(name)?;
        PrivateKey::from_pem(text.as_bytes())
            .map_err(|error| self.obstacle(name, error.to_string()))
            .ok()
    }

    fn certificates(&mut self, name: &str) -> Vec<Certificate> {
        let Some(text) = self.text(name) else { return Vec::new() };
        Certificate::all_from_pem(text.as_bytes())
            .map_err(|error| self.obstacle(name, error.to_string()))
            .unwrap_or_default()
    }

    fn authority(&mut self, stem: &str) -> AuthorityFiles {
        let (certificate_name, key_name) = (format!("{stem}.crt"), format!("{stem}.key"));
        let files = AuthorityFiles {
            certificate: self.certificates(&certificate_name).into_iter().next(),
            key: self.key(&key_name),
            chain: self.certificates(&format!("{stem}.chain.crt")),
            serial: self
                .text(&format!("{stem}.srl"))
                .map(|text| text.trim().to_owned())
                .filter(|text| is_serial(text.as_bytes())),
        };
        match (&files.certificate, &files.key) {
            (None, Some(_)) => self.obstacle(
                &key_name,
                format!(
                    "a CA key without its certificate; put {certificate_name} back beside it (keys are never replaced)"
                ),
            ),
            (Some(certificate), Some(key)) if certificate.public_key != *key.public() => self.obstacle(
                &key_name,
                format!("this key is not the one of {certificate_name}; put the matching pair back"),
            ),
            (Some(certificate), _) if !certificate.may_sign() => {
                self.obstacle(
                    &certificate_name,
                    "this certificate is no CA (basic constraints or key usage forbid signing)",
                );
            }
            _ => {}
        }
        files
    }
}

/// Reads a host's folder.
pub fn host(root: &Path, name: &str, paths: &BTreeSet<String>) -> Result<HostFiles, Vec<Obstacle>> {
    let folder = root.join(HOSTS).join(name);
    let mut found = HostFiles {
        exists: folder.exists(),
        files: BTreeMap::new(),
    };
    if !found.exists {
        return Ok(found);
    }
    // Not `folder.join("")`: with a slash at its end, a path leads through the link.
    real_folder(&folder).map_err(|linked| vec![linked])?;
    let inner: BTreeSet<&Path> = paths
        .iter()
        .flat_map(|path| Path::new(path).ancestors().skip(1))
        .collect();
    let inner = inner.into_iter().filter(|path| *path != Path::new(""));
    let mut obstacles: Vec<Obstacle> = inner.filter_map(|path| real_folder(&folder.join(path)).err()).collect();
    for path in paths {
        match read(&folder.join(path)) {
            Ok(Some(file)) => drop(found.files.insert(path.clone(), file)),
            Ok(None) => {}
            Err(obstacle) => obstacles.push(obstacle),
        }
    }
    if obstacles.is_empty() {
        Ok(found)
    } else {
        Err(obstacles)
    }
}

/// The paths to look at in a host's folder: the catalog's, and beside each what a pending request leaves there.
#[must_use]
pub fn host_paths() -> BTreeSet<String> {
    let mut paths = catalog::known_paths();
    for path in catalog::known_paths() {
        let pending = pending_paths(stem(&path));
        paths.extend([pending.request, pending.key]);
        paths.extend(pending.signed);
    }
    paths
}

/// Whether a text is a serial file as OpenSSL takes it: hexadecimal digits, an even number.
#[must_use]
pub fn is_serial(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    !text.is_empty() && text.len().is_multiple_of(2) && text.iter().all(u8::is_ascii_hexdigit)
}

/// The names of the hosts' folders on disk: those that could be a host's and hold a file of the catalog. Whatever else
/// lies in `hosts/` is the user's.
pub fn host_folders(root: &Path) -> Result<BTreeSet<String>, Obstacle> {
    let folder = root.join(HOSTS);
    real_folder(&folder)?;
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(Obstacle::new(folder, error.to_string())),
    };
    let paths = catalog::known_paths();
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(|error| Obstacle::new(&folder, error.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let could_be = DnsName::new(&name).is_ok() && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if could_be && paths.iter().any(|path| entry.path().join(path).exists()) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Reads `manifests/NAME`.
pub fn manifest(root: &Path, name: &str) -> Result<Option<FoundFile>, Obstacle> {
    let folder = root.join(MANIFESTS);
    real_folder(&folder)?;
    read(&folder.join(name))
}

/// Refuses a link in the place of a folder: what is read through it could not be written there.
fn real_folder(path: &Path) -> Result<(), Obstacle> {
    if path.is_symlink() {
        return Err(Obstacle::new(
            path,
            "a symbolic link where a folder should be; replace it by the folder itself",
        ));
    }
    Ok(())
}

/// Reads a file that the user names, wherever it lies, following links: a regular file of at most `limit` bytes.
pub fn read_given(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {limit} bytes"),
        ));
    }
    fs::read(path)
}

/// Reads a file of at most 1 MiB. A link or a folder in its place is an obstacle.
pub fn read(path: &Path) -> Result<Option<FoundFile>, Obstacle> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Obstacle::new(path, error.to_string())),
    };
    if metadata.file_type().is_symlink() {
        return Err(Obstacle::new(
            path,
            "a symbolic link where a file should be; replace it by the file itself",
        ));
    }
    if !metadata.is_file() {
        return Err(Obstacle::new(path, "not a file; move it away"));
    }
    if metadata.len() > CREDENTIAL_LIMIT {
        return Err(Obstacle::new(
            path,
            "larger than 1 MiB, so it is no credential; move it away",
        ));
    }
    let content = fs::read(path).map_err(|error| Obstacle::new(path, error.to_string()))?;
    Ok(Some(FoundFile {
        content: Zeroizing::new(content),
        mode: metadata.permissions().mode() & 0o7777,
    }))
}
