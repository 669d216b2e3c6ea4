//! The topic's repository, cloned from a real Git server.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use longshore_wire::api::{AgentProblemKind, RunnerState};
use longshore_wire::event::Event;
use serde_json::{Value, json};

use crate::git_server::{GitServer, git};
use crate::support::{Rig, Setup, id};
use crate::task::result;

const PASSWORD: &str = "pass word/+%41";
/// Patient git, impatient pauses.
const FLAGS: [&str; 2] = ["--clone-pause-ms", "50"];

fn setup(repository: &Value) -> Setup {
    Setup {
        agent: json!({"repository": repository, "allowedTools": ["Bash"]}),
        flags: FLAGS.map(str::to_owned).to_vec(),
        ..Setup::default()
    }
}

fn with_login(repository: &Value) -> Setup {
    Setup {
        env: vec![
            ("LONGSHORE_REPOSITORY_USERNAME", "me"),
            ("LONGSHORE_REPOSITORY_PASSWORD", PASSWORD),
        ],
        ..setup(repository)
    }
}

fn read(rig: &Rig, below: &str) -> String {
    std::fs::read_to_string(rig.path("workspace").join(below)).unwrap_or_default()
}

/// What people were told about the repository, up to now.
async fn told(rig: &Rig) -> Vec<String> {
    let now = rig.runner.status().await.seq;
    let mut events = rig.runner.events(0).await;
    events.up_to(now).await;
    let told = events.records.iter().filter_map(|record| match &record.event {
        Event::Repository { message } => Some(message.clone()),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn the_first_turn_finds_the_repository_in_its_workspace_and_the_next_pod_leaves_it() {
    let server = GitServer::start().await;
    let mut rig = Rig::start(setup(&json!({"url": server.url, "depth": 1}))).await;
    let turn = rig
        .runner
        .ask(
            id(1),
            "look [[bash cat count.txt; git log --oneline | wc -l; git status --short]] [[say {{last_tool_result}}]]",
        )
        .await;
    assert_eq!(turn.text(), "three1", "one commit, and nothing changed");
    let said = told(&rig).await;
    let commit = server.commit("main");
    assert!(
        said.len() == 1 && said[0].contains("was cloned into the workspace"),
        "{said:?}"
    );
    assert!(said[0].contains(&commit[..7]), "{said:?}");
    let asked = server.requests();
    std::fs::write(rig.path("workspace/count.txt"), "mine").unwrap();
    rig.runner.terminate().await;
    rig.start_again().await;
    assert!(!rig.runner.ask(id(2), "and now?").await.is_error);
    assert_eq!((read(&rig, "count.txt").as_str(), server.requests()), ("mine", asked));
    assert_eq!(told(&rig).await.len(), 1);
}

#[tokio::test]
async fn branches_tags_commits_and_all_of_the_history_can_be_had() {
    let server = GitServer::start().await;
    let second = server.commit("main~1");
    for (reference, depth, count, commits) in [
        (Some("side"), 1, "one", "1"),
        (Some("v1"), 1, "one", "1"),
        (Some("main"), 2, "three", "2"),
        (None, 0, "three", "3"),
        (Some(second.as_str()), 1, "two", "1"),
        (Some(second.as_str()), 0, "two", "2"),
    ] {
        let rig = Rig::start(setup(&json!({"url": server.url, "ref": reference, "depth": depth}))).await;
        rig.runner
            .until("ready", |status| status.state == RunnerState::Ready)
            .await;
        assert_eq!(read(&rig, "count.txt"), count, "{reference:?}");
        let found = git(&rig.path("workspace"), &["rev-list", "--count", "HEAD"]);
        assert_eq!(found, commits, "{reference:?}");
        assert_eq!(git(&rig.path("workspace"), &["status", "--short"]), "");
    }
}

#[tokio::test]
async fn the_credential_opens_the_repository_and_is_nowhere_that_claude_can_look() {
    let server = GitServer::start().await;
    server.require(&format!("me:{PASSWORD}"));
    let rig = Rig::start(with_login(&json!({"url": server.url, "depth": 1}))).await;
    let search = "cat .git/config; git config --list; env; cat /proc/[0-9]*/cmdline /proc/self/environ";
    let turn = rig
        .runner
        .ask(
            id(1),
            &format!("look [[bash {search}]] [[say {{{{last_tool_result}}}}]]"),
        )
        .await;
    assert_eq!(read(&rig, "count.txt"), "three");
    let header = BASE64_STANDARD.encode(format!("me:{PASSWORD}"));
    for secret in [PASSWORD, &header, "LONGSHORE_"] {
        assert!(!turn.text().contains(secret), "{secret} in {turn:?}");
    }
    assert!(
        turn.text().contains(&server.url),
        "git knows where it is from: {turn:?}"
    );
    for secret in [PASSWORD, &header] {
        let found = std::process::Command::new("grep")
            .args(["-rlF", secret])
            .arg(rig.folder.path())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "on the volume");
    }
}

#[tokio::test]
async fn a_session_without_its_repository_says_why_and_goes_on_once_it_can() {
    let server = GitServer::start().await;
    server.require("me:another");
    let rig = Rig::start(with_login(&json!({"url": server.url, "depth": 1}))).await;
    let status = rig
        .runner
        .until("failed", |status| status.state == RunnerState::Failed)
        .await;
    let problem = status.problem.unwrap();
    assert_eq!(problem.kind, AgentProblemKind::RepositoryCloneFailed);
    for piece in [
        server.url.as_str(),
        "cannot be cloned",
        "Authentication failed",
        "Correct the Secret",
        // The server repeats what it was given.
        "who is Basic ***?",
        "suspended and resumed",
    ] {
        assert!(problem.message.contains(piece), "{piece} in {problem:?}");
    }
    for secret in [PASSWORD, &BASE64_STANDARD.encode(format!("me:{PASSWORD}"))] {
        assert!(!problem.message.contains(secret), "{problem:?}");
    }
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "it waits").await;
    server.require(&format!("me:{PASSWORD}"));
    assert!(!events.turn_of(id(1)).await.is_error);
    assert_eq!(rig.runner.status().await.problem, None);
    assert_eq!(read(&rig, "count.txt"), "three");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do() {
    let server = GitServer::start().await;
    let locked = GitServer::start().await;
    locked.require("me:secret");
    let nobody = "http://127.0.0.1:1/app.git";
    for (repository, says, advice) in [
        (
            json!({"url": server.url, "ref": "none", "depth": 1}),
            "Remote branch none not found",
            "Correct repository.ref",
        ),
        (
            json!({"url": server.url, "ref": "0".repeat(39) + "1", "depth": 1}),
            "not our ref",
            "Correct repository.ref",
        ),
        (
            json!({"url": server.url.replace("app", "other"), "depth": 1}),
            "not found",
            "Correct repository.url",
        ),
        (
            json!({"url": locked.url, "depth": 1}),
            "could not read Username",
            "Name a Secret",
        ),
        (json!({"url": nobody, "depth": 1}), "unable to access", "egress"),
        (
            json!({"url": "file:///etc", "depth": 1}),
            "not allowed",
            "Correct repository",
        ),
        (
            json!({"url": "ext::sh -c id", "depth": 1}),
            "not allowed",
            "Correct repository",
        ),
    ] {
        let rig = Rig::start(setup(&repository)).await;
        let status = rig.runner.until("a problem", |status| status.problem.is_some()).await;
        let message = status.problem.unwrap().message;
        assert!(message.contains(says) && message.contains(advice), "{message}");
        assert_eq!(std::fs::read_dir(rig.path("workspace")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_task_without_its_repository_tries_again_and_then_fails() {
    let server = GitServer::start().await;
    let repository = json!({"url": server.url.replace("app", "other"), "depth": 1});
    let mut rig = Rig::start(Setup {
        kind: "task",
        ..setup(&repository)
    })
    .await;
    rig.runner.say(id(1), "add").await;
    let result = result(&rig).await;
    assert_eq!(
        (result["isError"].as_bool(), result["terminalReason"].as_str()),
        (Some(true), Some("repository_clone_failed"))
    );
    let text = result["text"].as_str().unwrap();
    assert!(
        text.contains("cannot be cloned") && text.ends_with("Then ask again."),
        "{text}"
    );
    assert_eq!(server.requests(), 3, "it tries three times");
    assert_eq!(rig.prompts().await.len(), 0, "no claude without its files");
    assert_eq!(rig.runner.post("/v1/ack", json!({"seq": result["seq"]})).await.0, 204);
    assert_eq!(rig.runner.exit().await, Some(0));
}

#[tokio::test]
async fn a_pod_that_is_killed_while_it_clones_leaves_nothing_and_the_next_starts_over() {
    let server = GitServer::start().await;
    let mut rig = Rig::start(setup(&json!({"url": server.url, "depth": 1}))).await;
    server.hold(true);
    let file = json!({"name": "a.txt", "data": BASE64_STANDARD.encode("sent")});
    let message = json!({"id": id(1), "text": "look [[bash cat count.txt inbox/*]] [[say {{last_tool_result}}]]", "attachments": [file]});
    // The listing of refs may have come before the hold, the objects have not.
    server.half_sent().await;
    assert_eq!(rig.runner.post("/v1/messages", message).await.0, 202);
    rig.kill_pod().await;
    let there: Vec<_> = std::fs::read_dir(rig.path("workspace")).unwrap().collect();
    assert_eq!(there.len(), 1, "the inbox alone: {there:?}");
    server.hold(false);
    rig.start_again().await;
    let turn = rig.runner.events(0).await.turn_of(id(1)).await;
    assert_eq!(turn.text(), "threesent");
    let left: Vec<_> = std::fs::read_dir(rig.path(".runner/repository")).unwrap().collect();
    assert_eq!(left.len(), 1, "no half clone stays: {left:?}");
}

#[tokio::test]
async fn a_server_that_takes_too_long_is_given_up() {
    let server = GitServer::start().await;
    server.hold(true);
    let mut setup = setup(&json!({"url": server.url, "depth": 1}));
    setup.flags.extend(["--clone-ms", "2000"].map(str::to_owned));
    let mut rig = Rig::start(setup).await;
    let status = rig.runner.until("a problem", |status| status.problem.is_some()).await;
    let message = status.problem.unwrap().message;
    assert!(message.contains("not finished after 2 s"), "{message}");
    // It ends at once, also while git runs.
    assert_eq!(rig.runner.terminate().await, Some(0));
}

#[tokio::test]
async fn a_workspace_with_files_stays_as_it_is_and_that_is_said_once() {
    let server = GitServer::start().await;
    let mut rig = Rig::session().await;
    rig.runner.ask(id(1), "one").await;
    std::fs::write(rig.path("workspace/mine.txt"), "mine").unwrap();
    rig.setup.agent = json!({"repository": {"url": server.url, "depth": 1}});
    for n in 2..4 {
        rig.runner.terminate().await;
        rig.start_again().await;
        rig.runner.ask(id(n), "next").await;
    }
    let said = told(&rig).await;
    assert!(said.len() == 1 && said[0].contains("has files already"), "{said:?}");
    assert_eq!((read(&rig, "mine.txt").as_str(), server.requests()), ("mine", 0));
}

#[tokio::test]
async fn a_repository_without_a_commit_is_cloned_as_well() {
    let server = GitServer::start().await;
    let empty = server.empty();
    let rig = Rig::start(setup(&json!({"url": empty, "depth": 1}))).await;
    let turn = rig
        .runner
        .ask(
            id(1),
            "look [[bash git remote get-url origin]] [[say {{last_tool_result}}]]",
        )
        .await;
    assert_eq!(turn.text(), empty);
}

#[tokio::test]
async fn a_session_that_waits_for_its_repository_can_be_suspended_and_comes_back_corrected() {
    let server = GitServer::start().await;
    let mut rig = Rig::start(setup(&json!({"url": server.url.replace("app", "other"), "depth": 1}))).await;
    rig.runner.until("a problem", |status| status.problem.is_some()).await;
    rig.runner.say(id(1), "one").await;
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
    rig.runner
        .post("/v1/quiesce", json!({"deadline": deadline, "summarize": true}))
        .await;
    rig.runner
        .until("quiesced", |status| status.state == RunnerState::Quiesced)
        .await;
    assert_eq!(rig.runner.events(0).await.turn_of(id(1)).await.reason, "quiesced");
    assert_eq!(rig.runner.terminate().await, Some(0));
    rig.setup.agent["repository"]["url"] = json!(server.url);
    rig.start_again().await;
    assert!(!rig.runner.ask(id(2), "two").await.is_error);
    assert_eq!(read(&rig, "count.txt"), "three");
}
