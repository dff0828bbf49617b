//! The files that a server reads, each by itself so that each can be replaced, and who makes new ones.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kubetrust_pki::certificate::Certificate;
use kubetrust_pki::issue::{Issuer, Serial, self_sign};
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::profile::{Kind, Profile, Subject, Usages};
use kubetrust_pki::spec::{HostOrIp, KeyAlgorithm, SubjectExtras};
use kubetrust_server::audit;
use kubetrust_server::options::{Options, Pair, SniPair};
use kubetrust_testkit::{peers, run};

use crate::support::{Cluster, Credential};

/// Whoever asks a second after the files were put in place is answered by them.
const IN_FORCE: Duration = Duration::from_secs(1);
/// The name that has a certificate of its own.
pub const SNI: &str = "other.example";

/// A policy that records little.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, resources: [{resources: [nodes]}]}, {level: None}]\n";

/// How a file is replaced.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// The new one is renamed over it.
    Rename,
    /// It is opened, emptied and written.
    InPlace,
}

/// Puts content in the place of a file.
pub fn place(how: How, path: &Path, content: impl AsRef<[u8]>) {
    match how {
        How::Rename => {
            let beside = path.with_extension("new");
            fs::write(&beside, content).unwrap();
            fs::rename(&beside, path).unwrap();
        }
        How::InPlace => fs::write(path, content).unwrap(),
    }
}

/// Asks until it is so. Whoever begins to ask after the limit has to be told so.
pub async fn in_force(what: &str, is_so: impl AsyncFn() -> bool) {
    let placed = Instant::now();
    loop {
        let begun = placed.elapsed();
        if is_so().await {
            return;
        }
        assert!(begun < IN_FORCE, "not in force after {begun:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A CA and its key.
pub struct Ca {
    pub certificate: Certificate,
    key: PrivateKey,
}

/// A leaf with its key.
pub struct Leaf {
    pub certificate: Certificate,
    pub key: String,
}

impl Leaf {
    pub fn credential(&self) -> Credential {
        Credential {
            pair: Some((self.certificate.to_pem().into_bytes(), self.key.clone().into_bytes())),
            token: None,
        }
    }
}

fn profile(name: &str, groups: &[&str], sans: BTreeSet<HostOrIp>, kind: Kind) -> Profile {
    Profile {
        subject: Subject {
            common_name: name.to_owned(),
            organizations: groups.iter().map(|group| (*group).to_owned()).collect(),
            extras: SubjectExtras::default(),
        },
        sans,
        kind,
        lifetime: SignedDuration::from_hours(24),
    }
}

impl Ca {
    pub fn of(cluster: &Cluster, name: &str) -> Self {
        let read = |extension: &str| fs::read(cluster.authority(&format!("{name}.{extension}"))).unwrap();
        Self {
            certificate: Certificate::all_from_pem(&read("crt")).unwrap().remove(0),
            key: PrivateKey::from_pem(&read("key")).unwrap(),
        }
    }

    pub fn new(name: &str) -> Self {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let kind = Kind::Authority {
            path_len: 0,
            confined_to: None,
        };
        let profile = profile(name, &[], BTreeSet::new(), kind);
        let certificate = self_sign(
            &profile,
            &key,
            Serial::random().unwrap(),
            Timestamp::now(),
            SignedDuration::from_mins(5),
        )
        .unwrap();
        Self { certificate, key }
    }

    pub fn pem(&self) -> String {
        self.certificate.to_pem()
    }

    fn sign(&self, profile: &Profile) -> Leaf {
        self.sign_at(profile, Timestamp::now(), SignedDuration::from_mins(5))
    }

    fn sign_at(&self, profile: &Profile, now: Timestamp, backdate: SignedDuration) -> Leaf {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        let serial = Serial::random().unwrap();
        let certificate = issuer.sign(profile, key.public(), serial, now, backdate).unwrap();
        Leaf {
            certificate,
            key: key.to_pem().unwrap().to_string(),
        }
    }

    pub fn client(&self, name: &str, groups: &[&str]) -> Leaf {
        self.sign(&profile(name, groups, BTreeSet::new(), Kind::Leaf(Usages::Client)))
    }

    /// A client's certificate that ended a moment ago, and one that begins in an hour.
    pub fn out_of_time(&self, name: &str, groups: &[&str]) -> [Leaf; 2] {
        let profile = profile(name, groups, BTreeSet::new(), Kind::Leaf(Usages::Client));
        let ended = Profile {
            lifetime: SignedDuration::from_secs(-1),
            ..profile.clone()
        };
        let begins = Timestamp::now() + SignedDuration::from_hours(1);
        [self.sign(&ended), self.sign_at(&profile, begins, SignedDuration::ZERO)]
    }

    pub fn server(&self, address: IpAddr) -> Leaf {
        let sans = [HostOrIp::Ip(address), HostOrIp::Name(SNI.to_owned())].into();
        self.sign(&profile("kube-apiserver", &[], sans, Kind::Leaf(Usages::Server)))
    }

    /// A list of what it has revoked, by serial numbers in hexadecimal; openssl signs it.
    pub fn crl(&self, folder: &Path, serials: &[&str]) -> Vec<u8> {
        let file = |name: &str| folder.join(name);
        let revoked = |serial: &&str| {
            format!(
                "R\t400101000000Z\t240101000000Z\t{}\tunknown\t/CN=x\n",
                serial.to_uppercase()
            )
        };
        fs::write(file("index.txt"), serials.iter().map(revoked).collect::<String>()).unwrap();
        fs::write(file("crlnumber"), "01\n").unwrap();
        fs::write(file("crl-ca.crt"), self.pem()).unwrap();
        fs::write(file("crl-ca.key"), self.key.to_pem().unwrap().as_bytes()).unwrap();
        let config = format!(
            "[ca]\ndefault_ca = it\n[it]\ndatabase = {0}/index.txt\ncrlnumber = {0}/crlnumber\ndefault_md = sha256\n\
             crl_extensions = list\n[list]\nauthorityKeyIdentifier = keyid:always\n",
            folder.display()
        );
        fs::write(file("crl.cnf"), config).unwrap();
        let mut command = peers::openssl();
        command
            .args(["ca", "-gencrl", "-crldays", "30", "-config"])
            .arg(file("crl.cnf"));
        command
            .arg("-cert")
            .arg(file("crl-ca.crt"))
            .arg("-keyfile")
            .arg(file("crl-ca.key"))
            .arg("-out")
            .arg(file("crl-out.pem"));
        run(&mut command).success();
        fs::read(file("crl-out.pem")).unwrap()
    }
}

/// Where the files are that the server of these tests reads.
pub struct Live {
    pub folder: PathBuf,
}

impl Live {
    /// Puts the cluster's credentials there, and points the options at them.
    pub fn of(cluster: &Cluster) -> (Self, Options) {
        let folder = cluster.folder.path().join("live");
        fs::create_dir(&folder).unwrap();
        let live = Self { folder };
        let ca = Ca::of(cluster, "kubernetes-ca");
        let sni = ca.server(cluster.options.bind_address);
        for (name, content) in [
            ("serving.crt", fs::read(cluster.file("pki/apiserver.crt")).unwrap()),
            ("serving.key", fs::read(cluster.file("pki/apiserver.key")).unwrap()),
            ("sni.crt", sni.certificate.to_pem().into_bytes()),
            ("sni.key", sni.key.into_bytes()),
            ("client-ca.crt", fs::read(cluster.file("pki/ca.crt")).unwrap()),
            (
                "proxy-ca.crt",
                fs::read(cluster.file("pki/front-proxy-ca.crt")).unwrap(),
            ),
            ("token.csv", fs::read(cluster.file("token.csv")).unwrap()),
            ("sa.pub", fs::read(cluster.file("pki/sa.pub")).unwrap()),
            ("sa.key", fs::read(cluster.file("pki/sa.key")).unwrap()),
            ("crl.pem", ca.crl(cluster.folder.path(), &[])),
            ("revoked.txt", b"# nobody\n".to_vec()),
            ("encryption.yaml", encryption(&["first"]).into_bytes()),
            ("audit.yaml", AUDIT.as_bytes().to_vec()),
        ] {
            fs::write(live.file(name), content).unwrap();
        }
        let mut options = cluster.options.clone();
        options.secure_port = 0;
        options.serving = Pair {
            certificate: live.file("serving.crt"),
            key: live.file("serving.key"),
        };
        let pair = Pair {
            certificate: live.file("sni.crt"),
            key: live.file("sni.key"),
        };
        options.sni = vec![SniPair {
            pair,
            names: vec![SNI.to_owned()],
        }];
        options.client_ca_file = Some(live.file("client-ca.crt"));
        options.request_header.as_mut().unwrap().client_ca_file = live.file("proxy-ca.crt");
        options.token_auth_file = Some(live.file("token.csv"));
        options.service_accounts.key_files = vec![live.file("sa.pub")];
        options.service_accounts.signing_key_file = Some(live.file("sa.key"));
        options.client_crl_file = Some(live.file("crl.pem"));
        options.client_revoked_serials_file = Some(live.file("revoked.txt"));
        options.encryption_provider_config = Some(live.file("encryption.yaml"));
        options.audit_policy_file = Some(live.file("audit.yaml"));
        options.audit_log = Some(audit::log::Options {
            path: cluster.folder.path().join("audit.log"),
            max_age: 0,
            max_backup: 0,
            max_size: 0,
        });
        (live, options)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A configuration that encrypts secrets with the first of these keys.
pub fn encryption(keys: &[&str]) -> String {
    let key = |name: &&str| {
        let secret = match *name {
            "first" => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            _ => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        };
        format!("{{name: {name}, secret: {secret}}}")
    };
    let keys: Vec<String> = keys.iter().map(key).collect();
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  \
         providers:\n  - aesgcm: {{keys: [{}]}}\n  - identity: {{}}\n",
        keys.join(", ")
    )
}
