//! The content of every file that is not itself made: copies of CAs, kubeconfigs, bundles of keys.

use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use crate::catalog::{self, HostFile, KubeconfigUser, Part, Server, What};
use crate::certificate::Certificate;
use crate::key::PrivateKey;
use crate::kubeconfig::{Credential, KeySource, Kubeconfig, Source};
use crate::plan::{AuthorityPlan, Situation};
use crate::spec::{Authority, Credentials, Host, HostOrIp};

/// A certificate with its chain, and its key.
#[derive(Debug)]
pub struct Leaf {
    /// The certificate, then the certificates above it that are no roots.
    pub certificates: Vec<Certificate>,
    /// Its key.
    pub key: PrivateKey,
}

impl Leaf {
    fn certificate_pem(&self) -> String {
        self.certificates.iter().map(Certificate::to_pem).collect()
    }

    fn key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem().unwrap_or_default()
    }
}

/// What a file must contain.
pub enum Content {
    /// Exactly this.
    Bytes(Zeroizing<Vec<u8>>),
    /// Something that is made by this same plan, named here.
    Pending(&'static str),
    /// The file must not be there: what it would hold is kept offline.
    None,
}

impl Content {
    fn text(text: String) -> Self {
        Self::Bytes(Zeroizing::new(text.into_bytes()))
    }

    fn secret(text: &Zeroizing<String>) -> Self {
        Self::Bytes(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

/// Renders the files of one host.
pub struct Renderer<'a> {
    /// The spec and the authorities.
    pub situation: Situation<'a>,
    /// The host.
    pub host: &'a Host,
}

impl Renderer<'_> {
    /// What `file` must contain, given the certificate of its row if that one stays.
    #[must_use]
    pub fn render(&self, file: &HostFile, leaf: Option<&Leaf>, authority: &AuthorityPlan) -> Content {
        let Some(row) = catalog::row(file.row) else {
            return Content::None;
        };
        match &row.what {
            What::Authority { authority: of, .. } => self.authority(*of, file.part, authority),
            What::Leaf { .. } => self.leaf(file, leaf, authority),
            What::KubeletAuthority => Content::None,
            What::ServiceAccountKey => self.service_account(file.part, authority),
            What::BootstrapToken => self.token(file, authority),
        }
    }

    fn authority(&self, of: Authority, part: Part, plan: &AuthorityPlan) -> Content {
        if plan.create.contains(&catalog::acting(self.situation.cluster, of)) {
            return Content::Pending("its CA");
        }
        let Some(files) = self.situation.acting(of) else {
            return Content::Pending("its CA");
        };
        match part {
            Part::Certificate => files
                .certificate
                .as_ref()
                .map_or(Content::None, |certificate| Content::text(certificate.to_pem())),
            Part::Key => files
                .key
                .as_ref()
                .and_then(|key| key.to_pem().ok())
                .map_or(Content::None, |pem| Content::secret(&pem)),
            Part::Serial => match (&files.key, &files.serial) {
                (Some(_), Some(serial)) => Content::text(format!("{serial}\n")),
                _ => Content::None,
            },
            _ => Content::None,
        }
    }

    /// Whether `file` is a kubeconfig that names the files of its certificate, and stays as it is when they change.
    #[must_use]
    pub fn names_its_pair(&self, file: &HostFile) -> bool {
        matches!(file.part, Part::Kubeconfig(user) if self.named_pair(file, user).is_some())
    }

    fn leaf(&self, file: &HostFile, leaf: Option<&Leaf>, authority: &AuthorityPlan) -> Content {
        let pair = match file.part {
            Part::Kubeconfig(user) => self.named_pair(file, user).map(|pair| (user, pair)),
            _ => None,
        };
        if let Some((user, pair)) = pair {
            return self.kubeconfig(file, user, authority, || pair);
        }
        let Some(leaf) = leaf else {
            return Content::Pending("its certificate");
        };
        match file.part {
            Part::Certificate => Content::text(leaf.certificate_pem()),
            Part::Key => Content::secret(&leaf.key_pem()),
            Part::Kubeconfig(user) => self.kubeconfig(file, user, authority, || Credential::Certificate {
                certificate: Source::Data(leaf.certificate_pem()),
                key: KeySource::Data(leaf.key_pem()),
            }),
            _ => Content::None,
        }
    }

    /// The files that the kubeconfig `file` names; `None`: it embeds its certificate and key.
    fn named_pair(&self, file: &HostFile, user: KubeconfigUser) -> Option<Credential> {
        let cluster = self.situation.cluster;
        if catalog::credentials(cluster, user) == Credentials::Embedded {
            return None;
        }
        let files = catalog::host_files(cluster, self.host);
        let of = |part: Part| files.iter().find(|other| other.row == file.row && other.part == part);
        let (certificate, key) = (of(Part::Certificate)?, of(Part::Key)?);
        Some(Credential::Certificate {
            certificate: Source::File(self.reference(file, certificate)),
            key: KeySource::File(self.reference(file, key)),
        })
    }

    fn kubeconfig(
        &self,
        file: &HostFile,
        user: KubeconfigUser,
        authority: &AuthorityPlan,
        credential: impl FnOnce() -> Credential,
    ) -> Content {
        let cluster = self.situation.cluster;
        let Content::Bytes(ca) = self.authority(Authority::Kubernetes, Part::Certificate, authority) else {
            return Content::Pending("its CA");
        };
        let ca_file = catalog::host_files(cluster, self.host)
            .into_iter()
            .find(|other| other.row == "kubernetes-ca" && other.part == Part::Certificate);
        let server = match user.server {
            Server::Endpoint => cluster.endpoint.host.url(cluster.endpoint.port),
            Server::Local => HostOrIp::Ip(self.host.address()).url(cluster.api_server_port),
        };
        let certificate_authority = match (self.names_ca(user), ca_file) {
            (true, Some(ca_file)) => Source::File(self.reference(file, &ca_file)),
            _ => Source::Data(String::from_utf8_lossy(&ca).into_owned()),
        };
        let kubeconfig = Kubeconfig {
            cluster: cluster.name.clone(),
            server,
            certificate_authority,
            user: user.name.to_owned(),
            credential: credential(),
        };
        kubeconfig
            .to_yaml()
            .map_or(Content::None, |text| Content::secret(&text))
    }

    /// Files are read again when they change. kubeadm, which takes its own kubeconfigs for embedded ones, gets them
    /// embedded, except the kubelet's.
    fn names_ca(&self, user: KubeconfigUser) -> bool {
        match catalog::credentials(self.situation.cluster, user) {
            Credentials::Files => true,
            Credentials::Embedded => false,
            Credentials::Layout => {
                self.situation.cluster.layout == crate::spec::Layout::Document || user.server == Server::Endpoint
            }
        }
    }

    /// How the kubeconfig `from` names `to`: relative to its own folder within one tree, so that it holds wherever
    /// that tree lies; by the path on the host where they lie in two.
    fn reference(&self, from: &HostFile, to: &HostFile) -> String {
        let (from, to) = (from.path.as_path(), to.path.as_path());
        if from.components().next() == to.components().next() {
            let folder = from.parent().unwrap_or(Path::new(""));
            relative(folder, to).display().to_string()
        } else {
            self.situation.cluster.paths.of(to).display().to_string()
        }
    }

    fn service_account(&self, part: Part, plan: &AuthorityPlan) -> Content {
        let authorities = self.situation.authorities;
        let Some(key) = authorities
            .service_account_key
            .as_ref()
            .filter(|_| plan.service_account.is_none())
        else {
            return Content::Pending("the service accounts' key");
        };
        match part {
            Part::Key => key.to_pem().map_or(Content::None, |pem| Content::secret(&pem)),
            Part::PublicKeys => Content::text(public_keys(key, &authorities.service_account_public_keys)),
            _ => Content::None,
        }
    }

    fn token(&self, file: &HostFile, plan: &AuthorityPlan) -> Content {
        let authorities = self.situation.authorities;
        let Some(token) = authorities
            .bootstrap_token
            .as_ref()
            .filter(|_| plan.bootstrap_token.is_none())
        else {
            return Content::Pending("the bootstrap token");
        };
        match file.part {
            Part::StaticTokens => Content::secret(&crate::token::static_tokens(
                authorities.static_tokens.as_ref().map_or("", |text| text.as_str()),
                token,
            )),
            Part::TokenKubeconfig(user) => self.kubeconfig(file, user, plan, || Credential::Token(token.value())),
            _ => Content::None,
        }
    }
}

/// `sa.pub`: the current key first, then every other that still verifies.
#[must_use]
pub fn public_keys(current: &PrivateKey, known: &[crate::key::PublicKey]) -> String {
    let mut text = current.public().to_pem();
    for key in known.iter().filter(|key| *key != current.public()) {
        text.push_str(&key.to_pem());
    }
    text
}

fn relative(folder: &Path, to: &Path) -> PathBuf {
    let common = folder
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}
