//! What is known of a task: caches first, then its runner.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{AgentClass, ContainerTask, Topic, meta, names};
use longshore_wire::api::PostMessage;
use uuid::Uuid;

use super::order::{Blocker, blocker, is_over};
use crate::agent::{self, Contact, Errand, meet};
use crate::cluster::{self, Error};
use crate::conditions::holds;
use crate::context::Context;
use crate::index::lookup;
use crate::ledger::Keepers;
use crate::{pod, topic};

#[derive(Clone, Debug)]
pub struct Observed {
    pub task: Arc<ContainerTask>,
    pub topic: Option<Arc<Topic>>,
    /// Known as soon as the topic is.
    pub class_name: Option<String>,
    pub class: Option<Arc<AgentClass>>,
    /// The class that limits the namespace.
    pub namespace_class: Option<Arc<AgentClass>>,
    pub before: Option<Blocker>,
    /// The pod of the topic's session, for a task that may run beside it.
    pub neighbour: Option<Arc<Pod>>,
    /// The Job of the current attempt, whoever made it.
    pub job: Option<Arc<Job>>,
    /// The newest pod of any attempt.
    pub pod: Option<Arc<Pod>>,
}

impl Observed {
    pub fn namespace(&self) -> String {
        self.task.namespace().unwrap_or_default()
    }

    pub fn uid(&self) -> Option<Uuid> {
        self.task.uid()?.parse().ok()
    }

    /// Number of the current attempt, from 0.
    pub fn attempt(&self) -> i32 {
        self.task
            .status
            .as_ref()
            .and_then(|status| status.restarts)
            .unwrap_or_default()
    }

    pub fn job_name(&self) -> String {
        names::job(&self.task.name_any(), self.attempt())
    }

    pub fn holds(&self, condition: &str) -> bool {
        self.task
            .status
            .as_ref()
            .is_some_and(|status| holds(&status.conditions, condition))
    }

    /// Whether it may have a slot: its status says so, or the ledger does. The ledger has more when a write of the status failed
    /// after the claim, or when the class entered somebody who was about to give way.
    pub fn may_have_slot(&self) -> bool {
        let uid = self.task.uid();
        self.holds(types::ADMITTED) || self.keepers().is_some_and(|keepers| keepers.hold(uid.as_deref()))
    }

    /// By which ledgers it goes.
    pub fn keepers(&self) -> Option<Keepers<'_>> {
        let class = self.class.as_deref()?;
        Some(Keepers::new(class, self.namespace_class.as_deref()))
    }

    /// The node to which a task must go that runs beside a session.
    pub fn node(&self) -> Option<&str> {
        self.neighbour.as_ref()?.spec.as_ref()?.node_name.as_deref()
    }

    /// Whether `object` was made for this very task.
    pub fn owns<K: kube::Resource>(&self, object: &K) -> bool {
        cluster::controller(object) == self.task.uid()
    }

    /// Whether the Job of the current attempt is there. One of the same name that is not this task's (a namesake's that is not
    /// cleaned away yet, a neighbour's) says nothing about it.
    pub fn has_job(&self) -> bool {
        self.job.as_deref().is_some_and(|job| self.owns(job))
    }

    /// Topic and class, when nothing but a slot and the topic stands between the task and its Job.
    pub fn startable(&self) -> Option<(&Topic, &AgentClass)> {
        let blocked = is_over(&self.task)
            || self.task.metadata.deletion_timestamp.is_some()
            || self.has_job()
            || self.before.is_some();
        match (&self.topic, &self.class) {
            (Some(topic), Some(class)) if !blocked && topic::is_ready(topic) => Some((topic, class)),
            _ => None,
        }
    }
}

pub fn observe(task: Arc<ContainerTask>, ctx: &Context) -> Observed {
    let index = &ctx.index;
    let namespace = task.namespace().unwrap_or_default();
    let topic_name = task.spec.topic_ref.name.as_str();
    let class_name = index.class_name(&namespace, topic_name, task.spec.agent_class_name.as_deref());
    let mut seen = Observed {
        topic: lookup(&index.topics, &namespace, topic_name),
        class: class_name
            .as_deref()
            .and_then(|name| lookup(&index.classes, &namespace, name)),
        class_name,
        namespace_class: index.class_of_namespace(&namespace),
        before: blocker(
            &task,
            &index.tasks_of(&namespace, topic_name),
            &index.sessions_of(&namespace, topic_name),
        ),
        neighbour: neighbour(&task, &index.pods.state()),
        job: None,
        pod: newest_pod(&task, &index.pods.state()),
        task,
    };
    seen.job = lookup(&index.jobs, &namespace, &seen.job_name());
    seen
}

fn neighbour(task: &ContainerTask, pods: &[Arc<Pod>]) -> Option<Arc<Pod>> {
    let label = |pod: &Pod, name: &str, value: &str| pod.labels().get(name).is_some_and(|found| found == value);
    let of_session = |pod: &&Arc<Pod>| {
        task.spec.read_only
            && pod.namespace() == task.namespace()
            && label(pod, meta::TOPIC_LABEL, &task.spec.topic_ref.name)
            && label(pod, meta::KIND_LABEL, "session")
            && !pod::is_finished(pod)
    };
    pods.iter().find(of_session).cloned()
}

fn newest_pod(task: &ContainerTask, pods: &[Arc<Pod>]) -> Option<Arc<Pod>> {
    let uid = task.uid()?;
    pods.iter()
        .filter(|pod| pod.labels().get(meta::UID_LABEL) == Some(&uid))
        .max_by_key(|pod| (pod.creation_timestamp().map(|at| at.0), pod.name_any()))
        .cloned()
}

/// Talks to the task's runner, if there is one and something to say.
pub async fn contact(seen: &Observed, ctx: &Context) -> Result<Contact, Error> {
    let (Some(errand), Some(uid), Some(pod)) = (errand(seen), seen.uid(), seen.pod.as_deref()) else {
        return Ok(Contact::NotTried);
    };
    let (Some(endpoint), Some(topic_uid)) = (pod::endpoint(pod), pod::topic_uid(pod, seen.topic.as_deref())) else {
        return Ok(Contact::NotTried);
    };
    let tokens = ctx.access.tokens(&seen.namespace(), &topic_uid).await?;
    Ok(meet(&ctx.dialer, &endpoint, &tokens, uid, &errand).await)
}

/// What to want of the runner, by what the status already has.
fn errand(seen: &Observed) -> Option<Errand> {
    if is_over(&seen.task) {
        let stored = seen.task.status.as_ref().is_some_and(|status| status.result.is_some());
        return stored.then(|| Errand {
            acknowledge: true,
            ..Errand::default()
        });
    }
    let message = (!seen.holds(types::READY)).then(|| prompt(&seen.task));
    Some(Errand {
        message,
        collect: true,
        ..Errand::default()
    })
}

fn prompt(task: &ContainerTask) -> PostMessage {
    agent::prompt(task, task.spec.origin.as_ref(), task.spec.prompt.clone())
}
