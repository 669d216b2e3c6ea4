//! Finding the session that a person means when they name a topic.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::ListParams;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{PersistentSession, SessionPhase, Topic};

use crate::args::Which;
use crate::cluster::{Cluster, ClusterError, rights};

/// Why no session was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The API server did not help.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is no such topic.
    #[error(
        "there is no Topic {topic} in namespace {namespace}. `kubectl longshore status -n {namespace}` lists the topics"
    )]
    NoTopic {
        /// The topic.
        topic: String,
        /// The namespace.
        namespace: String,
    },
    /// The topic has no live session.
    #[error("{}", no_session(.topic, .namespace, .ended.as_deref()))]
    NoSession {
        /// The topic.
        topic: String,
        /// The namespace.
        namespace: String,
        /// Name of the newest session that is over.
        ended: Option<String>,
    },
    /// The topic has several, and none of them is the one.
    #[error("topic {topic} has several sessions: {}. Say which with --session", .names.join(", "))]
    Several {
        /// The topic.
        topic: String,
        /// Their names.
        names: Vec<String>,
    },
    /// The topic has no session of this name.
    #[error("topic {topic} has no session {name}; it has {}", if .names.is_empty() { "none".to_owned() } else { .names.join(", ") })]
    NoSuch {
        /// The topic.
        topic: String,
        /// The name.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
}

fn no_session(topic: &str, namespace: &str, ended: Option<&str>) -> String {
    let before = ended.map_or_else(String::new, |name| format!(" ({name} has ended)"));
    format!(
        "topic {topic} has no session{before}. Write /deep in its chat, or make one here:\n\
         kubectl create -n {namespace} -f - <<EOF\n\
         {{\"apiVersion\": \"longshore.dev/v1alpha1\", \"kind\": \"PersistentSession\",\n \
          \"metadata\": {{\"generateName\": \"{topic}-\"}}, \"spec\": {{\"topicRef\": {{\"name\": \"{topic}\"}}}}}}\n\
         EOF"
    )
}

/// A condition of a session.
pub fn condition<'a>(session: &'a PersistentSession, type_: &str) -> Option<&'a Condition> {
    let conditions = &session.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is True.
pub fn is(session: &PersistentSession, type_: &str) -> bool {
    condition(session, type_).is_some_and(|condition| condition.status == "True")
}

/// Phase, once the operator has seen it.
pub fn phase(session: &PersistentSession) -> Option<SessionPhase> {
    session.status.as_ref()?.phase
}

/// Whether it is over.
pub fn is_over(session: &PersistentSession) -> bool {
    is(session, types::ENDED) || phase(session) == Some(SessionPhase::Ended)
}

/// Whether another session of the topic lives, for which this one waits.
fn waits_for_another(session: &PersistentSession) -> bool {
    condition(session, types::ADMITTED).is_some_and(|condition| condition.reason == reasons::TOPIC_BUSY)
}

/// The sessions that a topic's name can mean: the live ones, of which those that wait for another do not count.
pub fn live(sessions: &[PersistentSession]) -> Vec<&PersistentSession> {
    let live: Vec<_> = sessions.iter().filter(|session| !is_over(session)).collect();
    let holding: Vec<_> = live
        .iter()
        .copied()
        .filter(|session| !waits_for_another(session))
        .collect();
    if holding.is_empty() { live } else { holding }
}

/// The newest session that is over.
pub fn last_ended(sessions: &[PersistentSession]) -> Option<&PersistentSession> {
    let ended = sessions.iter().filter(|session| is_over(session));
    ended.max_by_key(|session| session.metadata.creation_timestamp.clone())
}

/// Picks the session that is meant.
pub fn pick<'a>(
    which: &Which,
    namespace: &str,
    sessions: &'a [PersistentSession],
) -> Result<&'a PersistentSession, FindError> {
    let (topic, names) = (which.topic.clone(), |all: &[&PersistentSession]| {
        all.iter().map(|session| session.name_any()).collect::<Vec<_>>()
    });
    if let Some(name) = &which.session {
        return sessions
            .iter()
            .find(|session| session.name_any() == *name)
            .ok_or(FindError::NoSuch {
                topic,
                name: name.clone(),
                names: names(&sessions.iter().collect::<Vec<_>>()),
            });
    }
    match live(sessions)[..] {
        [one] => Ok(one),
        [] => Err(FindError::NoSession {
            topic,
            namespace: namespace.to_owned(),
            ended: last_ended(sessions).map(ResourceExt::name_any),
        }),
        ref several => Err(FindError::Several {
            topic,
            names: names(several),
        }),
    }
}

/// The topic.
pub async fn topic(cluster: &Cluster, name: &str) -> Result<Topic, FindError> {
    let found = cluster.api::<Topic>().get_opt(name).await;
    let found = found.map_err(|error| cluster.explain(error, rights::TOPICS))?;
    found.ok_or_else(|| FindError::NoTopic {
        topic: name.to_owned(),
        namespace: cluster.namespace.clone(),
    })
}

/// All sessions of a topic, dead or alive.
pub async fn of_topic(cluster: &Cluster, topic: &str) -> Result<Vec<PersistentSession>, FindError> {
    let wanted = ListParams::default().fields(&format!("spec.topicRef.name={topic}"));
    let found = cluster.api::<PersistentSession>().list(&wanted).await;
    Ok(found.map_err(|error| cluster.explain(error, rights::SESSIONS))?.items)
}

/// The topic and its session.
pub async fn find(cluster: &Cluster, which: &Which) -> Result<(Topic, PersistentSession), FindError> {
    let topic = topic(cluster, &which.topic).await?;
    let sessions = of_topic(cluster, &which.topic).await?;
    Ok((topic, pick(which, &cluster.namespace, &sessions)?.clone()))
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A session with a phase and with conditions as `Type/Reason`, True with a `+` in front.
    pub fn session(name: &str, phase: &str, conditions: &[&str]) -> PersistentSession {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|one| {
                let (type_, reason) = one.trim_start_matches('+').split_once('/').unwrap();
                json!({"type": type_, "reason": reason, "status": if one.starts_with('+') { "True" } else { "False" },
                   "message": format!("about {type_}"), "lastTransitionTime": "2026-11-23T10:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
            "metadata": {"name": name, "uid": "0b1c7a52-0000-4000-8000-000000000001", "generation": 1},
            "spec": {"topicRef": {"name": "deep"}},
            "status": {"phase": phase, "observedGeneration": 1, "conditions": conditions},
        }))
        .unwrap()
    }

    fn which(session: Option<&str>) -> Which {
        Which {
            topic: "deep".to_owned(),
            session: session.map(str::to_owned),
        }
    }

    #[test]
    fn the_session_that_holds_the_topic_is_meant() {
        let all = [
            session("old", "Ended", &["+Ended/UserEnded"]),
            session("next", "Queued", &["Admitted/TopicBusy"]),
            session("now", "Suspended", &["Admitted/Suspended"]),
        ];
        assert_eq!(pick(&which(None), "team", &all).unwrap().name_any(), "now");
        assert_eq!(pick(&which(Some("next")), "team", &all).unwrap().name_any(), "next");
        let waiting = pick(&which(None), "team", &all[..2]).unwrap();
        assert_eq!(waiting.name_any(), "next");
    }

    #[test]
    fn errors_say_what_to_do() {
        let old = session("old", "Ended", &["+Ended/UserEnded"]);
        let error = pick(&which(None), "team", &[old]).unwrap_err().to_string();
        assert!(
            error.contains("(old has ended)") && error.contains("kubectl create -n team"),
            "{error}"
        );
        let two = [session("a", "Running", &[]), session("b", "Running", &[])];
        let error = pick(&which(None), "team", &two).unwrap_err().to_string();
        assert_eq!(error, "topic deep has several sessions: a, b. Say which with --session");
        let error = pick(&which(Some("c")), "team", &two).unwrap_err().to_string();
        assert_eq!(error, "topic deep has no session c; it has a, b");
    }

    #[test]
    fn the_manifest_in_the_advice_is_valid() {
        let advice = no_session("deep", "team", None);
        let manifest = advice.split_once("<<EOF\n").unwrap().1.strip_suffix("EOF").unwrap();
        let made: PersistentSession = serde_json::from_str(manifest).unwrap();
        assert_eq!(made.spec.topic_ref.name, "deep");
    }
}
