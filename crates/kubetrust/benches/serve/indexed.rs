//! A client that costs as little as one can, so that on a machine it shares with the server the server is what is
//! measured. It keeps its headers in the connection's table (RFC 7541, 2.3.2) as Go's does, which kubectl and
//! everything on client-go speak HTTP/2 with: a token crosses the wire once, and every request after it is a few bytes.
//! hyper's client never keeps an `Authorization` header.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::load::{Load, in_own_thread};

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
/// `:method: GET`, `:method: POST` and `:scheme: https`, whole in the static table.
const GET: u8 = 0x82;
const POST: u8 = 0x83;
const HTTPS: u8 = 0x87;
/// Names of the static table.
const AUTHORITY: u8 = 1;
const PATH: u8 = 4;
const AUTHORIZATION: u8 = 23;
const CONTENT_TYPE: u8 = 31;
/// The 28th, as an integer with a prefix of four bits (5.1).
const CONTENT_LENGTH: [u8; 2] = [0x0f, 28 - 0x0f];
/// The first of what comes after the static table.
const FIRST_KEPT: u8 = 62;
/// What one may send before the server says that it can take more (RFC 9113, 6.9.2).
const FIRST_WINDOW: usize = 65_535;
/// How every answer begins: no failure does.
const ANSWER: &[u8] = br#"{"apiVersion":"v1","kind":"ConfigMap","#;

/// What is asked for, again and again.
pub enum Asked<'a> {
    /// The object at the path.
    Get,
    /// That an object is created: the one of each number.
    Create(&'a (dyn Fn(usize) -> Bytes + Sync)),
}

/// Requests answered, so many at once on one connection, and how many a second that is.
pub fn run(load: &Load, asked: Asked<'_>, path: &str, streams: usize, time: Duration) -> (usize, f64) {
    in_own_thread(ask(load, asked, path, streams, time))
}

async fn ask(load: &Load, asked: Asked<'_>, path: &str, streams: usize, time: Duration) -> (usize, f64) {
    let mut connection = load.stream().await;
    let mut out = PREFACE.to_vec();
    let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    settings.extend_from_slice(&WINDOW.to_be_bytes());
    frame(&mut out, SETTINGS, 0, 0, &settings);
    frame(&mut out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
    let (first, again) = header_blocks(&asked, path, load);

    let begun = Instant::now();
    let (mut done, mut in_flight, mut begins) = (0_usize, 0_usize, 0_u32);
    let mut window = FIRST_WINDOW;
    let mut read = Vec::new();
    loop {
        if begun.elapsed() < time {
            while in_flight < streams {
                let block = if begins == 0 { &first } else { &again };
                // A client's streams are odd (RFC 9113, 5.1.1).
                let stream = begins * 2 + 1;
                match asked {
                    Asked::Get => frame(&mut out, HEADERS, END_STREAM | END_HEADERS, stream, block),
                    Asked::Create(object) => {
                        let body = object(begins as usize);
                        assert!(window >= body.len(), "the server does not take what is sent");
                        window -= body.len();
                        let mut block = block.clone();
                        // Not kept (RFC 7541, 6.2.2): it changes with the digits of the number.
                        block.extend_from_slice(&CONTENT_LENGTH);
                        string(&mut block, &body.len().to_string());
                        frame(&mut out, HEADERS, END_HEADERS, stream, &block);
                        frame(&mut out, DATA, END_STREAM, stream, &body);
                    }
                }
                begins += 1;
                in_flight += 1;
            }
        } else if in_flight == 0 {
            return (done, done as f64 / begun.elapsed().as_secs_f64());
        }
        connection.write_all(&out).await.unwrap();
        out.clear();
        assert!(connection.read_buf(&mut read).await.unwrap() > 0, "the server hung up");
        let mut at = 0;
        while let Some(Frame {
            kind,
            flags,
            stream,
            payload,
            end,
        }) = next_frame(&read, at)
        {
            match kind {
                DATA => assert!(
                    payload.is_empty() || payload.starts_with(ANSWER),
                    "{}",
                    String::from_utf8_lossy(payload)
                ),
                HEADERS => assert!(flags & END_STREAM == 0, "an answer without a body"),
                SETTINGS | PING if flags & ACK == 0 => {
                    let answer = if kind == PING { payload } else { &[] };
                    frame(&mut out, kind, ACK, 0, answer);
                }
                WINDOW_UPDATE if stream == 0 => {
                    window += u32::from_be_bytes(payload.try_into().unwrap()) as usize;
                }
                SETTINGS | PING | WINDOW_UPDATE => {}
                other => panic!("a frame of type {other}"),
            }
            if kind == DATA && flags & END_STREAM != 0 {
                done += 1;
                in_flight -= 1;
            }
            at = end;
        }
        read.drain(..at);
    }
}

/// The headers of the first request, which puts them into the table, and of every other.
fn header_blocks(asked: &Asked<'_>, path: &str, load: &Load) -> (Vec<u8>, Vec<u8>) {
    let method = match asked {
        Asked::Get => GET,
        Asked::Create(_) => POST,
    };
    let mut kept = vec![(PATH, path.to_owned()), (AUTHORITY, load.address.to_string())];
    kept.extend(load.authorization().map(|value| (AUTHORIZATION, value)));
    if matches!(asked, Asked::Create(_)) {
        kept.push((CONTENT_TYPE, "application/json".to_owned()));
    }
    let mut first = vec![method, HTTPS];
    for (name, value) in &kept {
        first.push(0x40 | name);
        string(&mut first, value);
    }
    // The newest is the first of the table, and what begins with a colon has to come before what does not.
    let places = (0..kept.len())
        .rev()
        .map(|place| 0x80 | (FIRST_KEPT + u8::try_from(place).unwrap()));
    let again = [method, HTTPS].into_iter().chain(places).collect();
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

/// What the server sent.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
    end: usize,
}

/// The frame that begins at a place, if it is there as a whole.
fn next_frame(read: &[u8], at: usize) -> Option<Frame<'_>> {
    let head = read.get(at..at + FRAME_HEAD)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let end = at + FRAME_HEAD + length;
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload: read.get(at + FRAME_HEAD..end)?,
        end,
    })
}
