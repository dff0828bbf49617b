//! Nobody gives rights that they do not have, unless they may `escalate` roles or `bind` them. Upstream checks it in
//! the storage of roles and bindings (`pkg/registry/rbac/*/policybased`), so no flag turns it off.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kubetrust_api::status::Status;
use kubetrust_auth::authz::Authorizer;
use kubetrust_auth::authz::rbac::cover::{bind, escalate, full_authority};
use kubetrust_auth::authz::rbac::{GROUP, Kind, RoleRef, Rule};
use kubetrust_auth::user::MASTERS;
use serde::Deserialize;
use serde_json::Value;

use super::fields::{each, same};
use super::{Operation, Plugin, Step, Verb};

/// The step.
#[derive(Debug)]
pub struct RbacEscalation {
    authorizer: Arc<Authorizer>,
}

impl RbacEscalation {
    /// Asks an authorizer, and looks at its roles and bindings.
    pub fn new(authorizer: &Arc<Authorizer>) -> Self {
        Self {
            authorizer: Arc::clone(authorizer),
        }
    }

    fn check(&self, operation: &Operation<'_>) -> Result<(), Status> {
        match Kind::of_plural(operation.resource.plural) {
            Some(Kind::ClusterRole | Kind::Role) => self.check_role(operation),
            Some(Kind::ClusterRoleBinding | Kind::RoleBinding) => self.check_binding(operation),
            None => Ok(()),
        }
    }

    fn check_role(&self, operation: &Operation<'_>) -> Result<(), Status> {
        // A create has no name yet: the right to escalate one role by name does not reach to it.
        let name = if operation.verb == Verb::Create {
            ""
        } else {
            operation.name
        };
        let asked = escalate(operation.resource.plural, operation.namespace, name);
        if self.authorizer.authorize(operation.user, &asked).is_allowed() || is_collection_of_garbage(operation) {
            return Ok(());
        }
        let rules = read::<Vec<Rule>>(operation, &operation.object["rules"])?;
        self.confirm(operation, &rules)
            .map_err(|why| operation.forbidden(&why))?;
        if aggregates(&operation.object) || operation.old.is_some_and(aggregates) {
            let refused = |_| operation.forbidden("must have cluster-admin privileges to use the aggregationRule");
            self.confirm(operation, &full_authority()).map_err(refused)?;
        }
        Ok(())
    }

    fn check_binding(&self, operation: &Operation<'_>) -> Result<(), Status> {
        if is_collection_of_garbage(operation) {
            return Ok(());
        }
        let role: RoleRef = read::<RoleRef>(operation, &operation.object["roleRef"])?;
        let asked = bind(&role, operation.namespace);
        if asked.is_some_and(|asked| self.authorizer.authorize(operation.user, &asked).is_allowed()) {
            return Ok(());
        }
        let rules = self.authorizer.rbac.policy().rules_of(&role, operation.namespace);
        let rules = rules.map_err(|why| match role.kind.as_str() {
            "ClusterRole" => Status::not_found(GROUP, Kind::ClusterRole.plural(), &role.name),
            "Role" => Status::not_found(GROUP, Kind::Role.plural(), &role.name),
            _ => Status::internal(why),
        })?;
        let rules: Vec<Rule> = rules.iter().map(|rule| Rule::clone(rule)).collect();
        self.confirm(operation, &rules).map_err(|why| operation.forbidden(&why))
    }

    fn confirm(&self, operation: &Operation<'_>, rules: &[Rule]) -> Result<(), String> {
        let policy = self.authorizer.rbac.policy();
        policy
            .confirm_no_escalation(operation.user, operation.namespace, rules)
            .map_err(|why| why.to_string())
    }
}

fn read<'a, T: Deserialize<'a> + Default>(operation: &Operation<'_>, value: &'a Value) -> Result<T, Status> {
    let read = Option::<T>::deserialize(value).map(Option::unwrap_or_default);
    read.map_err(|error| operation.forbidden(&format!("its rights can't be read: {error}")))
}

/// Whether it gathers the rules of others.
fn aggregates(role: &Value) -> bool {
    each(&role["aggregationRule"], "clusterRoleSelectors").len() > 0
}

/// Whether an update changes nothing but what the garbage collector has to change.
fn is_collection_of_garbage(operation: &Operation<'_>) -> bool {
    const FREE: [&str; 5] = [
        "finalizers",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
    ];
    let (Some(old), Some(new)) = (operation.old.and_then(Value::as_object), operation.object.as_object()) else {
        return false;
    };
    let kept = |part: &String| {
        let (old, new) = (
            old.get(part).unwrap_or(&Value::Null),
            new.get(part).unwrap_or(&Value::Null),
        );
        if part != "metadata" {
            return same(old, new);
        }
        let fields = [old, new]
            .into_iter()
            .filter_map(Value::as_object)
            .flat_map(serde_json::Map::keys);
        fields
            .filter(|field| !FREE.contains(&field.as_str()))
            .all(|field| same(&old[field.as_str()], &new[field.as_str()]))
    };
    old.keys().chain(new.keys()).all(kept)
}

impl Plugin for RbacEscalation {
    fn name(&self) -> &'static str {
        "RbacEscalation"
    }

    fn handles(&self, step: Step, operation: &Operation<'_>) -> bool {
        let is_change = operation.resource.group == GROUP && operation.verb != Verb::Delete;
        step == Step::Validate && is_change && !operation.user.in_group(MASTERS)
    }

    fn validate<'a>(&'a self, operation: &'a Operation<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(self.check(operation)))
    }
}
