//! ContainerTask: one prompt, one Job.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::{reasons, types};
use crate::{History, Origin, TopicRef, Usage, When};

/// Desired state of a ContainerTask.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "ContainerTask",
    plural = "containertasks",
    shortname = "ct",
    category = "longshore",
    namespaced,
    status = "ContainerTaskStatus",
    derive = "PartialEq",
    selectable = ".spec.topicRef.name",
    doc = "One prompt that claude answers in a pod of its own, on the topic's workspace. The answer is in status.result.",
    printcolumn(name = "Topic", type_ = "string", json_path = ".spec.topicRef.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Queue", type_ = "integer", json_path = ".status.queuePosition"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startTime", priority = "1"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".status.podName", priority = "1"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.usage.costUsd", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 60 && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')")
        .message("metadata.name: use at most 60 lower-case letters, digits and '-', starting and ending with a letter or digit; the Job bears this name")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.topicRef == oldSelf.topicRef").message("topicRef cannot be changed; create another ContainerTask"),
    validation = Rule::new("self.prompt == oldSelf.prompt").message("prompt cannot be changed; create another ContainerTask"),
    validation = Rule::new("has(self.agentClassName) == has(oldSelf.agentClassName) && (!has(self.agentClassName) || self.agentClassName == oldSelf.agentClassName)")
        .message("agentClassName cannot be changed; create another ContainerTask"),
    validation = Rule::new("has(self.escalation) == has(oldSelf.escalation) && (!has(self.escalation) || self.escalation == oldSelf.escalation)")
        .message("escalation cannot be changed, since the agent was told of it; create another ContainerTask"),
    validation = Rule::new("(has(self.readOnly) && self.readOnly) == (has(oldSelf.readOnly) && oldSelf.readOnly)").message("readOnly cannot be changed; create another ContainerTask"),
    validation = Rule::new("!has(self.readOnly) || !self.readOnly || !has(self.escalation)")
        .message("escalation: a task with readOnly has none, since a session may well run beside it; remove one of the two"),
    validation = Rule::new("!has(self.readOnly) || !self.readOnly || !has(self.retries) || self.retries == 0")
        .message("retries: the conversation of a task with readOnly is gone with its pod, and nothing is run twice; remove retries or readOnly"),
    validation = Rule::new("has(self.origin) == has(oldSelf.origin) && (!has(self.origin) || self.origin == oldSelf.origin)")
        .message("origin cannot be changed, since the prompt is known to the runner by it; create another ContainerTask"),
    validation = Rule::new("has(self.when) == has(oldSelf.when) && (!has(self.when) || self.when == oldSelf.when)")
        .message("when cannot be changed; create another ContainerTask"),
    validation = Rule::new("!has(self.when) || !has(self.timeoutSeconds) || self.when.timeoutSeconds < self.timeoutSeconds")
        .message("when.timeoutSeconds (60 if left out) must be less than timeoutSeconds, which counts for the whole task")
)]
pub struct ContainerTaskSpec {
    /// The topic whose workspace the task works on. Tasks of one topic run one after the other, but for those with `readOnly`.
    pub topic_ref: TopicRef,
    /// Mounts the workspace and the topic's state read-only and gives the task a scratch folder of its own, which goes with its pod.
    /// Such a task waits for nobody: it runs beside the topic's session, on the same node, and beside other tasks. It is told of
    /// earlier turns, but its own is not among those that later ones are told of. A pod that is lost is not replaced. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What claude is asked, at most 65,536 characters. Taken literally: no slash command, no `@file`.
    #[schemars(length(max = 65536))]
    #[x_kube(validation = Rule::new("self.matches('\\\\S')").message("prompt: write what claude shall do; it is empty"))]
    pub prompt: String,
    /// AgentClass in the same namespace. Default: the topic's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub agent_class_name: Option<String>,
    /// Seconds after which the task is stopped and reported as failed, counted from the start of its Job, before its pod is
    /// scheduled. Default: the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub timeout_seconds: Option<i32>,
    /// Seconds after which a finished task is deleted, counted from the annotation `longshore.dev/delivered`, or from completion
    /// for tasks without a chat. At most 7 days. Default: the class's; a run of a ScheduledTask is kept by its history limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604800))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// How often a pod that was lost without a result is replaced. The new pod goes on with the conversation, it never starts
    /// over. Default: the class's; none with `readOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: Option<i32>,
    /// What the task is told of the topic's earlier turns. Default: the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Lets the agent ask for a session when one task is not enough, and tells it what becomes of that. What it says stands in
    /// `status.escalation`; starting the session is left to whoever created the task: the bot does it for messages of a chat, as the
    /// RoutingPolicies say. Default: the agent cannot ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<TaskEscalation>,
    /// A command that decides whether claude is asked at all. Default: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// The chat message behind this task, or the chat that its answer is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl ContainerTask {
    /// Whether it is over without claude, because its `when` found that there is nothing to do.
    pub fn was_not_needed(&self) -> bool {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        let mut complete = conditions.filter(|condition| condition.type_ == types::COMPLETE);
        complete.any(|complete| complete.status == "True" && complete.reason == reasons::NOT_NEEDED)
    }
}

/// What the agent of a task is told about its wish for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaskEscalation {
    /// A session takes over by itself when the task has ended.
    Start,
    /// A person is asked when the task has ended.
    Ask,
}

/// Observed state of a ContainerTask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerTaskStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<TaskPhase>,
    /// Reason of the condition that says most about the phase, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// Name of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// Name of the newest pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// `host:port` of the runner while it can be talked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub endpoint: Option<String>,
    /// When the task was admitted. Its Job follows as soon as the topic is free of earlier pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the task was complete or had failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Place in the queue, from 1; absent when it does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<i32>,
    /// How many pods were lost without a result and replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
    /// claude's answer; if `when` has found that it need not be asked, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<TaskResult>,
    /// The agent asked for a session. Written together with the result; absent when it did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
    /// Use of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// `Admitted`, `Ready`, `Complete`, `Failed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// One word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaskPhase {
    /// Waits for a slot, for an earlier task, or for the end of the topic's session.
    Queued,
    /// Its pod is on the way.
    Starting,
    /// claude works.
    Running,
    /// claude has answered, or `when` has found that it need not be asked.
    Complete,
    /// There will be no answer; the condition `Failed` says why.
    Failed,
}

/// What the agent said when it asked for a session. A model wrote it, so it is not to be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Escalation {
    /// Why a task is not enough, at most 500 characters.
    #[schemars(length(max = 500))]
    pub reason: String,
    /// What the session shall do, Markdown, at most 4 KiB.
    #[schemars(length(max = 4096))]
    pub plan: String,
}

/// claude's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// Text of the answer, Markdown, cut to at most 64 KiB.
    #[schemars(length(max = 65536))]
    pub text: String,
    /// Whether `text` was cut.
    pub truncated: bool,
    /// Whether claude reported an error. The task is `Complete` all the same: it ran, and this is its outcome.
    pub is_error: bool,
    /// Why claude stopped: `completed`, `api_error`, ...; `not_needed` if it was not asked.
    #[schemars(length(max = 64))]
    pub terminal_reason: String,
}
