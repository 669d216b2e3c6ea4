//! What counts as activity, and what the operator may do about an idle session.

use jiff::{SignedDuration, Timestamp};
use longshore_wire::api::{Busy, IdleEnd, RunnerState, Status};
use longshore_wire::event::Event;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Rig, Runner, Setup, id};

fn quiesce_unless_active_after(after: Timestamp) -> Value {
    let deadline = Timestamp::now() + SignedDuration::from_secs(60);
    json!({"deadline": deadline, "summarize": false, "unlessActiveAfter": after})
}

async fn refused_as_active(runner: &Runner, after: Timestamp) {
    let (code, problem) = runner.post("/v1/quiesce", quiesce_unless_active_after(after)).await;
    assert_eq!((code, problem["error"].as_str()), (409, Some("Active")), "{problem}");
    assert_eq!(runner.status().await.state, RunnerState::Ready, "nothing has changed");
}

async fn idle(runner: &Runner) -> Status {
    let is_idle = |status: &Status| status.state == RunnerState::Ready && status.busy.is_empty();
    runner.until("idle", is_idle).await
}

fn warnings(status_events: &[longshore_wire::Record]) -> Vec<Timestamp> {
    let warned = status_events.iter().filter_map(|record| match &record.event {
        Event::IdleWarning { deadline, then } => {
            assert_eq!(*then, IdleEnd::Suspend);
            Some(*deadline)
        }
        _ => None,
    });
    warned.collect()
}

#[tokio::test]
async fn people_are_warned_once_of_each_deadline_and_a_warning_is_no_activity() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    let before = idle(&rig.runner).await;
    let first = Timestamp::now() + SignedDuration::from_secs(60);
    let second = first + SignedDuration::from_secs(60);
    for deadline in [first, first, second, second] {
        let warn = json!({"deadline": deadline, "then": "suspend"});
        assert_eq!(rig.runner.post("/v1/warn", warn).await.0, 202);
    }
    let after = rig.runner.status().await;
    assert_eq!(after.last_activity, before.last_activity);
    rig.runner.terminate().await;
    rig.start_again().await;
    let again = json!({"deadline": second, "then": "suspend"});
    assert_eq!(rig.runner.post("/v1/warn", again).await.0, 202);
    assert!(
        rig.runner.status().await.last_activity <= before.last_activity,
        "nor is a new pod"
    );
    // Who works is not warned.
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(2), "two [[hold gate]]").await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    let warn = json!({"deadline": second + SignedDuration::from_secs(1), "then": "suspend"});
    assert_eq!(rig.runner.post("/v1/warn", warn).await.0, 202);
    rig.client().open_gate("gate").await.unwrap();
    events.turn_of(id(2)).await;
    assert_eq!(warnings(&events.records), [first, second]);
}

#[tokio::test]
async fn quiesce_can_be_made_to_spare_whoever_is_active() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "one [[hold gate]]").await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    refused_as_active(&rig.runner, Timestamp::now() + SignedDuration::from_secs(60)).await;
    let old = rig.runner.status().await.last_activity;
    rig.client().open_gate("gate").await.unwrap();
    events.turn_of(id(1)).await;
    let status = idle(&rig.runner).await;
    assert!(status.last_activity > old, "the end of a turn is activity");
    refused_as_active(&rig.runner, old).await;
    let body = quiesce_unless_active_after(status.last_activity);
    assert_eq!(rig.runner.post("/v1/quiesce", body).await.0, 202);
    let (code, _) = rig
        .runner
        .post("/v1/messages", json!({"id": id(2), "text": "late"}))
        .await;
    assert!(matches!(code, 503 | 409), "from then on it takes nothing: {code}");
    let old = quiesce_unless_active_after(old);
    assert_eq!(
        rig.runner.post("/v1/quiesce", old).await.0,
        202,
        "it is no longer asked"
    );
}

#[tokio::test]
async fn a_message_and_a_conditional_quiesce_at_once_never_lose_the_message() {
    let rig = Rig::session().await;
    for n in 1..=8 {
        let seen = idle(&rig.runner).await.last_activity;
        let body = json!({"id": id(n), "text": "in between"});
        let (message, quiesced) = tokio::join!(
            rig.runner.post("/v1/messages", body),
            rig.runner.post("/v1/quiesce", quiesce_unless_active_after(seen)),
        );
        match (message.0, quiesced.0) {
            (202, 409) => {
                let mut events = rig.runner.events(0).await;
                assert!(!events.turn_of(id(n)).await.is_error);
            }
            (503 | 409, 202) => return,
            both => panic!("{both:?}: either the message is taken or the session winds down"),
        }
    }
}

#[tokio::test]
async fn who_only_looks_is_not_active_and_whoever_comes_or_goes_is() {
    let rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    let status = idle(&rig.runner).await;
    drop(rig.runner.events(0).await);
    rig.runner.post("/v1/ack", json!({"seq": status.seq})).await;
    assert_eq!(idle(&rig.runner).await.last_activity, status.last_activity);
    let terminal = rig.runner.follow("/v1/events?client=terminal", None).await;
    let is_attached = |status: &Status| status.busy == [Busy::TerminalAttached];
    let attached = rig.runner.until("attached", is_attached).await;
    assert!(attached.last_activity > status.last_activity);
    refused_as_active(&rig.runner, Timestamp::now() + SignedDuration::from_secs(60)).await;
    drop(terminal);
    let detached = idle(&rig.runner).await;
    assert!(detached.last_activity > attached.last_activity);
    rig.runner.post("/v1/interrupt", json!({})).await;
    let interrupted = idle(&rig.runner).await;
    assert!(interrupted.last_activity > detached.last_activity);
    rig.runner
        .post("/v1/settings", json!({"permissionMode": "acceptEdits"}))
        .await;
    let changed = idle(&rig.runner).await;
    assert!(changed.last_activity > interrupted.last_activity);
}

#[tokio::test]
async fn a_prompt_keeps_the_session_busy_and_its_answer_is_activity() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner
        .say(id(1), "go [[bash touch one]] [[hold gate]] [[say made]]")
        .await;
    let waits = |status: &Status| status.busy.contains(&Busy::WaitingForApproval);
    let waiting = rig.runner.until("a prompt", waits).await;
    refused_as_active(&rig.runner, Timestamp::now()).await;
    let path = format!("/v1/approvals/{}", waiting.approvals[0].id);
    assert_eq!(rig.runner.post(&path, json!({"verdict": "allow"})).await.0, 204);
    assert!(rig.runner.status().await.last_activity > waiting.last_activity);
    rig.client().open_gate("gate").await.unwrap();
    events.turn_of(id(1)).await;
}

#[tokio::test]
async fn a_background_command_is_activity_when_it_ends() {
    let rig = Rig::start(Setup {
        agent: json!({"allowedTools": ["Bash"]}),
        ..Setup::default()
    })
    .await;
    let wait = "while [ ! -e go ]; do python3 -c 'import time; time.sleep(0.05)'; done";
    let call = json!({"command": wait, "description": "waits", "run_in_background": true});
    let text = format!("start it [[tool Bash {call}]] [[say started]]");
    rig.runner.ask(id(1), &text).await;
    let in_background = |status: &Status| status.busy == [Busy::BackgroundTask];
    let running = rig.runner.until("in the background", in_background).await;
    refused_as_active(&rig.runner, Timestamp::now() + SignedDuration::from_secs(60)).await;
    std::fs::write(rig.path("workspace/go"), "").unwrap();
    let ended = idle(&rig.runner).await;
    assert!(ended.last_activity > running.last_activity);
}

#[tokio::test]
async fn a_subagent_keeps_the_session_busy() {
    let rig = Rig::session().await;
    let rule = json!({"match": {"user": "^look around$"}, "steps": [{"hold": "below"}, {"text": "seen"}]});
    rig.client().add_rules(&rule).await.unwrap();
    let call = json!({"description": "looks", "prompt": "look around", "subagent_type": "general-purpose"});
    let text = format!("send one [[tool Agent {call}]] [[say sent]]");
    let turn = rig.runner.ask(id(1), &text).await;
    assert!(!turn.is_error, "{turn:?}");
    rig.client().held_at("below", PATIENCE).await.unwrap();
    let in_background = |status: &Status| status.busy == [Busy::BackgroundTask];
    let running = rig.runner.until("in the background", in_background).await;
    refused_as_active(&rig.runner, Timestamp::now() + SignedDuration::from_secs(60)).await;
    rig.client().open_gate("below").await.unwrap();
    let ended = idle(&rig.runner).await;
    assert!(ended.last_activity > running.last_activity);
}

#[tokio::test]
async fn answers_that_nobody_took_are_in_the_status_of_a_session_that_is_wound_down() {
    let rig = Rig::session().await;
    rig.runner.ask(id(1), "one [[say taken]]").await;
    let taken = idle(&rig.runner).await.seq;
    rig.runner.post("/v1/ack", json!({"seq": taken})).await;
    rig.runner.ask(id(2), "two [[say not taken]] [[bash true]]").await;
    let huge = "x".repeat(20_000);
    rig.runner.ask(id(3), &format!("three [[say {huge}]]")).await;
    assert!(
        rig.runner.status().await.undelivered.is_empty(),
        "not before it is quiesced"
    );
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(4), "four [[hold end]]").await;
    rig.client().held_at("end", PATIENCE).await.unwrap();
    let deadline = Timestamp::now() + SignedDuration::from_secs(60);
    rig.runner
        .post("/v1/quiesce", json!({"deadline": deadline, "summarize": false}))
        .await;
    let is_quiesced = |status: &Status| status.state == RunnerState::Quiesced;
    let status = rig.runner.until("quiesced", is_quiesced).await;
    let left = &status.undelivered;
    let ids: Vec<_> = left.iter().flat_map(|answer| answer.message_ids.clone()).collect();
    assert_eq!(ids, [id(2), id(3), id(4)]);
    assert!(left[0].text.contains("not taken") && !left[0].is_error, "{left:?}");
    assert_eq!(left[1].text.len(), 8 * 1024);
    assert!(left[2].is_error && left[2].text.contains("wound down"), "{left:?}");
    events.turn_of(id(3)).await;
    let seq = events.records.last().unwrap().seq;
    rig.runner.post("/v1/ack", json!({"seq": seq})).await;
    let fewer = |status: &Status| status.undelivered.len() == 1;
    rig.runner.until("two were taken", fewer).await;
    rig.runner.post("/v1/ack", json!({"seq": status.seq})).await;
    let none = |status: &Status| status.undelivered.is_empty();
    rig.runner.until("all were taken", none).await;
}
