//! What must hold of a cluster's directory at any instant, whatever was killed or failed. Tests of the binary include
//! this file too.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "kubetrust writes its names in lower case"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use kubetrust_pki::certificate::Certificate;
use kubetrust_pki::key::{PrivateKey, PublicKey};
use kubetrust_pki::kubeconfig::{Credential, KeySource, Kubeconfig, Source};
use kubetrust_pki::pem;

type Whole = fn(&str) -> Result<(), String>;

/// How a file's content is checked for being whole, by its extension.
const FORMATS: [(&str, Whole); 9] = [
    ("crt", pem),
    ("key", pem),
    ("pem", pem),
    ("pub", pem),
    ("csr", pem),
    ("yaml", yaml),
    ("conf", kubeconfig),
    ("srl", serial),
    ("csv", tokens),
];

/// What a directory holds, outside `.staging`. Only whole files and matching pairs, or there is no such value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Every file's content, by its path.
    pub files: BTreeMap<String, String>,
    /// The algorithms of the leaves' keys, by host's folder: one each.
    pub algorithms: BTreeMap<String, BTreeSet<String>>,
    /// How many pairs of a key and a certificate match.
    pub pairs: usize,
}

impl Tree {
    /// Reads a directory, without `backup`, and asserts every invariant. A directory that is not there is empty.
    #[track_caller]
    pub fn check(root: &Path) -> Self {
        Self::read(root, &[".staging", "backup"])
    }

    /// As [`Tree::check`], with every backup.
    #[track_caller]
    pub fn check_with_backups(root: &Path) -> Self {
        Self::read(root, &[".staging"])
    }

    #[track_caller]
    fn read(root: &Path, without: &[&str]) -> Self {
        let mut tree = Self::default();
        let mut broken = Vec::new();
        walk(root, &mut |path, metadata| {
            let name = relative(root, path);
            if without.iter().any(|left_out| Path::new(&name).starts_with(left_out)) || metadata.is_dir() {
                return;
            }
            let content = fs::read_to_string(path).unwrap();
            if is_secret(&name, &content) && metadata.mode() & 0o7777 != 0o600 {
                broken.push(format!("{name}: mode {:o}", metadata.mode() & 0o7777));
            }
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            match FORMATS.iter().find(|(known, _)| *known == extension) {
                None => broken.push(format!("{name}: nothing of ours")),
                Some((_, whole)) => broken.extend(whole(&content).err().map(|error| format!("{name}: {error}"))),
            }
            tree.files.insert(name, content);
        });
        if broken.is_empty() {
            tree.pairs(&mut broken);
        }
        for (folder, algorithms) in &tree.algorithms {
            if algorithms.len() > 1 {
                broken.push(format!("{folder}: neither old nor new: {algorithms:?}"));
            }
        }
        tree.algorithms.retain(|folder, _| folder.starts_with("hosts/"));
        assert!(
            broken.is_empty(),
            "in {}:\n{}\nof {:#?}",
            root.display(),
            broken.join("\n"),
            tree.files.keys()
        );
        tree
    }

    /// Every certificate beside its key, in one file with it, or in a kubeconfig with it.
    fn pairs(&mut self, broken: &mut Vec<String>) {
        let authorities: Vec<Certificate> = (self.files.iter())
            .filter(|(name, _)| name.starts_with("authority/") && name.ends_with(".crt"))
            .flat_map(|(_, content)| Certificate::all_from_pem(content.as_bytes()).unwrap())
            .collect();
        for (name, content) in &self.files {
            let live = !name.starts_with("backup/");
            let beside = |extension: &str| {
                let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
                self.files.get(&format!("{stem}.{extension}"))
            };
            let (certificate, key) = if name.ends_with(".crt") {
                (Some(content.clone()), beside("key").cloned())
            } else if name.ends_with("sa.key") {
                let public = beside("pub").map(|text| PublicKey::all_from_pem(text.as_bytes()).unwrap());
                let key = PrivateKey::from_pem(content.as_bytes()).unwrap();
                if live && public.and_then(|keys| keys.into_iter().next()).as_ref() != Some(key.public()) {
                    broken.push(format!("{name}: sa.pub is not its public half"));
                }
                continue;
            } else if name.ends_with(".key") {
                if live && beside("crt").is_none() {
                    broken.push(format!("{name}: no certificate"));
                }
                continue;
            } else if name.ends_with(".pem") {
                (Some(content.clone()), Some(content.clone()))
            } else if name.ends_with(".conf") {
                self.embedded(name, content, broken)
            } else {
                continue;
            };
            let Some(certificates) = certificate.map(|text| Certificate::all_from_pem(text.as_bytes()).unwrap()) else {
                continue;
            };
            let leaf = &certificates[0];
            if !authorities.iter().any(|authority| leaf.is_signed_by(authority)) {
                broken.push(format!("{name}: signed by none of this cluster's CAs"));
            }
            match key.map(|text| PrivateKey::from_pem(text.as_bytes()).unwrap()) {
                Some(key) if *key.public() == leaf.public_key => self.pairs += 1,
                Some(_) => broken.push(format!("{name}: the key is another's")),
                None if live && leaf.authority.is_none() => broken.push(format!("{name}: a leaf without its key")),
                None => {}
            }
            if leaf.authority.is_none() {
                let algorithms = self.algorithms.entry(host_folder(name)).or_default();
                algorithms.insert(leaf.public_key.kind.to_string());
            }
        }
    }

    /// What a kubeconfig embeds; a file that it names must be there.
    fn embedded(&self, name: &str, content: &str, broken: &mut Vec<String>) -> (Option<String>, Option<String>) {
        let (certificate, key) = match Kubeconfig::from_yaml(content).unwrap().credential {
            Credential::Certificate { certificate, key } => (certificate, key),
            Credential::Token(_) => return (None, None),
            Credential::Other => {
                broken.push(format!("{name}: no credential"));
                return (None, None);
            }
        };
        let mut named = |path: &str| {
            // Relative to the kubeconfig's folder, or where the file is installed.
            let tail = path.trim_start_matches("/etc/").trim_start_matches("/var/lib/");
            if !self.files.keys().any(|file| file.ends_with(tail)) && !name.starts_with("backup/") {
                broken.push(format!("{name}: {path} is not there"));
            }
            None
        };
        let certificate = match certificate {
            Source::Data(data) => Some(data),
            Source::File(path) => named(&path),
            Source::Absent => None,
        };
        let key = match key {
            KeySource::Data(data) => Some(data.to_string()),
            KeySource::File(path) => named(&path),
            KeySource::Absent => None,
        };
        (certificate, key)
    }

    /// Asserts that no key in `authority/` was lost or changed since `before`.
    #[track_caller]
    pub fn keeps_authority_keys_of(&self, before: &Self) {
        let keys = before
            .files
            .iter()
            .filter(|(name, _)| name.starts_with("authority/") && (name.ends_with(".key") || name.ends_with("sa.pub")));
        for (name, content) in keys {
            assert!(self.files.get(name) == Some(content), "{name} was changed");
        }
    }

    /// Asserts that what `before` held of the hosts whose keys are of this algorithm is still there, to the byte.
    #[track_caller]
    pub fn keeps_hosts_of(&self, before: &Self, algorithm: &str) {
        let done = before.algorithms.iter().filter(|(_, kinds)| kinds.contains(algorithm));
        for (folder, _) in done {
            let of = |tree: &Self| -> BTreeSet<_> {
                let files = tree.files.clone().into_iter();
                files.filter(|(name, _)| Path::new(name).starts_with(folder)).collect()
            };
            let differs: Vec<_> = of(self)
                .symmetric_difference(&of(before))
                .map(|(name, _)| name.clone())
                .collect();
            assert!(
                differs.is_empty(),
                "{folder} was new, and was written again: {differs:?}"
            );
        }
    }
}

/// Whether others must not read a file.
pub fn is_secret(name: &str, content: &str) -> bool {
    let marks = ["PRIVATE KEY-----", "client-key-data:", " token:", "token-secret:"];
    name.ends_with(".key") || name.ends_with("token.csv") || marks.iter().any(|mark| content.contains(mark))
}

/// Every file and folder below a folder, itself left out. What vanishes meanwhile is passed over.
pub fn walk(folder: &Path, visit: &mut impl FnMut(&Path, &fs::Metadata)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        visit(&path, &metadata);
        if metadata.is_dir() {
            walk(&path, visit);
        }
    }
}

/// Every entry below a folder, with all that a write would change: type and mode, inode, time, content or target.
pub fn snapshot(root: &Path) -> BTreeMap<String, (u32, u64, i64, i64, Vec<u8>)> {
    let mut entries = BTreeMap::new();
    walk(root, &mut |path, found| {
        let content = if found.is_symlink() {
            fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
        } else if found.is_file() {
            fs::read(path).unwrap()
        } else {
            Vec::new()
        };
        let entry = (found.mode(), found.ino(), found.mtime(), found.mtime_nsec(), content);
        entries.insert(relative(root, path), entry);
    });
    entries
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

/// `hosts/m1` of `hosts/m1/…`, in a backup too.
fn host_folder(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    let end = parts.iter().position(|part| *part == "hosts").map_or(1, |at| at + 2);
    parts[..end].join("/")
}

fn pem(text: &str) -> Result<(), String> {
    let blocks = pem::blocks(text.as_bytes()).map_err(|error| error.to_string())?;
    if blocks.is_empty() || !text.ends_with("-----\n") {
        return Err("no PEM, or half of one".to_owned());
    }
    for block in blocks {
        let encoded = pem::encode(&block.label, &block.der);
        match block.label.as_str() {
            "CERTIFICATE" => drop(Certificate::from_der(&block.der).map_err(|error| error.to_string())?),
            "PRIVATE KEY" => drop(PrivateKey::from_pem(encoded.as_bytes()).map_err(|error| error.to_string())?),
            "PUBLIC KEY" => drop(PublicKey::all_from_pem(encoded.as_bytes()).map_err(|error| error.to_string())?),
            "CERTIFICATE REQUEST" => {}
            other => return Err(format!("a block {other}")),
        }
    }
    Ok(())
}

fn yaml(text: &str) -> Result<(), String> {
    if !text.ends_with('\n') {
        return Err("half a text".to_owned());
    }
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    if documents.iter().all(|document| document["kind"].is_string()) {
        Ok(())
    } else {
        Err("not what it should be".to_owned())
    }
}

fn kubeconfig(text: &str) -> Result<(), String> {
    Kubeconfig::from_yaml(text).map_err(|error| error.to_string())?;
    yaml(text)
}

fn serial(text: &str) -> Result<(), String> {
    let digits = text.trim_end();
    if digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        Ok(())
    } else {
        Err(format!("{text:?} is no serial number"))
    }
}

fn tokens(text: &str) -> Result<(), String> {
    let whole = text.ends_with('\n') && text.lines().all(|line| line.split(',').count() >= 3);
    if whole { Ok(()) } else { Err("half a line".to_owned()) }
}
