//! Certificates and CRLs written octet by octet, since no tool would write most of them.

use der::oid::ObjectIdentifier;
use kubetrust_pki::key::{PrivateKey, PublicKey};
use kubetrust_pki::spec::KeyAlgorithm;

pub const COMMON_NAME: &str = "2.5.4.3";
pub const ORGANIZATION: &str = "2.5.4.10";
pub const UID: &str = "1.3.6.1.4.1.57683.2";
pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
pub const ANY_USAGE: &str = "2.5.29.37.0";

pub const SEQUENCE: u8 = 0x30;
pub const UTF8: u8 = 12;
pub const PRINTABLE: u8 = 19;

pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    if length < 128 {
        bytes.push(u8::try_from(length).unwrap());
    } else {
        let octets: Vec<u8> = length
            .to_be_bytes()
            .into_iter()
            .skip_while(|octet| *octet == 0)
            .collect();
        bytes.push(0x80 | u8::try_from(octets.len()).unwrap());
        bytes.extend(octets);
    }
    bytes.extend(content);
    bytes
}

pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

pub fn oid(text: &str) -> Vec<u8> {
    tlv(6, ObjectIdentifier::new(text).unwrap().as_bytes())
}

fn integer(magnitude: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if magnitude.first().is_some_and(|octet| *octet >= 0x80) {
        &[0]
    } else {
        &[]
    };
    tlv(2, &[sign, magnitude].concat())
}

/// Attributes, each of its own relative name: type, tag of the string, value.
pub fn dn(attributes: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let sets: Vec<_> = attributes
        .iter()
        .map(|(kind, tag, value)| tlv(0x31, &sequence(&[oid(kind), tlv(*tag, value)])))
        .collect();
    sequence(&sets)
}

/// How many CAs may be below a CA, if that is limited.
type PathLength = Option<u8>;

/// What a certificate is to say.
#[derive(Clone)]
pub struct Wish {
    pub subject: Vec<u8>,
    pub serial: Vec<u8>,
    /// As a `UTCTime`, like `until`.
    pub from: &'static str,
    pub until: &'static str,
    pub authority: Option<PathLength>,
    pub usages: Option<Vec<&'static str>>,
    pub version: u8,
    pub critical: Option<&'static str>,
}

impl Wish {
    /// A client of May to July 2026, with its name as serial.
    pub fn client(name: &str) -> Self {
        Self::subject(dn(&[(COMMON_NAME, UTF8, name.as_bytes())]))
    }

    pub fn subject(subject: Vec<u8>) -> Self {
        let serial = subject.iter().rev().take(8).map(|octet| octet | 1).collect();
        Self {
            subject,
            serial,
            from: "260501000000Z",
            until: "260701000000Z",
            authority: None,
            usages: Some(vec![CLIENT_AUTH]),
            version: 2,
            critical: None,
        }
    }

    pub fn authority(name: &str, path_length: Option<u8>) -> Self {
        Self {
            authority: Some(path_length),
            usages: None,
            ..Self::client(name)
        }
    }

    pub fn valid(self, from: &'static str, until: &'static str) -> Self {
        Self { from, until, ..self }
    }

    pub fn usages(self, usages: Option<Vec<&'static str>>) -> Self {
        Self { usages, ..self }
    }

    fn extensions(&self) -> Vec<u8> {
        let extension = |kind: &str, critical: bool, value: &[u8]| {
            let flag = if critical { vec![1, 1, 0xff] } else { vec![] };
            sequence(&[oid(kind), flag, tlv(4, value)])
        };
        let mut extensions = Vec::new();
        if let Some(path_length) = self.authority {
            let length = path_length.map(|length| integer(&[length])).unwrap_or_default();
            extensions.push(extension("2.5.29.19", true, &sequence(&[vec![1, 1, 0xff], length])));
            extensions.push(extension("2.5.29.15", true, &[3, 2, 1, 0b0000_0110]));
        }
        if let Some(usages) = &self.usages {
            let usages: Vec<_> = usages.iter().map(|usage| oid(usage)).collect();
            extensions.push(extension("2.5.29.37", false, &sequence(&usages)));
        }
        if let Some(kind) = self.critical {
            extensions.push(extension(kind, true, &[5, 0]));
        }
        if extensions.is_empty() {
            Vec::new()
        } else {
            tlv(0xa3, &sequence(&extensions))
        }
    }
}

/// A CA.
pub struct Authority {
    pub key: PrivateKey,
    pub name: Vec<u8>,
    pub certificate: Vec<u8>,
}

impl Authority {
    pub fn root(name: &str) -> Self {
        Self::rooted(&Wish::authority(name, None).valid("200101000000Z", "400101000000Z"))
    }

    pub fn rooted(wish: &Wish) -> Self {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let mut authority = Self {
            key,
            name: wish.subject.clone(),
            certificate: Vec::new(),
        };
        authority.certificate = authority.sign(wish, authority.key.public());
        authority
    }

    /// A CA below this one.
    pub fn below(&self, wish: &Wish) -> Self {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let certificate = self.sign(wish, key.public());
        Self {
            key,
            name: wish.subject.clone(),
            certificate,
        }
    }

    pub fn pem(&self) -> String {
        super::pem("CERTIFICATE", &self.certificate)
    }

    /// A certificate for a key that nobody needs again.
    pub fn issue(&self, wish: &Wish) -> Vec<u8> {
        self.sign(wish, PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public())
    }

    pub fn sign(&self, wish: &Wish, key: &PublicKey) -> Vec<u8> {
        let version = if wish.version == 0 {
            vec![]
        } else {
            tlv(0xa0, &integer(&[wish.version]))
        };
        let extensions = if wish.version == 2 { wish.extensions() } else { vec![] };
        self.signed(&sequence(&[
            version,
            integer(&wish.serial),
            algorithm(),
            self.name.clone(),
            sequence(&[tlv(0x17, wish.from.as_bytes()), tlv(0x17, wish.until.as_bytes())]),
            wish.subject.clone(),
            key.spki.clone(),
            extensions,
        ]))
    }

    /// A CRL of these serials.
    pub fn crl(&self, serials: &[&[u8]]) -> Vec<u8> {
        let entries: Vec<_> = serials
            .iter()
            .map(|serial| sequence(&[integer(serial), tlv(0x17, b"260520000000Z")]))
            .collect();
        let entries = if entries.is_empty() { vec![] } else { sequence(&entries) };
        let number = sequence(&[oid("2.5.29.20"), tlv(4, &integer(&[1]))]);
        self.signed(&sequence(&[
            integer(&[1]),
            algorithm(),
            self.name.clone(),
            tlv(0x17, b"260520000000Z"),
            tlv(0x17, b"260525000000Z"),
            entries,
            tlv(0xa0, &sequence(&[number])),
        ]))
    }

    fn signed(&self, body: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(body).unwrap();
        sequence(&[body.to_vec(), algorithm(), tlv(3, &[&[0][..], &signature].concat())])
    }
}

/// `ecdsa-with-SHA256`.
fn algorithm() -> Vec<u8> {
    sequence(&[oid("1.2.840.10045.4.3.2")])
}
