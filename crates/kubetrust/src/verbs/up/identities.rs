//! Every identity of a cluster that its API server is to let in: the credential as it lies on disk, and the user that
//! it is of by its own word.

use std::fs;
use std::path::{Path, PathBuf};

use kubetrust_auth::authn::TokenFile;
use kubetrust_auth::user::User;
use kubetrust_pki::catalog::{self, BOOTSTRAP_GROUP, HostFile, Part, What};
use kubetrust_pki::certificate::{CLIENT_AUTH, Certificate};
use kubetrust_pki::inventory::{Authorities, CREDENTIAL_LIMIT, HOSTS, read_given};
use kubetrust_pki::spec::{Authority, Cluster, Host, HostOrIp};
use kubetrust_server::start::Running;
use zeroize::Zeroizing;

use super::accounts::Account;
use super::refused::Refused;
use crate::client::access::{Access, Proof};
use crate::client::{ClientError, Credential, Endpoint};
use crate::exit::Failure;
use crate::verbs::whom;

/// Whom the front proxy speaks for in the matrix.
const BEHIND_PROXY: [(&str, &str); 2] = [("x-remote-user", "jane"), ("x-remote-group", "system:monitoring")];

/// The cluster, and the host whose API server runs.
pub struct Place {
    /// The cluster's directory.
    pub root: PathBuf,
    /// The host's folder.
    pub folder: PathBuf,
    /// The spec.
    pub cluster: Cluster,
    /// The host.
    pub host: Host,
    /// `authority/`.
    pub authorities: Authorities,
}

/// Someone who is to be let in.
#[derive(Clone)]
pub struct Identity {
    /// The file, or what stands for it.
    pub name: String,
    /// How the server is reached and verified.
    pub endpoint: Endpoint,
    /// What is shown to it.
    pub credential: Credential,
    /// The token in it, where it is one.
    pub token: Option<Zeroizing<String>>,
    /// Who that is.
    pub user: User,
}

/// All that is tried.
pub struct Everyone {
    /// Who is to be let in.
    pub identities: Vec<Identity>,
    /// The certificates of the cluster that are to be refused: for servers, or of another CA.
    pub strangers: Vec<Refused>,
    /// What could not be tried, and why.
    pub untried: Vec<String>,
}

impl Place {
    /// The kubeconfig of the admin.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        let files = catalog::host_files(&self.cluster, &self.host);
        let admin = files
            .iter()
            .find(|file| file.row == "admin" && matches!(file.part, Part::Kubeconfig(_)));
        admin.map_or_else(|| self.folder.clone(), |file| self.folder.join(&file.path))
    }

    /// The server that runs, verified by the cluster's CA as it lies on this host.
    pub fn endpoint(&self, running: &Running) -> Result<Endpoint, Failure> {
        let files = catalog::host_files(&self.cluster, &self.host);
        let authority = files
            .iter()
            .find(|file| file.row == "kubernetes-ca" && file.part == Part::Certificate);
        let path = authority.map_or_else(|| self.folder.clone(), |file| self.folder.join(&file.path));
        let pem = read_given(&path, CREDENTIAL_LIMIT).map_err(|error| Failure::Io {
            what: path.display().to_string(),
            error,
        })?;
        let url = HostOrIp::Ip(self.host.address()).url(self.cluster.api_server_port);
        Ok(Endpoint::new(&url, &pem)?.at(running.address))
    }

    /// Reads every credential of the cluster that this server is to know.
    pub fn everyone(&self, running: &Running) -> Result<Everyone, Failure> {
        let mut reader = Reader {
            place: self,
            running,
            endpoint: self.endpoint(running)?,
            tokens: self.static_tokens(),
            certificates: Vec::new(),
            everyone: Everyone {
                identities: Vec::new(),
                strangers: Vec::new(),
                untried: Vec::new(),
            },
        };
        let others = self.cluster.hosts.iter().filter(|host| host.name != self.host.name);
        for host in std::iter::once(&self.host).chain(others) {
            reader.kubeconfigs(host);
        }
        reader.pairs()?;
        reader.token_file()?;
        reader.bootstrap_token()?;
        Ok(reader.everyone)
    }

    /// `token.csv`, where this host has it: its text, and as the server reads it.
    fn static_tokens(&self) -> Option<(Zeroizing<String>, TokenFile)> {
        let files = catalog::host_files(&self.cluster, &self.host);
        let file = files.iter().find(|file| file.part == Part::StaticTokens)?;
        let text = Zeroizing::new(fs::read_to_string(self.folder.join(&file.path)).ok()?);
        let parsed = TokenFile::parse("token.csv", text.as_bytes()).ok()?;
        Some((text, parsed))
    }
}

/// Whoever has a service account's token.
pub fn of_account(account: &Account, endpoint: &Endpoint) -> Result<Identity, ClientError> {
    Ok(Identity {
        name: "service-account token".to_owned(),
        endpoint: endpoint.clone(),
        credential: Credential::token(&account.token)?,
        token: Some(account.token.clone()),
        user: account.user.clone(),
    })
}

/// Whoever has nothing.
pub fn anonymous(endpoint: &Endpoint) -> Identity {
    Identity {
        name: "nothing at all".to_owned(),
        endpoint: endpoint.clone(),
        credential: Credential::default(),
        token: None,
        user: User::anonymous(),
    }
}

struct Reader<'a> {
    place: &'a Place,
    running: &'a Running,
    endpoint: Endpoint,
    tokens: Option<(Zeroizing<String>, TokenFile)>,
    /// Those that were tried already, as DER: kubeconfigs may name the files of pairs.
    certificates: Vec<Vec<u8>>,
    everyone: Everyone,
}

impl Reader<'_> {
    fn admit(&mut self, name: String, endpoint: Endpoint, credential: Credential, user: User) {
        self.everyone.identities.push(Identity {
            name,
            endpoint,
            credential,
            token: None,
            user,
        });
    }

    fn admit_token(&mut self, name: String, token: &str, user: User) -> Result<(), Failure> {
        self.everyone.identities.push(Identity {
            name,
            endpoint: self.endpoint.clone(),
            credential: Credential::token(token)?,
            token: Some(Zeroizing::new(token.to_owned())),
            user,
        });
        Ok(())
    }

    fn pass_over(&mut self, name: &str, why: &dyn std::fmt::Display) {
        self.everyone.untried.push(format!("{name}: {why}"));
    }

    /// The kubeconfigs of a host that name this server.
    fn kubeconfigs(&mut self, host: &Host) {
        let folder = self.place.root.join(HOSTS).join(host.name.as_str());
        for file in catalog::host_files(&self.place.cluster, host) {
            if !matches!(file.part, Part::Kubeconfig(_) | Part::TokenKubeconfig(_)) {
                continue;
            }
            let path = folder.join(&file.path);
            let name = self.name(host, &file);
            let access = match Access::read_moved(&path, |named| self.moved(&folder, named)) {
                Ok(access) => access,
                Err(error) => {
                    self.pass_over(&name, &error);
                    continue;
                }
            };
            if !self.is_this_server(&access.endpoint) {
                continue;
            }
            let user = match &access.proof {
                Proof::Certificate(certificate) => {
                    self.certificates.push(certificate.der.clone());
                    whom::of_certificate(certificate)
                }
                Proof::Token(token) => self.user_of_token(token),
                Proof::Nothing => None,
            };
            match user {
                Some(user) => self.admit(name, access.endpoint.at(self.running.address), access.credential, user),
                None => self.pass_over(&name, &"its credential names nobody"),
            }
        }
    }

    /// Files that kubeconfigs name where they are installed lie in the host's folder.
    fn moved(&self, folder: &Path, named: PathBuf) -> PathBuf {
        let paths = &self.place.cluster.paths;
        let installed = [
            ("kubelet", &paths.kubelet),
            ("kubernetes", &paths.kubernetes),
            ("etcd", &paths.etcd),
        ];
        let below = |(here, there): (&str, &PathBuf)| Some(folder.join(here).join(named.strip_prefix(there).ok()?));
        installed.into_iter().find_map(below).unwrap_or(named)
    }

    fn is_this_server(&self, endpoint: &Endpoint) -> bool {
        let Place { cluster, host, .. } = self.place;
        let names = std::iter::once(&host.name).chain(&host.names).map(ToString::to_string);
        let addresses = host.addresses.iter().map(ToString::to_string);
        let is_host = addresses.chain(names).any(|name| name == endpoint.host());
        let is_front = cluster.endpoint.host.to_string() == endpoint.host() && cluster.endpoint.port == endpoint.port();
        is_front || (is_host && endpoint.port() == cluster.api_server_port)
    }

    /// The pairs of this host: clients of the API server, and all that could be mistaken for one.
    fn pairs(&mut self) -> Result<(), Failure> {
        let files = catalog::host_files(&self.place.cluster, &self.place.host);
        for file in files.iter().filter(|file| file.part == Part::Certificate) {
            let Some(row) = catalog::row(file.row) else { continue };
            if !matches!(row.what, What::Leaf { .. }) {
                continue;
            }
            let Some(key) = files
                .iter()
                .find(|other| other.row == file.row && other.part == Part::Key)
            else {
                continue;
            };
            let name = self.name(&self.place.host, file);
            let (certificate, key) = (self.place.folder.join(&file.path), self.place.folder.join(&key.path));
            let read = |path: &Path| read_given(path, CREDENTIAL_LIMIT).map(Zeroizing::new);
            let (pem, key) = match (read(&certificate), read(&key)) {
                (Ok(pem), Ok(key)) => (pem, key),
                (Err(error), _) | (_, Err(error)) => {
                    self.pass_over(&name, &error);
                    continue;
                }
            };
            let leaf = match Certificate::all_from_pem(&pem) {
                Ok(certificates) => certificates.into_iter().next(),
                Err(error) => {
                    self.pass_over(&name, &error);
                    continue;
                }
            };
            let Some(leaf) = leaf.filter(|leaf| !self.certificates.contains(&leaf.der)) else {
                continue;
            };
            self.pair(name, file.row, &leaf, Credential::certificate(&pem, &key)?);
        }
        Ok(())
    }

    fn pair(&mut self, name: String, row: &str, leaf: &Certificate, credential: Credential) {
        let cluster = &self.place.cluster;
        let signer = catalog::signing_authority(cluster, row);
        let of_clients = catalog::acting(cluster, Authority::Kubernetes);
        let is_client = leaf
            .extended_usages
            .as_ref()
            .is_none_or(|usages| usages.contains(&CLIENT_AUTH));
        if row == "front-proxy-client" {
            let proxy = BEHIND_PROXY
                .iter()
                .fold(credential.clone(), |credential, (name, value)| {
                    credential.with_header(name, value)
                });
            let [(_, user), (_, group)] = BEHIND_PROXY;
            let user = whom::proven(User {
                name: user.to_owned(),
                groups: vec![group.to_owned()],
                ..User::default()
            });
            self.admit(
                format!("front proxy for {}", user.name),
                self.endpoint.clone(),
                proxy,
                user,
            );
        }
        match (signer, whom::of_certificate(leaf)) {
            (Some(signer), Some(user)) if signer == of_clients && is_client => {
                self.admit(name, self.endpoint.clone(), credential, user);
            }
            (Some(signer), _) if signer != of_clients => {
                let what = format!("{name}.crt, of the CA {}", signer.as_str());
                self.everyone.strangers.push(Refused::unauthorized(what, credential));
            }
            _ if !is_client => {
                self.everyone.strangers.push(Refused::unauthorized(
                    format!("{name}.crt, which is for servers"),
                    credential,
                ));
            }
            _ => self.pass_over(&name, &"the certificate names nobody"),
        }
    }

    /// Every line of `token.csv`.
    fn token_file(&mut self) -> Result<(), Failure> {
        let Some((text, parsed)) = self.tokens.take() else {
            return Ok(());
        };
        for (index, line) in text.lines().enumerate() {
            let token = first_field(line);
            // A line that continues another one has no user.
            if let Some(user) = parsed.user(&token) {
                let name = format!("token.csv, line {}", index + 1);
                self.admit_token(name, &token, User::clone(user))?;
            }
        }
        self.tokens = Some((text, parsed));
        Ok(())
    }

    fn bootstrap_token(&mut self) -> Result<(), Failure> {
        let Some(token) = &self.place.authorities.bootstrap_token else {
            return Ok(());
        };
        let value = token.value();
        if let Some(user) = self.user_of_token(&value) {
            self.admit_token("bootstrap-token.yaml".to_owned(), &value, user)?;
        }
        Ok(())
    }

    /// Whose a token is: the static tokens are looked at first.
    fn user_of_token(&self, token: &str) -> Option<User> {
        if let Some(user) = self.tokens.as_ref().and_then(|(_, parsed)| parsed.user(token)) {
            return Some(User::clone(user));
        }
        let bootstrap = self.place.authorities.bootstrap_token.as_ref();
        let bootstrap = bootstrap.filter(|bootstrap| bootstrap.value().as_str() == token)?;
        Some(whom::proven(User {
            name: format!("system:bootstrap:{}", bootstrap.id()),
            groups: vec![BOOTSTRAP_GROUP.to_owned()],
            ..User::default()
        }))
    }

    /// The file's name (a pair's without its ending), with the host's where it is another.
    fn name(&self, host: &Host, file: &HostFile) -> String {
        let path = file.path.as_path();
        let name = match file.part {
            Part::Certificate => path.file_stem(),
            _ => path.file_name(),
        };
        let name = name.unwrap_or(path.as_os_str()).to_string_lossy();
        // etcd's are `server.crt` and `peer.crt`.
        let name = if path.components().any(|part| part.as_os_str() == "etcd") {
            format!("etcd/{name}")
        } else {
            name.into_owned()
        };
        if host.name == self.place.host.name {
            name
        } else {
            format!("{}: {name}", host.name)
        }
    }
}

/// The first field of a line of CSV.
fn first_field(line: &str) -> Zeroizing<String> {
    let Some(quoted) = line.strip_prefix('"') else {
        return Zeroizing::new(line.split(',').next().unwrap_or_default().to_owned());
    };
    let mut field = Zeroizing::new(String::new());
    let mut rest = quoted.chars().peekable();
    while let Some(next) = rest.next() {
        if next == '"' && rest.next_if_eq(&'"').is_none() {
            break;
        }
        field.push(next);
    }
    field
}
