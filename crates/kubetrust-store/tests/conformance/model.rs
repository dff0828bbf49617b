//! The embedded engine against a model of a few lines, over whatever is done to both.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use kubetrust_store::embedded::{Embedded, Options};
use kubetrust_store::{
    Change, Error, Event, Expect, KeyValue, LeaseId, NO_END, Outcome, Range, Revision, Store, Watched, Write,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Few keys, with what is hard about them, so that operations meet.
const KEYS: [&[u8]; 6] = [b"a", b"a\0", b"a\0\xff", b"b", b"\xff", b"\xff\0"];

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, Check, Option<Put>)>),
    Compact(usize),
    Grant,
    Revoke(usize),
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Check {
    None,
    Absent,
    Current,
    Old,
}

#[derive(Clone, Debug)]
enum Put {
    Value(u8, Option<usize>),
    Delete,
}

fn step() -> impl Strategy<Value = Step> {
    let check = prop_oneof![
        4 => Just(Check::None),
        1 => Just(Check::Absent),
        2 => Just(Check::Current),
        1 => Just(Check::Old)
    ];
    let put = prop_oneof![
        3 => (any::<u8>(), proptest::option::weighted(0.3, 0..3_usize)).prop_map(|(value, lease)| Put::Value(value, lease)),
        1 => Just(Put::Delete)
    ];
    let write = (0..KEYS.len(), check, proptest::option::weighted(0.9, put));
    let commit = vec(write, 1..4).prop_map(|mut writes| {
        writes.sort_by_key(|(key, ..)| *key);
        writes.dedup_by_key(|(key, ..)| *key);
        Step::Commit(writes)
    });
    prop_oneof![
        16 => commit,
        1 => (0..8_usize).prop_map(Step::Compact),
        2 => Just(Step::Grant),
        1 => (0..3_usize).prop_map(Step::Revoke),
        1 => Just(Step::Reopen)
    ]
}

/// Everything that ever was, in memory.
#[derive(Default)]
struct Model {
    revision: Revision,
    compacted: Revision,
    now: BTreeMap<Bytes, KeyValue>,
    past: BTreeMap<Revision, BTreeMap<Bytes, KeyValue>>,
    events: Vec<Event>,
    leases: Vec<LeaseId>,
}

impl Model {
    fn commit(&mut self, writes: &[Write]) -> Result<bool, ()> {
        let holds = writes.iter().all(|write| {
            let modified = self.now.get(&write.key).map_or(0, |kv| kv.modified);
            match write.expect {
                None => true,
                Some(Expect::Absent) => modified == 0,
                Some(Expect::Modified(expected)) => modified == expected,
            }
        });
        if !holds {
            return Ok(false);
        }
        let lease = |write: &Write| match write.change {
            Some(Change::Put { lease, .. }) => lease,
            _ => None,
        };
        if writes
            .iter()
            .filter_map(lease)
            .any(|lease| !self.leases.contains(&lease))
        {
            return Err(());
        }
        let revision = self.revision + 1;
        let mut events = Vec::new();
        for write in writes {
            match &write.change {
                Some(Change::Put { value, lease }) => {
                    let before = self.now.get(&write.key);
                    let kv = KeyValue {
                        key: write.key.clone(),
                        value: value.clone(),
                        created: before.map_or(revision, |kv| kv.created),
                        modified: revision,
                        version: before.map_or(1, |kv| kv.version + 1),
                        lease: *lease,
                    };
                    self.now.insert(write.key.clone(), kv.clone());
                    events.push(Event::Put(kv));
                }
                Some(Change::Delete) if self.now.remove(&write.key).is_some() => events.push(Event::Delete {
                    key: write.key.clone(),
                    revision,
                }),
                Some(Change::Delete) | None => {}
            }
        }
        if !events.is_empty() {
            self.revision = revision;
            self.past.insert(revision, self.now.clone());
            self.events.extend(events);
        }
        Ok(true)
    }

    fn revoke(&mut self, lease: LeaseId) -> bool {
        let known = self.leases.contains(&lease);
        self.leases.retain(|other| *other != lease);
        let of_lease = |kv: &&KeyValue| kv.lease == Some(lease);
        let writes: Vec<Write> = self
            .now
            .values()
            .filter(of_lease)
            .map(|kv| crate::given::delete(kv.key.clone()))
            .collect();
        assert_eq!(self.commit(&writes), Ok(true));
        known
    }
}

fn written(model: &Model, granted: &[LeaseId], writes: &[(usize, Check, Option<Put>)]) -> Vec<Write> {
    let write = |(key, check, put): &(usize, Check, Option<Put>)| {
        let key = Bytes::from_static(KEYS[*key]);
        let modified = model.now.get(&key).map_or(0, |kv| kv.modified);
        Write {
            expect: match check {
                Check::None => None,
                Check::Absent => Some(Expect::Absent),
                Check::Current => Some(Expect::Modified(modified)),
                Check::Old => Some(Expect::Modified(modified.saturating_sub(1))),
            },
            change: put.as_ref().map(|put| match put {
                Put::Value(value, lease) => Change::Put {
                    value: vec![*value; usize::from(*value)].into(),
                    lease: lease.and_then(|lease| granted.get(lease).copied()),
                },
                Put::Delete => Change::Delete,
            }),
            key,
        }
    };
    writes.iter().map(write).collect()
}

async fn same(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let open = || Embedded::open(folder.path(), Options::default()).unwrap();
    let mut store = open();
    let mut model = Model {
        revision: store.revision().await.unwrap(),
        ..Model::default()
    };
    model.compacted = model.revision;
    model.past.insert(model.revision, BTreeMap::new());
    let mut granted = Vec::new();
    for step in steps {
        match step {
            Step::Commit(writes) => {
                let writes = written(&model, &granted, &writes);
                let before: Vec<_> = writes.iter().map(|write| model.now.get(&write.key).cloned()).collect();
                match (store.commit(writes.clone()).await, model.commit(&writes)) {
                    (Ok(Outcome::Committed(revision)), Ok(true)) => assert_eq!(revision, model.revision),
                    (Ok(Outcome::Conflict { revision, current }), Ok(false)) => {
                        assert_eq!((revision, current), (model.revision, before));
                    }
                    (Err(Error::NoLease), Err(())) => {}
                    (found, expected) => panic!("{found:?}, not {expected:?}"),
                }
            }
            Step::Compact(back) => {
                let target = model.revision.saturating_sub(back as u64);
                let done = store.compact(target).await;
                assert_eq!(done.is_ok(), target > model.compacted);
                model.compacted = model.compacted.max(target);
            }
            Step::Grant => {
                let lease = store.grant(Duration::from_secs(1000)).await.unwrap();
                assert!(!granted.contains(&lease));
                granted.push(lease);
                model.leases.push(lease);
            }
            Step::Revoke(index) => {
                if let Some(lease) = granted.get(index) {
                    assert_eq!(store.revoke(*lease).await.is_ok(), model.revoke(*lease));
                }
            }
            Step::Reopen => {
                drop(store);
                store = open();
            }
        }
    }
    compare(&store, &model).await;
}

async fn compare(store: &Embedded, model: &Model) {
    assert_eq!(store.revision().await.unwrap(), model.revision);
    for key in KEYS {
        let (found, at) = store.get(key).await.unwrap();
        assert_eq!((found.as_ref(), at), (model.now.get(key), model.revision));
    }
    let bounds = KEYS.map(Bytes::from_static);
    for at in model.past.keys() {
        let past = &model.past[at];
        for (start, end) in bounds
            .iter()
            .flat_map(|start| bounds.iter().map(move |end| (start, end)))
        {
            let inside = |key: &Bytes| start <= key && key < end;
            let range = Range {
                start: start.clone(),
                end: end.clone(),
                limit: 2,
                at: Some(*at),
                count: true,
                later: 0,
            };
            match store.range(range).await {
                Ok(page) => {
                    let expected: Vec<_> = past
                        .iter()
                        .filter(|(key, _)| inside(key))
                        .map(|(_, kv)| kv.clone())
                        .collect();
                    assert!(*at >= model.compacted);
                    assert_eq!(page.count, expected.len());
                    assert_eq!(page.items, expected.into_iter().take(2).collect::<Vec<_>>());
                }
                Err(Error::Compacted { .. }) => assert!(*at < model.compacted),
                Err(other) => panic!("{other}"),
            }
        }
    }
    let mut stream = store
        .watch(Bytes::from_static(b"\0"), Bytes::from_static(NO_END), model.compacted)
        .await
        .unwrap();
    let mut found = Vec::new();
    let mut reached = model.compacted;
    while reached < model.revision {
        match stream.next().await.unwrap().unwrap() {
            Watched::Events { events, revision } => {
                found.extend(events);
                reached = revision;
            }
            Watched::Progress(revision) => reached = revision,
        }
    }
    let expected: Vec<Event> = model
        .events
        .iter()
        .filter(|event| event.revision() > model.compacted)
        .cloned()
        .collect();
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_engine_does_what_the_model_does(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(same(steps));
    }
}
