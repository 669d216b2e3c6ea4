//! What is known of a schedule. Caches only.

use std::sync::Arc;

use kube::ResourceExt;
use longshore_crds::{ContainerTask, ScheduledTask, Topic};

use crate::cluster;
use crate::context::Context;
use crate::index::lookup;
use crate::session;

#[derive(Clone, Debug)]
pub struct Observed {
    pub schedule: Arc<ScheduledTask>,
    pub topic: Option<Arc<Topic>>,
    /// Tasks of its runs, oldest first.
    pub runs: Vec<Arc<ContainerTask>>,
    /// A session of the topic that has a pod, or may get one at any moment.
    pub session: Option<String>,
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
    let sessions = ctx.index.sessions_of(&namespace, topic);
    Observed {
        topic: lookup(&ctx.index.topics, &namespace, topic),
        runs,
        session: sessions
            .iter()
            .find(|session| session::occupies(session))
            .map(|session| session.name_any()),
        schedule,
    }
}
