//! Whatever the bytes: no panic, and nobody but whom they were issued to.

use std::sync::LazyLock;

use kubetrust_auth::authn::service_account::Keys;
use kubetrust_auth::authn::service_account::issue::BoundTo;
use kubetrust_auth::authn::x509::{Pool, RevocationList, RevokedSerials};
use kubetrust_auth::authn::{Anonymous, Authenticators, PasswordFile, Scheme, TokenFile};
use proptest::prelude::*;

use crate::support::x509::Wish;
use crate::support::*;

static ALL: LazyLock<Authenticators> = LazyLock::new(|| WORLD.authenticators());
static TOKEN: LazyLock<String> = LazyLock::new(|| WORLD.token(BoundTo::Account));
static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| WORLD.ca.issue(&Wish::client("jane")));

/// Bytes in which some were changed, taken out or put in.
fn mutated(original: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let change = (0..original.len(), 0..3_u8, any::<u8>());
    proptest::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut bytes = original.to_vec();
        for (place, kind, byte) in changes {
            let place = place.min(bytes.len().saturating_sub(1));
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes
    })
}

/// Who a bearer token is.
fn bearer_of(token: &str) -> Option<String> {
    ALL.authenticate_token(token, None, &WORLD.cluster, now())
        .ok()
        .map(|found| found.user.name.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_changed_certificate_is_nobody(bytes in mutated(&CERTIFICATE)) {
        let peer = peer(std::slice::from_ref(&bytes));
        let headers = headers(&[]);
        let result = ALL.authenticate(&presented(Some(&peer), &headers), &WORLD.cluster);
        prop_assert_eq!(result.is_ok(), bytes == *CERTIFICATE);
    }

    #[test]
    fn a_changed_token_is_nobody(bytes in mutated(TOKEN.as_bytes())) {
        let token = String::from_utf8_lossy(&bytes);
        let expected = (*token == **TOKEN).then(|| "system:serviceaccount:app:robot".to_owned());
        prop_assert_eq!(bearer_of(&token), expected);
    }

    #[test]
    fn no_text_is_a_token(token in "\\PC{0,64}") {
        let expected = match token.as_str() {
            "static-token" => Some("alice".to_owned()),
            _ => None,
        };
        prop_assert_eq!(bearer_of(&token), expected);
    }

    #[test]
    fn no_three_parts_are_a_token(parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        prop_assert_eq!(bearer_of(&parts), None);
    }

    #[test]
    fn no_headers_make_somebody(
        pairs in proptest::collection::vec(
            (
                prop_oneof![
                    Just("authorization"), Just("x-remote-user"), Just("x-remote-group"), Just("connection"),
                    Just("upgrade"), Just("sec-websocket-protocol"), Just("x-remote-extra-%"),
                ],
                proptest::collection::vec(prop_oneof![32..127_u8, 128..=255_u8], 0..40),
            ),
            0..8,
        ),
    ) {
        let mut headers = http::HeaderMap::new();
        for (name, value) in &pairs {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        let result = ALL.authenticate(&presented(None, &headers), &WORLD.cluster);
        prop_assert!(result.is_ok_and(|found| found.scheme == Scheme::Anonymous) || !pairs.is_empty());
        // From the proxy, what names a user names that one and no other.
        let proxy = WORLD.proxy();
        if let Ok(found) = ALL.authenticate(&presented(Some(&proxy), &headers), &WORLD.cluster) {
            prop_assert_eq!(found.user.name.as_bytes(), headers["x-remote-user"].as_bytes());
        }
        ALL.strip(&mut headers);
        prop_assert!(!headers.contains_key("authorization") && !headers.contains_key("x-remote-user"));
    }

    #[test]
    fn a_token_file_of_any_text_gives_its_own_users_only(
        text in "([a-c,\"\n\r ]|bad\u{e9}){0,80}", token in "[a-c]{1,3}",
    ) {
        if let Ok(file) = TokenFile::parse("t", text.as_bytes())
            && let Some(user) = file.user(&token)
        {
            prop_assert!(text.contains(&token) && text.contains(user.name.as_str()));
        }
        let _ = PasswordFile::parse("p", text.as_bytes());
    }

    #[test]
    fn no_file_breaks_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = TokenFile::parse("t", &bytes);
        let _ = PasswordFile::parse("t", &bytes);
        let _ = RevocationList::read("t", &bytes);
        let _ = RevokedSerials::parse("t", &bytes);
        let _ = Keys::from_pem("t", &bytes);
        let _ = Pool::from_pem("t", &bytes);
        let _ = Anonymous::from_configuration("t", &String::from_utf8_lossy(&bytes));
        let _ = Pool::from_pem("t", pem("CERTIFICATE", &bytes).as_bytes());
        let _ = Keys::from_pem("t", pem("PUBLIC KEY", &bytes).as_bytes());
    }

    #[test]
    fn a_changed_crl_is_an_error_or_unsigned(bytes in mutated(&CRL)) {
        let Ok(lists) = RevocationList::read("t", &bytes) else { return Ok(()) };
        let pool = Pool::from_pem("t", WORLD.ca.pem().as_bytes()).unwrap();
        let revocations =
            kubetrust_auth::authn::x509::Revocations::new(lists, RevokedSerials::default(), &[&pool]);
        prop_assert!(bytes == *CRL || revocations.is_err() || revocations.is_ok_and(|(_, warnings)| !warnings.is_empty()));
    }
}

static CRL: LazyLock<Vec<u8>> = LazyLock::new(|| WORLD.ca.crl(&[&[5], &[6]]));
