//! A bearer token, and what a connection remembers of its last one.
//!
//! A client that keeps its headers in HTTP/2's table (RFC 7541, 2.3.2), as Go's does, sends a token once; what its later
//! requests have is not a copy, but that header. So it is known again by where it lies: no secret is compared, and
//! nothing of it is read or hashed again.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;

use super::bearer::{self, NoToken};
use super::digest::{Digest, Hasher};
use super::service_account::Signed;

/// A token, which is hashed once however many look it up.
pub(super) struct Token<'a> {
    bytes: &'a [u8],
    source: Option<(&'a LastToken, &'a HeaderValue)>,
    digest: OnceCell<Option<Digest>>,
}

impl<'a> Token<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            source: None,
            digest: OnceCell::new(),
        }
    }

    /// The token of an `Authorization` header, on a connection that may remember its last one.
    pub fn of_header(header: &'a HeaderValue, last: Option<&'a LastToken>) -> Result<Self, NoToken> {
        let Some(last) = last else {
            return bearer::in_header(header).map(Self::new);
        };
        Ok(Self {
            bytes: &header.as_bytes()[last.place(header)?],
            source: Some((last, header)),
            digest: OnceCell::new(),
        })
    }

    /// It as text, which it was found to be.
    pub fn text(&self) -> &'a str {
        std::str::from_utf8(self.bytes).unwrap_or_default()
    }

    pub fn digest(&self, hasher: &Hasher) -> Option<Digest> {
        let hash = || hasher.digest(self.bytes);
        *self.digest.get_or_init(|| match self.source {
            Some((last, header)) => last.digest(header, hash),
            None => hash(),
        })
    }

    /// What [`Self::remember`] was told for this cache.
    pub fn known_to(&self, cache: u64) -> Option<Arc<Signed>> {
        let (last, header) = self.source?;
        let seen = last.0.lock();
        let (whose, signed) = seen.as_ref().filter(|seen| seen.is_of(header))?.signed.as_ref()?;
        (*whose == cache).then(|| Arc::clone(signed))
    }

    /// That a cache, by its number, has it as this.
    pub fn remember(&self, cache: u64, signed: &Arc<Signed>) {
        if let Some((last, header)) = self.source
            && let Some(seen) = last.0.lock().as_mut().filter(|seen| seen.is_of(header))
        {
            seen.signed = Some((cache, Arc::clone(signed)));
        }
    }
}

/// The token that came last on a connection.
#[derive(Default)]
pub struct LastToken(Mutex<Option<Seen>>);

struct Seen {
    /// Held, so that no other can come to lie where it does.
    header: HeaderValue,
    /// Where in it the token is.
    place: Range<usize>,
    digest: Option<Digest>,
    /// By the number of the cache that knows it.
    signed: Option<(u64, Arc<Signed>)>,
}

impl Seen {
    fn is_of(&self, header: &HeaderValue) -> bool {
        std::ptr::eq(self.header.as_bytes(), header.as_bytes())
    }
}

impl LastToken {
    /// Where in a header its token is. A header that is another than the last takes its place.
    fn place(&self, header: &HeaderValue) -> Result<Range<usize>, NoToken> {
        let mut last = self.0.lock();
        if let Some(seen) = last.as_ref().filter(|seen| seen.is_of(header)) {
            return Ok(seen.place.clone());
        }
        let token = bearer::in_header(header)?;
        let start = token.as_ptr().addr() - header.as_bytes().as_ptr().addr();
        let place = start..start + token.len();
        *last = Some(Seen {
            header: header.clone(),
            place: place.clone(),
            digest: None,
            signed: None,
        });
        Ok(place)
    }

    fn digest(&self, header: &HeaderValue, hash: impl FnOnce() -> Option<Digest>) -> Option<Digest> {
        let known = |seen: &Seen| seen.is_of(header).then_some(seen.digest).flatten();
        if let Some(digest) = self.0.lock().as_ref().and_then(known) {
            return Some(digest);
        }
        // Not under the lock: requests that come at once each hash, and agree.
        let digest = hash()?;
        if let Some(seen) = self.0.lock().as_mut().filter(|seen| seen.is_of(header)) {
            seen.digest = Some(digest);
        }
        Some(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(token: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Bearer {token} x")).unwrap()
    }

    #[test]
    fn a_header_is_known_again_by_where_it_lies() {
        let hasher = Hasher::of_process().unwrap();
        let last = LastToken::default();
        let (first, second) = (header("first-token"), header("other-token"));
        // As a request has it: a clone of what the connection's table keeps.
        let found = |header: &HeaderValue, hash: &dyn Fn() -> Option<Digest>| {
            let header = header.clone();
            last.place(&header).ok().unwrap();
            last.digest(&header, hash)
        };
        let never: &dyn Fn() -> Option<Digest> = &|| panic!("it is hashed again");
        for (header, text) in [
            (&first, "first-token"),
            (&second, "other-token"),
            (&first, "first-token"),
            (&HeaderValue::from_bytes(first.as_bytes()).unwrap(), "first-token"),
        ] {
            let digest = hasher.digest(text.as_bytes());
            assert_eq!(found(header, &|| digest), digest);
            assert_eq!(found(header, never), digest);
            let token = Token::of_header(header, Some(&last)).ok().unwrap();
            assert_eq!((token.text(), token.digest(hasher)), (text, digest));
        }
        // What is remembered is still held when its sender has let it go: nothing else can have its place.
        let copy = header("first-token");
        Token::of_header(&copy, Some(&last)).ok().unwrap();
        drop(copy);
        let elsewhere: Vec<_> = (0..1000).map(|_| header("first-token")).collect();
        let seen = last.0.lock();
        assert!(elsewhere.iter().all(|other| !seen.as_ref().unwrap().is_of(other)));
    }

    #[test]
    fn what_a_cache_knows_is_not_told_of_another_header_nor_to_another_cache() {
        let last = LastToken::default();
        let (first, second) = (header("first-token"), header("other-token"));
        let signed = Arc::new(Signed::default());
        let of = |header| Token::of_header(header, Some(&last)).ok().unwrap();
        let late = of(&first);
        of(&first).remember(7, &signed);
        assert!(of(&first).known_to(7).is_some_and(|known| Arc::ptr_eq(&known, &signed)));
        assert!(of(&first).known_to(8).is_none());
        assert!(of(&second).known_to(7).is_none());
        assert!(of(&first).known_to(7).is_none(), "only the last is remembered");
        of(&second);
        late.remember(7, &signed);
        assert!(
            of(&second).known_to(7).is_none(),
            "of one that is the last no more nothing is kept"
        );
        assert!(Token::new("first-token").known_to(7).is_none());
    }

    #[test]
    fn a_header_without_a_token_leaves_the_last_one() {
        let last = LastToken::default();
        let first = header("first-token");
        Token::of_header(&first, Some(&last)).ok().unwrap();
        for text in ["Basic eDp5", "Bearer", ""] {
            assert!(Token::of_header(&HeaderValue::from_static(text), Some(&last)).is_err());
        }
        assert!(last.0.lock().as_ref().unwrap().is_of(&first));
    }
}
