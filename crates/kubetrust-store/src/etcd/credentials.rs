//! The files that say whom to trust and who we are, read anew when they change: what does not hold together stays out,
//! and the last that did stays in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use parking_lot::Mutex;
use rustls::client::ClientConfig;
use rustls::{RootCertStore, crypto};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Most bytes of one of the files.
const FILE_LIMIT: u64 = 1 << 20;

/// gRPC is spoken over HTTP/2 only.
const ALPN: &[u8] = b"h2";

/// Where the credentials are, by the flags that say so.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// `--etcd-cafile`: who signs etcd's serving certificates.
    pub cafile: Option<PathBuf>,
    /// `--etcd-certfile`: our client certificate, with its chain.
    pub certfile: Option<PathBuf>,
    /// `--etcd-keyfile`: its key.
    pub keyfile: Option<PathBuf>,
}

/// Why credentials can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A flag is missing.
    #[error("{0}")]
    Flags(&'static str),
    /// A file can't be read.
    #[error("--{flag}={}: {reason}", file.display())]
    Unreadable {
        /// Which flag names it.
        flag: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A file is not what it should be.
    #[error("--{flag}={}: {reason}", file.display())]
    Content {
        /// Which flag names it.
        flag: &'static str,
        /// Which.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// rustls does not take them.
    #[error("the etcd client's certificate and key can't be used: {0}")]
    Refused(#[from] rustls::Error),
}

const CA: &str = "etcd-cafile";
const CERTIFICATE: &str = "etcd-certfile";
const KEY: &str = "etcd-keyfile";

/// What new connections are made with.
pub(super) struct Credentials {
    files: Files,
    config: ArcSwap<ClientConfig>,
    seen: Mutex<Seen>,
}

/// What was looked at last, so that nothing is read, and nothing is said, twice.
struct Seen {
    marks: Vec<Option<Mark>>,
    digest: [u8; digest::SHA256_OUTPUT_LEN],
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Credentials {
    pub(super) fn load(files: Files) -> Result<Self, CredentialsError> {
        let marks = files.marks();
        let read = files.read()?;
        Ok(Self {
            config: ArcSwap::from_pointee(read.config()?),
            seen: Mutex::new(Seen {
                marks,
                digest: read.digest(),
            }),
            files,
        })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.config.load_full()
    }

    /// Looks whether the files changed, and says whether what new connections are made with did. Files are replaced one
    /// after the other: a pair that does not match yet is looked at again with the next change.
    pub(super) fn refresh(&self) -> Result<bool, CredentialsError> {
        let mut seen = self.seen.lock();
        let marks = self.files.marks();
        if marks == seen.marks {
            return Ok(false);
        }
        seen.marks = marks;
        let read = self.files.read()?;
        let digest = read.digest();
        if digest == seen.digest {
            return Ok(false);
        }
        self.config.store(Arc::new(read.config()?));
        seen.digest = digest;
        Ok(true)
    }
}

impl Files {
    fn named(&self) -> [(&'static str, Option<&Path>); 3] {
        [
            (CA, self.cafile.as_deref()),
            (CERTIFICATE, self.certfile.as_deref()),
            (KEY, self.keyfile.as_deref()),
        ]
    }

    fn marks(&self) -> Vec<Option<Mark>> {
        let mark = |path: &Path| {
            use std::os::unix::fs::MetadataExt;
            let metadata = fs::metadata(path).ok()?;
            Some(Mark {
                modified: metadata.modified().ok(),
                length: metadata.len(),
                inode: metadata.ino(),
            })
        };
        self.named().map(|(_, path)| path.and_then(mark)).to_vec()
    }

    fn read(&self) -> Result<Read<'_>, CredentialsError> {
        if self.certfile.is_some() != self.keyfile.is_some() {
            return Err(CredentialsError::Flags(
                "--etcd-certfile and --etcd-keyfile belong together; give both, or none",
            ));
        }
        if self.cafile.is_none() {
            return Err(CredentialsError::Flags(
                "--etcd-cafile is missing: it says who signs the certificates of the https servers of --etcd-servers",
            ));
        }
        let mut contents = Vec::new();
        for (flag, path) in self.named() {
            contents.push(path.map(|path| read(flag, path)).transpose()?);
        }
        Ok(Read { files: self, contents })
    }
}

fn read(flag: &'static str, file: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let unreadable = |reason| CredentialsError::Unreadable {
        flag,
        file: file.to_owned(),
        reason,
    };
    let length = fs::metadata(file).map_err(unreadable)?.len();
    if length > FILE_LIMIT {
        return Err(CredentialsError::Content {
            flag,
            file: file.to_owned(),
            reason: format!("{length} bytes; at most {FILE_LIMIT} are read"),
        });
    }
    fs::read(file).map(Zeroizing::new).map_err(unreadable)
}

/// The files as they were at one time.
struct Read<'a> {
    files: &'a Files,
    /// In the order of [`Files::named`].
    contents: Vec<Option<Zeroizing<Vec<u8>>>>,
}

impl Read<'_> {
    fn digest(&self) -> [u8; digest::SHA256_OUTPUT_LEN] {
        let mut context = digest::Context::new(&digest::SHA256);
        for content in self.contents.iter().flatten() {
            context.update(&(content.len() as u64).to_le_bytes());
            context.update(content);
        }
        let mut sum = [0; digest::SHA256_OUTPUT_LEN];
        sum.copy_from_slice(context.finish().as_ref());
        sum
    }

    fn content(&self, wanted: &str) -> Option<(&'static str, &Path, &[u8])> {
        let named = self.files.named().into_iter().zip(&self.contents);
        named
            .filter_map(|((flag, path), content)| Some((flag, path?, content.as_ref()?.as_slice())))
            .find(|(flag, ..)| *flag == wanted)
    }

    fn config(&self) -> Result<ClientConfig, CredentialsError> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let mut config = match (self.content(CERTIFICATE), self.content(KEY)) {
            (Some(certificate), Some(key)) => {
                builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, CredentialsError> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = self.content(CA) {
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .map_err(|error| content(file, error.to_string()))?;
            }
        }
        Ok(roots)
    }
}

fn certificates(file: (&'static str, &Path, &[u8])) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.2).collect();
    let certificates = parsed.map_err(|error| content(file, error.to_string()))?;
    if certificates.is_empty() {
        return Err(content(file, "no certificate in it".to_owned()));
    }
    Ok(certificates)
}

fn private_key(file: (&'static str, &Path, &[u8])) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    PrivateKeyDer::from_pem_slice(file.2).map_err(|error| content(file, error.to_string()))
}

fn content((flag, path, _): (&'static str, &Path, &[u8]), reason: String) -> CredentialsError {
    CredentialsError::Content {
        flag,
        file: path.to_owned(),
        reason,
    }
}
