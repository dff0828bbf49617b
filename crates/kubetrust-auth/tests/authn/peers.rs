//! Agreement with others: openssl as CA and signer, and another JWT library as the one who trusts our key set.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kubetrust_auth::authn::service_account::Keys;
use kubetrust_auth::authn::service_account::issue::BoundTo;
use kubetrust_auth::authn::x509::{Pool, RevocationList, Revocations, RevokedSerials, Untrusted, Verifier};
use kubetrust_auth::authn::{Authenticators, Config, Presented, ServiceAccounts};
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::pem;
use kubetrust_pki::spec::KeyAlgorithm;
use kubetrust_testkit::{peers, run};
use serde_json::Value;

use crate::support::*;

fn openssl(folder: &Path, words: &str) -> String {
    let mut command = peers::openssl();
    command.current_dir(folder).args(words.split(' '));
    run(&mut command).success().stdout
}

/// The PEM of an ECDSA key over P-521, which kubetrust does not make.
pub fn p521() -> String {
    openssl(Path::new("/"), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521")
}

/// The PEM of an RSA key that is too short.
pub fn rsa_1024() -> String {
    openssl(Path::new("/"), "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024")
}

const CONFIG: &str = "[ca]\ndefault_ca = this\n[this]\ndatabase = index.txt\nserial = serial\ncrlnumber = crlnumber\n\
    new_certs_dir = .\ndefault_md = sha256\ndefault_days = 30\ndefault_crl_days = 30\npolicy = any\n\
    crl_extensions = crl\n[any]\ncommonName = supplied\norganizationName = optional\n\
    [crl]\nauthorityKeyIdentifier = keyid\n[client]\nextendedKeyUsage = clientAuth\n\
    [middle]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n\
    [req]\ndistinguished_name = dn\n[dn]\n";

#[test]
fn what_openssl_issues_and_revokes_is_taken_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let read = |file: &str| std::fs::read(at.join(file)).unwrap();
    for (file, text) in [
        ("ca.cnf", CONFIG),
        ("index.txt", ""),
        ("serial", "8F00\n"),
        ("crlnumber", "01\n"),
    ] {
        std::fs::write(at.join(file), text).unwrap();
    }
    openssl(
        at,
        "req -x509 -config ca.cnf -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=ca \
        -extensions middle"
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
    );
    let issue = |name: &str, subject: &str, extensions: &str, by: &str| {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes";
        openssl(
            at,
            &format!("req -new -config ca.cnf {key} -keyout {name}.key -out {name}.csr -subj {subject} -utf8"),
        );
        openssl(
            at,
            &format!(
                "ca -batch -notext -config ca.cnf -cert {by}.crt -keyfile {by}.key -in {name}.csr -out {name}.crt -extensions {extensions}"
            ),
        );
        pem::blocks(&read(&format!("{name}.crt")))
            .unwrap()
            .remove(0)
            .der
            .to_vec()
    };
    let jane = issue("jane", "/O=dev/CN=jane", "client", "ca");
    let middle = issue("middle", "/CN=middle", "middle", "ca");
    let june = issue("june", "/CN=j\u{fc}ne", "client", "middle");
    openssl(
        at,
        "ca -config ca.cnf -cert ca.crt -keyfile ca.key -gencrl -out empty.crl",
    );
    openssl(at, "ca -config ca.cnf -cert ca.crt -keyfile ca.key -revoke jane.crt");
    openssl(
        at,
        "ca -config ca.cnf -cert ca.crt -keyfile ca.key -gencrl -out one.crl",
    );
    openssl(at, "crl -in one.crl -outform DER -out one.der");

    let verify = |crl: Option<&str>, chain: &[&Vec<u8>]| {
        let pool = Pool::from_pem("ca.crt", &read("ca.crt")).unwrap();
        let lists = crl
            .map(|file| RevocationList::read(file, &read(file)).unwrap())
            .unwrap_or_default();
        let (revocations, warnings) = Revocations::new(lists, RevokedSerials::default(), &[&pool]).unwrap();
        assert!(warnings.is_empty());
        let chain: Vec<_> = chain.iter().map(|der| (*der).clone().into()).collect();
        Verifier::new(pool, Arc::new(revocations))
            .verify(&chain, Timestamp::now())
            .map(|found| found.common_name)
    };
    for crl in [None, Some("empty.crl")] {
        assert_eq!(verify(crl, &[&jane]), Ok("jane".into()));
    }
    for crl in ["one.crl", "one.der"] {
        let revoked = Untrusted::Revoked {
            serial: "8f00".into(),
            by: crl.into(),
        };
        assert_eq!(verify(Some(crl), &[&jane]), Err(revoked));
        assert_eq!(verify(Some(crl), &[&june, &middle]), Ok("jüne".into()));
    }
    let serial = openssl(at, "x509 -in jane.crt -noout -serial");
    let line = serial.trim().trim_start_matches("serial=");
    assert_eq!(RevokedSerials::parse("r", line.as_bytes()).unwrap().len(), 1);
}

#[test]
fn openssl_and_we_verify_each_others_tokens() {
    let world = &*WORLD;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |file: &str, bytes: &[u8]| std::fs::write(at.join(file), bytes).unwrap();
    write("sa.pub", world.rsa.public().to_pem().as_bytes());
    write("sa.key", world.rsa.to_pem().unwrap().as_bytes());
    let token = world.token(BoundTo::Account);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    write("signed", signed.as_bytes());
    write("signature", &URL_SAFE_NO_PAD.decode(signature).unwrap());
    openssl(at, "dgst -sha256 -verify sa.pub -signature signature signed");

    let (mut header, claims) = parts(&token);
    for (algorithm, hash) in [("RS384", "sha384"), ("RS512", "sha512")] {
        header["alg"] = algorithm.into();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        write("signed", signed.as_bytes());
        openssl(at, &format!("dgst -{hash} -sign sa.key -out signature signed"));
        let token = format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(std::fs::read(at.join("signature")).unwrap())
        );
        let headers = bearer(&token);
        let result = world
            .authenticators()
            .authenticate(&presented(None, &headers), &world.cluster);
        assert_eq!(name(&result), Ok("system:serviceaccount:app:robot"), "{algorithm}");
    }
}

#[test]
fn another_library_verifies_our_tokens_by_our_key_set() {
    let world = &*WORLD;
    let p384 = PrivateKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
    for key in [&world.rsa, &world.ec, &p384] {
        let token = issuer(key)
            .issue(ask(BoundTo::Account), Timestamp::now())
            .unwrap()
            .token;
        let keys = Keys::from_pem("sa.pub", key.public().to_pem().as_bytes()).unwrap();
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys.jwks()).unwrap();
        let header = jsonwebtoken::decode_header(&*token).unwrap();
        let key = set.find(&header.kid.unwrap()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(header.alg);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[ISSUER]);
        let decoded =
            jsonwebtoken::decode::<Value>(&*token, &jsonwebtoken::DecodingKey::from_jwk(key).unwrap(), &rules).unwrap();
        assert_eq!(decoded.claims["sub"], "system:serviceaccount:app:robot");
    }
}

#[test]
fn a_key_has_the_id_that_openssl_computes() {
    let world = &*WORLD;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sa.pub"), world.ec.public().to_pem()).unwrap();
    openssl(folder.path(), "pkey -pubin -in sa.pub -outform DER -out sa.der");
    let hash = openssl(folder.path(), "dgst -sha256 -r sa.der");
    let bytes: Vec<u8> = hash.as_bytes()[..64]
        .chunks(2)
        .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect();
    let keys = Keys::from_pem("sa.pub", world.ec.public().to_pem().as_bytes()).unwrap();
    assert_eq!(keys.ids().collect::<Vec<_>>(), [URL_SAFE_NO_PAD.encode(bytes)]);
}

#[test]
fn keys_in_every_form_of_openssl_verify() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    openssl(at, "ecparam -name prime256v1 -genkey -out sec1.pem");
    openssl(at, "genrsa -traditional -out pkcs1.pem 2048");
    openssl(at, "rsa -in pkcs1.pem -RSAPublicKey_out -out rsapublic.pem");
    openssl(at, "pkey -in pkcs1.pem -pubout -out public.pem");
    let read = |file: &str| std::fs::read(at.join(file)).unwrap();
    let all = [
        read("sec1.pem"),
        read("pkcs1.pem"),
        read("rsapublic.pem"),
        read("public.pem"),
    ]
    .concat();
    let keys = Keys::from_pem("sa.pub", &all).unwrap();
    assert_eq!(keys.ids().count(), 2, "one of each kind, however often it is there");
    let accounts = ServiceAccounts::new(keys, [ISSUER.to_owned()], [AUDIENCE.to_owned()]).unwrap();
    let authenticators = Authenticators::new(Config {
        service_accounts: Some(Arc::new(accounts)),
        ..Config::default()
    });
    for file in ["sec1.pem", "pkcs1.pem"] {
        let key = PrivateKey::from_pem(&read(file)).unwrap();
        let token = issuer(&key).issue(ask(BoundTo::Account), now()).unwrap().token;
        let headers = bearer(&token);
        let presented = Presented {
            now: now(),
            ..presented(None, &headers)
        };
        assert!(
            authenticators.authenticate(&presented, &WORLD.cluster).is_ok(),
            "{file}"
        );
    }
}
