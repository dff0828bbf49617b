//! A real etcd over mutual TLS, with certificates made by openssl.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kubetrust_store::etcd::{Files, Options};
use kubetrust_testkit::etcd::{Client, Cluster, Member};
use kubetrust_testkit::loopback::Loopback;
use kubetrust_testkit::{peers, run};

const CA_CONFIG: &str = "[req]\ndistinguished_name = dn\n[dn]\n[ca]\nbasicConstraints = critical,CA:TRUE\n\
                         keyUsage = critical,keyCertSign\nsubjectKeyIdentifier = hash\n";

/// An authority in a folder.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let authority = Self {
            folder: folder.to_owned(),
        };
        let config = authority.file("ca.cnf");
        fs::write(&config, CA_CONFIG).unwrap();
        let mut command = request(&config, "/CN=etcd-ca", &authority.file("ca.key"));
        command.args(["-x509", "-days", "30", "-extensions", "ca", "-out"]);
        run(command.arg(authority.certificate())).success();
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn certificate(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// Signs a pair for both usages: `name.crt` and `name.key` in the folder.
    pub fn pair(&self, name: &str, names: &str) -> (PathBuf, PathBuf) {
        let [certificate, key, signing, config] =
            ["crt", "key", "csr", "cnf"].map(|extension| self.file(&format!("{name}.{extension}")));
        let extensions = format!(
            "[req]\ndistinguished_name = dn\n[dn]\n[leaf]\nkeyUsage = critical,digitalSignature\n\
             extendedKeyUsage = serverAuth,clientAuth\nsubjectAltName = {names}\n"
        );
        fs::write(&config, extensions).unwrap();
        run(request(&config, &format!("/CN={name}"), &key).arg("-out").arg(&signing)).success();
        let mut command = peers::openssl();
        command.args([
            "x509",
            "-req",
            "-days",
            "30",
            "-CAcreateserial",
            "-extensions",
            "leaf",
            "-extfile",
        ]);
        command
            .arg(&config)
            .arg("-in")
            .arg(&signing)
            .arg("-CA")
            .arg(self.certificate());
        command
            .arg("-CAkey")
            .arg(self.file("ca.key"))
            .arg("-out")
            .arg(&certificate);
        run(&mut command).success();
        (certificate, key)
    }
}

fn request(config: &Path, subject: &str, key: &Path) -> Command {
    let mut command = peers::openssl();
    command.args([
        "req",
        "-new",
        "-batch",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    command
        .args(["-subj", subject, "-config"])
        .arg(config)
        .arg("-keyout")
        .arg(key);
    command
}

/// A running cluster and what its client needs.
pub struct Etcd {
    pub cluster: Cluster,
    pub authority: Authority,
    /// The files that the client is told to use; its own, to be replaced.
    pub files: Files,
    network: Loopback,
    members: u8,
    folder: tempfile::TempDir,
}

impl Etcd {
    pub fn start(members: u8) -> Self {
        Self::start_with(members, false)
    }

    /// One that keeps what it is told as in production, to be measured.
    pub fn start_durable(members: u8) -> Self {
        Self::start_with(members, true)
    }

    fn start_with(members: u8, fsync: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(&folder.path().join("ca"));
        let network = Loopback::reserve();
        let initial: Vec<String> = (1..=members)
            .map(|number| format!("m{number}=https://{}:2380", network.host(number)))
            .collect();
        let member = |number: u8| {
            let address = network.host(number);
            let name = format!("m{number}");
            let (certificate, key) = authority.pair(&name, &format!("IP:{address},IP:127.0.0.1"));
            let (certificate, key) = (certificate.display(), key.display());
            let ca = authority.certificate();
            let ca = ca.display();
            let arguments = [
                format!("--name={name}"),
                format!("--listen-client-urls=https://{address}:2379"),
                format!("--advertise-client-urls=https://{address}:2379"),
                format!("--listen-peer-urls=https://{address}:2380"),
                format!("--initial-advertise-peer-urls=https://{address}:2380"),
                format!("--initial-cluster={}", initial.join(",")),
                format!("--cert-file={certificate}"),
                format!("--key-file={key}"),
                "--client-cert-auth".to_owned(),
                format!("--trusted-ca-file={ca}"),
                format!("--peer-cert-file={certificate}"),
                format!("--peer-key-file={key}"),
                "--peer-client-cert-auth".to_owned(),
                format!("--peer-trusted-ca-file={ca}"),
            ];
            Member {
                data_dir: folder.path().join("data").join(&name),
                name,
                arguments: arguments.to_vec(),
                environment: Vec::new(),
                fsync,
            }
        };
        let (certificate, key) = authority.pair("client", "DNS:client");
        let endpoints = (1..=members).map(|number| format!("https://{}:2379", network.host(number)));
        let client = Client {
            endpoints: endpoints.collect(),
            cacert: Some(authority.certificate()),
            cert: Some(certificate.clone()),
            key: Some(key.clone()),
        };
        let cluster = Cluster::start((1..=members).map(member).collect(), client);
        let own = folder.path().join("client");
        fs::create_dir_all(&own).unwrap();
        let files = Files {
            cafile: Some(own.join("ca.crt")),
            certfile: Some(own.join("client.crt")),
            keyfile: Some(own.join("client.key")),
        };
        let etcd = Self {
            cluster,
            authority,
            files,
            network,
            members,
            folder,
        };
        etcd.install(&etcd.authority.certificate(), (&certificate, &key));
        etcd
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts files in the place of the client's.
    pub fn install(&self, ca: &Path, (certificate, key): (&Path, &Path)) {
        let places = [&self.files.cafile, &self.files.certfile, &self.files.keyfile];
        for (from, to) in [ca, certificate, key].into_iter().zip(places) {
            let to = to.as_ref().unwrap();
            let beside = to.with_extension("new");
            fs::copy(from, &beside).unwrap();
            fs::rename(&beside, to).unwrap();
        }
    }

    pub fn options(&self) -> Options {
        Options {
            servers: (1..=self.members)
                .map(|number| format!("https://{}:2379", self.network.host(number)))
                .collect(),
            files: self.files.clone(),
        }
    }
}
