//! `kubetrust whoami`: whom a credential names, by itself or as a server sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use http::{Method, StatusCode};
use jiff::Timestamp;
use kubetrust_auth::authn::x509::{Pool, Revocations, Verifier};
use kubetrust_auth::user::User;
use kubetrust_pki::catalog;
use kubetrust_pki::certificate::Certificate;
use kubetrust_pki::cluster::Loaded;
use kubetrust_pki::spec::Authority;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use super::policy::{carried_out, refused};
use super::{explanation, serve, whom};
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
    /// Have the server explain why it refuses the credential, as the administrator of this kubeconfig: no server says it
    /// to whom it refuses. With --certificate, ask it about the certificate.
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    pub explained_by: Option<PathBuf>,
    /// How to print the user.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

pub fn run(args: &WhoamiArgs, now: Timestamp, ui: &Ui) -> Result<Exit, Failure> {
    let found = match (&args.kubeconfig, &args.certificate, &args.explained_by) {
        (Some(path), _, _) => asked(path, args, ui)?,
        (None, Some(path), Some(asking)) => {
            let pem: String = access::chain(path)?.iter().map(Certificate::to_pem).collect();
            let explained = explanation::of_another(asking, args.server.as_deref(), &pem, "");
            Found::explained(serve::runtime()?.block_on(explained)?)
        }
        (None, Some(path), None) => {
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
            let user = whom::of_certificate(&certificate).ok_or_else(|| {
                Failure::Usage(format!(
                    "{}: the certificate has no CN, so it names no user",
                    path.display()
                ))
            })?;
            Found {
                user: Some(user),
                explanation: None,
            }
        }
        (None, None, _) => return Err(Failure::Usage("give --kubeconfig or --certificate".into())),
    };
    found.print(args.output, ui)
}

/// Whom a credential names, and how that was found; nobody, where it is refused.
struct Found {
    user: Option<User>,
    explanation: Option<Value>,
}

impl Found {
    fn explained(explanation: Value) -> Self {
        let known = explanation["authenticated"] == true;
        Self {
            user: known.then(|| whom::from_info(&explanation["user"])),
            explanation: Some(explanation),
        }
    }

    fn print(self, format: Format, ui: &Ui) -> Result<Exit, Failure> {
        let explanation = self.explanation.unwrap_or_default();
        match format {
            Format::Json => {
                let mut said = self.user.as_ref().map_or_else(|| json!({}), whom::to_info);
                if !explanation.is_null() {
                    said["explanation"] = explanation.clone();
                }
                ui.print_json(&said)?;
            }
            Format::Table => {
                if let Some(user) = &self.user {
                    ui.print_table(["ATTRIBUTE", "VALUE"], whom::lines(user))?;
                }
                if !explanation.is_null() {
                    ui.print("\n")?;
                    let header = ["SCHEME", "OUTCOME", "USER OR REASON"];
                    ui.print_table(header, explanation::schemes(&explanation))?;
                }
                let certificate = explanation::certificate(&explanation);
                if !certificate.is_empty() {
                    ui.print("\n")?;
                    ui.print_table(["CERTIFICATE", ""], certificate)?;
                }
            }
        }
        if self.user.is_some() {
            return Ok(Exit::Done);
        }
        let why = explanation["refusal"].as_str().unwrap_or_default();
        ui.error(&format!("the server refuses this credential: {why}"));
        Ok(Exit::Findings)
    }
}

/// Asks a server with the credential of a kubeconfig. What it refuses is a failure, in its words, unless there is somebody
/// to ask why.
fn asked(kubeconfig: &Path, args: &WhoamiArgs, ui: &Ui) -> Result<Found, Failure> {
    let mut access = Access::read(kubeconfig)?;
    if let Some(url) = &args.server {
        access.endpoint = access.endpoint.moved(url)?;
    }
    serve::runtime()?.block_on(async {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let mut connection = Connection::open(&access.endpoint, &access.credential).await?;
        let answer = connection.send(Method::POST, SELF, Some(&review)).await?;
        if answer.code != StatusCode::UNAUTHORIZED.as_u16() {
            let user = whom::from_info(&carried_out(&answer)?["status"]["userInfo"]);
            let explanation = explanation::own(&mut connection).await?;
            return Ok(Found {
                user: Some(user),
                explanation,
            });
        }
        let Some(asking) = &args.explained_by else {
            ui.say("an administrator may ask the server why: add --explained-by ADMIN.conf");
            return Err(refused(&answer));
        };
        let (certificate, authorization) = access.credential.shown();
        let explained = explanation::of_another(asking, args.server.as_deref(), &certificate, &authorization);
        Ok(Found::explained(explained.await?))
    })
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
