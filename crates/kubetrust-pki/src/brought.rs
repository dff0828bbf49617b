//! CAs that the spec brings: read once, checked, and taken up into `authority/`, which is what counts from then on.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use crate::catalog;
use crate::certificate::Certificate;
use crate::certificate::{CLIENT_AUTH, SERVER_AUTH};
use crate::inventory::{self, AUTHORITY, Authorities, AuthorityFiles, CREDENTIAL_LIMIT, Obstacle, authority_stem};
use crate::key::{KeyKind, PrivateKey};
use crate::profile::{Kind, Profile};
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
            reader.obstacles = Candidate {
                cluster,
                authority: *authority,
                now,
                obstacles: Vec::new(),
            }
            .validate(&files);
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
        inventory::read_given(&path, CREDENTIAL_LIMIT)
            .map_err(|error| self.refuse(field, format!("{}: {error}", path.display())))
            .ok()
    }

    fn refuse(&mut self, field: &str, what: String) {
        self.obstacles
            .push(Obstacle::new(spec_field(self.authority, field), what));
    }
}

/// The field of the spec that an obstacle is about.
pub(crate) fn spec_field(authority: Authority, field: &str) -> String {
    format!("authorities.bring.{authority}.{field}")
}

/// A CA that may be taken up: it is one, now, its key fits, and it may sign what this cluster needs of it.
struct Candidate<'a> {
    cluster: &'a Cluster,
    authority: Authority,
    now: Timestamp,
    obstacles: Vec<Obstacle>,
}

impl Candidate<'_> {
    fn validate(mut self, files: &AuthorityFiles) -> Vec<Obstacle> {
        let Some(certificate) = &files.certificate else {
            return self.obstacles;
        };
        self.authority("certificate", certificate, self.path_len());
        if let Some(key) = &files.key
            && *key.public() != certificate.public_key
        {
            self.refuse("key", "the key is not the certificate's".to_owned());
        }
        let mut below = certificate;
        for (depth, above) in (1..).zip(&files.chain) {
            if !below.is_signed_by(above) {
                self.refuse(
                    "chain",
                    format!(
                        "{} did not sign {}; order the chain from the intermediate up",
                        above.subject, below.subject
                    ),
                );
            }
            self.authority("chain", above, self.path_len().saturating_add(depth));
            below = above;
        }
        self.obstacles
    }

    /// How many CAs stand below this authority in this cluster.
    fn path_len(&self) -> u8 {
        match catalog::authority_profile(self.cluster, self.authority) {
            Profile {
                kind: Kind::Authority { path_len, .. },
                ..
            } => path_len,
            Profile { .. } => 0,
        }
    }

    /// Checks one CA of the chain, below which `path_len` others stand.
    fn authority(&mut self, field: &str, ca: &Certificate, path_len: u8) {
        let name = &ca.subject;
        if !ca.may_sign() {
            self.refuse(
                field,
                format!("{name} is no CA: its basic constraints or key usage forbid signing"),
            );
        }
        if ca.not_after <= self.now {
            self.refuse(field, format!("the CA {name} expired on {}", ca.not_after));
        } else if ca.not_before > self.now {
            self.refuse(field, format!("the CA {name} is not valid before {}", ca.not_before));
        }
        if matches!(ca.public_key.kind, KeyKind::Rsa(bits) if bits < 2048) {
            self.refuse(
                field,
                format!(
                    "the key of {name} is {}, and nothing verifies RSA keys under 2048 bits",
                    ca.public_key.kind
                ),
            );
        }
        if let Some(Some(limit)) = ca.authority
            && limit < path_len
        {
            self.refuse(
                field,
                format!(
                    "the path length {limit} of {name} forbids the CAs below it; bring one with a path length of at \
                     least {path_len}, or set kubelets.serving to cluster-ca if it is the kubelet CAs that it forbids"
                ),
            );
        }
        // A usage or a name that a CA leaves out is left out of all that it signs (RFC 5280 section 4.2.1.10; Go and
        // OpenSSL apply extended key usages likewise).
        let needed = match self.authority {
            Authority::FrontProxy => [CLIENT_AUTH].as_slice(),
            Authority::Etcd | Authority::Kubernetes | Authority::Single => &[SERVER_AUTH, CLIENT_AUTH],
        };
        if let Some(usages) = &ca.extended_usages
            && !needed.iter().all(|usage| usages.contains(usage))
        {
            self.refuse(
                field,
                format!("the extended key usage of {name} forbids certificates that this cluster needs"),
            );
        }
        if ca.name_constraints.is_some() {
            self.refuse(
                field,
                format!(
                    "{name} is confined to certain names, which a cluster's service names and addresses are not among"
                ),
            );
        }
    }

    fn refuse(&mut self, field: &str, what: String) {
        self.obstacles
            .push(Obstacle::new(spec_field(self.authority, field), what));
    }
}
