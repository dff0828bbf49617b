//! `kubetrust bundle`: a tar of exactly what a host must hold.

use std::fs::{OpenOptions, Permissions};
use std::io::{IsTerminal as _, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use jiff::Timestamp;
use kubetrust_pki::bundle;
use kubetrust_pki::cluster::Loaded;
use zeroize::Zeroizing;

use crate::cli::BundleArgs;
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

pub fn run(args: &BundleArgs, now: Timestamp, _ui: &Ui) -> Result<Exit, Failure> {
    let root = &args.dir.dir;
    let _lock = super::read_lock(root)?;
    let loaded = Loaded::read(root, now)?;
    let host = super::host(&loaded.cluster, &args.host)?;
    // Whole in memory (a host's files are some 40 KiB), so that a refusal leaves no half tar behind.
    let mut tar = Zeroizing::new(Vec::with_capacity(1 << 20));
    bundle::write(root, &loaded.cluster, host, &loaded.authorities, &mut *tar)?;
    match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let io = |error| Failure::Io {
                what: path.display().to_string(),
                error,
            };
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .map_err(io)?;
            // A file that was there keeps its permissions; what is no file (/dev/null) is not ours to change.
            if file.metadata().map_err(io)?.is_file() {
                file.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
            }
            file.write_all(&tar).and_then(|()| file.sync_all()).map_err(io)?;
        }
        None if std::io::stdout().is_terminal() => {
            return Err(Failure::Usage(
                "a tar on a terminal helps nobody; use -o FILE, or pipe it".to_owned(),
            ));
        }
        None => std::io::stdout().lock().write_all(&tar).map_err(|error| Failure::Io {
            what: "standard output".to_owned(),
            error,
        })?,
    }
    Ok(Exit::Done)
}
