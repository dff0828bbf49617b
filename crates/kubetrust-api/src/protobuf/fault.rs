//! Why bytes are no message, or an object cannot be written as one.

use crate::decode::quantity;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the bytes that were read; none for an object that is written.
    pub offset: Option<usize>,
    /// The field, as `spec.containers[0].name`; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub cause: Cause,
}

/// What is wrong with a message or an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The first bytes are others than those of Kubernetes' protobuf.
    #[error("provided data does not appear to be a protobuf message, expected prefix 6b 38 73 00")]
    Prefix,
    /// The content is compressed, or not protobuf.
    #[error("no content of another encoding or type is read")]
    Content,
    /// No such kind is known here, or it has no protobuf form.
    #[error("no kind {kind:?} is registered for version {api_version:?} with a protobuf form")]
    Kind {
        /// The version asked for.
        api_version: String,
        /// The kind asked for.
        kind: String,
    },
    /// A length goes beyond the end.
    #[error("unexpected EOF")]
    Truncated,
    /// A number with more than 64 bits.
    #[error("integer overflow")]
    Overflow,
    /// A number that its field cannot hold.
    #[error("a number is out of range")]
    Range,
    /// A field is written as another type than its own, or as none that there is.
    #[error("wrong wire type {0}")]
    WireType(u8),
    /// Field numbers start at 1.
    #[error("illegal field number {0}")]
    Number(u64),
    /// A field that can be there once stands there again.
    #[error("the field is there twice")]
    Twice,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// Bytes that should be JSON and are not.
    #[error("invalid JSON")]
    Json,
    /// Text that should be base64 and is not.
    #[error("illegal base64 data")]
    Base64,
    /// Text that should be a time and is none, or a time that JSON cannot show.
    #[error("no time between the years 0 and 9999 in the form of RFC 3339")]
    Time,
    /// Text that should be a quantity and is none.
    #[error(transparent)]
    Quantity(#[from] quantity::Malformed),
    /// A value of another type than its field.
    #[error("expected {0}")]
    Type(&'static str),
    /// Messages in messages, too many.
    #[error("exceeded max depth")]
    Depth,
    /// More values than are read at once.
    #[error("too many values")]
    TooMany,
}

impl std::error::Error for Fault {}

impl std::fmt::Display for Fault {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(to, "{}: ", self.path)?;
        }
        write!(to, "{}", self.cause)?;
        match self.offset {
            Some(offset) => write!(to, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

impl From<Cause> for Fault {
    fn from(cause: Cause) -> Self {
        Self {
            offset: None,
            path: String::new(),
            cause,
        }
    }
}

impl Fault {
    pub(super) fn at(offset: usize, cause: impl Into<Cause>) -> Self {
        Self {
            offset: Some(offset),
            path: String::new(),
            cause: cause.into(),
        }
    }

    /// The same fault, seen from the message that has the field.
    pub(super) fn in_field(mut self, name: &str) -> Self {
        let joint = match self.path.as_bytes().first() {
            None | Some(b'[') => "",
            Some(_) => ".",
        };
        self.path.insert_str(0, joint);
        self.path.insert_str(0, name);
        self
    }

    /// The same fault, seen from the list that has the item.
    pub(super) fn in_item(self, index: usize) -> Self {
        self.in_field(&format!("[{index}]"))
    }
}
