//! Every certificate of every kind of cluster, in the eyes of openssl, rustls-webpki and the linter.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod chains;
mod lint;
mod names;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use kubetrust_testkit::run;
use support::folder::{self, Credential};
use support::kubetrust;

/// The host that plays every role, so that one folder holds every credential there is.
const HOST: &str = "one";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    EcdsaP256,
    EcdsaP384,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Ed25519,
}

use Algorithm::{EcdsaP256, EcdsaP384, Ed25519, Rsa2048, Rsa3072, Rsa4096};

impl Algorithm {
    /// Its name in a spec, its object identifier, and how many bytes its public keys have.
    fn facts(self) -> (&'static str, &'static str, usize) {
        match self {
            EcdsaP256 => ("ecdsa-p256", "1.2.840.10045.2.1", 65),
            EcdsaP384 => ("ecdsa-p384", "1.2.840.10045.2.1", 97),
            Rsa2048 => ("rsa-2048", "1.2.840.113549.1.1.1", 270),
            Rsa3072 => ("rsa-3072", "1.2.840.113549.1.1.1", 398),
            Rsa4096 => ("rsa-4096", "1.2.840.113549.1.1.1", 526),
            Ed25519 => ("ed25519", "1.3.101.112", 32),
        }
    }
}

/// One kind of cluster, made.
struct Sample {
    kubeadm: bool,
    single: bool,
    kubelet_ca: bool,
    algorithm: Algorithm,
    root: PathBuf,
    credentials: Vec<Credential>,
}

impl Sample {
    fn folder(&self) -> PathBuf {
        self.root.join("hosts").join(HOST)
    }

    /// The credential at that place.
    #[track_caller]
    fn at(&self, place: &str) -> &Credential {
        let found = self.credentials.iter().find(|credential| credential.place == place);
        found.unwrap_or_else(|| panic!("no {place} in {}", self.root.display()))
    }

    fn spec(&self) -> String {
        let layout = if self.kubeadm { "kubeadm" } else { "document" };
        let mode = if self.single { "single" } else { "separate" };
        let serving = if self.kubelet_ca { "kubelet-ca" } else { "cluster-ca" };
        format!(
            "hosts: [{{name: {HOST}, addresses: [192.0.2.11, \"2001:db8::11\"], names: [one.example.org], \
             roles: [control-plane, etcd, worker]}}]\n\
             networking: {{serviceSubnets: [10.96.0.0/12, \"fd00:10:96::/112\"]}}\n\
             controlPlaneEndpoint: api.example.org\n\
             extraSANs: [\"*.kube.example.org\", 203.0.113.10]\n\
             subject: {{country: DE, state: Hesse, locality: Frankfurt, organizationalUnit: Platform}}\n\
             layout: {layout}\n\
             authorities: {{mode: {mode}}}\n\
             kubelets: {{serving: {serving}, client: issued}}\n\
             keyAlgorithm: {}\n",
            self.algorithm.facts().0
        )
    }

    fn make(mut self) -> Self {
        let spec = self.root.with_extension("yaml");
        fs::write(&spec, self.spec()).unwrap();
        run(&mut kubetrust([
            "init".as_ref(),
            "-d".as_ref(),
            self.root.as_os_str(),
            "-f".as_ref(),
            spec.as_os_str(),
        ]))
        .success();
        let scratch = self.root.with_extension("scratch");
        fs::create_dir(&scratch).unwrap();
        self.credentials = folder::credentials(&self.folder(), &scratch);
        self
    }
}

/// A cluster of `algorithm` for each layout, mode and signer of kubelets, made once for all tests.
///
/// RSA keys are slow to make (0.3 s of 3072 bits, 0.6 s of 4096), so that there each has one signer of kubelets: what
/// depends on the length does not depend on these.
fn samples(algorithm: Algorithm) -> &'static [Sample] {
    static MADE: [OnceLock<Vec<Sample>>; 6] = [const { OnceLock::new() }; 6];
    MADE[algorithm as usize].get_or_init(|| {
        // A static is never dropped, so that its directory can't be a temporary one: the next run clears it.
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("certificates-{}", algorithm.facts().0));
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        fs::create_dir_all(&place).unwrap();
        let rsa = matches!(algorithm, Rsa2048 | Rsa3072 | Rsa4096);
        let mut samples = Vec::new();
        for (kubeadm, single, kubelet_ca) in [
            (false, false, true),
            (false, true, true),
            (true, false, true),
            (true, true, true),
            (false, false, false),
            (false, true, false),
            (true, false, false),
            (true, true, false),
        ] {
            if rsa && !kubelet_ca {
                continue;
            }
            let sample = Sample {
                kubeadm,
                single,
                kubelet_ca,
                algorithm,
                root: place.join(format!("kubeadm-{kubeadm}-single-{single}-kubelet-ca-{kubelet_ca}")),
                credentials: Vec::new(),
            };
            samples.push(sample.make());
        }
        samples
    })
}
