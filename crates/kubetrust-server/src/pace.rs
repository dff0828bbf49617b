//! Whose turn it is on a connection. A client that does not take what it asked for holds memory and a place among the
//! connections, so it is cut off; so is one that asks for nothing for long. Pings and single bytes do not count.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use crate::http::body::Answer;

/// What goes on on one connection.
#[derive(Debug)]
pub struct Pace(Mutex<Exchanges>);

#[derive(Debug)]
struct Exchanges {
    /// Few at a time: looking through them costs less than hashing.
    open: Vec<(u64, Turn)>,
    last: u64,
    /// When the last exchange ended.
    idle_since: Instant,
}

/// Who has to do the next step of an exchange.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The server: it works on the request, or waits for an event of the watch.
    Server,
    /// The client has not asked for more since it was given something.
    Client(Instant),
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// It is not used: it may end.
    Idle,
    /// Its client does not read.
    Stalled,
}

impl Pace {
    /// Of a new connection.
    pub fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Exchanges {
            open: Vec::new(),
            last: 0,
            idle_since: now,
        })))
    }

    /// A request has come.
    pub fn begin(self: &Arc<Self>) -> Exchange {
        let mut exchanges = self.0.lock();
        exchanges.last += 1;
        let id = exchanges.last;
        exchanges.open.push((id, Turn::Server));
        Exchange {
            pace: Arc::clone(self),
            id,
        }
    }

    /// How the connection stands when answers may wait for `stall` and connections be unused for `idle`.
    pub fn verdict(&self, now: Instant, stall: Duration, idle: Duration) -> Verdict {
        let exchanges = self.0.lock();
        let waits = |turn: &Turn| matches!(turn, Turn::Client(since) if now.saturating_duration_since(*since) >= stall);
        if exchanges.open.iter().any(|(_, turn)| waits(turn)) {
            Verdict::Stalled
        } else if exchanges.open.is_empty() && now.saturating_duration_since(exchanges.idle_since) >= idle {
            Verdict::Idle
        } else {
            Verdict::Fine
        }
    }
}

/// A request and its answer, until the last byte was handed over.
#[derive(Debug)]
pub struct Exchange {
    pace: Arc<Pace>,
    id: u64,
}

impl Exchange {
    fn turn(&self, turn: Turn) {
        let mut exchanges = self.pace.0.lock();
        if let Some((_, whose)) = exchanges.open.iter_mut().find(|(id, _)| *id == self.id) {
            *whose = turn;
        }
    }

    /// The answer, followed on its way out.
    pub fn answer(self, body: Answer) -> Paced {
        self.turn(Turn::Client(Instant::now()));
        Paced { body, exchange: self }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut exchanges = self.pace.0.lock();
        exchanges.open.retain(|(id, _)| *id != self.id);
        exchanges.idle_since = Instant::now();
    }
}

/// An answer of which is known whether its client takes it.
pub struct Paced {
    body: Answer,
    exchange: Exchange,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.exchange.turn(if polled.is_pending() {
            Turn::Server
        } else {
            Turn::Client(Instant::now())
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_mins(1);
    const IDLE: Duration = Duration::from_secs(90);

    #[test]
    fn a_connection_is_stalled_by_its_reader_and_never_by_the_server() {
        let begun = Instant::now();
        let pace = Pace::new(begun);
        let later = begun + Duration::from_hours(1);
        assert_eq!(pace.verdict(begun, STALL, IDLE), Verdict::Fine);
        assert_eq!(pace.verdict(later, STALL, IDLE), Verdict::Idle);
        let exchange = pace.begin();
        assert_eq!(
            pace.verdict(later, STALL, IDLE),
            Verdict::Fine,
            "the server works on it"
        );
        let mut answer = exchange.answer(Answer::stream(futures_util::stream::pending()));
        assert_eq!(
            pace.verdict(later, STALL, IDLE),
            Verdict::Stalled,
            "nobody asks for its body"
        );
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut answer).poll_frame(&mut context).is_pending());
        assert_eq!(
            pace.verdict(later, STALL, IDLE),
            Verdict::Fine,
            "the client waits for an event"
        );
        drop(answer);
        assert_eq!(pace.verdict(later + IDLE, STALL, IDLE), Verdict::Idle);
    }
}
