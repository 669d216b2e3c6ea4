//! Writes a schedule's status.

use super::observe::Observed;
use super::plan::Plan;
use crate::cluster::Error;
use crate::context::Context;

pub async fn write(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let schedule = seen.schedule.as_ref();
    crate::status::write(ctx, schedule, schedule.status.as_ref(), &plan.status, &plan.news).await
}
