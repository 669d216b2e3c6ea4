//! Why a pod does not get going, in the words of a condition.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, SecretKeySelector};
use longshore_crds::conditions::reasons;
use longshore_wire::agent::{REPOSITORY_PASSWORD_ENV, REPOSITORY_USERNAME_ENV};

use super::{agent_status, is_finished, is_ready, was_out_of_memory};

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

/// How long after its grace period a pod that is being deleted may still be there.
const OVERDUE: Duration = Duration::from_secs(30);

/// When a pod that is being deleted should be gone, if its kubelet is there to say so.
pub fn lost_at(pod: &Pod) -> Option<Timestamp> {
    // The API server sets the time of deletion to the end of the grace period.
    pod.metadata.deletion_timestamp.as_ref().map(|at| at.0 + OVERDUE)
}

/// Whether nobody on the pod's node seems to answer. `dialled` says that its runner did not.
///
/// No node is watched: of a node that is silent, the node controller makes the pods not ready, but leaves their containers as
/// the kubelet last saw them.
pub fn lost(pod: &Pod, dialled: bool, now: Timestamp) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let overdue = !is_finished(pod) && lost_at(pod).is_some_and(|at| at <= now);
    let condition = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
    let doubted = condition.is_some_and(|c| c.status != "True") && is_ready(pod);
    (overdue || (dialled && doubted)).then(|| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("of the pod");
        Trouble {
            reason: reasons::NODE_LOST,
            message: format!(
                "Node {node} does not answer. Messages wait. The pod is replaced when the node is back, when its Node object is deleted, or when that is tainted node.kubernetes.io/out-of-service; not before, since two pods must not write one workspace"
            ),
        }
    })
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
        "CreateContainerConfigError" if is_about_the_repository(pod, detail) => Some(Trouble {
            reason: reasons::REPOSITORY_CLONE_FAILED,
            message: format!(
                "The Secret that repository.secretRef of the Topic names lacks what is needed: {detail}; create it, with the key password"
            ),
        }),
        "CreateContainerConfigError" if detail.to_lowercase().contains("secret") => Some(Trouble {
            reason: reasons::AGENT_NOT_LOGGED_IN,
            message: format!("The credentials that the AgentClass names are not there: {detail}"),
        }),
        "CreateContainerConfigError" if detail.to_lowercase().contains("configmap") => Some(Trouble {
            reason: reasons::CONFIG_MAP_NOT_FOUND,
            message: format!("A ConfigMap that the AgentClass or the Topic names is not there: {detail}"),
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

/// Whether what the kubelet misses is the Secret of the Topic's repository, or its key. It says `secret "name" not found`, or
/// `couldn't find key password in Secret namespace/name`. A Secret that the class's credentials are in as well counts as theirs.
fn is_about_the_repository(pod: &Pod, detail: &str) -> bool {
    let env = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .flat_map(|container| container.env.iter().flatten());
    let secrets = env.filter_map(|env| Some((env.name.as_str(), env.value_from.as_ref()?.secret_key_ref.as_ref()?)));
    let meant = |secret: &SecretKeySelector| {
        detail.contains(&format!("\"{}\"", secret.name))
            || (detail.contains(&format!("key {} ", secret.key)) && detail.ends_with(&format!("/{}", secret.name)))
    };
    let meant = secrets.filter(|(_, secret)| meant(secret)).map(|(name, _)| name);
    let names: Vec<&str> = meant.collect();
    !names.is_empty()
        && names
            .iter()
            .all(|name| [REPOSITORY_PASSWORD_ENV, REPOSITORY_USERNAME_ENV].contains(name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(status: Value, expected: Option<&str>) {
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap();
        assert_eq!(trouble(&pod).map(|t| t.reason), expected, "{status}");
    }

    #[test]
    fn a_pod_whose_kubelet_is_silent_is_lost() {
        let pod = |ready: &str, deleted: Option<&str>| -> Pod {
            let mut status = container(json!({ "running": {} }), json!({}));
            status["containerStatuses"][0]["ready"] = json!(true);
            status["conditions"] = json!([{ "type": "Ready", "status": ready }]);
            serde_json::from_value(json!({ "metadata": { "deletionTimestamp": deleted }, "status": status })).unwrap()
        };
        let now = Timestamp::from_second(100).unwrap();
        let check = |pod: Pod, dialled: bool, expected: bool| assert_eq!(lost(&pod, dialled, now).is_some(), expected);
        check(pod("True", None), true, false);
        check(pod("False", None), true, true);
        check(pod("Unknown", None), false, false);
        check(pod("True", Some("1970-01-01T00:01:30Z")), false, false);
        check(pod("True", Some("1970-01-01T00:01:00Z")), false, true);
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
        for message in [
            "configmap \"rules\" not found",
            "couldn't find key a in ConfigMap ns/rules",
        ] {
            let rules = waiting("CreateContainerConfigError", message);
            check(container(rules, json!({})), Some("ConfigMapNotFound"));
        }
        let key = waiting("CreateContainerConfigError", "couldn't find key token in Secret ns/k");
        check(container(key, json!({})), Some("AgentNotLoggedIn"));
        check(
            json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes" }]}),
            Some("Unschedulable"),
        );
    }

    #[test]
    fn a_missing_secret_is_told_by_whose_it_is() {
        let check = |detail: &str, expected: &str| {
            let secret = |name: &str, secret: &str, key: &str| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": key } } });
            let env = [
                secret("ANTHROPIC_API_KEY", "model", "key"),
                secret(REPOSITORY_USERNAME_ENV, "git", "username"),
                secret(REPOSITORY_PASSWORD_ENV, "git", "password"),
            ];
            let waiting = json!({ "waiting": { "reason": "CreateContainerConfigError", "message": detail } });
            let pod = json!({ "metadata": {}, "spec": { "containers": [{ "name": "agent", "env": env }] },
                "status": container(waiting, json!({})) });
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(trouble(&pod).map(|t| t.reason), Some(expected), "{detail}");
        };
        check("secret \"git\" not found", "RepositoryCloneFailed");
        check("couldn't find key password in Secret ns/git", "RepositoryCloneFailed");
        check("secret \"model\" not found", "AgentNotLoggedIn");
        check("couldn't find key key in Secret ns/model", "AgentNotLoggedIn");
    }
}
