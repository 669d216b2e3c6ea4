//! Effects of a session's plan.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::observe::Observed;
use super::plan::{Plan, Step};
use crate::cluster::{self, Created, Error};
use crate::context::Context;

pub async fn apply(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let api: Api<StatefulSet> = Api::namespaced(ctx.client.clone(), &seen.namespace());
    match (&plan.step, &seen.stateful_set) {
        (Some(Step::Create(wanted)), _) => match cluster::create(&api, wanted).await? {
            Created::New(_) | Created::Ours(_) => Ok(()),
            // The next pass sees whose it is.
            Created::Foreign(_) => Err(Error::Conflict {
                what: cluster::describe(wanted.as_ref()),
            }),
        },
        (Some(Step::Start(wanted)), Some(stopped)) => {
            let started = cluster::replace(&api, wanted).await?;
            ctx.superseded.note(stopped.as_ref(), &started);
            Ok(())
        }
        (Some(Step::Stop), Some(running)) => {
            let patch = json!({ "metadata": { "uid": running.uid() }, "spec": { "replicas": 0 } });
            let stopped = cluster::merge(&api, &running.name_any(), &patch).await?;
            ctx.superseded.note(running.as_ref(), &stopped);
            Ok(())
        }
        (Some(Step::Delete), Some(left)) => {
            cluster::delete(&api, &left.name_any(), &left.uid().unwrap_or_default()).await?;
            ctx.superseded.note_deleted(left.as_ref());
            Ok(())
        }
        (Some(Step::ReleaseSlot), _) => match &seen.class {
            Some(class) => {
                let uid = seen.session.uid().unwrap_or_default();
                cluster::release_slot(&ctx.client, &ctx.superseded, class, &uid).await
            }
            None => Ok(()),
        },
        (Some(Step::Start(_) | Step::Stop | Step::Delete), None) | (None, _) => Ok(()),
    }
}
