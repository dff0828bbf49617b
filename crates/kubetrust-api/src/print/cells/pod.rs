//! Pods: what became of their containers, in a word.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::print::age;
use crate::print::view::{NONE, View, at, list, text, time};

/// How many containers are ready, of how many.
pub(crate) fn ready(view: &View<'_>) -> Value {
    let summary = Summary::of(view);
    format!("{}/{}", summary.ready, summary.containers).into()
}

/// The state of the pod.
pub(crate) fn status(view: &View<'_>) -> Value {
    Summary::of(view).reason.into()
}

/// How often containers were started again, and when last.
pub(crate) fn restarts(view: &View<'_>) -> Value {
    let Restarts { count, last } = Summary::of(view).restarts;
    match last {
        Some(_) if count != 0 => format!("{count} ({} ago)", age::since(last, view.now)).into(),
        _ => count.to_string().into(),
    }
}

/// Its first address.
pub(crate) fn ip(view: &View<'_>) -> Value {
    let first = view.list("status.podIPs").first().map(|address| text(address, "ip"));
    first
        .filter(|ip| !ip.is_empty())
        .unwrap_or_else(|| view.text_or("status.podIP", NONE))
        .into()
}

/// How many readiness gates are true, of how many.
pub(crate) fn readiness_gates(view: &View<'_>) -> Value {
    let gates = view.list("spec.readinessGates");
    if gates.is_empty() {
        return NONE.into();
    }
    let open = gates
        .iter()
        .filter(|gate| view.has_condition(text(gate, "conditionType")))
        .count();
    format!("{open}/{}", gates.len()).into()
}

/// What a row says of a pod that has ended; null for all else.
pub(crate) fn conditions(view: &View<'_>) -> Value {
    let (reason, message) = match (view.text("kind"), view.text("status.phase")) {
        ("Pod", "Succeeded") => ("Succeeded", "The pod has completed successfully."),
        ("Pod", "Failed") => ("Failed", "The pod failed."),
        _ => return Value::Null,
    };
    json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}])
}

/// Restarts of several containers.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count = self
            .count
            .saturating_add(at(container, "restartCount").as_i64().unwrap_or_default());
        self.last = self.last.max(time(container, "lastState.terminated.finishedAt"));
    }
}

struct Summary {
    reason: String,
    ready: usize,
    containers: usize,
    restarts: Restarts,
}

impl Summary {
    fn of(view: &View<'_>) -> Self {
        let initial = Initial::of(view);
        let mut summary = Self {
            reason: first_reason(view),
            ready: initial.ready,
            containers: view.list("spec.containers").len() + initial.sidecars,
            restarts: initial.restarts,
        };
        let waits = initial.reason.is_some();
        if let Some(reason) = initial.reason {
            summary.reason = reason;
        }
        if !waits || view.has_condition("Initialized") {
            summary.restarts = initial.sidecar_restarts;
            summary.add_containers(view);
        }
        if view.is_being_deleted() {
            if view.text("status.reason") == "NodeLost" {
                "Unknown".clone_into(&mut summary.reason);
            } else if !matches!(view.text("status.phase"), "Succeeded" | "Failed") {
                "Terminating".clone_into(&mut summary.reason);
            }
        }
        summary
    }

    fn add_containers(&mut self, view: &View<'_>) {
        let mut is_running = false;
        let mut error = None;
        for container in view.list("status.containerStatuses").iter().rev() {
            self.restarts.add(container);
            let state = at(container, "state");
            if !text(state, "waiting.reason").is_empty() {
                text(state, "waiting.reason").clone_into(&mut self.reason);
            } else if at(state, "terminated").is_object() {
                self.reason = termination(at(state, "terminated"), "");
                if at(state, "terminated.exitCode").as_i64().unwrap_or_default() != 0 {
                    error = Some(self.reason.clone());
                }
            } else if at(container, "ready") == true && at(state, "running").is_object() {
                is_running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            self.reason = match error {
                _ if is_running && view.has_condition("Ready") => "Running".to_owned(),
                Some(error) => error,
                None if is_running => "NotReady".to_owned(),
                None => return,
            };
        }
    }
}

/// Phase or reason of the pod, before its containers are looked at.
fn first_reason(view: &View<'_>) -> String {
    const GATED: &str = "SchedulingGated";
    let is_gated = view
        .list("status.conditions")
        .iter()
        .any(|condition| text(condition, "type") == "PodScheduled" && text(condition, "reason") == GATED);
    if is_gated {
        GATED
    } else {
        view.text_or("status.reason", view.text("status.phase"))
    }
    .to_owned()
}

/// What became of the init containers.
#[derive(Default)]
struct Initial {
    /// What the pod waits for, if it does.
    reason: Option<String>,
    /// Init containers that go on running.
    sidecars: usize,
    ready: usize,
    restarts: Restarts,
    sidecar_restarts: Restarts,
}

impl Initial {
    fn of(view: &View<'_>) -> Self {
        let specs = view.list("spec.initContainers");
        let is_sidecar = |name: &str| {
            specs
                .iter()
                .any(|spec| text(spec, "name") == name && text(spec, "restartPolicy") == "Always")
        };
        let mut initial = Self {
            sidecars: specs
                .iter()
                .filter(|spec| text(spec, "restartPolicy") == "Always")
                .count(),
            ..Self::default()
        };
        for (index, container) in list(view.object, "status.initContainerStatuses").iter().enumerate() {
            initial.restarts.add(container);
            let sidecar = is_sidecar(text(container, "name"));
            if sidecar {
                initial.sidecar_restarts.add(container);
            }
            let state = at(container, "state");
            let terminated = at(state, "terminated");
            let waiting = text(state, "waiting.reason");
            if terminated.is_object() && at(terminated, "exitCode").as_i64().unwrap_or_default() == 0 {
                continue;
            }
            if sidecar && at(container, "started") == true {
                initial.ready += usize::from(at(container, "ready") == true);
                continue;
            }
            initial.reason = Some(if terminated.is_object() {
                termination(terminated, "Init:")
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{}", specs.len())
            });
            break;
        }
        initial
    }
}

/// Why a container ended.
fn termination(terminated: &Value, prefix: &str) -> String {
    let number = |field: &str| at(terminated, field).as_i64().unwrap_or_default();
    match (text(terminated, "reason"), number("signal")) {
        ("", 0) => format!("{prefix}ExitCode:{}", number("exitCode")),
        ("", signal) => format!("{prefix}Signal:{signal}"),
        (reason, _) => format!("{prefix}{reason}"),
    }
}
