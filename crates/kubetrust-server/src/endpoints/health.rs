//! `/healthz`, `/livez`, `/readyz` with named checks, as `k8s.io/apiserver/pkg/server/healthz` serves them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::ApiServer;
use crate::http::query::Query;
use crate::http::respond::{self, Reply};

/// A named check.
struct Check {
    name: &'static str,
    /// Whether `/livez` asks it too: what a restart would not mend is only a matter of being ready.
    alive: bool,
    holds: fn(&ApiServer) -> Result<(), String>,
}

/// Every check, in the order that they are shown in.
const CHECKS: [Check; 4] = [
    Check {
        name: "ping",
        alive: true,
        holds: |_| Ok(()),
    },
    Check {
        name: "etcd",
        alive: true,
        holds: store,
    },
    Check {
        name: "poststarthook/rbac/bootstrap-roles",
        alive: false,
        holds: started,
    },
    Check {
        name: "shutdown",
        alive: false,
        holds: shutdown,
    },
];

impl Check {
    /// Whether it holds, which is counted for the endpoint that asks.
    fn asked(&self, server: &ApiServer, endpoint: &'static str) -> bool {
        let holds = (self.holds)(server).is_ok();
        let endpoint = endpoint.trim_start_matches('/');
        server.metrics.health.checked(self.name, endpoint, holds);
        holds
    }
}

fn store(server: &ApiServer) -> Result<(), String> {
    if server.health.store.load(Ordering::Relaxed) {
        Ok(())
    } else {
        Err("the store does not answer".into())
    }
}

fn started(server: &ApiServer) -> Result<(), String> {
    if server.health.started.load(Ordering::Acquire) {
        Ok(())
    } else {
        Err("not finished".into())
    }
}

fn shutdown(server: &ApiServer) -> Result<(), String> {
    if *server.stop.borrow() {
        Err("process is shutting down".into())
    } else {
        Ok(())
    }
}

/// What the checks ask.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Whether the store answered when it was last asked.
    pub store: Arc<AtomicBool>,
    /// Bytes that the store took on the disk then.
    pub size: Arc<AtomicU64>,
    /// Whether the default policy is in place.
    pub started: Arc<AtomicBool>,
}

impl Health {
    /// The names of all checks.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        CHECKS.iter().map(|check| check.name)
    }

    /// Answers one of the endpoints, or one check of it.
    pub fn serve(&self, server: &ApiServer, endpoint: &'static str, name: &str, query: &Query) -> Reply {
        let asked = |check: &&Check| endpoint != "/livez" || check.alive;
        if !name.is_empty() {
            return match CHECKS.iter().filter(asked).find(|check| check.name == name) {
                None => respond::failure(&kubetrust_api::status::Status::no_such_path()),
                Some(check) if check.asked(server, endpoint) => respond::text(200, "ok"),
                Some(_) => respond::text(500, "internal server error: check failed, its reason is withheld\n"),
            };
        }
        let mut excluded: HashSet<&str> = query.all("exclude").collect();
        let mut report = String::new();
        let mut failed = Vec::new();
        for check in CHECKS.iter().filter(asked) {
            let _ = if excluded.remove(check.name) {
                writeln!(report, "[+]{} excluded: ok", check.name)
            } else if check.asked(server, endpoint) {
                writeln!(report, "[+]{} ok", check.name)
            } else {
                failed.push(check.name);
                writeln!(report, "[-]{} failed: reason withheld", check.name)
            };
        }
        for unknown in excluded {
            let _ = writeln!(
                report,
                "warn: some health checks cannot be excluded: no matches for {unknown:?}"
            );
        }
        let endpoint = endpoint.trim_start_matches('/');
        if !failed.is_empty() {
            let _ = writeln!(report, "{endpoint} check failed");
            return respond::text(500, report);
        }
        if query.has("verbose") {
            let _ = writeln!(report, "{endpoint} check passed");
            return respond::text(200, report);
        }
        respond::text(200, "ok")
    }
}
