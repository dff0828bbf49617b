//! A client that keeps its headers in the connection's table (RFC 7541, 2.3.2) as Go's does, which kubectl and
//! everything on client-go speak HTTP/2 with: a token crosses the wire once, and every request after it is a few bytes.
//! hyper's client never keeps an `Authorization` header.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::load::Load;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frame types (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// Flags: of DATA and HEADERS, of HEADERS, of SETTINGS and PING.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const FRAME_HEAD: usize = 9;
/// As many bytes as one measurement will ever be sent.
const WINDOW: u32 = 1 << 30;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// `:status: 200` in the static table, and the first of what comes after that table.
const STATUS_200: u8 = 0x88;
const FIRST_KEPT: u8 = 62;

/// GETs per second, so many at once on one connection.
pub async fn rate(load: &Load, path: &str, streams: usize, time: Duration) -> f64 {
    let mut connection = load.stream().await;
    let mut out = PREFACE.to_vec();
    let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    settings.extend_from_slice(&WINDOW.to_be_bytes());
    frame(&mut out, SETTINGS, 0, 0, &settings);
    frame(&mut out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
    let (first, again) = header_blocks(path, &load.address.to_string(), load.authorization().as_deref());

    let begun = Instant::now();
    let (mut done, mut in_flight, mut next) = (0_usize, 0_usize, 1_u32);
    let mut read = Vec::new();
    loop {
        if begun.elapsed() < time {
            while in_flight < streams {
                let block = if next == 1 { &first } else { &again };
                frame(&mut out, HEADERS, END_STREAM | END_HEADERS, next, block);
                next += 2;
                in_flight += 1;
            }
        } else if in_flight == 0 {
            return done as f64 / begun.elapsed().as_secs_f64();
        }
        connection.write_all(&out).await.unwrap();
        out.clear();
        assert!(connection.read_buf(&mut read).await.unwrap() > 0, "the server hung up");
        let mut at = 0;
        while let Some((kind, flags, payload, end)) = next_frame(&read, at) {
            match kind {
                HEADERS => assert_eq!(payload[0], STATUS_200),
                SETTINGS | PING if flags & ACK == 0 => {
                    let answer = if kind == PING { payload } else { &[] };
                    frame(&mut out, kind, ACK, 0, answer);
                }
                DATA | SETTINGS | PING | WINDOW_UPDATE => {}
                other => panic!("a frame of type {other}"),
            }
            if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                done += 1;
                in_flight -= 1;
            }
            at = end;
        }
        read.drain(..at);
    }
}

/// The headers of the first request, which puts them into the table, and of every other.
fn header_blocks(path: &str, authority: &str, authorization: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    // `:method: GET` and `:scheme: https`, whole in the static table.
    let mut first = vec![0x82, 0x87];
    // Names of the static table: `:path`, `:authority`, `authorization`.
    let kept: Vec<(u8, &str)> = [(4, path), (1, authority)]
        .into_iter()
        .chain(authorization.map(|value| (23, value)))
        .collect();
    for (name, value) in &kept {
        first.push(0x40 | name);
        string(&mut first, value);
    }
    // The newest is the first of the table, and what begins with a colon has to come before what does not.
    let places = (0..kept.len())
        .rev()
        .map(|place| 0x80 | (FIRST_KEPT + u8::try_from(place).unwrap()));
    let again = [0x82, 0x87].into_iter().chain(places).collect();
    (first, again)
}

/// A string as it is (RFC 7541, 5.2), under its length (5.1).
fn string(out: &mut Vec<u8>, text: &str) {
    const PREFIX: usize = 0x7f;
    if text.len() < PREFIX {
        out.push(u8::try_from(text.len()).unwrap());
    } else {
        out.push(0x7f);
        let mut left = text.len() - PREFIX;
        while left >= 0x80 {
            out.push(0x80 | u8::try_from(left & 0x7f).unwrap());
            left >>= 7;
        }
        out.push(u8::try_from(left).unwrap());
    }
    out.extend_from_slice(text.as_bytes());
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The frame that begins at a place, if it is there as a whole: type, flags, payload, and where it ends.
fn next_frame(read: &[u8], at: usize) -> Option<(u8, u8, &[u8], usize)> {
    let head = read.get(at..at + FRAME_HEAD)?;
    let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
    let end = at + FRAME_HEAD + length;
    Some((head[3], head[4], read.get(at + FRAME_HEAD..end)?, end))
}
