//! A tree held against the table: everything that is wrong with a field by itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::ops::RangeInclusive;

use super::diagnostic::{Fault, Position, Problem, closest, quoted};
use super::table::{Absence, Field, Kind, ROOT};
use super::yaml::{Data, Entry, Node};

/// Nobody reads more, and a file of nothing but faults must not fill the memory with what there is to say about it.
const MOST_FAULTS: usize = 1_000;

/// Every fault, up to [`MOST_FAULTS`], of the tree under `root`, which should be of `kind`.
pub(super) fn check(root: &Node, kind: &Kind) -> Vec<Fault> {
    let mut walk = Walk {
        path: String::new(),
        faults: Vec::new(),
    };
    walk.value(root, kind);
    walk.faults
}

struct Walk {
    /// The path of the value that is being checked.
    path: String,
    faults: Vec<Fault>,
}

impl Walk {
    fn value(&mut self, node: &Node, kind: &Kind) {
        match (kind, &node.data) {
            (Kind::Object(fields), Data::Mapping(entries)) => self.object(node.at, entries, fields),
            (Kind::Object(fields), Data::Null) => self.object(node.at, &[], fields),
            (Kind::List { item, min, max }, Data::List(items)) => self.list(node.at, items, item, *min..=*max),
            (Kind::Text(format), Data::Text(text)) => {
                if let Err(problem) = (format.check)(text) {
                    self.fault(node.at, problem);
                }
            }
            _ => self.fault(node.at, wrong_type(node, kind)),
        }
    }

    fn object(&mut self, at: Position, entries: &[Entry], fields: &[Field]) {
        let mut places = vec![None; fields.len()];
        for entry in entries {
            let outer = self.enter_field(&entry.name);
            if let Some(i) = fields.iter().position(|field| field.name == entry.name) {
                if let Some(Position { line, .. }) = places[i] {
                    let problem = Problem::new(format!("is given twice, first on line {line}"));
                    self.fault(entry.at, problem.hint("leave one out"));
                } else if matches!(fields[i].absence, Absence::Required) || !entry.value.is_null() {
                    self.value(&entry.value, &fields[i].kind);
                }
                places[i].get_or_insert(entry.at);
            } else {
                self.fault(entry.at, unknown_field(&entry.name, fields));
            }
            self.path.truncate(outer);
        }
        for (field, place) in fields.iter().zip(places) {
            if place.is_none() && matches!(field.absence, Absence::Required) {
                let outer = self.enter_field(field.name);
                self.fault(
                    at,
                    Problem::new("is missing").hint(format!("add {}, such as `{}`", field.kind.what(), field.example)),
                );
                self.path.truncate(outer);
            }
        }
    }

    fn list(&mut self, at: Position, items: &[Node], kind: &Kind, count: RangeInclusive<usize>) {
        if items.len() < *count.start() {
            self.fault(at, Problem::new("is empty").hint("give at least one"));
        } else if items.len() > *count.end() {
            let problem = Problem::new(format!("holds {} items", items.len()));
            self.fault(at, problem.hint(format!("give at most {}", count.end())));
        }
        let mut lines = HashMap::new();
        for (i, item) in items.iter().enumerate() {
            let outer = self.path.len();
            // Writing to a string doesn't fail.
            let _ = write!(self.path, "[{i}]");
            self.value(item, kind);
            if let Data::Text(text) = &item.data
                && let Some(line) = lines.insert(text, item.at.line)
            {
                let problem = Problem::new(format!("{} is given twice, first on line {line}", quoted(text)));
                self.fault(item.at, problem.hint("leave one out"));
            }
            self.path.truncate(outer);
        }
    }

    /// Appends a field's name to the path, and returns the path's length before.
    fn enter_field(&mut self, name: &str) -> usize {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        // A name that isn't ours may hold anything.
        let plain = name.len() <= 40
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        self.path.push_str(&if plain {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(quoted(name))
        });
        outer
    }

    fn fault(&mut self, at: Position, problem: Problem) {
        if self.faults.len() == MOST_FAULTS {
            return;
        }
        self.faults.push(Fault {
            at,
            field: self.path.clone(),
            problem,
        });
    }
}

fn wrong_type(node: &Node, kind: &Kind) -> Problem {
    let problem = Problem::new(format!("expected {}, found {}", kind.what(), node.what()));
    match (kind, &node.data) {
        (
            Kind::List {
                item: Kind::Text(_), ..
            },
            Data::Text(text),
        ) => problem.hint(format!("write {}", quoted(&format!("[{text}]")))),
        (Kind::Object(fields), Data::Text(_) | Data::List(_)) => {
            problem.hint(format!("its fields are {}", names(fields)))
        }
        _ => problem,
    }
}

fn unknown_field(name: &str, fields: &[Field]) -> Problem {
    let problem = Problem::new("is not a field");
    let known = names(fields);
    if let Some(meant) = closest(name, fields.iter().map(|field| field.name)) {
        problem.hint(format!("did you mean `{meant}`? Known are {known}"))
    } else if let Some(path) = elsewhere(name, &ROOT) {
        problem.hint(format!("did you mean `{path}`? Known here are {known}"))
    } else {
        problem.hint(format!("known are {known}"))
    }
}

/// The path of the first field called `name` anywhere in the table.
fn elsewhere(name: &str, kind: &Kind) -> Option<String> {
    match kind {
        Kind::Object(fields) => fields.iter().find_map(|field| {
            if field.name == name {
                return Some(field.name.to_owned());
            }
            elsewhere(name, &field.kind).map(|inner| format!("{}.{inner}", field.name).replace(".[", "["))
        }),
        Kind::List { item, .. } => elsewhere(name, item).map(|inner| format!("[].{inner}")),
        Kind::Text(_) => None,
    }
}

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
}
