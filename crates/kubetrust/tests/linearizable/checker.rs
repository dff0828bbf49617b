//! Looks for an order in which a single server could have carried out what clients saw: Wing and Gong's search with
//! Lowe's memory of where it has been, object by object (A. Horn and D. Kroening). Three things keep requests without an
//! answer, which can come at any time, from multiplying: writes that anyone saw come in the order of their versions; an
//! answer that changes nothing is taken as soon as it fits; and of two ways to one place that with fewer effects will do.
//!
//! No crate does it: stateright's testers compare an answer with that of a deterministic specification, and a version is
//! given by nobody's specification; nor do they let a request without an answer take effect at any later time.

use std::collections::HashMap;

use crate::history::{Call, Facts, NEVER, Operation, Outcome};
use crate::model::State;

/// Most points that a search looks at. One that succeeds looks at little more than one for each request.
const MOST_POINTS: usize = 1_000_000;

/// Where a search is.
#[derive(Clone, Debug)]
struct Point {
    place: Place,
    /// Which requests without an answer had their effect.
    effective: Vec<bool>,
}

/// What has been answered, and what there is then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    /// All answered requests before this one have happened,
    low: usize,
    /// and these after it.
    beyond: Vec<usize>,
    state: State,
}

impl Place {
    fn reached(&self) -> usize {
        self.low + self.beyond.len()
    }
}

/// The requests about one object, in the order in which they were begun.
struct Search<'a> {
    answered: Vec<&'a Operation>,
    unknown: Vec<&'a Operation>,
    facts: &'a Facts,
}

/// Says why there is no such order, if there is none.
pub fn check(operations: &[Operation], facts: &Facts) -> Result<(), String> {
    let mut sorted: Vec<&Operation> = operations.iter().collect();
    sorted.sort_by_key(|operation| operation.begun);
    let (unknown, answered): (Vec<_>, Vec<_>) = sorted
        .into_iter()
        .partition(|operation| operation.outcome == Outcome::Unknown);
    let search = Search {
        answered,
        // What only reads has no effect.
        unknown: unknown
            .into_iter()
            .filter(|operation| operation.call != Call::Get)
            .collect(),
        facts,
    };
    search.run()
}

impl Search<'_> {
    fn run(&self) -> Result<(), String> {
        let start = Point {
            place: Place {
                low: 0,
                beyond: Vec::new(),
                state: State::default(),
            },
            effective: vec![false; self.unknown.len()],
        };
        let mut furthest = start.clone();
        let mut seen: HashMap<Place, Vec<Vec<bool>>> = HashMap::new();
        let mut points = 0;
        // By how many effects nobody saw. Who is in the same place with fewer effects can do all that others can do
        // there, and is looked at before them.
        let mut open = vec![vec![start]];
        while let Some(level) = open.iter().position(|points| !points.is_empty()) {
            let Some(point) = open[level].pop() else { continue };
            if point.place.low == self.answered.len() {
                return Ok(());
            }
            let before = seen.entry(point.place.clone()).or_default();
            let is_less = |other: &Vec<bool>| other.iter().zip(&point.effective).all(|(other, this)| other <= this);
            if before.iter().any(is_less) {
                continue;
            }
            before.push(point.effective.clone());
            points += 1;
            if points > MOST_POINTS {
                return Err(format!(
                    "no order found at {MOST_POINTS} points; {}",
                    self.told(&furthest)
                ));
            }
            if point.place.reached() > furthest.place.reached() {
                furthest = point.clone();
            }
            open.resize_with(open.len().max(level + 2), Vec::new);
            let (changing, told) = self.after_answers(&point);
            if let Some(told) = told {
                open[level].push(told);
                continue;
            }
            for (next, seen) in self.after_effects(&point) {
                open[level + usize::from(!seen)].push(next);
            }
            open[level].extend(changing);
        }
        Err(format!("there is no order; {}", self.told(&furthest)))
    }

    /// Where answered requests can lead: those that change the object, and one that does not. The latter is all that
    /// has to be looked at: what can be told now need not be told later.
    fn after_answers(&self, point: &Point) -> (Vec<Point>, Option<Point>) {
        let mut changing = Vec::new();
        for index in self.candidates(point).0 {
            let Some(state) = point.place.state.after(self.answered[index], self.facts) else {
                continue;
            };
            let mut next = point.clone();
            let Place { low, beyond, .. } = &mut next.place;
            beyond.push(index);
            beyond.sort_unstable();
            while beyond.first() == Some(low) {
                beyond.remove(0);
                *low += 1;
            }
            if state == next.place.state {
                return (Vec::new(), Some(next));
            }
            next.place.state = state;
            changing.push(next);
        }
        (changing, None)
    }

    /// Where the effect of a request without an answer can lead, and whether anyone saw it.
    fn after_effects(&self, point: &Point) -> Vec<(Point, bool)> {
        let (_, until) = self.candidates(point);
        let next = self.unknown.iter().enumerate().filter_map(|(index, operation)| {
            // Of several that ask for the same thing the first will do.
            let mut earlier = self.unknown[..index].iter().zip(&point.effective);
            let may = operation.begun <= until
                && !point.effective[index]
                && !earlier.any(|(same, effective)| same.call == operation.call && !effective);
            let state = may.then(|| point.place.state.if_effective(&operation.call, self.facts))??;
            let mut next = point.clone();
            next.place.state = state;
            next.effective[index] = true;
            let seen = operation.call.mark().is_some_and(|mark| self.facts.of(mark).is_some());
            Some((next, seen))
        });
        next.collect()
    }

    /// The answered requests that may come next: none that has not happened ended before they began. And until when.
    fn candidates(&self, point: &Point) -> (Vec<usize>, u64) {
        let mut until = NEVER;
        let mut found = Vec::new();
        for (index, operation) in self.answered.iter().enumerate().skip(point.place.low) {
            if operation.begun > until {
                break;
            }
            if !point.place.beyond.contains(&index) {
                until = until.min(operation.ended);
                found.push(index);
            }
        }
        (found, until)
    }

    fn told(&self, point: &Point) -> String {
        let (candidates, _) = self.candidates(point);
        let lines: Vec<String> = candidates
            .into_iter()
            .map(|index| format!("\n    {:?}", self.answered[index]))
            .collect();
        format!(
            "after {} of {} answers and {} effects without one there is {:?}, and none of these can come next:{}",
            point.place.reached(),
            self.answered.len(),
            point.effective.iter().filter(|effective| **effective).count(),
            point.place.state,
            lines.concat()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Content, History, Mark, Moment, Seen, Version};

    /// One request: when it begins and ends, what it asks, what it is told.
    type Row = (Moment, Moment, Call, Outcome);

    fn seen(content: Content, version: Version) -> Seen {
        Seen {
            content,
            version,
            uid: "u".into(),
        }
    }

    /// The object as the write left it that wrote all of it.
    fn saw(mark: Mark, version: Version) -> Outcome {
        Outcome::Saw(seen(Content::whole(mark), version))
    }

    fn again(mark: Mark, version: Version, uid: &str) -> Outcome {
        Outcome::Saw(Seen {
            uid: uid.into(),
            ..seen(Content::whole(mark), version)
        })
    }

    fn patched(base: Content, mark: Mark, version: Version) -> Outcome {
        Outcome::Saw(seen(base.with_patch(mark), version))
    }

    fn swap(mark: Mark, over: Mark, version: Version) -> Call {
        Call::Swap(mark, seen(Content::whole(over), version))
    }

    fn swapped(mark: Mark, over: Mark, version: Version) -> Outcome {
        Outcome::Saw(seen(Content::whole(over).with_replacement(mark), version))
    }

    fn removed() -> Outcome {
        Outcome::Removed("u".into())
    }

    const DELETE: Call = Call::Delete {
        version: None,
        uid: None,
    };

    fn delete_of(version: Version) -> Call {
        Call::Delete {
            version: Some(version),
            uid: None,
        }
    }

    fn found(rows: &[Row]) -> Result<(), String> {
        let operations = rows.iter().map(|(begun, ended, call, outcome)| Operation {
            key: 0,
            call: call.clone(),
            outcome: outcome.clone(),
            begun: *begun,
            ended: *ended,
        });
        let history = History {
            operations: operations.collect(),
            ..History::default()
        };
        let facts = Facts::gather(&history, std::iter::empty()).unwrap();
        check(&history.of(0), &facts)
    }

    #[test]
    fn what_one_server_could_have_done_passes() {
        use Call::{Create, Get, Patch, Replace};
        use Outcome::{Absent, Conflict, Unknown};
        let one = Content::whole(1);
        #[rustfmt::skip]
        let cases: &[(&str, Vec<Row>)] = &[
            ("nothing", vec![]),
            ("one after the other", vec![
                (0, 1, Get, Absent), (2, 3, Create(1), saw(1, 5)), (4, 5, Get, saw(1, 5)), (6, 7, Patch(2), patched(one, 2, 6)),
                (8, 9, DELETE, removed()), (10, 11, Get, Absent), (12, 13, Replace(3), Absent), (14, 15, Create(4), again(4, 9, "v")),
            ]),
            ("a read sees a write that has not ended", vec![(0, 9, Create(1), saw(1, 5)), (1, 2, Get, saw(1, 5))]),
            ("and another does not yet", vec![(0, 9, Create(1), saw(1, 5)), (1, 2, Get, Absent), (3, 4, Get, saw(1, 5))]),
            ("two creates, one wins", vec![(0, 9, Create(1), Conflict), (0, 9, Create(2), saw(2, 5))]),
            ("two swaps, one wins", vec![
                (0, 1, Create(1), saw(1, 5)), (2, 9, swap(2, 1, 5), swapped(2, 1, 6)), (2, 9, swap(3, 1, 5), Conflict),
            ]),
            ("the order is that of the versions", vec![
                (0, 1, Create(1), saw(1, 5)), (2, 9, Replace(2), saw(2, 7)), (2, 9, Replace(3), saw(3, 6)), (10, 11, Get, saw(2, 7)),
            ]),
            ("a precondition that fails", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, delete_of(4), Conflict), (4, 5, delete_of(5), removed())]),
            ("a server that gave up", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, Patch(2), Conflict), (4, 5, Get, saw(1, 5))]),
            ("no answer, and it happened", vec![(0, NEVER, Create(1), Unknown), (1, 2, Get, saw(1, 5))]),
            ("no answer, and it did not", vec![(0, NEVER, Create(1), Unknown), (1, 2, Get, Absent), (3, 4, Create(2), saw(2, 5))]),
            ("no answer, and it happened late", vec![
                (0, NEVER, Create(1), Unknown), (1, 2, Get, Absent), (3, 4, Get, Absent), (5, 6, Get, saw(1, 5)),
            ]),
            ("no answer, and never seen but by what came after", vec![
                (0, 1, Create(1), saw(1, 5)), (2, NEVER, Replace(2), Unknown), (3, 4, swap(3, 1, 5), Conflict), (5, 6, Replace(4), saw(4, 8)),
            ]),
            ("a deletion without an answer", vec![(0, 1, Create(1), saw(1, 5)), (2, NEVER, DELETE, Unknown), (3, 4, Get, Absent)]),
            ("a swap without an answer", vec![
                (0, 1, Create(1), saw(1, 5)), (2, NEVER, swap(2, 1, 5), Unknown), (3, 4, Patch(3), patched(one.with_replacement(2), 3, 7)),
            ]),
        ];
        for (name, rows) in cases {
            assert_eq!(found(rows), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_no_one_server_could_have_done_is_found() {
        use Call::{Create, Get, Patch, Replace};
        use Outcome::{Absent, Conflict, Unknown};
        let one = Content::whole(1);
        #[rustfmt::skip]
        let cases: &[(&str, Vec<Row>)] = &[
            ("a stale read", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, Replace(2), saw(2, 6)), (4, 5, Get, saw(1, 5))]),
            ("a read of nothing after a create", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, Get, Absent)]),
            ("two reads go back", vec![
                (0, 1, Create(1), saw(1, 5)), (2, 99, Replace(2), saw(2, 6)), (3, 4, Get, saw(2, 6)), (5, 6, Get, saw(1, 5)),
            ]),
            ("a read of the future", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, Get, saw(2, 6)), (4, 5, Replace(2), saw(2, 6))]),
            ("a lost update", vec![
                (0, 1, Create(1), saw(1, 5)), (2, 3, swap(2, 1, 5), swapped(2, 1, 6)), (4, 5, swap(3, 1, 5), swapped(3, 1, 7)),
            ]),
            ("a patch of something older", vec![
                (0, 1, Create(1), saw(1, 5)), (2, 3, Replace(2), saw(2, 6)), (4, 5, Patch(3), patched(one, 3, 7)),
            ]),
            ("a double create", vec![(0, 9, Create(1), saw(1, 5)), (0, 9, Create(2), saw(2, 6)), (10, 11, Get, saw(2, 6))]),
            ("a create that is refused where nothing is", vec![(0, 1, Create(1), Conflict), (2, 3, Get, Absent)]),
            ("a resurrected deletion", vec![
                (0, 1, Create(1), saw(1, 5)), (2, 3, DELETE, removed()), (4, 5, Get, Absent), (6, 7, Get, saw(1, 5)),
            ]),
            ("one object removed twice", vec![(0, 1, Create(1), saw(1, 5)), (2, 9, DELETE, removed()), (2, 9, DELETE, removed())]),
            ("another object removed", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, DELETE, Outcome::Removed("v".into()))]),
            ("an object that changes into another", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, Replace(2), again(2, 6, "v"))]),
            ("a conflict with nobody", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, swap(2, 1, 5), Conflict)]),
            ("a precondition ignored", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, delete_of(4), removed())]),
            ("a version that goes back", vec![(0, 1, Create(1), saw(1, 5)), (2, 3, Replace(2), saw(2, 4))]),
            ("a write without an answer that comes and goes", vec![
                (0, 1, Create(1), saw(1, 5)), (2, NEVER, Replace(2), Unknown), (3, 4, Get, saw(2, 6)), (5, 6, Get, saw(1, 5)),
            ]),
            ("a write without an answer, before it was asked", vec![
                (0, 1, Create(1), saw(1, 5)), (2, 3, Get, saw(2, 6)), (4, NEVER, Replace(2), Unknown),
            ]),
            ("a swap without an answer over another's", vec![
                (0, 1, Create(1), saw(1, 5)), (2, 3, Replace(2), saw(2, 6)), (4, NEVER, swap(3, 1, 5), Unknown), (5, 6, Get, swapped(3, 1, 7)),
            ]),
        ];
        for (name, rows) in cases {
            let found = found(rows);
            assert!(
                found.clone().is_err_and(|told| told.contains("there is no order")),
                "{name}: {found:?}"
            );
        }
    }

    /// Replacements that follow one another, of which a third is not answered; half of these happen.
    fn unanswered(writes: u32) -> Vec<Row> {
        let mut rows = vec![(0, 1, Call::Create(0), saw(0, 1))];
        for mark in 1..writes {
            let (at, version) = (Moment::from(mark) * 10, Version::from(mark) + 1);
            rows.push(match mark % 6 {
                0 | 3 => (at, NEVER, Call::Replace(mark), Outcome::Unknown),
                1 => (at, NEVER, DELETE, Outcome::Unknown),
                _ => (at, at + 15, Call::Replace(mark), saw(mark, version)),
            });
            if mark % 6 == 0 {
                rows.push((at + 1, at + 2, Call::Get, saw(mark, version)));
            }
        }
        rows
    }

    #[test]
    fn many_requests_without_an_answer_are_no_burden() {
        let mut rows = unanswered(240);
        assert_eq!(found(&rows), Ok(()));
        // Nor are they where there is no order, and all have to be tried.
        rows.push((2_500, 2_501, Call::Get, Outcome::Absent));
        rows.push((2_502, 2_503, Call::Get, saw(239, 240)));
        let found = found(&rows);
        assert!(
            found.clone().is_err_and(|told| told.contains("there is no order")),
            "{found:?}"
        );
    }
}
