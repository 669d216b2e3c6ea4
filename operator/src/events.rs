//! Kubernetes Events for transitions that a person wants to know of.
//!
//! Derived from the change of conditions and published after the status was written, so there is at most one per transition.
//! A lost event is no error.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder};
use longshore_crds::conditions::{reasons, types};

use crate::conditions::{find, truncate};

/// Events take notes of at most 1 kB.
const MAX_NOTE: usize = 1000;
/// Longest wait for all events of one pass. The client has no limit of its own, and a pass that hangs is never repeated.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub warning: bool,
    pub reason: String,
    pub note: String,
}

/// Reasons of False conditions that are part of every ordinary life.
const ORDINARY: [&str; 14] = [
    reasons::ENOUGH_SPACE,
    reasons::BELOW_THRESHOLD,
    reasons::STARTING,
    reasons::NOT_ENDED,
    reasons::NOT_SUSPENDED,
    reasons::NOT_FINISHED,
    reasons::IDLE,
    reasons::UNKNOWN,
    reasons::PENDING,
    reasons::SUSPENDED,
    reasons::ENDED,
    reasons::COMPLETED,
    reasons::RESUMING,
    reasons::CLAIM_CREATED,
];

/// Reasons of False conditions that are no trouble.
const QUIET: [&str; 4] = [
    reasons::QUEUED,
    reasons::TOPIC_BUSY,
    reasons::WAITING_FOR_TASK,
    reasons::WAITING_FOR_SESSION,
];

/// What became true, and what went wrong.
pub fn news(old: &[Condition], new: &[Condition]) -> Vec<News> {
    new.iter()
        .filter(|now| now.type_ != types::ACTIVE && now.reason != reasons::NOTHING_NEW)
        // While these are False their reason is what is on the way, and Ready says so.
        .filter(|now| now.status == "True" || ![types::SUSPENDED, types::ENDED].contains(&now.type_.as_str()))
        .filter(|now| {
            find(old, &now.type_).is_none_or(|then| (&then.status, &then.reason) != (&now.status, &now.reason))
        })
        .filter(|now| now.status == "True" || !ORDINARY.contains(&now.reason.as_str()))
        .map(|now| {
            let good = match now.type_.as_str() {
                types::FAILED => now.status != "True",
                types::MEMORY_PRESSURE => now.reason == reasons::RECYCLED,
                types::DISK_PRESSURE => now.status != "True",
                types::SUSPENDED | types::ENDED => {
                    ![reasons::RESUME_FAILED, reasons::FAILED].contains(&now.reason.as_str())
                }
                _ => now.status == "True",
            };
            News {
                warning: !good && !QUIET.contains(&now.reason.as_str()),
                reason: now.reason.clone(),
                note: truncate(&now.message, MAX_NOTE),
            }
        })
        .collect()
}

/// Publishes, for a bounded time; a failure is logged only.
pub async fn publish(recorder: &Recorder, about: &ObjectReference, news: &[News]) {
    if tokio::time::timeout(TIMEOUT, publish_all(recorder, about, news))
        .await
        .is_err()
    {
        tracing::debug!(about = about.name, "events were lost: the API server does not answer");
    }
}

async fn publish_all(recorder: &Recorder, about: &ObjectReference, news: &[News]) {
    for one in news {
        let event = Event {
            type_: if one.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: one.reason.clone(),
            note: Some(one.note.clone()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, about).await {
            tracing::debug!(%error, reason = one.reason, "an event was lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use jiff::Timestamp;
    use kube::client::Body;
    use kube::runtime::events::Reporter;

    use super::*;
    use crate::conditions::{Verdict, merge, no, yes};

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_answer_costs_events_and_not_the_pass() {
        let (service, _silent) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let recorder = Recorder::new(
            kube::Client::new(service, "ns"),
            Reporter {
                controller: "c".to_owned(),
                instance: None,
            },
        );
        let one = News {
            warning: false,
            reason: "Ready".to_owned(),
            note: String::new(),
        };
        let begun = tokio::time::Instant::now();
        let (about, news) = (ObjectReference::default(), [one.clone(), one]);
        let published = publish(&recorder, &about, &news);
        tokio::time::timeout(Duration::from_secs(60), published).await.unwrap();
        assert_eq!(begun.elapsed(), TIMEOUT);
    }

    #[test]
    fn news_are_what_became_true_and_what_went_wrong() {
        let check = |old: Vec<Verdict>, new: Vec<Verdict>, expected: &[(bool, &str)]| {
            let merged = |verdicts| merge(&[], verdicts, None, Timestamp::UNIX_EPOCH);
            let told = news(&merged(old), &merged(new));
            let told: Vec<(bool, &str)> = told.iter().map(|n| (n.warning, n.reason.as_str())).collect();
            assert_eq!(told, expected);
        };
        check(vec![], vec![no("Ready", "Starting", "")], &[]);
        check(vec![], vec![no("Admitted", "Queued", "")], &[(false, "Queued")]);
        check(
            vec![no("Ready", "Starting", "")],
            vec![no("Ready", "ImagePull", "")],
            &[(true, "ImagePull")],
        );
        check(
            vec![no("Ready", "Starting", "")],
            vec![yes("Ready", "Ready", "")],
            &[(false, "Ready")],
        );
        check(
            vec![yes("Ready", "Ready", "")],
            vec![yes("Ready", "Ready", "other words")],
            &[],
        );
        check(vec![], vec![yes("Failed", "Timeout", "")], &[(true, "Timeout")]);
        check(vec![], vec![yes("Active", "TurnRunning", "")], &[]);
    }
}
