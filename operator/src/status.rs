//! Writing a status: only when it differs, only over the version it was computed from, with its events after it.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::{self, Error};
use crate::context::Context;
use crate::events::{self, News};

/// Applies `wanted` unless it equals what `object` has. `current` is our part of that.
pub async fn write<K>(
    ctx: &Context,
    object: &K,
    current: Option<&K::Status>,
    wanted: &K::Status,
    news: &[News],
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + HasStatus + Clone + DeserializeOwned + Debug,
    K::Status: Serialize + PartialEq,
{
    if current == Some(wanted) {
        return Ok(());
    }
    let api: Api<K> = Api::namespaced(ctx.client.clone(), &object.namespace().unwrap_or_default());
    let written = cluster::apply_status(&api, object, wanted).await?;
    ctx.superseded.note(object, &written);
    events::publish(&ctx.recorder, &object.object_ref(&()), news).await;
    Ok(())
}
