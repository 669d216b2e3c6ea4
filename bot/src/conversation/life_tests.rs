use serde_json::{Value, json};

use super::*;

fn session(status: Value) -> PersistentSession {
    serde_json::from_value(json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
        "metadata": {"name": "ps"}, "spec": {"topicRef": {"name": "tp"}}, "status": status,
    }))
    .unwrap()
}

fn blocked(kind: &str, reason: &str, message: &str) -> Value {
    condition(kind, "False", reason, message)
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-02T03:04:05Z"})
}

#[test]
fn every_obstacle_is_a_sentence_that_says_what_to_do() {
    for (reason, says) in [
        (reasons::TOPIC_BUSY, "/end ends it"),
        (reasons::WAITING_FOR_TASK, "when it has finished"),
        (
            reasons::CLASS_NOT_FOUND,
            "ask the operator of this installation to create it",
        ),
        (reasons::TOPIC_NOT_FOUND, "look at the Topic"),
        (reasons::IMAGE_PULL, "check image and pull secret"),
        (reasons::UNSCHEDULABLE, "more room"),
        (reasons::CRASH_LOOP, "look at its log"),
        (reasons::OUT_OF_MEMORY, "raise the memory limit"),
        (reasons::AGENT_NOT_LOGGED_IN, "renew the key or token"),
        (reasons::CONFIG_MAP_NOT_FOUND, "create the ConfigMap"),
        (reasons::REPOSITORY_CLONE_FAILED, "correct the repository"),
        (reasons::VOLUME_NOT_WRITABLE, "make room on it"),
        (reasons::NODE_LOST, "out-of-service"),
        (reasons::NAME_CONFLICT, "delete what has it"),
        ("UnheardOf", "The session waits.\n(why."),
    ] {
        for kind in [types::ADMITTED, types::READY] {
            let status = json!({"phase": "Starting", "conditions": [blocked(kind, reason, "why.")]});
            let said = session_held_up(&session(status)).unwrap_or_default();
            assert!(said.contains(says) && said.ends_with("\n(why.)"), "{reason}: {said}");
        }
    }
}

#[test]
fn what_passes_by_itself_is_not_worth_a_note() {
    for reason in [reasons::STARTING, reasons::RESUMING, reasons::SUSPENDED, reasons::ENDED] {
        let status = json!({"phase": "Starting", "conditions": [blocked(types::READY, reason, "soon")]});
        assert_eq!(session_held_up(&session(status)), None, "{reason}");
    }
    let new = session(json!({}));
    assert_eq!(session_waits(&new).unwrap(), "Starting a session …");
    let back = session(json!({"startTime": "2026-01-01T00:00:00Z"}));
    assert_eq!(session_waits(&back).unwrap(), "The session is coming back …");
    for gone in [json!({"phase": "Suspended"}), json!({"endpoint": "10.0.0.1:7411"})] {
        assert_eq!(session_waits(&session(gone)), None);
    }
}

#[test]
fn a_place_in_the_queue_comes_before_its_reason() {
    let status = json!({"queuePosition": 2, "conditions": [blocked(types::ADMITTED, reasons::QUEUED, "x")]});
    assert_eq!(
        session_waits(&session(status)).unwrap(),
        "The session waits in the queue, at position 2. It starts when another one has ended or sleeps."
    );
}

#[test]
fn a_sleep_has_a_reason_a_way_back_and_an_end() {
    let asleep = |reason: &str| {
        session(json!({
            "phase": "Suspended", "expiresAt": "2026-01-16T03:04:05Z",
            "conditions": [condition(types::SUSPENDED, "True", reason, "")],
        }))
    };
    let note = |session: &PersistentSession| sleep_note(session).unwrap();
    assert_eq!(
        note(&asleep(reasons::IDLE_TIMEOUT)),
        (
            "asleep since 2026-01-02T03:04:05Z".to_owned(),
            "The session sleeps: nobody needed it for a while. Your next message wakes it, with its conversation; /end ends \
             it. If nobody comes back it ends at 2026-01-16 03:04 UTC."
                .to_owned()
        )
    );
    assert!(
        note(&asleep(reasons::SLOT_RECLAIMED))
            .1
            .contains("its place was needed")
    );
    let mut held = asleep(reasons::REQUESTED);
    held.spec.desired_state = DesiredState::Suspended;
    let said = note(&held).1;
    assert!(
        said.contains("“kubectl longshore resume ps”") && !said.contains("next message"),
        "{said}"
    );
    assert_eq!(sleep_note(&session(json!({"phase": "Suspending"}))), None);
}

#[test]
fn an_end_has_a_reason_and_a_way_on_and_the_outcomes() {
    let end = |reason: &str, more: Value| {
        let mut status = json!({
            "phase": "Ended", "startTime": "2026-01-01T00:00:00Z",
            "conditions": [condition(types::ENDED, "True", reason, "because")],
        });
        status
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        end_note(&session(status)).text
    };
    let none = json!({});
    assert_eq!(end(reasons::USER_ENDED, none.clone()), "The session has ended.");
    for (reason, says) in [
        (reasons::IDLE_TIMEOUT, "nobody needed it"),
        (reasons::MAX_DURATION, "as long as a session may"),
        (reasons::SUSPENDED_TOO_LONG, "nobody came back"),
        (reasons::DELETED, "it was deleted"),
        (types::FAILED, "(because.)"),
        (reasons::QUEUE_TIMEOUT, "no place became free"),
        (reasons::REJECTED, "(because.)"),
        ("UnheardOf", "(because.)"),
    ] {
        let said = end(reason, none.clone());
        assert!(said.contains(says) && said.contains("/deep"), "{reason}: {said}");
    }
    let summary = json!({"path": "p", "time": "t", "text": "- use *SQLite*"});
    assert_eq!(
        end(reasons::USER_ENDED, json!({ "summary": summary })),
        "The session has ended.\n\nKey outcomes:\n\n• use SQLite"
    );
    let failed = json!([
        condition(types::ENDED, "True", reasons::USER_ENDED, ""),
        condition(types::SUMMARIZED, "False", reasons::SUMMARY_FAILED, "timeout"),
    ]);
    assert!(end(reasons::USER_ENDED, json!({ "conditions": failed })).contains("could not be written down"));
}

#[test]
fn a_warning_says_when_and_what() {
    let at = "2026-01-01T12:05:59Z".parse().unwrap();
    assert_eq!(
        idle_warning(at, IdleEnd::Suspend),
        "Idle: the session goes to sleep at 12:05 UTC; any message keeps it awake."
    );
    assert!(idle_warning(at, IdleEnd::End).starts_with("Idle: the session ends at 12:05 UTC"));
}
