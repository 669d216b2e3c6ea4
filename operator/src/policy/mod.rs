//! RoutingPolicy: says of every rule whether it can decide about messages.
//!
//! Decides about no message; the bot does, with the same library. What is found of one policy depends on all of its namespace and on
//! the classes that exist, so a change of any of them wakes all that it may concern. Writes a status only when it differs.

mod plan;
mod stored;

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use longshore_routing::{Router, Settings};

use crate::cluster::Error;
use crate::context::Context;
use crate::index::Index;

pub use stored::StoredPolicy;

/// One pass over one RoutingPolicy.
pub async fn reconcile(policy: Arc<StoredPolicy>, ctx: Arc<Context>) -> Result<Action, Error> {
    if ctx.superseded.is_old(policy.as_ref()) || policy.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (policies, classes) = observe(&policy, &ctx.index);
    let sources = policies.iter().map(|policy| policy.source()).collect::<Vec<_>>();
    // What is found of a policy does not depend on the bot's own settings.
    let findings = Router::compile(Settings::default(), &sources).findings(Some(&classes));
    let mine = findings
        .into_iter()
        .find(|findings| findings.policy == policy.name_any());
    let Some(mine) = mine else {
        return Ok(Action::await_change());
    };
    let status = plan::status(&policy, mine, ctx.clock.now());
    crate::status::write(&ctx, policy.as_ref(), policy.status.as_ref(), &status, &[]).await?;
    Ok(Action::requeue(ctx.settings.timing.resync))
}

/// All policies of the namespace, this one as it is given, and the names of the classes.
fn observe(policy: &Arc<StoredPolicy>, index: &Index) -> (Vec<Arc<StoredPolicy>>, BTreeSet<String>) {
    let (namespace, name) = (policy.namespace(), policy.name_any());
    let mut policies = index
        .routing
        .state_filter(|other| other.namespace() == namespace && other.name_any() != name);
    policies.push(Arc::clone(policy));
    let classes = index.classes.state_filter(|class| class.namespace() == namespace);
    (policies, classes.iter().map(|class| class.name_any()).collect())
}

#[cfg(test)]
mod tests;
