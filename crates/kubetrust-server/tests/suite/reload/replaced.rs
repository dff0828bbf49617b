//! Good files in the place of good ones.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::spec::KeyAlgorithm;
use kubetrust_server::start::{Running, start};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::files::{Ca, How, Live, SNI, encryption, in_force, place};
use super::load::{ADMIN, ALICE, Load, PROXY, ROBOT, STATIC};
use crate::support::{Client, Cluster, Credential, Engine};

on_both!(
    what_is_renamed_over_a_file_is_in_force_and_drops_nobody,
    a_file_rewritten_in_place_is_in_force_and_drops_nobody,
);

async fn what_is_renamed_over_a_file_is_in_force_and_drops_nobody(engine: Engine) {
    Replacing::start(engine, How::Rename).await.everything().await;
}

async fn a_file_rewritten_in_place_is_in_force_and_drops_nobody(engine: Engine) {
    Replacing::start(engine, How::InPlace).await.everything().await;
}

struct Replacing {
    how: How,
    cluster: Cluster,
    live: Live,
    running: Running,
    load: Load,
    admin: Client,
    static_token: String,
    robot_token: String,
}

/// What everyone at work needs: config maps, an account, and the right to change what they change.
pub async fn furnish(admin: &Client) -> String {
    for number in 0..8 {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("load-{number}")}});
        assert_eq!(
            admin.post("/api/v1/namespaces/default/configmaps", &map).await.code,
            201
        );
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    assert_eq!(
        admin
            .post("/api/v1/namespaces/default/serviceaccounts", &account)
            .await
            .code,
        201
    );
    let user = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "load"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [user("alice"), user("system:bootstrapper"), user("another"),
            {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]});
    assert_eq!(
        admin
            .post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)
            .await
            .code,
        201
    );
    robot_token(admin).await
}

async fn robot_token(admin: &Client) -> String {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let issued = admin
        .post("/api/v1/namespaces/default/serviceaccounts/robot/token", &request)
        .await;
    assert_eq!(issued.code, 201, "{}", issued.message());
    issued.json()["status"]["token"].as_str().unwrap().to_owned()
}

impl Replacing {
    async fn start(engine: Engine, how: How) -> Self {
        let cluster = Cluster::issue(engine);
        let (live, options) = Live::of(&cluster);
        let running = start(options).await.unwrap();
        let admin = cluster.client(running.address, cluster.kubeconfig("admin"));
        let robot_token = furnish(&admin).await;
        let csv = fs::read_to_string(cluster.file("token.csv")).unwrap();
        let static_token = csv.split(',').next().unwrap().to_owned();
        let credentials = [
            cluster.kubeconfig("admin"),
            Credential::token(&static_token),
            Credential::token(&robot_token),
            cluster.pair("front-proxy-client"),
        ];
        let load = Load::start(running.address, cluster.file("pki/ca.crt"), credentials);
        load.goes_on().await;
        Self {
            how,
            cluster,
            live,
            running,
            load,
            admin,
            static_token,
            robot_token,
        }
    }

    async fn everything(mut self) {
        self.serving_pairs().await;
        let ca = self.client_authority().await;
        self.proxy_authority().await;
        self.static_tokens().await;
        self.account_keys().await;
        self.revocations(&ca).await;
        self.encryption().await;
        self.load.goes_on().await;
        let answered = self.load.stop().await;
        assert!(answered > 100, "{answered}");
        self.running.stop().await;
    }

    fn place(&self, name: &str, content: impl AsRef<[u8]>) {
        place(self.how, &self.live.file(name), content);
    }

    fn client(&self, credential: Credential) -> Client {
        self.cluster.client(self.running.address, credential)
    }

    /// Who someone is over a connection that begins now.
    async fn fresh(&self, credential: &Credential, headers: &[(&str, &str)]) -> Result<String, u16> {
        self.client(credential.clone())
            .whoami(headers)
            .await
            .map(|(user, _)| user)
    }

    async fn serving_pairs(&self) {
        let ca = Ca::of(&self.cluster, "kubernetes-ca");
        let roots = self.cluster.file("pki/ca.crt");
        for (name, asked) in [("serving", None), ("sni", Some(SNI))] {
            let before = shown(self.running.address, &roots, asked).await;
            let leaf = ca.server(self.running.address.ip());
            self.place(&format!("{name}.crt"), leaf.certificate.to_pem());
            // Between the two the pair does not match, and the old one stays.
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            assert_eq!(shown(self.running.address, &roots, asked).await, before, "{name}");
            self.place(&format!("{name}.key"), &leaf.key);
            let want = CertificateDer::from_pem_slice(leaf.certificate.to_pem().as_bytes())
                .unwrap()
                .to_vec();
            in_force(name, async || shown(self.running.address, &roots, asked).await == want).await;
            self.load.goes_on().await;
        }
        let default = shown(self.running.address, &roots, None).await;
        assert_ne!(
            default,
            shown(self.running.address, &roots, Some(SNI)).await,
            "SNI chooses"
        );
    }

    /// Old, old and new, new. The CA that is left.
    async fn client_authority(&mut self) -> Ca {
        let old = self.cluster.kubeconfig("admin");
        let open = self.client(old.clone());
        assert!(open.whoami(&[]).await.is_ok());
        let ca = Ca::new("another-ca");
        let new = ca.client("kubernetes-admin", &["system:masters"]).credential();
        assert_eq!(self.fresh(&new, &[]).await, Err(401));
        let bundle = format!(
            "{}{}",
            fs::read_to_string(self.cluster.file("pki/ca.crt")).unwrap(),
            ca.pem()
        );
        self.place("client-ca.crt", &bundle);
        in_force("old and new client CA", async || self.fresh(&new, &[]).await.is_ok()).await;
        assert!(open.whoami(&[]).await.is_ok());
        assert!(self.fresh(&old, &[]).await.is_ok());
        self.load.switch(ADMIN, new.clone()).await;
        self.admin = self.client(new.clone());
        self.place("client-ca.crt", ca.pem());
        in_force("only the new client CA", async || {
            self.fresh(&old, &[]).await == Err(401)
        })
        .await;
        assert_eq!(
            open.whoami(&[]).await,
            Err(401),
            "an open connection goes on with a CA that is gone"
        );
        assert!(self.fresh(&new, &[]).await.is_ok());
        // Extension servers are told.
        let map = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
        let published = async || self.admin.get(map).await.json()["data"]["client-ca-file"] == ca.pem();
        in_force("what extension servers believe", published).await;
        self.load.goes_on().await;
        ca
    }

    async fn proxy_authority(&self) {
        let old = self.cluster.pair("front-proxy-client");
        let open = self.client(old.clone());
        assert!(open.whoami(&ALICE).await.is_ok());
        let ca = Ca::new("another-proxy-ca");
        let new = ca.client("front-proxy-client", &[]).credential();
        assert_eq!(self.fresh(&new, &ALICE).await, Err(401));
        let bundle = format!(
            "{}{}",
            fs::read_to_string(self.cluster.file("pki/front-proxy-ca.crt")).unwrap(),
            ca.pem()
        );
        self.place("proxy-ca.crt", &bundle);
        in_force("old and new request-header CA", async || {
            self.fresh(&new, &ALICE).await == Ok("alice".to_owned())
        })
        .await;
        assert!(self.fresh(&old, &ALICE).await.is_ok());
        self.load.switch(PROXY, new.clone()).await;
        self.place("proxy-ca.crt", ca.pem());
        in_force("only the new request-header CA", async || {
            self.fresh(&old, &ALICE).await == Err(401)
        })
        .await;
        assert_eq!(open.whoami(&ALICE).await, Err(401));
        self.load.goes_on().await;
    }

    async fn static_tokens(&self) {
        let (old, new) = (
            Credential::token(&self.static_token),
            Credential::token("another-token"),
        );
        let csv = fs::read_to_string(self.cluster.file("token.csv")).unwrap();
        let line = "another-token,another,2,\"system:bootstrappers\"\n";
        self.place("token.csv", format!("{}\n{line}", csv.trim_end()));
        in_force("another token", async || {
            self.fresh(&new, &[]).await == Ok("another".to_owned())
        })
        .await;
        assert!(self.fresh(&old, &[]).await.is_ok());
        self.load.switch(STATIC, new).await;
        let open = self.client(old.clone());
        assert!(open.whoami(&[]).await.is_ok());
        self.place("token.csv", line);
        in_force("no old token", async || self.fresh(&old, &[]).await == Err(401)).await;
        assert_eq!(open.whoami(&[]).await, Err(401));
        self.load.goes_on().await;
    }

    /// A second key that verifies, then signs, then is the only one.
    async fn account_keys(&self) {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let both = format!(
            "{}{}",
            fs::read_to_string(self.cluster.file("pki/sa.pub")).unwrap(),
            key.public().to_pem()
        );
        self.place("sa.pub", both);
        let keys = async || {
            self.admin.get("/openid/v1/jwks").await.json()["keys"]
                .as_array()
                .unwrap()
                .len()
        };
        in_force("a second key verifies", async || keys().await == 2).await;
        self.place("sa.key", key.to_pem().unwrap().as_bytes());
        let header = |token: &str| token.split('.').next().unwrap().to_owned();
        in_force("the second key signs", async || {
            header(&robot_token(&self.admin).await) != header(&self.robot_token)
        })
        .await;
        let old = Credential::token(&self.robot_token);
        assert!(self.fresh(&old, &[]).await.is_ok());
        let new = Credential::token(&robot_token(&self.admin).await);
        self.load.switch(ROBOT, new.clone()).await;
        self.place("sa.pub", key.public().to_pem());
        in_force("the first key is gone", async || {
            self.fresh(&old, &[]).await == Err(401)
        })
        .await;
        in_force("the first key is not shown", async || keys().await == 1).await;
        assert!(self.fresh(&new, &[]).await.is_ok());
        self.load.goes_on().await;
    }

    /// A certificate that is revoked is refused at the next request of a connection that is open already.
    async fn revocations(&self, ca: &Ca) {
        let other = self.client(ca.client("other", &[]).credential());
        for by in ["crl.pem", "revoked.txt"] {
            let leaf = ca.client("victim", &[]);
            let open = Arc::new(self.client(leaf.credential()));
            assert!(open.whoami(&[]).await.is_ok());
            let serial = leaf.certificate.serial_hex().replace(':', "");
            let before = fs::read(self.live.file(by)).unwrap();
            if by == "crl.pem" {
                self.place(by, ca.crl(self.cluster.folder.path(), &[&serial]));
            } else {
                self.place(by, format!("# stolen\n{serial}\n"));
            }
            in_force(by, async || open.whoami(&[]).await == Err(401)).await;
            assert_eq!(self.fresh(&leaf.credential(), &[]).await, Err(401), "{by}");
            assert!(other.whoami(&[]).await.is_ok(), "{by}");
            self.place(by, before);
            in_force("it is taken back", async || open.whoami(&[]).await.is_ok()).await;
            self.load.goes_on().await;
        }
    }

    async fn encryption(&self) {
        let stored = async |name: &str| {
            let key = format!("{}/secrets/default/{name}", self.cluster.options.prefix);
            let (found, _) = self.running.registry.store().get(key.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&found.unwrap().value)
                .chars()
                .take(32)
                .collect::<String>()
        };
        let secrets = "/api/v1/namespaces/default/secrets";
        let write = async |name: &str| {
            let secret =
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"key": "c2VjcmV0"}});
            assert_eq!(self.admin.post(secrets, &secret).await.code, 201);
        };
        write("first").await;
        assert!(stored("first").await.starts_with("k8s:enc:aesgcm:v1:first:"));
        self.place("encryption.yaml", encryption(&["second", "first"]));
        let number = std::sync::atomic::AtomicU32::new(0);
        in_force("the second encryption key", async || {
            let name = format!("s{}", number.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            write(&name).await;
            stored(&name).await.starts_with("k8s:enc:aesgcm:v1:second:")
        })
        .await;
        // What the first has written is read, and rewritten by the second.
        let path = format!("{secrets}/first");
        assert_eq!(self.admin.get(&path).await.json()["data"]["key"], "c2VjcmV0");
        let touch = json!({"metadata": {"labels": {"touched": "1"}}});
        let patched = self
            .admin
            .request(
                Method::PATCH,
                &path,
                &[("content-type", "application/merge-patch+json")],
                Some(&touch),
            )
            .await;
        assert_eq!(
            (patched.code, &patched.json()["data"]["key"]),
            (200, &Value::from("c2VjcmV0"))
        );
        assert!(stored("first").await.starts_with("k8s:enc:aesgcm:v1:second:"));
        self.load.goes_on().await;
    }
}

/// The certificate that is shown to who asks for this name.
async fn shown(address: SocketAddr, roots: &std::path::Path, name: Option<&str>) -> Vec<u8> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).unwrap() {
        store.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = builder.with_root_certificates(store).with_no_client_auth();
    let name = match name {
        Some(name) => ServerName::try_from(name.to_owned()).unwrap(),
        None => ServerName::IpAddress(address.ip().into()),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}
