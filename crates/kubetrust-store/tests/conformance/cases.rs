//! What every engine has to do, a line a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use kubetrust_store::{
    Change, Error, Event, Expect, NO_END, Outcome, REQUEST_LIMIT, Range, Revision, WRITES_LIMIT, Watched, Write,
};

use crate::given::{Expecting, Given, PATIENCE, check, delete, put, put_with};

pub type Case = fn(Given) -> BoxFuture<'static, ()>;

macro_rules! table {
    ($($name:ident)*) => { &[$((stringify!($name), |given| Box::pin($name(given)))),*] };
}

pub const CASES: &[(&str, Case)] = table! {
    revisions_grow_by_one_a_transaction
    a_create_needs_absence
    an_update_needs_the_revision_it_saw
    revision_zero_is_absence
    a_transaction_happens_as_a_whole_or_not_at_all
    a_conflict_shows_every_key_in_the_order_of_the_writes
    checks_alone_change_nothing
    removing_nothing_is_no_revision
    a_key_made_again_is_a_new_one
    an_acknowledged_write_is_read_by_everybody
    of_concurrent_updates_one_wins
    a_range_is_in_order_with_limit_and_count
    a_range_at_a_revision_is_the_past
    pages_of_the_past_know_all_that_came_later_or_nothing
    the_future_is_not_read
    a_compacted_revision_is_not_read_and_what_is_current_stays
    compaction_goes_forward_only
    prefixes_end_where_they_should
    keys_and_values_are_bytes
    what_is_too_large_is_refused
    nonsense_is_refused
    a_watch_from_the_start_has_everything
    a_watch_from_the_middle_has_the_rest
    a_watch_from_now_has_what_comes
    a_watch_from_the_future_begins_there
    a_watch_has_its_range_only
    a_watch_under_concurrent_writers_has_no_gap_and_no_duplicate
    a_watch_makes_progress_without_events
    a_watch_from_a_compacted_revision_ends
    compaction_does_not_disturb_a_watch_that_is_ahead
    a_reader_that_does_not_keep_up_is_cut_off_or_gets_all
    a_lease_ends_with_its_keys
    a_revoked_lease_ends_at_once
    a_key_put_again_leaves_its_lease
    a_lease_that_is_not_there_takes_no_key
    what_is_kept_takes_its_room
};

async fn revisions_grow_by_one_a_transaction(given: Given) {
    let first = given.put("a", "1").await;
    assert!(first >= 1);
    assert_eq!(given.put("a", "2").await, first + 1);
    assert_eq!(
        given
            .committed(vec![put(given.key("b"), "1"), put(given.key("c"), "1")])
            .await,
        first + 2
    );
    assert_eq!(given.delete("a").await, first + 3);
    assert_eq!(given.revision().await, first + 3);
    assert!(given.store.revision_now().is_none_or(|now| now == first + 3));
    assert_eq!(given.list().await.revision, first + 3);
}

async fn a_create_needs_absence(given: Given) {
    let create = || vec![put(given.key("a"), "made").expecting(Expect::Absent)];
    let made = given.committed(create()).await;
    let (seen, current) = given.conflict(create()).await;
    assert!(seen >= made);
    let found = current[0].as_ref().unwrap();
    assert_eq!((found.created, found.modified, found.version), (made, made, 1));
    given.delete("a").await;
    given.committed(create()).await;
}

async fn an_update_needs_the_revision_it_saw(given: Given) {
    let update = |expected| vec![put(given.key("a"), "new").expecting(Expect::Modified(expected))];
    assert_eq!(given.conflict(update(1)).await.1, [None]);
    let first = given.put("a", "old").await;
    let second = given.committed(update(first)).await;
    let (_, current) = given.conflict(update(first)).await;
    assert_eq!(current[0].as_ref().unwrap().modified, second);
    let remove = |expected| vec![delete(given.key("a")).expecting(Expect::Modified(expected))];
    given.conflict(remove(first)).await;
    given.committed(remove(second)).await;
    assert_eq!(given.get("a").await, None);
}

async fn revision_zero_is_absence(given: Given) {
    let create = || vec![put(given.key("a"), "made").expecting(Expect::Modified(0))];
    given.committed(create()).await;
    given.conflict(create()).await;
}

async fn a_transaction_happens_as_a_whole_or_not_at_all(given: Given) {
    let before = given.put("a", "1").await;
    let writes = |expected| {
        vec![
            put(given.key("a"), "2"),
            put(given.key("b"), "2"),
            check(given.key("c"), expected),
            delete(given.key("d")),
        ]
    };
    given.conflict(writes(Expect::Modified(before))).await;
    assert_eq!(given.revision().await, before);
    assert_eq!(given.list().await.items.len(), 1);
    let revision = given.committed(writes(Expect::Absent)).await;
    let page = given.list().await;
    let found: Vec<_> = page.items.iter().map(|kv| (&kv.key, kv.modified)).collect();
    assert_eq!(found, [(&given.key("a"), revision), (&given.key("b"), revision)]);
}

async fn a_conflict_shows_every_key_in_the_order_of_the_writes(given: Given) {
    given.put("a", "A").await;
    given.put("z", "Z").await;
    let writes = vec![
        put(given.key("z"), "new"),
        check(given.key("m"), Expect::Modified(1)),
        delete(given.key("a")),
    ];
    let (revision, current) = given.conflict(writes).await;
    assert_eq!(revision, given.revision().await);
    let values: Vec<_> = current
        .iter()
        .map(|kv| kv.as_ref().map(|kv| kv.value.clone()))
        .collect();
    assert_eq!(values, [Some("Z".into()), None, Some("A".into())]);
    assert_eq!(current[2], given.get("a").await);
}

async fn checks_alone_change_nothing(given: Given) {
    let revision = given.put("a", "1").await;
    let checks = vec![
        check(given.key("a"), Expect::Modified(revision)),
        check(given.key("b"), Expect::Absent),
    ];
    assert_eq!(given.committed(checks).await, revision);
    assert_eq!(given.revision().await, revision);
}

async fn removing_nothing_is_no_revision(given: Given) {
    let revision = given.put("a", "1").await;
    assert_eq!(given.delete("nothing").await, revision);
    assert_eq!(given.revision().await, revision);
}

async fn a_key_made_again_is_a_new_one(given: Given) {
    let made = given.put("a", "1").await;
    let put = given.put("a", "2").await;
    let kv = given.get("a").await.unwrap();
    assert_eq!((kv.created, kv.modified, kv.version), (made, put, 2));
    given.delete("a").await;
    let again = given.put("a", "3").await;
    let kv = given.get("a").await.unwrap();
    assert_eq!(
        (kv.created, kv.modified, kv.version, kv.value),
        (again, again, 1, "3".into())
    );
}

async fn an_acknowledged_write_is_read_by_everybody(given: Given) {
    let writers = (0..8).map(|writer| {
        let given = given.clone();
        tokio::spawn(async move {
            for round in 0..20_u32 {
                let written = given.put(format!("{writer}"), round.to_string()).await;
                let (read, at) = given.store.get(&given.key(format!("{writer}"))).await.unwrap();
                assert_eq!(read.unwrap().modified, written);
                assert!(at >= written);
                assert!(
                    given.revision().await >= at,
                    "a revision that a reader has seen is taken back"
                );
                assert!(given.store.revision_now().is_none_or(|now| now >= at));
                let page = given.list().await;
                assert!(page.revision >= at);
                assert!(page.items.iter().all(|kv| kv.modified <= page.revision));
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
}

async fn of_concurrent_updates_one_wins(given: Given) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 15;
    given.put("counter", "0").await;
    let count = |given: Given| async move {
        let mut done = 0;
        while done < EACH {
            let kv = given.get("counter").await.unwrap();
            let next = std::str::from_utf8(&kv.value).unwrap().parse::<u64>().unwrap() + 1;
            let write = put(kv.key, next.to_string()).expecting(Expect::Modified(kv.modified));
            if let Outcome::Committed(_) = given.store.commit(vec![write]).await.unwrap() {
                done += 1;
            }
        }
    };
    let writers = (0..WRITERS).map(|_| tokio::spawn(count(given.clone())));
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let kv = given.get("counter").await.unwrap();
    assert_eq!(kv.value, (WRITERS * EACH).to_string());
    assert_eq!(kv.version, WRITERS * EACH + 1);
}

async fn a_range_is_in_order_with_limit_and_count(given: Given) {
    for name in ["d", "b", "a", "c", "e"] {
        given.put(name, name).await;
    }
    given.put("c", "again").await;
    given.delete("d").await;
    let names = |items: &[kubetrust_store::KeyValue]| items.iter().map(|kv| kv.key.clone()).collect::<Vec<_>>();
    let page = given.list().await;
    assert_eq!(names(&page.items), ["a", "b", "c", "e"].map(|name| given.key(name)));
    assert_eq!(page.count, 4);
    for limit in 1..6 {
        let page = given.store.range(Range { limit, ..given.all() }).await.unwrap();
        assert_eq!((page.items.len(), page.count), (limit.min(4), 4));
        let uncounted = Range {
            limit,
            count: false,
            ..given.all()
        };
        let uncounted = given.store.range(uncounted).await.unwrap();
        assert_eq!(uncounted.items, page.items);
        assert!(uncounted.count >= uncounted.items.len());
    }
    let part = Range {
        start: given.key("b"),
        end: given.key("e"),
        ..given.all()
    };
    let page = given.store.range(part).await.unwrap();
    assert_eq!(names(&page.items), ["b", "c"].map(|name| given.key(name)));
    for (start, end) in [("c", "c"), ("e", "a")] {
        let nothing = Range {
            start: given.key(start),
            end: given.key(end),
            ..given.all()
        };
        let page = given.store.range(nothing).await.unwrap();
        assert_eq!((page.items.len(), page.count), (0, 0));
    }
}

async fn a_range_at_a_revision_is_the_past(given: Given) {
    let mut expected: BTreeMap<Revision, Vec<(Bytes, Bytes)>> = BTreeMap::new();
    let mut now: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    for round in 0..24_u32 {
        let name = format!("{}", round % 5);
        let revision = if round % 7 == 6 && now.remove(&given.key(&name)).is_some() {
            given.delete(&name).await
        } else {
            now.insert(given.key(&name), round.to_string().into());
            given.put(&name, round.to_string()).await
        };
        expected.insert(revision, now.clone().into_iter().collect());
    }
    for (at, expected) in expected {
        let page = given.list_at(at).await.unwrap();
        let found: Vec<_> = page.items.into_iter().map(|kv| (kv.key, kv.value)).collect();
        assert_eq!((found.len(), found), (page.count, expected), "at {at}");
        assert_eq!(page.revision, given.revision().await);
        let one = given
            .store
            .range(Range {
                at: Some(at),
                limit: 1,
                ..given.all()
            })
            .await
            .unwrap();
        assert_eq!((one.items.len(), one.count), (1.min(page.count), page.count));
    }
}

async fn pages_of_the_past_know_all_that_came_later_or_nothing(given: Given) {
    type Happened = (Revision, Bytes, Option<Bytes>);
    let mut happened: Vec<Happened> = Vec::new();
    for round in 0..60_u32 {
        // Some keys are there at first, some come later, some go, and some changes are one revision.
        let names = [round * 7 % 11, round * 5 % 3 + 11];
        let writes = names.map(|name| match (name + round) % 4 {
            0 => delete(given.key(format!("{name:02}"))),
            _ => put(given.key(format!("{name:02}")), round.to_string()),
        });
        let there = given.list().await.items;
        let revision = given.committed(writes.to_vec()).await;
        happened.extend(writes.into_iter().filter_map(|write| match write.change? {
            Change::Put { value, .. } => Some((revision, write.key, Some(value))),
            Change::Delete => {
                let was_there = there.iter().any(|kv| kv.key == write.key);
                was_there.then_some((revision, write.key, None))
            }
        }));
    }
    let revisions: BTreeSet<Revision> = happened.iter().map(|(revision, ..)| *revision).collect();
    for at in revisions.into_iter().step_by(3) {
        for limit in [0, 1, 2, 3, 5, 100] {
            let mut range = Range {
                at: Some(at),
                limit,
                count: false,
                later: usize::MAX,
                ..given.all()
            };
            let (mut items, mut later) = (Vec::new(), Some(Vec::new()));
            loop {
                let page = given.store.range(range.clone()).await.unwrap();
                let full = limit > 0 && page.items.len() == limit;
                later = later.zip(page.later).map(|(all, more)| [all, more].concat());
                items.extend(page.items);
                match items.last() {
                    Some(last) if full => range.start = [last.key.as_ref(), b"\0"].concat().into(),
                    _ => break,
                }
            }
            assert_eq!(items, given.list_at(at).await.unwrap().items);
            let Some(mut later) = later else { continue };
            assert!(later.is_sorted_by_key(|event| (event.key().clone(), event.revision())));
            later.sort_by_key(Event::revision);
            let mut found: Vec<Happened> = Vec::new();
            for event in later {
                found.push(match event {
                    Event::Put(kv) => (kv.modified, kv.key, Some(kv.value)),
                    Event::Delete { key, revision } => (revision, key, None),
                });
            }
            let mut want: Vec<_> = happened
                .iter()
                .filter(|(revision, ..)| *revision > at)
                .cloned()
                .collect();
            want.sort();
            found.sort();
            assert_eq!(found, want, "at {at}, {limit} a page");
        }
    }
    let unasked = given.list_at(given.revision().await).await.unwrap();
    assert_eq!(unasked.later, None);
}

async fn the_future_is_not_read(given: Given) {
    let newest = given.put("a", "1").await;
    given.list_at(newest).await.unwrap();
    match given.list_at(newest + 1).await.unwrap_err() {
        Error::Future { asked, .. } => assert_eq!(asked, newest + 1),
        other => panic!("{other}"),
    }
    assert!(matches!(
        given.store.compact(newest + 1).await.unwrap_err(),
        Error::Future { .. }
    ));
}

async fn a_compacted_revision_is_not_read_and_what_is_current_stays(given: Given) {
    let first = given.put("a", "1").await;
    let gone = given.put("gone", "1").await;
    given.delete("gone").await;
    let second = given.put("a", "2").await;
    let last = given.put("a", "3").await;
    given.store.compact(second).await.unwrap();
    for at in [first, gone, second - 1] {
        let error = given.list_at(at).await.unwrap_err();
        assert!(
            matches!(error, Error::Compacted { asked, .. } if asked == at),
            "{error}"
        );
    }
    assert_eq!(given.list_at(second).await.unwrap().items[0].value, "2");
    given.store.compact(last).await.unwrap();
    given.list_at(second).await.unwrap_err();
    let page = given.list().await;
    assert_eq!(page.count, 1);
    let kv = &page.items[0];
    assert_eq!(
        (kv.created, kv.modified, kv.version, kv.value.as_ref()),
        (first, last, 3, b"3".as_slice())
    );
}

async fn compaction_goes_forward_only(given: Given) {
    given.put("a", "1").await;
    let second = given.put("a", "2").await;
    given.store.compact(second).await.unwrap();
    for again in [second, second - 1] {
        assert!(matches!(
            given.store.compact(again).await.unwrap_err(),
            Error::Compacted { .. }
        ));
    }
}

async fn prefixes_end_where_they_should(given: Given) {
    let names: [&[u8]; 8] = [
        b"a",
        b"a\0",
        b"a\0\0b",
        b"a\xff",
        b"a\xff\xff",
        b"b",
        b"\xff",
        b"\xff\xff",
    ];
    for name in names {
        given.put(name, "x").await;
    }
    let count = async |prefix: &[u8]| {
        let page = given.store.range(Range::prefix(given.key(prefix))).await.unwrap();
        assert!(page.items.iter().all(|kv| kv.key.starts_with(&given.key(prefix))));
        page.count
    };
    for prefix in [b"".as_slice(), b"a", b"a\0", b"a\xff", b"b", b"c", b"\xff", b"\xff\xff"] {
        let expected = names.iter().filter(|name| name.starts_with(prefix)).count();
        assert_eq!(count(prefix).await, expected, "{}", prefix.escape_ascii());
    }
    let rest = Range {
        start: given.key(b"\xff"),
        end: Bytes::from_static(NO_END),
        ..given.all()
    };
    let rest = given.store.range(rest).await.unwrap();
    assert!(rest.count >= 2);
    assert_eq!(rest.items[0].key, given.key(b"\xff"));
}

async fn keys_and_values_are_bytes(given: Given) {
    let every: Vec<u8> = (0..=255).collect();
    given.put(&every, every.clone()).await;
    given.put("empty", "").await;
    let big = Bytes::from(vec![0xa5; 1 << 20]);
    given.put("big", big.clone()).await;
    assert_eq!(given.get(&every).await.unwrap().value, every);
    assert_eq!(given.get("empty").await.unwrap().value, "");
    assert_eq!(given.get("big").await.unwrap().value, big);
    let mut order: Vec<Bytes> = (0..=255_u8).map(|byte| given.key([b'o', byte])).collect();
    let writes = order.iter().rev().map(|key| put(key.clone(), "")).collect::<Vec<_>>();
    for part in writes.chunks(WRITES_LIMIT) {
        given.committed(part.to_vec()).await;
    }
    order.sort();
    let found = given.store.range(Range::prefix(given.key("o"))).await.unwrap();
    assert_eq!(found.items.into_iter().map(|kv| kv.key).collect::<Vec<_>>(), order);
}

async fn what_is_too_large_is_refused(given: Given) {
    let before = given.put("a", "1").await;
    let value = Bytes::from(vec![0; REQUEST_LIMIT + 1]);
    let error = given.store.commit(vec![put(given.key("a"), value)]).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                limit: REQUEST_LIMIT,
                ..
            }
        ),
        "{error}"
    );
    let half = Bytes::from(vec![0; REQUEST_LIMIT / 2]);
    let together = vec![put(given.key("a"), half.clone()), put(given.key("b"), half)];
    given.store.commit(together).await.unwrap_err();
    assert_eq!(given.revision().await, before);
}

async fn nonsense_is_refused(given: Given) {
    let before = given.put("a", "1").await;
    let many = (0..=WRITES_LIMIT)
        .map(|number| put(given.key(number.to_string()), ""))
        .collect();
    let nonsense = [
        vec![put(Bytes::new(), "")],
        vec![put(given.key("a"), ""), delete(given.key("a"))],
        vec![put(given.key("a"), ""), check(given.key("a"), Expect::Absent)],
        vec![put(given.key(vec![b'x'; kubetrust_store::KEY_LIMIT]), "")],
        many,
    ];
    for writes in nonsense {
        let error = given.store.commit(writes).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
    assert!(matches!(given.store.get(b"").await.unwrap_err(), Error::Invalid(_)));
    assert_eq!(given.revision().await, before);
}

/// What a watch of these writes has to deliver.
async fn some_writes(given: &Given) -> Vec<(Revision, Option<Bytes>, Bytes)> {
    let mut expected = Vec::new();
    for round in 0..12_u32 {
        let name = (round % 3).to_string();
        if round % 4 == 3 {
            expected.push((given.delete(&name).await, None, given.key(&name)));
        } else {
            let value = Bytes::from(round.to_string());
            expected.push((given.put(&name, value.clone()).await, Some(value), given.key(&name)));
        }
    }
    let both = given
        .committed(vec![put(given.key("x"), "x"), put(given.key("y"), "y")])
        .await;
    expected.push((both, Some("x".into()), given.key("x")));
    expected.push((both, Some("y".into()), given.key("y")));
    expected
}

fn seen(events: Vec<Event>) -> Vec<(Revision, Option<Bytes>, Bytes)> {
    let seen = events.into_iter().map(|event| match event {
        Event::Put(kv) => (kv.modified, Some(kv.value), kv.key),
        Event::Delete { key, revision } => (revision, None, key),
    });
    seen.collect()
}

async fn a_watch_from_the_start_has_everything(given: Given) {
    let start = given.revision().await;
    let expected = some_writes(&given).await;
    assert_eq!(seen(given.watch(start).await.events(expected.len()).await), expected);
}

async fn a_watch_from_the_middle_has_the_rest(given: Given) {
    let expected = some_writes(&given).await;
    for index in 0..expected.len() - 2 {
        let mut watch = given.watch(expected[index].0).await;
        let rest = &expected[index + 1..];
        assert_eq!(seen(watch.events(rest.len()).await), rest);
    }
}

async fn a_watch_from_now_has_what_comes(given: Given) {
    some_writes(&given).await;
    let mut watch = given.watch(given.revision().await).await;
    let expected = some_writes(&given).await;
    assert_eq!(seen(watch.events(expected.len()).await), expected);
    let expected = some_writes(&given).await;
    assert_eq!(seen(watch.events(expected.len()).await), expected);
}

async fn a_watch_from_the_future_begins_there(given: Given) {
    let now = given.put("a", "0").await;
    let mut watch = given.watch(now + 2).await;
    for value in ["1", "2", "3"] {
        given.put("a", value).await;
    }
    assert_eq!(
        seen(watch.events(1).await),
        [(now + 3, Some("3".into()), given.key("a"))]
    );
}

async fn a_watch_has_its_range_only(given: Given) {
    let start = given.revision().await;
    let mut watch = given.watch_range(given.key("b"), given.key("d"), start).await;
    for name in ["a", "b", "bb", "c", "d", "e"] {
        given.put(name, name).await;
    }
    given
        .committed(vec![
            delete(given.key("a")),
            delete(given.key("c")),
            delete(given.key("d")),
        ])
        .await;
    let keys: Vec<_> = watch.events(4).await.iter().map(|event| event.key().clone()).collect();
    assert_eq!(keys, ["b", "bb", "c", "c"].map(|name| given.key(name)));
}

async fn a_watch_under_concurrent_writers_has_no_gap_and_no_duplicate(given: Given) {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let start = given.revision().await;
    let write = |given: Given, writer: usize| async move {
        let mut written = Vec::new();
        for round in 0..EACH {
            // Two keys at once: the second tells a split revision.
            let pair = ["left", "right"].map(|side| put(given.key(format!("{writer}/{side}")), round.to_string()));
            written.push(given.committed(pair.to_vec()).await);
        }
        written
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(given.clone(), writer)))
        .collect();
    // One from the start, others that begin while it goes on.
    let mut watches = vec![(start, given.watch(start).await)];
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = given.revision().await;
        watches.push((now, given.watch(now).await));
    }
    let mut expected: Vec<Revision> = Vec::new();
    for writer in join_all(writers).await {
        expected.extend(writer.unwrap());
    }
    expected.sort_unstable();
    let last = given.revision().await;
    for (start, mut watch) in watches {
        let found: Vec<Revision> = watch.until(last).await.iter().map(Event::revision).collect();
        let expected: Vec<Revision> = expected
            .iter()
            .filter(|revision| **revision > start)
            .flat_map(|revision| [*revision; 2])
            .collect();
        assert_eq!(found, expected, "from {start}");
    }
}

async fn a_watch_makes_progress_without_events(given: Given) {
    let start = given.revision().await;
    let mut watch = given.watch_range(given.key("mine"), given.key("minf"), start).await;
    let elsewhere = given.put("elsewhere", "1").await;
    assert!(watch.until(elsewhere).await.is_empty());
}

async fn a_watch_from_a_compacted_revision_ends(given: Given) {
    let start = given.put("a", "1").await;
    given.put("a", "2").await;
    let last = given.put("a", "3").await;
    given.store.compact(last).await.unwrap();
    let error = given.watch(start).await.error().await;
    assert!(
        matches!(error, Error::Compacted { oldest, .. } if oldest == last),
        "{error}"
    );
    let mut watch = given.watch(last).await;
    given.put("a", "4").await;
    assert_eq!(watch.events(1).await.len(), 1);
}

async fn compaction_does_not_disturb_a_watch_that_is_ahead(given: Given) {
    let start = given.revision().await;
    let mut watch = given.watch(start).await;
    for round in 0..5 {
        let revision = given.put("a", round.to_string()).await;
        assert_eq!(watch.events(1).await[0].revision(), revision);
        given.store.compact(revision).await.unwrap();
    }
}

async fn a_reader_that_does_not_keep_up_is_cut_off_or_gets_all(given: Given) {
    const WRITES: usize = 64;
    let start = given.revision().await;
    let prefix = given.prefix();
    let end = kubetrust_store::prefix_end(&prefix);
    let mut stream = given.store.watch(prefix, end, start).await.unwrap();
    let mut expected = vec![given.put("first", "").await];
    // It reads once, so that it is no newcomer.
    let first = tokio::time::timeout(PATIENCE, stream.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let Watched::Events { events, .. } = first else {
        panic!("{first:?}");
    };
    let mut found: Vec<Revision> = events.iter().map(Event::revision).collect();
    let value = Bytes::from(vec![1; 512 << 10]);
    for round in 0..WRITES {
        expected.push(given.put(format!("{round}"), value.clone()).await);
    }
    let mut slow = false;
    while found.len() < expected.len() {
        match tokio::time::timeout(PATIENCE, stream.next()).await.unwrap() {
            Some(Ok(Watched::Events { events, .. })) => found.extend(events.iter().map(Event::revision)),
            Some(Ok(Watched::Progress(_))) => {}
            Some(Err(Error::Slow)) => {
                slow = true;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(found, expected[..found.len()]);
    assert!(slow || found.len() == expected.len());
    if slow {
        let ended = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap();
        assert!(ended.is_none());
        // Whoever comes back gets the rest.
        let rest = &expected[found.len()..];
        let mut watch = given.watch(*found.last().unwrap()).await;
        let events = watch.events(rest.len()).await;
        assert_eq!(events.iter().map(Event::revision).collect::<Vec<_>>(), rest);
    }
}

/// etcd's shortest lease is two seconds.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_hours(1);

async fn a_lease_ends_with_its_keys(given: Given) {
    let lease = given.grant(SHORT).await;
    let left = given.store.time_to_live(lease).await.unwrap();
    assert!(left <= SHORT && left > Duration::ZERO, "{left:?}");
    given.put("stays", "1").await;
    let put = given
        .committed(vec![put_with(given.key("a"), lease), put_with(given.key("b"), lease)])
        .await;
    assert_eq!(given.get("a").await.unwrap().lease, Some(lease));
    let mut watch = given.watch(put).await;
    let events = watch.events(2).await;
    let mut keys: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Delete { key, .. } => key.clone(),
            Event::Put(kv) => panic!("{kv:?}"),
        })
        .collect();
    keys.sort();
    assert_eq!(keys, ["a", "b"].map(|name| given.key(name)));
    assert_eq!(events[0].revision(), events[1].revision());
    assert_eq!(given.list().await.count, 1);
    assert!(matches!(
        given.store.time_to_live(lease).await.unwrap_err(),
        Error::NoLease
    ));
}

async fn a_revoked_lease_ends_at_once(given: Given) {
    let lease = given.grant(LONG).await;
    let before = given.committed(vec![put_with(given.key("a"), lease)]).await;
    given.store.revoke(lease).await.unwrap();
    assert_eq!(given.get("a").await, None);
    assert_eq!(given.revision().await, before + 1);
    assert!(matches!(given.store.revoke(lease).await.unwrap_err(), Error::NoLease));
    let empty = given.grant(LONG).await;
    assert_ne!(empty, lease);
    given.store.revoke(empty).await.unwrap();
    assert_eq!(given.revision().await, before + 1);
}

async fn a_key_put_again_leaves_its_lease(given: Given) {
    let (old, new) = (given.grant(LONG).await, given.grant(LONG).await);
    for name in ["a", "b", "c"] {
        given.committed(vec![put_with(given.key(name), old)]).await;
    }
    given.put("a", "free").await;
    given.committed(vec![put_with(given.key("b"), new)]).await;
    given.delete("c").await;
    given.put("c", "made again").await;
    given.store.revoke(old).await.unwrap();
    assert_eq!(given.list().await.count, 3);
    given.store.revoke(new).await.unwrap();
    assert_eq!(given.get("b").await, None);
    assert_eq!(given.list().await.count, 2);
}

async fn a_lease_that_is_not_there_takes_no_key(given: Given) {
    let lease = given.grant(LONG).await;
    given.store.revoke(lease).await.unwrap();
    let writes = vec![put(given.key("b"), "1"), put_with(given.key("a"), lease)];
    assert!(matches!(given.store.commit(writes).await.unwrap_err(), Error::NoLease));
    assert_eq!(given.list().await.count, 0);
    // A check comes first, as in etcd.
    let write = Write {
        expect: Some(Expect::Modified(1)),
        ..put_with(given.key("a"), lease)
    };
    given.conflict(vec![write]).await;
    let deleted = Write {
        key: given.key("a"),
        expect: None,
        change: Some(Change::Delete),
    };
    given.committed(vec![deleted]).await;
}

/// Every case, one after the other; all that failed, by name.
async fn what_is_kept_takes_its_room(given: Given) {
    const LARGE: usize = 1 << 20;
    given.put("large", vec![b'x'; LARGE]).await;
    let begun = std::time::Instant::now();
    // etcd writes to its file now and then.
    while given.store.size().await.unwrap() < LARGE as u64 {
        assert!(begun.elapsed() < PATIENCE, "it does not grow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn run(open: impl AsyncFn() -> Arc<dyn kubetrust_store::Store>) {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let given = Given::new(open().await, name);
        if tokio::spawn(case(given)).await.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "these rules do not hold: {failed:#?}");
}
