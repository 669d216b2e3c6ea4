//! What is known of a schedule: caches, and the runner that a run is being given to.

use std::sync::Arc;

use kube::{Api, Client, ResourceExt};
use longshore_crds::{ContainerTask, PendingRun, PersistentSession, ScheduledTask, Topic};

use super::calendar::Calendar;
use super::hand_over;
use crate::agent::Handed;
use crate::cluster::{self, Error};
use crate::context::Context;
use crate::index::lookup;
use crate::session;

#[derive(Clone, Debug)]
pub struct Observed {
    pub schedule: Arc<ScheduledTask>,
    pub topic: Option<Arc<Topic>>,
    /// Tasks of its runs, oldest first.
    pub runs: Vec<Arc<ContainerTask>>,
    /// Sessions of the topic, in the order of names.
    pub sessions: Vec<Arc<PersistentSession>>,
}

impl Observed {
    /// Whether a session of the topic has a pod, or may get one at any moment.
    pub fn has_session_pod(&self) -> bool {
        self.sessions.iter().any(|session| session::occupies(session))
    }

    /// The session that the topic belongs to, awake or asleep.
    pub fn holder(&self) -> Option<&Arc<PersistentSession>> {
        let holders = self.sessions.iter().filter(|session| session::holds_topic(session));
        holders.min_by_key(|session| session::claim(session))
    }

    /// The session that a run waits for, unless it is gone.
    pub fn session_of(&self, pending: &PendingRun) -> Option<&Arc<PersistentSession>> {
        let is_it = |session: &&Arc<PersistentSession>| session.uid().as_ref() == Some(&pending.session_uid);
        self.sessions.iter().find(is_it)
    }
}

pub fn observe(schedule: Arc<ScheduledTask>, ctx: &Context) -> Observed {
    let namespace = schedule.namespace().unwrap_or_default();
    let topic = schedule.spec.topic_ref.name.as_str();
    let uid = schedule.uid();
    let mut runs = ctx
        .index
        .tasks
        .state_filter(|task| uid.is_some() && cluster::controller(task) == uid);
    runs.sort_by_key(|run| (run.creation_timestamp().map(|at| at.0), run.name_any()));
    Observed {
        topic: lookup(&ctx.index.topics, &namespace, topic),
        runs,
        sessions: ctx.index.sessions_of(&namespace, topic),
        schedule,
    }
}

/// Gives the run to its session, if the status says that this is the step. None when there is nobody to give it to.
///
/// # Errors
/// When the schedule is not the one that was looked at: somebody else may have settled the run.
pub async fn hand(seen: &Observed, ctx: &Context) -> Result<Option<Handed>, Error> {
    let schedule = seen.schedule.as_ref();
    let Some((pending, session)) = hand_over::to_give(seen) else {
        return Ok(None);
    };
    let Ok(calendar) = Calendar::read(&schedule.spec.schedule, &schedule.spec.time_zone) else {
        return Ok(None);
    };
    is_current(schedule, &ctx.client).await?;
    let message = hand_over::message(schedule, &calendar, pending.schedule_time.0);
    session::hand(Arc::clone(session), &message, ctx).await
}

/// The name of a run keeps it from being started twice only as long as its task is there, and a session takes it once only as long
/// as it is there. So somebody whose cache is old, as a leader that was replaced without knowing it, must not start what another
/// has settled.
pub async fn is_current(schedule: &ScheduledTask, client: &Client) -> Result<(), Error> {
    let api: Api<ScheduledTask> = Api::namespaced(client.clone(), &schedule.namespace().unwrap_or_default());
    let live = cluster::get(&api, &schedule.name_any()).await?;
    let same =
        |live: ScheduledTask| live.uid() == schedule.uid() && live.resource_version() == schedule.resource_version();
    if live.is_some_and(same) {
        Ok(())
    } else {
        Err(Error::Conflict {
            what: cluster::describe(schedule),
        })
    }
}
