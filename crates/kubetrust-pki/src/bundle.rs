//! Everything that one host must hold, as a tar.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::catalog::{self, HostFile, Part, What};
use crate::inventory::{self, Authorities, HOSTS, Obstacle};
use crate::key::{PrivateKey, PublicKey};
use crate::pem;
use crate::spec::{Cluster, Host};

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file that the host must hold is not there.
    #[error("{0} is missing; run apply first")]
    Missing(String),
    /// A CA key where none may be.
    #[error(
        "{path} contains the key of {authority}, which {host} must never hold; remove it, and consider that key exposed"
    )]
    CaKey {
        /// Where.
        path: String,
        /// Whose key.
        authority: String,
        /// The host.
        host: String,
    },
    /// A file can't be read.
    #[error(transparent)]
    Unreadable(#[from] Obstacle),
    /// The tar can't be written.
    #[error("the bundle can't be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes the tar of `host`: paths as on the host, relative to `/`; modes, owners and times as on disk.
///
/// Fails with [`BundleError::Missing`] if the host's folder is incomplete and with [`BundleError::CaKey`] if any
/// file in it, in the catalog or not, holds a CA key that the host must not hold.
pub fn write(
    root: &Path,
    cluster: &Cluster,
    host: &Host,
    authorities: &Authorities,
    out: impl Write,
) -> Result<(), BundleError> {
    let folder = root.join(HOSTS).join(host.name.as_str());
    let files = present(cluster, host, authorities);
    refuse_ca_keys(&folder, cluster, host, &files, authorities)?;
    let mut tar = tar::Builder::new(out);
    tar.mode(tar::HeaderMode::Complete);
    for file in &files {
        let path = folder.join(&file.path);
        if inventory::read(&path)?.is_none() {
            return Err(BundleError::Missing(format!("{HOSTS}/{}/{}", host.name, file.path)));
        }
        let target = cluster.paths.of(file.path.as_path());
        let target = target.strip_prefix("/").unwrap_or(&target);
        tar.append_file(target, &mut File::open(&path)?)?;
    }
    tar.into_inner()?.flush()?;
    Ok(())
}

/// The host's files, without those of CAs whose key is kept offline.
fn present(cluster: &Cluster, host: &Host, authorities: &Authorities) -> Vec<HostFile> {
    let mut files = catalog::host_files(cluster, host);
    files.retain(|file| match catalog::row(file.row).map(|row| &row.what) {
        Some(What::Authority { authority, .. }) if file.part != Part::Certificate => {
            let acting = catalog::acting(cluster, *authority);
            authorities.cas.get(&acting).is_some_and(|files| files.key.is_some())
        }
        _ => true,
    });
    files
}

/// Looks at every file of the folder, the user's own too: a CA key that was put there by mistake is worth a refusal
/// even though it would not be packed. A CA's key may lie in its own key file where the host has one, and nowhere
/// else.
fn refuse_ca_keys(
    folder: &Path,
    cluster: &Cluster,
    host: &Host,
    files: &[HostFile],
    authorities: &Authorities,
) -> Result<(), BundleError> {
    let places: BTreeMap<String, &'static str> = files
        .iter()
        .filter(|file| file.part == Part::Key)
        .filter_map(|file| match catalog::row(file.row)?.what {
            What::Authority { authority, .. } => {
                let acting = catalog::acting(cluster, authority);
                Some((file.path.to_string(), inventory::authority_stem(acting)))
            }
            _ => None,
        })
        .collect();
    let cas: Vec<(&'static str, &PublicKey)> = authorities
        .cas
        .iter()
        .filter_map(|(authority, files)| {
            files
                .certificate
                .as_ref()
                .map(|ca| (inventory::authority_stem(*authority), &ca.public_key))
        })
        .chain(
            authorities
                .kubelet_cas
                .values()
                .filter_map(|files| files.certificate.as_ref().map(|ca| ("kubelet-ca", &ca.public_key))),
        )
        .collect();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        let entries = match fs::read_dir(&current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
                continue;
            }
            let Ok(Some(file)) = inventory::read(&path) else {
                continue;
            };
            let shown = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            for key in private_keys(&file.content) {
                if let Some((authority, _)) = cas.iter().find(|(_, public)| *public == key.public())
                    && places.get(&shown) != Some(authority)
                {
                    return Err(BundleError::CaKey {
                        path: format!("{HOSTS}/{}/{shown}", host.name),
                        authority: (*authority).to_owned(),
                        host: host.name.to_string(),
                    });
                }
            }
        }
    }
    Ok(())
}

/// Every private key in a file, whatever it is: PEM blocks anywhere in it, DER, and both in base64, as kubeconfigs
/// and Secrets carry them. A block that can't be read hides none of the others.
fn private_keys(content: &[u8]) -> Vec<PrivateKey> {
    let text = Zeroizing::new(String::from_utf8_lossy(content).into_owned());
    let mut keys = pem_keys(&text);
    keys.extend(der_key(content));
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    for word in text.split(|c| !is_base64(c)) {
        if let Ok(bytes) = STANDARD.decode(word).map(Zeroizing::new) {
            keys.extend(pem_keys(&Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())));
            keys.extend(der_key(&bytes));
        }
    }
    keys
}

fn pem_keys(text: &str) -> Vec<PrivateKey> {
    const END: &str = "PRIVATE KEY-----";
    text.match_indices("-----BEGIN ")
        .filter_map(|(start, _)| {
            let block = &text[start..];
            // The label's own end is the first one, that of the block's last line the second.
            let (end, _) = block.match_indices(END).nth(1)?;
            PrivateKey::from_pem(&block.as_bytes()[..end + END.len()]).ok()
        })
        .collect()
}

fn der_key(der: &[u8]) -> Option<PrivateKey> {
    ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]
        .iter()
        .find_map(|label| PrivateKey::from_pem(Zeroizing::new(pem::encode(label, der)).as_bytes()).ok())
}
