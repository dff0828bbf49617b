//! What lies in a folder: its files, its certificates, and every detail that a second `apply` must not change.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Every file below a folder, by its path there, in order.
pub fn files(folder: &Path) -> Vec<String> {
    let is_file = |path: &&PathBuf| !path.is_dir();
    let entries = entries(folder);
    let files = entries.iter().filter(is_file);
    files.map(|path| relative(folder, path)).collect()
}

/// Every file below a folder as a line of its permissions and its path: `0600 kubernetes/pki/sa.key`.
pub fn listing(folder: &Path) -> Vec<String> {
    let line = |file: String| {
        let mode = folder.join(&file).metadata().unwrap().permissions().mode() & 0o7777;
        format!("{mode:04o} {file}")
    };
    files(folder).into_iter().map(line).collect()
}

/// All that can be told of every file and folder below `root`, itself included, but when it was last read.
pub fn state(root: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
    let all = entries(root).into_iter().chain([root.to_owned()]);
    all.map(|path| {
        let it = path.symlink_metadata().unwrap();
        let content = if it.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let facts = format!(
            "inode {}, links {}, mode {:o}, owner {}:{}, size {}, modified {}.{:09}, changed {}.{:09}",
            it.ino(),
            it.nlink(),
            it.mode(),
            it.uid(),
            it.gid(),
            it.size(),
            it.mtime(),
            it.mtime_nsec(),
            it.ctime(),
            it.ctime_nsec()
        );
        (path, (facts, content))
    })
    .collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

fn relative(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()
}

/// A certificate of a host, as files that openssl reads.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Where it lies in the host's folder: `kubernetes/pki/apiserver.crt`, `kubernetes/auth/admin.conf`.
    pub place: String,
    /// The certificate, and its chain after it.
    pub certificate: PathBuf,
    /// Its key, where the host has it.
    pub key: Option<PathBuf>,
}

/// Every certificate of a host's folder. Those embedded in a kubeconfig are written to `scratch`; those that one
/// names are files anyway.
pub fn credentials(folder: &Path, scratch: &Path) -> Vec<Credential> {
    let mut found = Vec::new();
    for place in files(folder) {
        let file = folder.join(&place);
        let (certificate, key) = match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => {
                let key = file.with_extension("key");
                (file, key.exists().then_some(key))
            }
            Some("pem") => (file.clone(), Some(file)),
            Some("conf") => {
                let user = &kubeconfig(&file)["users"][0]["user"];
                let name = place.replace('/', "_");
                let embedded = |field: &str, extension: &str| {
                    let data = STANDARD.decode(user[field].as_str()?).unwrap();
                    let file = scratch.join(format!("{name}.{extension}"));
                    fs::write(&file, data).unwrap();
                    Some(file)
                };
                let Some(certificate) = embedded("client-certificate-data", "crt") else {
                    continue;
                };
                (certificate, embedded("client-key-data", "key"))
            }
            _ => continue,
        };
        found.push(Credential {
            place,
            certificate,
            key,
        });
    }
    found
}

/// A kubeconfig as it stands in its file.
pub fn kubeconfig(file: &Path) -> Value {
    yaml(&fs::read_to_string(file).unwrap())
}

/// A document of YAML.
pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
