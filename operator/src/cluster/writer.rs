//! Who may write a topic's workspace: Topic `status.writer`, changed by compare-and-swap only.
//!
//! There is no release: the entry stays behind when its holder has finished, and the next one takes it over after a live look
//! at that holder and its pods. So a crash cannot leave a topic locked, and finishing costs no write.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
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
    /// Nobody may yet: the last one is done, but its pod is still there.
    Leaving,
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
    now: Timestamp,
) -> Result<Hold, Error> {
    let namespace = topic.namespace().unwrap_or_default();
    let api: Api<Topic> = Api::namespaced(client.clone(), &namespace);
    for _ in 0..ATTEMPTS {
        let Some(live) = get(&api, &topic.name_any()).await? else {
            return Ok(Hold::Gone);
        };
        match live.status.as_ref().and_then(|status| status.writer.as_ref()) {
            Some(writer) if writer.uid == me.uid => return Ok(Hold::Held),
            Some(writer) => match state_of(client, &namespace, writer, Entry::Topic { wanted_by: kind }).await? {
                State::Active => return Ok(Hold::Busy(writer.clone())),
                State::Leaving => return Ok(Hold::Leaving),
                State::Gone => {}
            },
            None => {}
        }
        let status = json!({ "writer": entry(kind, me, None, now) });
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

/// Whether the holder of a slot, looked at live, has no pod and will have none by right of this entry.
pub async fn is_done(client: &Client, namespace: &str, holder: &Slot) -> Result<bool, Error> {
    Ok(state_of(client, namespace, holder, Entry::Slot).await? == State::Gone)
}

/// Whether somebody, looked at live, was admitted and is not over.
pub async fn is_admitted(client: &Client, namespace: &str, holder: &Slot) -> Result<bool, Error> {
    Ok(match holder.kind {
        SlotKind::Session => live::<PersistentSession>(client, namespace, holder)
            .await?
            .is_some_and(|found| session::occupies(&found)),
        SlotKind::Task => live::<ContainerTask>(client, namespace, holder)
            .await?
            .is_some_and(|found| task::occupies(&found)),
    })
}

/// State of the holder of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    /// Done with it, but for a pod that is not gone yet.
    Leaving,
    Gone,
}

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Slot,
    Topic { wanted_by: SlotKind },
}

/// A suspended session needs neither its slot nor the topic, but the topic it yields to tasks only. One that was asked to run
/// again is not suspended any more, even if its status does not say so yet: the request always comes before it looks at its
/// slot. One that never ran and lost its slot again holds the topic no more, as `session::order` has it: were the two of different
/// opinions, the next session would take a slot and give it back for ever.
///
/// Between tasks and sessions the topic belongs to whoever was admitted, which is also what `task::order` goes by: were the two of
/// different opinions, a task would be admitted and turned away for ever. Each claims the topic after its admission is in its
/// status, and a task looks for sessions once more before it makes use of it.
async fn state_of(client: &Client, namespace: &str, holder: &Slot, entry: Entry) -> Result<State, Error> {
    let active = match holder.kind {
        SlotKind::Session => {
            live::<PersistentSession>(client, namespace, holder)
                .await?
                .is_some_and(|found| match entry {
                    Entry::Slot => !session::is_over(&found) && !session::rests(&found),
                    Entry::Topic {
                        wanted_by: SlotKind::Session,
                    } => session::holds_topic(&found),
                    Entry::Topic {
                        wanted_by: SlotKind::Task,
                    } => session::occupies(&found),
                })
        }
        SlotKind::Task => live::<ContainerTask>(client, namespace, holder)
            .await?
            .is_some_and(|found| match entry {
                Entry::Slot => !task::is_over(&found),
                Entry::Topic { .. } => task::occupies(&found),
            }),
    };
    Ok(if active {
        State::Active
    } else if has_pods(client, namespace, holder).await? {
        State::Leaving
    } else {
        State::Gone
    })
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

/// What may write the topic's workspace.
fn writers_of(topic: &str) -> ListParams {
    ListParams::default().labels(&format!("{}={topic},!{}", meta::TOPIC_LABEL, meta::READ_ONLY_LABEL))
}

/// Whether another task of the topic that may write has a Job that is not over. To be asked by whoever has just claimed the
/// topic: the look before the claim cannot see a Job whose create was still on its way (`task::release`).
pub async fn has_jobs_of_others(
    client: &Client,
    namespace: &str,
    topic: &str,
    me: Option<&str>,
) -> Result<bool, Error> {
    let of_topic = writers_of(topic);
    let jobs = list(&Api::<Job>::namespaced(client.clone(), namespace), &of_topic).await?;
    let other = |job: &Job| job.labels().get(meta::UID_LABEL).map(String::as_str) != me;
    Ok(jobs.iter().any(|job| other(job) && !task::job_is_over(job)))
}

/// Pods of a topic that may write and are not finished, whoever's they are: sessions and tasks that are gone may leave one behind
/// that still stops.
///
/// To be asked by whoever has claimed the topic. As a rule the claim has looked at the last writer's pods; but a Topic that was
/// deleted and made anew does not know who wrote its volume last.
pub async fn pods_of_topic(client: &Client, namespace: &str, topic: &str) -> Result<Vec<Pod>, Error> {
    let of_topic = writers_of(topic);
    let mut pods = list(&Api::<Pod>::namespaced(client.clone(), namespace), &of_topic).await?;
    pods.retain(|found| !pod::is_finished(found));
    Ok(pods)
}

/// Whether it has a pod, or something that may still make one.
///
/// Pods of finished tasks stay to be read; those of sessions are deleted, and count until they are gone.
pub async fn has_pods(client: &Client, namespace: &str, holder: &Slot) -> Result<bool, Error> {
    let mine = ListParams::default().labels(&format!("{}={}", meta::UID_LABEL, holder.uid));
    let pods = list(&Api::<Pod>::namespaced(client.clone(), namespace), &mine).await?;
    match holder.kind {
        SlotKind::Session if pods.is_empty() => {
            let sets = list(&Api::<StatefulSet>::namespaced(client.clone(), namespace), &mine).await?;
            Ok(sets
                .iter()
                .any(|set| set.spec.as_ref().and_then(|spec| spec.replicas) != Some(0)))
        }
        SlotKind::Session => Ok(true),
        SlotKind::Task if pods.is_empty() => {
            let jobs = list(&Api::<Job>::namespaced(client.clone(), namespace), &mine).await?;
            Ok(jobs.iter().any(|job| !task::job_is_over(job)))
        }
        SlotKind::Task => Ok(pods.iter().any(|found| !pod::is_finished(found))),
    }
}
