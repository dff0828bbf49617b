//! Client certificates: who is whom, and everything that must not be anybody.

use std::sync::Arc;

use kubetrust_auth::authn::x509::{Pool, Revocations, Untrusted, Verifier};
use kubetrust_auth::authn::{Authenticators, Config, PeerChain, Refused, Scheme};

use crate::support::x509::*;
use crate::support::*;

/// The only reason of a refusal of a server that knows certificates only.
fn judge(chain: &[Vec<u8>]) -> Result<String, Untrusted> {
    judge_by(&WORLD.ca.pem(), chain)
}

fn judge_by(pool: &str, chain: &[Vec<u8>]) -> Result<String, Untrusted> {
    let pool = Pool::from_pem("ca.crt", pool.as_bytes()).unwrap();
    let verifier = Verifier::new(pool, Arc::new(Revocations::default()));
    let all = Authenticators::new(Config {
        client: Some(verifier),
        ..Config::default()
    });
    let headers = headers(&[]);
    let ask = || all.authenticate(&presented(Some(&peer(chain)), &headers), &WORLD.cluster);
    // What is remembered of a connection's chain is not told apart from what is found.
    let (first, again) = (ask(), ask());
    assert_eq!(name(&first), name(&again));
    match again {
        Ok(authenticated) => Ok(authenticated.user.name.clone()),
        Err(refusal) => match refusal.reasons.as_slice() {
            [(Scheme::X509, Refused::Certificate(reason))] => Err(reason.clone()),
            other => panic!("{other:?}"),
        },
    }
}

#[test]
fn a_subject_becomes_a_user() {
    let world = &*WORLD;
    let subject = dn(&[
        (ORGANIZATION, UTF8, b"dev"),
        (COMMON_NAME, PRINTABLE, b"jane"),
        (ORGANIZATION, PRINTABLE, b"ops"),
        (UID, UTF8, b"42"),
    ]);
    let certificate = world.ca.issue(&Wish::subject(subject));
    let fingerprint = kubetrust_pki::certificate::Certificate::from_der(&certificate)
        .unwrap()
        .fingerprint();
    let peer = peer(&[certificate]);
    let headers = headers(&[]);
    let authenticated = world
        .authenticators()
        .authenticate(&presented(Some(&peer), &headers), &world.cluster)
        .unwrap();
    assert_eq!(authenticated.scheme, Scheme::X509);
    assert_eq!(*authenticated.audiences, [AUDIENCE.to_owned()]);
    let user = &authenticated.user;
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "42"));
    assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
    let extra: Vec<_> = user.extra.iter().collect();
    let expected = vec![format!("X509SHA256={fingerprint}")];
    assert_eq!(
        extra,
        [(&"authentication.kubernetes.io/credential-id".to_owned(), &expected)]
    );
}

#[test]
fn only_a_good_chain_to_the_pool_counts() {
    let world = &*WORLD;
    let middle = world.ca.below(&Wish::authority("middle", Some(0)));
    let deeper = middle.below(&Wish::authority("deeper", None));
    let server_only = world
        .ca
        .below(&Wish::authority("servers", None).usages(Some(vec![SERVER_AUTH])));
    let late = world
        .ca
        .below(&Wish::authority("late", None).valid("260101000000Z", "260531000000Z"));
    let issue = |wish: Wish| world.ca.issue(&wish);
    let jane = || Wish::client("jane");
    let by_middle = middle.issue(&jane());
    let unknown = Err(Untrusted::UnknownAuthority);
    let time = |text: &str| text.parse().unwrap();

    let cases: Vec<(&str, Vec<Vec<u8>>, Result<&str, Untrusted>)> = vec![
        ("good", vec![issue(jane())], Ok("jane")),
        (
            "any usage",
            vec![issue(jane().usages(Some(vec![SERVER_AUTH, ANY_USAGE])))],
            Ok("jane"),
        ),
        ("no usage extension", vec![issue(jane().usages(None))], Ok("jane")),
        (
            "with its intermediate",
            vec![by_middle.clone(), middle.certificate.clone()],
            Ok("jane"),
        ),
        (
            "with its intermediate and strangers",
            vec![
                by_middle.clone(),
                world.namesake.certificate.clone(),
                middle.certificate.clone(),
                b"junk".to_vec(),
            ],
            Ok("jane"),
        ),
        ("without its intermediate", vec![by_middle.clone()], unknown.clone()),
        (
            "an intermediate as client",
            vec![middle.certificate.clone()],
            Err(Untrusted::Authority),
        ),
        (
            "the root as client",
            vec![world.ca.certificate.clone()],
            Err(Untrusted::Authority),
        ),
        (
            "below a path length",
            vec![
                deeper.issue(&jane()),
                deeper.certificate.clone(),
                middle.certificate.clone(),
            ],
            Err(Untrusted::Constraint("PathLenConstraintViolated".into())),
        ),
        (
            "server only",
            vec![issue(jane().usages(Some(vec![SERVER_AUTH])))],
            Err(Untrusted::Usage),
        ),
        (
            "an empty list of usages",
            vec![issue(jane().usages(Some(vec![])))],
            Err(Untrusted::Usage),
        ),
        (
            "below a server-only CA",
            vec![server_only.issue(&jane()), server_only.certificate.clone()],
            Err(Untrusted::Usage),
        ),
        (
            "expired",
            vec![issue(jane().valid("260101000000Z", "260531235959Z"))],
            Err(Untrusted::Expired(time("2026-05-31T23:59:59Z"))),
        ),
        (
            "valid to the second",
            vec![issue(jane().valid("260601000000Z", "260601000000Z"))],
            Ok("jane"),
        ),
        (
            "not yet valid",
            vec![issue(jane().valid("260601000001Z", "270101000000Z"))],
            Err(Untrusted::NotYetValid(time("2026-06-01T00:00:01Z"))),
        ),
        (
            "below an expired CA",
            vec![late.issue(&jane()), late.certificate.clone()],
            Err(Untrusted::Expired(time("2026-05-31T00:00:00Z"))),
        ),
        ("of another CA", vec![world.proxy_ca.issue(&jane())], unknown.clone()),
        (
            "of another CA that sends itself",
            vec![world.proxy_ca.issue(&jane()), world.proxy_ca.certificate.clone()],
            unknown.clone(),
        ),
        (
            "of a CA of the same name",
            vec![world.namesake.issue(&jane())],
            Err(Untrusted::Signature),
        ),
        (
            "signed by a client",
            {
                let client = world.ca.below(&Wish::client("client"));
                vec![client.issue(&jane()), client.certificate.clone()]
            },
            Err(Untrusted::Constraint("EndEntityUsedAsCa".into())),
        ),
        (
            "of version 1",
            vec![issue(Wish { version: 0, ..jane() })],
            Err(Untrusted::OldVersion),
        ),
        (
            "with an unknown critical extension",
            vec![issue(Wish {
                critical: Some("1.2.3.4"),
                ..jane()
            })],
            Err(Untrusted::Malformed("UnsupportedCriticalExtension".into())),
        ),
        (
            "junk",
            vec![b"junk".to_vec()],
            Err(Untrusted::Malformed("TrailingData(SignedData)".into())),
        ),
        (
            "nothing",
            vec![vec![]],
            Err(Untrusted::Malformed("TrailingData(SignedData)".into())),
        ),
        ("a long chain", vec![by_middle; 17], Err(Untrusted::TooLong(17))),
    ];
    for (what, chain, expected) in cases {
        assert_eq!(judge(&chain), expected.map(str::to_owned), "{what}");
    }
}

#[test]
fn a_subject_that_confuses_is_nobody() {
    let name = |value: &[u8]| judge(&[WORLD.ca.issue(&Wish::subject(dn(&[(COMMON_NAME, UTF8, value)])))]);
    for (value, expected) in [
        (&b"admin\0.example"[..], "control character"),
        (b"admin\n", "control character"),
        (b"\xff\xfe", "not a valid string"),
        (&[b'a'; 10 * 1024], "longer than"),
    ] {
        let said = name(value).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(name("käthe".as_bytes()), Ok("käthe".into()));
    assert_eq!(name("管理员".as_bytes()), Ok("管理员".into()));
}

#[test]
fn a_certificate_without_a_name_is_declined() {
    let world = &*WORLD;
    let headers = headers(&[]);
    for subject in [
        dn(&[]),
        dn(&[(COMMON_NAME, UTF8, b"")]),
        dn(&[(ORGANIZATION, UTF8, b"system:masters")]),
    ] {
        let peer = peer(&[world.ca.issue(&Wish {
            serial: vec![7],
            ..Wish::subject(subject)
        })]);
        let config = Config {
            front_proxy: None,
            ..world.config(Vec::new(), "")
        };
        let (result, explanation) =
            Authenticators::new(config).explain(&presented(Some(&peer), &headers), &world.cluster);
        assert_eq!(name(&result), Ok("system:anonymous"), "{explanation}");
        assert_eq!(result.unwrap().user.groups, ["system:unauthenticated"]);
    }
}

#[test]
fn a_root_is_held_to_what_it_says() {
    let wish = || Wish::authority("root", None).valid("200101000000Z", "400101000000Z");
    let jane = Wish::client("jane");
    let rooted = |wish: Wish| {
        let root = Authority::rooted(&wish);
        judge_by(&root.pem(), &[root.issue(&jane)])
    };
    assert_eq!(rooted(wish()), Ok("jane".into()));
    assert_eq!(rooted(wish().usages(Some(vec![CLIENT_AUTH]))), Ok("jane".into()));
    assert_eq!(rooted(wish().usages(Some(vec![SERVER_AUTH]))), Err(Untrusted::Usage));
    let expired = Untrusted::Expired("2026-05-31T00:00:00Z".parse().unwrap());
    assert_eq!(rooted(wish().valid("200101000000Z", "260531000000Z")), Err(expired));
    let early = Untrusted::NotYetValid("2026-06-02T00:00:00Z".parse().unwrap());
    assert_eq!(rooted(wish().valid("260602000000Z", "400101000000Z")), Err(early));

    let root = Authority::rooted(&Wish {
        authority: Some(Some(0)),
        ..wish()
    });
    let below = root.below(&Wish::authority("below", None));
    let chain = [below.issue(&jane), below.certificate.clone()];
    assert!(matches!(judge_by(&root.pem(), &chain), Err(Untrusted::Constraint(_))));
}

#[test]
fn while_a_ca_changes_both_of_its_name_count() {
    let world = &*WORLD;
    let both = format!("{}{}", world.ca.pem(), world.namesake.pem());
    let jane = Wish::client("jane");
    for authority in [&world.ca, &world.namesake] {
        assert_eq!(judge_by(&both, &[authority.issue(&jane)]), Ok("jane".into()));
    }
}

#[test]
fn a_pool_says_which_certificate_is_wrong_and_where() {
    let world = &*WORLD;
    let client = pem("CERTIFICATE", &world.ca.issue(&Wish::client("jane")));
    let two = format!("{}\n{client}", world.ca.pem());
    let line = world.ca.pem().lines().count() + 2;
    for (text, start) in [
        (
            two.clone(),
            format!("ca.crt:{line}: the certificate CN=jane is not a CA's"),
        ),
        (String::new(), "ca.crt: there is no certificate in it".into()),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n".into(),
            "ca.crt: line 1: the block CERTIFICATE has no END".into(),
        ),
        (
            pem("CERTIFICATE", b"junk"),
            "ca.crt:1: the certificate is damaged".into(),
        ),
    ] {
        let error = Pool::from_pem("ca.crt", text.as_bytes()).err().unwrap().to_string();
        assert!(error.starts_with(&start), "{error}");
    }
}

/// What is said of jane's chain, which is valid for two months, on connections that come so.
fn only_while_it_is_valid(mut connection: impl FnMut() -> Arc<PeerChain>) {
    let world = &*WORLD;
    let all = world.authenticators();
    let headers = headers(&[]);
    let mut at = |time: &str| {
        let peer = connection();
        let presented = kubetrust_auth::authn::Presented {
            now: time.parse().unwrap(),
            ..presented(Some(&peer), &headers)
        };
        all.authenticate(&presented, &world.cluster)
    };
    let first = at("2026-06-01T00:00:00Z").unwrap();
    let second = at("2026-06-30T00:00:00Z").unwrap();
    assert!(
        Arc::ptr_eq(&first.user, &second.user),
        "the second time nothing is verified"
    );
    assert_eq!(name(&at("2026-07-01T00:00:00Z")), Ok("jane"));
    for (time, reason) in [
        ("2026-07-01T00:00:01Z", "expired at 2026-07-01T00:00:00Z"),
        ("2026-04-30T23:59:59Z", "valid from 2026-05-01T00:00:00Z"),
    ] {
        assert!(name(&at(time)).unwrap_err().contains(reason), "{time}");
    }
    assert_eq!(name(&at("2026-06-01T00:00:00Z")), Ok("jane"));
}

#[test]
fn a_connection_remembers_its_chain_until_it_ends() {
    let peer = Arc::new(WORLD.client("jane"));
    only_while_it_is_valid(|| Arc::clone(&peer));
}

#[test]
fn a_chain_is_known_to_the_next_connection_until_it_ends() {
    let chain = [WORLD.ca.issue(&Wish::client("jane"))];
    only_while_it_is_valid(|| Arc::new(peer(&chain)));
}
