//! A server, its etcd, and the way between them.

use std::fs;

use kubetrust_server::options::{Options, StoreOptions};
use kubetrust_store::etcd::{self, Files};

use super::proxy::Proxy;
use crate::registry::world::World;
use crate::reload::files::Live;
use crate::support::etcd::Etcd;
use crate::support::{Cluster, Engine};

/// Files of the server's own to know etcd by and be known, each to be replaced.
pub const CA: &str = "etcd-ca.crt";
pub const CERTIFICATE: &str = "etcd-client.crt";
pub const KEY: &str = "etcd-client.key";

pub struct Site {
    pub world: World,
    pub live: Live,
    pub proxy: Proxy,
    pub etcd: Etcd,
}

impl Site {
    pub async fn start() -> Self {
        let mut cluster = tokio::task::block_in_place(|| Cluster::alone(Engine::Etcd));
        let etcd = cluster.etcd.take().unwrap();
        let proxy = Proxy::start(etcd.address.ip(), etcd.address).await;
        let (live, options) = Live::of(&cluster);
        let direct = etcd.options().files;
        let named = [
            (CA, direct.cafile),
            (CERTIFICATE, direct.certfile),
            (KEY, direct.keyfile),
        ];
        for (name, file) in named {
            fs::copy(file.unwrap(), live.file(name)).unwrap();
        }
        let store = StoreOptions::Etcd(etcd::Options {
            servers: vec![format!("https://{}", proxy.address)],
            files: Files {
                cafile: Some(live.file(CA)),
                certfile: Some(live.file(CERTIFICATE)),
                keyfile: Some(live.file(KEY)),
            },
        });
        let world = World::start(cluster, Options { store, ..options }).await;
        Self {
            world,
            live,
            proxy,
            etcd,
        }
    }

    /// The options of another server, which goes to etcd straight.
    pub fn direct(&self) -> Options {
        Options {
            store: StoreOptions::Etcd(self.etcd.options()),
            ..self.world.options.clone()
        }
    }
}
