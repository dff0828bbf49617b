//! What watchers saw: the same from every server, whole, in order, and what clients were told.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use crate::history::{Call, History, Key, Outcome, Seen, Version};

/// What an event says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Added,
    Modified,
    Deleted,
}

/// One event of one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    pub key: Key,
    /// The object; the last state, with the version of its removal, of one that is gone.
    pub seen: Seen,
}

/// Says what does not fit, of what the watchers saw, each over all of its watches.
pub fn check(history: &History, watchers: &[Vec<Event>]) -> Result<(), String> {
    let events = agree(watchers)?;
    follow_one_another(events)?;
    are_complete(history, events)?;
    fit_the_lists(history, events)
}

/// All watchers saw the same.
fn agree(watchers: &[Vec<Event>]) -> Result<&[Event], String> {
    let (first, others) = watchers.split_first().ok_or("nobody watched")?;
    for (number, other) in others.iter().enumerate() {
        if let Some(place) = (0..first.len().max(other.len())).find(|place| first.get(*place) != other.get(*place)) {
            return Err(format!(
                "event {place} is {:?} for watcher 0 and {:?} for watcher {}",
                first.get(place),
                other.get(place),
                number + 1
            ));
        }
    }
    Ok(first)
}

/// Versions grow, and each event can come after the one before it of the same object.
fn follow_one_another(events: &[Event]) -> Result<(), String> {
    let mut present: HashMap<Key, &Seen> = HashMap::new();
    let mut version = 0;
    for event in events {
        let before = present.get(&event.key);
        let seen = &event.seen;
        let fits = match (event.kind, before) {
            (Kind::Added, None) => true,
            (Kind::Modified, Some(before)) => before.uid == seen.uid && before.content.writer != seen.content.writer,
            (Kind::Deleted, Some(before)) => before.uid == seen.uid && before.content == seen.content,
            _ => false,
        };
        if !fits || seen.version <= version {
            return Err(format!("after version {version} and {before:?} comes {event:?}"));
        }
        version = seen.version;
        match event.kind {
            Kind::Added | Kind::Modified => present.insert(event.key, seen),
            Kind::Deleted => present.remove(&event.key),
        };
    }
    Ok(())
}

/// Every write that was acknowledged has its event, as it was acknowledged; every state that was read has one; and there
/// are as many removals as were acknowledged, or a few of those that were not.
fn are_complete(history: &History, events: &[Event]) -> Result<(), String> {
    let by_version: HashMap<Version, &Event> = events.iter().map(|event| (event.seen.version, event)).collect();
    for operation in &history.operations {
        let Outcome::Saw(seen) = &operation.outcome else {
            continue;
        };
        let event = by_version.get(&seen.version).copied();
        let fits = event.is_some_and(|event| {
            let kind = match operation.call {
                Call::Create(_) => event.kind == Kind::Added,
                Call::Get => event.kind != Kind::Deleted,
                _ => event.kind == Kind::Modified,
            };
            kind && event.key == operation.key && event.seen == *seen
        });
        if !fits {
            return Err(missing(operation, event));
        }
    }
    let deletions = |key, outcome: fn(&Outcome) -> bool| {
        let all = history.operations.iter();
        let deletions = all.filter(|operation| operation.key == key && matches!(operation.call, Call::Delete { .. }));
        deletions.filter(|operation| outcome(&operation.outcome)).count()
    };
    let keys: BTreeMap<Key, usize> = events.iter().fold(BTreeMap::new(), |mut counts, event| {
        *counts.entry(event.key).or_default() += usize::from(event.kind == Kind::Deleted);
        counts
    });
    for (key, seen) in keys {
        let acknowledged = deletions(key, |outcome| matches!(outcome, Outcome::Removed(_)));
        let unknown = deletions(key, |outcome| *outcome == Outcome::Unknown);
        if !(acknowledged..=acknowledged + unknown).contains(&seen) {
            return Err(format!(
                "object {key} was removed {seen} times; {acknowledged} were acknowledged, and {unknown} not answered"
            ));
        }
    }
    Ok(())
}

fn missing(what: &impl Debug, event: Option<&Event>) -> String {
    format!("the watchers saw {event:?} of {what:?}")
}

/// Each list is what the events up to its version come to.
fn fit_the_lists(history: &History, events: &[Event]) -> Result<(), String> {
    let mut listings: Vec<_> = history.listings.iter().collect();
    listings.sort_by_key(|listing| listing.version);
    let mut coming = events.iter().peekable();
    let mut present = BTreeMap::new();
    for listing in listings {
        while let Some(event) = coming.next_if(|event| event.seen.version <= listing.version) {
            match event.kind {
                Kind::Added | Kind::Modified => present.insert(event.key, event.seen.clone()),
                Kind::Deleted => present.remove(&event.key),
            };
        }
        if present != listing.items {
            return Err(format!("at its version there was {present:?}, not {listing:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Content, Listing, Mark, NEVER, Operation};

    fn seen(mark: Mark, version: Version) -> Seen {
        Seen {
            content: Content::whole(mark),
            version,
            uid: "u".into(),
        }
    }

    fn event(kind: Kind, mark: Mark, version: Version) -> Event {
        Event {
            kind,
            key: 0,
            seen: seen(mark, version),
        }
    }

    fn told(call: Call, outcome: Outcome) -> Operation {
        let ended = if outcome == Outcome::Unknown { NEVER } else { 1 };
        Operation {
            key: 0,
            call,
            outcome,
            begun: 0,
            ended,
        }
    }

    /// An object is created, replaced and removed, and listed in between.
    fn history() -> History {
        let delete = || Call::Delete {
            version: None,
            uid: None,
        };
        History {
            operations: vec![
                told(Call::Create(1), Outcome::Saw(seen(1, 5))),
                told(Call::Replace(2), Outcome::Saw(seen(2, 7))),
                told(delete(), Outcome::Removed("u".into())),
                told(delete(), Outcome::Unknown),
                told(Call::Replace(3), Outcome::Unknown),
            ],
            listings: vec![Listing {
                begun: 0,
                ended: 1,
                version: 6,
                items: BTreeMap::from([(0, seen(1, 5))]),
            }],
            refused: 0,
        }
    }

    #[test]
    fn watchers_see_what_happened_once_and_in_order() {
        use Kind::{Added, Deleted, Modified};
        let [added, modified, deleted] = [event(Added, 1, 5), event(Modified, 2, 7), event(Deleted, 2, 8)];
        let good = vec![added.clone(), modified.clone(), deleted.clone()];
        let late = event(Modified, 3, 9);
        let other = |uid: &str, of: &Event| Event {
            seen: Seen {
                uid: uid.into(),
                ..of.seen.clone()
            },
            ..of.clone()
        };
        #[rustfmt::skip]
        let cases: &[(&str, Vec<Event>, bool)] = &[
            ("all of it",                           good.clone(), true),
            ("what was not answered happened",      vec![added.clone(), modified.clone(), event(Modified, 3, 8), event(Deleted, 3, 9)], true),
            ("a gap",                               vec![added.clone(), deleted.clone()], false),
            ("no beginning",                        vec![modified.clone(), deleted.clone()], false),
            ("no end",                              vec![added.clone(), modified.clone()], false),
            ("twice",                               vec![added.clone(), modified.clone(), modified.clone(), deleted.clone()], false),
            ("out of order",                        vec![added.clone(), event(Modified, 2, 4), deleted.clone()], false),
            ("removed, and changed",                vec![added.clone(), modified.clone(), deleted.clone(), late], false),
            ("removed as what it was before",       vec![added.clone(), modified.clone(), event(Deleted, 1, 8)], false),
            ("changed into another",                vec![added.clone(), other("v", &modified), other("v", &deleted)], false),
            ("too many removals",                   vec![added.clone(), modified.clone(), deleted.clone(), event(Added, 3, 9), event(Deleted, 3, 10), event(Added, 4, 11), event(Deleted, 4, 12)], false),
            ("an event that no list shows",         vec![added, event(Modified, 3, 6), modified, deleted], false),
        ];
        for (name, events, fits) in cases {
            let found = check(&history(), &[events.clone(), events.clone()]);
            assert_eq!(found.is_ok(), *fits, "{name}: {found:?}");
            // What another watcher misses.
            let shorter = events[..events.len() - 1].to_vec();
            assert!(check(&history(), &[events.clone(), shorter]).is_err(), "{name}");
        }
        assert!(check(&history(), &[]).is_err());
    }
}
