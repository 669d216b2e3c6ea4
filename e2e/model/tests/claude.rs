//! The stand-in against the real `claude` CLI, driven as the runner drives it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code outside test functions"
)]

use std::{collections::VecDeque, path::PathBuf, process::Stdio, time::Duration};

use longshore_model::{Client, Model, server::Wanted};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const LONG: Duration = Duration::from_secs(90);

fn claude_path() -> PathBuf {
    let path = std::env::var_os("LONGSHORE_CLAUDE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/claude/claude"),
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "no claude CLI at {}: `make claude` fetches it; or set LONGSHORE_CLAUDE to the binary",
        path.display()
    );
    path
}

/// One claude process in an empty home.
struct Claude {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    seen: VecDeque<Value>,
    _home: tempfile::TempDir,
}

impl Claude {
    fn start(model: &Model) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(claude_path())
            .args([
                "-p",
                "--verbose",
                "--input-format",
                "stream-json",
                "--output-format",
                "stream-json",
            ])
            .args([
                "--include-partial-messages",
                "--replay-user-messages",
                "--setting-sources",
                "user",
            ])
            .args(["--permission-mode", "dontAsk", "--allowedTools", "Bash"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("CLAUDE_CONFIG_DIR", home.path())
            .env("ANTHROPIC_BASE_URL", model.url())
            .env("ANTHROPIC_API_KEY", "the-key")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Claude {
            _child: child,
            stdin,
            stdout,
            seen: VecDeque::new(),
            _home: home,
        }
    }

    async fn send(&mut self, line: Value) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn say(&mut self, text: &str) {
        let message = json!({"role": "user", "content": text});
        let id = uuid::Uuid::new_v4();
        self.send(json!({"type": "user", "uuid": id, "message": message, "client_composed": true}))
            .await;
    }

    async fn next(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let reading = async {
            loop {
                let line = self.stdout.next_line().await.unwrap().expect("claude ended");
                let value: Value = serde_json::from_str(&line).unwrap();
                self.seen.push_back(value.clone());
                if wanted(&value) {
                    return value;
                }
            }
        };
        timeout(LONG, reading).await.unwrap_or_else(|_| panic!("no {what}"))
    }

    async fn result(&mut self) -> String {
        let result = self.next("result", |line| line["type"] == "result").await;
        result["result"].as_str().unwrap_or_default().to_owned()
    }

    async fn ask(&mut self, text: &str) -> String {
        self.say(text).await;
        self.result().await
    }

    fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.seen.iter().filter(|line| wanted(line)).count()
    }
}

async fn started() -> (Model, Client, Claude) {
    let model = Model::local().await.unwrap();
    let (client, claude) = (model.client(), Claude::start(&model));
    (model, client, claude)
}

#[tokio::test]
async fn text_tools_and_memory_reach_claude_and_come_back() {
    let (_model, client, mut claude) = started().await;
    assert_eq!(claude.ask("my number is 42 [[think hm]] [[say noted]]").await, "noted");
    let answer = claude
        .ask("[[say looking]] [[bash echo dig$((6*7))up]] [[say it said {{last_tool_result}}]]")
        .await;
    assert_eq!(answer, "it said dig42up");
    assert_eq!(
        claude.ask("what did I say first?").await,
        "Yes. This is message 3 of our conversation, and your first one was: my number is 42"
    );
    assert_eq!(claude.ask("plain words").await, "You wrote: plain words");

    let requests = client
        .requests(&Wanted {
            full: 1,
            ..Wanted::default()
        })
        .await
        .unwrap();
    assert_eq!(requests.len(), 5);
    assert!(
        requests
            .iter()
            .all(|request| request.headers["x-api-key"] == "the-key" && request.turns > 0)
    );
    assert_eq!(requests[4].last_user, "plain words");
    assert!(requests[4].body.as_ref().unwrap()["tools"].is_array());
}

#[tokio::test]
async fn two_tools_in_one_answer_both_run() {
    let (_model, _client, mut claude) = started().await;
    let tools =
        json!([{"name": "Bash", "input": {"command": "echo a"}}, {"name": "Bash", "input": {"command": "echo b"}}]);
    assert_eq!(claude.ask(&format!("[[tools {tools}]] [[say both]]")).await, "both");
    let results = claude.count(|line| line["type"] == "user" && line["message"]["content"][0]["type"] == "tool_result");
    assert_eq!(results, 2);
}

#[tokio::test]
async fn a_gate_holds_the_answer_in_the_middle_of_its_text() {
    let (_model, client, mut claude) = started().await;
    claude.say("[[say before ]] [[hold here]] [[say after]]").await;
    let is_delta = |line: &Value| line["event"]["delta"]["text"] == "before ";
    claude.next("text before the gate", is_delta).await;
    client.held_at("here", LONG).await.unwrap();
    client.open_gate("here").await.unwrap();
    assert_eq!(claude.result().await, "before after");
}

#[tokio::test]
async fn a_message_during_a_tool_and_a_side_question_are_understood() {
    let (_model, client, mut claude) = started().await;
    assert_eq!(claude.ask("remember herring [[say ok]]").await, "ok");
    claude
        .say("[[bash python3 -c 'import time; time.sleep(3)']] [[say slept]]")
        .await;
    claude
        .next("tool call", |line| line["message"]["content"][0]["type"] == "tool_use")
        .await;
    claude.say("hurry up").await;
    assert_eq!(claude.result().await, "slept (You also wrote: hurry up)");

    let question = json!({"subtype": "side_question", "question": "Please summarise the outcomes."});
    claude
        .send(json!({"type": "control_request", "request_id": "r1", "request": question}))
        .await;
    let reply = claude
        .next("control response", |line| line["type"] == "control_response")
        .await;
    let summary = reply["response"]["response"]["response"].as_str().unwrap();
    assert!(
        summary.starts_with("Summary of 2 messages. They asked: remember herring | "),
        "{summary}"
    );
    assert!(summary.ends_with(" | hurry up"), "{summary}");
    let wanted = Wanted {
        contains: Some("Please summarise".to_owned()),
        ..Wanted::default()
    };
    assert!(client.requests(&wanted).await.unwrap()[0].side_question);
    assert_eq!(claude.ask("[[say {{turns}}]]").await, "3");
}

#[tokio::test]
async fn overload_and_lost_connections_are_retried_by_claude() {
    let (_model, client, mut claude) = started().await;
    assert_eq!(claude.ask("[[error 529]] [[say recovered]]").await, "recovered");
    assert_eq!(claude.count(|line| line["subtype"] == "api_retry"), 1);
    assert_eq!(claude.ask("[[drop]] [[say again]]").await, "again");
    assert_eq!(claude.ask("[[say half ]] [[drop]] [[say whole]]").await, "half whole");
    assert_eq!(
        claude.ask("[[error 429 retry-after=1]] [[say patient]]").await,
        "patient"
    );
    let stats = client.stats().await.unwrap();
    assert_eq!((stats.refused, stats.dropped, stats.finished), (2, 2, 4));
}

#[tokio::test]
async fn slow_text_arrives_in_chunks_and_an_interrupt_is_noticed() {
    let (_model, client, mut claude) = started().await;
    claude.ask("[[slow 5 30]]").await;
    assert_eq!(claude.count(|line| line["event"]["delta"]["type"] == "text_delta"), 5);
    claude.say("[[say x]] [[hang]]").await;
    claude
        .next("first text", |line| line["event"]["delta"]["text"] == "x")
        .await;
    let interrupt = json!({"subtype": "interrupt"});
    claude
        .send(json!({"type": "control_request", "request_id": "r2", "request": interrupt}))
        .await;
    claude.result().await;
    let ended = async {
        while client.stats().await.unwrap().aborted == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, ended)
        .await
        .expect("the journal shows the aborted request");
    assert_eq!(claude.ask("[[say still here]]").await, "still here");
}
