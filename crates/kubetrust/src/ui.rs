//! All talk with the terminal. Answers go to standard output, everything else to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Once;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kubetrust_pki::apply::Progress;
use kubetrust_pki::plan::Finding;
use kubetrust_pki::spec::Diagnostic;

use crate::exit::Failure;

/// The terminal.
pub struct Ui {
    interactive: bool,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

#[allow(
    clippy::unused_self,
    reason = "whoever talks holds the terminal, whether or not this call asks what it is"
)]
impl Ui {
    /// Looks at what standard error is. Colours are decided by the stream: `NO_COLOR` and pipes get none.
    pub fn new() -> Self {
        Self {
            interactive: std::io::stderr().is_terminal(),
        }
    }

    /// The answer.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| {
                if text.ends_with('\n') {
                    Ok(())
                } else {
                    out.write_all(b"\n")
                }
            })
            .and_then(|()| out.flush())
            .map_err(|error| Failure::Io {
                what: "standard output".to_owned(),
                error,
            })
    }

    /// The answer as JSON.
    pub fn print_json(&self, value: &serde_json::Value) -> Result<(), Failure> {
        self.print(&format!("{value:#}"))
    }

    /// The answer as YAML.
    pub fn print_yaml(&self, value: &serde_json::Value) -> Result<(), Failure> {
        let text = serde_saphyr::to_string(value).map_err(|error| Failure::Io {
            what: "YAML".to_owned(),
            error: std::io::Error::other(error),
        })?;
        self.print(&text)
    }

    /// The answer as a table without lines, so that columns can be cut and searched. It is as wide as its content,
    /// except on a terminal.
    pub fn print_table<const N: usize>(&self, header: [&str; N], rows: Vec<[String; N]>) -> Result<(), Failure> {
        let header = header.map(str::to_owned).to_vec();
        self.print_grid(header, rows.into_iter().map(Vec::from).collect(), N)
    }

    /// As [`Ui::print_table`], with as many columns as there are; those from `narrow` on stand close together. A cell
    /// may have several lines.
    pub fn print_grid(&self, header: Vec<String>, rows: Vec<Vec<String>>, narrow: usize) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header);
        if std::io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        for row in rows {
            table.add_row(row);
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index < narrow { 2 } else { 1 }));
        }
        let text: String = table
            .lines()
            .fold(String::new(), |text, line| text + line.trim_end() + "\n");
        self.print(&text)
    }

    /// What happens, in a sentence.
    pub fn say(&self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    /// What went wrong.
    pub fn error(&self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{ERROR}error:{ERROR:#} {}", indented(text));
    }

    /// What is hardly meant.
    pub fn warn(&self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{WARNING}warning:{WARNING:#} {}", indented(text));
    }

    /// The spec's warnings.
    pub fn warnings(&self, warnings: &[Diagnostic]) {
        for warning in warnings {
            self.warn(&warning.to_string());
        }
    }

    /// What apply can't do.
    pub fn findings(&self, findings: &[Finding]) {
        for finding in findings {
            let host = finding
                .host
                .as_ref()
                .map_or(String::new(), |host| format!(" of {host}"));
            let text = format!("{}{host}: {}\n{}", finding.credential, finding.message, finding.hint);
            if finding.unfinished {
                self.error(&text);
            } else {
                self.warn(&text);
            }
        }
    }

    /// A bar on a terminal for what takes over a second; nothing on a pipe.
    pub fn progress(&self) -> Bar {
        Bar {
            inner: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            interactive: self.interactive,
            started: Instant::now(),
            shown: Once::new(),
        }
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}

/// How far a long run has come.
pub struct Bar {
    inner: ProgressBar,
    interactive: bool,
    started: Instant,
    shown: Once,
}

impl Progress for Bar {
    fn begin(&self, phase: &'static str, total: usize) {
        self.inner.set_message(phase);
        self.inner.set_length(total as u64);
        self.inner.set_position(0);
    }

    fn advance(&self) {
        self.inner.inc(1);
        // A bar that flashes by tells nobody anything.
        if self.interactive && self.started.elapsed() > Duration::from_secs(1) {
            self.shown.call_once(|| {
                if let Ok(style) = ProgressStyle::with_template("{msg:>8} [{bar:32}] {pos}/{len}") {
                    self.inner.set_style(style.progress_chars("=> "));
                }
                self.inner.set_draw_target(ProgressDrawTarget::stderr());
            });
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.inner.finish_and_clear();
    }
}
