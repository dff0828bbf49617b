//! API servers as processes of their own, on the files of a cluster, with the flags that are printed for their hosts.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use kubetrust_testkit::Process;
use kubetrust_testkit::loopback::Loopback;

use crate::run::Access;
use crate::support::{Cluster, kubetrust};

/// How long a start may take, on a machine that does other things too.
const START: Duration = Duration::from_mins(1);

/// What a server says once `/readyz` is ok.
const LISTENS: &str = "kubetrust apiserver listens on";

/// A cluster of hosts `m1`, `m2`, … each with an API server and a member of etcd.
pub struct Hosts {
    pub files: Cluster,
    network: Loopback,
}

impl Hosts {
    /// Issues the credentials of so many.
    pub fn issue(count: u8) -> Self {
        let network = Loopback::reserve();
        let host = |number| {
            format!(
                "- {{name: m{number}, addresses: [{}], roles: [control-plane, etcd]}}\n",
                network.host(number)
            )
        };
        let spec = [
            "keyAlgorithm: ecdsa-p256\n",
            &format!("controlPlaneEndpoint: {}:6443\n", network.host(1)),
            "hosts:\n",
            &(1..=count).map(host).collect::<String>(),
        ];
        Self {
            files: Cluster::init(&spec.concat()),
            network,
        }
    }

    /// The address of the server of a host.
    pub fn address(&self, number: u8) -> SocketAddr {
        (self.network.host(number), 6443).into()
    }

    /// How clients reach the servers of the first hosts, as the admin.
    pub fn access(&self, count: u8) -> Access {
        Access {
            addresses: (1..=count).map(|number| self.address(number)).collect(),
            ca: self.files.host_file("m1", "kubernetes/pki/ca.crt"),
            kubeconfig: self.files.host_file("m1", "kubernetes/auth/admin.conf"),
        }
    }

    /// A server with the printed flags, on the cluster's etcd, of which it asks the member on its own host first.
    pub fn on_etcd(&self, number: u8) -> Server {
        let mut arguments = self.arguments(number, |_| true);
        for argument in &mut arguments {
            if let Some(urls) = argument.strip_prefix("--etcd-servers=") {
                let mut urls: Vec<&str> = urls.split(',').collect();
                urls.rotate_left(usize::from(number) - 1);
                *argument = format!("--etcd-servers={}", urls.join(","));
            }
        }
        Server::start(arguments)
    }

    /// A server with the printed flags, on a store of its own.
    pub fn on_its_own(&self, number: u8) -> Server {
        let mut arguments = self.arguments(number, |flag| !flag.starts_with("--etcd-"));
        arguments.push(format!("--data-dir={}", self.files.beside().join("store").display()));
        Server::start(arguments)
    }

    fn arguments(&self, number: u8, takes: impl Fn(&str) -> bool) -> Vec<String> {
        let mut arguments = self.files.flags("kube-apiserver", &format!("m{number}"));
        arguments.retain(|flag| takes(flag));
        arguments.push(format!("--bind-address={}", self.network.host(number)));
        arguments
    }
}

/// A running server. Dropping it ends it.
pub struct Server {
    arguments: Vec<String>,
    process: Process,
}

impl Server {
    fn start(arguments: Vec<String>) -> Self {
        let process = Process::spawn(&mut command(&arguments));
        let mut server = Self { arguments, process };
        server.wait();
        server
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, on what it has left.
    pub fn start_again(&mut self) {
        self.process = Process::spawn(&mut command(&self.arguments));
        self.wait();
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    fn wait(&mut self) {
        self.process.wait_for(|log| log.contains(LISTENS), START);
    }

    /// The last lines of its log, for a message.
    pub fn tail(&self) -> String {
        self.process.tail()
    }
}

fn command(arguments: &[String]) -> Command {
    let mut command = kubetrust(["apiserver"]);
    command.args(arguments);
    command
}
