//! `DefaultTolerationSeconds`: a pod stays five minutes on a node that is not ready or can't be reached, unless it says
//! otherwise (`plugin/pkg/admission/defaulttolerationseconds`).

use futures_util::future::BoxFuture;
use kubetrust_api::status::Status;
use serde_json::{Value, json};

use super::fields::{each, list_mut, spec_mut, text};
use super::{Operation, Plugin, Step, Verb};

/// What nodes are tainted with when they are not there.
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
/// How long pods stay then.
const SECONDS: u32 = 300;

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        step == Step::Admit && operation.is("", "pods") && operation.verb != Verb::Delete
    }

    fn mutate<'a>(&'a self, operation: &'a mut Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        add_tolerations(&mut operation.object);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn add_tolerations(pod: &mut Value) {
    let tolerated = |taint: &str| each(&pod["spec"], "tolerations").any(|toleration| tolerates(toleration, taint));
    let missing: Vec<Value> = TAINTS
        .iter()
        .filter(|taint| !tolerated(taint))
        .map(|taint| json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}))
        .collect();
    if !missing.is_empty()
        && let Some(tolerations) = spec_mut(pod).and_then(|spec| list_mut(spec, "tolerations"))
    {
        tolerations.extend(missing);
    }
}

fn tolerates(toleration: &Value, taint: &str) -> bool {
    let key = text(toleration, "key");
    (key.is_empty() || key == taint) && matches!(text(toleration, "effect"), "" | "NoExecute")
}
