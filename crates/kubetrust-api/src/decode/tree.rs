//! From bytes to a [`Value`]: bounded in depth and size, and telling which fields stand there twice.

use std::fmt::{self, Write as _};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value, map::Entry};

/// How deep an object may nest. Less than `serde_json`'s own limit of 128, and deeper than any kind needs.
pub const DEPTH_MAX: usize = 100;
/// How deep YAML may nest: serde-saphyr takes some 30 KiB of stack for a level when it is not optimised, and a thread has
/// 2 MiB. kubectl turns YAML into JSON itself.
pub const YAML_DEPTH_MAX: usize = 48;
/// How many values an object may have, all depths together. 3 MiB of brackets would else become 50 MiB of memory.
pub const NODES_MAX: usize = 500_000;
/// How many faults of strictness are told; the rest is not kept (as `sigs.k8s.io/json` does).
pub const STRICT_FAULTS_MAX: usize = 100;
/// How often YAML may refer to an anchor.
pub const ALIASES_MAX: usize = 100;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// The value. Of a field that stands there twice, the last.
    pub value: Value,
    /// Paths of the fields that stand there twice, at most [`STRICT_FAULTS_MAX`].
    pub duplicates: Vec<String>,
}

/// Reads JSON. The error is worded as Go words it.
pub fn json(bytes: &[u8]) -> Result<Tree, String> {
    serde_json::from_slice(bytes).map_err(|error| go_wording(&error, bytes))
}

/// Reads one YAML document.
pub fn yaml(bytes: &[u8]) -> Result<Tree, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: YAML_DEPTH_MAX,
            flow_nesting_limit: YAML_DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: NODES_MAX },
    };
    serde_saphyr::from_slice_with_options(bytes, options).map_err(|error| format!("yaml: {error}"))
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut found = Found::default();
        let value = Seed {
            found: &mut found,
            depth: 0,
        }
        .deserialize(from)?;
        let duplicates = found.duplicates.into_iter().map(|path| text_of(&path)).collect();
        Ok(Self { value, duplicates })
    }
}

#[derive(Default)]
struct Found {
    nodes: usize,
    /// From the innermost part outwards.
    duplicates: Vec<Vec<Part>>,
}

#[derive(Clone)]
enum Part {
    Field(String),
    Index(usize),
}

impl Found {
    /// Puts the part of the path before the duplicates that were found below it.
    fn within(&mut self, since: usize, part: &Part) {
        for path in self.duplicates.iter_mut().skip(since) {
            path.push(part.clone());
        }
    }
}

fn text_of(path: &[Part]) -> String {
    let mut text = String::new();
    for part in path.iter().rev() {
        match part {
            Part::Field(name) if text.is_empty() => text.push_str(name),
            Part::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Part::Index(index) => {
                // Writing to a String does not fail.
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}

struct Seed<'f> {
    found: &'f mut Found,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        self.found.nodes += 1;
        if self.found.nodes > NODES_MAX {
            return Err(D::Error::custom("exceeded max number of values"));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth)?;
        let mut list = Vec::new();
        loop {
            let since = self.found.duplicates.len();
            let Some(value) = items.next_element_seed(Seed {
                found: &mut *self.found,
                depth,
            })?
            else {
                break;
            };
            self.found.within(since, &Part::Index(list.len()));
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth)?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let since = self.found.duplicates.len();
            let value = entries.next_value_seed(Seed {
                found: &mut *self.found,
                depth,
            })?;
            if self.found.duplicates.len() > since {
                self.found.within(since, &Part::Field(key.clone()));
            }
            match map.entry(key) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(mut entry) => {
                    if self.found.duplicates.len() < STRICT_FAULTS_MAX {
                        self.found.duplicates.push(vec![Part::Field(entry.key().clone())]);
                    }
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }
}

fn deeper<E: serde::de::Error>(depth: usize) -> Result<usize, E> {
    if depth >= DEPTH_MAX {
        Err(E::custom("exceeded max depth"))
    } else {
        Ok(depth + 1)
    }
}

/// Faults of `serde_json`, and how Go's `encoding/json` puts them after `invalid character 'x'`.
const GO_CONTEXTS: [(&str, &str); 13] = [
    ("expected `:`", "after object key"),
    ("expected `,` or `}`", "after object key:value pair"),
    ("expected `,` or `]`", "after array element"),
    ("key must be a string", "looking for beginning of object key string"),
    ("trailing comma", "looking for beginning of value"),
    ("trailing characters", "after top-level value"),
    ("control character", "in string literal"),
    ("invalid escape", "in string escape code"),
    ("invalid unicode", "in \\u hexadecimal character escape"),
    ("invalid number", "in numeric literal"),
    ("expected ident", "in literal"),
    ("expected value", "looking for beginning of value"),
    ("recursion limit", ""),
];

fn go_wording(error: &serde_json::Error, bytes: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".into();
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match GO_CONTEXTS.iter().find(|(ours, _)| text.starts_with(ours)) {
        Some((_, "")) => "exceeded max depth".into(),
        Some((_, context)) => {
            let line = bytes.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
            let byte = line
                .and_then(|line| line.get(error.column().saturating_sub(1)))
                .copied()
                .unwrap_or(b' ');
            format!("invalid character {} {context}", go_character(byte))
        }
        None => text.to_owned(),
    }
}

/// As Go quotes one byte in its messages.
fn go_character(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        _ => {
            let quoted = crate::validate::field::go_quoted(&char::from(byte).to_string());
            format!("'{}'", quoted.trim_matches('"'))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_stand_there_twice_are_told_with_their_path() {
        let tree = json(br#"{"a": 1, "b": [{"c": {"d": 1, "d": 2}}], "a": {"x": 1, "x": 2}}"#).unwrap();
        assert_eq!(tree.value, json!({"a": {"x": 2}, "b": [{"c": {"d": 2}}]}));
        assert_eq!(tree.duplicates, ["b[0].c.d", "a.x", "a"]);
        let tree = yaml(b"a: 1\nb:\n- c: {d: 1, d: 2}\na: 3\n").unwrap();
        assert_eq!(tree.value, json!({"a": 3, "b": [{"c": {"d": 2}}]}));
        assert_eq!(tree.duplicates, ["b[0].c.d", "a"]);
        let many: String = (0..2000).map(|_| "\"a\":1,").collect();
        assert_eq!(
            json(format!("{{{many}\"a\":1}}").as_bytes()).unwrap().duplicates.len(),
            STRICT_FAULTS_MAX
        );
    }

    #[test]
    fn what_is_no_json_is_refused_in_gos_words() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("hello", "invalid character 'h' looking for beginning of value"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\": 1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            (
                "{a: 1}",
                "invalid character 'a' looking for beginning of object key string",
            ),
            ("{} x", "invalid character 'x' after top-level value"),
        ] {
            assert_eq!(json(text.as_bytes()).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            json(deep(DEPTH_MAX).as_bytes()).unwrap();
            assert_eq!(json(deep(DEPTH_MAX + 1).as_bytes()).unwrap_err(), "exceeded max depth");
            assert_eq!(json(deep(100_000).as_bytes()).unwrap_err(), "exceeded max depth");
            yaml(deep(YAML_DEPTH_MAX - 1).as_bytes()).unwrap();
            yaml(deep(YAML_DEPTH_MAX + 1).as_bytes()).unwrap_err();
            yaml(deep(100_000).as_bytes()).unwrap_err();
        }
        let wide = format!("[{}1]", "1,".repeat(NODES_MAX));
        assert_eq!(json(wide.as_bytes()).unwrap_err(), "exceeded max number of values");
        let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..20 {
            let items = vec![format!("*a{}", level - 1); 10].join(",");
            writeln!(laughs, "a{level}: &a{level} [{items}]").unwrap();
        }
        yaml(laughs.as_bytes()).unwrap_err();
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[\\[{}\\]:,\"a1 \n&*-]{0,40}") {
            let _ = (json(&bytes), yaml(&bytes), json(text.as_bytes()), yaml(text.as_bytes()));
        }
    }
}
