//! A `meta/v1 LabelSelector` as text (`FormatLabelSelector`).

use serde_json::Value;

use super::view::{NONE, list, or, text};

/// `a=b,c in (d,e),!f`, sorted by key; `<none>` if it selects everything.
pub(super) fn format(selector: &Value) -> String {
    or(&requirements(selector), NONE).to_owned()
}

/// The same, empty if it selects everything.
pub(super) fn requirements(selector: &Value) -> String {
    let exact = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let mut terms: Vec<(&str, String)> = exact
        .map(|(key, value)| (key.as_str(), format!("{key}={}", value.as_str().unwrap_or_default())))
        .chain(list(selector, "matchExpressions").iter().map(expression))
        .collect();
    terms.sort_by_key(|(key, _)| *key);
    terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(",")
}

fn expression(requirement: &Value) -> (&str, String) {
    let key = text(requirement, "key");
    let mut values: Vec<&str> = list(requirement, "values").iter().filter_map(Value::as_str).collect();
    values.sort_unstable();
    let values = values.join(",");
    let term = match text(requirement, "operator") {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.to_owned(),
        "DoesNotExist" => format!("!{key}"),
        _ => "<error>".to_owned(),
    };
    (key, term)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_read_as_kubectl_prints_them() {
        for (selector, want) in [
            (json!(null), "<none>"),
            (json!({}), "<none>"),
            (json!({"matchLabels": {"b": "1", "a": "2"}}), "a=2,b=1"),
            (
                json!({"matchLabels": {"m": "1"}, "matchExpressions": [
                    {"key": "x", "operator": "In", "values": ["2", "1"]},
                    {"key": "c", "operator": "NotIn", "values": ["1"]},
                    {"key": "e", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist"},
                ]}),
                "c notin (1),!d,e,m=1,x in (1,2)",
            ),
            (json!({"matchExpressions": [7]}), "<error>"),
        ] {
            assert_eq!(format(&selector), want);
        }
    }
}
