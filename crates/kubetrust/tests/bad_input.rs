//! Everything that can be wrong with what kubetrust is given: a line a case. Each is said, with the place and the way
//! out, on standard error alone, under a stable code, and nothing on disk changes.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod support;
#[path = "../../kubetrust-pki/tests/support/tree.rs"]
mod tree;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use kubetrust_testkit::{Output, peers, run, run_with_input};
use support::{Cluster, kubetrust};
use tree::{Tree, snapshot};

const HOSTS: &str = "\
kind: Cluster
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: w1, addresses: [192.0.2.12]}
";

/// The same with something to do on every host.
const OTHER_KEYS: &str = "\
kind: Cluster
keyAlgorithm: ecdsa-p384
hosts:
- {name: m1, addresses: [192.0.2.11], roles: [control-plane, etcd]}
- {name: w1, addresses: [192.0.2.12]}
";

/// Asserts how a refusal looks.
#[track_caller]
fn refused(output: &Output, code: i32, fragments: &[&str], what: &str) {
    assert_eq!(output.code(), Some(code), "{what}: {output}");
    assert_eq!(output.stdout, "", "{what}: standard output is for answers");
    for fragment in fragments {
        assert!(output.stderr.contains(fragment), "{what}: no `{fragment}` in {output}");
    }
    assert!(!output.stderr.contains("panicked"), "{output}");
    assert!(!output.stderr.contains('\u{1b}'), "{what}: colour in a pipe: {output}");
    assert!(
        !output.stderr.contains("PRIVATE KEY-----"),
        "{what}: a secret in {output}"
    );
}

// The spec

/// A spec, and what is said about it, place first.
const SPECS: [(&str, &[&str]); 24] = [
    ("clustrName: x\n", &["1:1: clustrName", "did you mean `clusterName`?"]),
    (
        "hosts: [{name: a, adresses: [192.0.2.1]}]\n",
        &["1:19: hosts[0].adresses", "did you mean `addresses`?"],
    ),
    (
        "clusterName: a\nclusterName: b\n",
        &["2:1: clusterName: is given twice, first on line 1; leave one out"],
    ),
    (
        "hosts:\n- {name: a, addresses: [192.0.2.1], roles: [control-plane]}\n- {name: a, addresses: [192.0.2.2]}\n",
        &[
            "3:10: hosts[1].name: `a` is already hosts[0].name (line 2)",
            "give every host names of its own",
        ],
    ),
    (
        "hosts:\n- {name: a, addresses: [192.0.2.1], roles: [control-plane]}\n- {name: b, addresses: [192.0.2.1]}\n",
        &[
            "3:25: hosts[1].addresses[0]: `192.0.2.1` is already",
            "give every host addresses of its own",
        ],
    ),
    (
        "hosts: [{name: A_b, addresses: [192.0.2.1]}]\n",
        &["1:16: hosts[0].name", "not a lower-case DNS name"],
    ),
    (
        "hosts: [{name: ../x, addresses: [192.0.2.1]}]\n",
        &["1:16: hosts[0].name: `../x`", "write a DNS name, without `/`"],
    ),
    (
        "hosts: [{name: /etc, addresses: [192.0.2.1]}]\n",
        &["1:16: hosts[0].name: `/etc`", "without `/`"],
    ),
    (
        "hosts: [{name: .., addresses: [192.0.2.1]}]\n",
        &["1:16: hosts[0].name: `..`", "not starting with `.`"],
    ),
    (
        "hosts: [{name: .staging, addresses: [192.0.2.1]}]\n",
        &["1:16: hosts[0].name: `.staging`"],
    ),
    (
        "hosts: [{name: a, addresses: [10.0.0.300]}]\n",
        &["1:31: hosts[0].addresses[0]", "write one such as 192.0.2.11"],
    ),
    (
        "hosts: [{name: a, addresses: [10.0.0.0/8]}]\n",
        &["1:31: hosts[0].addresses[0]", "write `10.0.0.0` alone"],
    ),
    (
        "networking: {dnsDomain: a_b}\n",
        &["1:25: networking.dnsDomain", "not a lower-case DNS name"],
    ),
    (
        "extraSANs: [a.example, b..example]\n",
        &["1:24: extraSANs[1]", "not a lower-case DNS name"],
    ),
    (
        "networking: {serviceSubnets: [10.96.0.0]}\n",
        &["1:31: networking.serviceSubnets[0]", "add the prefix length"],
    ),
    (
        "networking: {serviceSubnets: [10.96.0.1/12]}\n",
        &["1:31: networking.serviceSubnets[0]", "write `10.96.0.0/12`"],
    ),
    (
        "networking: {serviceSubnets: [192.0.0.0/16]}\nhosts: [{name: a, addresses: [192.0.2.1], roles: [control-plane]}]\n",
        &[
            "1:31: networking.serviceSubnets[0]",
            "holds `192.0.2.1`",
            "choose a network that only services use",
        ],
    ),
    (
        "validity: {server: 0h}\n",
        &["1:20: validity.server: `0h` is not longer than zero"],
    ),
    (
        "validity: {client: -24h}\n",
        &["1:20: validity.client: `-24h` is not longer than zero"],
    ),
    (
        "validity: {ca: 24h, server: 48h, client: 1h}\n",
        &["1:29: validity.server: 48h is longer than validity.ca (24h)"],
    ),
    (
        "keyAlgorithm: dsa\n",
        &["1:15: keyAlgorithm: `dsa` is not a value", "`ecdsa-p256`"],
    ),
    ("a: [\n", &["not valid YAML"]),
    ("hosts: &x []\n", &["anchors are not supported"]),
    (
        // Everything at once, each with its own place.
        "clustrName: x\nnetworking:\n  dnsDomain: a_b\n  serviceSubnets: [10.0.0.0/99]\nhosts:\n\
         - {name: ../x, addresses: [1.2.3]}\n- {name: b, addresses: [192.0.2.2], role: worker}\nvalidity: {ca: 0h}\n",
        &[
            "1:1: clustrName",
            "3:14: networking.dnsDomain",
            "4:20: networking.serviceSubnets[0]",
            "6:10: hosts[0].name",
            "6:28: hosts[0].addresses[0]",
            "7:37: hosts[1].role",
            "8:16: validity.ca",
        ],
    ),
];

#[test]
fn a_wrong_spec_is_refused_by_init_and_by_whatever_reads_it() {
    let cluster = Cluster::init(HOSTS);
    for (spec, fragments) in SPECS {
        let fresh = Cluster::nowhere();
        let output = fresh.try_init(spec);
        refused(&output, 2, fragments, spec);
        let place = format!("given.yaml:{}", fragments[0].split(' ').next().unwrap());
        if fragments[0].starts_with(|first: char| first.is_ascii_digit()) {
            assert!(output.stderr.contains(&place), "{place} in {output}");
        }
        assert!(!fresh.root().exists(), "{spec}");

        let from_pipe = run_with_input(spec, kubetrust(["init", "-f", "-", "-d"]).arg(fresh.root()));
        refused(&from_pipe, 2, fragments, spec);
        assert!(!fresh.root().exists(), "{spec}");

        cluster.write_spec(spec);
        let before = snapshot(&cluster.root());
        for verb in [
            &["apply"][..],
            &["plan"],
            &["show"],
            &["flags", "etcd"],
            &["bundle", "m1"],
        ] {
            refused(&cluster.verb(verb.iter().copied()), 2, fragments, spec);
        }
        assert!(snapshot(&cluster.root()) == before, "{spec}: something changed");
    }
}

#[test]
fn a_spec_that_is_not_there_is_a_usage_error() {
    let place = Cluster::nowhere();
    let root = place.root();
    for (file, said) in [("/nonexistent/spec.yaml", "No such file"), ("/", "/")] {
        refused(
            &run(kubetrust(["init", "-f", file, "-d"]).arg(&root)),
            2,
            &[file, said],
            file,
        );
        assert!(!root.exists());
    }
}

// A CA that is brought

const CA: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Corporate -days 3650 \
                  -keyout ca.key -out ca.crt -addext keyUsage=critical,keyCertSign,cRLSign";

const EXPIRED: &str = r"
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=db\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=p\n' > c
printf 'x509_extensions=x\n[p]\ncommonName=supplied\n' > p; printf '[x]\nbasicConstraints=critical,CA:TRUE\n' > x
sed -i 's/policy=p/policy=p\nx509_extensions=x/' c
printf '[p]\ncommonName=supplied\n' >> c; cat x >> c; touch db; echo 01 > serial
openssl req -new -key ca.key -subj /CN=Corporate -out ca.csr
openssl ca -batch -selfsign -config c -keyfile ca.key -in ca.csr -out ca.crt -notext -startdate 20200101000000Z \
  -enddate 20210101000000Z";

/// What is wrong with the brought CA, how it comes to be (after a good one was made), and what is said.
const BROUGHT: [(&str, &str, &[&str]); 16] = [
    (
        "expired",
        EXPIRED,
        &["kubernetes.certificate: the CA CN=Corporate expired on 2021-01-01"],
    ),
    (
        "no CA",
        "openssl req -x509 -key ca.key -subj /CN=leaf -days 99 -out ca.crt -addext basicConstraints=critical,CA:FALSE",
        &["kubernetes.certificate: CN=leaf is no CA"],
    ),
    (
        "another key",
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key",
        &["kubernetes.key: the key is not the certificate's"],
    ),
    (
        "path length",
        "openssl req -x509 -key ca.key -subj /CN=x -days 3650 -out ca.crt -addext keyUsage=critical,keyCertSign \
         -addext basicConstraints=critical,CA:TRUE,pathlen:0 -config /dev/null",
        &[
            "kubernetes.certificate: the path length 0 of CN=x forbids",
            "or set kubelets.serving to cluster-ca",
        ],
    ),
    (
        "PKCS#8, encrypted",
        "openssl pkey -in ca.key -aes128 -passout pass:x -out k && mv k ca.key",
        &["ca.key: the key is encrypted; decrypt it first: openssl pkey"],
    ),
    (
        "SEC 1, encrypted",
        "openssl ec -in ca.key -aes128 -passout pass:x -out k && mv k ca.key && grep -q Proc-Type ca.key",
        &["ca.key: the key is encrypted; decrypt it first: openssl pkey"],
    ),
    (
        "a truncated key",
        "head -c 120 ca.key > k && mv k ca.key",
        &["ca.key: the PEM is damaged or cut off"],
    ),
    (
        "half of a key's content",
        "(sed -n 1,2p ca.key; tail -1 ca.key) > k && mv k ca.key",
        &["ca.key: the "],
    ),
    (
        "a DSA key",
        "openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out p && openssl genpkey -paramfile p -out ca.key",
        &["ca.key: the key is damaged or of an unsupported type; RSA"],
    ),
    (
        "a curve that nobody takes",
        "openssl ecparam -name secp256k1 -genkey -noout -out ca.key",
        &["ca.key: the key is damaged or of an unsupported type; RSA"],
    ),
    (
        "no file of the certificate",
        "rm ca.crt",
        &["kubernetes.certificate: ", "ca.crt: No such file"],
    ),
    (
        "no file of the key",
        "rm ca.key",
        &["kubernetes.key: ", "ca.key: No such file"],
    ),
    (
        "garbage for a certificate",
        "echo hello > ca.crt",
        &["kubernetes.certificate: ", "there is no certificate in it"],
    ),
    (
        "garbage for a key",
        "echo hello > ca.key",
        &["ca.key: there is no private key in it"],
    ),
    ("an empty key", ": > ca.key", &["ca.key: there is no private key in it"]),
    ("a folder for a key", "rm ca.key && mkdir ca.key", &["kubernetes.key: "]),
];

#[test]
fn a_brought_ca_that_is_wrong_is_refused_and_nothing_is_made() {
    let spec = format!(
        "{HOSTS}kubelets: {{serving: kubelet-ca}}\n\
         authorities: {{bring: {{kubernetes: {{certificate: ca.crt, key: ca.key}}}}}}\n"
    );
    let cluster = Cluster::init(HOSTS);
    for (what, script, fragments) in BROUGHT {
        let fresh = Cluster::nowhere();
        let shell = |script: &str| {
            run(peers::isolated("sh")
                .args(["-e", "-c", script])
                .current_dir(fresh.beside()))
            .success();
        };
        shell(CA);
        shell(script);
        let output = fresh.try_init(&spec);
        refused(&output, 2, fragments, what);
        assert!(output.stderr.contains("authorities.bring.kubernetes."), "{output}");
        assert!(!fresh.root().exists(), "{what}");
    }
    // A good one, but the cluster has its own: to replace that would take every credential with it.
    let script = format!("cd {} && {CA}", cluster.root().display());
    run(peers::isolated("sh").args(["-c", &script])).success();
    cluster.write_spec(&spec);
    let before = snapshot(&cluster.root());
    refused(
        &cluster.verb(["apply"]),
        2,
        &["authorities.bring.kubernetes.certificate", "already has another CA"],
        "two",
    );
    assert!(snapshot(&cluster.root()) == before);
}

// The directory

/// What happened to a cluster's directory, a shell's script in it, and what `apply` says about it.
const DAMAGES: [(&str, &str, &[&str]); 18] = [
    (
        "half a CA key",
        "head -c 100 authority/kubernetes-ca.key > k && cat k > authority/kubernetes-ca.key; rm k",
        &["authority/kubernetes-ca.key: the PEM is damaged or cut off"],
    ),
    (
        "an empty CA key",
        ": > authority/kubernetes-ca.key",
        &["authority/kubernetes-ca.key: there is no private key"],
    ),
    (
        "a CA key without its certificate",
        "rm authority/etcd-ca.crt",
        &["authority/etcd-ca.key: a CA key without its certificate; put etcd-ca.crt back"],
    ),
    (
        "another CA's key",
        "cat authority/etcd-ca.key > authority/kubernetes-ca.key",
        &["authority/kubernetes-ca.key: this key is not the one of kubernetes-ca.crt; put the matching pair back"],
    ),
    (
        "half a CA certificate",
        "head -c 300 authority/etcd-ca.crt > c && cat c > authority/etcd-ca.crt; rm c",
        &["authority/etcd-ca.crt: "],
    ),
    (
        "a leaf for a CA",
        "cat hosts/m1/etcd/pki/server.crt > authority/etcd-ca.crt",
        &["authority/etcd-ca."],
    ),
    (
        "an encrypted CA key",
        "openssl pkey -in authority/etcd-ca.key -aes128 -passout pass:x -out k && cat k > authority/etcd-ca.key; rm k",
        &["authority/etcd-ca.key: the key is encrypted; decrypt it first"],
    ),
    (
        "a damaged service-account key",
        "echo hello > authority/sa.key",
        &["authority/sa.key: there is no private key"],
    ),
    (
        "damaged verification keys",
        "head -c 60 authority/sa.pub > p && cat p > authority/sa.pub; rm p",
        &["authority/sa.pub: "],
    ),
    (
        "a damaged token",
        "echo hello > authority/bootstrap-token.yaml",
        &["authority/bootstrap-token.yaml: "],
    ),
    (
        "a folder for a key",
        "rm authority/sa.key && mkdir authority/sa.key",
        &["authority/sa.key: not a file; move it away"],
    ),
    (
        "a folder for a leaf's key",
        "cd hosts/m1/etcd/pki && rm peer.key && mkdir peer.key",
        &["peer.key: not a file; move it away"],
    ),
    (
        "a pipe for a certificate",
        "cd hosts/m1/etcd/pki && rm peer.crt && mkfifo peer.crt",
        &["peer.crt: not a file; move it away"],
    ),
    (
        "a file of 2 MiB",
        "head -c 2097152 /dev/zero > hosts/m1/etcd/pki/peer.crt",
        &["peer.crt: larger than 1 MiB"],
    ),
    (
        "a file for a host's folder",
        "rm -r hosts/m1 && echo hello > hosts/m1",
        &["hosts/m1"],
    ),
    (
        "a file for the authorities' folder",
        "rm -r authority && echo hello > authority",
        &["authority"],
    ),
    (
        "a file for .staging",
        "echo hello > .staging",
        &[".staging is not a folder; move it away"],
    ),
    (
        "a file for backup",
        "echo hello > backup",
        &["backup is not a folder; move it away"],
    ),
];

#[test]
fn a_damaged_directory_is_refused_and_nothing_is_made_anew() {
    for (what, script, fragments) in DAMAGES {
        let cluster = Cluster::init(HOSTS);
        let root = cluster.root();
        cluster.write_spec(OTHER_KEYS);
        run(peers::isolated("sh").args(["-e", "-c", script]).current_dir(&root)).success();
        unchanged_by_apply(&cluster, fragments, what);
    }
}

/// What is replaced by a symbolic link to itself elsewhere.
const LINKS: [&str; 10] = [
    "authority",
    "authority/kubernetes-ca.key",
    "authority/etcd-ca.crt",
    "hosts",
    "hosts/m1",
    "hosts/m1/kubernetes",
    "hosts/m1/kubernetes/pki/apiserver.key",
    "hosts/w1/kubernetes/pki/ca.crt",
    "manifests",
    "manifests/rbac.yaml",
];

#[test]
fn a_symbolic_link_where_a_file_should_be_is_refused() {
    for link in LINKS {
        for spec in [OTHER_KEYS, HOSTS] {
            let cluster = Cluster::init(HOSTS);
            cluster.write_spec(spec);
            let (place, elsewhere) = (cluster.root().join(link), cluster.beside().join("elsewhere"));
            fs::rename(&place, &elsewhere).unwrap();
            symlink(&elsewhere, &place).unwrap();
            let behind = || {
                let mut entries = snapshot(cluster.beside());
                entries.retain(|name, _| name.starts_with("elsewhere"));
                entries
            };
            let pointed_to = behind();
            unchanged_by_apply(&cluster, &[link, "symbolic link", "replace"], link);
            assert!(behind() == pointed_to, "{link}: changed behind the link");
        }
    }
    for link in [".staging", "backup"] {
        let cluster = Cluster::init(HOSTS);
        cluster.write_spec(OTHER_KEYS);
        symlink(cluster.beside(), cluster.root().join(link)).unwrap();
        unchanged_by_apply(&cluster, &[link, "symbolic link", "replace"], link);
    }
}

/// Asserts that apply refuses with code 1, and changes nothing in the directory: not even a time.
#[track_caller]
fn unchanged_by_apply(cluster: &Cluster, fragments: &[&str], what: &str) {
    let before = snapshot(&cluster.root());
    refused(&cluster.verb(["apply"]), 1, fragments, what);
    let after = snapshot(&cluster.root());
    for name in before.keys().chain(after.keys()) {
        assert!(before.get(name) == after.get(name), "{what}: {name} changed");
    }
}

/// What is damaged on a host, a shell's script in its folder.
const REPAIRED: [&str; 9] = [
    "head -c 100 kubernetes/pki/apiserver.key > k && cat k > kubernetes/pki/apiserver.key; rm k",
    "head -c 300 kubernetes/pki/apiserver.crt > k && cat k > kubernetes/pki/apiserver.crt; rm k",
    ": > etcd/pki/server.key",
    "rm etcd/pki/peer.key",
    "rm -r kubernetes/pki",
    "cp etcd/pki/peer.key etcd/pki/server.key",
    "echo hello > kubernetes/auth/admin.conf",
    "cp kubernetes/pki/ca.crt etcd/pki/ca.crt",
    "chmod 644 kubernetes/pki/ca.key",
];

#[test]
fn what_is_damaged_on_a_host_is_repaired_by_apply() {
    for script in REPAIRED {
        let cluster = Cluster::init(HOSTS);
        let root = cluster.root();
        let before = Tree::check(&root);
        run(peers::isolated("sh")
            .args(["-e", "-c", script])
            .current_dir(root.join("hosts/m1")))
        .success();
        cluster.verb(["apply"]).success();
        let after = Tree::check(&root);
        after.keeps_authority_keys_of(&before);
        assert!(before.files.keys().eq(after.files.keys()), "{script}");
        let other_host = |tree: &Tree| -> Vec<_> {
            tree.files
                .clone()
                .into_iter()
                .filter(|(name, _)| name.starts_with("hosts/w1"))
                .collect()
        };
        assert!(other_host(&before) == other_host(&after), "{script}");
        assert!(
            cluster.verb(["apply"]).success().stderr.contains("Nothing to do"),
            "{script}"
        );
    }
}

#[test]
fn a_directory_that_is_not_ours_is_left_alone() {
    let place = Cluster::nowhere();
    let root = place.root();
    fs::create_dir(&root).unwrap();
    fs::write(root.join("thesis.tex"), "all my work").unwrap();
    fs::write(place.beside().join("file"), "").unwrap();
    let before = snapshot(place.beside());
    let file = place.beside().join("file");
    let inside = file.join("inside");
    let nowhere = Path::new("/nonexistent/cluster");
    let cases: [(&str, &Path, i32, &[&str]); 7] = [
        (
            "init",
            &root,
            2,
            &[
                "is not empty and has no cluster.yaml",
                "choose an empty or a new directory",
            ],
        ),
        ("init", &file, 2, &["file/cluster.yaml: Not a directory"]),
        ("init", &inside, 2, &["inside/cluster.yaml: Not a directory"]),
        (
            "apply",
            &root,
            2,
            &["is no cluster's directory: it has no cluster.yaml"],
        ),
        ("plan", nowhere, 2, &["/nonexistent/cluster is no cluster's directory"]),
        ("show", &root, 2, &["is no cluster's directory: it has no cluster.yaml"]),
        ("apply", &file, 1, &["file/cluster.yaml: Not a directory"]),
    ];
    for (verb, directory, code, fragments) in cases {
        let what = format!("{verb} {}", directory.display());
        refused(&run(kubetrust([verb, "-d"]).arg(directory)), code, fragments, &what);
    }
    assert!(snapshot(place.beside()) == before);
}

#[test]
fn a_cluster_is_not_replaced_by_another() {
    let cluster = Cluster::init(HOSTS);
    let single = format!("{HOSTS}authorities: {{mode: single}}\n");
    let given = cluster.beside().join("other.yaml");
    fs::write(&given, &single).unwrap();
    let before = snapshot(&cluster.root());
    let again = run(kubetrust(["init", "-f"]).arg(&given).arg("-d").arg(cluster.root()));
    refused(
        &again,
        2,
        &["already holds a cluster with another spec; edit", "kubetrust apply -d"],
        "init",
    );
    assert!(snapshot(&cluster.root()) == before);

    cluster.write_spec(&single);
    unchanged_by_apply(&cluster, &["authorities.mode", "set the mode back"], "mode");
}

// Permissions

/// A user who owns nothing else, when the tests run as root, whom no permission stops.
const NOBODY: u32 = 65534;

/// Runs a copy of the binary, in a place that everybody can reach, without root's powers.
fn unprivileged(cluster: &Cluster, arguments: &[&str]) -> Command {
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let binary = cluster.beside().join("kubetrust");
    if !binary.exists() {
        // Copied by another process: what one thread holds open for writing, a program that another starts holds open too,
        // and what is open for writing can't be run.
        let mut copy = Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_kubetrust")).arg(&binary);
        assert!(copy.status().unwrap().success());
        open(&binary);
        open(cluster.beside());
    }
    let mut command = if is_root() {
        let mut command = peers::isolated("setpriv");
        let nobody = NOBODY.to_string();
        command
            .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
            .arg(binary);
        command
    } else {
        peers::isolated(binary)
    };
    command.args(arguments).arg("-d").arg(cluster.root());
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn no_permission_is_said_with_the_path_and_nothing_changes() {
    // Which folder or file is closed, how, and what is said.
    let cases: [(&str, u32, &[&str]); 5] = [
        (
            "",
            0o500,
            &[
                "cannot create ",
                ".staging: Permission denied",
                "run as the user who owns the directory",
            ],
        ),
        ("", 0o000, &["cluster.yaml: Permission denied"]),
        ("authority", 0o000, &["authority", "Permission denied"]),
        (
            "authority/kubernetes-ca.key",
            0o000,
            &["authority/kubernetes-ca.key: Permission denied"],
        ),
        ("hosts/m1", 0o000, &["hosts/m1", "Permission denied"]),
    ];
    for (closed, mode, fragments) in cases {
        let cluster = Cluster::init(HOSTS);
        cluster.write_spec(OTHER_KEYS);
        let root = cluster.root();
        if is_root() {
            let owner = format!("{NOBODY}:{NOBODY}");
            run(peers::isolated("chown").arg("-R").arg(owner).arg(&root)).success();
        }
        let before = snapshot(&root);
        let closed = root.join(closed);
        let mode_before = fs::metadata(&closed).unwrap().permissions();
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
        let output = run(&mut unprivileged(&cluster, &["apply"]));
        fs::set_permissions(&closed, mode_before).unwrap();
        refused(&output, 1, fragments, &format!("{} {mode:o}", closed.display()));
        assert!(snapshot(&root) == before, "{}", closed.display());
    }
    // A place where no directory may be made.
    let cluster = Cluster::nowhere();
    let mut init = unprivileged(&cluster, &["init"]);
    fs::set_permissions(cluster.beside(), fs::Permissions::from_mode(0o555)).unwrap();
    let output = run(&mut init);
    fs::set_permissions(cluster.beside(), fs::Permissions::from_mode(0o755)).unwrap();
    refused(&output, 1, &["create ", "Permission denied"], "init");
    assert!(!cluster.root().exists());
}

// Usage

#[test]
fn a_question_that_makes_no_sense_is_a_usage_error() {
    let cluster = Cluster::init(HOSTS);
    let cases: [(&[&str], &[&str]); 13] = [
        (&["aply"], &["unrecognized subcommand 'aply'", "apply"]),
        (&["apply", "--force"], &["unexpected argument '--force'", "Usage"]),
        (
            &["plan", "-o", "xml"],
            &["invalid value 'xml'", "possible values: table, json"],
        ),
        (&["bundle"], &["<HOST>"]),
        (&["flags"], &["<COMPONENT>"]),
        (&["flags", "kubelt"], &["invalid value 'kubelt'", "kubelet"]),
        (&["bundle", "w9"], &["there is no host w9 in the spec; it has m1, w1"]),
        (&["bundle", "../m1"], &["there is no host ../m1 in the spec"]),
        (
            &["show", "--host", "w9"],
            &["there is no host w9 in the spec; it has m1, w1"],
        ),
        (
            &["flags", "etcd", "--host", "w9"],
            &["there is no host w9 in the spec; it has m1, w1"],
        ),
        (
            &["flags", "kubelet", "--host", "m1"],
            &["kubelet does not run on m1; it runs on w1"],
        ),
        (
            &["flags", "etcd", "--host", "w1"],
            &["etcd does not run on w1; it runs on m1"],
        ),
        (
            &["flags", "kubelet", "-o", "env"],
            &["kubelet takes no environment variables, only etcd does"],
        ),
    ];
    let before = snapshot(&cluster.root());
    for (arguments, fragments) in cases {
        refused(
            &cluster.verb(arguments.iter().copied()),
            2,
            fragments,
            &arguments.join(" "),
        );
    }
    refused(&run(&mut kubetrust([""; 0])), 2, &["Usage"], "nothing");
    refused(
        &run(&mut kubetrust(["completions", "cmd"])),
        2,
        &["invalid value 'cmd'", "bash"],
        "no such shell",
    );
    refused(
        &run(&mut kubetrust(["man", "/nonexistent"])),
        1,
        &["/nonexistent: No such file"],
        "no such folder",
    );
    assert!(snapshot(&cluster.root()) == before);
}
