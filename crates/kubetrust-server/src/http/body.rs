//! Bodies: what comes in is bounded, what goes out is not copied.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kubetrust_api::status::Status;

/// Largest request body, in bytes (`MaxRequestBodyBytes` of kube-apiserver).
pub const MAX_BODY: usize = 3 * 1024 * 1024;

/// Bytes of one data frame of a list: small objects are gathered up to here.
const CHUNK: usize = 64 * 1024;

/// The body of an answer.
pub enum Answer {
    /// All of it.
    Whole(Option<Bytes>),
    /// Pieces, gathered into frames as they are sent.
    Pieces {
        /// What is left.
        pieces: VecDeque<Bytes>,
        /// Bytes that are left.
        left: u64,
    },
    /// Frames as they come, until the stream ends.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Answer {
    /// All of it at once.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// Nothing.
    pub fn empty() -> Self {
        Self::Whole(None)
    }

    /// In pieces that are not copied before they are sent.
    #[must_use]
    pub fn pieces(pieces: VecDeque<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self::Pieces { pieces, left }
    }

    /// As it is, and each frame of a stream is shown to this, which is dropped with the stream.
    #[must_use]
    pub fn shown_to(self, mut see: impl FnMut(&Bytes) + Send + 'static) -> Self {
        match self {
            Self::Stream(frames) => Self::Stream(Box::pin(frames.inspect(move |frame| see(frame)))),
            other => other,
        }
    }

    /// As they come.
    pub fn stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::Stream(Box::pin(stream))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.get_mut() {
            Self::Whole(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()),
            Self::Pieces { pieces, left } => {
                let chunk = next_chunk(pieces);
                *left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                chunk
            }
            Self::Stream(stream) => match stream.as_mut().poll_next(context) {
                Poll::Ready(data) => data,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Pieces { pieces, .. } => pieces.is_empty(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces { left, .. } => SizeHint::with_exact(*left),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

fn next_chunk(pieces: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let first = pieces.pop_front()?;
    if first.len() >= CHUNK || pieces.is_empty() {
        return Some(first);
    }
    let mut chunk = BytesMut::with_capacity(CHUNK);
    chunk.extend_from_slice(&first);
    while let Some(next) = pieces.front() {
        if chunk.len() + next.len() > CHUNK {
            break;
        }
        chunk.extend_from_slice(next);
        pieces.pop_front();
    }
    Some(chunk.freeze())
}

/// Reads a request's body whole, up to [`MAX_BODY`].
pub async fn read(body: Incoming) -> Result<Bytes, Status> {
    let too_large = || Status::too_large(format!("Request entity too large: limit is {MAX_BODY}"));
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    match http_body_util::Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Status::bad_request("the body of the request could not be read")),
    }
}
