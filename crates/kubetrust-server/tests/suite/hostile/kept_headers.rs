//! Tokens that a connection keeps in its table of headers (RFC 7541, 2.3.2) as Go's client does: each is still its
//! own account's, and is good only as long as any other.

use serde_json::{Value, json};

use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame};
use super::wire::Wire;
use super::world::World;
use crate::support::{Credential, Engine};

on_both!(a_kept_token_is_its_accounts_for_as_long_as_that_is_there);

const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
/// `authorization` with a value that is to be kept, its name by the static table.
const KEEP: u8 = 0x40 + 23;
/// The two newest of the table, whole.
const NEWEST: u8 = 0x80 + 62;
const SECOND: u8 = 0x80 + 63;

/// A header that is to be kept.
fn kept(token: &str) -> Vec<u8> {
    let value = format!("Bearer {token}");
    let rest = value.len() - 0x7f;
    let [low, high] = [u8::try_from(rest & 0x7f).unwrap(), u8::try_from(rest >> 7).unwrap()];
    [&[KEEP, 0x7f, 0x80 | low, high], value.as_bytes()].concat()
}

/// A question who one is, with these bytes for `authorization`.
fn question(stream: u32, authorization: &[u8]) -> Vec<u8> {
    let json = [("content-type", "application/json")];
    let head = [block("POST", REVIEW, &json), authorization.to_vec()].concat();
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    [
        frame(HEADERS, END_HEADERS, stream, &head),
        frame(DATA, END_STREAM, stream, body.as_bytes()),
    ]
    .concat()
}

/// Whom the server took each of these for, or the code of its refusal.
async fn answers(wire: &mut Wire, streams: &[u32]) -> Vec<String> {
    let mut bodies: Vec<(Vec<u8>, bool)> = streams.iter().map(|_| (Vec::new(), false)).collect();
    while bodies.iter().any(|(_, ended)| !ended) {
        let came = wire.answered_frame().await.unwrap();
        let Some(place) = streams.iter().position(|stream| *stream == came.stream) else {
            continue;
        };
        let (body, ended) = &mut bodies[place];
        if came.kind == DATA {
            body.extend_from_slice(&came.payload);
        }
        *ended |= matches!(came.kind, DATA | HEADERS) && came.flags & END_STREAM != 0;
    }
    let said = |(body, _): (Vec<u8>, bool)| {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let name = &body["status"]["userInfo"]["username"];
        name.as_str().map_or_else(
            || body["code"].to_string(),
            |name| name.rsplit(':').next().unwrap().to_owned(),
        )
    };
    bodies.into_iter().map(said).collect()
}

async fn a_kept_token_is_its_accounts_for_as_long_as_that_is_there(engine: Engine) {
    let world = World::start(engine).await;
    let [first, second] = [world.robot("first").await, world.robot("second").await];
    let token = |credential: &Credential| kept(credential.token.as_ref().unwrap());
    let mut wire = Wire::open(&world, &Credential::none(), b"h2").await;
    wire.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
        .await
        .unwrap();
    let mut next = 1;
    let mut ask = async |headers: &[&[u8]]| {
        let streams: Vec<u32> = (next..).step_by(2).take(headers.len()).collect();
        next += 2 * u32::try_from(headers.len()).unwrap();
        let asked = streams.iter().zip(headers);
        let bytes: Vec<u8> = asked.flat_map(|(stream, header)| question(*stream, header)).collect();
        wire.send(&bytes).await.unwrap();
        answers(&mut wire, &streams).await
    };
    assert_eq!(ask(&[&token(&first)]).await, ["first"]);
    assert_eq!(ask(&[&token(&second)]).await, ["second"]);
    for _ in 0..3 {
        assert_eq!(ask(&[&[SECOND]]).await, ["first"]);
        assert_eq!(ask(&[&[NEWEST]]).await, ["second"]);
        let at_once = [&[SECOND][..], &[NEWEST], &[NEWEST], &[SECOND]].repeat(4);
        assert_eq!(ask(&at_once).await, ["first", "second", "second", "first"].repeat(4));
        assert_eq!(ask(&[&[NEWEST], &[], &[SECOND]]).await, ["second", "403", "first"]);
    }
    let account = format!("{ACCOUNTS}/first");
    assert_eq!(ask(&[&[SECOND]]).await, ["first"]);
    let gone = world.admin().request(http::Method::DELETE, &account, &[], None).await;
    assert_eq!(gone.code, 200);
    assert_eq!(ask(&[&[SECOND], &[NEWEST]]).await, ["401", "second"]);
    // One of the same name is another.
    let again = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "first"}});
    world.create(ACCOUNTS, &again).await;
    assert_eq!(ask(&[&[SECOND], &[NEWEST]]).await, ["401", "second"]);
}
