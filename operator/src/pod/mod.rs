//! Agent pods: how they are made ([`template`]) and what their state says ([`trouble`]).
//!
//! Pure; knows no client. The pod is untrusted: what it says about itself is bounded before it goes anywhere.

mod template;
mod trouble;

pub use template::{Agent, ReadOnly, labels, template};
pub use trouble::{Trouble, lost, lost_at, trouble};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;
use longshore_crds::{Topic, meta};
use longshore_wire::RUNNER_PORT;
use longshore_wire::notice::TerminationMessage;

/// Name of the container with the runner.
pub const CONTAINER: &str = "agent";

/// Whether all its processes are gone for good.
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), Some("Succeeded" | "Failed"))
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn agent_status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status
        .as_ref()?
        .container_statuses
        .as_ref()?
        .iter()
        .find(|c| c.name == CONTAINER)
}

fn agent_state(pod: &Pod) -> Option<&ContainerState> {
    agent_status(pod)?.state.as_ref()
}

/// UID of the Topic whose tokens the runner takes: that of the pod's making, even if the Topic is gone or was made anew since.
pub fn topic_uid(pod: &Pod, topic: Option<&Topic>) -> Option<String> {
    let at_its_making = pod.labels().get(meta::TOPIC_UID_LABEL).cloned();
    at_its_making.or_else(|| topic?.uid())
}

/// `host:port` of the runner, if the pod has an address and nothing says that it is not running.
///
/// The address comes from the API server alone. A notice may come from anywhere, so its source address is never dialled: the
/// first thing we send is a token.
pub fn endpoint(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() || is_finished(pod) {
        return None;
    }
    if agent_state(pod).is_some_and(|state| state.terminated.is_some()) {
        return None;
    }
    let ip = status.pod_ip.as_deref().filter(|ip| !ip.is_empty())?;
    Some(if ip.contains(':') {
        format!("[{ip}]:{RUNNER_PORT}")
    } else {
        format!("{ip}:{RUNNER_PORT}")
    })
}

/// When the kubelet took it up.
pub fn started_at(pod: &Pod) -> Option<Timestamp> {
    Some(pod.status.as_ref()?.start_time.as_ref()?.0)
}

/// Whether the kubelet takes the runner for ready.
pub fn is_ready(pod: &Pod) -> bool {
    agent_status(pod).is_some_and(|status| status.ready)
}

/// What the runner left behind when it ended.
pub fn last_words(pod: &Pod) -> Option<TerminationMessage> {
    let message = agent_state(pod)?.terminated.as_ref()?.message.as_deref()?;
    serde_json::from_str(message)
        .ok()
        .filter(|words: &TerminationMessage| words.v == 1)
}

/// Whether the kernel killed the runner or claude took the pod with it.
pub fn was_out_of_memory(pod: &Pod) -> bool {
    agent_status(pod).is_some_and(|status| {
        [&status.state, &status.last_state]
            .into_iter()
            .flatten()
            .filter_map(|state| state.terminated.as_ref())
            .any(|ended| ended.reason.as_deref() == Some("OOMKilled"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_belongs_to_the_topic_that_it_was_made_for() {
        let pod = |labels| -> Pod { serde_json::from_value(json!({ "metadata": { "labels": labels } })).unwrap() };
        let labelled = pod(json!({ "longshore.dev/topic-uid": "old" }));
        let mut topic = Topic::new("t", serde_json::from_value(json!({})).unwrap());
        topic.metadata.uid = Some("new".to_owned());
        assert_eq!(topic_uid(&labelled, None).as_deref(), Some("old"));
        assert_eq!(topic_uid(&labelled, Some(&topic)).as_deref(), Some("old"));
        assert_eq!(topic_uid(&pod(json!({})), Some(&topic)).as_deref(), Some("new"));
        assert_eq!(topic_uid(&pod(json!({})), None), None);
    }
}
