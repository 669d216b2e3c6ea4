//! Notices from a runner to the operator: `POST <noticeUrl>/v1/notices`, answered with 204.
//!
//! A notice is a hint to look now. It carries nothing that is believed: the operator dials the pod of the object named
//! here and reads `/v1/status` itself.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::agent::AgentKind;
use crate::api::Escalation;

/// Path of the endpoint.
pub const NOTICE_PATH: &str = "/v1/notices";
/// Largest body, in bytes.
pub const MAX_NOTICE_BYTES: usize = 4096;

/// A hint that something changed in a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Kind of the object that owns the pod.
    pub kind: AgentKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; a notice for an object that was made anew under the same name is dropped.
    pub uid: Uuid,
    /// What changed.
    pub what: NoticeKind,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoticeKind {
    /// The runner listens.
    Announce,
    /// claude is ready.
    Ready,
    /// A task has a result.
    Finished,
    /// Winding down is complete.
    Quiesced,
    /// claude cannot work; status has the problem.
    Problem,
    /// Memory crossed a threshold.
    Memory,
    /// Free space on the topic's volume crossed a threshold.
    Disk,
}

/// What the kubelet finds in `/dev/termination-log` of a task's pod, at most 4 KiB in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminationMessage {
    /// Version of this shape, 1.
    pub v: u32,
    /// Whether the task failed.
    pub is_error: bool,
    /// `terminal_reason`.
    pub reason: String,
    /// Beginning of the answer, at most 3 KiB; at most 1 KiB with an escalation.
    pub text: String,
    /// The agent asked for a session; the beginning of its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
}
