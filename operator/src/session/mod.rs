//! PersistentSession: one conversation that stays, as a StatefulSet with one pod on the topic's volume.
//!
//! A pass looks at the caches, asks for what is missing (slot, topic, a free name), talks to the runner, plans, acts, writes
//! the status. What is persisted leads: winding down begins in the status before the runner hears of it, and a slot is held
//! before a pod can be. The spec is never written. Schedules ask here how a session stands to their messages (`standing`).

mod admit;
mod apply;
mod build;
mod cause;
mod deadlines;
mod disk;
mod memory;
mod observe;
mod order;
mod plan;
mod reclaim;
mod stage;
mod standing;
mod status;

use std::sync::Arc;

use kube::runtime::controller::Action;
use longshore_crds::PersistentSession;

use crate::cluster::Error;
use crate::context::Context;
use crate::requeue::requeue;

pub use observe::hand;
pub use order::{claim, holds_topic, is_over, occupies, rests};
pub use standing::{Standing, standing};

/// One pass over one PersistentSession.
pub async fn reconcile(session: Arc<PersistentSession>, ctx: Arc<Context>) -> Result<Action, Error> {
    let seen = observe::observe(session, &ctx);
    if seen.is_old(&ctx.superseded) {
        return Ok(Action::await_change());
    }
    let now = ctx.clock.now();
    let admission = admit::admit(&seen, &ctx, now).await?;
    let contact = observe::contact(&seen, &ctx, now).await?;
    let mut plan = plan::plan(&seen, &admission, &contact, &ctx.settings, now);
    let applied = apply::apply(&plan, &seen, &ctx).await;
    if let Err(error) = &applied {
        plan = plan.hindered(&seen, error, now);
    }
    let written = status::write(&plan, &seen, &ctx).await;
    applied.and(written)?;
    reclaim::reclaim(&plan, &seen, &admission, &ctx, now).await?;
    Ok(requeue(plan.next_deadline, ctx.clock.now(), &ctx.settings.timing))
}
