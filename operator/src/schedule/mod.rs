//! ScheduledTask: makes a ContainerTask whenever its schedule says so, or gives its prompt to the topic's session.
//!
//! `calendar` reads cron and time zones, `due` says which run is due, `plan` what becomes of it, and `hand_over` how a session
//! comes by it; all four are pure. A run's task is named after its minute, so that making it twice is a harmless 409, whoever does it. The status keeps the last run
//! that was started or left out, and nothing up to it is ever started again, whatever the clock says. What a run's task does
//! is none of its business; it only counts those that are not over, and deletes old ones.

mod apply;
mod build;
mod calendar;
mod due;
mod hand_over;
mod history;
mod left_out;
mod observe;
mod plan;
mod status;

use std::sync::Arc;

use kube::runtime::controller::Action;
use longshore_crds::{ContainerTask, ScheduledTask};

use crate::cluster::Error;
use crate::context::Context;
use crate::requeue::requeue;

/// One pass over one ScheduledTask.
pub async fn reconcile(schedule: Arc<ScheduledTask>, ctx: Arc<Context>) -> Result<Action, Error> {
    if ctx.superseded.is_old(schedule.as_ref()) {
        return Ok(Action::await_change());
    }
    let seen = observe::observe(schedule, &ctx);
    let now = ctx.clock.now();
    let handed = observe::hand(&seen, &ctx).await?;
    let mut plan = plan::plan(&seen, handed.as_ref(), now);
    let applied = apply::apply(&plan, &seen, &ctx.client).await;
    match &applied {
        Ok(apply::Applied::All) => {}
        Ok(apply::Applied::NameTaken) => plan = plan.name_taken(&seen, now),
        Err(error) => plan = plan.hindered(&seen, error, now),
    }
    let written = status::write(&plan, &seen, &ctx).await;
    applied?;
    written?;
    Ok(requeue(plan.next_look, ctx.clock.now(), &ctx.settings.timing))
}

/// Name of the ScheduledTask that a task is a run of.
pub fn of_run(task: &ContainerTask) -> Option<&str> {
    let owners = task.metadata.owner_references.as_deref().unwrap_or_default();
    owners
        .iter()
        .find(|owner| owner.controller == Some(true) && owner.kind == "ScheduledTask")
        .map(|owner| owner.name.as_str())
}
