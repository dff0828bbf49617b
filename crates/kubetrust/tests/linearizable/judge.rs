//! Holds all that was seen against all rules.

use crate::events::{self, Event, Kind};
use crate::history::{Facts, History, Key, Outcome};
use crate::{checker, versions};

/// Says what breaks a rule, of what clients did to so many objects and watchers saw of it.
pub fn judge(history: &History, watched: &[Vec<Event>], objects: usize) -> Result<(), String> {
    // The version of a removal is not that of the write that the object was last changed by.
    let states = watched.iter().flatten().filter(|event| event.kind != Kind::Deleted);
    let facts = Facts::gather(history, states.map(|event| (event.key, &event.seen)))?;
    versions::check(history)?;
    events::check(history, watched)?;
    let all = 0..objects;
    all.into_iter().try_for_each(|key: Key| {
        checker::check(&history.of(key), &facts).map_err(|fault| format!("object {key}: {fault}"))
    })
}

/// What a history is made of, for people.
pub fn summary(history: &History, watched: &[Vec<Event>]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| {
        let operations = history.operations.iter();
        operations.filter(|operation| wanted(&operation.outcome)).count()
    };
    format!(
        "{} requests: {} told an object, {} a removal, {} none, {} a conflict, {} nothing; {} lists; {} writes refused; \
         {} events",
        history.operations.len(),
        count(|outcome| matches!(outcome, Outcome::Saw(_))),
        count(|outcome| matches!(outcome, Outcome::Removed(_))),
        count(|outcome| *outcome == Outcome::Absent),
        count(|outcome| *outcome == Outcome::Conflict),
        count(|outcome| *outcome == Outcome::Unknown),
        history.listings.len(),
        history.refused,
        watched.first().map_or(0, Vec::len),
    )
}
