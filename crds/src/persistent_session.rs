//! PersistentSession: one conversation that stays.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Origin, TopicRef, Usage};

/// Desired state of a PersistentSession.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "PersistentSession",
    plural = "persistentsessions",
    shortname = "ps",
    category = "longshore",
    namespaced,
    status = "PersistentSessionStatus",
    derive = "PartialEq",
    selectable = ".spec.topicRef.name",
    doc = "One conversation with claude that stays: a pod that keeps the process alive on the topic's workspace until the session ends.",
    printcolumn(name = "Topic", type_ = "string", json_path = ".spec.topicRef.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Idle-Deadline", type_ = "string", json_path = ".status.idleDeadline"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(name = "Queue", type_ = "integer", json_path = ".status.queuePosition", priority = "1"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".status.podName", priority = "1"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.usage.costUsd", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')")
        .message("metadata.name: use at most 63 lower-case letters, digits and '-', starting and ending with a letter or digit")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.topicRef == oldSelf.topicRef").message("topicRef cannot be changed; end this session and create another PersistentSession"),
    validation = Rule::new("has(self.prompt) == has(oldSelf.prompt) && (!has(self.prompt) || self.prompt == oldSelf.prompt)")
        .message("prompt cannot be changed; send a message to the session instead"),
    validation = Rule::new("has(self.agentClassName) == has(oldSelf.agentClassName) && (!has(self.agentClassName) || self.agentClassName == oldSelf.agentClassName)")
        .message("agentClassName cannot be changed; end this session and create another PersistentSession"),
    validation = Rule::new("has(self.origin) == has(oldSelf.origin) && (!has(self.origin) || self.origin == oldSelf.origin)")
        .message("origin cannot be changed, since the prompt is known to the runner by it; end this session and create another PersistentSession"),
    validation = Rule::new("oldSelf.desiredState != 'Ended' || self.desiredState == 'Ended'")
        .message("desiredState: an ended session stays ended; create another PersistentSession for the same topic")
)]
pub struct PersistentSessionSpec {
    /// The topic whose workspace the session works on. One session of a topic lives at a time; a second waits with `TopicBusy`.
    pub topic_ref: TopicRef,
    /// First message, at most 65,536 characters. Taken literally: no slash command, no `@file`. Without it claude waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    #[x_kube(validation = Rule::new("self.matches('\\\\S')").message("prompt: write the first message, or leave it out; it is empty"))]
    pub prompt: Option<String>,
    /// AgentClass in the same namespace. Default: the topic's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub agent_class_name: Option<String>,
    /// `Running`: keep it alive. `Suspended`: stop the pod, keep workspace and conversation, free the slot. `Ended`: end it for
    /// good; there is no way back. Default: Running.
    #[serde(default)]
    pub desired_state: DesiredState,
    /// Seconds without activity after which the session is idle. Default: the topic's, else the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 31536000))]
    pub idle_timeout_seconds: Option<i32>,
    /// Seconds after its first start at which the session ends, busy or not. Default: the topic's, else the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 31536000))]
    pub max_duration_seconds: Option<i32>,
    /// Seconds after which the session ends when it is suspended. Default: the topic's, else the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 31536000))]
    pub suspended_ttl_seconds: Option<i32>,
    /// Seconds that the session may take until it is Ready, the first time and each time it comes back. Default: the topic's, else
    /// the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub start_timeout_seconds: Option<i32>,
    /// The chat message behind this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What a session shall do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DesiredState {
    /// Keep it alive.
    #[default]
    Running,
    /// Stop the pod; keep workspace and conversation.
    Suspended,
    /// End it for good.
    Ended,
}

/// Observed state of a PersistentSession.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersistentSessionStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SessionPhase>,
    /// claude's session id, the same over suspensions and restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub claude_session_id: Option<String>,
    /// Name of the StatefulSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stateful_set_name: Option<String>,
    /// Name of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// `host:port` of the runner while it accepts messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub endpoint: Option<String>,
    /// When the session first was Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the session ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// When a person or claude last did something, as the runner said when it was last asked. It is asked when a deadline nears,
    /// not with every message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_activity_time: Option<Time>,
    /// When the session will be idle if nothing happens, as far as the operator has looked. Activity moves it; the operator finds
    /// out when it nears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_deadline: Option<Time>,
    /// When the session ends whatever happens; while suspended, when it ends unless somebody comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Highest memory use that the runner saw, in bytes, when it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<i64>,
    /// Value of the annotation `longshore.dev/wake` that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub observed_wake: Option<String>,
    /// Answers that the bot had not taken when the pod went, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub undelivered: Vec<UndeliveredAnswer>,
    /// When it began to wait for a slot; absent when it does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_since: Option<Time>,
    /// Place in the queue, from 1; absent when it does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<i32>,
    /// How often claude was started again with its conversation, as the runner counted when it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
    /// Use of the model, as the runner counted when it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Key outcomes, written when the session wound down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SessionSummary>,
    /// When it must be Ready; absent when no pod is on the way, or its node is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_deadline: Option<Time>,
    /// When the wind-down that is under way must be over, whatever has or has not worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_deadline: Option<Time>,
    /// `Admitted`, `Ready`, `Active`, `Suspended`, `MemoryPressure`, `DiskPressure`, `Summarized`, `Ended`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// One word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SessionPhase {
    /// Waits for a slot, for the topic, or for a task of the topic.
    Queued,
    /// Its pod is on the way.
    Starting,
    /// The runner accepts messages.
    Running,
    /// Winding down to be suspended.
    Suspending,
    /// No pod; workspace and conversation are kept.
    Suspended,
    /// Winding down to be ended.
    Ending,
    /// Over.
    Ended,
}

/// An answer that nobody had taken when the pod went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UndeliveredAnswer {
    /// Ids of the messages that it answers.
    #[schemars(length(max = 64), inner(length(max = 36)))]
    pub message_ids: Vec<String>,
    /// Its text, cut to 8 KiB.
    #[schemars(length(max = 8192))]
    pub text: String,
    /// Whether the turn failed.
    pub is_error: bool,
}

/// Key outcomes of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionSummary {
    /// File below the topic's volume.
    #[schemars(length(max = 256))]
    pub path: String,
    /// When it was written, RFC 3339.
    #[schemars(length(max = 40))]
    pub time: String,
    /// Its text, cut to 4 KiB.
    #[schemars(length(max = 4096))]
    pub text: String,
}
