//! Everything that one host must hold, as a tar.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::catalog::{self, HostFile};
use crate::flags::install;
use crate::inventory::{self, Authorities, HOSTS, Obstacle};
use crate::key::{PrivateKey, PublicKey};
use crate::kubeconfig::{Credential, KeySource, Kubeconfig};
use crate::pem;
use crate::spec::{CaKeyPlacement, Cluster, Host};

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
        let target = install(&cluster.paths, file.path.as_path());
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
        Some(catalog::What::Authority { authority, .. }) if file.part != catalog::Part::Certificate => {
            let acting = catalog::acting(cluster, *authority);
            authorities.cas.get(&acting).is_some_and(|files| files.key.is_some())
        }
        _ => true,
    });
    files
}

/// Looks at every file of the folder, the user's own too: a CA key that was put there by mistake is worth a refusal
/// even though it would not be packed.
fn refuse_ca_keys(
    folder: &Path,
    cluster: &Cluster,
    host: &Host,
    files: &[HostFile],
    authorities: &Authorities,
) -> Result<(), BundleError> {
    let allowed: BTreeSet<String> = match cluster.ca_keys {
        CaKeyPlacement::None => BTreeSet::new(),
        _ => files.iter().map(|file| file.path.to_string()).collect(),
    };
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
            let shown = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            let is_ca_key_file = allowed.contains(&shown)
                && files
                    .iter()
                    .any(|file| file.path.to_string() == shown && is_authority(file));
            if is_ca_key_file {
                continue;
            }
            let Ok(Some(file)) = inventory::read(&path) else {
                continue;
            };
            for key in private_keys(&file.content) {
                if let Some((authority, _)) = cas.iter().find(|(_, public)| *public == key.public()) {
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

fn is_authority(file: &HostFile) -> bool {
    catalog::row(file.row).is_some_and(|row| matches!(row.what, catalog::What::Authority { .. }))
}

/// Every private key in a file, those embedded in a kubeconfig included.
fn private_keys(content: &[u8]) -> Vec<PrivateKey> {
    let mut keys: Vec<_> = pem::blocks(content)
        .unwrap_or_default()
        .iter()
        .filter(|block| block.label.ends_with("PRIVATE KEY"))
        .filter_map(|block| PrivateKey::from_pem(pem::encode(&block.label, &block.der).as_bytes()).ok())
        .collect();
    if let Some(Credential::Certificate {
        key: KeySource::Data(key),
        ..
    }) = std::str::from_utf8(content)
        .ok()
        .and_then(|text| Kubeconfig::from_yaml(text).ok())
        .map(|conf| conf.credential)
    {
        keys.extend(PrivateKey::from_pem(key.as_bytes()).ok());
    }
    keys
}
