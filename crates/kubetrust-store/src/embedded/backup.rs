//! A store in one file, made while it runs, and a store made from one.
//!
//! The file: `MAGIC`, then blocks of kind, length and content (numbers little-endian), and at the end a block with the
//! SHA-256 of all before. A key keeps its revisions and its lease; its history stays behind.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use redb::Database;

use super::check::PROGRESS;
use super::disk::{Fault, Folder};
use super::tables::{FORMAT, FORMAT_NOW, Snapshot, Writable, initialize_at};
use super::{Embedded, OpenError, Options, guarded, milliseconds, opening, record, take};
use crate::{KEY_LIMIT, LeaseId, NO_END, REQUEST_LIMIT, Revision};

const MAGIC: &[u8; 16] = b"kubetrust-store1";

const HEAD: u8 = 0;
const KEY: u8 = 1;
const LEASE: u8 = 2;
const END: u8 = 3;

/// Most bytes of a block: a key, its value, and what is said of it.
const BLOCK_LIMIT: usize = KEY_LIMIT + REQUEST_LIMIT + 1024;

/// Keys that one read of a running store takes.
const PAGE: usize = 500;

/// What was written or read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The revision that the backup has.
    pub revision: Revision,
    /// Keys.
    pub keys: u64,
    /// Leases.
    pub leases: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Why there is no backup, or no store from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The disk.
    #[error("{}: {reason}", file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// What it said.
        reason: io::Error,
    },
    /// The file is no backup, or not as it was written.
    #[error("{}: the backup is damaged: {reason}", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The store that is backed up.
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// The folder that is restored to.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// There is a store already.
    #[error("{}: there is a store already; restore to another folder, or move this one away", folder.display())]
    Exists {
        /// Where.
        folder: PathBuf,
    },
}

impl Embedded {
    /// Writes all that is there now to a new file, as of one revision, while others read and write. It takes as long as
    /// reading everything does; call it where that may block. `progress` is told how many keys were written so far.
    pub fn backup(&self, file: &Path, progress: impl FnMut(u64)) -> Result<Summary, BackupError> {
        let failed = |reason| BackupError::Io {
            file: file.to_owned(),
            reason,
        };
        let partial = beside(file);
        let written = self.write_backup(&partial, progress);
        let done = written.and_then(|summary| {
            // The name is given last, and never to a file in the place of another.
            std::fs::hard_link(&partial, file).map_err(failed)?;
            sync_folder(file).map_err(failed)?;
            Ok(summary)
        });
        // It has its name now, or is of no use.
        let _ = std::fs::remove_file(&partial);
        done
    }

    fn write_backup(&self, partial: &Path, mut progress: impl FnMut(u64)) -> Result<Summary, BackupError> {
        let failed = |reason| BackupError::Io {
            file: partial.to_owned(),
            reason,
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(partial)
            .map_err(failed)?;
        let now = self.shared.now();
        let result = self
            .shared
            .read(|snapshot| write_all(snapshot, now, &file, &mut progress))?;
        result.map_err(failed)
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Writes a snapshot; the inner result is of the file.
fn write_all(
    snapshot: &Snapshot,
    now: u64,
    file: &File,
    progress: &mut impl FnMut(u64),
) -> Result<io::Result<Summary>, Fault> {
    let mut summary = Summary {
        revision: snapshot.revision()?,
        ..Summary::default()
    };
    let mut blocks = match Blocks::begin(file, summary.revision, now) {
        Ok(blocks) => blocks,
        Err(error) => return Ok(Err(error)),
    };
    for (lease, deadline, length) in snapshot.leases()? {
        let content = [lease.0.to_le_bytes(), deadline.to_le_bytes(), length.to_le_bytes()].concat();
        if let Err(error) = blocks.block(LEASE, &[&content]) {
            return Ok(Err(error));
        }
        summary.leases += 1;
    }
    let mut start: Vec<u8> = Vec::new();
    loop {
        let page = snapshot.page(&start, NO_END, PAGE)?;
        let Some(last) = page.last() else {
            break;
        };
        start = [last.key.as_ref(), &[0]].concat();
        for kv in &page {
            summary.keys += 1;
            summary.bytes += (kv.key.len() + kv.value.len()) as u64;
            let length = u64_of(kv.key.len()).to_le_bytes();
            let parts: [&[u8]; 4] = [&length, &kv.key, &kv.modified.to_le_bytes(), &record::put(kv)];
            if let Err(error) = blocks.block(KEY, &parts) {
                return Ok(Err(error));
            }
            if summary.keys.is_multiple_of(PROGRESS) {
                progress(summary.keys);
            }
        }
    }
    progress(summary.keys);
    Ok(blocks.end().map(|()| summary))
}

fn u64_of(length: usize) -> u64 {
    length as u64
}

struct Blocks<'a> {
    file: &'a File,
    writer: BufWriter<&'a File>,
    digest: Context,
}

impl<'a> Blocks<'a> {
    fn begin(file: &'a File, revision: Revision, now: u64) -> io::Result<Self> {
        let mut blocks = Self {
            file,
            writer: BufWriter::with_capacity(1 << 20, file),
            digest: Context::new(&SHA256),
        };
        blocks.put(MAGIC)?;
        blocks.block(HEAD, &[&revision.to_le_bytes(), &now.to_le_bytes()])?;
        Ok(blocks)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.writer.write_all(bytes)
    }

    fn block(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        self.put(&[kind])?;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.put(&u64_of(length).to_le_bytes())?;
        parts.iter().try_for_each(|part| self.put(part))
    }

    fn end(mut self) -> io::Result<()> {
        let sum = self.digest.clone().finish();
        self.block(END, &[sum.as_ref()])?;
        self.writer.flush()?;
        self.file.sync_all()
    }
}

/// One block of a backup.
enum Block {
    Head(Revision),
    Key(crate::KeyValue),
    Lease(LeaseId, u64, u64),
    End,
}

/// Reads a backup, and trusts nothing of it.
struct Backup {
    path: PathBuf,
    reader: BufReader<File>,
    digest: Context,
}

impl Backup {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(|reason| BackupError::Io {
            file: path.to_owned(),
            reason,
        })?;
        let mut backup = Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(1 << 20, file),
            digest: Context::new(&SHA256),
        };
        let mut magic = [0; MAGIC.len()];
        backup.fill(&mut magic)?;
        if &magic == MAGIC {
            Ok(backup)
        } else {
            Err(backup.damaged("it is no backup of a store"))
        }
    }

    fn damaged(&self, reason: impl Into<String>) -> BackupError {
        BackupError::Damaged {
            file: self.path.clone(),
            reason: reason.into(),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BackupError> {
        match self.reader.read_exact(buffer) {
            Ok(()) => {
                self.digest.update(buffer);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged("it ends too early")),
            Err(reason) => Err(BackupError::Io {
                file: self.path.clone(),
                reason,
            }),
        }
    }

    fn number(&mut self) -> Result<u64, BackupError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn next(&mut self) -> Result<Block, BackupError> {
        let before = self.digest.clone();
        let mut kind = [0];
        self.fill(&mut kind)?;
        let length = self.number()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= BLOCK_LIMIT);
        let length = length.ok_or_else(|| self.damaged("a block is longer than any can be"))?;
        let mut content = vec![0; length];
        self.fill(&mut content)?;
        match (kind, content.len()) {
            ([HEAD], 16) => {
                let [revision, _time] = numbers(&content).ok_or_else(|| self.damaged("its head is wrong"))?;
                Ok(Block::Head(revision))
            }
            ([LEASE], 24) => {
                let [lease, deadline, length] = numbers(&content).ok_or_else(|| self.damaged("a lease is wrong"))?;
                Ok(Block::Lease(LeaseId(lease.cast_signed()), deadline, length))
            }
            ([KEY], _) => self.key(&content),
            ([END], SHA256_OUTPUT_LEN) => {
                if before.finish().as_ref() != content {
                    return Err(self.damaged("its content does not match its checksum"));
                }
                let mut more = [0];
                match self.reader.read(&mut more) {
                    Ok(0) => Ok(Block::End),
                    _ => Err(self.damaged("it goes on after its end")),
                }
            }
            _ => Err(self.damaged("it has a block of an unknown kind")),
        }
    }

    fn key(&self, content: &[u8]) -> Result<Block, BackupError> {
        let wrong = || self.damaged("a key is wrong");
        let (length, rest) = content.split_first_chunk().ok_or_else(wrong)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| wrong())?;
        let (name, rest) = rest.split_at_checked(length).ok_or_else(wrong)?;
        let (modified, stored) = rest.split_first_chunk().ok_or_else(wrong)?;
        match record::read_version(name, u64::from_le_bytes(*modified), stored) {
            Ok(Some(kv)) => Ok(Block::Key(kv)),
            Ok(None) => Err(wrong()),
            Err(fault) => Err(self.damaged(fault.to_string())),
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (chunks, []) = bytes.as_chunks() else {
        return None;
    };
    let numbers: Vec<u64> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
    numbers.try_into().ok()
}

/// Reads a whole backup and says what is in it.
pub fn check_backup(file: &Path, mut progress: impl FnMut(u64)) -> Result<Summary, BackupError> {
    let mut backup = Backup::open(file)?;
    let mut summary = Summary::default();
    let mut last: Option<bytes::Bytes> = None;
    let mut headed = false;
    loop {
        match backup.next()? {
            Block::Head(revision) if !headed => {
                summary.revision = revision;
                headed = true;
            }
            Block::Lease(..) if headed => summary.leases += 1,
            Block::Key(kv) if headed => {
                if kv.modified > summary.revision || last.as_ref().is_some_and(|last| *last >= kv.key) {
                    return Err(backup.damaged("its keys are not those of one revision, in order"));
                }
                summary.keys += 1;
                summary.bytes += (kv.key.len() + kv.value.len()) as u64;
                last = Some(kv.key);
                if summary.keys.is_multiple_of(PROGRESS) {
                    progress(summary.keys);
                }
            }
            Block::End if headed => {
                progress(summary.keys);
                return Ok(summary);
            }
            Block::Head(_) | Block::Lease(..) | Block::Key(_) | Block::End => {
                return Err(backup.damaged("its blocks are out of order"));
            }
        }
    }
}

/// Makes a store from a backup in a folder that has none. The backup is read twice: nothing is begun with a bad one.
pub fn restore(file: &Path, folder: &Path, mut progress: impl FnMut(u64)) -> Result<Summary, BackupError> {
    let summary = check_backup(file, |_| {})?;
    let options = Options::default();
    let taken = take(folder, &options, None)?;
    let exists = taken
        .has_data()
        .map_err(|error| opening(folder, Fault::Disk(error.to_string())))?;
    if exists {
        return Err(BackupError::Exists {
            folder: folder.to_owned(),
        });
    }
    let mut backup = Backup::open(file)?;
    let now = milliseconds((options.clock)());
    let mut outcome = Ok(());
    let made = guarded(|| make(&taken, &mut backup, summary.revision, now, &mut progress, &mut outcome));
    outcome?;
    made.map_err(|fault| opening(folder, fault))?;
    Ok(summary)
}

/// Fills a new file; what is wrong with the backup goes to `outcome`, and leaves no store.
fn make(
    folder: &Folder,
    backup: &mut Backup,
    revision: Revision,
    now: u64,
    progress: &mut impl FnMut(u64),
    outcome: &mut Result<(), BackupError>,
) -> Result<(), Fault> {
    let database = folder.create(|database| {
        initialize_at(database, revision, now)?;
        fill(database, backup, progress).map_err(|failed| match failed {
            Failed::Store(fault) => fault,
            Failed::Backup(error) => {
                let fault = Fault::Damaged(error.to_string());
                *outcome = Err(error);
                fault
            }
        })
    })?;
    Ok(database.close()?)
}

enum Failed {
    Store(Fault),
    Backup(BackupError),
}

impl<T: Into<Fault>> From<T> for Failed {
    fn from(fault: T) -> Self {
        Self::Store(fault.into())
    }
}

/// Bytes of one transaction of the new store.
const TRANSACTION: usize = 16 << 20;

fn fill(database: &Database, backup: &mut Backup, progress: &mut impl FnMut(u64)) -> Result<(), Failed> {
    let mut keys = 0_u64;
    let mut ended = false;
    while !ended {
        let transaction = database.begin_write()?;
        {
            let mut tables = Writable::open(&transaction)?;
            tables.set_number(FORMAT, FORMAT_NOW)?;
            let mut bytes = 0;
            while bytes < TRANSACTION && !ended {
                match backup.next().map_err(Failed::Backup)? {
                    Block::Head(_) => {}
                    // A lease goes on where it was when the backup was made: it may have been meant to be prolonged.
                    Block::Lease(lease, deadline, length) => tables.add_lease(lease, deadline, length)?,
                    Block::Key(kv) => {
                        bytes += kv.key.len() + kv.value.len();
                        tables.put(&kv, None)?;
                        keys += 1;
                        if keys.is_multiple_of(PROGRESS) {
                            progress(keys);
                        }
                    }
                    Block::End => ended = true,
                }
            }
        }
        transaction.commit()?;
    }
    progress(keys);
    Ok(())
}
