//! A certificate is accepted for each usage it has, under the CA it has, and for and under no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kubetrust_testkit::{peers, run};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tempfile::TempDir;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage as KeyUsageExtension, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier, name::GeneralName,
};

use crate::support::Cluster;
use crate::{Algorithm, HOST, Sample, samples};

/// A leaf: where it lies in either layout, the CA that signs it, and its usages in either layout.
type Row = (&'static str, &'static str, Ca, Usages, Usages);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ca {
    Etcd,
    Kubernetes,
    FrontProxy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usages {
    Server,
    Client,
    Both,
}

use Usages::{Both, Client, Server};

const ABSENT: &str = "";

#[rustfmt::skip]
const LEAVES: &[Row] = &[
    ("etcd/pki/server.crt", "kubernetes/pki/etcd/server.crt", Ca::Etcd, Server, Both),
    ("etcd/pki/peer.crt", "kubernetes/pki/etcd/peer.crt", Ca::Etcd, Both, Both),
    (ABSENT, "kubernetes/pki/etcd/healthcheck-client.crt", Ca::Etcd, Client, Client),
    ("kubernetes/pki/apiserver-etcd-client.crt", "kubernetes/pki/apiserver-etcd-client.crt", Ca::Etcd, Client, Client),
    ("kubernetes/pki/apiserver.crt", "kubernetes/pki/apiserver.crt", Ca::Kubernetes, Server, Server),
    ("kubernetes/pki/apiserver-kubelet-client.crt", "kubernetes/pki/apiserver-kubelet-client.crt", Ca::Kubernetes, Client, Client),
    ("kubernetes/pki/front-proxy-client.crt", "kubernetes/pki/front-proxy-client.crt", Ca::FrontProxy, Client, Client),
    ("kubernetes/auth/admin.conf", "kubernetes/admin.conf", Ca::Kubernetes, Client, Client),
    (ABSENT, "kubernetes/super-admin.conf", Ca::Kubernetes, Client, Client),
    ("kubernetes/auth/controller-manager.conf", "kubernetes/controller-manager.conf", Ca::Kubernetes, Client, Client),
    ("kubernetes/auth/scheduler.conf", "kubernetes/scheduler.conf", Ca::Kubernetes, Client, Client),
    ("kubernetes/auth/kube-proxy.conf", ABSENT, Ca::Kubernetes, Client, Client),
    ("kubelet/pki/kubelet-client.crt", "kubelet/pki/kubelet-client.crt", Ca::Kubernetes, Client, Client),
    ("kubernetes/pki/kubelet.crt", "kubelet/pki/kubelet.crt", Ca::Kubernetes, Server, Server),
];

const CAS: [(Ca, &str, &str); 3] = [
    (Ca::Etcd, "etcd/pki/ca.crt", "kubernetes/pki/etcd/ca.crt"),
    (Ca::Kubernetes, "kubernetes/pki/ca.crt", "kubernetes/pki/ca.crt"),
    (
        Ca::FrontProxy,
        "kubernetes/pki/front-proxy-ca.crt",
        "kubernetes/pki/front-proxy-ca.crt",
    ),
];

impl Sample {
    /// The leaves of its layout: place, signer, usages.
    fn leaves(&self) -> Vec<(&'static str, Ca, Usages)> {
        let leaves = LEAVES.iter().map(|(document, kubeadm, ca, in_document, in_kubeadm)| {
            if self.kubeadm {
                (*kubeadm, *ca, *in_kubeadm)
            } else {
                (*document, *ca, *in_document)
            }
        });
        leaves.filter(|(place, ..)| *place != ABSENT).collect()
    }

    fn ca(&self, wanted: Ca) -> &'static str {
        let (_, document, kubeadm) = CAS.iter().find(|(ca, ..)| *ca == wanted).unwrap();
        if self.kubeadm { kubeadm } else { document }
    }

    fn kubelet_serving(&self) -> &'static str {
        if self.kubeadm {
            "kubelet/pki/kubelet.crt"
        } else {
            "kubernetes/pki/kubelet.crt"
        }
    }

    fn kubelet_ca(&self) -> Option<PathBuf> {
        self.kubelet_ca
            .then(|| self.root.join(format!("authority/kubelet-ca/{HOST}.crt")))
    }
}

#[track_caller]
fn verify(algorithm: Algorithm) {
    for sample in samples(algorithm) {
        places(sample);
        acceptance(sample);
        for leaf in sample.leaves() {
            leaf_content(sample, leaf);
        }
        for (ca, ..) in CAS {
            ca_content(sample, ca);
        }
        kubelet_ca_content(sample);
        serials(sample);
        for credential in &sample.credentials {
            if let Some(key) = &credential.key {
                assert_eq!(
                    public_half(key),
                    certified(&credential.certificate),
                    "{}",
                    credential.place
                );
            }
        }
        let sa = sample.folder().join("kubernetes/pki/sa.key");
        assert_eq!(public_half(&sa), fs::read_to_string(sa.with_extension("pub")).unwrap());
    }
}

/// The tables above know every certificate that is there.
fn places(sample: &Sample) {
    let leaves = sample.leaves();
    let cas = CAS.iter().map(|(ca, ..)| sample.ca(*ca));
    let known: BTreeSet<&str> = leaves.iter().map(|(place, ..)| *place).chain(cas).collect();
    let found: BTreeSet<&str> = sample
        .credentials
        .iter()
        .map(|credential| credential.place.as_str())
        .collect();
    assert_eq!(known, found);
}

/// Each verifier, asked for each purpose under each CA about every leaf, accepts those that are meant and no other.
fn acceptance(sample: &Sample) {
    let leaves = sample.leaves();
    let files: Vec<(&str, &Path)> = leaves
        .iter()
        .map(|(place, ..)| (*place, sample.at(place).certificate.as_path()))
        .collect();
    for (ca, ..) in CAS {
        let anchor = sample.folder().join(sample.ca(ca));
        for purpose in [Server, Client] {
            let meant: BTreeSet<&str> = leaves
                .iter()
                .filter(|(_, signer, usages)| {
                    (sample.single || *signer == ca) && (*usages == purpose || *usages == Both)
                })
                .map(|(place, ..)| *place)
                .collect();
            assert!(!meant.is_empty() || ca == Ca::FrontProxy);
            let chain = sample.at(sample.kubelet_serving());
            let by_openssl = openssl_accepts(&anchor, purpose, &chain.certificate, &files);
            assert_eq!(by_openssl, meant, "openssl: {purpose:?} under {}", anchor.display());
            let by_webpki = files
                .iter()
                .filter(|(_, file)| webpki_accepts(&anchor, purpose, file).is_ok())
                .map(|(place, _)| *place)
                .collect();
            assert_eq!(meant, by_webpki, "webpki: {purpose:?} under {}", anchor.display());
        }
    }
}

/// Which of these certificates openssl accepts with `anchor` as its only trust.
fn openssl_accepts<'a>(anchor: &Path, purpose: Usages, chain: &Path, files: &[(&'a str, &Path)]) -> BTreeSet<&'a str> {
    let purpose = if purpose == Server { "sslserver" } else { "sslclient" };
    let mut openssl = peers::openssl();
    openssl.args([
        "verify",
        "-no-CApath",
        "-no-CAstore",
        "-x509_strict",
        "-purpose",
        purpose,
        "-CAfile",
    ]);
    openssl
        .arg(anchor)
        .arg("-untrusted")
        .arg(chain)
        .args(files.iter().map(|(_, file)| file));
    let output = run(&mut openssl);
    let accepted = |file: &Path| {
        output
            .stdout
            .lines()
            .any(|line| line == format!("{}: OK", file.display()))
    };
    let refused = |file: &Path| {
        let said = format!("error {}: verification failed", file.display());
        output.stderr.lines().any(|line| line == said)
    };
    for (_, file) in files {
        assert_ne!(accepted(file), refused(file), "{output}");
    }
    files
        .iter()
        .filter(|(_, file)| accepted(file))
        .map(|(place, _)| *place)
        .collect()
}

fn webpki_accepts(anchor: &Path, purpose: Usages, file: &Path) -> Result<(), webpki::Error> {
    let anchor = der(anchor).remove(0);
    let certificates = der(file);
    let (leaf, chain) = certificates.split_first().unwrap();
    let leaf = EndEntityCert::try_from(leaf)?;
    let usage = if purpose == Server {
        KeyUsage::server_auth()
    } else {
        KeyUsage::client_auth()
    };
    let trusted = [anchor_from_trusted_cert(&anchor)?];
    leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        &trusted,
        chain,
        UnixTime::now(),
        usage,
        None,
        None,
    )?;
    Ok(())
}

fn leaf_content(sample: &Sample, (place, ca, usages): (&str, Ca, Usages)) {
    let file = &sample.at(place).certificate;
    let chain = x509(file);
    let leaf = &chain[0];
    let issuer = match sample.kubelet_ca() {
        Some(issuer) if place == sample.kubelet_serving() => issuer,
        _ => sample.folder().join(sample.ca(ca)),
    };
    let chain_must_be = if place == sample.kubelet_serving() {
        sample.kubelet_ca()
    } else {
        None
    };
    assert_eq!(
        chain[1..],
        chain_must_be.map(|file| x509(&file)).unwrap_or_default(),
        "{place}"
    );
    let issuer = &x509(&issuer)[0];
    signed(leaf, issuer, place);
    let tbs = leaf.tbs_certificate();
    let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
    assert!(
        critical && !constraints.ca && constraints.path_len_constraint.is_none(),
        "{place}"
    );
    let (critical, usage) = tbs.get_extension::<KeyUsageExtension>().unwrap().unwrap();
    let rsa = matches!(
        sample.algorithm,
        Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096
    );
    let usage_must_be = if rsa {
        KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment
    } else {
        KeyUsages::DigitalSignature.into()
    };
    assert!(critical && usage.0 == usage_must_be, "{place}: {usage:?}");
    algorithm(leaf, sample.algorithm, place);
    if usages != Client {
        server_names(file, place);
    }
}

/// A client that calls a server by any of its names accepts it, and by another name does not.
fn server_names(file: &Path, place: &str) {
    let (_, names) = x509(file)[0]
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .unwrap()
        .unwrap();
    let certificates = der(file);
    let leaf = EndEntityCert::try_from(&certificates[0]).unwrap();
    let valid = |name: &str| {
        let name = ServerName::try_from(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        leaf.verify_is_valid_for_subject_name(&name).is_ok()
    };
    for name in &names.0 {
        let name = match name {
            GeneralName::DnsName(name) => name.as_str().replace('*', "any"),
            GeneralName::IpAddress(octets) => match octets.as_bytes() {
                octets if octets.len() == 4 => {
                    std::net::Ipv4Addr::from(<[u8; 4]>::try_from(octets).unwrap()).to_string()
                }
                octets => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(octets).unwrap()).to_string(),
            },
            other => panic!("{place}: {other:?}"),
        };
        assert!(valid(&name), "{place}: {name}");
    }
    assert!(!valid("elsewhere.example.org") && !valid("198.51.100.1"), "{place}");
}

fn ca_content(sample: &Sample, ca: Ca) {
    let place = sample.ca(ca);
    let certificates = x509(&sample.folder().join(place));
    let [certificate] = certificates.as_slice() else {
        panic!("{place} holds more than the CA")
    };
    signed(certificate, certificate, place);
    // Only what signs kubelet CAs may have CAs below it.
    let signs_cas = sample.kubelet_ca && (sample.single || ca == Ca::Kubernetes);
    authority(certificate, u8::from(signs_cas), place);
    algorithm(certificate, sample.algorithm, place);
    let name = match ca {
        _ if sample.single => "ca",
        Ca::Etcd => "etcd-ca",
        Ca::Kubernetes => "kubernetes-ca",
        Ca::FrontProxy => "front-proxy-ca",
    };
    let kept = sample.root.join(format!("authority/{name}.crt"));
    assert_eq!(
        fs::read(kept).unwrap(),
        fs::read(sample.folder().join(place)).unwrap(),
        "{place}"
    );
}

fn kubelet_ca_content(sample: &Sample) {
    let Some(file) = sample.kubelet_ca() else { return };
    let place = file.display().to_string();
    let certificate = &x509(&file)[0];
    signed(
        certificate,
        &x509(&sample.folder().join(sample.ca(Ca::Kubernetes)))[0],
        &place,
    );
    authority(certificate, 0, &place);
    assert_eq!(public_half(&file.with_extension("key")), certified(&file));
}

/// What holds for a leaf and for a CA.
fn signed(certificate: &Certificate, issuer: &Certificate, place: &str) {
    let (tbs, above) = (certificate.tbs_certificate(), issuer.tbs_certificate());
    assert_eq!(tbs.issuer(), above.subject(), "{place}");
    let end = |of: &x509_cert::TbsCertificate| of.validity().not_after.to_unix_duration();
    assert!(end(tbs) <= end(above), "{place} outlives its issuer");
    let id = |of: &x509_cert::TbsCertificate| of.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap().1.0;
    let (critical, authority) = tbs.get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
    assert!(!critical && authority.key_identifier == Some(id(above)), "{place}");
    assert_eq!(id(tbs).as_bytes().len(), 20, "{place}");
    let backdated = tbs.validity().not_before.to_unix_duration().as_secs() + 300;
    assert!(
        UnixTime::now().as_secs().abs_diff(backdated) < 600,
        "{place} starts at another time"
    );
}

fn authority(certificate: &Certificate, path_len: u8, place: &str) {
    let tbs = certificate.tbs_certificate();
    let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
    assert!(critical && constraints.ca, "{place}");
    assert_eq!(constraints.path_len_constraint, Some(path_len), "{place}");
    let (critical, usage) = tbs.get_extension::<KeyUsageExtension>().unwrap().unwrap();
    let must_be = KeyUsages::DigitalSignature | KeyUsages::KeyCertSign | KeyUsages::CRLSign;
    assert!(critical && usage.0 == must_be, "{place}: {usage:?}");
}

fn algorithm(certificate: &Certificate, must_be: Algorithm, place: &str) {
    let key = certificate.tbs_certificate().subject_public_key_info();
    let (_, oid, bytes) = must_be.facts();
    assert_eq!(key.algorithm.oid.to_string(), oid, "{place}");
    assert_eq!(key.subject_public_key.raw_bytes().len(), bytes, "{place}");
}

/// 16 octets, without the one that DER adds for the sign, and no number twice.
fn serials(sample: &Sample) {
    let mut seen = BTreeSet::new();
    let kubelet_ca = sample.kubelet_ca();
    let cas = CAS
        .iter()
        .map(|(ca, ..)| sample.folder().join(sample.ca(*ca)))
        .collect::<BTreeSet<_>>();
    let leaves = sample.leaves();
    let leaves = leaves.iter().map(|(place, ..)| sample.at(place).certificate.clone());
    let mut files: Vec<PathBuf> = leaves.chain(kubelet_ca).collect();
    files.extend(cas.into_iter().take(if sample.single { 1 } else { 3 }));
    for file in files {
        let certificate = x509(&file).remove(0);
        let octets = certificate.tbs_certificate().serial_number().as_bytes();
        let octets = octets.strip_prefix(&[0]).unwrap_or(octets).to_vec();
        assert_eq!(octets.len(), 16, "{}", file.display());
        assert!(
            seen.insert(octets),
            "{} has the serial number of another",
            file.display()
        );
    }
}

fn der(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Every certificate of a file, read by a parser that is not the product's.
fn x509(file: &Path) -> Vec<Certificate> {
    // The kubelet's file has its key after its certificate, which this parser's PEM reader takes for a mistake.
    use x509_cert::der::Decode as _;
    der(file)
        .iter()
        .map(|der| Certificate::from_der(der).unwrap())
        .collect()
}

/// The public half of a private key.
fn public_half(key: &Path) -> String {
    run(peers::openssl().args(["pkey", "-pubout", "-in"]).arg(key))
        .success()
        .stdout
}

/// The public key of a certificate.
fn certified(certificate: &Path) -> String {
    run(peers::openssl()
        .args(["x509", "-noout", "-pubkey", "-in"])
        .arg(certificate))
    .success()
    .stdout
}

#[test]
fn ecdsa_p256_certificates_verify_where_they_are_meant_to_and_nowhere_else() {
    verify(Algorithm::EcdsaP256);
}

#[test]
fn ecdsa_p384_certificates_verify_where_they_are_meant_to_and_nowhere_else() {
    verify(Algorithm::EcdsaP384);
}

#[test]
fn ed25519_certificates_verify_where_they_are_meant_to_and_nowhere_else() {
    verify(Algorithm::Ed25519);
}

#[test]
fn rsa_2048_certificates_verify_where_they_are_meant_to_and_nowhere_else() {
    verify(Algorithm::Rsa2048);
}

#[test]
fn rsa_3072_certificates_verify_where_they_are_meant_to_and_nowhere_else() {
    verify(Algorithm::Rsa3072);
}

#[test]
fn rsa_4096_certificates_verify_where_they_are_meant_to_and_nowhere_else() {
    verify(Algorithm::Rsa4096);
}

#[test]
fn a_kubelet_ca_makes_servers_of_its_own_host_and_nothing_else() {
    let sample = samples(Algorithm::EcdsaP256)
        .iter()
        .find(|sample| sample.kubelet_ca)
        .unwrap();
    let ca = sample.kubelet_ca().unwrap();
    let anchor = sample.folder().join(sample.ca(Ca::Kubernetes));
    let temp = TempDir::new().unwrap();
    for (name, san, usage, purpose, accepted) in [
        ("own", format!("DNS:{HOST}"), "serverAuth", Server, true),
        ("own-address", "IP:192.0.2.11".to_owned(), "serverAuth", Server, true),
        ("other", "DNS:two".to_owned(), "serverAuth", Server, false),
        ("other-address", "IP:192.0.2.12".to_owned(), "serverAuth", Server, false),
        (
            "other-too",
            format!("DNS:{HOST},DNS:kubernetes"),
            "serverAuth",
            Server,
            false,
        ),
        ("client", format!("DNS:{HOST}"), "clientAuth", Client, false),
    ] {
        let file = temp.path().join(format!("{name}.crt"));
        let openssl = |arguments: &[&str]| run(peers::openssl().args(arguments).current_dir(temp.path())).success();
        openssl(&[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "key",
            "-subj",
            "/CN=x",
            "-out",
            "csr",
        ]);
        let extensions = format!(
            "subjectAltName={san}\nextendedKeyUsage={usage}\nkeyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        );
        fs::write(temp.path().join("ext"), extensions).unwrap();
        let [ca_file, ca_key] = [ca.clone(), ca.with_extension("key")].map(|path| path.to_str().unwrap().to_owned());
        openssl(&[
            "x509",
            "-req",
            "-in",
            "csr",
            "-CA",
            &ca_file,
            "-CAkey",
            &ca_key,
            "-days",
            "1",
            "-extfile",
            "ext",
            "-out",
            file.to_str().unwrap(),
        ]);
        let both = fs::read_to_string(&file).unwrap() + &fs::read_to_string(&ca).unwrap();
        fs::write(&file, both).unwrap();
        let by_openssl = !openssl_accepts(&anchor, purpose, &ca, &[(name, &file)]).is_empty();
        let by_webpki = webpki_accepts(&anchor, purpose, &file).is_ok();
        assert_eq!((by_openssl, by_webpki), (accepted, accepted), "{name}");
    }
}

#[test]
fn a_leaf_ends_with_its_authority_when_that_has_less_time_left() {
    let cluster = Cluster::nowhere();
    let openssl = |arguments: &[&str]| run(peers::openssl().args(arguments).current_dir(cluster.beside())).success();
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "old.key",
        "-subj",
        "/CN=old",
        "-days",
        "30",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
        "-out",
        "old.crt",
    ]);
    let spec = "authorities: {bring: {kubernetes: {certificate: old.crt, key: old.key}}}\n\
                kubelets: {serving: kubelet-ca, client: issued}\n";
    cluster.try_init(spec).success();
    let folder = cluster.root().join("hosts/node-1");
    let end = |file: &Path| x509(file)[0].tbs_certificate().validity().not_after.to_unix_duration();
    let of_ca = end(&cluster.beside().join("old.crt"));
    let mut ended = 0;
    for credential in crate::folder::credentials(&folder, cluster.beside()) {
        let issuer = x509(&credential.certificate)[0].tbs_certificate().issuer().to_string();
        if issuer == "CN=old" || issuer.contains("kubelet-ca") {
            assert_eq!(end(&credential.certificate), of_ca, "{}", credential.place);
            ended += 1;
        }
    }
    // The CA itself, and all that it and the kubelet's CA have signed.
    assert_eq!(ended, 9);
    assert_eq!(end(&cluster.root().join("authority/kubelet-ca/node-1.crt")), of_ca);
}
