//! Files that can't be used, in the place of good ones.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::spec::KeyAlgorithm;
use kubetrust_server::start::start;

use super::files::{Ca, How, Live, in_force, place};
use super::load::{ALICE, Load};
use super::replaced::furnish;
use crate::support::{Client, Cluster, Credential, Engine};

/// How long a count may take that has to grow.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a file is broken.
#[derive(Clone, Copy, Debug)]
enum Broken {
    /// It is no text of its kind.
    Garbage,
    /// It has nothing in it.
    Empty,
    /// Its beginning.
    Half,
    /// Something else has its name.
    Folder,
    /// Nothing has.
    Missing,
    /// A good one, and not the other's.
    Another,
}

use Broken::{Another, Empty, Folder, Garbage, Half, Missing};

on_both!(what_can_t_be_used_leaves_the_last_good_ones_in_force,);

/// Which ways make a file one that can't be used. An empty list of tokens or serials is a list.
#[rustfmt::skip]
const CASES: [(&str, &[Broken]); 13] = [
    ("serving.crt",     &[Garbage, Empty, Half, Folder, Missing, Another]),
    ("serving.key",     &[Garbage, Empty, Another]),
    ("sni.crt",         &[Garbage, Missing]),
    ("sni.key",         &[Another]),
    ("client-ca.crt",   &[Garbage, Empty, Half, Folder, Missing]),
    ("proxy-ca.crt",    &[Garbage, Empty]),
    ("token.csv",       &[Garbage, Folder, Missing]),
    ("sa.pub",          &[Garbage, Empty]),
    ("sa.key",          &[Garbage, Empty]),
    ("crl.pem",         &[Garbage, Half, Another]),
    ("revoked.txt",     &[Garbage, Missing]),
    ("encryption.yaml", &[Garbage, Empty]),
    ("audit.yaml",      &[Garbage, Empty, Missing]),
];

async fn what_can_t_be_used_leaves_the_last_good_ones_in_force(engine: Engine) {
    let cluster = Cluster::issue(engine);
    let (live, options) = Live::of(&cluster);
    let running = start(options).await.unwrap();
    let admin = cluster.client(running.address, cluster.kubeconfig("admin"));
    let robot = Credential::token(&furnish(&admin).await);
    let csv = fs::read_to_string(cluster.file("token.csv")).unwrap();
    let known = Credential::token(csv.split(',').next().unwrap());
    let credentials = [
        cluster.kubeconfig("admin"),
        known,
        robot,
        cluster.pair("front-proxy-client"),
    ];
    let load = Load::start(running.address, cluster.file("pki/ca.crt"), credentials);
    for (name, ways) in CASES {
        let path = live.file(name);
        let good = fs::read(&path).unwrap();
        for way in ways {
            let (failed, succeeded) = (count(&admin, "failure").await, count(&admin, "success").await);
            break_it(&path, name, *way, &good, &cluster);
            grows(&admin, "failure", failed, &format!("{name} {way:?}")).await;
            load.goes_on().await;
            if matches!(way, Folder) {
                fs::remove_dir(&path).unwrap();
            }
            place(How::Rename, &path, &good);
            grows(&admin, "success", succeeded, &format!("{name} after {way:?}")).await;
        }
    }
    the_last_good_policy_records(&admin, &live, &cluster).await;
    // What is broken keeps nothing else from being replaced, not even while it stays broken.
    for name in ["token.csv", "serving.key", "sa.key", "encryption.yaml"] {
        break_it(&live.file(name), name, Garbage, &[], &cluster);
    }
    let victim = Ca::of(&cluster, "kubernetes-ca").client("victim", &[]);
    let open = cluster.client(running.address, victim.credential());
    assert!(open.whoami(&[]).await.is_ok());
    let serial = victim.certificate.serial_hex().replace(':', "");
    place(How::InPlace, &live.file("revoked.txt"), serial);
    in_force("a revocation beside broken files", async || {
        open.whoami(&[]).await == Err(401)
    })
    .await;
    load.goes_on().await;
    // The server has not grown stubborn: what is good is taken.
    let ca = Ca::new("another-proxy-ca");
    let bundle = format!(
        "{}{}",
        fs::read_to_string(cluster.file("pki/front-proxy-ca.crt")).unwrap(),
        ca.pem()
    );
    place(How::InPlace, &live.file("proxy-ca.crt"), bundle);
    let proxy = ca.client("front-proxy-client", &[]).credential();
    in_force("good after bad", async || {
        cluster
            .client(running.address, proxy.clone())
            .whoami(&ALICE)
            .await
            .is_ok()
    })
    .await;
    load.stop().await;
    running.stop().await;
}

/// While the audit policy is broken, what the last good one says is recorded.
async fn the_last_good_policy_records(admin: &Client, live: &Live, cluster: &Cluster) {
    let path = live.file("audit.yaml");
    let good = fs::read(&path).unwrap();
    let failed = count(admin, "failure").await;
    break_it(&path, "audit.yaml", Garbage, &good, cluster);
    grows(admin, "failure", failed, "the audit policy").await;
    assert_eq!(admin.get("/api/v1/nodes/recorded").await.code, 404);
    let begun = Instant::now();
    let log = cluster.folder.path().join("audit.log");
    while !fs::read_to_string(&log).unwrap().contains("/api/v1/nodes/recorded") {
        assert!(begun.elapsed() < PATIENCE, "nothing was recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let succeeded = count(admin, "success").await;
    place(How::Rename, &path, &good);
    grows(admin, "success", succeeded, "the audit policy again").await;
}

fn break_it(path: &Path, name: &str, way: Broken, good: &[u8], cluster: &Cluster) {
    match way {
        Garbage => place(
            How::InPlace,
            path,
            "\u{0}no such thing: [\n-----BEGIN CERTIFICATE-----\n????\n",
        ),
        Empty => place(How::InPlace, path, ""),
        Half => place(How::InPlace, path, &good[..good.len() / 2]),
        Missing => fs::remove_file(path).unwrap(),
        Folder => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }
        Another if name == "crl.pem" => {
            // By the name of the CA, and not by its key.
            let of = Ca::of(cluster, "kubernetes-ca");
            let namesake = Ca::new(&of.certificate.common_name().unwrap());
            place(How::Rename, path, namesake.crl(cluster.folder.path(), &[]));
        }
        Another if name == "serving.crt" => {
            let leaf = Ca::of(cluster, "kubernetes-ca").server(cluster.options.bind_address);
            place(How::Rename, path, leaf.certificate.to_pem());
        }
        Another => {
            let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
            place(How::Rename, path, key.to_pem().unwrap().as_bytes());
        }
    }
}

async fn count(admin: &Client, status: &str) -> u64 {
    let text = String::from_utf8(admin.get("/metrics").await.body.to_vec()).unwrap();
    let line = format!("kubetrust_credentials_reloads{{status=\"{status}\"}} ");
    let value = text.lines().find_map(|counted| counted.strip_prefix(&line));
    value.map_or(0, |value| value.parse().unwrap())
}

async fn grows(admin: &Client, status: &str, before: u64, what: &str) {
    let begun = Instant::now();
    while count(admin, status).await <= before {
        assert!(begun.elapsed() < PATIENCE, "{what}: no {status} was counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
