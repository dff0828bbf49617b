//! Runs a table of calls: each row the words, the exit code, and what is said.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use kubetrust_testkit::up::Up;
use kubetrust_testkit::{Output, peers, run};

/// Which kubectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1_20,
    V1_37,
}

pub const BOTH: &[Version] = &[Version::V1_37, Version::V1_20];
pub const NEW: &[Version] = &[Version::V1_37];
pub const OLD: &[Version] = &[Version::V1_20];

/// What a call says, on both streams, as [`plain`] shows it.
#[derive(Debug, Clone, Copy)]
pub enum Says {
    /// Just that.
    Is(&'static str),
    /// All of these, in this order.
    Has(&'static [&'static str]),
    /// Nothing at all.
    Nothing,
}

/// Who is to say it, the words (a quote `'` keeps blanks), the exit code, and what is said. In words and answers,
/// `{ns}` is the namespace of the version, `{dir}` its folder with [`FILES`], `{pki}` and `{auth}` those of the host,
/// `{url}` the server.
pub type Row = (&'static [Version], &'static str, i32, Says);

/// One server, and a namespace and a cache for each version.
pub struct Kubectl {
    pub up: Up,
}

impl Kubectl {
    /// Starts a server.
    pub fn start() -> Self {
        let up = Up::start(env!("CARGO_BIN_EXE_kubetrust"));
        let this = Self { up };
        for version in BOTH {
            for (name, text) in FILES {
                this.write(*version, name, &this.fill(*version, text));
            }
            this.call(
                *version,
                "--kubeconfig={auth}/admin.conf create -f {dir}/namespace.yaml",
            )
            .success();
        }
        this
    }

    /// Goes through a table, first with one version, then with the other. All that is wrong is told at the end.
    #[track_caller]
    pub fn play(&self, rows: &[Row]) {
        let mut faults = Vec::new();
        for version in BOTH {
            for (versions, words, exit, says) in rows.iter().filter(|row| row.0.contains(version)) {
                let output = self.admin(*version, words);
                faults.extend(
                    self.fault(*version, &output, *exit, *says)
                        .map(|fault| format!("{versions:?} {words}\n{fault}")),
                );
            }
        }
        assert!(faults.is_empty(), "{} wrong:\n{}", faults.len(), faults.join("\n\n"));
    }

    /// Asserts that a call went as described.
    #[track_caller]
    pub fn judge(&self, version: Version, output: &Output, exit: i32, says: Says) {
        let fault = self.fault(version, output, exit, says);
        assert!(fault.is_none(), "{}", fault.unwrap_or_default());
    }

    /// What is otherwise than described.
    fn fault(&self, version: Version, output: &Output, exit: i32, says: Says) -> Option<String> {
        let said = plain(output);
        let fits = match says {
            Says::Nothing => said.is_empty(),
            Says::Is(text) => said == self.fill(version, text),
            Says::Has(parts) => in_order(&said, parts.iter().map(|part| self.fill(version, part))),
        };
        let right = fits && output.code() == Some(exit);
        (!right).then(|| format!("exit {exit}, and it must say: {says:?}\nbut it says:\n{said}\n{output}"))
    }

    /// Calls kubectl as the admin, in the version's namespace.
    #[track_caller]
    pub fn admin(&self, version: Version, words: &str) -> Output {
        self.call(
            version,
            &format!("--kubeconfig={{auth}}/admin.conf --namespace={{ns}} {words}"),
        )
    }

    /// Calls kubectl as the words say.
    #[track_caller]
    pub fn call(&self, version: Version, words: &str) -> Output {
        run(&mut self.command(version, words))
    }

    /// The call, not yet made.
    pub fn command(&self, version: Version, words: &str) -> Command {
        let mut command = match version {
            Version::V1_20 => peers::kubectl_1_20(),
            Version::V1_37 => peers::kubectl(),
        };
        // Once asked what there is, kubectl need not ask again, as on any desk; 1.20 would throttle itself.
        command.arg("--cache-dir").arg(self.dir(version).join("cache"));
        // What `edit` opens: an editor that changes one word.
        command.env("KUBE_EDITOR", "sed -i s/one/edited/");
        command.args(split(&self.fill(version, words)));
        command
    }

    pub fn fill(&self, version: Version, text: &str) -> String {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        text.replace("{ns}", version.namespace())
            .replace("{dir}", &path(self.dir(version)))
            .replace("{pki}", &path(self.up.file("pki")))
            .replace("{auth}", &path(self.up.file("auth")))
            .replace("{url}", &self.up.url())
    }

    /// Writes a file into the version's folder.
    pub fn write(&self, version: Version, name: &str, text: &str) {
        let folder = self.dir(version);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }

    /// The folder of a version's files.
    pub fn dir(&self, version: Version) -> PathBuf {
        self.up.beside().join(version.namespace())
    }
}

impl Version {
    pub fn namespace(self) -> &'static str {
        match self {
            Self::V1_20 => "old",
            Self::V1_37 => "new",
        }
    }
}

/// What was said, first the output and then the errors: without kubectl's own log lines, its blanks as one, without
/// colours, and with AGE for ages.
pub fn plain(output: &Output) -> String {
    let all = format!("{}\n{}", output.stdout, output.stderr);
    let lines = all.lines().filter(|line| !is_log(line)).map(|line| {
        let words = line
            .split_whitespace()
            .map(|word| if is_age(word) { "AGE" } else { word });
        words.collect::<Vec<_>>().join(" ")
    });
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    ["\u{1b}[0;32m", "\u{1b}[0;33m", "\u{1b}[0m"]
        .iter()
        .fold(lines.join("\n"), |text, colour| text.replace(colour, ""))
}

/// `E1124 12:30:52.258668 …`
fn is_log(line: &str) -> bool {
    let mut characters = line.chars();
    matches!(characters.next(), Some('I' | 'W' | 'E'))
        && characters.by_ref().take(4).all(|c| c.is_ascii_digit())
        && characters.next() == Some(' ')
}

/// `5s`, `4m33s`
fn is_age(word: &str) -> bool {
    word.ends_with('s')
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || "hms".contains(c))
}

fn in_order(text: &str, parts: impl Iterator<Item = String>) -> bool {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(&part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// Words by blanks, but within quotes.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (number, part) in text.split('\'').enumerate() {
        let (quoted, word) = (number % 2 == 1, words.last_mut().unwrap());
        if quoted {
            word.push_str(part);
        } else {
            let mut parts = part.split(' ');
            word.push_str(parts.next().unwrap_or_default());
            words.extend(parts.map(str::to_owned));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What `-f {dir}/NAME` names.
const FILES: &[(&str, &str)] = &[
    (
        "namespace.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: {ns}}\n",
    ),
    (
        "settings.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, labels: {tier: one}}\ndata: {a: '1'}\n",
    ),
    (
        "settings-2.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, labels: {tier: one}}\ndata: {a: '2', b: x}\n",
    ),
    (
        "unknown-field.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: unknown}\ndata: {a: '1'}\ndato: {b: '1'}\n",
    ),
    (
        "wrong-type.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\ndata: [a]\n",
    ),
    (
        "bad-name.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}\ndata: {'a/b': '1'}\n",
    ),
    (
        "unknown-kind.yaml",
        "apiVersion: example.org/v1\nkind: Horse\nmetadata: {name: h}\n",
    ),
    (
        "web.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {app: web}}\nspec:\n  replicas: 1\n  \
         selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
         spec: {containers: [{name: web, image: 'nginx:1', ports: [{containerPort: 80}]}]}\n",
    ),
    (
        "web-2.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {app: web}}\nspec:\n  replicas: 1\n  \
         selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
         containers:\n      - {name: web, image: 'nginx:2', ports: [{containerPort: 80}]}\n      - {name: side, image: 'side:1'}\n",
    ),
    (
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: alone}\nspec: {containers: [{name: main, image: 'main:1'}]}\n",
    ),
    ("node.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: {ns}-node}\n"),
    (
        "role.yaml",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader, namespace: {ns}}\n\
         rules: [{apiGroups: [''], resources: [pods, configmaps], verbs: [get, list]}]\n",
    ),
];
