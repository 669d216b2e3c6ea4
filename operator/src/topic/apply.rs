//! Effects of a topic's plan.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, ResourceExt};

use super::observe::Observed;
use super::plan::{Plan, Step};
use crate::cluster::{self, Error};
use crate::context::Context;

pub async fn apply(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(ctx.client.clone(), &seen.topic.namespace().unwrap_or_default());
    match &plan.step {
        None => Ok(()),
        Some(Step::CreateClaim(claim)) => cluster::create(&api, claim).await.map(|_| ()),
        Some(Step::ChangeClaim { name, patch }) => cluster::merge(&api, name, patch).await.map(|_| ()),
    }
}
