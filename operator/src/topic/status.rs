//! Writes a topic's status: the operator's part of it only.

use super::observe::Observed;
use super::our_part;
use super::plan::Plan;
use crate::cluster::Error;
use crate::context::Context;

pub async fn write(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let current = seen.topic.status.as_ref().map(our_part);
    crate::status::write(ctx, seen.topic.as_ref(), current.as_ref(), &plan.status, &plan.news).await
}
