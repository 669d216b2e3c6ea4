//! Summaries that a session could not write: the topic's next pod makes them first.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use longshore_runner::claude::transcript;
use longshore_wire::api::RunnerState;
use longshore_wire::event::Event;
use nix::sys::signal::Signal;
use serde_json::json;
use uuid::Uuid;

use crate::support::{PATIENCE, Rig, Setup, id};

/// A topic whose session has had a turn and is gone without a summary.
async fn deserted(kind: &'static str, flags: &[&str]) -> (Rig, Uuid) {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "build the boat [[say built]]").await;
    let before = rig.setup.uid;
    rig.kill_pod().await;
    rig.setup = Setup {
        kind,
        agent: json!({"name": "next"}),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        ..Setup::default()
    };
    (rig, before)
}

fn marker(rig: &Rig, uid: Uuid) -> PathBuf {
    rig.path(&format!(".runner/pending/{uid}.json"))
}

fn state(rig: &Rig) -> String {
    std::fs::read_to_string(rig.path("state/state.md")).unwrap_or_default()
}

async fn bodies(rig: &Rig) -> Vec<String> {
    let entries = rig.requests().await;
    let bodies = entries.into_iter().filter(|entry| !entry.side_question);
    bodies.filter_map(|entry| Some(entry.body?.to_string())).collect()
}

#[tokio::test]
async fn the_next_pod_writes_the_summary_of_a_session_that_was_lost_and_its_agent_reads_it() {
    for kind in ["session", "task"] {
        let (mut rig, before) = deserted(kind, &[]).await;
        assert!(marker(&rig, before).exists());
        let conversation = transcript::find(&rig.path(".runner/claude"), before).unwrap();
        let said = std::fs::read(&conversation).unwrap();
        rig.client().clear_requests().await.unwrap();
        rig.start_again().await;
        let turn = rig.runner.ask(id(2), "go on [[say going on]]").await;
        assert_eq!(turn.text(), "going on");
        let mut events = rig.runner.events(0).await;
        let told = events.wait("the outcomes", |event| matches!(event, Event::EarlierSummary { .. }));
        let Event::EarlierSummary { session, summary } = told.await.event else {
            unreachable!("it was waited for")
        };
        let text = summary.text;
        assert!(
            session == "test" && text.contains("build the boat"),
            "{session}: {text}"
        );
        assert!(!marker(&rig, before).exists());
        let heading = state(&rig).contains("## Session test, ");
        assert!(heading && state(&rig).contains("build the boat"), "{}", state(&rig));
        let own = rig.path(&format!("state/summaries/{before}.md"));
        assert!(std::fs::read_to_string(own).unwrap().contains("build the boat"));
        let read = bodies(&rig).await;
        assert!(
            read.iter().all(|body| body.contains("Summary of 1 messages")),
            "{read:?}"
        );
        assert_eq!(
            std::fs::read(&conversation).unwrap(),
            said,
            "the old conversation is as it was"
        );
        let journal = std::fs::read_to_string(rig.path(&format!(".runner/journal/{before}.jsonl"))).unwrap();
        let last = journal.lines().last().unwrap();
        let last: longshore_wire::Record = serde_json::from_str(last).unwrap();
        assert!(matches!(last.event, Event::Summary { .. }), "the session knows it too");
    }
}

#[tokio::test]
async fn a_summary_that_hangs_holds_messages_up_only_so_long_and_is_owed_on() {
    let (mut rig, before) = deserted("session", &["--owed-summaries-ms", "6000"]).await;
    let never = json!({"match": {"side_question": true}, "steps": [{"hang": {"times": 99}}]});
    rig.client().add_rules(&never).await.unwrap();
    rig.start_again().await;
    rig.runner.say(id(2), "taken at once [[say answered later]]").await;
    let status = rig.runner.status().await;
    assert_eq!(
        (status.state, status.unfinished.as_slice()),
        (RunnerState::Starting, [id(2)].as_slice())
    );
    let mut events = rig.runner.events(0).await;
    assert_eq!(events.turn_of(id(2)).await.text(), "answered later");
    assert!(marker(&rig, before).exists() && state(&rig).is_empty());
}

#[tokio::test]
async fn after_three_pods_in_vain_the_state_says_that_there_is_no_summary() {
    let (mut rig, before) = deserted("session", &[]).await;
    let fails = json!({"match": {"side_question": true}, "steps": [{"error": {"status": 400, "times": 99}}]});
    rig.client().add_rules(&fails).await.unwrap();
    for n in 1..=3 {
        assert!(
            marker(&rig, before).exists() && state(&rig).is_empty(),
            "before pod {n}"
        );
        rig.start_again().await;
        rig.runner
            .until("ready", |status| status.state == RunnerState::Ready)
            .await;
        rig.runner.terminate().await;
    }
    assert!(!marker(&rig, before).exists());
    let state = state(&rig);
    assert!(
        state.contains("## Session test, ") && state.contains("ended without a summary"),
        "{state}"
    );
    assert!(
        state.contains("400") && state.contains(&format!("state/history/{before}.jsonl")),
        "{state}"
    );
}

#[tokio::test]
async fn what_claude_says_about_a_failing_endpoint_is_no_summary() {
    let rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    let fails = json!({"match": {"side_question": true}, "steps": [{"error": {"status": 400, "times": 99}}]});
    rig.client().add_rules(&fails).await.unwrap();
    let deadline = Timestamp::now() + SignedDuration::from_secs(60);
    rig.runner
        .post("/v1/quiesce", json!({"deadline": deadline, "summarize": true}))
        .await;
    let is_quiesced = |status: &longshore_wire::api::Status| status.state == RunnerState::Quiesced;
    let status = rig.runner.until("quiesced", is_quiesced).await;
    assert!(status.summary.is_none(), "{status:?}");
    assert!(status.summary_error.unwrap().contains("400"));
    assert!(marker(&rig, rig.setup.uid).exists() && state(&rig).is_empty());
}

#[tokio::test]
async fn a_session_that_lives_is_left_alone() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    let living = rig.setup.uid;
    rig.setup.uid = Uuid::new_v4();
    rig.setup.kind = "task";
    let beside = rig.start_beside().await;
    beside.ask(id(2), "two").await;
    assert!(marker(&rig, living).exists() && state(&rig).is_empty());
    rig.runner.ask(id(3), "three").await;
}

#[tokio::test]
async fn a_pod_that_is_stopped_while_it_makes_a_summary_stops_at_once() {
    let (mut rig, before) = deserted("session", &[]).await;
    let held = json!({"match": {"side_question": true}, "steps": [{"hold": "asked"}, {"text": "late"}]});
    rig.client().add_rules(&held).await.unwrap();
    rig.start_again().await;
    rig.client().held_at("asked", PATIENCE).await.unwrap();
    rig.runner.signal(Signal::SIGTERM);
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(20), rig.runner.exit()).await;
    assert_eq!(stopped, Ok(Some(0)));
    assert!(marker(&rig, before).exists());
    rig.client().clear_rules().await.unwrap();
    rig.start_again().await;
    rig.runner
        .until("ready", |status| status.state == RunnerState::Ready)
        .await;
    assert!(state(&rig).contains("build the boat"), "{}", state(&rig));
}

#[tokio::test]
async fn a_summary_that_is_written_or_not_wanted_is_not_owed() {
    for summarize in [true, false] {
        let rig = Rig::session().await;
        let uid = rig.setup.uid;
        assert!(!marker(&rig, uid).exists(), "nothing has been said yet");
        rig.runner.ask(id(1), "one").await;
        assert!(marker(&rig, uid).exists());
        let deadline = Timestamp::now() + SignedDuration::from_secs(60);
        let body = json!({"deadline": deadline, "summarize": summarize});
        rig.runner.post("/v1/quiesce", body).await;
        rig.runner
            .until("quiesced", |status| status.state == RunnerState::Quiesced)
            .await;
        assert!(!marker(&rig, uid).exists());
        assert_eq!(state(&rig).is_empty(), !summarize);
    }
}
