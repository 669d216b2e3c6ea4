//! The ContainerTask of a run. Pure.

use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use longshore_crds::{ContainerTask, ContainerTaskSpec, Origin, ScheduledTask, TelegramOrigin, Topic, meta, names};

use super::calendar::Calendar;

/// The minute of a run, from the Unix epoch.
pub fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// Name of the task of a run.
pub fn run_name(schedule: &ScheduledTask, at: Timestamp) -> String {
    names::for_run(&schedule.name_any(), minute(at))
}

/// Nobody wrote a message for it, so its answer is for the place that the topic is bound to. `beside` a session it only reads.
pub fn run(schedule: &ScheduledTask, topic: &Topic, calendar: &Calendar, at: Timestamp, beside: bool) -> ContainerTask {
    let spec = &schedule.spec;
    let labels = [
        (meta::MANAGED_BY.0, meta::MANAGED_BY.1.to_owned()),
        (meta::TOPIC_LABEL, spec.topic_ref.name.clone()),
        (meta::SCHEDULE_LABEL, schedule.name_any()),
    ];
    let place = topic.binding().map(|binding| TelegramOrigin {
        chat_id: binding.chat_id,
        thread_id: binding.thread_id,
        ..TelegramOrigin::default()
    });
    ContainerTask {
        metadata: ObjectMeta {
            name: Some(run_name(schedule, at)),
            namespace: schedule.namespace(),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
            annotations: Some([(meta::SCHEDULED_FOR.to_owned(), calendar.show(at))].into()),
            owner_references: schedule.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: ContainerTaskSpec {
            topic_ref: spec.topic_ref.clone(),
            read_only: beside,
            prompt: spec.prompt.clone(),
            agent_class_name: spec.agent_class_name.clone(),
            timeout_seconds: spec.timeout_seconds,
            ttl_seconds_after_finished: None,
            retries: None,
            history: None,
            // Nobody waits for what a schedule does, so there is nobody to ask.
            escalation: None,
            when: spec.when.clone(),
            origin: place.map(|place| Origin { telegram: Some(place) }),
        },
        status: None,
    }
}
