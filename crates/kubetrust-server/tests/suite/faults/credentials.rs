//! What the server and etcd know each other by is replaced while clients write.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use kubetrust_testkit::etcd::Client;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::load::Load;
use super::site::{CA, CERTIFICATE, KEY, Site};
use crate::registry::world::until;
use crate::reload::files::{Ca, How, Leaf, place};
use crate::support::etcd::Etcd;

/// Longer than it takes until changed files are looked at.
const LOOKED_AT: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn etcds_certificates_and_authority_are_replaced_under_load() {
    let mut site = Site::start().await;
    let namespace = site.world.namespace("work").await;
    let load = Load::start(&site.world, &namespace).await;
    load.goes_on().await;
    let old = Ca::of(&site.world.cluster, "etcd-ca");
    let new = Ca::new("another-etcd-ca");
    let client = |ca: &Ca| ca.client("kube-apiserver-etcd-client", &[]);

    // A new pair of the same authority; the certificate first, which fits no key until that has followed.
    let before = site.proxy.accepted();
    place(
        How::Rename,
        &site.live.file(CERTIFICATE),
        client(&old).certificate.to_pem(),
    );
    sleep(LOOKED_AT).await;
    load.goes_on().await;
    assert_eq!(site.proxy.accepted(), before, "half a pair is in use");
    renew(&site, &load, &client(&old)).await;

    // Old and new: whom the server trusts, whom etcd trusts, who the server is, who etcd is. Then new alone.
    let both = format!("{}{}", old.pem(), new.pem());
    connects_anew(&site, &load, || place(How::Rename, &site.live.file(CA), &both)).await;
    assert_eq!(load.failures(), 0, "a request failed by new credentials");

    let pki = Etcd::pki(&site.world.cluster);
    fs::write(pki.join("ca.crt"), &both).unwrap();
    block_in_place(|| site.etcd.cluster.restart(0));
    load.goes_on().await;
    let failures = load.failures();
    let pair = client(&new);
    renew(&site, &load, &pair).await;
    assert_eq!(load.failures(), failures, "a request failed by a new authority");

    let serving = new.server(site.etcd.address.ip());
    fs::write(pki.join("server.crt"), serving.certificate.to_pem()).unwrap();
    fs::write(pki.join("server.key"), &serving.key).unwrap();
    fs::write(pki.join("ca.crt"), new.pem()).unwrap();
    let former = site.etcd.cluster.client().clone();
    let mut latter = former.clone();
    (latter.cacert, latter.cert, latter.key) = stored(&site, &new, &pair);
    site.etcd.cluster.set_client(latter.clone());
    block_in_place(|| site.etcd.cluster.restart(0));
    load.goes_on().await;
    let failures = load.failures();
    connects_anew(&site, &load, || place(How::Rename, &site.live.file(CA), new.pem())).await;
    assert_eq!(load.failures(), failures, "a request failed by the new authority alone");

    // The old ones are worth nothing any more.
    let outsider = Client {
        cert: former.cert,
        key: former.key,
        ..latter
    };
    // Others are turned away too, now and then: by their own hanging up.
    let reasons: Vec<String> = (0..5)
        .map(|_| block_in_place(|| site.etcd.cluster.refusal(&outsider)))
        .collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("unknown authority")),
        "{reasons:?}"
    );
    load.end(&site.world).await;
    site.world.running.stop().await;
}

/// Puts a pair in place, which the server then uses.
async fn renew(site: &Site, load: &Load, pair: &Leaf) {
    connects_anew(site, load, || {
        place(How::Rename, &site.live.file(CERTIFICATE), pair.certificate.to_pem());
        place(How::Rename, &site.live.file(KEY), &pair.key);
    })
    .await;
}

/// Does something by which the server has to connect anew, while all goes on.
async fn connects_anew(site: &Site, load: &Load, change: impl FnOnce()) {
    let before = site.proxy.accepted();
    change();
    until("the server connects anew", async || site.proxy.accepted() > before).await;
    load.goes_on().await;
}

/// Files of credentials, as etcdctl takes them.
fn stored(site: &Site, ca: &Ca, pair: &Leaf) -> (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>) {
    let file = |name: &str, content: &str| {
        let path = site.world.cluster.folder.path().join(name);
        fs::write(&path, content).unwrap();
        Some(path)
    };
    (
        file("latter-ca.crt", &ca.pem()),
        file("latter.crt", &pair.certificate.to_pem()),
        file("latter.key", &pair.key),
    )
}
