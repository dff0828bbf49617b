//! Reads every record of a store that nobody uses, and names what is wrong with it.

use std::collections::BTreeSet;
use std::path::Path;

use super::disk::{Fault, Folder};
use super::tables::{COMPACTED, Snapshot};
use super::{OpenError, Options, guarded, opening, record, take};
use crate::Revision;
use crate::limits::shown;

/// Most faults that are named; more are counted.
pub const FAULTS_LIMIT: usize = 100;

/// Records between two calls of a progress callback.
pub(crate) const PROGRESS: u64 = 1000;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Where the store stands.
    pub revision: Revision,
    /// Records that were read, old versions of keys included.
    pub records: u64,
    /// Keys that are there now.
    pub keys: u64,
    /// What is wrong, the first [`FAULTS_LIMIT`] of it.
    pub faults: Vec<String>,
    /// How much is wrong in all.
    pub fault_count: usize,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.fault_count == 0
    }

    fn add(&mut self, fault: String) {
        if self.faults.len() < FAULTS_LIMIT {
            self.faults.push(fault);
        }
        self.fault_count += 1;
    }

    /// Goes on after damage; a disk that fails ends the check.
    fn note<T>(&mut self, result: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Fault::Damaged(reason)) => {
                self.add(reason);
                Ok(None)
            }
            Err(disk @ Fault::Disk(_)) => Err(disk),
        }
    }
}

/// Reads the whole store in a folder: the file's pages, every record's checksum, and that the tables agree. `progress`
/// is told how many records were read so far.
pub fn check(folder: &Path, mut progress: impl FnMut(u64)) -> Result<Report, OpenError> {
    let taken = take(folder, &Options::default(), None)?;
    if !taken
        .has_data()
        .map_err(|error| opening(folder, Fault::Disk(error.to_string())))?
    {
        return Err(OpenError::Io {
            folder: folder.to_owned(),
            reason: "there is no store here".to_owned(),
        });
    }
    let mut report = Report::default();
    match guarded(|| examine(&taken, &mut report, &mut progress)) {
        Ok(()) => Ok(report),
        Err(Fault::Damaged(reason)) => {
            report.add(reason);
            Ok(report)
        }
        Err(fault) => Err(opening(folder, fault)),
    }
}

fn examine(folder: &Folder, report: &mut Report, progress: &mut impl FnMut(u64)) -> Result<(), Fault> {
    let database = match folder.open_verified() {
        Ok(database) => database,
        Err(Fault::Damaged(reason)) => {
            report.add(format!("a page of the file: {reason}"));
            // What can be read still names the keys.
            folder.open()?
        }
        Err(disk) => return Err(disk),
    };
    let snapshot = Snapshot::take(&database)?;
    let revision = snapshot.revision();
    report.revision = report.note(revision)?.unwrap_or(0);
    let compacted = snapshot.number(COMPACTED);
    let compacted = report.note(compacted)?.unwrap_or(0);
    let leases = snapshot.leases();
    let leases: BTreeSet<i64> = report
        .note(leases)?
        .into_iter()
        .flatten()
        .map(|(lease, ..)| lease.0)
        .collect();
    examine_history(&snapshot, report, compacted, &leases, progress)?;
    examine_log(&snapshot, report, compacted)?;
    examine_lease_keys(&snapshot, report)
}

/// Every version: its checksum, its numbers, its line in the log, its lease.
fn examine_history(
    snapshot: &Snapshot,
    report: &mut Report,
    compacted: Revision,
    leases: &BTreeSet<i64>,
    progress: &mut impl FnMut(u64),
) -> Result<(), Fault> {
    let mut versions = snapshot.versions()?.peekable();
    while let Some(entry) = versions.next() {
        let (key, stored) = entry?;
        let (name, revision) = key.value();
        report.records += 1;
        if report.records.is_multiple_of(PROGRESS) {
            progress(report.records);
        }
        let newest = match versions.peek() {
            Some(Ok((next, _))) => next.value().0 != name,
            Some(Err(_)) | None => true,
        };
        let version = record::read_version(name, revision, stored.value());
        if let Some(Some(kv)) = report.note(version)?
            && newest
        {
            report.keys += 1;
            if let Some(lease) = kv.lease
                && !(leases.contains(&lease.0) && snapshot.has_lease_key(lease, name)?)
            {
                report.add(format!("{} has lease {}, which does not know it", shown(name), lease.0));
            }
        }
        if revision > report.revision {
            report.add(format!(
                "{} has revision {revision}, which has not happened",
                shown(name)
            ));
        }
        if revision > compacted {
            let line = snapshot.line(revision);
            let known = report
                .note(line)?
                .flatten()
                .is_some_and(|line| line.keys.iter().any(|key| key == name));
            if !known {
                report.add(format!("the log of revision {revision} does not name {}", shown(name)));
            }
        }
    }
    progress(report.records);
    Ok(())
}

/// Every line: its checksum, its version of each key, and none missing.
fn examine_log(snapshot: &Snapshot, report: &mut Report, compacted: Revision) -> Result<(), Fault> {
    let mut last = compacted;
    for entry in snapshot.lines()? {
        let (revision, stored) = entry?;
        let revision = revision.value();
        let line = record::read_line(revision, stored.value());
        let Some(line) = report.note(line)? else {
            last = revision;
            continue;
        };
        // What was compacted is on its way out.
        if revision <= compacted {
            continue;
        }
        if revision != last + 1 {
            report.add(format!("the log goes from revision {last} to {revision}"));
        }
        last = revision;
        for key in line.keys {
            if !snapshot.has_version(&key, revision)? {
                report.add(format!("{} at revision {revision} is missing", shown(&key)));
            }
        }
    }
    Ok(())
}

fn examine_lease_keys(snapshot: &Snapshot, report: &mut Report) -> Result<(), Fault> {
    for entry in snapshot.lease_keys()? {
        let (row, _) = entry?;
        let (lease, key) = row.value();
        let current = snapshot.get(key);
        let current = report.note(current)?.flatten();
        if current.is_none_or(|kv| kv.lease.is_none_or(|found| found.0 != lease)) {
            report.add(format!("lease {lease} has {}, which does not know it", shown(key)));
        }
    }
    Ok(())
}
