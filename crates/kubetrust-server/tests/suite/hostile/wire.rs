//! Bytes on a TLS connection, as no library would send them, and what comes back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::World;
use crate::support::{Credential, Reply, client};

/// No answer takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// What a reader takes at most.
const MOST: usize = 64 * 1024 * 1024;
/// Receive buffer of a client that reads slowly: what it leaves lies at the server soon.
const SMALL_BUFFER: u32 = 4096;

/// A connection of HTTP/1.1 or of frames.
pub struct Wire {
    pub stream: TlsStream<TcpStream>,
    /// What was read past the last answer.
    pub rest: Vec<u8>,
}

/// The TLS of a client.
pub fn tls(world: &World, credential: &Credential, alpn: &[u8]) -> Arc<ClientConfig> {
    client::tls(&world.cluster.file("pki/ca.crt"), credential, alpn)
}

/// The handshake on a connection.
pub async fn handshake(
    tls: &Arc<ClientConfig>,
    address: SocketAddr,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::clone(tls))
        .connect(ServerName::IpAddress(address.ip().into()), stream)
        .await
}

impl Wire {
    /// Speaks HTTP/1.1.
    pub async fn http1(world: &World, credential: &Credential) -> Self {
        Self::open(world, credential, b"http/1.1").await
    }

    pub async fn open(world: &World, credential: &Credential, alpn: &[u8]) -> Self {
        let stream = TcpStream::connect(world.running.address).await.unwrap();
        Self::over(world, credential, alpn, stream).await
    }

    /// With a small receive buffer.
    pub async fn slow(world: &World, credential: &Credential, alpn: &[u8]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        let stream = socket.connect(world.running.address).await.unwrap();
        Self::over(world, credential, alpn, stream).await
    }

    async fn over(world: &World, credential: &Credential, alpn: &[u8], stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let stream = handshake(&tls(world, credential, alpn), world.running.address, stream)
            .await
            .unwrap();
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// Sends, as far as the server takes it.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, sent)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The next answer of HTTP/1.1; `None` where the server closed the connection instead.
    pub async fn answer(&mut self) -> Option<Reply> {
        timeout(PATIENCE, self.read_answer())
            .await
            .expect("neither an answer nor an end")
    }

    async fn read_answer(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.rest.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let code: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = http::HeaderMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            headers.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.trim().parse().unwrap(),
            );
        }
        let mut body = Vec::new();
        if let Some(length) = headers.get("content-length") {
            let length: usize = length.to_str().unwrap().parse().unwrap();
            while self.rest.len() < length {
                self.more().await?;
            }
            body.extend(self.rest.drain(..length));
        } else if headers.contains_key("transfer-encoding") {
            loop {
                let line = loop {
                    if let Some(at) = find(&self.rest, b"\r\n") {
                        break self.rest.drain(..at + 2).collect::<Vec<u8>>();
                    }
                    self.more().await?;
                };
                let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
                while self.rest.len() < size + 2 {
                    self.more().await?;
                }
                body.extend(self.rest.drain(..size));
                self.rest.drain(..2);
                if size == 0 {
                    break;
                }
            }
        }
        Some(Reply {
            code,
            headers,
            body: body.into(),
        })
    }

    pub async fn more(&mut self) -> Option<()> {
        let mut buffer = vec![0; 64 * 1024];
        let read = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.rest.extend_from_slice(&buffer[..read]);
        (read > 0).then_some(())
    }

    /// Reads until the server ends the connection: how much there was.
    pub async fn drain(&mut self, patience: Duration) -> Option<usize> {
        let reading = async {
            let mut total = 0;
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(read @ 1..) = self.stream.read(&mut buffer).await {
                total += read;
                assert!(total < MOST, "the server never ends");
            }
            total
        };
        timeout(patience, reading).await.ok()
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

impl Wire {
    /// The code of an answer to HEAD, which has no body; 0 where the server closed the connection instead.
    pub async fn head(&mut self) -> u16 {
        let reading = async {
            while find(&self.rest, b"\r\n\r\n").is_none() {
                if self.more().await.is_none() {
                    return 0;
                }
            }
            let head = String::from_utf8_lossy(&self.rest).into_owned();
            head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
        };
        timeout(PATIENCE, reading).await.expect("neither an answer nor an end")
    }
}

impl Wire {
    /// Whether the server has said something, or ended the connection.
    pub async fn has_answer(&mut self) -> bool {
        if !self.rest.is_empty() {
            return true;
        }
        let mut buffer = [0; 4096];
        match timeout(Duration::from_millis(20), self.stream.read(&mut buffer)).await {
            Err(_) => false,
            Ok(read) => {
                self.rest.extend_from_slice(&buffer[..read.unwrap_or(0)]);
                true
            }
        }
    }
}
