//! Frames of HTTP/2 (RFC 9113), written by hand: a library would refuse to send most of them.

use super::wire::Wire;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const REFUSED_STREAM: u32 = 7;
/// `SETTINGS_INITIAL_WINDOW_SIZE`
pub const INITIAL_WINDOW: u16 = 4;

/// A frame that came.
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The last stream that the server works on, of `GOAWAY`.
    pub fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    /// The error code of `RST_STREAM`.
    pub fn code(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(
        SETTINGS,
        0,
        0,
        &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat(),
    )
}

/// A request's header fields, none of them compressed (RFC 7541, 6.2.2).
pub fn block(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let fields = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "k"),
        (":path", path),
    ];
    for (name, value) in fields.iter().chain(more) {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "longer ones need more bytes");
            out.push(u8::try_from(text.len()).unwrap());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

pub fn request(stream: u32, flags: u8, method: &str, path: &str) -> Vec<u8> {
    let json = [("content-type", "application/json")];
    frame(HEADERS, END_HEADERS | flags, stream, &block(method, path, &json))
}

impl Wire {
    /// The next frame; `None` at the end of the connection. Pings are answered.
    pub async fn answered_frame(&mut self) -> Option<Frame> {
        let came = self.frame().await?;
        if came.kind == PING && came.flags & ACK == 0 {
            let _ = self.send(&frame(PING, ACK, 0, &came.payload)).await;
        }
        Some(came)
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        while self.rest.len() < 9 {
            self.more().await?;
        }
        let length = usize::from(self.rest[0]) << 16 | usize::from(self.rest[1]) << 8 | usize::from(self.rest[2]);
        while self.rest.len() < 9 + length {
            self.more().await?;
        }
        let bytes: Vec<u8> = self.rest.drain(..9 + length).collect();
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        Some(Frame {
            kind: bytes[3],
            flags: bytes[4],
            stream,
            payload: bytes[9..].to_vec(),
        })
    }
}
