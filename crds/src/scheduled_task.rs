//! ScheduledTask: a schedule that makes ContainerTasks, or gives its prompt to the topic's session.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{TopicRef, When};

/// Desired state of a ScheduledTask.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "ScheduledTask",
    plural = "scheduledtasks",
    shortname = "st",
    category = "longshore",
    namespaced,
    status = "ScheduledTaskStatus",
    derive = "PartialEq",
    selectable = ".spec.topicRef.name",
    doc = "A prompt that claude answers again and again, by a schedule. Each run is a ContainerTask on the topic's workspace, or, with `whileSessionActive: ToSession`, a message to the topic's session; its answer is posted in the topic's chat, if it has one.",
    printcolumn(name = "Topic", type_ = "string", json_path = ".spec.topicRef.name"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "TimeZone", type_ = "string", json_path = ".spec.timeZone"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.activeCount"),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastScheduleTime"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextScheduleTime"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 50 && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')")
        .message("metadata.name: use at most 50 lower-case letters, digits and '-', starting and ending with a letter or digit; each run is a ContainerTask of this name and its minute")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.when) || !has(self.whileSessionActive) || self.whileSessionActive != 'ToSession'")
        .message("when: a session is not asked whether it is needed; write whileSessionActive: QueueTask or Skip, or leave when out"),
    validation = Rule::new("!has(self.when) || !has(self.timeoutSeconds) || self.when.timeoutSeconds < self.timeoutSeconds")
        .message("when.timeoutSeconds (60 if left out) must be less than timeoutSeconds, which counts for the whole run")
)]
pub struct ScheduledTaskSpec {
    /// When it runs: `minute hour day-of-month month day-of-week`, as in cron, or `@hourly`, `@daily`, `@weekly`, `@monthly`,
    /// `@yearly`. Read in `timeZone`. If both days are given, either is enough. Examples: `0 9 * * 1-5` at nine on workdays,
    /// `*/15 * * * *` every quarter of an hour. A changed schedule counts from the change on.
    ///
    /// When clocks go forward, a fixed time (one minute and one hour) that does not exist runs in the first minute after the gap,
    /// and a repeated one (with `*`, `/`, `,` or `-` in minute or hour) is left out. When clocks go back, a fixed time runs once, the
    /// first time; a repeated one runs in both hours.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(
        validation = Rule::new("!self.contains('TZ=')").message("schedule: the time zone has a field of its own; write timeZone: Europe/Berlin"),
        validation = Rule::new("self.contains('TZ=') || self.matches('^\\\\s*(@(hourly|daily|weekly|monthly|yearly|annually)|\\\\S+(\\\\s+\\\\S+){4})\\\\s*$')")
            .message("schedule: write five fields, minute hour day-of-month month day-of-week, such as '0 9 * * 1-5', or one of @hourly, @daily, @weekly, @monthly, @yearly")
    )]
    pub schedule: String,
    /// Time zone of the schedule by its IANA name, e.g. `Europe/Berlin`; its daylight saving time is followed. The zones are those
    /// that the operator was built with. Default: UTC.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self != 'Local' && self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$')")
        .message("timeZone: write an IANA name such as Europe/Berlin, America/New_York or UTC"))]
    pub time_zone: String,
    /// The topic whose workspace the runs work on and in whose chat their answers are posted.
    pub topic_ref: TopicRef,
    /// What claude is asked each time, at most 65,536 characters. Taken literally: no slash command, no `@file`.
    #[schemars(length(max = 65536))]
    #[x_kube(validation = Rule::new("self.matches('\\\\S')").message("prompt: write what claude shall do; it is empty"))]
    pub prompt: String,
    /// A command that decides, run by run, whether claude is asked at all. Every run has a task and a pod all the same, but one whose
    /// command says no asks no model, posts nothing, and is not kept: only the newest of those stays, beside
    /// `successfulTasksHistoryLimit`. Not together with `whileSessionActive: ToSession`. Default: claude is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// AgentClass in the same namespace. Default: the topic's. A run that a session takes runs as that session does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub agent_class_name: Option<String>,
    /// Seconds after which a run is stopped and reported as failed. Default: the class's task timeout. A run that a session takes
    /// has no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub timeout_seconds: Option<i32>,
    /// What to do when a run is due while an earlier one is not over. Default: Forbid. Tasks of one topic run one after the other
    /// in any case. A run that goes to a session is over, as far as this goes, once the session has taken it.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,
    /// What to do when a run is due while a session of the topic has a pod. A session that sleeps counts for ToSession only.
    /// Default: QueueTask.
    #[serde(default)]
    pub while_session_active: BesideSession,
    /// How many seconds late a run may start, e.g. because the operator was down; a later one is left out and recorded in
    /// `status.lastMissed`. Default: no limit. Of several runs that were missed only the latest is made up for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 31536000))]
    pub starting_deadline_seconds: Option<i32>,
    /// Start no runs. One that has started goes on. What falls due meanwhile is not made up for. Default: false.
    #[serde(default)]
    pub suspend: bool,
    /// How many complete tasks are kept; older ones are deleted. Default: 3. An answer that the chat has not got yet is kept for up
    /// to 7 days and does not count, but of those no more than 100.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_tasks_history_limit: i32,
    /// How many failed tasks are kept, likewise. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_tasks_history_limit: i32,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn three() -> i32 {
    3
}

fn one() -> i32 {
    1
}

/// What to do when a run is due while an earlier one is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// Make its task all the same. It waits behind the earlier one.
    Allow,
    /// Leave the new run out.
    #[default]
    Forbid,
    /// Delete the tasks of earlier runs that are not over, then start the new one.
    Replace,
}

/// What to do when a run is due while a session of the topic has a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BesideSession {
    /// Give the prompt to the session as a message, and wake it first if it sleeps. It is answered in the session's conversation,
    /// after what the session is at. A session that `desiredState: Suspended` keeps asleep is not woken: the run is left out. If the
    /// session ends before it takes the message, or cannot be brought back, the run becomes a task. Without a session it is a task
    /// from the start.
    ToSession,
    /// Make the task; it waits until the session has ended or sleeps.
    #[default]
    QueueTask,
    /// Make the task, and let it run at once beside the session, with the workspace read-only (ContainerTask `readOnly`). Without a
    /// session that has a pod it is a task like any other.
    RunTask,
    /// Leave the run out.
    Skip,
}

/// Observed state of a ScheduledTask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledTaskStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Schedule and time zone that `countsFrom` belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub observed_schedule: Option<String>,
    /// Times up to this one are nobody's business: it was created, resumed, or given another schedule then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_from: Option<Time>,
    /// The time that the last started run was scheduled for. One that goes to a session has started once the session has taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// The last run that was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_missed: Option<MissedRun>,
    /// The run that waits for a session to take it; at most one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingRun>,
    /// When it is due next; absent while it is suspended or cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// ContainerTasks of runs that are not over, oldest first; no more than 100 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub active: Vec<String>,
    /// How many runs are not over; one that waits for a session is among them.
    #[serde(default)]
    pub active_count: i32,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// A run that was due and left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MissedRun {
    /// The time that it was scheduled for.
    pub schedule_time: Time,
    /// Why: `MissedDeadline`, `LaterRunDue`, `PreviousRunActive`, `SessionActive`, `SessionSuspended`, `HandOverUncertain` or
    /// `NameConflict`.
    #[schemars(length(max = 64))]
    pub reason: String,
}

/// A run on its way to a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingRun {
    /// The time that it was scheduled for.
    pub schedule_time: Time,
    /// Name of the PersistentSession.
    #[schemars(length(max = 253))]
    pub session: String,
    /// UID of that; another one of the same name does not get the run.
    #[schemars(length(max = 64))]
    pub session_uid: String,
    /// How far it has come.
    pub step: HandOver,
    /// It is not tried again before this time, since the session was winding down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_time: Option<Time>,
}

/// How far a run has come on its way to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HandOver {
    /// The session is woken, or is on its way to being Ready. It has not got the message.
    Waiting,
    /// The message is given to it. Whether it has it is known when it has answered.
    Giving,
}
