//! What a kubeconfig gives: the server, the credential, and whom that credential says to be.

use std::io;
use std::path::{Path, PathBuf};

use kubetrust_pki::certificate::{Certificate, CertificateError};
use kubetrust_pki::inventory::{CREDENTIAL_LIMIT, read_given};
use kubetrust_pki::kubeconfig::{Credential as Listed, KeySource, Kubeconfig, KubeconfigError, Source};
use zeroize::Zeroizing;

use super::{ClientError, Credential, Endpoint};

/// A kubeconfig with all that it names read.
pub struct Access {
    /// The server.
    pub endpoint: Endpoint,
    /// What is shown to it.
    pub credential: Credential,
    /// What it is shown.
    pub proof: Proof,
}

/// How a kubeconfig's user proves itself.
pub enum Proof {
    /// By a certificate.
    Certificate(Box<Certificate>),
    /// By a token.
    Token(Zeroizing<String>),
    /// Not at all.
    Nothing,
}

/// Why a kubeconfig can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file can't be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
    /// It is none, or says too little.
    #[error("{}: {error}", path.display())]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: KubeconfigError,
    },
    /// Something that has to be in it.
    #[error("{}: it has no {what}", path.display())]
    Lacks {
        /// Which.
        path: PathBuf,
        /// What.
        what: &'static str,
    },
    /// Its certificate.
    #[error("{}: {error}", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: CertificateError,
    },
    /// Its URL, CA, key or token.
    #[error("{}: {error}", path.display())]
    Client {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: ClientError,
    },
}

impl Access {
    /// Reads a kubeconfig and the files that it names.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        Self::read_moved(path, |named| named)
    }

    /// As [`Access::read`], where absolute paths that the kubeconfig names lie elsewhere now: `moved` says where.
    pub fn read_moved(path: &Path, moved: impl Fn(PathBuf) -> PathBuf) -> Result<Self, AccessError> {
        let text = Zeroizing::new(String::from_utf8_lossy(&read(path)?).into_owned());
        let kubeconfig = Kubeconfig::from_yaml(&text).map_err(|error| AccessError::Kubeconfig {
            path: path.to_owned(),
            error,
        })?;
        let reader = Reader { path, moved };
        let authority = reader.source(&kubeconfig.certificate_authority)?;
        let authority = authority.ok_or(reader.lacks("certificate-authority"))?;
        let endpoint = Endpoint::new(&kubeconfig.server, &authority).map_err(|error| reader.client(error))?;
        let (credential, proof) = reader.credential(&kubeconfig.credential)?;
        Ok(Self {
            endpoint,
            credential,
            proof,
        })
    }
}

/// The certificate of a file: PEM, or a kubeconfig that carries or names one.
pub fn certificate(path: &Path) -> Result<Certificate, AccessError> {
    let mut chain = chain(path)?.into_iter();
    chain.next().ok_or_else(|| AccessError::Certificate {
        path: path.to_owned(),
        error: CertificateError::None,
    })
}

/// As [`certificate`], with those that stand after it.
pub fn chain(path: &Path) -> Result<Vec<Certificate>, AccessError> {
    let text = read(path)?;
    let error = match Certificate::all_from_pem(&text) {
        Ok(certificates) => return Ok(certificates),
        Err(error) => error,
    };
    let damaged = AccessError::Certificate {
        path: path.to_owned(),
        error,
    };
    let Ok(kubeconfig) = Kubeconfig::from_yaml(&String::from_utf8_lossy(&text)) else {
        return Err(damaged);
    };
    let reader = Reader {
        path,
        moved: |named| named,
    };
    let Listed::Certificate { certificate, .. } = &kubeconfig.credential else {
        return Err(reader.lacks("client certificate"));
    };
    let pem = reader.source(certificate)?.ok_or(reader.lacks("client-certificate"))?;
    Certificate::all_from_pem(&pem).map_err(|error| reader.certificate(error))
}

fn first(pem: &[u8]) -> Result<Certificate, CertificateError> {
    let certificates = Certificate::all_from_pem(pem)?;
    certificates.into_iter().next().ok_or(CertificateError::None)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, AccessError> {
    let read = read_given(path, CREDENTIAL_LIMIT).map(Zeroizing::new);
    read.map_err(|error| AccessError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

struct Reader<'a, M> {
    path: &'a Path,
    moved: M,
}

impl<M: Fn(PathBuf) -> PathBuf> Reader<'_, M> {
    fn credential(&self, listed: &Listed) -> Result<(Credential, Proof), AccessError> {
        match listed {
            Listed::Certificate { certificate, key } => {
                let certificate = self.source(certificate)?.ok_or(self.lacks("client-certificate"))?;
                let key = match key {
                    KeySource::File(named) => self.named(named)?,
                    KeySource::Data(pem) => Zeroizing::new(pem.as_bytes().to_vec()),
                    KeySource::Absent => return Err(self.lacks("client-key")),
                };
                let credential = Credential::certificate(&certificate, &key).map_err(|error| self.client(error))?;
                let leaf = first(&certificate).map_err(|error| self.certificate(error))?;
                Ok((credential, Proof::Certificate(Box::new(leaf))))
            }
            Listed::Token(token) => {
                let credential = Credential::token(token).map_err(|error| self.client(error))?;
                Ok((credential, Proof::Token(token.clone())))
            }
            Listed::Other => Ok((Credential::default(), Proof::Nothing)),
        }
    }

    fn source(&self, source: &Source) -> Result<Option<Zeroizing<Vec<u8>>>, AccessError> {
        match source {
            Source::File(named) => self.named(named).map(Some),
            Source::Data(pem) => Ok(Some(Zeroizing::new(pem.as_bytes().to_vec()))),
            Source::Absent => Ok(None),
        }
    }

    /// A path that the kubeconfig names is relative to its folder, or absolute.
    fn named(&self, named: &str) -> Result<Zeroizing<Vec<u8>>, AccessError> {
        let named = Path::new(named);
        if named.is_absolute() {
            return read(&(self.moved)(named.to_owned()));
        }
        read(&self.path.parent().unwrap_or(Path::new("")).join(named))
    }

    fn lacks(&self, what: &'static str) -> AccessError {
        AccessError::Lacks {
            path: self.path.to_owned(),
            what,
        }
    }

    fn client(&self, error: ClientError) -> AccessError {
        AccessError::Client {
            path: self.path.to_owned(),
            error,
        }
    }

    fn certificate(&self, error: CertificateError) -> AccessError {
        AccessError::Certificate {
            path: self.path.to_owned(),
            error,
        }
    }
}
