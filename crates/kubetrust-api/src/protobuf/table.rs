//! The messages and their fields, read from `messages.txt` on first use. Names are slices of that text.
//!
//! The file has a line for each package with the API version of its kinds (`*`: of any group version), for each message
//! (`kind` if it can stand alone) with the [`Codec`] of those that JSON has another form for, and for each field:
//! number, JSON name, type (`[]` repeated, `{}` map from text) and what else Go's declaration says of it: `p` pointer,
//! `o` omitempty, `z` omitzero, `i` inline.

use std::collections::HashMap;
use std::sync::LazyLock;

static TEXT: &str = include_str!("messages.txt");

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(TEXT));

/// The kinds of each group version too.
const ANY_VERSION: &str = "*";

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) package: &'static str,
    #[cfg(test)]
    pub(super) name: &'static str,
    /// Where its JSON is no object of its fields.
    pub(super) codec: Option<Codec>,
    /// By number.
    pub(super) fields: Vec<Field>,
}

/// A field of a message.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the four flags of a line, each independent of the others"
)]
pub(super) struct Field {
    pub(super) number: u32,
    /// As JSON has it.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// What is absent differs from what is zero.
    pub(super) pointer: bool,
    /// JSON leaves it out if it is empty; messages never are.
    pub(super) omit_empty: bool,
    /// JSON leaves it out if it is zero, also a message.
    pub(super) omit_zero: bool,
    /// JSON has its fields in place of it.
    pub(super) inline: bool,
}

/// How often a value can be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    Repeated,
    /// By text.
    Map,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    /// Base64 in JSON.
    Bytes,
    /// Bytes that are JSON, or a message in an envelope.
    Json,
    Message(u16),
}

/// What JSON has for a message that is no object there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// Whole seconds, RFC 3339.
    Time,
    /// Millionths of a second, RFC 3339.
    MicroTime,
    /// Text.
    Quantity,
    /// Text or number.
    IntOrString,
    /// Its first field.
    Raw,
    /// Its first field, a list.
    Items,
    /// Second field, or the first one.
    OrBool,
    /// The second field, a list, if it has items; or the first one.
    OrList,
}

const CODECS: [(&str, Codec); 9] = [
    ("time", Codec::Time),
    ("microtime", Codec::MicroTime),
    ("quantity", Codec::Quantity),
    ("int-or-string", Codec::IntOrString),
    ("raw", Codec::Raw),
    ("items", Codec::Items),
    ("or-bool", Codec::OrBool),
    ("or-array", Codec::OrList),
    ("or-strings", Codec::OrList),
];

const SCALARS: [(&str, Kind); 6] = [
    ("string", Kind::String),
    ("bool", Kind::Bool),
    ("int32", Kind::Int32),
    ("int64", Kind::Int64),
    ("double", Kind::Double),
    ("bytes", Kind::Bytes),
];

/// The message of a kind.
pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    let kinds = &TABLE.kinds;
    let number = kinds
        .get(&(api_version, kind))
        .or_else(|| kinds.get(&(ANY_VERSION, kind)))?;
    TABLE.messages.get(usize::from(*number))
}

/// A message by its number. Numbers come from [`Kind::Message`], which names messages that are there.
pub(super) fn message(number: u16) -> &'static Message {
    static NONE: Message = Message {
        package: "",
        #[cfg(test)]
        name: "",
        codec: None,
        fields: Vec::new(),
    };
    TABLE.messages.get(usize::from(number)).unwrap_or(&NONE)
}

/// All messages.
#[cfg(test)]
pub(super) fn messages() -> &'static [Message] {
    &TABLE.messages
}

impl Message {
    /// The field of this number.
    pub(super) fn field(&self, number: u32) -> Option<(usize, &Field)> {
        let at = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some((at, self.fields.get(at)?))
    }
}

struct Table {
    messages: Vec<Message>,
    kinds: HashMap<(&'static str, &'static str), u16>,
}

impl Table {
    /// What does not fit the form is left out. The tests of this file show that nothing is.
    fn read(text: &'static str) -> Self {
        let names = Self::names(text);
        let mut table = Self {
            messages: Vec::with_capacity(names.len()),
            kinds: HashMap::new(),
        };
        let (mut package, mut version) = ("", None);
        for line in text.lines() {
            let words: Vec<&'static str> = line.split(' ').collect();
            match *words.as_slice() {
                ["package", name, ref rest @ ..] => (package, version) = (name, rest.first().copied()),
                [what @ ("kind" | "message"), name, ref rest @ ..] => {
                    if let (Some(version), "kind", Ok(number)) = (version, what, u16::try_from(table.messages.len())) {
                        table.kinds.insert((version, name), number);
                    }
                    table.messages.push(Message {
                        package,
                        #[cfg(test)]
                        name,
                        codec: rest.first().and_then(|word| row(&CODECS, word)),
                        fields: Vec::new(),
                    });
                }
                [number, name, of, ref rest @ ..] => {
                    let flags = rest.first().copied().unwrap_or_default();
                    if let Some(message) = table.messages.last_mut()
                        && let Some(field) = field(&names, message, [number, name, of, flags])
                    {
                        message.fields.push(field);
                    }
                }
                _ => {}
            }
        }
        table
    }

    /// The number of each message.
    fn names(text: &'static str) -> HashMap<(&'static str, &'static str), u16> {
        let mut package = "";
        let mut names = HashMap::new();
        let mut number = 0;
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next()) {
                (Some("package"), Some(name)) => package = name,
                (Some("kind" | "message"), Some(name)) => {
                    names.insert((package, name), number);
                    number += 1;
                }
                _ => {}
            }
        }
        names
    }
}

fn field(
    names: &HashMap<(&'static str, &'static str), u16>,
    message: &Message,
    [number, name, of, flags]: [&'static str; 4],
) -> Option<Field> {
    let (shape, of) = match (of.strip_prefix("[]"), of.strip_prefix("{}")) {
        (Some(of), _) => (Shape::Repeated, of),
        (_, Some(of)) => (Shape::Map, of),
        _ => (Shape::Single, of),
    };
    let kind = match row(&SCALARS, of) {
        Some(Kind::Bytes) if message.codec == Some(Codec::Raw) => Kind::Json,
        Some(scalar) => scalar,
        None => Kind::Message(*names.get(&of.rsplit_once('.').unwrap_or((message.package, of)))?),
    };
    Some(Field {
        number: number.parse().ok()?,
        name,
        shape,
        kind,
        pointer: flags.contains('p'),
        omit_empty: flags.contains('o'),
        omit_zero: flags.contains('z'),
        inline: flags.contains('i'),
    })
}

fn row<T: Copy>(rows: &[(&str, T)], name: &str) -> Option<T> {
    rows.iter().find(|(known, _)| *known == name).map(|(_, it)| *it)
}
