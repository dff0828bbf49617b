//! PEM (RFC 7468), read as OpenSSL and Go read it: text around the blocks is ignored, headers are noticed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One block.
pub struct Block {
    /// `CERTIFICATE`, `PRIVATE KEY`, …
    pub label: String,
    /// Its content. Zeroed on drop, since it may be a key.
    pub der: Zeroizing<Vec<u8>>,
    /// It has the header of an encrypted key (`Proc-Type: 4,ENCRYPTED`, RFC 1421), so `der` is a cipher's output.
    pub encrypted: bool,
}

/// Why a text's blocks can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// A block starts and never ends.
    #[error("line {line}: the block {label} has no END line")]
    Unterminated {
        /// Where the block starts, from 1.
        line: usize,
        /// Its label.
        label: String,
    },
    /// The content is no base64.
    #[error("line {line}: the block {label} is not base64")]
    NotBase64 {
        /// Where the block starts, from 1.
        line: usize,
        /// Its label.
        label: String,
    },
}

/// All blocks of a text, in order. Bytes that are no UTF-8 count as text around the blocks.
pub fn blocks(text: &[u8]) -> Result<Vec<Block>, PemError> {
    let text = Zeroizing::new(String::from_utf8_lossy(text).into_owned());
    let mut lines = text.lines().map(str::trim).enumerate();
    let mut blocks = Vec::new();
    while let Some((index, line)) = lines.next() {
        let Some(label) = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
        else {
            continue;
        };
        let (label, line) = (label.to_owned(), index + 1);
        let mut body = Zeroizing::new(String::new());
        let mut encrypted = false;
        loop {
            let Some((_, content)) = lines.next() else {
                return Err(PemError::Unterminated { line, label });
            };
            if content
                .strip_prefix("-----END ")
                .and_then(|rest| rest.strip_suffix("-----"))
                == Some(label.as_str())
            {
                break;
            }
            if content.contains(':') {
                encrypted |= content.contains("ENCRYPTED");
            } else {
                body.push_str(content);
            }
        }
        match STANDARD.decode(body.as_bytes()) {
            Ok(der) => blocks.push(Block {
                label,
                der: Zeroizing::new(der),
                encrypted,
            }),
            Err(_) => return Err(PemError::NotBase64 { line, label }),
        }
    }
    Ok(blocks)
}

/// A block as text, 64 columns wide, with a final newline.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 36);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for start in (0..body.len()).step_by(64) {
        text.push_str(&body[start..body.len().min(start + 64)]);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}
