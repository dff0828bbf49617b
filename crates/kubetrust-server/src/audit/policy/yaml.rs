//! YAML as a tree that knows where everything stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// How deep the file may nest: a policy has six levels, and each takes some 60 KiB of stack to read where it is not
/// optimised.
const MAX_DEPTH: usize = 12;
/// Most values of all depths together, aliases followed.
const MAX_NODES: usize = 200_000;
/// How often the file may refer to an anchor.
const MAX_ALIASES: usize = 100;

/// Where something stands: line and column, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A value and its place.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) data: Data,
}

/// What a value is.
#[derive(Debug, Default)]
pub(super) enum Data {
    #[default]
    Null,
    Flag(bool),
    Number,
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A field of a mapping. The place is that of its name.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) value: Node,
}

impl Data {
    /// For messages.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "a true or false",
            Self::Number => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// Reads the one document of a text; the error is its place and what is wrong.
pub(super) fn read(text: &str) -> Result<Node, (Place, String)> {
    let options = serde_saphyr::options! {
        // Told by the reader, with its path.
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().as_ref().map(Place::from).unwrap_or_default();
        (place, problem(&error))
    })
}

fn problem(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            "a second document starts here; write one policy a file".into()
        }
        serde_saphyr::Error::MergeKeyNotAllowed { .. } => {
            "merge keys are not supported; write the fields themselves".into()
        }
        other => {
            let message = other.to_string();
            let line = message.lines().next().unwrap_or_default();
            // The place stands before the message already.
            let what = line.rsplit_once(" at line ").map_or(line, |(what, _)| what);
            format!("not valid YAML: {what}")
        }
    }
}

impl From<&Location> for Place {
    fn from(location: &Location) -> Self {
        Self {
            line: location.line(),
            column: location.column(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Data>::deserialize(from)?;
        Ok(Self {
            place: Place::from(&spanned.referenced),
            data: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Data, D::Error> {
        Data::deserialize(from)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Data, E> {
        Ok(Data::Flag(flag))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Data, E> {
        Ok(Data::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Data, E> {
        Ok(Data::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Data, E> {
        Ok(Data::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Data, E> {
        Ok(Data::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Data, E> {
        Ok(Data::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Data, E> {
        Ok(Data::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Data, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = fields.next_key::<Spanned<String>>()? {
            let place = Place::from(&name.referenced);
            entries.push(Entry {
                place,
                name: name.value,
                value: fields.next_value()?,
            });
        }
        Ok(Data::Mapping(entries))
    }
}
