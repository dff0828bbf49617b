//! `kubetrust whoami`: whom a credential names, by itself or as a server sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use http::Method;
use jiff::Timestamp;
use kubetrust_auth::authn::x509::{Pool, Revocations, Verifier};
use kubetrust_auth::user::User;
use kubetrust_pki::catalog;
use kubetrust_pki::certificate::Certificate;
use kubetrust_pki::cluster::Loaded;
use kubetrust_pki::spec::Authority;
use rustls_pki_types::CertificateDer;
use serde_json::json;

use super::policy::carried_out;
use super::{serve, whom};
use crate::cli::Format;
use crate::client::Connection;
use crate::client::access::{self, Access};
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

/// Where a server is asked who one is.
pub const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// `whoami`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("credential").required(true).args(["kubeconfig", "certificate"]))]
pub struct WhoamiArgs {
    /// Ask the server of this kubeconfig, with its credential.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Ask this server instead; it is verified by the kubeconfig's CA.
    #[arg(long, value_name = "URL", requires = "kubeconfig")]
    pub server: Option<String>,
    /// Read this certificate, and ask nobody: PEM, or a kubeconfig that has one.
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Verify the certificate as the API servers of this cluster's directory would.
    #[arg(short, long, value_name = "DIR", requires = "certificate")]
    pub dir: Option<PathBuf>,
    /// How to print the user.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

pub fn run(args: &WhoamiArgs, now: Timestamp, ui: &Ui) -> Result<Exit, Failure> {
    let user = match (&args.kubeconfig, &args.certificate) {
        (Some(path), _) => asked(path, args.server.as_deref())?,
        (None, Some(path)) => {
            let certificate = access::certificate(path)?;
            if let Some(dir) = &args.dir
                && let Err(why) = verify(dir, &certificate, now)?
            {
                ui.error(&format!(
                    "{}: an API server of this cluster refuses it: {why}",
                    path.display()
                ));
                return Ok(Exit::Findings);
            }
            whom::of_certificate(&certificate).ok_or_else(|| {
                Failure::Usage(format!(
                    "{}: the certificate has no CN, so it names no user",
                    path.display()
                ))
            })?
        }
        (None, None) => return Err(Failure::Usage("give --kubeconfig or --certificate".into())),
    };
    match args.output {
        Format::Json => ui.print_json(&whom::to_info(&user))?,
        Format::Table => ui.print_table(["ATTRIBUTE", "VALUE"], whom::lines(&user))?,
    }
    Ok(Exit::Done)
}

/// Asks a server. What it refuses is a failure, in its words.
fn asked(kubeconfig: &Path, server: Option<&str>) -> Result<User, Failure> {
    let mut access = Access::read(kubeconfig)?;
    if let Some(url) = server {
        access.endpoint = access.endpoint.moved(url)?;
    }
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = serve::runtime()?.block_on(async {
        let mut connection = Connection::open(&access.endpoint, &access.credential).await?;
        connection.send(Method::POST, SELF, Some(&review)).await
    })?;
    Ok(whom::from_info(&carried_out(&answer)?["status"]["userInfo"]))
}

/// Whether the CA of a cluster's clients vouches for a certificate; if not, why.
fn verify(dir: &Path, certificate: &Certificate, now: Timestamp) -> Result<Result<(), String>, Failure> {
    let loaded = Loaded::read(dir, now)?;
    let acting = catalog::acting(&loaded.cluster, Authority::Kubernetes);
    let authority = loaded
        .authorities
        .cas
        .get(&acting)
        .and_then(|ca| ca.certificate.as_ref());
    let authority = authority.ok_or_else(|| {
        Failure::Usage(format!(
            "{}: there is no CA of clients yet; run: kubetrust apply -d {0}",
            dir.display()
        ))
    })?;
    let pool = Pool::from_pem("the cluster's CA", authority.to_pem().as_bytes())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let verifier = Verifier::new(pool, Arc::new(Revocations::default()));
    let chain = [CertificateDer::from(certificate.der.clone())];
    Ok(verifier
        .verify(&chain, now)
        .map(drop)
        .map_err(|untrusted| untrusted.to_string()))
}
