//! The log's file and its rotation, with the names and rules of the library that upstream uses (lumberjack).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

/// When a file was rotated, in its name: `audit-2026-11-24T11-28-48.123.log`, in UTC.
const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// Most names that are tried for one rotation: each is a millisecond later.
const MAX_TRIES: i64 = 1000;
const MIB: u64 = 1024 * 1024;
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Only who runs the server reads it.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// How the file is kept. Zero is no limit, as in upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--audit-log-path`; not `-`.
    pub path: PathBuf,
    /// `--audit-log-maxage`: days after which a rotated file is removed.
    pub max_age: u32,
    /// `--audit-log-maxbackup`: how many rotated files are kept.
    pub max_backup: u32,
    /// `--audit-log-maxsize`: mebibytes from which on the file is rotated.
    pub max_size: u32,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file.
    #[error("--audit-log-path {}: {source}; name a file in a folder that the server may write to, or - for standard output", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread that writes.
    #[error("the thread that writes the audit log can't be started: {0}")]
    Thread(io::Error),
}

/// The file, open to be appended to.
#[derive(Debug)]
pub struct LogFile {
    options: Options,
    file: File,
    size: u64,
    /// A device or pipe is never renamed.
    is_regular: bool,
    /// The last rotation failed, and that was said.
    stuck: bool,
}

impl LogFile {
    /// Opens the file, and makes it and its folder if they aren't there.
    pub fn open(options: Options, now: Timestamp) -> Result<Self, LogError> {
        let opened = open_at(&options.path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => {
                let log = Self {
                    file,
                    size: metadata.len(),
                    is_regular: metadata.is_file(),
                    stuck: false,
                    options,
                };
                log.remove_old(now);
                Ok(log)
            }
            Err(source) => Err(LogError::Open {
                path: options.path,
                source,
            }),
        }
    }

    /// Whether a line has to go into the next file, with so much more waiting for this one. A line that is larger than
    /// a whole file gets one of its own.
    pub(super) fn is_full_with(&self, waiting: usize, line: usize) -> bool {
        let size = self.size + waiting as u64;
        self.is_regular && self.options.max_size > 0 && size > 0 && size + line as u64 > self.limit()
    }

    fn limit(&self) -> u64 {
        u64::from(self.options.max_size) * MIB
    }

    /// Goes on in a new file. If that can't be made the old one is written on: a large log is better than none.
    pub(super) fn rotate(&mut self, now: Timestamp) {
        match self.next_file(now) {
            Ok(file) => {
                self.file = file;
                self.size = 0;
                self.stuck = false;
                self.remove_old(now);
            }
            Err(error) => {
                if !self.stuck {
                    warn!(path = %self.options.path.display(), %error, "the audit log can't be rotated: it grows");
                }
                self.stuck = true;
            }
        }
    }

    fn next_file(&self, now: Timestamp) -> io::Result<File> {
        let path = &self.options.path;
        let backup = self.free_name(now)?;
        match fs::rename(path, &backup) {
            // Somebody else moved it away: what is written on would be found by nobody.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return open_at(path),
            other => other?,
        }
        open_at(path).inspect_err(|_| {
            // Back under its name, so that what is written on is found. If even that fails, the file still is there.
            let _ = fs::rename(&backup, path);
        })
    }

    /// A name that no file has: two rotations within a millisecond must not overwrite one another.
    fn free_name(&self, now: Timestamp) -> io::Result<PathBuf> {
        for later in 0..MAX_TRIES {
            let at = now.checked_add(SignedDuration::from_millis(later)).unwrap_or(now);
            let path = self.options.path.with_file_name(backup_name(&self.options.path, at));
            if !path.try_exists()? {
                return Ok(path);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes rotated files beyond the number or the age that are kept.
    fn remove_old(&self, now: Timestamp) {
        let Options {
            max_age, max_backup, ..
        } = self.options;
        if !self.is_regular || (max_age == 0 && max_backup == 0) {
            return;
        }
        let kept = if max_backup == 0 {
            usize::MAX
        } else {
            max_backup as usize
        };
        let oldest = (max_age > 0)
            .then(|| {
                now.checked_sub(DAY.saturating_mul(max_age.try_into().unwrap_or(i32::MAX)))
                    .ok()
            })
            .flatten();
        let mut backups = backups(&self.options.path);
        backups.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        for (index, (at, path)) in backups.iter().enumerate() {
            if index < kept && oldest.is_none_or(|oldest| *at >= oldest) {
                continue;
            }
            if let Err(error) = fs::remove_file(path) {
                warn!(path = %path.display(), %error, "an old audit log can't be removed");
            }
        }
    }

    /// Waits until all is on the disk.
    pub(super) fn sync(&mut self) {
        if self.is_regular
            && let Err(error) = self.file.sync_data()
        {
            warn!(path = %self.options.path.display(), %error, "the audit log may not be on the disk");
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open_at(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)
}

/// Stem and extension, with the point: `audit` and `.log`.
fn parts(path: &Path) -> (OsString, OsString) {
    let mut extension = OsString::new();
    if let Some(given) = path.extension() {
        extension.push(".");
        extension.push(given);
    }
    (path.file_stem().unwrap_or_default().to_owned(), extension)
}

fn backup_name(path: &Path, at: Timestamp) -> OsString {
    let (mut name, extension) = parts(path);
    name.push("-");
    name.push(at.strftime(STAMP).to_string());
    name.push(extension);
    name
}

/// The rotated files of a log, and when each was rotated.
fn backups(path: &Path) -> Vec<(Timestamp, PathBuf)> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let (stem, extension) = parts(path);
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let rotated = |name: &OsString| {
        let name = name.to_str()?;
        let stamp = name
            .strip_prefix(stem.to_str()?)?
            .strip_prefix('-')?
            .strip_suffix(extension.to_str()?)?;
        TimeZone::UTC.to_timestamp(DateTime::strptime(STAMP, stamp).ok()?).ok()
    };
    entries
        .flatten()
        .filter_map(|entry| Some((rotated(&entry.file_name())?, entry.path())))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: &str = "2026-11-24T11:28:48.123Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn options(folder: &Path) -> Options {
        Options {
            path: folder.join("logs/audit.log"),
            max_size: 1,
            ..Options::default()
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join("logs")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_gets_the_time_into_its_name_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(options(folder.path()), at(NOW)).unwrap();
        let line = vec![b'x'; 600 * 1024];
        for rotates in [false, true, true] {
            assert_eq!(log.is_full_with(0, line.len()), rotates);
            if rotates {
                log.rotate(at(NOW));
            }
            log.write_all(&line).unwrap();
        }
        // Both in the same millisecond.
        assert_eq!(
            names(folder.path()),
            [
                "audit-2026-11-24T11-28-48.123.log",
                "audit-2026-11-24T11-28-48.124.log",
                "audit.log"
            ]
        );
        for name in names(folder.path()) {
            let metadata = fs::metadata(folder.path().join("logs").join(name)).unwrap();
            assert_eq!(metadata.len(), line.len() as u64);
            assert_eq!(metadata.permissions().mode() & 0o777, FILE_MODE);
        }
        assert_eq!(
            fs::metadata(folder.path().join("logs")).unwrap().permissions().mode() & 0o777,
            FOLDER_MODE
        );
    }

    #[test]
    fn what_was_there_before_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(options(folder.path()), at(NOW)).unwrap();
        log.write_all(&vec![b'x'; 1024 * 1024]).unwrap();
        let log = LogFile::open(options(folder.path()), at(NOW)).unwrap();
        assert!(log.is_full_with(0, 1));
        let unlimited = Options {
            max_size: 0,
            ..options(folder.path())
        };
        assert!(!LogFile::open(unlimited, at(NOW)).unwrap().is_full_with(0, 1));
    }

    #[test]
    fn a_line_larger_than_a_file_has_one_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(options(folder.path()), at(NOW)).unwrap();
        assert!(!log.is_full_with(0, 5 << 20));
        assert!(log.is_full_with(1, 5 << 20));
    }

    #[test]
    fn old_files_go_by_number_and_by_age_and_nothing_else_goes() {
        for (max_backup, max_age, kept) in [
            (0, 0, &["01", "20", "23"][..]),
            (2, 0, &["20", "23"]),
            (1, 0, &["23"]),
            (0, 2, &["23"]),
            (0, 4, &["20", "23"]),
            (1, 4, &["23"]),
            (9, 99, &["01", "20", "23"]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let logs = folder.path().join("logs");
            fs::create_dir(&logs).unwrap();
            let others = [
                "audit-x.log",
                "audit-2026-11-01T00-00-00.000.txt",
                "other-2026-11-01T00-00-00.000.log",
            ];
            let backups = ["01", "20", "23"].map(|day| format!("audit-2026-11-{day}T12-00-00.000.log"));
            for name in others.iter().copied().chain(backups.iter().map(String::as_str)) {
                fs::write(logs.join(name), "").unwrap();
            }
            LogFile::open(
                Options {
                    max_age,
                    max_backup,
                    ..options(folder.path())
                },
                at(NOW),
            )
            .unwrap();
            let mut want: Vec<String> = kept
                .iter()
                .map(|day| format!("audit-2026-11-{day}T12-00-00.000.log"))
                .collect();
            want.extend(others.map(str::to_owned));
            want.push("audit.log".into());
            want.sort();
            assert_eq!(names(folder.path()), want, "{max_backup} {max_age}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_rotated_is_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(options(folder.path()), at(NOW)).unwrap();
        log.write_all(b"one\n").unwrap();
        for later in 0..MAX_TRIES {
            let name = backup_name(&log.options.path, at(NOW) + SignedDuration::from_millis(later));
            fs::write(log.options.path.with_file_name(name), "taken").unwrap();
        }
        log.rotate(at(NOW));
        log.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&log.options.path).unwrap(), "one\ntwo\n");
        log.rotate(at(NOW) + SignedDuration::from_millis(MAX_TRIES));
        log.write_all(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&log.options.path).unwrap(), "three\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(options(folder.path()), at(NOW)).unwrap();
        fs::remove_file(&log.options.path).unwrap();
        log.rotate(at(NOW));
        log.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&log.options.path).unwrap(), "two\n");
    }

    #[test]
    fn a_device_is_never_renamed() {
        let mut log = LogFile::open(
            Options {
                path: "/dev/null".into(),
                max_size: 1,
                ..Options::default()
            },
            at(NOW),
        )
        .unwrap();
        log.write_all(&vec![b'x'; 2 << 20]).unwrap();
        assert!(!log.is_full_with(0, 1));
    }

    #[test]
    fn a_path_that_is_no_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            path: folder.path().to_owned(),
            ..Options::default()
        };
        let message = LogFile::open(options, at(NOW)).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("--audit-log-path {}: ", folder.path().display())),
            "{message}"
        );
    }
}
