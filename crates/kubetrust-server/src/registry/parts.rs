//! The strategies of `kubetrust_api::strategy`, and what they lack: who asks, what a write to a subresource changes of
//! its object, and how objects of some resources go.

use kubetrust_api::meta;
use kubetrust_api::resource::Resource;
use kubetrust_api::strategy;
use kubetrust_auth::user::User;
use serde_json::{Value, json};

/// Resources that a deletion answers with the object itself (`ReturnDeletedObject`), by group and plural.
const RETURNED: [(&str, &str); 7] = [
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "pods"),
    ("", "podtemplates"),
    ("", "resourcequotas"),
    ("", "serviceaccounts"),
    ("", "services"),
];

/// Makes of a new object what is stored when this user asks for it.
pub(super) fn prepare_for_create(resource: &Resource, user: &User, object: &mut Value) {
    strategy::prepare_for_create(resource, object);
    if (resource.group, resource.plural) == ("certificates.k8s.io", "certificatesigningrequests") {
        write_requester(user, object);
    }
}

/// Who asks for a certificate is written into the request, where the strategy has left nothing of what the client said
/// about it (`pkg/registry/certificates/certificates/strategy.go`).
fn write_requester(user: &User, request: &mut Value) {
    let Some(spec) = request["spec"].as_object_mut() else {
        return;
    };
    for (field, is_empty, value) in [
        ("username", false, json!(user.name)),
        ("uid", user.uid.is_empty(), json!(user.uid)),
        ("groups", user.groups.is_empty(), json!(user.groups)),
        ("extra", user.extra.is_empty(), json!(user.extra)),
    ] {
        if !is_empty {
            spec.insert(field.into(), value);
        }
    }
}

/// Leaves of a changed object what this subresource may change; everything else is as it was.
pub(super) fn prepare_for_update(resource: &Resource, subresource: &str, new: &mut Value, old: &Value) {
    match subresource {
        "" => strategy::prepare_for_update(resource, new, old),
        "status" => strategy::prepare_for_status_update(resource, new, old),
        // Conditions are what approves; the certificate is what `status` writes.
        "approval" => only(new, old, &[&["status", "conditions"]]),
        "finalize" => only(new, old, &[&["spec", "finalizers"]]),
        "ephemeralcontainers" => only(new, old, &[&["spec", "ephemeralContainers"]]),
        "resize" => only(new, old, &[&["spec", "containers"], &["spec", "initContainers"]]),
        // A binding is made by the server out of the pod: what it makes is what is meant.
        _ => {}
    }
}

/// The old object, with these fields of the new one.
fn only(new: &mut Value, old: &Value, fields: &[&[&str]]) {
    let mut kept = old.clone();
    for path in fields {
        let value = path.iter().try_fold(&*new, |value, name| value.get(name)).cloned();
        let [parents @ .., last] = path else { continue };
        let mut place = &mut kept;
        for name in parents {
            place = &mut place[*name];
        }
        match (value, place.as_object_mut()) {
            (Some(value), _) => place[*last] = value,
            (None, Some(parent)) => drop(parent.shift_remove(*last)),
            (None, None) => {}
        }
    }
    // The version is the condition of the write, and was looked at.
    meta::remove(&mut kept, "resourceVersion");
    *new = kept;
}

/// Whether a deletion answers with the object.
#[must_use]
pub fn returns_deleted(resource: &Resource) -> bool {
    RETURNED.contains(&(resource.group, resource.plural))
}

/// Whether what is in it has to go first: namespaces have finalizers in their spec.
pub(super) fn has_spec_finalizers(resource: &Resource, object: &Value) -> bool {
    is_namespace(resource)
        && object["spec"]["finalizers"]
            .as_array()
            .is_some_and(|finalizers| !finalizers.is_empty())
}

/// What the beginning of a deletion changes beside the metadata.
pub(super) fn begin_deletion(resource: &Resource, object: &mut Value) {
    if is_namespace(resource) {
        object["status"]["phase"] = "Terminating".into();
    }
}

fn is_namespace(resource: &Resource) -> bool {
    (resource.group, resource.plural) == ("", "namespaces")
}

#[cfg(test)]
mod tests {
    use kubetrust_api::resource;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subresource_changes_its_part_and_nothing_else() {
        let old = json!({"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {"finalizers": ["kubernetes"], "y": 1}, "status": {"phase": "Active"}});
        let namespaces = resource::lookup("", "v1", "namespaces").unwrap();
        let mut new = json!({"metadata": {"name": "x", "labels": {"a": "2"}, "resourceVersion": "5"}, "spec": {"finalizers": [], "y": 2}});
        prepare_for_update(namespaces, "finalize", &mut new, &old);
        let mut want = old.clone();
        want["spec"]["finalizers"] = json!([]);
        assert_eq!(new, want);
        let mut without = json!({"metadata": {"name": "x"}, "spec": {}});
        prepare_for_update(namespaces, "finalize", &mut without, &old);
        assert_eq!(without["spec"], json!({"y": 1}));
    }

    #[test]
    fn a_request_says_who_made_it_and_says_so_for_ever() {
        let requests = resource::lookup("certificates.k8s.io", "v1", "certificatesigningrequests").unwrap();
        let forged = json!({"metadata": {"name": "r"}, "spec": {
            "signerName": "x/y", "username": "root", "uid": "0", "groups": ["system:masters"], "extra": {"a": ["b"]},
        }});
        let jane = User {
            name: "jane".into(),
            uid: "42".into(),
            groups: vec!["dev".into(), "system:authenticated".into()],
            extra: [("scopes".to_owned(), vec!["x".to_owned()])].into(),
        };
        let joe = User {
            name: "joe".into(),
            ..User::default()
        };
        let of_jane = json!({
            "signerName": "x/y", "username": "jane", "uid": "42", "groups": ["dev", "system:authenticated"],
            "extra": {"scopes": ["x"]},
        });
        for (user, spec) in [(jane, of_jane), (joe, json!({"signerName": "x/y", "username": "joe"}))] {
            let mut made = forged.clone();
            prepare_for_create(requests, &user, &mut made);
            assert_eq!(made["spec"], spec);
            for part in ["", "status", "approval"] {
                let mut changed = forged.clone();
                prepare_for_update(requests, part, &mut changed, &made);
                assert_eq!(changed["spec"], spec, "{part}");
            }
        }
    }
}
