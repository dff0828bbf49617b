//! The thread that writes: it takes what is in the queue, writes it in one go, and gives the room back.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info};

use super::file::LogFile;
use crate::audit::counters::Counters;

/// How much is gathered before it is written, in bytes.
const BATCH: usize = 256 * 1024;

/// What the queue holds.
#[derive(Debug)]
pub(super) enum Message {
    /// An event with its line break, and the room that it takes until it is written.
    Line(Vec<u8>, OwnedSemaphorePermit),
    /// Everything before it is to be on the disk.
    Flush(oneshot::Sender<()>),
}

/// Writes until the queue is closed.
pub(super) fn run(queue: &Receiver<Message>, mut output: Output, stalled: &AtomicBool, counters: &Counters) {
    let mut batch = Batch::default();
    while let Ok(first) = queue.recv() {
        batch.take(first);
        while batch.has_room() {
            let Ok(next) = queue.try_recv() else { break };
            batch.take(next);
        }
        let lost = output.write(&batch.lines, Timestamp::now());
        if lost == 0 {
            stalled.store(false, Ordering::Relaxed);
        } else {
            counters.failed.inc_by(lost as u64);
        }
        if !batch.flushed.is_empty() {
            output.sync();
        }
        batch.done();
    }
}

#[derive(Default)]
struct Batch {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    room: Vec<OwnedSemaphorePermit>,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn take(&mut self, message: Message) {
        match message {
            Message::Line(line, room) => {
                self.bytes += line.len();
                self.lines.push(line);
                self.room.push(room);
            }
            Message::Flush(done) => self.flushed.push(done),
        }
    }

    fn has_room(&self) -> bool {
        self.bytes < BATCH && self.flushed.is_empty()
    }

    fn done(&mut self) {
        self.lines.clear();
        self.bytes = 0;
        self.room.clear();
        for done in self.flushed.drain(..) {
            // Whoever gave up waiting does not need to know.
            let _ = done.send(());
        }
    }
}

/// Where lines go, and how it went so far.
pub(super) struct Output {
    target: Target,
    /// Bytes that are written at once; kept for its memory.
    buffer: Vec<u8>,
    /// The last write ended within a line.
    torn: bool,
    /// The last write failed, and that was said.
    failing: bool,
}

enum Target {
    File(LogFile),
    Stream(Box<dyn Write + Send>),
}

impl Output {
    pub(super) fn file(file: LogFile) -> Self {
        Self::to(Target::File(file))
    }

    pub(super) fn stream(stream: Box<dyn Write + Send>) -> Self {
        Self::to(Target::Stream(stream))
    }

    fn to(target: Target) -> Self {
        Self {
            target,
            buffer: Vec::new(),
            torn: false,
            failing: false,
        }
    }

    /// Writes lines, and says how many could not be written.
    fn write(&mut self, lines: &[Vec<u8>], now: Timestamp) -> usize {
        let mut lost = 0;
        for line in lines {
            if let Target::File(file) = &mut self.target
                && file.is_full_with(self.buffer.len(), line.len())
            {
                lost += self.write_buffer();
                if let Target::File(file) = &mut self.target {
                    file.rotate(now);
                }
            }
            self.buffer.extend_from_slice(line);
        }
        lost + self.write_buffer()
    }

    fn write_buffer(&mut self) -> usize {
        if self.buffer.is_empty() {
            return 0;
        }
        let (written, result) = self.write_bytes();
        let lost = self.buffer.iter().skip(written).filter(|byte| **byte == b'\n').count();
        if written > 0 {
            self.torn = self.buffer.get(written - 1) != Some(&b'\n');
        }
        self.buffer.clear();
        self.buffer.shrink_to(BATCH);
        self.say(&result, lost);
        lost
    }

    /// How many bytes of the buffer were written.
    fn write_bytes(&mut self) -> (usize, io::Result<()>) {
        let out: &mut dyn Write = match &mut self.target {
            Target::File(file) => file,
            Target::Stream(stream) => stream,
        };
        // What follows half a line begins one of its own.
        if self.torn
            && let Err(error) = out.write_all(b"\n")
        {
            return (0, Err(error));
        }
        self.torn = false;
        let mut written = 0;
        while let Some(rest) = self.buffer.get(written..).filter(|rest| !rest.is_empty()) {
            match out.write(rest) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, out.flush())
    }

    /// Once when it begins to fail and once when it works again, not for every event.
    fn say(&mut self, result: &io::Result<()>, lost: usize) {
        match result {
            Err(error) if !self.failing => error!(%error, lost, "the audit log can't be written: events are lost"),
            Ok(()) if self.failing => info!("the audit log is written again"),
            _ => {}
        }
        self.failing = result.is_err();
    }

    fn sync(&mut self) {
        if let Target::File(file) = &mut self.target {
            file.sync();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// Takes so many bytes, and then fails until there is room again.
    #[derive(Clone, Default)]
    struct Narrow(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Narrow {
        fn allow(&self, bytes: usize) {
            self.0.lock().1 = bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().0.clone()).unwrap()
        }
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (taken, room) = &mut *self.0.lock();
            if *room == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let bytes = &bytes[..bytes.len().min(*room)];
            *room -= bytes.len();
            taken.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| format!("{text}\n").into_bytes()).collect()
    }

    #[test]
    fn half_a_line_never_spoils_the_next() {
        let narrow = Narrow::default();
        let mut output = Output::stream(Box::new(narrow.clone()));
        let now = Timestamp::UNIX_EPOCH;
        narrow.allow(6);
        assert_eq!(output.write(&lines(&["one", "two", "three"]), now), 2);
        assert_eq!(narrow.text(), "one\ntw");
        assert_eq!(output.write(&lines(&["four"]), now), 1);
        // The break fits and nothing else does: no line is torn then.
        narrow.allow(1);
        assert_eq!(output.write(&lines(&["five"]), now), 1);
        assert_eq!(narrow.text(), "one\ntw\n");
        narrow.allow(100);
        assert_eq!(output.write(&lines(&["six", "seven"]), now), 0);
        assert_eq!(narrow.text(), "one\ntw\nsix\nseven\n");
    }
}
