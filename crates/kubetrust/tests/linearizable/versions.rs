//! Versions are revisions of the whole store: what ends before something else begins has the smaller one.

use crate::history::{Call, History, Moment, Outcome, Version};

/// A version that an answer showed.
struct Shown {
    begun: Moment,
    ended: Moment,
    version: Version,
    /// Whether it is the newest of that moment: that of a write (and of nothing else), or of a list.
    newest: Option<Newest>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Newest {
    Write,
    List,
}

/// Says where a version goes back.
pub fn check(history: &History) -> Result<(), String> {
    let operations = history
        .operations
        .iter()
        .filter_map(|operation| match &operation.outcome {
            Outcome::Saw(seen) => Some(Shown {
                begun: operation.begun,
                ended: operation.ended,
                version: seen.version,
                newest: (operation.call != Call::Get).then_some(Newest::Write),
            }),
            _ => None,
        });
    let listings = history.listings.iter().map(|listing| Shown {
        begun: listing.begun,
        ended: listing.ended,
        version: listing.version,
        newest: Some(Newest::List),
    });
    let mut by_begin: Vec<Shown> = operations.chain(listings).collect();
    by_begin.sort_by_key(|shown| shown.begun);
    let mut by_end: Vec<(Moment, Version)> = by_begin.iter().map(|shown| (shown.ended, shown.version)).collect();
    by_end.sort_unstable();
    let mut ended = by_end.into_iter().peekable();
    let mut reached = 0;
    for shown in by_begin {
        while let Some((_, version)) = ended.next_if(|(end, _)| *end < shown.begun) {
            reached = reached.max(version);
        }
        let fits = match shown.newest {
            None => true,
            Some(Newest::Write) => shown.version > reached,
            Some(Newest::List) => shown.version >= reached,
        };
        if !fits {
            return Err(format!(
                "{} was reached before {} ns, and what began then is of version {}",
                reached, shown.begun, shown.version
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::history::{Content, Listing, Operation, Seen};

    fn told(begun: Moment, ended: Moment, call: Call, version: Version) -> Operation {
        let content = Content::whole(0);
        Operation {
            key: 0,
            call,
            outcome: Outcome::Saw(Seen {
                content,
                version,
                uid: "u".into(),
            }),
            begun,
            ended,
        }
    }

    fn listed(begun: Moment, ended: Moment, version: Version) -> Listing {
        Listing {
            begun,
            ended,
            version,
            items: BTreeMap::new(),
        }
    }

    #[test]
    fn versions_grow_with_time() {
        use Call::{Get, Replace};
        #[rustfmt::skip]
        let cases: &[(&str, Vec<Operation>, Vec<Listing>, bool)] = &[
            ("writes in order",              vec![told(0, 1, Replace(0), 5), told(2, 3, Replace(1), 6)], vec![], true),
            ("at once, in any order",        vec![told(0, 3, Replace(0), 6), told(2, 4, Replace(1), 5)], vec![], true),
            ("out of order",                 vec![told(0, 1, Replace(0), 6), told(2, 3, Replace(1), 5)], vec![], false),
            ("the same again",               vec![told(0, 1, Replace(0), 5), told(2, 3, Replace(1), 5)], vec![], false),
            ("below what was read",          vec![told(0, 1, Get, 6), told(2, 3, Replace(1), 5)],        vec![], false),
            ("a read of what is old",        vec![told(0, 1, Replace(0), 6), told(2, 3, Get, 5)],        vec![], true),
            ("a list of what was written",   vec![told(0, 1, Replace(0), 6)], vec![listed(2, 3, 6)], true),
            ("a list of before",             vec![told(0, 1, Replace(0), 6)], vec![listed(2, 3, 5)], false),
            ("a write below a list",         vec![told(2, 3, Replace(0), 6)], vec![listed(0, 1, 6)], false),
        ];
        for (name, operations, listings, good) in cases {
            let history = History {
                operations: operations.clone(),
                listings: listings.clone(),
                ..History::default()
            };
            assert_eq!(check(&history).is_ok(), *good, "{name}");
        }
    }
}
