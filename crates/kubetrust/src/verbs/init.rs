//! `kubetrust init`: makes a cluster's directory.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use jiff::Timestamp;
use kubetrust_pki::cluster::{Loaded, SPEC_FILE};
use kubetrust_pki::inventory::read_given;
use kubetrust_pki::spec::{self, Parsed};
use kubetrust_pki::write::{Directory, Mode, ReadLock, RealDisk, RelPath, WriteError};

use super::apply::Carried;
use crate::cli::InitArgs;
use crate::exit::{Exit, Failure};
use crate::ui::Ui;

/// The spec of someone who gives none.
const DEFAULT_SPEC: &str = "\
# A single host with every default, for trying things out: others can't reach 127.0.0.1, so give the host its address
# before anything runs on it. `kubetrust spec example` prints all fields; after a change, `kubetrust apply`.
apiVersion: kubetrust.dev/v1alpha1
kind: Cluster
";

pub fn run(args: &InitArgs, now: Timestamp, ui: &Ui) -> Result<Exit, Failure> {
    let exit = make(args, now, ui)?.report(args.output, ui)?;
    if args.output == crate::cli::Format::Table {
        ui.say(&format!(
            "The cluster is in {}: hosts/HOST is what each host must hold, authority/ must never travel, and\n\
             manifests/ is what the API server must be told. Next: kubetrust show -d {0}",
            args.dir.dir.display()
        ));
    }
    Ok(exit)
}

/// Makes it.
pub fn make(args: &InitArgs, now: Timestamp, ui: &Ui) -> Result<Carried, Failure> {
    let root = &args.dir.dir;
    let (name, text) = read_spec(args)?;
    let Parsed { cluster, warnings } = spec::parse(&name, &text)?;
    ui.warnings(&warnings);
    let given = args.spec.is_some().then_some(text.as_str());
    let reading = root.is_dir().then(|| ReadLock::open(root)).transpose()?;
    refuse_foreign(root, given)?;
    // Everything that can be wrong is looked at before the first byte is written.
    let spec_folder = args
        .spec
        .as_deref()
        .filter(|path| *path != Path::new("-"))
        .and_then(Path::parent)
        .map_or_else(|| root.clone(), Path::to_path_buf);
    // A directory that is ours already has the same spec, so the one that was given stands for both: its relative
    // paths hold also where a first run was killed.
    let look = |cluster| Loaded::with_spec(root, &spec_folder, cluster, Vec::new(), now);
    match look(cluster.clone()).and_then(|loaded| loaded.plan(root)) {
        // Another init makes the directory just now, and what there is of it says nothing.
        Err(_) if reading.is_none() && root.is_dir() => return Err(WriteError::Busy { root: root.clone() }.into()),
        looked => looked?,
    };
    let io = |what: String| move |error| Failure::Io { what, error };
    fs::create_dir_all(root).map_err(io(format!("create {}", root.display())))?;
    drop(reading);
    let directory = Directory::open(root, RealDisk)?;
    // Another init may have come first, since the directory was looked at.
    refuse_foreign(root, given)?;
    if !root.join(SPEC_FILE).exists() {
        directory.write_file(&RelPath::new(SPEC_FILE)?, text.as_bytes(), Mode::Public)?;
    }
    let loaded = Loaded::with_spec(root, &spec_folder, cluster, Vec::new(), now)?;
    super::apply::carry_out(&directory, loaded, ui)
}

fn read_spec(args: &InitArgs) -> Result<(String, String), Failure> {
    let own = args.dir.dir.join(SPEC_FILE);
    let (name, read) = match &args.spec {
        // One byte past the limit is enough for the parser to say so.
        Some(path) if path == Path::new("-") => {
            let mut text = Vec::new();
            let read = std::io::stdin().lock().take(spec::MAX_BYTES).read_to_end(&mut text);
            ("standard input".to_owned(), read.map(|_| text))
        }
        Some(path) => (path.display().to_string(), read_given(path, spec::MAX_BYTES)),
        None => match read_given(&own, spec::MAX_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                (SPEC_FILE.to_owned(), Ok(DEFAULT_SPEC.as_bytes().to_vec()))
            }
            read => (own.display().to_string(), read),
        },
    };
    // A spec that can't be read is a question that can't be asked.
    let text = read.map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    Ok((name, String::from_utf8_lossy(&text).into_owned()))
}

/// A directory is taken if it is absent, empty, or ours with the same spec.
fn refuse_foreign(root: &Path, given: Option<&str>) -> Result<(), Failure> {
    let mut entries = match fs::read_dir(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::Usage(format!("{}: {error}", root.display()))),
        Ok(entries) => entries,
    };
    let own = read_given(&root.join(SPEC_FILE), spec::MAX_BYTES);
    match (own, given) {
        (Ok(own), Some(given)) if String::from_utf8_lossy(&own) != given => Err(Failure::Usage(format!(
            "{0} already holds a cluster with another spec; edit {0}/{SPEC_FILE} and run: kubetrust apply -d {0}",
            root.display()
        ))),
        (Ok(_), _) => Ok(()),
        (Err(error), _) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::Usage(format!("{}/{SPEC_FILE}: {error}", root.display())))
        }
        // What a crashed run left before it wrote the spec is no reason to refuse.
        (Err(_), _) if entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == ".staging")) => Ok(()),
        (Err(_), _) => Err(Failure::Usage(format!(
            "{} is not empty and has no {SPEC_FILE}, so it is not kubetrust's; choose an empty or a new directory",
            root.display()
        ))),
    }
}
