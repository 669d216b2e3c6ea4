//! Effects of a task's plan.

use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt};
use longshore_crds::{ContainerTask, SlotKind};

use super::observe::Observed;
use super::order::claim;
use super::plan::{Plan, Step};
use super::release::release;
use crate::cluster::{self, Created, Error};
use crate::context::Context;
use crate::ledger::entry;

pub async fn apply(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let namespace = seen.namespace();
    let jobs = || Api::<Job>::namespaced(ctx.client.clone(), &namespace);
    match &plan.step {
        None => Ok(()),
        Some(Step::CreateJob(job)) => match cluster::create(&jobs(), job).await? {
            Created::New(job) | Created::Ours(job) => release(&job, seen, ctx).await,
            // The next pass sees whose it is.
            Created::Foreign(_) => Err(Error::Conflict {
                what: cluster::describe(job.as_ref()),
            }),
        },
        Some(Step::ReleaseJob) => match &seen.job {
            Some(job) => release(job, seen, ctx).await,
            None => Ok(()),
        },
        Some(Step::ReleaseSlot) => match seen.keepers() {
            Some(keepers) => {
                let uid = seen.task.uid().unwrap_or_default();
                let holder = entry(SlotKind::Task, &claim(&seen.task), None, ctx.clock.now());
                // The cache may not show the Job yet that the slot is for; then the next pass sees it.
                if cluster::has_pods(&ctx.client, &namespace, &holder).await? {
                    return Ok(());
                }
                cluster::release_slot(&ctx.client, &ctx.superseded, &keepers, &uid).await
            }
            None => Ok(()),
        },
        Some(Step::DeleteJob { name, uid }) => cluster::delete(&jobs(), name, uid).await,
        Some(Step::DeleteTask) => {
            let api: Api<ContainerTask> = Api::namespaced(ctx.client.clone(), &namespace);
            cluster::delete(&api, &seen.task.name_any(), &seen.task.uid().unwrap_or_default()).await
        }
    }
}
