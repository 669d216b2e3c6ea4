use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use longshore_wire::event::{Event, ToolState};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{PATIENCE, Rig, Setup, claude, id};
use longshore_runner::claude::transcript;
use longshore_runner::turn::Found;

const CONTINUATION: &str = "ended unexpectedly";

fn kill_claude(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
}

fn with_bash() -> Setup {
    Setup {
        agent: json!({"allowedTools": ["Bash"]}),
        ..Setup::default()
    }
}

#[tokio::test]
async fn claude_stores_what_the_restart_rule_looks_for() {
    let rig = Rig::start(with_bash()).await;
    let mut events = rig.runner.events(0).await;
    let config = rig.path(".runner/claude");
    let uid = rig.setup.uid;
    let look = |ids: &[i64], texts: &[&str]| -> BTreeMap<uuid::Uuid, Found> {
        let anchors: Vec<_> = ids
            .iter()
            .zip(texts)
            .map(|(n, text)| (id(*n).0, (*text).to_owned()))
            .collect();
        transcript::search(&transcript::find(&config, uid).unwrap(), &anchors).unwrap()
    };
    // Stored before the first request leaves.
    let first = "first [[hold gate]] [[say one]]";
    rig.runner.say(id(1), first).await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    assert_eq!(look(&[1], &[first])[&id(1).0], Found::Open { texts: vec![] });
    // What only waits in the queue is not stored.
    rig.runner.say(id(2), "second").await;
    rig.runner.say(id(3), "third").await;
    assert!(!look(&[2], &["second"]).contains_key(&id(2).0));
    rig.client().open_gate("gate").await.unwrap();
    events.turn_of(id(3)).await;
    let ended = |texts: &[&str]| Found::Ended {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        error: None,
    };
    assert_eq!(look(&[1], &[first])[&id(1).0], ended(&["one"]));
    // Of a merged batch both are found, though only the last uuid is stored.
    let found = look(&[2, 3], &["second", "third"]);
    assert!(
        matches!(found[&id(2).0], Found::Ended { .. }) && found[&id(2).0] == found[&id(3).0],
        "{found:?}"
    );
    // A folded message is found by its source.
    let wait = "while [ ! -e go ]; do python3 -c 'import time; time.sleep(0.05)'; done";
    let fourth = format!("fourth [[bash {wait}]] [[say four]]");
    rig.runner.say(id(4), &fourth).await;
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
    rig.runner.say(id(5), "fifth").await;
    std::fs::write(rig.path("workspace/go"), "").unwrap();
    events.turn_of(id(5)).await;
    let found = look(&[4, 5], &[&fourth, "fifth"]);
    assert!(
        matches!(&found[&id(4).0], Found::Ended { texts, .. } if !texts.is_empty()),
        "{found:?}"
    );
    assert!(matches!(&found[&id(5).0], Found::Ended { .. }), "{found:?}");
}

#[tokio::test]
async fn claude_killed_mid_turn_goes_on_with_the_same_message_and_loses_no_text() {
    let rig = Rig::session().await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "remember me [[slow 50 200]]").await;
    events.preview("part    2").await;
    kill_claude(rig.runner.status().await.claude_pid.unwrap());
    let turn = events.turn_of(id(1)).await;
    assert!(!turn.is_error, "{turn:?}");
    assert!(
        turn.blocks[&0].starts_with("part    1;"),
        "what was streamed is kept: {turn:?}"
    );
    assert!(turn.text().contains(CONTINUATION), "the model was told: {turn:?}");
    assert_eq!(events.ends_of(id(1)), 1);
    let starts = |record: &&longshore_wire::Record| matches!(record.event, Event::TurnStarted { .. });
    assert_eq!(
        events.records.iter().filter(starts).count(),
        1,
        "the turn keeps its number"
    );
    assert!(
        events
            .records
            .iter()
            .any(|record| matches!(record.event, Event::Restarted { .. }))
    );
    assert_eq!(
        rig.prompts()
            .await
            .iter()
            .filter(|prompt| prompt.contains("remember me"))
            .count(),
        1,
        "not run again"
    );
    let turn = rig.runner.ask(id(2), "still there? [[recall]]").await;
    assert!(turn.text().contains("remember me"));
}

#[tokio::test]
async fn claude_killed_mid_tool_takes_its_tool_along_and_runs_it_once() {
    let rig = Rig::start(with_bash()).await;
    let mut events = rig.runner.events(0).await;
    let command = "echo ran >> ran; python3 -c 'import time; time.sleep(600)' & echo $! > child; wait";
    rig.runner
        .say(id(1), &format!("work [[bash {command}]] [[say done]]"))
        .await;
    let child = rig.path("workspace/child");
    let started = tokio::time::Instant::now();
    while std::fs::read_to_string(&child).is_ok_and(|pid| pid.trim().is_empty()) || !child.exists() {
        assert!(started.elapsed() < PATIENCE, "the tool does not start");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let child: i32 = std::fs::read_to_string(child).unwrap().trim().parse().unwrap();
    kill_claude(rig.runner.status().await.claude_pid.unwrap());
    let turn = events.turn_of(id(1)).await;
    assert!(!turn.is_error && turn.text().contains(CONTINUATION), "{turn:?}");
    assert_eq!(
        kill(Pid::from_raw(child), None),
        Err(nix::errno::Errno::ESRCH),
        "the orphan is dead"
    );
    assert_eq!(
        std::fs::read_to_string(rig.path("workspace/ran")).unwrap(),
        "ran\n",
        "once"
    );
}

#[tokio::test]
async fn the_pod_killed_mid_turn_goes_on_on_the_same_volume() {
    let mut rig = Rig::session().await;
    rig.runner
        .say(id(1), "the first thing [[hold gate]] [[say never]]")
        .await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    rig.runner.say(id(2), "waits in line [[say second]]").await;
    rig.kill_pod().await;
    rig.start_again().await;
    let mut events = rig.runner.events(0).await;
    let turn = events.turn_of(id(1)).await;
    assert!(turn.text().contains(CONTINUATION), "{turn:?}");
    events.turn_of(id(2)).await;
    assert_eq!((events.ends_of(id(1)), events.ends_of(id(2))), (1, 1));
    assert!(
        rig.prompts()
            .await
            .iter()
            .any(|prompt| prompt.contains("waits in line"))
    );
    assert_eq!(rig.runner.status().await.restarts, 1);
}

#[tokio::test]
async fn a_pod_that_starts_before_its_predecessor_is_gone_waits_for_the_journal() {
    let mut rig = Rig::session().await;
    rig.runner.say(id(1), "remember teal [[hold cut]]").await;
    rig.client().held_at("cut", PATIENCE).await.unwrap();
    let next = rig.start_beside().await;
    let (code, body) = next
        .post("/v1/messages", json!({"id": id(2), "text": "too early"}))
        .await;
    assert_eq!(code, 503, "{body}");
    let status = next.status().await;
    assert!(status.claude_pid.is_none() && status.problem.is_none(), "{status:?}");
    rig.client().open_gate("cut").await.unwrap();
    rig.runner.terminate().await;
    let mut events = next.events(0).await;
    next.say(id(2), "[[recall]]").await;
    let turn = events.turn_of(id(2)).await;
    assert!(turn.text().contains("teal"), "{turn:?}");
    assert_eq!(events.ends_of(id(1)), 1);
}

#[tokio::test]
async fn any_number_of_crashes_during_a_continuation_leads_to_one_end() {
    let mut rig = Rig::session().await;
    let rule = json!({"match": {"user": CONTINUATION}, "times": 2, "steps": [{"hold": "again"}, {"text": "late"}]});
    rig.client().add_rules(&rule).await.unwrap();
    rig.runner.say(id(1), "start [[hold gate]]").await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    rig.kill_pod().await;
    for _ in 0..2 {
        rig.start_again().await;
        rig.client().held_at("again", PATIENCE).await.unwrap();
        rig.kill_pod().await;
    }
    rig.start_again().await;
    let mut events = rig.runner.events(0).await;
    let turn = events.turn_of(id(1)).await;
    assert!(!turn.is_error, "{turn:?}");
    rig.runner.ask(id(2), "more").await;
    events.turn_of(id(2)).await;
    assert_eq!(events.ends_of(id(1)), 1);
}

#[tokio::test]
async fn an_answer_that_only_the_transcript_knows_is_told_from_there() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "question [[say the answer]]").await;
    rig.kill_pod().await;
    // The runner died before it could journal what came after the message.
    let path = rig.path(&format!(".runner/journal/{}.jsonl", rig.setup.uid));
    let journal = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, journal.lines().next().unwrap().to_owned() + "\n").unwrap();
    rig.start_again().await;
    let mut events = rig.runner.events(0).await;
    let turn = events.turn_of(id(1)).await;
    assert_eq!((turn.text().as_str(), turn.is_error), ("the answer", false));
    assert_eq!(rig.prompts().await.len(), 1, "the model was not asked again");
}

/// A claude that says something and ends before it answers the first times it is started.
pub fn failing_at_first(folder: &Path, times: u32, says: &str) -> PathBuf {
    let (path, starts) = (folder.join("claude"), folder.join("starts"));
    let script = format!(
        "#!/bin/sh\necho start >> {starts}\n[ $(wc -l < {starts}) -gt {times} ] || {{ {says}; exit 1; }}\n\
         exec {claude} \"$@\"\n",
        starts = starts.display(),
        claude = claude().display(),
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn starts_that_fail_are_no_crashes_however_many_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let claude = failing_at_first(folder.path(), 4, "echo no room >&2");
    let rig = Rig::start(Setup {
        flags: vec!["--claude".to_owned(), claude.display().to_string()],
        ..Setup::default()
    })
    .await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "patient [[say at last]]").await;
    let status = rig.runner.until("a problem", |status| status.problem.is_some()).await;
    assert!(status.problem.unwrap().message.contains("no room"));
    let turn = events.turn_of(id(1)).await;
    assert_eq!(turn.text(), "at last");
    let starts = std::fs::read_to_string(folder.path().join("starts")).unwrap();
    assert_eq!(starts.lines().count(), 5);
    let restarted = events
        .records
        .iter()
        .find(|record| matches!(record.event, Event::Restarted { .. }));
    assert!(restarted.is_none(), "{restarted:?}");
    assert_eq!(rig.runner.status().await.problem, None);
}

#[tokio::test]
async fn a_crash_is_told_and_counted_also_when_the_next_start_does_not_work() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("claude");
    std::os::unix::fs::symlink(claude(), &link).unwrap();
    let rig = Rig::start(Setup {
        flags: vec!["--claude".to_owned(), link.display().to_string()],
        ..Setup::default()
    })
    .await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "start [[hold gate]]").await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    std::fs::remove_file(&link).unwrap();
    kill_claude(rig.runner.status().await.claude_pid.unwrap());
    rig.runner.until("a problem", |status| status.problem.is_some()).await;
    std::os::unix::fs::symlink(claude(), &link).unwrap();
    let turn = events.turn_of(id(1)).await;
    assert!(turn.text().contains(CONTINUATION), "{turn:?}");
    let status = rig.runner.status().await;
    assert_eq!((status.restarts, status.problem), (1, None));
    let told = |record: &longshore_wire::Record| matches!(&record.event, Event::Restarted { message } if message.contains("claude was killed"));
    assert!(events.records.iter().any(told), "{:?}", events.records);
}

#[tokio::test]
async fn a_request_is_read_again_when_the_conversation_is_lost_before_its_continuation_is_read() {
    let mut rig = Rig::session().await;
    let rule = json!({"match": {"user": CONTINUATION}, "times": 1, "steps": [{"hold": "again"}]});
    rig.client().add_rules(&rule).await.unwrap();
    rig.runner.say(id(1), "the request [[hold gate]] [[say done]]").await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    rig.kill_pod().await;
    rig.start_again().await;
    rig.client().held_at("again", PATIENCE).await.unwrap();
    rig.kill_pod().await;
    std::fs::remove_dir_all(rig.path(".runner/claude/projects")).unwrap();
    rig.client().open_gate("gate").await.unwrap();
    rig.start_again().await;
    let mut events = rig.runner.events(0).await;
    let turn = events.turn_of(id(1)).await;
    assert_eq!(turn.text(), "done", "{:?}", rig.prompts().await);
    assert_eq!(events.ends_of(id(1)), 1);
}

#[tokio::test]
async fn corrupt_settings_of_claude_are_moved_away() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    rig.runner.terminate().await;
    std::fs::write(rig.path(".runner/claude/.claude.json"), "{broken").unwrap();
    rig.start_again().await;
    let turn = rig.runner.ask(id(2), "two [[recall]]").await;
    assert!(turn.text().contains("one"), "{turn:?}");
}

#[tokio::test]
async fn a_lost_conversation_begins_anew_and_says_so() {
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    rig.runner.terminate().await;
    let path = transcript::find(&rig.path(".runner/claude"), rig.setup.uid).unwrap();
    std::fs::remove_file(path).unwrap();
    rig.start_again().await;
    let mut events = rig.runner.events(0).await;
    let told = |event: &Event| matches!(event, Event::Restarted { message } if message.contains("remembers nothing"));
    events.wait("the news", told).await;
    let turn = rig.runner.ask(id(2), "two [[recall]]").await;
    assert!(turn.text().contains("two"), "{turn:?}");
}
