//! Who may write a topic's workspace: Topic `status.writer`, changed by compare-and-swap only.
//!
//! There is no release: the entry stays behind when its holder has finished, and the next one takes it over after a live look
//! at that holder and its pods. So a crash cannot leave a topic locked, and finishing costs no write.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use longshore_crds::{ContainerTask, PersistentSession, Slot, SlotKind, Topic, meta};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Error, Superseded, describe, get, list, merge_status};
use crate::ledger::{Claim, entry};
use crate::{pod, session, task};

const ATTEMPTS: usize = 5;

/// What became of a claim on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The claimant may write the workspace.
    Held,
    /// Somebody else may.
    Busy(Slot),
    /// The Topic is gone.
    Gone,
}

/// Claims the right to write the workspace. Costs a write only when somebody else, or nobody, has it.
pub async fn claim_writer(
    client: &Client,
    superseded: &Superseded,
    topic: &Topic,
    kind: SlotKind,
    me: &Claim,
) -> Result<Hold, Error> {
    let namespace = topic.namespace().unwrap_or_default();
    let api: Api<Topic> = Api::namespaced(client.clone(), &namespace);
    for _ in 0..ATTEMPTS {
        let Some(live) = get(&api, &topic.name_any()).await? else {
            return Ok(Hold::Gone);
        };
        match live.status.as_ref().and_then(|status| status.writer.as_ref()) {
            Some(writer) if writer.uid == me.uid => return Ok(Hold::Held),
            Some(writer) if !is_done(client, &namespace, writer, kind == SlotKind::Task).await? => {
                return Ok(Hold::Busy(writer.clone()));
            }
            _ => {}
        }
        let status = json!({ "writer": entry(kind, me, Timestamp::now()) });
        match merge_status(&api, &live, status).await {
            Ok(written) => {
                superseded.note(&live, &written);
                return Ok(Hold::Held);
            }
            Err(Error::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Err(Error::Conflict { what: describe(topic) })
}

/// Whether the holder of an entry, looked at live, has no pod and will have none by right of this entry.
///
/// `suspended_counts`: whether a suspended session is done with it. It is for slots, and for tasks of its topic; for another
/// session of the topic it is not. One that was asked to run again is not suspended any more, even if its status does not
/// say so yet: the request always comes before it looks at the entry.
pub async fn is_done(client: &Client, namespace: &str, holder: &Slot, suspended_counts: bool) -> Result<bool, Error> {
    let done = match holder.kind {
        SlotKind::Session => match live::<PersistentSession>(client, namespace, holder).await? {
            None => true,
            Some(found) => session::is_over(&found) || (suspended_counts && session::rests(&found)),
        },
        SlotKind::Task => live::<ContainerTask>(client, namespace, holder)
            .await?
            .is_none_or(|t| task::is_over(&t)),
    };
    Ok(done && !has_live_pods(client, namespace, &holder.uid).await?)
}

async fn live<K>(client: &Client, namespace: &str, holder: &Slot) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    Ok(get(&api, &holder.name)
        .await?
        .filter(|found| found.uid().as_deref() == Some(&holder.uid)))
}

async fn has_live_pods(client: &Client, namespace: &str, uid: &str) -> Result<bool, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = list(
        &api,
        &ListParams::default().labels(&format!("{}={uid}", meta::UID_LABEL)),
    )
    .await?;
    Ok(pods.iter().any(|found| !pod::is_finished(found)))
}
