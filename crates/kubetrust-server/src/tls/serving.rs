//! The certificates that the server shows: one by default, and others for the names that clients ask for (SNI).

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// A certificate chain with its key, and the names that it is shown for.
#[derive(Clone, Debug)]
pub struct ServingPair {
    key: Arc<CertifiedKey>,
    /// Lower-case host names, `*.` for one label, from the flag.
    names: Vec<String>,
}

/// Why a serving pair can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServingError {
    /// No certificate in the file.
    #[error("holds no PEM certificate")]
    NoCertificate,
    /// No key in the file.
    #[error("holds no PEM private key")]
    NoKey,
    /// Certificate and key are not of one pair.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// The key or the certificate can't be used.
    #[error("can't be used: {0}")]
    Unusable(String),
}

impl ServingPair {
    /// Validates a chain (leaf first) and its key, both PEM. `names` is empty for the names of the certificate.
    pub fn from_pem(certificate: &[u8], key: &[u8], names: &[String]) -> Result<Self, ServingError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| ServingError::NoCertificate)?;
        if chain.is_empty() {
            return Err(ServingError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| ServingError::NoKey)?;
        let provider = super::provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => ServingError::Mismatch,
            other => ServingError::Unusable(other.to_string()),
        })?;
        Ok(Self {
            key: Arc::new(key),
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        })
    }

    /// The leaf.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }

    fn serves(&self, host: &str) -> bool {
        if self.names.is_empty() {
            return self.certificate().is_some_and(|leaf| certificate_names(leaf, host));
        }
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => name == host,
        })
    }
}

fn certificate_names(leaf: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host) else {
        return false;
    };
    webpki::EndEntityCert::try_from(leaf).is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
}

/// All pairs that are shown.
#[derive(Clone, Debug)]
pub struct ServingPairs {
    /// What is shown to clients that ask for no name, or for one that no other pair has.
    pub default: ServingPair,
    /// `--tls-sni-cert-key`, in the order of the flags: the first that has the name is shown.
    pub by_name: Vec<ServingPair>,
}

impl ResolvesServerCert for ServingPairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let named = asked.and_then(|host| self.by_name.iter().find(|pair| pair.serves(&host)));
        Some(Arc::clone(&named.unwrap_or(&self.default).key))
    }
}
