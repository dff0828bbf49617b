//! Who asks for a certificate is written into the request, and stays (`pkg/registry/certificates/certificates`
//! `strategy.go`). It comes last of all that changes objects: nobody has a say in it.

use futures_util::future::BoxFuture;
use kubetrust_api::status::Status;
use kubetrust_auth::user::User;
use serde_json::{Value, json};

use super::{GROUP, REQUESTS};
use crate::admission::fields::spec_mut;
use crate::admission::{Operation, Plugin, Verb};

const FIELDS: [&str; 4] = ["username", "uid", "groups", "extra"];

/// The step. No flag turns it off.
#[derive(Clone, Copy, Debug)]
pub struct CertificateRequester;

impl Plugin for CertificateRequester {
    fn name(&self) -> &'static str {
        "CertificateRequester"
    }

    fn mutate<'a>(&'a self, operation: &'a mut Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        if operation.resource.group == GROUP && operation.resource.plural == REQUESTS {
            let requester = match (operation.verb, operation.old) {
                (Verb::Create, _) => Some(requester(operation.user)),
                (Verb::Update, Some(old)) => Some(FIELDS.map(|field| old["spec"][field].clone())),
                _ => None,
            };
            if let Some(requester) = requester {
                write(&mut operation.object, requester);
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The values of [`FIELDS`]; null for what the user has not.
fn requester(user: &User) -> [Value; 4] {
    let unless = |empty: bool, value: Value| if empty { Value::Null } else { value };
    [
        json!(user.name),
        unless(user.uid.is_empty(), json!(user.uid)),
        unless(user.groups.is_empty(), json!(user.groups)),
        unless(user.extra.is_empty(), json!(user.extra)),
    ]
}

fn write(request: &mut Value, values: [Value; 4]) {
    let Some(spec) = spec_mut(request) else { return };
    for (field, value) in FIELDS.into_iter().zip(values) {
        if value.is_null() {
            spec.shift_remove(field);
        } else {
            spec.insert(field.into(), value);
        }
    }
}
