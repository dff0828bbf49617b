//! Exit codes, chosen once: 0 done, 1 findings or failure, 2 usage or spec.

use std::process::ExitCode;

use kubetrust_api::status::Status;
use kubetrust_pki::apply::ApplyError;
use kubetrust_pki::bundle::BundleError;
use kubetrust_pki::cluster::LoadError;
use kubetrust_pki::plan::Finding;
use kubetrust_pki::spec::SpecErrors;
use kubetrust_pki::write::WriteError;
use kubetrust_server::start::StartError;

use crate::client::ClientError;
use crate::client::access::AccessError;
use crate::ui::Ui;
use crate::verbs::store::StoreFailure;

/// How a verb ended that did what it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything is as it must be.
    Done,
    /// Something remains that the verb has said.
    Findings,
}

impl Exit {
    /// How a verb ends that leaves these findings.
    pub fn of(findings: &[Finding]) -> Self {
        if findings.iter().any(|finding| finding.unfinished) {
            Self::Findings
        } else {
            Self::Done
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Findings => Self::from(1),
        }
    }
}

/// Why a verb did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The directory can't be planned.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plan could not be carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The directory can't be locked or written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There is no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A store can't be worked on.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// The server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The API server refused what it was to be told.
    #[error("the API server refuses a manifest: {0}")]
    Refused(#[from] Status),
    /// A kubeconfig or certificate that the user named.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A server that can't be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A server that was asked, and refuses.
    #[error("the server answers {code}: {message}")]
    Answered {
        /// HTTP status code.
        code: u16,
        /// The message of its Status.
        message: String,
    },
    /// The question makes no sense for this cluster.
    #[error("{0}")]
    Usage(String),
    /// Standard output, or a file that the user named.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// The kernel's answer.
        error: std::io::Error,
    },
}

impl From<SpecErrors> for Failure {
    fn from(errors: SpecErrors) -> Self {
        Self::Load(LoadError::Spec(errors))
    }
}

impl Failure {
    /// Says what went wrong, and gives the code for it.
    pub fn report(self, ui: &Ui) -> ExitCode {
        // The reader of a pipe went away: it has what it wanted.
        if let Self::Io { error, .. } | Self::Bundle(BundleError::Write(error)) = &self
            && error.kind() == std::io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        ui.error(&self.to_string());
        ExitCode::from(match self {
            Self::Load(LoadError::Spec(_) | LoadError::Brought(_) | LoadError::NoSpec(_))
            | Self::Access(_)
            | Self::Usage(_) => 2,
            _ => 1,
        })
    }
}

/// Help and version are answers, everything else that clap says is a usage error.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
