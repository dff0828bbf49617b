//! Tells the API server what `manifests/` and `authority/` say: the bindings of the cluster's identities, and the
//! bootstrap token.

use std::path::Path;

use jiff::Timestamp;
use kubetrust_server::bootstrap::ensure;
use kubetrust_server::registry::Registry;
use serde_json::Value;

use crate::exit::Failure;

/// Where the manifests are, in the cluster's directory.
const MANIFESTS: [&str; 2] = ["manifests", "authority"];

/// Creates what is not there yet of every manifest.
pub async fn run(registry: &Registry, root: &Path, now: Timestamp) -> Result<(), Failure> {
    let mut objects: Vec<Value> = Vec::new();
    for folder in MANIFESTS.map(|folder| root.join(folder)) {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        {
            let io = |error| Failure::Io {
                what: path.display().to_string(),
                error,
            };
            let text = std::fs::read_to_string(&path).map_err(io)?;
            let documents = serde_saphyr::from_multiple::<Value>(&text)
                .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
            objects.extend(documents.into_iter().filter(Value::is_object));
        }
    }
    Ok(ensure(registry, objects, now).await?)
}
