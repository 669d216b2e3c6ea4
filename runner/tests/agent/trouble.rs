//! A model endpoint that misbehaves, and a volume that does.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use longshore_wire::api::{AgentProblemKind, RunnerState};
use serde_json::{Value, json};

use crate::crashes::failing_at_first;
use crate::support::{KEY, PATIENCE, Rig, Setup, id};

#[tokio::test]
async fn refused_credentials_are_final_at_once_and_heal() {
    let rig = Rig::session().await;
    rig.client().require_key(Some("another key")).await.unwrap();
    let turn = rig.runner.ask(id(1), "one").await;
    assert_eq!((turn.is_error, turn.reason.as_str()), (true, "not_logged_in"));
    assert!(turn.error.contains("credentials"), "{turn:?}");
    let problem = rig.runner.status().await.problem.unwrap();
    assert_eq!(problem.kind, AgentProblemKind::NotLoggedIn);
    let tried = rig.prompts().await.len();
    assert!(tried <= 3, "{tried} requests");
    rig.client().require_key(Some(KEY)).await.unwrap();
    assert!(!rig.runner.ask(id(2), "two").await.is_error);
    assert_eq!(rig.runner.status().await.problem, None);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_noticed() {
    let rig = Rig::start(Setup {
        flags: ["--silence-ms", "4000", "--obey-ms", "1000"]
            .map(str::to_owned)
            .to_vec(),
        ..Setup::default()
    })
    .await;
    let never = json!({"match": {"user": "^one$"}, "steps": [{"hang": {"times": 99}}]});
    rig.client().add_rules(&never).await.unwrap();
    let turn = rig.runner.ask(id(1), "one").await;
    assert_eq!((turn.is_error, turn.reason.as_str()), (true, "silence"));
    let turn = rig.runner.ask(id(2), "two").await;
    assert!(!turn.is_error, "the session lives: {turn:?} {:?}", rig.prompts().await);
}

#[tokio::test]
async fn an_endpoint_that_only_fails_is_given_up() {
    let rig = Rig::start(Setup {
        flags: ["--retries-ms", "1500"].map(str::to_owned).to_vec(),
        ..Setup::default()
    })
    .await;
    // Of 529 claude itself has enough after three tries; of 500 it tries for minutes.
    let fails = json!({"match": {"user": "^one$"}, "steps": [{"error": {"status": 500, "times": 99}}]});
    rig.client().add_rules(&fails).await.unwrap();
    let turn = rig.runner.ask(id(1), "one").await;
    assert_eq!((turn.is_error, turn.reason.as_str()), (true, "retries"));
    let turn = rig.runner.ask(id(2), "two").await;
    assert!(!turn.is_error, "the session lives: {turn:?} {:?}", rig.prompts().await);
}

#[tokio::test]
async fn a_slow_tool_and_a_waiting_prompt_are_not_silence() {
    let rig = Rig::start(Setup {
        flags: ["--silence-ms", "4000"].map(str::to_owned).to_vec(),
        agent: json!({"allowedTools": ["Bash(python3:*)"], "approvalTimeoutSeconds": 7}),
        ..Setup::default()
    })
    .await;
    let turn = rig
        .runner
        .ask(
            id(1),
            "[[bash python3 -c 'import time; time.sleep(7)']] [[bash touch x]] [[say through]]",
        )
        .await;
    assert_eq!((turn.is_error, turn.text().as_str()), (false, "through"));
}

#[tokio::test]
async fn a_claude_that_cannot_be_started_is_a_problem_that_is_told() {
    let rig = Rig::start(Setup {
        flags: ["--claude", "/nonexistent/claude"].map(str::to_owned).to_vec(),
        ..Setup::default()
    })
    .await;
    rig.runner.say(id(1), "taken all the same").await;
    let status = rig
        .runner
        .until("failed", |status| status.state == RunnerState::Failed)
        .await;
    let problem = status.problem.unwrap();
    assert_eq!(problem.kind, AgentProblemKind::CrashLoop);
    assert!(problem.message.contains("/nonexistent/claude"), "{problem:?}");
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(30);
    rig.runner
        .post("/v1/quiesce", json!({"deadline": deadline, "summarize": true}))
        .await;
    let mut events = rig.runner.events(0).await;
    assert_eq!(events.turn_of(id(1)).await.reason, "quiesced", "also without a claude");
}

#[tokio::test]
async fn a_claude_that_never_answers_its_start_is_a_problem_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let claude = folder.path().join("claude");
    std::fs::write(&claude, "#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&claude, Permissions::from_mode(0o755)).unwrap();
    let flags = ["--start-ms", "300", "--claude", claude.to_str().unwrap()];
    let rig = Rig::start(Setup {
        flags: flags.map(str::to_owned).to_vec(),
        ..Setup::default()
    })
    .await;
    let status = rig.runner.until("a problem", |status| status.problem.is_some()).await;
    let problem = status.problem.unwrap();
    assert_eq!(problem.kind, AgentProblemKind::CrashLoop);
    assert!(problem.message.contains("does not answer"), "{problem:?}");
}

#[tokio::test]
async fn a_conversation_that_could_not_be_saved_is_a_problem_until_the_next_claude_works() {
    let folder = tempfile::tempdir().unwrap();
    // The real one says this when it leaves a disk that is full, and fails no turn before.
    let lost = r#"{"type":"system","subtype":"session_writes_lost","lost":["transcript"],"error_code":"ENOSPC"}"#;
    let claude = failing_at_first(folder.path(), 1, &format!("echo '{lost}'"));
    let rig = Rig::start(Setup {
        flags: vec!["--claude".to_owned(), claude.display().to_string()],
        ..Setup::default()
    })
    .await;
    let status = rig.runner.until("a problem", |status| status.problem.is_some()).await;
    let problem = status.problem.unwrap();
    assert_eq!(problem.kind, AgentProblemKind::NotWritable);
    assert!(problem.message.contains("ENOSPC"), "{problem:?}");
    let ready = |status: &longshore_wire::api::Status| status.state == RunnerState::Ready;
    assert_eq!(rig.runner.until("ready", ready).await.problem, None);
}

#[tokio::test]
async fn an_attachment_that_a_full_disk_cut_is_whole_once_it_is_posted_again() {
    let mut rig = Rig::start(Setup {
        file_blocks: Some(600),
        ..Setup::default()
    })
    .await;
    let content = "0123456789".repeat(70_000);
    let file = json!({"name": "big.txt", "data": BASE64_STANDARD.encode(&content)});
    let message = json!({"id": id(1), "text": "look", "attachments": [file]});
    let (code, problem) = rig.runner.post("/v1/messages", message.clone()).await;
    assert_eq!(code, 503, "{problem}");
    rig.runner.terminate().await;
    rig.setup.file_blocks = None;
    rig.start_again().await;
    let (code, problem) = rig.runner.post("/v1/messages", message).await;
    assert_eq!(code, 202, "{problem}");
    let saved: Vec<_> = std::fs::read_dir(rig.path("workspace/inbox")).unwrap().collect();
    let [Ok(file)] = &saved[..] else { panic!("{saved:?}") };
    assert!(std::fs::read_to_string(file.path()).unwrap() == content, "it is cut");
}

#[tokio::test]
async fn what_a_full_disk_kept_out_of_the_history_is_written_once_there_is_room() {
    let mut rig = Rig::session().await;
    rig.runner
        .until("ready", |status| status.claude_version.is_some())
        .await;
    rig.runner.terminate().await;
    let history = rig.path(&format!("state/history/{}.jsonl", rig.setup.uid));
    std::fs::write(&history, "x".repeat(700_000) + "\n").unwrap();
    rig.setup.file_blocks = Some(600);
    rig.start_again().await;
    for n in 1..=2 {
        assert!(!rig.runner.ask(id(n), &format!("[[say answer {n}]]")).await.is_error);
    }
    std::fs::write(&history, "").unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut lines = String::new();
    while lines.lines().count() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "only this comes: {lines}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        lines = std::fs::read_to_string(&history).unwrap();
    }
    let answers = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["answer"].clone());
    assert_eq!(answers.collect::<Vec<_>>(), ["answer 1", "answer 2"]);
}

#[tokio::test]
async fn a_volume_that_cannot_be_written_is_a_problem_that_heals() {
    let mut rig = Rig::session().await;
    rig.runner
        .until("ready", |status| status.claude_version.is_some())
        .await;
    rig.runner.terminate().await;
    std::fs::remove_dir(rig.path("workspace")).unwrap();
    std::fs::write(rig.path("workspace"), "in the way").unwrap();
    rig.start_again().await;
    let status = rig.runner.until("a problem", |status| status.problem.is_some()).await;
    assert_eq!(status.problem.unwrap().kind, AgentProblemKind::NotWritable);
    let (code, _) = rig.runner.post("/v1/messages", json!({"id": id(1), "text": "x"})).await;
    assert_eq!(code, 503);
    std::fs::remove_file(rig.path("workspace")).unwrap();
    rig.runner
        .until("healed", |status| status.state == RunnerState::Ready)
        .await;
    rig.runner.ask(id(1), "one").await;
}
