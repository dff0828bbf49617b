//! The engines that every case runs on.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kubetrust_server::options::StoreOptions;
use kubetrust_store::Store;
use kubetrust_store::embedded::{self, Embedded};

use super::Cluster;
use super::etcd::Etcd;

/// What a server keeps its objects in.
#[derive(Clone, Copy, Debug)]
pub enum Engine {
    Embedded,
    Etcd,
}

/// Makes two tests of each case, `CASE::embedded` and `CASE::etcd`. A case that stands in no list is dead code, which
/// is an error: so none runs on one engine alone.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        $(
            mod $case {
                use crate::support::Engine;

                #[tokio::test(flavor = "multi_thread")]
                async fn embedded() {
                    super::$case(Engine::Embedded).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn etcd() {
                    super::$case(Engine::Etcd).await;
                }
            }
        )+
    };
}

impl Engine {
    /// A place that no other test has: the store, and the prefix of the keys in it.
    pub fn place(self, folder: &Path) -> (StoreOptions, String) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        match self {
            Self::Embedded => (StoreOptions::Embedded(folder.join("store")), "/registry".to_owned()),
            Self::Etcd => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                (StoreOptions::Etcd(shared().options()), format!("/cluster-{number}"))
            }
        }
    }
}

/// The one etcd of this process, with the certificates of a cluster. It ends with the process, since nothing drops what
/// is static.
fn shared() -> &'static Etcd {
    static SHARED: OnceLock<(Cluster, Etcd)> = OnceLock::new();
    let (_, etcd) = SHARED.get_or_init(|| {
        let cluster = Cluster::issue(Engine::Embedded);
        let mut etcd = Etcd::start(&cluster);
        etcd.cluster.end_with_this_process(cluster.folder.path());
        (cluster, etcd)
    });
    etcd
}

/// Opens a store past all servers, as soon as one that was stopped has let go of it.
pub async fn open(options: &StoreOptions) -> Arc<dyn Store> {
    let folder = match options {
        StoreOptions::Embedded(folder) => folder,
        StoreOptions::Etcd(options) => return Arc::new(kubetrust_store::etcd::Etcd::new(options.clone()).unwrap()),
    };
    for _ in 0..200 {
        if let Ok(store) = Embedded::open(folder, embedded::Options::default()) {
            return Arc::new(store);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the stopped server keeps its store open")
}
