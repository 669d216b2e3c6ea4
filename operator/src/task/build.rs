//! The Job of a task. Pure.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use longshore_crds::{AgentClass, TaskDefaults, Topic};
use longshore_wire::agent::AgentKind;

use super::observe::Observed;
use crate::pod::{Agent, ReadOnly, labels, template};
use crate::settings::Settings;
use crate::topic::claim_name;

/// None when the task has no UID, which no task of an API server lacks.
pub fn job(
    seen: &Observed,
    topic: &Topic,
    class: &AgentClass,
    token_sha256: &[String],
    settings: &Settings,
) -> Option<Job> {
    let (namespace, name) = (seen.namespace(), seen.task.name_any());
    let (topic_name, claim, class_name) = (topic.name_any(), claim_name(topic), class.name_any());
    let topic_uid = topic.uid().unwrap_or_default();
    let agent = Agent {
        kind: AgentKind::Task,
        namespace: &namespace,
        name: &name,
        uid: seen.uid()?,
        topic: &topic_name,
        topic_uid: &topic_uid,
        topic_instructions: topic.spec.instructions.as_ref(),
        repository: topic.spec.repository.as_ref().filter(|_| !seen.task.spec.read_only),
        claim: &claim,
        class_name: &class_name,
        class: &class.spec,
        token_sha256,
        history: Some(seen.task.spec.history.unwrap_or(class.spec.task.history)),
        escalation: seen.task.spec.escalation,
        sends_files: seen
            .task
            .spec
            .origin
            .as_ref()
            .is_some_and(|origin| origin.telegram.is_some()),
        // Its answer is all that is left of it.
        read_only: seen.task.spec.read_only.then(|| ReadOnly { node: seen.node() }),
        when: seen.task.spec.when.as_ref(),
    };
    Some(Job {
        metadata: ObjectMeta {
            name: Some(seen.job_name()),
            namespace: Some(namespace.clone()),
            labels: Some(labels(&agent)),
            owner_references: seen.task.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            // It is released once nothing can come before it any more; see `release`.
            suspend: Some(true),
            backoff_limit: Some(0),
            active_deadline_seconds: Some(timeout_seconds(seen)),
            pod_failure_policy: (!seen.task.spec.read_only).then(replace_when_disrupted),
            template: template(&agent, settings),
            ..JobSpec::default()
        }),
        ..Job::default()
    })
}

/// A pod that a drain, a preemption or a lost node took is replaced without counting.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>
fn replace_when_disrupted() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".to_owned(),
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                type_: "DisruptionTarget".to_owned(),
                status: "True".to_owned(),
            }]),
            ..PodFailurePolicyRule::default()
        }],
    }
}

/// The task's own timeout, or its class's.
pub fn timeout_seconds(seen: &Observed) -> i64 {
    let of_class = || defaults(seen).timeout_seconds;
    i64::from(seen.task.spec.timeout_seconds.unwrap_or_else(of_class))
}

/// How often a lost pod is replaced. With that of a task that only reads its conversation is lost, and nothing is run twice.
pub fn retries(seen: &Observed) -> i32 {
    if seen.task.spec.read_only {
        return 0;
    }
    let of_class = || defaults(seen).retries;
    seen.task.spec.retries.unwrap_or_else(of_class)
}

/// Seconds after which a finished task is deleted.
pub fn ttl_seconds(seen: &Observed) -> i64 {
    let of_class = || defaults(seen).ttl_seconds_after_finished;
    i64::from(seen.task.spec.ttl_seconds_after_finished.unwrap_or_else(of_class))
}

/// The class's defaults, or Longshore's when the class is gone.
fn defaults(seen: &Observed) -> TaskDefaults {
    seen.class
        .as_ref()
        .map(|class| class.spec.task.clone())
        .unwrap_or_default()
}
