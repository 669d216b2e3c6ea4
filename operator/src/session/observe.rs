//! What is known of a session: caches first, then its runner.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{AgentClass, PersistentSession, SessionPhase, Topic, meta, names};
use longshore_wire::api::{PostMessage, Quiesce, RunnerState};
use secrecy::SecretString;
use uuid::Uuid;

use super::cause::{EndCause, RestCause};
use super::deadlines::{Spans, spans};
use super::order::rival;
use super::stage::{Stage, is_wanted_back, stage};
use crate::agent::{self, Contact, Errand, Handed, meet};
use crate::cluster::{self, Error, Superseded};
use crate::conditions::holds;
use crate::context::Context;
use crate::index::lookup;
use crate::ledger::Keepers;
use crate::pod;

#[derive(Clone, Debug)]
pub struct Observed {
    pub session: Arc<PersistentSession>,
    pub topic: Option<Arc<Topic>>,
    /// Known as soon as the topic is.
    pub class_name: Option<String>,
    pub class: Option<Arc<AgentClass>>,
    /// The class that limits the namespace.
    pub namespace_class: Option<Arc<AgentClass>>,
    /// The session of the topic that goes before this one.
    pub rival: Option<String>,
    /// The StatefulSet, if it is this session's.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// The pod, if it is this session's.
    pub pod: Option<Arc<Pod>>,
}

impl Observed {
    pub fn namespace(&self) -> String {
        self.session.namespace().unwrap_or_default()
    }

    pub fn uid(&self) -> Option<Uuid> {
        self.session.uid()?.parse().ok()
    }

    pub fn topic_name(&self) -> &str {
        &self.session.spec.topic_ref.name
    }

    pub fn phase(&self) -> Option<SessionPhase> {
        self.session.status.as_ref().and_then(|status| status.phase)
    }

    pub fn holds(&self, condition: &str) -> bool {
        self.session
            .status
            .as_ref()
            .is_some_and(|status| holds(&status.conditions, condition))
    }

    /// Whether it may have a slot: its status says so, or the ledger does. The ledger has more when a write of the status failed
    /// after the claim, or when the class entered somebody who was about to give way.
    pub fn may_have_slot(&self) -> bool {
        let uid = self.session.uid();
        self.holds(types::ADMITTED) || self.keepers().is_some_and(|keepers| keepers.hold(uid.as_deref()))
    }

    /// By which ledgers it goes.
    pub fn keepers(&self) -> Option<Keepers<'_>> {
        let class = self.class.as_deref()?;
        Some(Keepers::new(class, self.namespace_class.as_deref()))
    }

    /// Whether the StatefulSet shall have its pod.
    pub fn is_up(&self) -> bool {
        self.stateful_set
            .as_ref()
            .is_some_and(|set| set.spec.as_ref().and_then(|spec| spec.replicas) != Some(0))
    }

    /// The spans that apply.
    pub fn spans(&self) -> Spans {
        spans(&self.session.spec, self.topic.as_deref(), self.class.as_deref())
    }

    /// Whether its outcomes are summarised when it winds down.
    pub fn summarizes(&self) -> bool {
        self.class.as_ref().is_none_or(|class| class.spec.session.summarize)
    }

    /// Whether a newer version of what this pass decides by is known to exist.
    pub fn is_old(&self, superseded: &Superseded) -> bool {
        superseded.is_old(self.session.as_ref())
            || self
                .stateful_set
                .as_ref()
                .is_some_and(|set| superseded.is_old(set.as_ref()))
    }

    /// Whether `object` was made for this very session.
    pub fn owns<K: kube::Resource>(&self, object: &K) -> bool {
        cluster::controller(object) == self.session.uid()
    }
}

pub fn observe(session: Arc<PersistentSession>, ctx: &Context) -> Observed {
    let index = &ctx.index;
    let namespace = session.namespace().unwrap_or_default();
    let topic_name = session.spec.topic_ref.name.as_str();
    let class_name = index.class_name(&namespace, topic_name, session.spec.agent_class_name.as_deref());
    let uid = session.uid();
    let mine = |pod: &Arc<Pod>| pod.labels().get(meta::UID_LABEL) == uid.as_ref();
    Observed {
        topic: lookup(&index.topics, &namespace, topic_name),
        class: class_name
            .as_deref()
            .and_then(|name| lookup(&index.classes, &namespace, name)),
        class_name,
        namespace_class: index.class_of_namespace(&namespace),
        rival: rival(&session, &index.sessions_of(&namespace, topic_name)),
        stateful_set: lookup(&index.stateful_sets, &namespace, &names::stateful_set(topic_name))
            .filter(|set| cluster::controller(set.as_ref()) == uid),
        pod: lookup(&index.pods, &namespace, &names::session_pod(topic_name)).filter(mine),
        session,
    }
}

/// Talks to the session's runner, if there is one and something to say.
pub async fn contact(seen: &Observed, ctx: &Context, now: Timestamp) -> Result<Contact, Error> {
    let (Some(errand), Some(uid)) = (errand(seen, now), seen.uid()) else {
        return Ok(Contact::NotTried);
    };
    let mut contact = call(seen, &errand, ctx).await?;
    if let Contact::Met(met) = &mut contact {
        let quiesced = met.status.state == RunnerState::Quiesced;
        met.quiesced_at = ctx.quiesced.since(uid, quiesced, now);
    }
    Ok(contact)
}

/// Asks the session's runner how it is.
pub async fn look(seen: &Observed, ctx: &Context) -> Result<Contact, Error> {
    call(seen, &Errand::default(), ctx).await
}

async fn call(seen: &Observed, errand: &Errand, ctx: &Context) -> Result<Contact, Error> {
    Ok(match door(seen, ctx).await? {
        Some(door) => meet(&ctx.dialer, &door.endpoint, &door.tokens, door.uid, errand).await,
        None => Contact::NotTried,
    })
}

/// Gives a message to the session's runner; none when there is none to talk to.
pub async fn hand(
    session: Arc<PersistentSession>,
    message: &PostMessage,
    ctx: &Context,
) -> Result<Option<Handed>, Error> {
    Ok(match door(&observe(session, ctx), ctx).await? {
        Some(door) => Some(agent::hand(&ctx.dialer, &door.endpoint, &door.tokens, door.uid, message).await),
        None => None,
    })
}

/// Where the session's runner listens, and what opens it.
struct Door {
    uid: Uuid,
    endpoint: String,
    tokens: Vec<SecretString>,
}

async fn door(seen: &Observed, ctx: &Context) -> Result<Option<Door>, Error> {
    let (Some(uid), Some(pod)) = (seen.uid(), seen.pod.as_deref()) else {
        return Ok(None);
    };
    let (Some(endpoint), Some(topic_uid)) = (pod::endpoint(pod), pod::topic_uid(pod, seen.topic.as_deref())) else {
        return Ok(None);
    };
    let tokens = ctx.access.tokens(&seen.namespace(), &topic_uid).await?;
    Ok(Some(Door { uid, endpoint, tokens }))
}

/// What to want of the runner, by what the status already says: winding down is asked for only once that is persisted, the
/// prompt is given until the session has been Ready with this pod.
fn errand(seen: &Observed, now: Timestamp) -> Option<Errand> {
    let stage = stage(seen, now);
    match stage {
        Stage::Up => {
            let message = if seen.holds(types::READY) {
                None
            } else {
                prompt(&seen.session)
            };
            Some(Errand {
                message,
                ..Errand::default()
            })
        }
        Stage::Ending(cause) => Some(farewell(seen, SessionPhase::Ending, cause == EndCause::Idle, stage)),
        Stage::Suspending(cause) => Some(farewell(
            seen,
            SessionPhase::Suspending,
            cause != RestCause::Requested,
            stage,
        )),
        _ => None,
    }
}

/// Idleness is decided by the runner, which knows of what has happened since somebody looked.
fn farewell(seen: &Observed, phase: SessionPhase, idle: bool, stage: Stage) -> Errand {
    let status = seen.session.status.as_ref();
    let deadline = status.and_then(|status| status.drain_deadline.as_ref());
    let activity = status
        .and_then(|status| status.last_activity_time.as_ref())
        .map(|at| at.0);
    let asks = seen.phase() == Some(phase) && !is_wanted_back(seen, stage);
    Errand {
        quiesce: deadline.filter(|_| asks).map(|at| Quiesce {
            deadline: at.0,
            summarize: seen.summarizes(),
            unless_active_after: activity.filter(|_| idle),
        }),
        ..Errand::default()
    }
}

fn prompt(session: &PersistentSession) -> Option<PostMessage> {
    let text = session.spec.prompt.clone()?;
    Some(agent::prompt(session, session.spec.origin.as_ref(), text))
}
