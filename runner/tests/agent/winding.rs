//! Quiesce and SIGTERM.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use longshore_wire::api::RunnerState;
use longshore_wire::event::Event;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Rig, id};

fn quiesce(summarize: bool, seconds: i64) -> Value {
    let deadline = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    json!({"deadline": deadline, "summarize": summarize})
}

#[tokio::test]
async fn quiesce_writes_the_summary_and_takes_no_more_messages() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "build the boat [[say built]]").await;
    assert_eq!(rig.runner.post("/v1/quiesce", quiesce(true, 60)).await.0, 202);
    let status = rig
        .runner
        .until("quiesced", |status| status.state == RunnerState::Quiesced)
        .await;
    let summary = status.summary.unwrap();
    assert!(summary.text.contains("build the boat"), "{summary:?}");
    assert_eq!(status.claude_pid, None);
    assert!(
        std::fs::read_to_string(rig.path(&summary.path))
            .unwrap()
            .contains("build the boat")
    );
    assert!(
        std::fs::read_to_string(rig.path("state/state.md"))
            .unwrap()
            .contains("build the boat")
    );
    let (code, problem) = rig
        .runner
        .post("/v1/messages", json!({"id": id(2), "text": "late"}))
        .await;
    assert_eq!((code, problem["error"].as_str()), (409, Some("Ended")));
    assert_eq!(
        rig.runner.say(id(1), "build the boat [[say built]]").await,
        1,
        "a known id is still known"
    );
    assert_eq!(rig.runner.terminate().await, Some(0));
    // Resumed later: no news, no restart to speak of, the conversation is there.
    rig.start_again().await;
    let turn = rig.runner.ask(id(3), "what now [[recall]]").await;
    assert!(turn.text().contains("build the boat"));
    let mut events = rig.runner.events(0).await;
    events.turn_of(id(3)).await;
    assert!(
        !events
            .records
            .iter()
            .any(|record| matches!(record.event, Event::Restarted { .. }))
    );
}

#[tokio::test]
async fn quiesce_ends_a_running_turn_with_a_reason() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "long [[slow 500 200]]").await;
    events.preview("part    2").await;
    rig.runner.say(id(2), "waits").await;
    rig.runner.post("/v1/quiesce", quiesce(false, 30)).await;
    let turn = events.turn_of(id(1)).await;
    assert_eq!(turn.reason, "quiesced");
    assert!(turn.text().starts_with("part    1;"));
    assert_eq!(events.turn_of(id(2)).await.reason, "quiesced");
    rig.runner
        .until("quiesced", |status| status.state == RunnerState::Quiesced)
        .await;
    assert!(rig.runner.status().await.unfinished.is_empty());
}

#[tokio::test]
async fn a_summary_that_fails_blocks_nothing() {
    let rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    let never = json!({"match": {"side_question": true}, "steps": [{"hang": {"times": 99}}]});
    rig.client().add_rules(&never).await.unwrap();
    let started = tokio::time::Instant::now();
    rig.runner.post("/v1/quiesce", quiesce(true, 5)).await;
    let status = rig
        .runner
        .until("quiesced", |status| status.state == RunnerState::Quiesced)
        .await;
    assert!(started.elapsed() < Duration::from_secs(20), "the deadline holds");
    assert!(status.summary.is_none() && status.summary_error.is_some(), "{status:?}");
}

#[tokio::test]
async fn sigterm_keeps_what_was_streamed_and_the_next_pod_goes_on() {
    let mut rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "long [[slow 500 200]]").await;
    events.preview("part    3").await;
    rig.runner.say(id(2), "waits [[say second]]").await;
    let started = tokio::time::Instant::now();
    assert_eq!(rig.runner.terminate().await, Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "took {:?}",
        started.elapsed()
    );
    events.rest().await;
    let kept = events.records.iter().find_map(|record| match &record.event {
        Event::Text { text, .. } => Some(text.clone()),
        _ => None,
    });
    assert!(kept.unwrap().starts_with("part    1;part    2;part    3;"));
    assert_eq!(events.ends_of(id(1)), 0, "it is not over");
    rig.start_again().await;
    let mut events = rig.runner.events(0).await;
    let turn = events.turn_of(id(1)).await;
    assert!(
        turn.blocks[&0].starts_with("part    1;") && turn.text().contains("ended unexpectedly"),
        "{turn:?}"
    );
    events.turn_of(id(2)).await;
    assert_eq!((events.ends_of(id(1)), events.ends_of(id(2))), (1, 1));
}

#[tokio::test]
async fn calls_that_meet_sigterm_are_sent_away_to_come_back_and_never_told_that_the_session_has_ended() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    // A claude that does not move takes two seconds to be got rid of; the calls pile up meanwhile.
    let claude = rig.runner.status().await.claude_pid.unwrap();
    kill(Pid::from_raw(claude.cast_signed()), Signal::SIGSTOP).unwrap();
    rig.runner.signal(Signal::SIGTERM);
    let posts = (2..8).map(|n| rig.runner.post("/v1/messages", json!({"id": id(n), "text": "more"})));
    let acks = (1..4).map(|seq| rig.runner.post("/v1/ack", json!({"seq": seq})));
    let (posts, acks) = tokio::join!(join_all(posts), join_all(acks));
    // One that is quicker than the signal is taken, and answered by the next pod.
    assert!(posts.iter().all(|(code, _)| matches!(code, 202 | 503)), "{posts:?}");
    assert!(acks.iter().all(|(code, _)| matches!(code, 204 | 503)), "{acks:?}");
    assert_eq!(rig.runner.exit().await, Some(0));
    rig.start_again().await;
    rig.runner.ask(id(2), "more").await;
}

#[tokio::test]
async fn nothing_is_left_running() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    let claude = rig.runner.status().await.claude_pid.unwrap();
    tokio::time::timeout(PATIENCE, rig.runner.terminate()).await.unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{claude}")).exists());
}
