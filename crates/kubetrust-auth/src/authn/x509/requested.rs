//! Whom a certificate would name that is issued as a request (PKCS#10, RFC 2986) asks for it. What may be asked for is
//! decided by the very reading that later decides who the certificate's holder is.

use der::{AnyRef, Decode, Encode};
use kubetrust_pki::pem;
use x509_cert::request::CertReq;

use super::subject::{Subject, SubjectFault};

const LABEL: &str = "CERTIFICATE REQUEST";

/// The subject of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// The user's name; empty if there is none.
    pub common_name: String,
    /// The user's groups.
    pub organizations: Vec<String>,
}

/// Why a text is no request for anybody's certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// The first PEM block is another, or there is none.
    #[error("PEM block type must be {LABEL}")]
    NotARequest,
    /// The DER can't be read.
    #[error("the request is damaged: {0}")]
    Damaged(#[from] der::Error),
    /// The subject is no name that could be a user's.
    #[error("the request's subject: {0}")]
    Subject(#[from] SubjectFault),
}

impl Requested {
    /// Reads a request in PEM.
    pub fn from_pem(text: &[u8]) -> Result<Self, RequestFault> {
        let blocks = pem::blocks(text).map_err(|_| RequestFault::NotARequest)?;
        let first = blocks.into_iter().next().filter(|block| block.label == LABEL);
        let block = first.ok_or(RequestFault::NotARequest)?;
        let name = CertReq::from_der(&block.der)?.info.subject.to_der()?;
        let subject = Subject::read(AnyRef::from_der(&name)?.value())?;
        Ok(Self {
            common_name: subject.common_name,
            organizations: subject.organizations,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::SignedDuration;
    use kubetrust_pki::issue;
    use kubetrust_pki::key::PrivateKey;
    use kubetrust_pki::profile::{self, Profile, Usages};
    use kubetrust_pki::spec::{KeyAlgorithm, SubjectExtras};
    use x509_cert::name::Name;

    use super::*;

    fn request() -> String {
        let subject = profile::Subject {
            common_name: "system:node:n1".into(),
            organizations: vec!["system:nodes".into(), "b".into()],
            extras: SubjectExtras::default(),
        };
        let profile = Profile {
            subject,
            sans: BTreeSet::new(),
            kind: profile::Kind::Leaf(Usages::Client),
            lifetime: SignedDuration::from_hours(1),
        };
        issue::request(&profile, &PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).unwrap()
    }

    #[test]
    fn a_request_names_whom_its_certificate_would_name() {
        let expected = Requested {
            common_name: "system:node:n1".into(),
            organizations: vec!["system:nodes".into(), "b".into()],
        };
        assert_eq!(Requested::from_pem(request().as_bytes()), Ok(expected));
    }

    #[test]
    fn a_group_hides_in_no_string_type() {
        let block = pem::blocks(request().as_bytes()).unwrap().remove(0);
        for (tag, group) in [
            (12, b"system:masters".to_vec()),
            (19, b"system:masters".to_vec()),
            (20, b"system:masters".to_vec()),
            (22, b"system:masters".to_vec()),
            (30, b"system:masters".iter().flat_map(|byte| [0, *byte]).collect()),
        ] {
            let tlv = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
            let pair = tlv(0x30, &[tlv(6, &[0x55, 4, 10]), tlv(tag, &group)].concat());
            let mut request = CertReq::from_der(&block.der).unwrap();
            request.info.subject = Name::from_der(&tlv(0x30, &tlv(0x31, &pair))).unwrap();
            let requested = Requested::from_pem(pem::encode(LABEL, &request.to_der().unwrap()).as_bytes()).unwrap();
            assert_eq!(requested.organizations, ["system:masters"], "{tag}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let certificate = pem::encode("CERTIFICATE", b"\x30\x00");
        let empty = pem::encode(LABEL, b"\x30\x00");
        for (text, fault) in [
            ("", "PEM block type must be CERTIFICATE REQUEST"),
            ("no PEM", "PEM block type must be CERTIFICATE REQUEST"),
            (
                "-----BEGIN CERTIFICATE REQUEST-----\n",
                "PEM block type must be CERTIFICATE REQUEST",
            ),
            (&certificate, "PEM block type must be CERTIFICATE REQUEST"),
            (
                &format!("{certificate}{empty}"),
                "PEM block type must be CERTIFICATE REQUEST",
            ),
            (&empty, "the request is damaged: "),
        ] {
            let refused = Requested::from_pem(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with(fault), "{text:?}: {refused}");
        }
    }
}
