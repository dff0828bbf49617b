//! What names may look like, and what is said when they don't (`apimachinery/pkg/util/validation`,
//! `apimachinery/pkg/api/validate/content`).

/// Longest DNS label.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;
/// Longest label value.
pub const LABEL_VALUE_MAX: usize = 63;
/// Longest port name (RFC 6335).
pub const PORT_NAME_MAX: usize = 15;

/// A check of a name: what is wrong with it, nothing if it is fine.
pub type Check = fn(&str) -> Vec<String>;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_RULE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// `must be no more than N characters`.
#[must_use]
pub fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// `must be between A and B, inclusive`.
#[must_use]
pub fn not_between(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// The rule, examples and the regular expression that upstream checks by.
#[must_use]
pub fn pattern(rule: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{rule} (regex used for validation is '{regex}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!(
        "{rule} (e.g. {}regex used for validation is '{regex}')",
        examples.join(" or ")
    )
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_dns_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.iter().all(|&byte| is_lower(byte) || byte == b'-')
        && bytes.first().is_some_and(|&byte| is_lower(byte))
        && bytes.last().is_some_and(|&byte| is_lower(byte))
}

fn is_subdomain(name: &str) -> bool {
    name.split('.').all(is_dns_label)
}

/// One part of a host name, as a namespace is: `my-name`.
#[must_use]
pub fn dns1123_label(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > LABEL_MAX {
        faults.push(too_long(LABEL_MAX));
    }
    if !is_dns_label(name) {
        faults.push(if is_subdomain(name) {
            "must not contain dots".into()
        } else {
            pattern(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                 and end with an alphanumeric character",
                DNS1123_LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    faults
}

/// A host name, as most objects' names are: `example.com`.
#[must_use]
pub fn dns1123_subdomain(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > SUBDOMAIN_MAX {
        faults.push(too_long(SUBDOMAIN_MAX));
    }
    if !is_subdomain(name) {
        faults.push(pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            DNS1123_SUBDOMAIN,
            &["example.com"],
        ));
    }
    faults
}

/// `*.` before a host name.
pub fn wildcard_subdomain(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > SUBDOMAIN_MAX {
        faults.push(too_long(SUBDOMAIN_MAX));
    }
    if !name.strip_prefix("*.").is_some_and(is_subdomain) {
        faults.push(pattern(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist \
             of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{DNS1123_SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    faults
}

/// One part of a host name that starts with a letter, as a service's name does.
#[must_use]
pub fn dns1035_label(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > LABEL_MAX {
        faults.push(too_long(LABEL_MAX));
    }
    if !is_dns_label(name) || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        faults.push(pattern(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            DNS1035_LABEL,
            &["my-name", "abc-123"],
        ));
    }
    faults
}

/// What can stand between two slashes of a path, as the names of roles do.
#[must_use]
pub fn path_segment(name: &str) -> Vec<String> {
    if let "." | ".." = name {
        return vec![format!("may not be '{name}'")];
    }
    path_segment_prefix(name)
}

/// As [`path_segment`], for the first part of a name.
#[must_use]
pub fn path_segment_prefix(name: &str) -> Vec<String> {
    ["/", "%"]
        .iter()
        .filter(|part| name.contains(**part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

fn is_label_key(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// The key of a label or annotation, the name of a finalizer: `example.com/MyName`.
#[must_use]
pub fn qualified(name: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut faults = Vec::new();
    let name = match name.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".into());
            } else {
                faults.extend(
                    dns1123_subdomain(prefix)
                        .into_iter()
                        .map(|fault| format!("prefix part {fault}")),
                );
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                pattern(LABEL_KEY_RULE, LABEL_KEY, &examples)
            )];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".into());
    } else if name.len() > LABEL_MAX {
        faults.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !is_label_key(name) {
        faults.push(format!("name part {}", pattern(LABEL_KEY_RULE, LABEL_KEY, &examples)));
    }
    faults
}

/// The value of a label.
#[must_use]
pub fn label_value(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > LABEL_VALUE_MAX {
        faults.push(too_long(LABEL_VALUE_MAX));
    }
    if !value.is_empty() && !is_label_key(value) {
        faults.push(pattern(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character",
            &format!("({LABEL_KEY})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    faults
}

/// A key of a config map or secret.
#[must_use]
pub fn config_key(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if key.len() > SUBDOMAIN_MAX {
        faults.push(too_long(SUBDOMAIN_MAX));
    }
    if key.is_empty()
        || !key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    {
        faults.push(pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match key {
        "." | ".." => faults.push(format!("must not be '{key}'")),
        _ if key.starts_with("..") => faults.push("must not start with '..'".into()),
        _ => {}
    }
    faults
}

/// The name of an environment variable: printable ASCII without `=`.
#[must_use]
pub fn env_name(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.is_empty() {
        faults.push("environment variable name must be non-empty".into());
    }
    if !name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        faults.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='".into(),
        );
    }
    faults
}

/// The name of a port (IANA service name).
#[must_use]
pub fn port_name(name: &str) -> Vec<String> {
    let rules: [(bool, &str); 5] = [
        (name.len() > PORT_NAME_MAX, "must be no more than 15 characters"),
        (
            name.is_empty() || !name.bytes().all(|byte| is_lower(byte) || byte == b'-'),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            !name.bytes().any(|byte| byte.is_ascii_lowercase()),
            "must contain at least one letter (a-z)",
        ),
        (name.contains("--"), "must not contain consecutive hyphens"),
        (
            name.starts_with('-') || name.ends_with('-'),
            "must not begin or end with a hyphen",
        ),
    ];
    rules
        .into_iter()
        .filter(|(broken, _)| *broken)
        .map(|(_, rule)| rule.into())
        .collect()
}

/// A port number.
#[must_use]
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) {
        Vec::new()
    } else {
        vec![not_between(1, 65535)]
    }
}

/// A percentage: `25%`.
#[must_use]
pub fn percent(text: &str) -> Vec<String> {
    let good = text
        .strip_suffix('%')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    if good {
        return Vec::new();
    }
    vec![pattern(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// As the final dash of a generated name's prefix is judged: as if a letter stood there. Upstream also swallows the
/// letter before the dash (`maskTrailingDash`), so that is what it sees.
#[must_use]
pub fn masked(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut masked = rest.to_owned();
            masked.pop();
            masked.push('a');
            masked
        }
        _ => prefix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBDOMAIN_FAULT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
        '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
        validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    const LABEL_FAULT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
        and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
        validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

    #[test]
    fn names_are_refused_in_upstreams_words() {
        let long_label = "a".repeat(64);
        let long_name = "a".repeat(254);
        let cases: &[(Check, &str, &[&str])] = &[
            (dns1123_label, "my-name", &[]),
            (dns1123_label, "a.b", &["must not contain dots"]),
            (dns1123_label, "", &[LABEL_FAULT]),
            (dns1123_label, "-a", &[LABEL_FAULT]),
            (dns1123_label, &long_label, &["must be no more than 63 characters"]),
            (dns1123_subdomain, "a.b-c.d", &[]),
            (dns1123_subdomain, "Abc", &[SUBDOMAIN_FAULT]),
            (dns1123_subdomain, "a..b", &[SUBDOMAIN_FAULT]),
            (dns1123_subdomain, "é", &[SUBDOMAIN_FAULT]),
            (dns1123_subdomain, &long_name, &["must be no more than 253 characters"]),
            (path_segment, "system:node", &[]),
            (path_segment, "..", &["may not be '..'"]),
            (path_segment, "a/b%c", &["may not contain '/'", "may not contain '%'"]),
            (qualified, "example.com/a_b", &[]),
            (qualified, "/x", &["prefix part must be non-empty"]),
            (
                env_name,
                "a=b",
                &["a valid environment variable name must consist only of printable ASCII characters other than '='"],
            ),
            (config_key, "..data", &["must not start with '..'"]),
            (port_name, "http", &[]),
            (port_name, "80", &["must contain at least one letter (a-z)"]),
            (label_value, "", &[]),
            (label_value, &long_label, &["must be no more than 63 characters"]),
            (wildcard_subdomain, "*.a.b", &[]),
            (percent, "10%", &[]),
        ];
        for (check, name, faults) in cases {
            assert_eq!(&check(name), faults, "{name:?}");
        }
        assert_eq!(dns1035_label("1a").len(), 1);
        assert_eq!(qualified("a/b/c").len(), 1);
        assert_eq!(qualified("").len(), 2);
    }

    #[test]
    fn a_generated_names_prefix_may_end_in_a_dash() {
        for (prefix, masked_as) in [("pod-", "poa"), ("-", "-"), ("pod", "pod"), ("é-", "a"), ("", "")] {
            assert_eq!(masked(prefix), masked_as);
        }
    }
}
