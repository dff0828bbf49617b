//! Every certificate and kubeconfig of a directory, as it is.

use std::path::Path;

use jiff::Timestamp;

use crate::catalog::{self, Part, Row, What};
use crate::certificate::Certificate;
use crate::inventory::{self, AUTHORITY, Authorities, HOSTS, HostFiles, Obstacle, authority_stem};
use crate::kubeconfig::{Credential, Kubeconfig};
use crate::plan::material;
use crate::spec::{Authority, Cluster, Host};

/// One line of the listing.
#[derive(Debug)]
pub struct Entry {
    /// The credential, by its row's name.
    pub name: String,
    /// On which host; `None`: in `authority/`.
    pub host: Option<String>,
    /// Its files, relative to the directory.
    pub files: Vec<String>,
    /// What is in them.
    pub content: Content,
    /// The CA that signs it, by its name in `authority/`.
    pub ca_name: Option<String>,
    /// That CA's key is not here.
    pub externally_managed: bool,
}

/// What an entry holds.
#[derive(Debug)]
pub enum Content {
    /// A CA.
    Authority(Certificate),
    /// A leaf, alone or in a kubeconfig.
    Leaf(Certificate),
    /// A kubeconfig with a token.
    Token {
        /// Its user.
        user: String,
        /// Until when it is taken, if it has an end.
        expires: Option<Timestamp>,
    },
    /// It must be there and is not, or can't be read.
    Absent(String),
}

/// Lists `authority/` and the hosts' folders, in the catalog's order.
pub fn list(
    root: &Path,
    cluster: &Cluster,
    authorities: &Authorities,
    only: Option<&Host>,
) -> Result<Vec<Entry>, Vec<Obstacle>> {
    let mut entries = Vec::new();
    if only.is_none() {
        entries.extend(authority_entries(cluster, authorities));
    }
    let paths = inventory::host_paths();
    for host in cluster
        .hosts
        .iter()
        .filter(|host| only.is_none_or(|only| only.name == host.name))
    {
        let found = inventory::host(root, host.name.as_str(), &paths)?;
        entries.extend(host_entries(cluster, authorities, host, &found));
    }
    Ok(entries)
}

fn authority_entries<'a>(cluster: &'a Cluster, authorities: &'a Authorities) -> impl Iterator<Item = Entry> + 'a {
    let cas = catalog::authorities(cluster.authorities.mode).iter().map(|authority| {
        let stem = authority_stem(*authority);
        let files = authorities.cas.get(authority);
        let certificate = files.and_then(|files| files.certificate.clone());
        let external = files.is_some_and(|files| files.certificate.is_some() && files.key.is_none());
        authority_entry(stem, stem, certificate, external, None, None)
    });
    let acting = authority_stem(catalog::acting(cluster, Authority::Kubernetes));
    let kubelet_cas = authorities.kubelet_cas.iter().map(move |(host, files)| {
        let stem = format!("kubelet-ca/{host}");
        let external = signs_nothing(cluster, authorities, Authority::Kubernetes);
        authority_entry(
            "kubelet-ca",
            &stem,
            files.certificate.clone(),
            external,
            Some(acting),
            Some(host),
        )
    });
    cas.chain(kubelet_cas)
}

fn authority_entry(
    name: &str,
    stem: &str,
    certificate: Option<Certificate>,
    externally_managed: bool,
    ca_name: Option<&str>,
    host: Option<&String>,
) -> Entry {
    Entry {
        name: name.to_owned(),
        host: host.cloned(),
        files: vec![format!("{AUTHORITY}/{stem}.crt")],
        content: certificate.map_or_else(|| Content::Absent("missing".to_owned()), Content::Authority),
        ca_name: ca_name.map(str::to_owned),
        externally_managed,
    }
}

fn signs_nothing(cluster: &Cluster, authorities: &Authorities, authority: Authority) -> bool {
    authorities
        .cas
        .get(&catalog::acting(cluster, authority))
        .is_some_and(|files| files.certificate.is_some() && files.key.is_none())
}

fn host_entries(cluster: &Cluster, authorities: &Authorities, host: &Host, found: &HostFiles) -> Vec<Entry> {
    let files = catalog::host_files(cluster, host);
    let mut entries = Vec::new();
    for row in catalog::ROWS {
        let held: Vec<_> = files.iter().filter(|file| file.row == row.name).collect();
        let shown = |wanted: fn(&Part) -> bool| {
            held.iter()
                .filter(|file| wanted(&file.part))
                .map(|file| format!("{HOSTS}/{}/{}", host.name, file.path))
                .collect::<Vec<_>>()
        };
        let content = match &row.what {
            What::Leaf { .. } if !held.is_empty() => match material(found, row.name, &files) {
                Ok((certificates, _)) => certificates
                    .into_iter()
                    .next()
                    .map_or_else(|| Content::Absent("missing".to_owned()), Content::Leaf),
                Err(reason) => Content::Absent(reason.to_string()),
            },
            What::BootstrapToken if held.iter().any(|file| matches!(file.part, Part::TokenKubeconfig(_))) => {
                token(authorities, found, &held)
            }
            _ => continue,
        };
        entries.push(Entry {
            name: row.name.to_owned(),
            host: Some(host.name.to_string()),
            files: shown(|part| !matches!(part, Part::StaticTokens)),
            content,
            ca_name: ca_name(cluster, row),
            externally_managed: catalog::signing_authority(cluster, row.name)
                .is_some_and(|authority| signs_nothing(cluster, authorities, authority)),
        });
    }
    entries
}

fn token(authorities: &Authorities, found: &HostFiles, held: &[&catalog::HostFile]) -> Content {
    let text = held
        .iter()
        .find(|file| matches!(file.part, Part::TokenKubeconfig(_)))
        .and_then(|file| found.content(&file.path))
        .and_then(|text| std::str::from_utf8(text).ok());
    match text.map(Kubeconfig::from_yaml) {
        None => Content::Absent("missing".to_owned()),
        Some(Err(error)) => Content::Absent(error.to_string()),
        Some(Ok(kubeconfig)) => Content::Token {
            user: kubeconfig.user,
            // The end is the Secret's, and only of the token that the file really holds.
            expires: authorities
                .bootstrap_token
                .as_ref()
                .and_then(|token| match &kubeconfig.credential {
                    Credential::Token(value) if *value == token.value() => Some(token.expires()),
                    _ => None,
                }),
        },
    }
}

fn ca_name(cluster: &Cluster, row: &Row) -> Option<String> {
    let What::Leaf { .. } = row.what else {
        return None;
    };
    let authority = catalog::signing_authority(cluster, row.name);
    Some(authority.map_or("kubelet-ca", authority_stem).to_owned())
}
