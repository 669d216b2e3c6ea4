//! ContainerTask: one prompt, one Job, one result.
//!
//! Tasks of a topic run one at a time in order of creation, and not while a session of the topic has a pod. The result is
//! fetched from the runner; a pod that is gone has left its beginning behind as termination message. A pod that was lost
//! without either is replaced by a Job with the next number, which goes on where it was.

mod admit;
mod apply;
mod build;
mod observe;
mod order;
mod outcome;
mod plan;
mod release;
mod status;

use std::sync::Arc;

use kube::runtime::controller::Action;
use longshore_crds::ContainerTask;

use crate::cluster::Error;
use crate::context::Context;
use crate::requeue::requeue;

pub use order::{claim, is_over, occupies};
pub use outcome::{job_is_over, usage};

/// One pass over one ContainerTask.
pub async fn reconcile(task: Arc<ContainerTask>, ctx: Arc<Context>) -> Result<Action, Error> {
    if ctx.superseded.is_old(task.as_ref()) {
        return Ok(Action::await_change());
    }
    let seen = observe::observe(task, &ctx);
    let admission = admit::admit(&seen, &ctx).await?;
    let contact = observe::contact(&seen, &ctx).await?;
    let now = ctx.clock.now();
    let mut plan = plan::plan(&seen, &admission, &contact, &ctx.settings, now);
    let applied = apply::apply(&plan, &seen, &ctx).await;
    if let Err(error) = &applied {
        plan = plan.hindered(&seen, error, now);
    }
    let written = status::write(&plan, &seen, &ctx).await;
    applied.and(written)?;
    Ok(requeue(plan.next_look, now, &ctx.settings.timing))
}
