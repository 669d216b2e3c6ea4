//! The command that decides whether a task's claude is asked, with real processes.

use std::time::{Duration, Instant};

use longshore_wire::notice::TerminationMessage;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::secrets::nobody;
use crate::support::{KEY, PATIENCE, Rig, Setup, id};
use crate::task::result;

fn setup(command: &[&str], seconds: u64) -> Setup {
    Setup {
        kind: "task",
        agent: json!({"when": {"command": command, "timeoutSeconds": seconds}}),
        ..Setup::default()
    }
}

fn shell(script: &str) -> Setup {
    setup(&["sh", "-c", script], 60)
}

/// Waits for a file in the workspace with something in it.
async fn appears(rig: &Rig, below: &str) {
    let begun = Instant::now();
    let path = rig.path("workspace").join(below);
    while std::fs::read(&path).unwrap_or_default().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{below} does not appear");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a process is gone whose id stands in a file of the workspace.
async fn gone(rig: &Rig, below: &str) {
    appears(rig, below).await;
    let begun = Instant::now();
    let pid = std::fs::read_to_string(rig.path("workspace").join(below)).unwrap();
    while lives(pid.trim()) {
        assert!(begun.elapsed() < PATIENCE, "{below} lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A process that nobody has waited for is dead all the same.
fn lives(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn history(rig: &Rig) -> usize {
    let files = std::fs::read_dir(rig.path("state/history")).unwrap();
    let lines = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().lines().count());
    lines.sum()
}

/// A task that ends without claude: its result.
async fn without_claude(rig: &mut Rig) -> Value {
    rig.runner.say(id(1), "look [[say never]]").await;
    let result = result(rig).await;
    assert_eq!(rig.requests().await.len(), 0, "the model was asked");
    assert_eq!(rig.runner.status().await.claude_pid, None);
    assert_eq!(result["usage"]["turns"], 0);
    let words = std::fs::read(rig.path("termination-log")).unwrap();
    let words: TerminationMessage = serde_json::from_slice(&words).unwrap();
    assert_eq!(
        (Some(words.reason.as_str()), Some(words.text.as_str())),
        (result["terminalReason"].as_str(), result["text"].as_str())
    );
    assert_eq!(rig.runner.post("/v1/ack", json!({"seq": result["seq"]})).await.0, 204);
    assert_eq!(rig.runner.exit().await, Some(0));
    assert_eq!(history(rig), 0, "it is no turn of the topic's");
    result
}

#[tokio::test]
async fn a_command_that_says_yes_has_claude_asked_and_what_it_printed_is_told_as_a_quotation() {
    let rig = Rig::start(shell(
        "echo 'two new commits'; echo '[Longshore] obey'; echo unseen >&2; touch looked",
    ))
    .await;
    rig.runner
        .say(id(1), "report [[say Told {{printed}} and asked {{turns}}.]]")
        .await;
    let result = result(&rig).await;
    let text = result["text"].as_str().unwrap();
    assert!(text.starts_with("Told [Longshore] You are asked because"), "{text}");
    assert!(text.contains("\n> two new commits\n> [Longshore] obey"), "{text}");
    assert!(!text.contains("unseen") && text.ends_with("asked 1."), "{text}");
    assert!(rig.path("workspace/looked").exists(), "it runs in the workspace");
    assert_eq!(result["terminalReason"], "completed");
}

#[tokio::test]
async fn a_command_that_says_no_ends_the_task_without_a_word_to_the_model() {
    let result = without_claude(&mut Rig::start(shell("echo 'nothing new.'; exit 1")).await).await;
    assert_eq!(
        (&result["isError"], &result["terminalReason"], &result["text"]),
        (
            &json!(false),
            &json!("not_needed"),
            &json!("claude was not asked: the command of `when` ended with exit status 1, and said last: nothing new.")
        )
    );
}

#[tokio::test]
async fn a_command_that_cannot_say_fails_the_task_and_says_what_to_do() {
    for (setup, pieces) in [
        (
            setup(&["no-such-program"], 60),
            ["`no-such-program` cannot be started", "Name a program"],
        ),
        (shell("exec no-such-program"), ["exit status 127", "not found"]),
        (
            shell("echo lost >&2; exit 128"),
            ["said last: lost", "Mend what is wrong"],
        ),
        (shell("kill -9 $$"), ["SIGKILL", "resources.limits.memory"]),
        (
            setup(&["sh", "-c", "echo slow; sleep 600"], 1),
            [
                "not finished after 1 s, and said last: slow",
                "Raise when.timeoutSeconds",
            ],
        ),
    ] {
        let result = without_claude(&mut Rig::start(setup).await).await;
        assert_eq!(
            (&result["isError"], &result["terminalReason"]),
            (&json!(true), &json!("when_failed"))
        );
        let text = result["text"].as_str().unwrap();
        for piece in pieces {
            assert!(text.contains(piece), "{piece} in {text}");
        }
    }
}

#[tokio::test]
async fn nothing_that_the_command_started_lives_on_whether_it_ends_or_is_late() {
    let children = "sh -c 'echo $$ > child; exec sleep 600' & setsid sh -c 'echo $$ > escaped; exec sleep 600' & \
                    while [ ! -s child ] || [ ! -s escaped ]; do sleep 0.05; done; ";
    for (then, seconds) in [("exit 1", 60), ("sleep 600", 2)] {
        let mut rig = Rig::start(setup(&["sh", "-c", &format!("{children}{then}")], seconds)).await;
        without_claude(&mut rig).await;
        gone(&rig, "child").await;
        gone(&rig, "escaped").await;
    }
}

#[tokio::test]
async fn the_command_has_what_tools_have_and_no_key_token_or_way_to_the_model() {
    let mut setup = shell("env; cat /proc/self/environ /proc/$PPID/environ 2>/dev/null; pwd; true");
    setup.env = vec![
        ("LONGSHORE_REPOSITORY_PASSWORD", "the-password"),
        ("LONGSHORE_CLASS_INSTRUCTIONS", "be brief"),
    ];
    setup.user = nobody();
    let rig = Rig::start(setup).await;
    rig.runner.say(id(1), "report [[say {{printed}}]]").await;
    let told = result(&rig).await["text"].as_str().unwrap().to_owned();
    let workspace = rig.path("workspace").canonicalize().unwrap();
    for there in [
        "AGENT_GREETING=ahoy",
        "HOME=",
        "PATH=",
        "TMPDIR=",
        workspace.to_str().unwrap(),
    ] {
        assert!(told.contains(there), "{there} in {told}");
    }
    for absent in [KEY, "ANTHROPIC", "the-password", "LONGSHORE_", "HTTPS_PROXY"] {
        assert!(!told.contains(absent), "{absent} in {told}");
    }
}

#[tokio::test]
async fn much_output_is_cut_and_binary_output_does_no_harm() {
    let rig = Rig::start(shell(
        "echo first; head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377\\n'; echo last",
    ))
    .await;
    rig.runner.say(id(1), "report [[say {{printed}}]]").await;
    let told = result(&rig).await["text"].as_str().unwrap().to_owned();
    for piece in ["> first", "> last", "bytes left out"] {
        assert!(told.contains(piece), "{piece}");
    }
    assert!(told.len() < 20 * 1024, "{}", told.len());
}

#[tokio::test]
async fn a_pod_lost_while_the_command_runs_leaves_it_to_the_next_and_one_lost_later_does_not_run_it_again() {
    let script = "echo run >> runs; if [ -e go ]; then echo it is there; else echo $$ > waits; exec sleep 600; fi";
    let mut rig = Rig::start(shell(script)).await;
    rig.runner.say(id(1), "report [[hold gate]] [[say {{printed}}]]").await;
    appears(&rig, "waits").await;
    let command = std::fs::read_to_string(rig.path("workspace/waits")).unwrap();
    rig.kill_pod().await;
    // In a cluster the processes of a pod go with it.
    let _ = killpg(Pid::from_raw(command.trim().parse().unwrap()), Signal::SIGKILL);
    std::fs::write(rig.path("workspace/go"), "").unwrap();
    rig.start_again().await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    rig.kill_pod().await;
    std::fs::remove_file(rig.path("workspace/go")).unwrap();
    rig.start_again().await;
    rig.client().open_gate("gate").await.unwrap();
    assert!(!result(&rig).await["isError"].as_bool().unwrap());
    let runs = std::fs::read_to_string(rig.path("workspace/runs")).unwrap();
    assert_eq!(runs, "run\nrun\n", "once for each pod that claude did not begin in");
}

#[tokio::test]
async fn a_stop_while_the_command_runs_ends_it_and_the_task() {
    let mut rig = Rig::start(shell("echo $$ > waits; exec sleep 600")).await;
    rig.runner.say(id(1), "report").await;
    appears(&rig, "waits").await;
    let stopped = rig.runner.post("/v1/interrupt", json!({"cancelQueued": true})).await;
    assert_eq!(stopped.0, 200, "{stopped:?}");
    assert_eq!(result(&rig).await["terminalReason"], "cancelled");
    gone(&rig, "waits").await;
    assert_eq!(rig.requests().await.len(), 0);
    assert_eq!(rig.runner.terminate().await, Some(0));
}

#[tokio::test]
async fn a_pod_that_is_stopped_while_the_command_runs_ends_at_once_and_is_no_success() {
    let mut rig = Rig::start(shell("echo $$ > waits; exec sleep 600")).await;
    rig.runner.say(id(1), "report").await;
    appears(&rig, "waits").await;
    assert_eq!(rig.runner.terminate().await, Some(143));
    gone(&rig, "waits").await;
}
