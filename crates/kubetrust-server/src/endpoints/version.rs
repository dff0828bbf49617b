//! `/version`: which Kubernetes this server behaves as.

use serde_json::{Value, json};

/// The Kubernetes release whose behaviour is followed.
pub const KUBERNETES: (&str, &str, &str) = ("1", "36", "v1.36.0");

/// `version.Info`, with our own version as build metadata.
#[must_use]
pub fn version() -> Value {
    let (major, minor, release) = KUBERNETES;
    json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("{release}+kubetrust.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    })
}

/// The name that Go gives the processor.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
