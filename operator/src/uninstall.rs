//! `longshore-operator uninstall`: the chart's pre-delete hook.
//!
//! Asks all sessions to end while the operator still runs, waits for their pods for a bounded time, then lifts our finalizers,
//! which nobody could lift afterwards. It never hangs: what is not done at the deadline is reported and left.
//!
//! Custom resources, volumes, the Secret, the Service and the network policies stay: a pod that is still there shall not be set
//! free, and the operator, which still runs, would make them anew.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use longshore_crds::{ContainerTask, GROUP, PersistentSession, Topic, meta};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::session;
use crate::settings::{Scope, UninstallArgs};

const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub async fn uninstall(client: Client, args: UninstallArgs) -> anyhow::Result<()> {
    for scope in args.place.scopes()? {
        let timeout = Duration::from_secs(args.timeout_seconds);
        match tokio::time::timeout(timeout, end_sessions(&client, &scope)).await {
            Ok(ended) => ended?,
            Err(_) => tracing::warn!(
                ?scope,
                "some sessions did not end in time; their pods are left to Kubernetes"
            ),
        }
        lift_finalizers::<Topic>(&client, &scope).await?;
        lift_finalizers::<ContainerTask>(&client, &scope).await?;
        lift_finalizers::<PersistentSession>(&client, &scope).await?;
    }
    Ok(())
}

fn all<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match scope {
        Scope::Cluster => Api::all(client.clone()),
        Scope::Namespace(name) => Api::namespaced(client.clone(), name),
    }
}

async fn end_sessions(client: &Client, scope: &Scope) -> anyhow::Result<()> {
    let live = all::<PersistentSession>(client, scope);
    for found in live
        .list(&ListParams::default())
        .await?
        .items
        .iter()
        .filter(|s| !session::is_over(s))
    {
        let api: Api<PersistentSession> = Api::namespaced(client.clone(), &found.namespace().unwrap_or_default());
        let patch = json!({ "metadata": { "annotations": { meta::END: "uninstall" } } });
        let patched = api
            .patch(&found.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await;
        ignore_missing(patched).with_context(|| format!("cannot end PersistentSession {}", found.name_any()))?;
    }
    let pods = all::<Pod>(client, scope);
    loop {
        let waiting = live
            .list(&ListParams::default())
            .await?
            .items
            .iter()
            .filter(|s| !session::is_over(s))
            .count();
        let left = pods
            .list(&ListParams::default().labels(&format!("{}=session", meta::KIND_LABEL)))
            .await?
            .items
            .len();
        if waiting == 0 && left == 0 {
            return Ok(());
        }
        tracing::info!(sessions = waiting, pods = left, "waiting for sessions to end");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Without the operator nobody would lift them, and deleting the objects would hang.
async fn lift_finalizers<K>(client: &Client, scope: &Scope) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    for found in all::<K>(client, scope).list(&ListParams::default()).await?.items {
        let foreign: Vec<&String> = found
            .finalizers()
            .iter()
            .filter(|name| !name.starts_with(GROUP))
            .collect();
        if foreign.len() == found.finalizers().len() {
            continue;
        }
        let api: Api<K> = Api::namespaced(client.clone(), &found.namespace().unwrap_or_default());
        let patch = json!({ "metadata": { "finalizers": foreign, "resourceVersion": found.resource_version() } });
        ignore_missing(
            api.patch(&found.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                .await,
        )
        .with_context(|| format!("cannot lift the finalizers of {}", found.name_any()))?;
    }
    Ok(())
}

fn ignore_missing<T>(outcome: kube::Result<T>) -> kube::Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(e) => Err(e),
    }
}
