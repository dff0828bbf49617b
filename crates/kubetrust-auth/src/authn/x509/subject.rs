//! The user in a certificate's subject (`CommonNameUserConversion` of `request/x509/x509.go`): the last common name,
//! every organization in order, and a UID attribute.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// `X509UID` of `k8s.io/apimachinery/pkg/apis/asn1` (feature `AllowParsingUserUIDFromCertAuth`, on since 1.33).
const UID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57683.2");

/// How many bytes of UTF-8 a name may have. RFC 5280 allows 64 characters; Kubernetes has no limit, and namespace
/// and account of a service account come to 63 + 253.
const NAME_LIMIT: usize = 1024;

/// The attributes that make a user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub uid: String,
}

/// Why a subject names no user that could be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectFault {
    /// Not the DER of a name.
    #[error("it is not a name")]
    Malformed,
    /// Bytes that its string type doesn't have.
    #[error("{0} is not a valid string of its type")]
    NotText(&'static str),
    /// A character that shows as nothing, or as something else.
    #[error("{0} has a control character in it")]
    Control(&'static str),
    /// Longer than [`NAME_LIMIT`].
    #[error("{0} is longer than {NAME_LIMIT} bytes")]
    TooLong(&'static str),
    /// An organization or UID that is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// More than one UID.
    #[error("expected 1 UID, but found several")]
    SeveralUids,
}

impl Subject {
    /// Reads a subject: the content of its `SEQUENCE`.
    pub fn read(name: &[u8]) -> Result<Self, SubjectFault> {
        let mut subject = Self::default();
        let mut uids = 0;
        for set in elements(name, Tag::Set)? {
            for pair in elements(set.value(), Tag::Sequence)? {
                let (kind, value) = attribute(pair.value())?;
                if kind == COMMON_NAME {
                    subject.common_name = text(value, "the common name (CN)")?;
                } else if kind == ORGANIZATION {
                    subject.organizations.push(filled(value, "an organization (O)")?);
                } else if kind == UID {
                    subject.uid = filled(value, "the UID")?;
                    uids += 1;
                }
            }
        }
        if uids > 1 {
            Err(SubjectFault::SeveralUids)
        } else {
            Ok(subject)
        }
    }
}

fn elements(content: &[u8], tag: Tag) -> Result<Vec<AnyRef<'_>>, SubjectFault> {
    let mut reader = SliceReader::new(content).map_err(|_| SubjectFault::Malformed)?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        let element = AnyRef::decode(&mut reader).map_err(|_| SubjectFault::Malformed)?;
        if der::Tagged::tag(&element) != tag {
            return Err(SubjectFault::Malformed);
        }
        elements.push(element);
    }
    Ok(elements)
}

fn attribute(content: &[u8]) -> Result<(ObjectIdentifier, AnyRef<'_>), SubjectFault> {
    let read = || {
        let mut reader = SliceReader::new(content)?;
        let pair = (ObjectIdentifier::decode(&mut reader)?, AnyRef::decode(&mut reader)?);
        reader.finish()?;
        Ok::<_, der::Error>(pair)
    };
    read().map_err(|_| SubjectFault::Malformed)
}

fn filled(value: AnyRef<'_>, what: &'static str) -> Result<String, SubjectFault> {
    let text = text(value, what)?;
    if text.is_empty() {
        Err(SubjectFault::Empty(what))
    } else {
        Ok(text)
    }
}

fn text(value: AnyRef<'_>, what: &'static str) -> Result<String, SubjectFault> {
    let bytes = value.value();
    if bytes.len() > NAME_LIMIT * 2 {
        return Err(SubjectFault::TooLong(what));
    }
    let text = decode(der::Tagged::tag(&value), bytes).ok_or(SubjectFault::NotText(what))?;
    if text.len() > NAME_LIMIT {
        return Err(SubjectFault::TooLong(what));
    }
    // NUL above all: others end a name there. Go lets them pass; no name that is meant has one.
    if text.chars().any(char::is_control) {
        return Err(SubjectFault::Control(what));
    }
    Ok(text)
}

/// The string types of a `DirectoryString` that Go reads too; T.61 only where it is plain ASCII, since its code page
/// is guesswork beyond.
fn decode(tag: Tag, bytes: &[u8]) -> Option<String> {
    let ascii = |allowed: fn(&u8) -> bool| {
        let fits = bytes.iter().all(|byte| byte.is_ascii() && allowed(byte));
        fits.then(|| bytes.iter().copied().map(char::from).collect())
    };
    match tag {
        Tag::Utf8String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        // With `*`, `&` and `@` as Go has it, for certificates of the wild.
        Tag::PrintableString => ascii(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&@_".contains(byte)),
        Tag::NumericString => ascii(|byte| byte.is_ascii_digit() || *byte == b' '),
        Tag::Ia5String | Tag::TeletexString => ascii(|_| true),
        Tag::BmpString => {
            let (pairs, []) = bytes.as_chunks::<2>() else {
                return None;
            };
            // UCS-2: a surrogate is no character.
            pairs
                .iter()
                .map(|pair| char::from_u32(u32::from(u16::from_be_bytes(*pair))))
                .collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        let mut bytes = vec![tag];
        match length {
            0..=127 => bytes.push(u8::try_from(length).unwrap()),
            128..=255 => bytes.extend([0x81, u8::try_from(length).unwrap()]),
            _ => bytes.extend([&[0x82][..], &length.to_be_bytes()].concat()),
        }
        bytes.extend(content);
        bytes
    }

    fn rdn(oid: ObjectIdentifier, tag: u8, value: &[u8]) -> Vec<u8> {
        tlv(0x31, &tlv(0x30, &[tlv(6, oid.as_bytes()), tlv(tag, value)].concat()))
    }

    const UTF8: u8 = 12;
    const PRINTABLE: u8 = 19;

    #[test]
    fn every_string_type_is_read_by_its_own_rules() {
        for (tag, value, expected) in [
            (UTF8, "jürgen".as_bytes(), Some("jürgen")),
            (UTF8, b"\xff", None),
            (UTF8, b"\xc0\x80", None),
            (PRINTABLE, b"system:node:a.b-c", Some("system:node:a.b-c")),
            (PRINTABLE, b"a\x00b", None),
            (PRINTABLE, b"a<b", None),
            (PRINTABLE, b"\xe9", None),
            (18, b"123 4", Some("123 4")),
            (18, b"12a", None),
            (22, b"a@b.c", Some("a@b.c")),
            (22, b"\xe9", None),
            (20, b"plain", Some("plain")),
            (20, b"\xe9", None),
            (30, b"\x00a\x00b", Some("ab")),
            (30, b"\x00a\x00", None),
            (30, b"\xd8\x00", None),
            (4, b"octets", None),
            (2, b"\x01", None),
        ] {
            let subject = Subject::read(&rdn(COMMON_NAME, tag, value));
            assert_eq!(
                subject.as_ref().ok().map(|s| s.common_name.as_str()),
                expected,
                "{tag} {value:?} {subject:?}"
            );
        }
    }

    #[test]
    fn no_character_that_hides_is_in_a_name() {
        for value in ["admin\0.evil", "a\u{7f}", "a\nb", "a\u{85}b", "\u{1b}[31m"] {
            let subject = Subject::read(&rdn(COMMON_NAME, UTF8, value.as_bytes()));
            assert_eq!(subject, Err(SubjectFault::Control("the common name (CN)")), "{value:?}");
        }
    }

    #[test]
    fn the_last_common_name_and_every_organization_count() {
        let name = [
            rdn(ORGANIZATION, UTF8, b"b"),
            rdn(COMMON_NAME, UTF8, b"Users"),
            rdn(ORGANIZATION, PRINTABLE, b"a"),
            rdn(ObjectIdentifier::new_unwrap("2.5.4.11"), 4, b"\xff"),
            rdn(COMMON_NAME, UTF8, b"jane"),
            rdn(UID, UTF8, b"42"),
        ]
        .concat();
        let expected = Subject {
            common_name: "jane".into(),
            organizations: vec!["b".into(), "a".into()],
            uid: "42".into(),
        };
        assert_eq!(Subject::read(&name), Ok(expected));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let uid = rdn(UID, UTF8, b"1");
        let cases = [
            (vec![0x31], SubjectFault::Malformed),
            (vec![0x31, 0x7f, 1], SubjectFault::Malformed),
            (tlv(0x30, &[]), SubjectFault::Malformed),
            (tlv(0x31, &tlv(0x30, &[5, 0])), SubjectFault::Malformed),
            (rdn(ORGANIZATION, UTF8, b""), SubjectFault::Empty("an organization (O)")),
            (rdn(UID, UTF8, b""), SubjectFault::Empty("the UID")),
            ([uid.clone(), uid].concat(), SubjectFault::SeveralUids),
            (
                rdn(COMMON_NAME, UTF8, &[b'a'; 1025]),
                SubjectFault::TooLong("the common name (CN)"),
            ),
            (
                rdn(COMMON_NAME, UTF8, &[b'a'; 10_240]),
                SubjectFault::TooLong("the common name (CN)"),
            ),
        ];
        for (name, fault) in cases {
            assert_eq!(Subject::read(&name), Err(fault));
        }
        assert_eq!(Subject::read(&[]), Ok(Subject::default()));
        assert!(Subject::read(&rdn(COMMON_NAME, UTF8, &[b'a'; 1024])).is_ok());
    }
}
