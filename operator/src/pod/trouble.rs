//! Why a pod does not get going, in the words of a condition.

use k8s_openapi::api::core::v1::Pod;
use longshore_crds::conditions::reasons;

use super::{agent_status, was_out_of_memory};

/// A reason and a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: &'static str,
    pub message: String,
}

/// What keeps the pod from running, if anything is known to.
pub fn trouble(pod: &Pod) -> Option<Trouble> {
    unschedulable(pod).or_else(|| waiting(pod))
}

fn unschedulable(pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled")?;
    (scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable")).then(|| Trouble {
        reason: reasons::UNSCHEDULABLE,
        message: format!(
            "No node takes the pod: {}",
            scheduled.message.as_deref().unwrap_or("no reason given")
        ),
    })
}

fn waiting(pod: &Pod) -> Option<Trouble> {
    let status = agent_status(pod)?;
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let detail = waiting.message.as_deref().unwrap_or("no reason given");
    match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => {
            Some(Trouble {
                reason: reasons::IMAGE_PULL,
                message: format!("The image {} cannot be pulled: {detail}", status.image),
            })
        }
        "CreateContainerConfigError" if detail.contains("secret") => Some(Trouble {
            reason: reasons::AGENT_NOT_LOGGED_IN,
            message: format!("The credentials that the AgentClass names are not there: {detail}"),
        }),
        "CrashLoopBackOff" if was_out_of_memory(pod) => Some(Trouble {
            reason: reasons::OUT_OF_MEMORY,
            message: "The agent used more memory than its limit; raise resources.limits.memory of the AgentClass"
                .to_owned(),
        }),
        "CrashLoopBackOff" | "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(Trouble {
                reason: reasons::CRASH_LOOP,
                message: format!("The runner does not stay up: {detail}"),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(status: Value, expected: Option<&str>) {
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap();
        assert_eq!(trouble(&pod).map(|t| t.reason), expected, "{status}");
    }

    fn container(state: Value, last: Value) -> Value {
        json!({ "containerStatuses": [{
            "name": "agent", "image": "a:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": state, "lastState": last,
        }]})
    }

    #[test]
    fn the_state_of_a_pod_becomes_a_reason_that_a_person_can_act_on() {
        let waiting = |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
        check(json!({}), None);
        check(container(waiting("ContainerCreating", ""), json!({})), None);
        check(
            container(waiting("ImagePullBackOff", "x"), json!({})),
            Some("ImagePull"),
        );
        check(
            container(waiting("CrashLoopBackOff", "x"), json!({})),
            Some("CrashLoop"),
        );
        let killed = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        check(container(waiting("CrashLoopBackOff", "x"), killed), Some("OutOfMemory"));
        let secret = waiting("CreateContainerConfigError", "secret \"k\" not found");
        check(container(secret, json!({})), Some("AgentNotLoggedIn"));
        check(
            json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes" }]}),
            Some("Unschedulable"),
        );
    }
}
