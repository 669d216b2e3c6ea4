//! Asks for what a session needs before it may have a pod: a slot, the topic, and that nothing is left of an earlier pod.
//!
//! Each claim is a compare-and-swap or a live look. A slot comes first and is in the status before the topic is claimed; from
//! then on no task of the topic starts, and the session waits only for the one that runs.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use longshore_crds::conditions::types;
use longshore_crds::{AgentClass, SlotKind, Topic, names};

use super::observe::Observed;
use super::order::{claim, is_waiting, rival};
use super::stage::{Stage, stage};
use crate::cluster::{self, Error, Hold};
use crate::context::Context;
use crate::index::{Index, lookup};
use crate::ledger::{Claim, Grant, Keepers, entry};
use crate::{class, furniture, topic};

/// How far a session has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has its pod, wants none, or something else stands in the way.
    NotAsked,
    /// The class is full.
    Queued { position: i32, limit: i32 },
    /// It has a slot; the status says so before anything else happens.
    Admitted,
    /// A task of the topic runs.
    WaitingForTask(String),
    /// Another session has the topic after all.
    TopicBusy(String),
    /// An object with a name that is needed belongs to somebody else.
    NameTaken(String),
    /// An earlier pod of the topic, or a write that the cache does not show yet, is still there.
    Settling,
    /// The pod may come. It accepts tokens with these digests.
    Go { token_sha256: Vec<String> },
}

/// Topic and class, when nothing but slot and topic stands between the session and its pod.
pub fn startable(seen: &Observed, now: Timestamp) -> Option<(&Topic, &AgentClass)> {
    match (&seen.topic, &seen.class) {
        (Some(topic), Some(class))
            if stage(seen, now) == Stage::Waiting && seen.rival.is_none() && topic::is_ready(topic) =>
        {
            Some((topic, class))
        }
        _ => None,
    }
}

pub async fn admit(seen: &Observed, ctx: &Context, now: Timestamp) -> Result<Admission, Error> {
    let Some((topic, class)) = startable(seen, now) else {
        return Ok(Admission::NotAsked);
    };
    let me = claim(&seen.session);
    let now = ctx.clock.now();
    let (index, namespace) = (&ctx.index, seen.namespace());
    let keepers = Keepers::new(class, seen.namespace_class.as_deref());
    let waiting = |class: &str| waiting(index, &namespace, class);
    let others = class::others(index, &keepers, SlotKind::Session, waiting, now);
    match cluster::claim_slot(
        &ctx.client,
        &ctx.superseded,
        &keepers,
        SlotKind::Session,
        &me,
        &others,
        now,
    )
    .await?
    {
        Grant::Full { position, limit } => return Ok(Admission::Queued { position, limit }),
        Grant::Unlimited | Grant::Held | Grant::Free(_) => {}
    }
    if !seen.holds(types::ADMITTED) {
        return Ok(Admission::Admitted);
    }
    furniture::ensure(ctx, class).await?;
    match cluster::claim_writer(&ctx.client, &ctx.superseded, topic, SlotKind::Session, &me, now).await? {
        Hold::Held => {}
        Hold::Gone | Hold::Leaving => return Ok(Admission::Settling),
        Hold::Busy(other) => {
            return Ok(match other.kind {
                SlotKind::Task => Admission::WaitingForTask(other.name),
                SlotKind::Session => Admission::TopicBusy(other.name),
            });
        }
    }
    if let Some(obstacle) = remains(seen, ctx).await? {
        return Ok(obstacle);
    }
    // By an old cache one may still wait that has long ended: its pod would be nobody's.
    if !cluster::is_admitted(
        &ctx.client,
        &seen.namespace(),
        &entry(SlotKind::Session, &me, None, now),
    )
    .await?
    {
        return Ok(Admission::Settling);
    }
    let token_sha256 = ctx
        .access
        .digests(&seen.namespace(), &topic.uid().unwrap_or_default())
        .await?;
    Ok(Admission::Go { token_sha256 })
}

/// Sessions that wait for a slot of a class: the first of each topic.
fn waiting(index: &Index, namespace: &str, class: &str) -> Vec<Claim> {
    index
        .sessions
        .state_filter(|session| session.metadata.namespace.as_deref() == Some(namespace) && is_waiting(session))
        .iter()
        .filter(|session| {
            let topic = &session.spec.topic_ref.name;
            let ready = lookup(&index.topics, namespace, topic).is_some_and(|topic| topic::is_ready(&topic));
            ready
                && index
                    .class_name(namespace, topic, session.spec.agent_class_name.as_deref())
                    .as_deref()
                    == Some(class)
                && rival(session, &index.sessions_of(namespace, topic)).is_none()
        })
        .map(|session| claim(session))
        .collect()
}

/// What is in the way of the pod, looked for live: Jobs of the topic, `ls-<topic>` and `ls-<topic>-0`.
async fn remains(seen: &Observed, ctx: &Context) -> Result<Option<Admission>, Error> {
    let namespace = seen.namespace();
    let uid = seen.session.uid();
    if cluster::has_jobs_of_others(&ctx.client, &namespace, seen.topic_name(), uid.as_deref()).await? {
        return Ok(Some(Admission::Settling));
    }
    let sets: Api<StatefulSet> = Api::namespaced(ctx.client.clone(), &namespace);
    if let Some(set) = cluster::get(&sets, &names::stateful_set(seen.topic_name())).await? {
        let current = seen
            .stateful_set
            .as_ref()
            .is_some_and(|cached| cached.resource_version() == set.resource_version());
        match owner(&set) {
            _ if seen.owns(&set) && current => {}
            _ if seen.owns(&set) => return Ok(Some(Admission::Settling)),
            Some(session) => return Ok(Some(Admission::TopicBusy(session))),
            None => return Ok(Some(Admission::NameTaken(cluster::describe(&set)))),
        }
    }
    let left = cluster::pods_of_topic(&ctx.client, &namespace, seen.topic_name()).await?;
    if !left.is_empty() {
        return Ok(Some(Admission::Settling));
    }
    // One that is over still has its name.
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &namespace);
    let pod = cluster::get(&pods, &names::session_pod(seen.topic_name())).await?;
    Ok(pod.map(|_| Admission::Settling))
}

/// Name of the session that controls a StatefulSet.
fn owner(set: &StatefulSet) -> Option<String> {
    let owner = set
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))?;
    (owner.kind == "PersistentSession").then(|| owner.name.clone())
}
