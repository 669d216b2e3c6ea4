//! Writes a task's status.

use super::observe::Observed;
use super::plan::Plan;
use crate::cluster::Error;
use crate::context::Context;

pub async fn write(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    crate::status::write(
        ctx,
        seen.task.as_ref(),
        seen.task.status.as_ref(),
        &plan.status,
        &plan.news,
    )
    .await
}
