//! Where a fault is, and how it is worded: paths and causes as `apimachinery/pkg/util/validation/field` prints them.

use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::status::Cause;

/// A place in an object. Built on the stack; text only when there is a fault to tell.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Child(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// A path that starts at this field; dots in it separate several.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self {
            parent: None,
            segment: Segment::Child(name),
        }
    }

    /// The field below; dots in it separate several.
    #[must_use]
    pub const fn child<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path {
            parent: Some(self),
            segment: Segment::Child(name),
        }
    }

    /// The list element.
    #[must_use]
    pub const fn index(&self, index: usize) -> Path<'_> {
        Path {
            parent: Some(self),
            segment: Segment::Index(index),
        }
    }

    /// The map entry.
    #[must_use]
    pub const fn key<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path {
            parent: Some(self),
            segment: Segment::Key(key),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(to)?;
        }
        match self.segment {
            Segment::Child(name) if self.parent.is_none() => to.write_str(name),
            Segment::Child(name) => write!(to, ".{name}"),
            Segment::Index(index) => write!(to, "[{index}]"),
            Segment::Key(key) => write!(to, "[{key}]"),
        }
    }
}

/// A value as upstream shows it in a message: strings quoted as Go does, the rest as JSON.
pub trait Shown {
    /// The text after `Invalid value: `.
    fn shown(&self) -> String;
}

impl Shown for str {
    fn shown(&self) -> String {
        go_quoted(self)
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        go_quoted(self)
    }
}

impl Shown for i64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for usize {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for Value {
    fn shown(&self) -> String {
        match self {
            Self::String(text) => go_quoted(text),
            other => go_json(other),
        }
    }
}

impl Shown for [String] {
    fn shown(&self) -> String {
        go_json(&Value::from(self))
    }
}

impl<T: Shown + ?Sized> Shown for &T {
    fn shown(&self) -> String {
        (*self).shown()
    }
}

/// A Go string literal: `strconv.Quote`.
#[must_use]
pub fn go_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            printable if is_printable(printable) => out.push(printable),
            other => {
                let code = u32::from(other);
                // Writing to a String does not fail.
                let _ = match code {
                    0..0x80 => write!(out, "\\x{code:02x}"),
                    0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

/// What Go's `unicode.IsPrint` says, near enough: no control, format, private or unassigned character, and of the
/// spaces only U+0020.
#[must_use]
pub fn is_printable(character: char) -> bool {
    !character.is_control()
        && (character == ' ' || !character.is_whitespace())
        && !matches!(u32::from(character),
            0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb
            | 0xe000..=0xf8ff | 0xe_0000..=0xe_0fff | 0xf_0000..)
}

/// Compact JSON as Go's encoder writes it, which also escapes `<`, `>` and `&`.
#[must_use]
pub fn go_json(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.contains(['<', '>', '&']) {
        return plain;
    }
    plain
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// A value as Go's `%v` prints maps and slices: `map[a:1 b:[x y]]`, keys sorted.
pub fn go_plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(key, value)| format!("{key}:{}", go_plain(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

fn cause(reason: &'static str, path: &Path<'_>, what: &str, value: &str, detail: &str) -> Cause {
    let mut message = String::from(what);
    for part in [value, detail] {
        if !part.is_empty() {
            message.push_str(": ");
            message.push_str(part);
        }
    }
    Cause {
        reason,
        message,
        field: path.to_string(),
    }
}

/// A value that the rule in `detail` refuses.
pub fn invalid(path: &Path<'_>, value: impl Shown, detail: &str) -> Cause {
    cause("FieldValueInvalid", path, "Invalid value", &value.shown(), detail)
}

/// A value of the wrong type.
pub fn type_invalid(path: &Path<'_>, value: impl Shown, detail: &str) -> Cause {
    cause("FieldValueTypeInvalid", path, "Invalid value", &value.shown(), detail)
}

/// Nothing where something must be; `detail` may be empty.
#[must_use]
pub fn required(path: &Path<'_>, detail: &str) -> Cause {
    cause("FieldValueRequired", path, "Required value", "", detail)
}

/// None of the values that there are. `supported` in the order to be printed.
pub fn not_supported(path: &Path<'_>, value: impl Shown, supported: &[&str]) -> Cause {
    let detail = if supported.is_empty() {
        String::new()
    } else {
        format!(
            "supported values: {}",
            supported
                .iter()
                .map(|value| go_quoted(value))
                .collect::<Vec<_>>()
                .join(", ")
        )
    };
    cause(
        "FieldValueNotSupported",
        path,
        "Unsupported value",
        &value.shown(),
        &detail,
    )
}

/// Well formed, but not here or not now.
#[must_use]
pub fn forbidden(path: &Path<'_>, detail: &str) -> Cause {
    cause("FieldValueForbidden", path, "Forbidden", "", detail)
}

/// There already.
pub fn duplicate(path: &Path<'_>, value: impl Shown) -> Cause {
    cause("FieldValueDuplicate", path, "Duplicate value", &value.shown(), "")
}

/// Names something that is not there.
pub fn not_found(path: &Path<'_>, value: impl Shown) -> Cause {
    cause("FieldValueNotFound", path, "Not found", &value.shown(), "")
}

/// More than `limit` bytes; the value itself is not shown.
#[must_use]
pub fn too_long(path: &Path<'_>, limit: usize) -> Cause {
    let unit = if limit == 1 { "byte" } else { "bytes" };
    cause(
        "FieldValueTooLong",
        path,
        "Too long",
        "",
        &format!("may not be more than {limit} {unit}"),
    )
}

/// More than `limit` items.
#[must_use]
pub fn too_many(path: &Path<'_>, count: usize, limit: usize) -> Cause {
    let unit = if limit == 1 { "item" } else { "items" };
    cause(
        "FieldValueTooMany",
        path,
        "Too many",
        &count.shown(),
        &format!("must have at most {limit} {unit}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn causes_are_worded_as_upstream_words_them() {
        let spec = Path::new("spec");
        let containers = spec.child("containers");
        let at = containers.index(2);
        let name = at.child("name");
        let data = Path::new("data");
        let key = data.key("a.b");
        let cases = [
            (
                invalid(&name, "A", "must be lower"),
                "spec.containers[2].name",
                "Invalid value: \"A\": must be lower",
            ),
            (invalid(&key, 5_i64, ""), "data[a.b]", "Invalid value: 5"),
            (
                invalid(&key, json!({"a": "<b>"}), ""),
                "data[a.b]",
                "Invalid value: {\"a\":\"\\u003cb\\u003e\"}",
            ),
            (invalid(&key, Value::Null, ""), "data[a.b]", "Invalid value: null"),
            (required(&name, ""), "spec.containers[2].name", "Required value"),
            (required(&name, "why"), "spec.containers[2].name", "Required value: why"),
            (
                not_supported(&spec, "x", &["a", "b"]),
                "spec",
                "Unsupported value: \"x\": supported values: \"a\", \"b\"",
            ),
            (forbidden(&spec, "no"), "spec", "Forbidden: no"),
            (duplicate(&spec, "x"), "spec", "Duplicate value: \"x\""),
            (not_found(&spec, "x"), "spec", "Not found: \"x\""),
            (too_long(&spec, 1), "spec", "Too long: may not be more than 1 byte"),
            (too_long(&spec, 63), "spec", "Too long: may not be more than 63 bytes"),
            (too_many(&spec, 9, 8), "spec", "Too many: 9: must have at most 8 items"),
        ];
        for (cause, field, message) in cases {
            assert_eq!((cause.field.as_str(), cause.message.as_str()), (field, message));
        }
    }

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        for (text, quoted) in [
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{7}\u{8}\u{b}\u{c}\n\r\t", r#""\a\b\v\f\n\r\t""#),
            ("\u{0}\u{7f}\u{85}", r#""\x00\x7f\u0085""#),
            ("é\u{a0}\u{200b}", "\"é\\u00a0\\u200b\""),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(go_quoted(text), quoted);
        }
    }
}
