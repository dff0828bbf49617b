//! A backup of the embedded store, while it is served. Kubernetes has none: with etcd, etcd's own snapshot is it.

use std::path::PathBuf;
use std::sync::Arc;

use kubetrust_api::status::Status;
use kubetrust_store::embedded::Embedded;
use serde_json::json;
use tracing::error;

use crate::ApiServer;
use crate::http::accept::Encoding;
use crate::http::respond::{self, Reply};
use crate::registry::write::new_uid;

/// Who may POST here may have a copy of everything made; nobody may by default but `system:masters`.
pub const PATH: &str = "/kubetrust/store/backup";
/// The folder beside the store's files, and what its files are called by.
const FOLDER: &str = "backup";

/// The embedded store of a server, and where it lies.
#[derive(Clone)]
pub struct Live {
    /// The engine.
    pub store: Arc<Embedded>,
    /// Its folder.
    pub folder: PathBuf,
}

/// Writes a backup into a file of the store's folder, and answers which.
pub async fn take(server: &ApiServer) -> Result<Reply, Status> {
    let Some(live) = server.embedded.clone() else {
        return Err(Status::bad_request(
            "this server keeps its objects in etcd: take a snapshot of etcd",
        ));
    };
    let folder = live.folder.join(FOLDER);
    let name = format!("{}.backup", new_uid()?);
    let written = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let file = folder.join(name);
        let summary = live.store.backup(&file, |_| {}).map_err(|error| error.to_string())?;
        Ok::<_, String>((file, summary))
    });
    let failed = |reason: String| {
        error!(%reason, "the backup failed");
        Status::internal("the backup failed; the server's log says why")
    };
    let (file, summary) = written
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(failed)?;
    let answer = json!({"file": file, "revision": summary.revision, "keys": summary.keys});
    Ok(respond::value(201, &answer, Encoding::Json))
}
