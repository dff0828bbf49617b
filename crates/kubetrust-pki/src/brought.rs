//! CAs that the spec brings: read once, checked, and taken up into `authority/`, which is what counts from then on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::certificate::Certificate;
use crate::inventory::{AUTHORITY, Authorities, AuthorityFiles, Obstacle, authority_stem};
use crate::key::PrivateKey;
use crate::plan;
use crate::spec::{Authority, BroughtCa, Cluster};

/// Reads and checks the CAs that are not taken up yet. `folder` is where the spec's relative paths begin. Every
/// obstacle names a field of the spec.
pub(crate) fn read(
    folder: &Path,
    cluster: &Cluster,
    authorities: &Authorities,
    now: Timestamp,
) -> Result<BTreeMap<Authority, AuthorityFiles>, Vec<Obstacle>> {
    let mut taken = BTreeMap::new();
    let mut obstacles = Vec::new();
    for (authority, paths) in &cluster.authorities.brought {
        let own = authorities
            .cas
            .get(authority)
            .and_then(|files| files.certificate.as_ref());
        let mut reader = Reader {
            folder,
            authority: *authority,
            obstacles: Vec::new(),
        };
        if let Some(own) = own {
            // Whoever brought it may have taken it away again: then nothing contradicts what was taken up.
            if folder.join(&paths.certificate).exists() {
                reader.compare(own, &paths.certificate);
            }
            obstacles.extend(reader.obstacles);
            continue;
        }
        let files = reader.files(paths);
        if reader.obstacles.is_empty() {
            reader.obstacles = plan::validate_brought(cluster, *authority, &files, now);
        }
        obstacles.extend(reader.obstacles);
        taken.insert(*authority, files);
    }
    if obstacles.is_empty() {
        Ok(taken)
    } else {
        Err(obstacles)
    }
}

struct Reader<'a> {
    folder: &'a Path,
    authority: Authority,
    obstacles: Vec<Obstacle>,
}

impl Reader<'_> {
    fn files(&mut self, paths: &BroughtCa) -> AuthorityFiles {
        // A certificate file that holds the whole chain is as good as two files.
        let mut certificates = self.certificates("certificate", &paths.certificate).into_iter();
        let certificate = certificates.next();
        let chain = match &paths.chain {
            Some(path) => self.certificates("chain", path),
            None => certificates.collect(),
        };
        AuthorityFiles {
            certificate,
            key: paths.key.as_ref().and_then(|path| self.key(path)),
            chain,
            serial: None,
        }
    }

    fn compare(&mut self, own: &Certificate, path: &Path) {
        let brought = self.certificates("certificate", path).into_iter().next();
        if brought.is_some_and(|brought| brought.der != own.der) {
            let stem = authority_stem(self.authority);
            self.refuse(
                "certificate",
                format!(
                    "this cluster already has another CA ({AUTHORITY}/{stem}.crt), and a CA is replaced in stages, \
                     never by apply; take the field out of the spec"
                ),
            );
        }
    }

    fn certificates(&mut self, field: &str, path: &Path) -> Vec<Certificate> {
        let Some(text) = self.text(field, path) else {
            return Vec::new();
        };
        Certificate::all_from_pem(&text)
            .map_err(|error| self.refuse(field, format!("{}: {error}", path.display())))
            .unwrap_or_default()
    }

    fn key(&mut self, path: &Path) -> Option<PrivateKey> {
        let text = zeroize::Zeroizing::new(self.text("key", path)?);
        PrivateKey::from_pem(&text)
            .map_err(|error| self.refuse("key", format!("{}: {error}", path.display())))
            .ok()
    }

    fn text(&mut self, field: &str, path: &Path) -> Option<Vec<u8>> {
        let path = self.folder.join(path);
        fs::read(&path)
            .map_err(|error| self.refuse(field, format!("{}: {error}", path.display())))
            .ok()
    }

    fn refuse(&mut self, field: &str, what: String) {
        let name = plan::brought_name(self.authority);
        self.obstacles
            .push(Obstacle::new(format!("authorities.bring.{name}.{field}"), what));
    }
}
