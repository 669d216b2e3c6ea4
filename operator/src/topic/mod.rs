//! Topic: makes the volume claim and says whether the topic can be used.
//!
//! Never touches what is on the volume. `status.telegram` and `ChatReachable` are the bot's.

mod apply;
mod build;
mod observe;
mod plan;
mod status;

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{Topic, TopicStatus};

use crate::cluster::Error;
use crate::conditions;
use crate::context::Context;

/// One pass over one Topic.
pub async fn reconcile(topic: Arc<Topic>, ctx: Arc<Context>) -> Result<Action, Error> {
    if ctx.superseded.is_old(topic.as_ref()) {
        return Ok(Action::await_change());
    }
    let seen = observe::observe(topic, &ctx).await?;
    let now = ctx.clock.now();
    let mut plan = plan::plan(&seen, now);
    let applied = apply::apply(&plan, &seen, &ctx).await;
    if let Err(error) = &applied {
        plan = plan.hindered(&seen, error, now);
    }
    let written = status::write(&plan, &seen, &ctx).await;
    applied.and(written)?;
    Ok(Action::requeue(ctx.settings.timing.resync))
}

/// Whether its workspace can be used.
pub fn is_ready(topic: &Topic) -> bool {
    topic
        .status
        .as_ref()
        .is_some_and(|status| conditions::holds(&status.conditions, types::READY))
}

/// Reason and message for what has to wait because a topic is not ready. One that was made a moment ago is on its way.
pub fn unready(topic: &Topic) -> (&'static str, String) {
    let name = topic.name_any();
    let conditions = topic
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    if conditions.iter().any(|condition| condition.type_ == types::READY) {
        (
            reasons::TOPIC_NOT_FOUND,
            format!("Topic {name} is not Ready; its conditions say why"),
        )
    } else {
        (reasons::STARTING, format!("Topic {name} is being made ready"))
    }
}

/// Name of the claim with its volume.
pub fn claim_name(topic: &Topic) -> String {
    build::claim_name(topic)
}

/// The part of the status that the operator applies.
fn our_part(status: &TopicStatus) -> TopicStatus {
    let ours = |type_: &str| [types::READY, types::WORKSPACE_BOUND].contains(&type_);
    TopicStatus {
        observed_generation: status.observed_generation,
        workspace_claim: status.workspace_claim.clone(),
        writer: None,
        telegram: None,
        conditions: status.conditions.iter().filter(|c| ours(&c.type_)).cloned().collect(),
    }
}
