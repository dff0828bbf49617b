//! A way to etcd that fails when it is told to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes that are carried at once.
const CHUNK: usize = 64 << 10;

/// What comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything.
    Open,
    /// Nothing, and nobody is told. What was sent meanwhile arrives late.
    Hole,
    /// What etcd says; what it is told is not.
    Deaf,
    /// Nothing: every connection is reset, and every new one.
    Reset,
}

/// Carries what the server and etcd say to each other. Dropping it ends all connections.
pub struct Proxy {
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(on: IpAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind((on, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way::Open);
        let accepted = Arc::default();
        let task = tokio::spawn(accept(listener, to, way.subscribe(), Arc::clone(&accepted)));
        Self {
            address,
            way,
            accepted,
            task,
        }
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, way: watch::Receiver<Way>, accepted: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        let (server, _) = listener.accept().await.unwrap();
        accepted.fetch_add(1, Ordering::AcqRel);
        connections.spawn(connect(server, to, way.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(mut server: TcpStream, to: SocketAddr, mut way: watch::Receiver<Way>) {
    if *way.borrow() != Way::Reset
        && let Ok(mut etcd) = TcpStream::connect(to).await
    {
        let (from_server, to_server) = server.split();
        let (from_etcd, to_etcd) = etcd.split();
        let asked = carry(from_server, to_etcd, way.clone(), &[Way::Open]);
        let answered = carry(from_etcd, to_server, way.clone(), &[Way::Open, Way::Deaf]);
        tokio::select! {
            () = asked => {}
            () = answered => {}
            _ = way.wait_for(|way| *way == Way::Reset) => {
                etcd.set_zero_linger().unwrap();
            }
        }
    }
    server.set_zero_linger().unwrap();
}

/// Carries one direction until it ends; holds what has no way now.
async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut way: watch::Receiver<Way>, through: &[Way]) {
    let mut bytes = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if way.wait_for(|way| through.contains(way)).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
