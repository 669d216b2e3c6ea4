//! `longshore-operator uninstall`: the chart's pre-delete hook.
//!
//! Asks all sessions to end while the operator still runs, waits for their pods for a bounded time, then lifts our finalizers,
//! which nobody could lift afterwards. It never hangs: what is not done at the deadline is reported and left.
//!
//! Custom resources, volumes, the Secret, the Service and the network policies stay: a pod that is still there shall not be set
//! free, and the operator, which still runs, would make them anew.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use longshore_crds::{ContainerTask, GROUP, PersistentSession, Topic, meta};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use crate::session;
use crate::settings::{Scope, UninstallArgs};

const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Longest wait for one look at all sessions.
const LOOK_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for the finalizers, after the sessions. The chart gives the Job a little more than both together.
const LIFT_TIMEOUT: Duration = Duration::from_secs(15);

/// All scopes at once, since the time is the same for all.
pub async fn uninstall(client: Client, args: UninstallArgs) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout_seconds);
    let scopes = args.place.scopes()?;
    let outcomes = join_all(scopes.iter().map(|scope| leave(&client, scope, deadline))).await;
    outcomes.into_iter().collect()
}

async fn leave(client: &Client, scope: &Scope, deadline: Instant) -> anyhow::Result<()> {
    if timeout_at(deadline, end_sessions(client, scope)).await.is_err() {
        tracing::warn!(
            ?scope,
            "some sessions did not end in time; their pods are left to Kubernetes"
        );
    }
    let lifted = async {
        lift_finalizers::<Topic>(client, scope).await?;
        lift_finalizers::<ContainerTask>(client, scope).await?;
        lift_finalizers::<PersistentSession>(client, scope).await
    };
    timeout(LIFT_TIMEOUT, lifted)
        .await
        .with_context(|| format!("the API server took longer than {LIFT_TIMEOUT:?} over the finalizers of {scope:?}"))?
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

/// Returns once no session lives and none has a pod. An error is tried again, for as long as the caller waits.
async fn end_sessions(client: &Client, scope: &Scope) {
    loop {
        match timeout(LOOK_TIMEOUT, ask_to_end(client, scope)).await {
            Ok(Ok((0, 0))) => return,
            Ok(Ok((sessions, pods))) => tracing::info!(sessions, pods, "waiting for sessions to end"),
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "trying again"),
            Err(_) => tracing::warn!("the API server did not answer; trying again"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Asks every session that nobody has asked yet, also one that came a moment ago. How many sessions and pods there are still.
async fn ask_to_end(client: &Client, scope: &Scope) -> anyhow::Result<(usize, usize)> {
    let sessions = all::<PersistentSession>(client, scope)
        .list(&ListParams::default())
        .await
        .context("cannot list the sessions")?;
    let live: Vec<&PersistentSession> = sessions.items.iter().filter(|s| !session::is_over(s)).collect();
    for found in live.iter().filter(|found| !found.annotations().contains_key(meta::END)) {
        let api: Api<PersistentSession> = Api::namespaced(client.clone(), &found.namespace().unwrap_or_default());
        let patch = json!({ "metadata": { "annotations": { meta::END: "uninstall" } } });
        let patched = api
            .patch(&found.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await;
        ignore_missing(patched).with_context(|| format!("cannot end PersistentSession {}", found.name_any()))?;
    }
    let of_sessions = ListParams::default().labels(&format!("{}=session", meta::KIND_LABEL));
    let pods = all::<Pod>(client, scope)
        .list(&of_sessions)
        .await
        .context("cannot list the sessions' pods")?;
    Ok((live.len(), pods.items.len()))
}

/// Without the operator nobody would lift them, and deleting the objects would hang.
async fn lift_finalizers<K>(client: &Client, scope: &Scope) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
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

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::Value;

    use super::*;
    use crate::settings::Place;

    fn session(name: &str, conditions: &Value) -> Value {
        json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
            "metadata": { "name": name, "namespace": "ns", "uid": name },
            "spec": { "topicRef": { "name": "t" } }, "status": { "conditions": conditions } })
    }

    fn over(name: &str) -> Value {
        session(
            name,
            &json!([{ "type": "Ended", "status": "True", "reason": "UserEnded", "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z" }]),
        )
    }

    /// A server whose lists of sessions are these, one after the other, the last one for ever. All else is empty, and what is
    /// patched is sent down the channel.
    fn server(mut sessions: Vec<Vec<Value>>) -> (Client, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let (patched, patches) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let path = request.uri().path().to_owned();
                let body = if request.method() == "PATCH" {
                    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                    let answer = session(&name, &json!([]));
                    patched.send(name).unwrap();
                    answer
                } else {
                    let items = match path.ends_with("persistentsessions") {
                        true if sessions.len() > 1 => sessions.remove(0),
                        true => sessions[0].clone(),
                        false => Vec::new(),
                    };
                    json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items })
                };
                send.send_response(Response::new(Body::from(serde_json::to_vec(&body).unwrap())));
            }
        });
        (Client::new(service, "ns"), patches)
    }

    fn args(namespaces: &[&str]) -> UninstallArgs {
        UninstallArgs {
            place: Place {
                namespace: "longshore".to_owned(),
                watch_namespaces: namespaces.join(","),
            },
            timeout_seconds: 30,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_come_while_others_end_are_asked_as_well() {
        let new = |name| session(name, &json!([]));
        let (client, mut patches) = server(vec![
            vec![new("first")],
            vec![over("first"), new("second")],
            vec![over("first"), over("second")],
        ]);
        uninstall(client, args(&["ns"])).await.unwrap();
        assert_eq!(patches.try_recv().unwrap(), "first");
        assert_eq!(patches.try_recv().unwrap(), "second");
        assert!(patches.try_recv().is_err(), "who was asked is not asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn several_namespaces_take_no_longer_than_one() {
        let (client, _patches) = server(vec![vec![session("slow", &json!([]))]]);
        let begun = Instant::now();
        uninstall(client, args(&["one", "two", "three"])).await.unwrap();
        let taken = begun.elapsed();
        assert!(
            taken >= Duration::from_secs(30) && taken < Duration::from_secs(32),
            "{taken:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_api_server_is_given_up_before_the_job_is_killed() {
        let (service, _silent) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let begun = Instant::now();
        let outcome = uninstall(Client::new(service, "ns"), args(&["ns"])).await;
        assert!(outcome.is_err());
        assert_eq!(begun.elapsed(), Duration::from_secs(30) + LIFT_TIMEOUT);
    }
}
