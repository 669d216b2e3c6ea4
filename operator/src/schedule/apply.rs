//! Effects of a schedule's plan.

use kube::{Api, ResourceExt};
use longshore_crds::{ContainerTask, ScheduledTask};

use super::observe::Observed;
use super::plan::{Plan, Step};
use crate::cluster::{self, Created, Error};
use crate::context::Context;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    All,
    /// Somebody else's task has the name of the run.
    NameTaken,
}

pub async fn apply(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<Applied, Error> {
    let namespace = seen.schedule.namespace().unwrap_or_default();
    let api: Api<ContainerTask> = Api::namespaced(ctx.client.clone(), &namespace);
    for step in &plan.steps {
        match step {
            Step::Start(run) => {
                is_current(seen, ctx).await?;
                if let Created::Foreign(_) = cluster::create(&api, run).await? {
                    return Ok(Applied::NameTaken);
                }
            }
            Step::Delete { name, uid } => cluster::delete(&api, name, uid).await?,
        }
    }
    Ok(Applied::All)
}

/// The name of a run keeps it from being started twice only as long as its task is there. So somebody whose cache is old, as a
/// leader that was replaced without knowing it, must not start what another has started, seen finished and deleted.
async fn is_current(seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let schedule = seen.schedule.as_ref();
    let api: Api<ScheduledTask> = Api::namespaced(ctx.client.clone(), &schedule.namespace().unwrap_or_default());
    let live = cluster::get(&api, &schedule.name_any()).await?;
    let same =
        |live: ScheduledTask| live.uid() == schedule.uid() && live.resource_version() == schedule.resource_version();
    if live.is_some_and(same) {
        Ok(())
    } else {
        Err(Error::Conflict {
            what: cluster::describe(schedule),
        })
    }
}
