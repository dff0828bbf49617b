//! YAML as a tree that knows where everything stands.
//!
//! The subset is what a spec needs: one document of mappings, lists and text. Scalars stay the text that was
//! written, so `country: NO` is Norway and a name of digits needs no quotes. Aliases are refused: a few hundred
//! bytes of them can stand for gigabytes.

use std::borrow::Cow;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::diagnostic::{Fault, Position, Problem};

/// The largest spec: room for tens of thousands of hosts.
pub(super) const MAX_BYTES: usize = 8 << 20;

/// The deepest nesting of `{}` and `[]`, and of indented blocks.
const MAX_DEPTH: usize = 16;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) at: Position,
    pub(super) data: Data<'t>,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Data<'t> {
    /// `null`, `~` or nothing at all.
    Null,
    Text(Cow<'t, str>),
    List(Vec<Node<'t>>),
    Mapping(Vec<Entry<'t>>),
}

/// A field of a mapping. `at` is where its name stands.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) at: Position,
    pub(super) name: Cow<'t, str>,
    pub(super) value: Node<'t>,
}

impl<'t> Node<'t> {
    pub(super) fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// What the node is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Mapping(_) => "a mapping",
        }
    }

    /// The value of the mapping's field `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'t>> {
        match &self.data {
            Data::Mapping(entries) => entries
                .iter()
                .find(|entry| entry.name == name)
                .map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The list's items.
    pub(super) fn items(&self) -> &[Node<'t>] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// Gives the node and everything in it the place `at`.
    pub(super) fn move_to(&mut self, at: Position) {
        self.at = at;
        match &mut self.data {
            Data::Null | Data::Text(_) => {}
            Data::List(items) => items.iter_mut().for_each(|item| item.move_to(at)),
            Data::Mapping(entries) => {
                for entry in entries {
                    entry.at = at;
                    entry.value.move_to(at);
                }
            }
        }
    }

    /// Where the value at `path` stands, or else the innermost value around it.
    pub(super) fn locate(&self, path: &str) -> Position {
        let mut node = self;
        for segment in path.split(['.', '[']) {
            let inner = match segment.strip_suffix(']') {
                Some(index) => index.parse().ok().and_then(|index: usize| node.items().get(index)),
                None => node.get(segment),
            };
            match inner {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node.at
    }
}

/// Reads the one document of `text`. An empty text is a null node.
pub(super) fn read(text: &str) -> Result<Node<'_>, Fault> {
    if text.len() > MAX_BYTES {
        return Err(fault(
            Position::START,
            Problem::new("the file is larger than 8 MiB").hint("a spec is far smaller"),
        ));
    }
    if let Some(offset) = text.find('\0') {
        let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let at = Position {
            line: text[..offset].matches('\n').count() + 1,
            column: text[line_start..offset].chars().count() + 1,
        };
        return Err(fault(
            at,
            Problem::new("the file holds a NUL character").hint("it must be plain UTF-8 text"),
        ));
    }

    let mut reader = Reader::new(text);
    let mut root = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(..), at) if root.is_some() => {
                return Err(fault(
                    at,
                    Problem::new("a second document starts here").hint("describe one cluster a file"),
                ));
            }
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (event, at) => root = Some(reader.node(event, at)?),
        }
    }
    Ok(root.unwrap_or(Node {
        at: Position::START,
        data: Data::Null,
    }))
}

struct Reader<'t>(Parser<'t, StrInput<'t>>);

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let options = granit_parser::options! {
            emit_comments: false,
            // Both only so that our own message names them.
            emit_anchor_events: true,
            emit_unresolved_aliases: true,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        Self(Parser::new_from_str_with_options(text, options))
    }

    /// The next event, of those that a spec may hold.
    fn next(&mut self) -> Result<(Event<'t>, Position), Fault> {
        let Some(next) = self.0.next_event() else {
            return Err(fault(Position::START, Problem::new("the file ends too early")));
        };
        let (event, span) = next.map_err(|error| syntax_error(&error))?;
        let at = position(span.start);
        match &event {
            Event::Anchor(..) => Err(fault(
                at,
                Problem::new("anchors are not supported").hint("leave out the `&name`"),
            )),
            Event::Alias(_) | Event::UnresolvedAlias(_) => Err(fault(
                at,
                Problem::new("aliases are not supported").hint("write the value itself"),
            )),
            _ if event.tag().is_some() => {
                let at = position(span.tag_start().unwrap_or(span.start));
                Err(fault(
                    at,
                    Problem::new("tags are not supported").hint("leave out the `!tag`"),
                ))
            }
            _ => Ok((event, at)),
        }
    }

    /// The node that `event` starts.
    fn node(&mut self, event: Event<'t>, at: Position) -> Result<Node<'t>, Fault> {
        let data = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => Data::Null,
            Event::Scalar(text, ..) => Data::Text(text),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Data::List(items),
                        (event, at) => items.push(self.node(event, at)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                loop {
                    let (name, at) = match self.next()? {
                        (Event::MappingEnd, _) => break Data::Mapping(entries),
                        (Event::Scalar(name, ..), at) => (name, at),
                        (_, at) => return Err(fault(at, Problem::new("a field's name must be text"))),
                    };
                    let (event, value_at) = self.next()?;
                    entries.push(Entry {
                        at,
                        name,
                        value: self.node(event, value_at)?,
                    });
                }
            }
            _ => return Err(fault(at, Problem::new("expected a value"))),
        };
        Ok(Node { at, data })
    }
}

/// Whether the plain scalar `text` is null in the YAML 1.2 core schema.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn syntax_error(error: &ScanError) -> Fault {
    let problem = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Problem::new(format!("nests deeper than {MAX_DEPTH} levels")),
        _ => Problem::new(format!("not valid YAML: {}", error.info())),
    };
    fault(position(*error.marker()), problem)
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn fault(at: Position, problem: Problem) -> Fault {
    Fault {
        at,
        field: String::new(),
        problem,
    }
}
