//! Certificates that were revoked, by CRL and by serial, on connections that are open.

use kubetrust_auth::authn::x509::{Pool, RevocationList, Revocations, RevokedSerials};
use kubetrust_auth::authn::{Authenticators, PeerChain};

use crate::support::x509::*;
use crate::support::*;

fn crl(authority: &Authority, serials: &[&[u8]]) -> RevocationList {
    let mut lists = RevocationList::read("crl.pem", pem("X509 CRL", &authority.crl(serials)).as_bytes()).unwrap();
    assert_eq!(lists.len(), 1);
    lists.remove(0)
}

fn judge(all: &Authenticators, peer: &PeerChain) -> Result<String, String> {
    let headers = headers(&[]);
    let result = all.authenticate(&presented(Some(peer), &headers), &WORLD.cluster);
    name(&result).map(str::to_owned)
}

#[test]
fn the_next_request_on_an_open_connection_is_refused() {
    let world = &*WORLD;
    let wish = Wish {
        serial: vec![0x8f, 0x2a],
        ..Wish::client("jane")
    };
    let jane = peer(&[world.ca.issue(&wish)]);
    let june = peer(&[world.ca.issue(&Wish {
        serial: vec![0x8f, 0x2b],
        ..Wish::client("june")
    })]);
    let before = world.authenticators();
    assert_eq!(judge(&before, &jane), Ok("jane".into()));

    for config in [
        world.config(vec![crl(&world.ca, &[&[1], &wish.serial])], ""),
        world.config(Vec::new(), "# lost laptop\n8F:2A\n"),
        world.config(Vec::new(), "8f2a CN=kubernetes-ca\n"),
    ] {
        let after = Authenticators::new(config);
        let said = judge(&after, &jane).unwrap_err();
        assert!(
            said.contains("serial 8f2a, or the CA it names, was revoked by"),
            "{said}"
        );
        assert_eq!(judge(&after, &june), Ok("june".into()));
        assert_eq!(
            judge(&before, &jane),
            Ok("jane".into()),
            "a generation remembers its own findings only"
        );
    }
    for config in [
        world.config(vec![crl(&world.ca, &[])], ""),
        world.config(vec![crl(&world.proxy_ca, &[&wish.serial])], ""),
        world.config(Vec::new(), "8f2a CN=front-proxy-ca\n"),
        world.config(Vec::new(), "8f2a00\n"),
    ] {
        assert_eq!(judge(&Authenticators::new(config), &jane), Ok("jane".into()));
    }
}

#[test]
fn a_revoked_intermediate_takes_all_below_it_along() {
    let world = &*WORLD;
    let middle = world.ca.below(&Wish {
        serial: vec![9],
        ..Wish::authority("middle", None)
    });
    let chain = || peer(&[middle.issue(&Wish::client("jane")), middle.certificate.clone()]);
    let said = judge(
        &Authenticators::new(world.config(vec![crl(&world.ca, &[&[9]])], "")),
        &chain(),
    )
    .unwrap_err();
    assert!(said.contains("serial 09"), "{said}");

    // The intermediate's own CRL, which only its own certificate can prove.
    let leaf = Wish {
        serial: vec![5],
        ..Wish::client("jane")
    };
    let by_middle = crl(&middle, &[&[5]]);
    let config = world.config(vec![by_middle], "");
    let all = Authenticators::new(config);
    let jane = peer(&[middle.issue(&leaf), middle.certificate.clone()]);
    assert!(judge(&all, &jane).is_err());
    let direct = peer(&[world.ca.issue(&leaf)]);
    assert_eq!(judge(&all, &direct), Ok("jane".into()), "the same serial of another CA");

    // And one that bears the intermediate's name only.
    let impostor = Authority::root("middle");
    let all = Authenticators::new(world.config(vec![crl(&impostor, &[&[5]])], ""));
    assert_eq!(
        judge(&all, &peer(&[middle.issue(&leaf), middle.certificate.clone()])),
        Ok("jane".into())
    );
}

#[test]
fn a_revoked_proxy_speaks_for_nobody() {
    let world = &*WORLD;
    let wish = Wish {
        serial: vec![3],
        ..Wish::client("front-proxy-client")
    };
    let proxy = peer(&[world.proxy_ca.issue(&wish)]);
    let headers = headers(&[("x-remote-user", "jane")]);
    let ask = |all: &Authenticators| {
        name(&all.authenticate(&presented(Some(&proxy), &headers), &world.cluster)).map(str::to_owned)
    };
    assert_eq!(ask(&world.authenticators()), Ok("jane".into()));
    assert!(
        ask(&Authenticators::new(
            world.config(vec![crl(&world.proxy_ca, &[&[3]])], "")
        ))
        .is_err()
    );
}

#[test]
fn while_a_ca_changes_each_crl_counts_for_its_own_key() {
    let world = &*WORLD;
    let pool = || {
        Pool::from_pem(
            "ca.crt",
            format!("{}{}", world.ca.pem(), world.namesake.pem()).as_bytes(),
        )
        .unwrap()
    };
    let wish = Wish {
        serial: vec![5],
        ..Wish::client("jane")
    };
    let (revocations, warnings) = Revocations::new(
        vec![crl(&world.ca, &[&[5]]), crl(&world.namesake, &[&[6]])],
        RevokedSerials::default(),
        &[&pool()],
    )
    .unwrap();
    assert!(warnings.is_empty());
    let verifier = kubetrust_auth::authn::x509::Verifier::new(pool(), std::sync::Arc::new(revocations));
    let verify = |authority: &Authority, serial: u8| {
        let der = authority.issue(&Wish {
            serial: vec![serial],
            ..wish.clone()
        });
        verifier.verify(&[der.into()], now()).is_ok()
    };
    assert!(!verify(&world.ca, 5));
    assert!(verify(&world.namesake, 5));
    assert!(verify(&world.ca, 6));
    assert!(!verify(&world.namesake, 6));
}

#[test]
fn a_crl_that_could_be_believed_wrongly_is_an_error() {
    let world = &*WORLD;
    let pool = Pool::from_pem("ca.crt", world.ca.pem().as_bytes()).unwrap();
    let load = |lists| Revocations::new(lists, RevokedSerials::default(), &[&pool]).map(|(_, warnings)| warnings);
    let forged = load(vec![crl(&world.namesake, &[&[5]])]).unwrap_err().to_string();
    assert!(
        forged.starts_with("crl.pem:1: the CRL bears the name of the CA CN=kubernetes-ca"),
        "{forged}"
    );
    let foreign = load(vec![crl(&world.proxy_ca, &[])]).unwrap();
    assert!(foreign[0].to_string().contains("no CA of ours"), "{foreign:?}");

    let der = world.ca.crl(&[&[5]]);
    assert_eq!(RevocationList::read("crl.der", &der).unwrap().len(), 1);
    for bytes in [
        &b""[..],
        b"junk",
        &der[..der.len() - 1],
        pem("X509 CRL", b"junk").as_bytes(),
        &world.ca.certificate,
    ] {
        assert!(RevocationList::read("crl", bytes).is_err());
    }
}
