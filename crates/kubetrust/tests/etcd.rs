//! The real etcd on a cluster's files, started with the printed flags: who elects, who is served, who is turned away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubetrust_testkit::etcd::{self, Client, Member};
use kubetrust_testkit::loopback::Loopback;
use kubetrust_testkit::{peers, run};
use serde_json::Value;
use support::Cluster;

/// How long it may take until a member was turned away by every other.
const TURNED_AWAY: Duration = Duration::from_secs(20);

// Who is served, and why nobody else is: etcd's own words.
const SERVED: &str = "";
const NOT_THERE: &str = "no such credential";
const NO_CERTIFICATE: &str = "client didn't provide a certificate";
const OTHER_CA: &str = "certificate signed by unknown authority";
const SERVER_ONLY: &str = "certificate specifies an incompatible key usage";
const EXPIRED: &str = "certificate has expired or is not yet valid";
const NOT_ALLOWED: &str = "client certificate authentication failed"; // by an allowed-hostname flag

/// What becomes of each credential of the catalog at port 2379.
#[rustfmt::skip]
const CLIENTS: &[(&str, [&str; 4])] = &[
    //                           separate:               single:
    //                           document   kubeadm      document     kubeadm
    ("apiserver-etcd-client",    [SERVED,      SERVED,   SERVED,      SERVED]),
    ("etcd-healthcheck-client",  [NOT_THERE,   SERVED,   NOT_THERE,   SERVED]),
    // As with kubeadm. The etcd CA signs for nobody but etcd, and a member's host has the data anyway.
    ("etcd-peer",                [SERVED,      SERVED,   NOT_ALLOWED, NOT_ALLOWED]),
    ("etcd-server",              [SERVER_ONLY, SERVED,   SERVER_ONLY, NOT_ALLOWED]),
    ("apiserver",                [OTHER_CA,    OTHER_CA, SERVER_ONLY, SERVER_ONLY]),
    ("apiserver-kubelet-client", [OTHER_CA,    OTHER_CA, NOT_ALLOWED, NOT_ALLOWED]),
    ("front-proxy-client",       [OTHER_CA,    OTHER_CA, NOT_ALLOWED, NOT_ALLOWED]),
    ("admin",                    [OTHER_CA,    OTHER_CA, NOT_ALLOWED, NOT_ALLOWED]),
    ("super-admin",              [NOT_THERE,   OTHER_CA, NOT_THERE,   NOT_ALLOWED]),
    ("controller-manager",       [OTHER_CA,    OTHER_CA, NOT_ALLOWED, NOT_ALLOWED]),
    ("scheduler",                [OTHER_CA,    OTHER_CA, NOT_ALLOWED, NOT_ALLOWED]),
    ("kubelet",                  [OTHER_CA,    OTHER_CA, NOT_ALLOWED, NOT_ALLOWED]),
    ("kubelet-serving",          [OTHER_CA,    OTHER_CA, SERVER_ONLY, SERVER_ONLY]),
    ("kube-proxy",               [OTHER_CA,    NOT_THERE, NOT_ALLOWED, NOT_THERE]),
];

#[test]
fn separate_authorities_document_layout_serves_what_the_table_says() {
    serves_what_the_table_says("separate", "document", 0);
}

#[test]
fn separate_authorities_kubeadm_layout_serves_what_the_table_says() {
    serves_what_the_table_says("separate", "kubeadm", 1);
}

#[test]
fn single_authority_document_layout_serves_what_the_table_says() {
    serves_what_the_table_says("single", "document", 2);
}

#[test]
fn single_authority_kubeadm_layout_serves_what_the_table_says() {
    serves_what_the_table_says("single", "kubeadm", 3);
}

fn serves_what_the_table_says(authorities: &str, layout: &str, column: usize) {
    let made = Made::new(1, &format!("layout: {layout}\nauthorities: {{mode: {authorities}}}\n"));
    let etcd = made.start();
    let credentials = made.credentials();
    for (name, _) in &credentials {
        assert!(
            CLIENTS.iter().any(|(row, _)| row == name),
            "the table has no row {name}"
        );
    }
    for (name, verdicts) in CLIENTS {
        let found = credentials.iter().find(|(credential, _)| credential == name);
        match (found, verdicts[column]) {
            (None, NOT_THERE) => {}
            (None, _) => panic!("{name} was not issued"),
            (Some((_, pair)), verdict) => expect(&etcd, name, &made.client_as(Some(pair)), verdict),
        }
    }
    expect(&etcd, "nobody", &made.client_as(None), NO_CERTIFICATE);
    let authority = if authorities == "single" { "ca" } else { "etcd-ca" };
    let expired = made.sign("expired", authority, "DNS:client.etcd.kubernetes.internal", PAST);
    expect(&etcd, "an expired client", &made.client_as(Some(&expired)), EXPIRED);
}

#[track_caller]
fn expect(etcd: &etcd::Cluster, name: &str, client: &Client, verdict: &str) {
    if verdict == SERVED {
        client.etcdctl(&["get", "any"]).success();
    } else {
        let reason = etcd.refusal(client);
        assert!(
            reason.contains(verdict),
            "{name} was turned away for another reason: {reason}"
        );
    }
}

#[test]
fn separate_authorities_document_layout_elects_a_leader() {
    elects_a_leader("");
}

#[test]
fn separate_authorities_kubeadm_layout_elects_a_leader() {
    elects_a_leader("layout: kubeadm\n");
}

#[test]
fn single_authority_elects_a_leader() {
    elects_a_leader("authorities: {mode: single}\n");
}

fn elects_a_leader(spec: &str) {
    let made = Made::new(3, spec);
    let etcd = made.start();
    assert_eq!(leaders(&etcd), 1, "{}", etcd.etcdctl(&["endpoint", "status"]));
    assert_eq!(members_that_joined(&etcd), ["m1", "m2", "m3"]);
    for writer in &made.members {
        made.files
            .etcd_client(writer)
            .etcdctl(&["put", "written-by", writer])
            .success();
        for reader in &made.members {
            let read = made.files.etcd_client(reader).etcdctl(&["get", "written-by"]).success();
            assert_eq!(read.stdout, format!("written-by\n{writer}\n"));
        }
    }
}

/// How many leaders the members know: one, when all follow the same.
fn leaders(etcd: &etcd::Cluster) -> usize {
    let status = json(&etcd.etcdctl(&["endpoint", "status", "-w", "json"]).success().stdout);
    let members = status.as_array().unwrap();
    assert_eq!(members.len(), 3, "{status}");
    let mut leaders: Vec<u64> = members
        .iter()
        .map(|member| member["Status"]["leader"].as_u64().unwrap())
        .collect();
    leaders.sort_unstable();
    leaders.dedup();
    leaders.into_iter().filter(|leader| *leader != 0).count()
}

/// The members that told the others where they serve, which takes a leader's consent.
fn members_that_joined(etcd: &etcd::Cluster) -> Vec<String> {
    let list = json(&etcd.etcdctl(&["member", "list", "-w", "json"]).success().stdout);
    let members = list["members"].as_array().unwrap();
    let joined = members.iter().filter(|member| member["clientURLs"].is_array());
    let mut names: Vec<String> = joined.map(|member| text(&member["name"])).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_environment_does_what_the_flags_do() {
    let made = Made::new(1, "authorities: {mode: single}\n");
    let variables = made.files.verb(["flags", "etcd", "--in-place", "-o", "env"]).success();
    let variable = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    let member = Member {
        arguments: Vec::new(),
        environment: variables.stdout.lines().map(variable).collect(),
        ..made.files.etcd_member("m1")
    };
    let etcd = etcd::Cluster::start(vec![member], made.files.etcd_client("m1"));
    etcd.etcdctl(&["put", "any", "thing"]).success();
    expect(&etcd, "nobody", &made.client_as(None), NO_CERTIFICATE);
}

#[test]
fn every_key_algorithm_works() {
    for algorithm in ["ecdsa-p384", "rsa-2048", "ed25519"] {
        let made = Made::new(1, &format!("keyAlgorithm: {algorithm}\n"));
        made.start().etcdctl(&["put", "algorithm", algorithm]).success();
    }
}

#[test]
fn a_member_with_a_certificate_of_another_authority_cannot_join() {
    stays_out_with("", OTHER_CA, |made| made.credential("apiserver"));
    // Nothing but the signature is wrong.
    stays_out_with("", OTHER_CA, |made| {
        made.sign("m3", "kubernetes-ca", &made.peer_names("m3"), TODAY)
    });
}

#[test]
fn under_one_authority_a_member_without_a_peer_certificate_cannot_join() {
    let single = "authorities: {mode: single}\n";
    stays_out_with(single, SERVER_ONLY, |made| made.credential("apiserver"));
    // Nothing but the name that the flag asks for is missing.
    stays_out_with(single, NOT_ALLOWED, |made| {
        made.sign("m3", "ca", &made.peer_names("m3"), TODAY)
    });
    // A server certificate that is a client's too, as kubeadm has it, for that very host.
    let kubeadm = "authorities: {mode: single}\nlayout: kubeadm\n";
    stays_out_with(kubeadm, NOT_ALLOWED, |made| made.pair_of("m3", "etcd-server"));
}

/// Two of three members elect; the third, with the wrong pair in place of its peer certificate, joins as soon as it
/// has its own pair back, and not before.
fn stays_out_with(spec: &str, reason: &str, wrong: impl Fn(&Made) -> Pair) {
    let made = Made::new(3, spec);
    let place = made.pair_of("m3", "etcd-peer");
    let own = place.read();
    place.write(&wrong(&made).read());

    let everyone = made.files.etcd_client("m1");
    let mut others = everyone.clone();
    let third = Client {
        endpoints: others.endpoints.split_off(2),
        ..others.clone()
    };
    let members = made.members.iter().map(|host| made.files.etcd_member(host)).collect();
    let mut etcd = etcd::Cluster::start(members, others);
    for other in 0..2 {
        let turned_away = |log: &str| {
            log.lines()
                .any(|line| line.contains("rejected connection") && line.contains(reason))
        };
        etcd.member(other).wait_for(turned_away, TURNED_AWAY);
    }
    etcd.etcdctl(&["put", "any", "thing"]).success();
    assert_eq!(members_that_joined(&etcd), ["m1", "m2"]);
    third
        .etcdctl(&["endpoint", "health", "--command-timeout=500ms"])
        .failure();

    place.write(&own);
    etcd.set_client(everyone);
    etcd.wait_healthy();
    assert_eq!(leaders(&etcd), 1);
    assert_eq!(members_that_joined(&etcd), ["m1", "m2", "m3"]);
}

/// A cluster with one worker and members m1, m2, … on addresses of their own, all of them control-plane hosts.
struct Made {
    files: Cluster,
    members: Vec<String>,
    network: Loopback,
}

impl Made {
    fn new(members: u8, rest_of_spec: &str) -> Self {
        let network = Loopback::reserve();
        let member = |number| {
            format!(
                "- {{name: m{number}, addresses: [{}], roles: [control-plane, etcd]}}\n",
                network.host(number)
            )
        };
        let spec = [
            rest_of_spec,
            "kubelets: {client: issued, serving: kubelet-ca}\n",
            &format!("controlPlaneEndpoint: {}:6443\n", network.host(1)),
            "hosts:\n",
            &(1..=members).map(member).collect::<String>(),
            &format!("- {{name: w1, addresses: [{}]}}\n", network.host(members + 1)),
        ];
        Self {
            files: Cluster::init(&spec.concat()),
            members: (1..=members).map(|number| format!("m{number}")).collect(),
            network,
        }
    }

    fn start(&self) -> etcd::Cluster {
        let members = self.members.iter().map(|host| self.files.etcd_member(host)).collect();
        etcd::Cluster::start(members, self.files.etcd_client("m1"))
    }

    fn client_as(&self, pair: Option<&Pair>) -> Client {
        Client {
            cert: pair.map(|pair| pair.certificate.clone()),
            key: pair.map(|pair| pair.key.clone()),
            ..self.files.etcd_client("m1")
        }
    }

    /// Every credential of the catalog with a certificate, by its name there, in the order of `show`.
    fn credentials(&self) -> Vec<(String, Pair)> {
        let listed = self.listed();
        let named = listed.iter().map(|entry| (text(&entry["name"]), self.pair(entry)));
        named.collect()
    }

    /// A credential of m1.
    fn credential(&self, name: &str) -> Pair {
        self.pair_of("m1", name)
    }

    fn pair_of(&self, host: &str, name: &str) -> Pair {
        let listed = self.listed();
        let mut found = listed
            .iter()
            .filter(|entry| entry["host"] == host && entry["name"] == name);
        self.pair(found.next().unwrap())
    }

    fn listed(&self) -> Vec<Value> {
        let show = self.files.verb(["show", "-o", "json"]).success();
        json(&show.stdout)["certificates"].as_array().unwrap().clone()
    }

    /// The files of a line of `show`, where a kubeconfig's pair is copied out of it.
    fn pair(&self, entry: &Value) -> Pair {
        let files: Vec<PathBuf> = entry["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| self.files.root().join(text(file)))
            .collect();
        match files.as_slice() {
            [kubeconfig] => self.embedded(kubeconfig, &text(&entry["name"])),
            _ => Pair {
                certificate: files[0].clone(),
                key: files[1].clone(),
            },
        }
    }

    fn embedded(&self, kubeconfig: &Path, name: &str) -> Pair {
        let pair = self.pair_beside(name);
        let [certificate, key] = ["certificate", "key"].map(|part| {
            let template =
                format!("-ogo-template={{{{index (index .users 0).user \"client-{part}-data\" | base64decode}}}}");
            let mut kubectl = peers::kubectl();
            kubectl
                .args(["config", "view", "--raw", "--kubeconfig"])
                .arg(kubeconfig);
            run(kubectl.arg(template)).success().stdout
        });
        pair.write(&[certificate, key]);
        pair
    }

    /// The names of a host's peer certificate, without the one that only `single` asks for.
    fn peer_names(&self, host: &str) -> String {
        let number = self.members.iter().position(|member| member == host).unwrap() + 1;
        let address = self.network.host(u8::try_from(number).unwrap());
        format!("DNS:{host},DNS:localhost,IP:127.0.0.1,IP:{address}")
    }

    /// A certificate for server and client that openssl signs with the key of one of the cluster's authorities.
    fn sign(&self, name: &str, authority: &str, names: &str, [start, end]: [&str; 2]) -> Pair {
        let pair = self.pair_beside(name);
        let folder = self.files.beside();
        let file = |name: &str| folder.join(name);
        fs::write(file("index.txt"), "").unwrap();
        fs::write(
            file("openssl.cnf"),
            format!(
                "[ca]\ndefault_ca = it\n\
                 [it]\ndatabase = {folder}/index.txt\nnew_certs_dir = {folder}\nrand_serial = yes\n\
                 default_md = sha256\npolicy = any\nx509_extensions = leaf\n\
                 [any]\ncommonName = supplied\n\
                 [leaf]\nbasicConstraints = critical,CA:false\nkeyUsage = critical,digitalSignature\n\
                 extendedKeyUsage = serverAuth,clientAuth\nauthorityKeyIdentifier = keyid\nsubjectAltName = {names}\n\
                 [req]\ndistinguished_name = any\n",
                folder = folder.display()
            ),
        )
        .unwrap();
        let mut request = peers::openssl();
        request.args([
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]);
        request
            .args(["-subj", &format!("/CN={name}"), "-config"])
            .arg(file("openssl.cnf"));
        request
            .arg("-keyout")
            .arg(&pair.key)
            .arg("-out")
            .arg(file("request.csr"));
        run(&mut request).success();
        let authority = |extension: &str| self.files.root().join(format!("authority/{authority}.{extension}"));
        let mut sign = peers::openssl();
        sign.args([
            "ca",
            "-batch",
            "-notext",
            "-startdate",
            start,
            "-enddate",
            end,
            "-config",
        ]);
        sign.arg(file("openssl.cnf")).arg("-in").arg(file("request.csr"));
        sign.arg("-cert")
            .arg(authority("crt"))
            .arg("-keyfile")
            .arg(authority("key"));
        run(sign.arg("-out").arg(&pair.certificate)).success();
        pair
    }

    fn pair_beside(&self, name: &str) -> Pair {
        Pair {
            certificate: self.files.beside().join(format!("{name}.crt")),
            key: self.files.beside().join(format!("{name}.key")),
        }
    }
}

const PAST: [&str; 2] = ["20200101000000Z", "20200201000000Z"];
const TODAY: [&str; 2] = ["20200101000000Z", "20491231235959Z"];

/// A certificate and its key.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn read(&self) -> [String; 2] {
        [&self.certificate, &self.key].map(|file| fs::read_to_string(file).unwrap())
    }

    fn write(&self, [certificate, key]: &[String; 2]) {
        fs::write(&self.certificate, certificate).unwrap();
        fs::write(&self.key, key).unwrap();
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
