//! The 403 that a refused request gets, in the words of kube-apiserver
//! (`apiserver/pkg/endpoints/handlers/responsewriters/errors.go`).

use kubetrust_api::status::Status;

use super::attributes::Attributes;
use super::quote::quote;
use crate::user::User;

/// The answer to a request that no authorizer allowed. `reason` is that of the [`super::Decision`].
#[must_use]
pub fn forbidden(user: &User, attributes: &Attributes, reason: &str) -> Status {
    let mut why = sanitized(&message(user, attributes));
    if !reason.is_empty() {
        why.push_str(": ");
        why.push_str(reason);
    }
    match attributes {
        Attributes::Resource(asked) => Status::forbidden(&asked.group, &asked.resource, &asked.name, &why),
        Attributes::NonResource { .. } => Status::forbidden("", "", "", &why),
    }
}

/// `User "x" cannot get resource "pods" in API group "" in the namespace "default"`.
#[must_use]
pub fn message(user: &User, attributes: &Attributes) -> String {
    let who = quote(&user.name);
    match attributes {
        Attributes::NonResource { verb, path } => format!("User {who} cannot {verb} path {}", quote(path)),
        Attributes::Resource(asked) => {
            let resource = match asked.subresource.as_str() {
                "" => quote(&asked.resource),
                subresource => quote(&format!("{}/{subresource}", asked.resource)),
            };
            let place = match asked.namespace.as_str() {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {}", quote(namespace)),
            };
            format!(
                "User {who} cannot {} resource {resource} in API group {} {place}",
                asked.verb,
                quote(&asked.group)
            )
        }
    }
}

/// Nothing that a browser would take for HTML.
fn sanitized(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::attributes::ResourceAttributes;
    use super::*;

    fn text(attributes: &Attributes, reason: &str) -> String {
        forbidden(
            &User {
                name: "NAME".into(),
                ..User::default()
            },
            attributes,
            reason,
        )
        .message
    }

    fn resource(words: &str) -> Attributes {
        let fields: Vec<String> = words.split(' ').map(|word| word.trim_matches('-').to_owned()).collect();
        let [verb, group, resource, subresource, namespace, name] = fields.try_into().unwrap();
        Attributes::Resource(ResourceAttributes {
            verb,
            group,
            resource,
            subresource,
            namespace,
            name,
            ..ResourceAttributes::default()
        })
    }

    #[test]
    fn every_form_of_the_message() {
        // verb group resource subresource namespace name; a dash is nothing
        for (asked, reason, message) in [
            (
                "get - pod - - -",
                "",
                r#"pod is forbidden: User "NAME" cannot get resource "pod" in API group "" at the cluster scope"#,
            ),
            (
                "get - pod - - mypod",
                "",
                r#"pod "mypod" is forbidden: User "NAME" cannot get resource "pod" in API group "" at the cluster scope"#,
            ),
            (
                "get v2 pod quota test -",
                "",
                r#"pod.v2 is forbidden: User "NAME" cannot get resource "pod/quota" in API group "v2" in the namespace "test""#,
            ),
            (
                "get - pods - default -",
                "RBAC: x",
                r#"pods is forbidden: User "NAME" cannot get resource "pods" in API group "" in the namespace "default": RBAC: x"#,
            ),
            (
                "get - <b> - - -",
                "<i>",
                r#"<b> is forbidden: User "NAME" cannot get resource "&lt;b&gt;" in API group "" at the cluster scope: <i>"#,
            ),
        ] {
            assert_eq!(text(&resource(asked), reason), message);
        }
        let path = Attributes::NonResource {
            verb: "get".into(),
            path: "/<script>".into(),
        };
        assert_eq!(
            text(&path, ""),
            r#"forbidden: User "NAME" cannot get path "/&lt;script&gt;""#
        );
        let user = User {
            name: "NAME".into(),
            ..User::default()
        };
        let json = String::from_utf8(forbidden(&user, &path, "").to_json()).unwrap();
        assert!(
            json.ends_with(r#""reason":"Forbidden","details":{},"code":403}"#),
            "{json}"
        );
    }
}
