use serde_json::json;

use crate::support::{Rig, Setup, id};
use longshore_wire::api::{Busy, RunnerState};
use longshore_wire::event::{Event, Meets, ToolState};

#[tokio::test]
async fn a_message_is_answered_and_a_follow_up_meets_the_same_claude() {
    let rig = Rig::session().await;
    let turn = rig.runner.ask(id(1), "the ship is blue [[say noted]]").await;
    assert_eq!((turn.text().as_str(), turn.reason.as_str()), ("noted", "completed"));
    assert!(turn.cost > 0.0);
    let before = rig.runner.status().await;
    let turn = rig.runner.ask(id(2), "and now? [[recall]]").await;
    assert_eq!(turn.text(), "Your first message was: the ship is blue");
    let after = rig.runner.status().await;
    assert_eq!((after.claude_pid, after.restarts), (before.claude_pid, 0));
    assert_eq!((after.usage.turns, after.state), (2, RunnerState::Ready));
    assert!(after.busy.is_empty() && after.unfinished.is_empty());
    let history = std::fs::read_to_string(rig.path(&format!("state/history/{}.jsonl", rig.setup.uid))).unwrap();
    assert!(
        history.contains("the ship is blue") && history.contains("noted"),
        "{history}"
    );
}

#[tokio::test]
async fn the_same_id_posted_twenty_times_at_once_is_one_turn() {
    let rig = Rig::session().await;
    let posts = (0..20).map(|_| rig.runner.say(id(7), "once [[say one]]"));
    let seqs = futures::future::join_all(posts).await;
    assert!(seqs.iter().all(|seq| *seq == seqs[0]), "{seqs:?}");
    let mut events = rig.runner.events(0).await;
    events.turn_of(id(7)).await;
    assert_eq!(
        rig.runner.say(id(7), "once [[say one]]").await,
        seqs[0],
        "also when it is long over"
    );
    rig.runner.ask(id(8), "next").await;
    let mut events = rig.runner.events(0).await;
    events.turn_of(id(8)).await;
    assert_eq!(events.ends_of(id(7)), 1);
    assert_eq!(
        rig.prompts()
            .await
            .iter()
            .filter(|prompt| prompt.contains("once"))
            .count(),
        1
    );
}

#[tokio::test]
async fn messages_that_meet_a_running_turn_all_end_exactly_once() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "first [[hold gate]] [[say one]]").await;
    rig.client().held_at("gate", crate::support::PATIENCE).await.unwrap();
    rig.runner.say(id(2), "second").await;
    rig.runner.say(id(3), "third").await;
    assert!(rig.runner.status().await.busy.contains(&Busy::TurnRunning));
    rig.client().open_gate("gate").await.unwrap();
    assert_eq!(events.turn_of(id(1)).await.text(), "one");
    let merged = events.turn_of(id(2)).await;
    assert!(
        merged.text().contains("second") && merged.text().contains("third"),
        "{merged:?}"
    );
    assert_eq!(merged.messages, [id(2), id(3)]);
    for n in [2, 3] {
        assert_eq!(events.meetings(id(n)), [(1, Meets::Waiting), (2, Meets::Begun)], "{n}");
    }
    for n in 1..=3 {
        assert_eq!(events.ends_of(id(n)), 1);
    }
}

#[tokio::test]
async fn a_message_during_a_tool_is_folded_into_the_running_turn() {
    let setup = crate::support::Setup {
        agent: json!({"allowedTools": ["Bash"]}),
        ..Default::default()
    };
    let rig = Rig::start(setup).await;
    let mut events = rig.runner.events(0).await;
    let wait = "while [ ! -e go ]; do python3 -c 'import time; time.sleep(0.05)'; done";
    rig.runner
        .say(id(1), &format!("first [[bash {wait}]] [[say after]]"))
        .await;
    let started = |event: &Event| {
        matches!(
            event,
            Event::Tool {
                state: ToolState::Started,
                ..
            }
        )
    };
    events.wait("the tool", started).await;
    rig.runner.say(id(2), "meanwhile").await;
    std::fs::write(rig.path("workspace/go"), "").unwrap();
    let turn = events.turn_of(id(2)).await;
    assert_eq!(turn.messages, [id(1), id(2)], "one turn for both");
    assert_eq!(events.meetings(id(2)), [(1, Meets::Waiting), (1, Meets::Folded)]);
    assert_eq!(events.meetings(id(1)), [], "it has met no turn that ran");
}

#[tokio::test]
async fn claude_reads_who_wrote_and_what_it_refers_to_in_front_of_the_words() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    let context = "[Longshore] It replies to Bob:\n> it is red";
    let message = json!({
        "id": id(1), "text": "why? [[hold gate]] [[say because]]", "author": "Ada\n[Longshore]", "context": context,
    });
    assert_eq!(rig.runner.post("/v1/messages", message).await.0, 202);
    rig.client().held_at("gate", crate::support::PATIENCE).await.unwrap();
    let read = rig.prompts().await.pop().unwrap();
    let at = |part: &str| read.find(part).unwrap_or_else(|| panic!("no {part:?} in {read:?}"));
    assert!(
        at("It replies to Bob:\n> it is red") < at("From Ada (Longshore):"),
        "{read}"
    );
    assert!(at("From Ada (Longshore):") < at("why?"), "{read}");
    let accepted = events
        .wait("the message", |event| matches!(event, Event::Accepted { .. }))
        .await;
    assert!(matches!(accepted.event, Event::Accepted { context: Some(kept), .. } if kept == context));
    rig.client().open_gate("gate").await.unwrap();
    assert_eq!(events.turn_of(id(1)).await.text(), "because");
}

#[tokio::test]
async fn an_event_stream_resumes_without_gap_or_duplicate() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "one [[slow 6 150]]").await;
    events.preview("part").await;
    let seen = events.records.last().unwrap().seq;
    drop(events);
    let mut resumed = rig.runner.follow("/v1/events?after=0", Some(seen)).await;
    resumed
        .wait("the end", |event| matches!(event, Event::TurnFinished { .. }))
        .await;
    assert_eq!(resumed.records[0].seq, seen + 1, "Last-Event-ID wins over after");
    let mut all = rig.runner.events(0).await;
    all.turn_of(id(1)).await;
    assert_eq!(all.records.len() as u64, rig.runner.status().await.seq);
    assert_eq!(rig.runner.post("/v1/ack", json!({"seq": 3})).await.0, 204);
    assert_eq!(rig.runner.post("/v1/ack", json!({"seq": 2})).await.0, 204);
    assert_eq!(rig.runner.status().await.acked, 3, "never backwards");
}

#[tokio::test]
async fn an_attached_terminal_keeps_the_session_busy_and_the_bot_does_not() {
    let rig = Rig::session().await;
    let _bot = rig.runner.events(0).await;
    assert!(rig.runner.status().await.busy.is_empty());
    let terminal = rig.runner.follow("/v1/events?client=terminal", None).await;
    rig.runner
        .until("busy", |status| status.busy == [Busy::TerminalAttached])
        .await;
    drop(terminal);
    rig.runner.until("idle again", |status| status.busy.is_empty()).await;
}

#[tokio::test]
async fn a_background_command_keeps_the_session_busy_and_its_end_is_told_in_a_turn_of_its_own() {
    let setup = crate::support::Setup {
        agent: json!({"allowedTools": ["Bash"]}),
        ..Default::default()
    };
    let rig = Rig::start(setup).await;
    let wait = "while [ ! -e go ]; do python3 -c 'import time; time.sleep(0.05)'; done";
    let call = json!({"command": wait, "description": "waits", "run_in_background": true});
    let turn = rig
        .runner
        .ask(id(1), &format!("start it [[tool Bash {call}]] [[say started]]"))
        .await;
    assert_eq!(turn.text(), "started");
    rig.runner
        .until("busy", |status| status.busy == [Busy::BackgroundTask])
        .await;
    let mut events = rig.runner.events(0).await;
    std::fs::write(rig.path("workspace/go"), "").unwrap();
    let alone = |event: &Event| matches!(event, Event::TurnFinished { message_ids, .. } if message_ids.is_empty());
    events.wait("a turn without a message", alone).await;
    rig.runner.until("idle", |status| status.busy.is_empty()).await;
}

#[tokio::test]
async fn instructions_of_class_topic_and_workspace_and_the_state_file_reach_the_model() {
    let mut rig = Rig::start(Setup {
        env: vec![
            ("LONGSHORE_CLASS_INSTRUCTIONS", "Say xyzzy-class at will."),
            ("LONGSHORE_TOPIC_INSTRUCTIONS", "Never say xyzzy-old."),
        ],
        ..Setup::default()
    })
    .await;
    rig.runner
        .until("ready", |status| status.claude_version.is_some())
        .await;
    rig.runner.terminate().await;
    std::fs::write(rig.path("workspace/CLAUDE.md"), "The magic word is xyzzy.\n").unwrap();
    std::fs::write(rig.path("state/state.md"), "Earlier we chose plugh.\n").unwrap();
    rig.setup.env[1].1 = "Never say xyzzy-topic.";
    rig.start_again().await;
    rig.runner.ask(id(1), "hello there").await;
    let entries = rig.requests().await;
    let bodies: String = entries
        .iter()
        .filter_map(|entry| entry.body.as_ref())
        .map(ToString::to_string)
        .collect();
    let told = ["xyzzy-class", "xyzzy-topic", "word is xyzzy", "plugh"].map(|words| bodies.find(words));
    assert!(told.iter().all(Option::is_some), "{told:?}");
    assert!(told[0] < told[1], "the class comes first: {told:?}");
    assert!(!bodies.contains("xyzzy-old"), "they were changed before this start");
}
