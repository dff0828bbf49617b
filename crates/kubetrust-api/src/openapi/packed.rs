//! A document that is kept compressed: clients take it as it is.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// A document, compressed.
#[derive(Debug)]
pub struct Packed {
    gzip: Bytes,
    hash: String,
}

impl Packed {
    pub(super) fn of(content: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(content);
        // Someone waits for it. Writing to memory does not fail.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let gzip = encoder
            .write_all(content)
            .and_then(|()| encoder.finish())
            .unwrap_or_default();
        Self {
            gzip: gzip.into(),
            hash: format!("{:016X}", hasher.finish()),
        }
    }

    /// For clients that take gzip.
    #[must_use]
    pub fn gzip(&self) -> Bytes {
        self.gzip.clone()
    }

    /// For those that don't. Unpacked at each call.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        let mut content = Vec::new();
        if GzDecoder::new(self.gzip.as_ref()).read_to_end(&mut content).is_err() {
            content.clear();
        }
        content
    }

    /// Another one for other content.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}
