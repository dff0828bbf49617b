//! A real etcd of one member over mutual TLS, with the certificates of a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use kubetrust_store::etcd::{Files, Options};
use kubetrust_testkit::etcd::{self, Client, Member};

use super::Cluster;

/// A running etcd of a cluster's host `m1`.
pub struct Etcd {
    pub cluster: etcd::Cluster,
    /// Where clients reach it.
    pub address: SocketAddr,
    files: Files,
}

impl Etcd {
    /// Where its own credentials are.
    pub fn pki(of: &Cluster) -> PathBuf {
        of.folder.path().join("hosts/m1/etcd/pki")
    }

    /// Starts it and waits until it is healthy.
    pub fn start(of: &Cluster) -> Self {
        let address = of.loopback.host(1);
        let pki = Self::pki(of);
        let file = |name: &str| pki.join(name).display().to_string();
        let (client, peer) = (format!("https://{address}:2379"), format!("https://{address}:2380"));
        let arguments = [
            "--name=m1".to_owned(),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=m1={peer}"),
            format!("--cert-file={}", file("server.crt")),
            format!("--key-file={}", file("server.key")),
            "--client-cert-auth".to_owned(),
            format!("--trusted-ca-file={}", file("ca.crt")),
            format!("--peer-cert-file={}", file("peer.crt")),
            format!("--peer-key-file={}", file("peer.key")),
            "--peer-client-cert-auth".to_owned(),
            format!("--peer-trusted-ca-file={}", file("ca.crt")),
        ];
        let member = Member {
            name: "m1".to_owned(),
            arguments: arguments.to_vec(),
            environment: Vec::new(),
            data_dir: of.folder.path().join("etcd-data"),
            fsync: false,
        };
        let files = Files {
            cafile: Some(pki.join("ca.crt")),
            certfile: Some(of.file("pki/apiserver-etcd-client.crt")),
            keyfile: Some(of.file("pki/apiserver-etcd-client.key")),
        };
        let caller = Client {
            endpoints: vec![client.clone()],
            cacert: files.cafile.clone(),
            cert: files.certfile.clone(),
            key: files.keyfile.clone(),
        };
        Self {
            cluster: etcd::Cluster::start(vec![member], caller),
            address: SocketAddr::new(address.into(), 2379),
            files,
        }
    }

    /// How its client is told of it.
    pub fn options(&self) -> Options {
        Options {
            servers: vec![format!("https://{}", self.address)],
            files: self.files.clone(),
        }
    }
}
