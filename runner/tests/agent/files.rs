//! Files that claude sends: what may be sent, that it is announced before claude is told, and that no copy is lost or left behind.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use http::Method;
use longshore_wire::Record;
use longshore_wire::api::{MAX_SENT_FILE_BYTES, RunnerState, SentFile};
use longshore_wire::event::Event;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::support::{Rig, Setup, id};
use crate::task::result;

const TOOL: &str = "mcp__longshore__send_file";

async fn rig(kind: &'static str, agent: Value) -> Rig {
    let mut whole = json!({"sendsFiles": true});
    for (key, value) in agent.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    Rig::start(Setup {
        kind,
        agent: whole,
        ..Setup::default()
    })
    .await
}

fn send(path: &str) -> String {
    format!("[[tool {TOOL} {}]]", json!({ "path": path }))
}

fn sent(records: &[Record]) -> Vec<&SentFile> {
    let files = records.iter().filter_map(|record| match &record.event {
        Event::File { file, .. } => Some(file),
        _ => None,
    });
    files.collect()
}

fn is_file(event: &Event) -> bool {
    matches!(event, Event::File { .. })
}

async fn content(rig: &Rig, file: &SentFile) -> Option<Vec<u8>> {
    let path = format!("/v1/files/{}", file.id);
    let answer = rig.runner.request(Method::GET, &path).send().await.unwrap();
    match answer.status().as_u16() {
        200 => Some(answer.bytes().await.unwrap().to_vec()),
        404 => None,
        other => panic!("{other}"),
    }
}

async fn take(rig: &Rig, file: &SentFile) {
    let path = format!("/v1/files/{}", file.id);
    let answer = rig.runner.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 204);
}

fn copies(rig: &Rig) -> usize {
    let folder: PathBuf = rig.path(".runner/outgoing").join(rig.setup.uid.to_string());
    std::fs::read_dir(folder).map_or(0, |entries| entries.count())
}

#[tokio::test]
async fn a_session_sends_a_file_without_asking_and_keeps_a_copy_until_it_is_taken() {
    let mut rig = rig("session", json!({"allowedTools": ["Bash"]})).await;
    let mut events = rig.runner.events(0).await;
    let arguments = json!({"path": "out/plan.bin", "caption": "The plan"});
    let text = format!(
        "plan it [[bash mkdir -p out && printf 'a\\0b' > out/plan.bin]] [[tool {TOOL} {arguments}]] \
         [[bash echo changed > out/plan.bin]] [[say Told: {{{{last_tool_result}}}}]]"
    );
    rig.runner.say(id(1), &text).await;
    let record = events.wait("the file", is_file).await;
    events.turn_of(id(1)).await;
    let file = sent(&events.records)[0].clone();
    assert_eq!(
        (file.name.as_str(), file.size, file.caption.as_deref()),
        ("plan.bin", 3, Some("The plan"))
    );
    let asked = events
        .records
        .iter()
        .filter(|record| matches!(record.event, Event::Approval { .. }));
    assert_eq!(asked.count(), 0, "{:#?}", events.records);
    // A restart between the event and its end loses nothing.
    assert_eq!(content(&rig, &file).await.unwrap(), b"a\0b");
    rig.kill_pod().await;
    rig.start_again().await;
    assert_eq!(content(&rig, &file).await.unwrap(), b"a\0b");
    assert_eq!(rig.runner.post("/v1/ack", json!({"seq": record.seq - 1})).await.0, 204);
    assert_eq!(copies(&rig), 1);
    assert_eq!(rig.runner.post("/v1/ack", json!({"seq": record.seq})).await.0, 204);
    assert_eq!((content(&rig, &file).await, copies(&rig)), (None, 0));
}

#[tokio::test]
async fn what_leads_out_or_is_no_file_is_refused_and_claude_is_told_why() {
    let rig = rig("session", json!({"allowedTools": ["Bash"]})).await;
    rig.runner
        .until("ready", |status| status.state == RunnerState::Ready)
        .await;
    let workspace = rig.path("workspace");
    std::fs::write(rig.path("secret"), "s").unwrap();
    symlink(rig.path("secret"), workspace.join("link")).unwrap();
    symlink("/proc/self", workspace.join("proc")).unwrap();
    mkfifo(&workspace.join("pipe"), Mode::S_IRWXU).unwrap();
    std::fs::create_dir(workspace.join("folder")).unwrap();
    std::fs::write(workspace.join("empty"), "").unwrap();
    let large = std::fs::File::create(workspace.join("large")).unwrap();
    large.set_len(MAX_SENT_FILE_BYTES + 1).unwrap();
    for (n, (path, why)) in [
        ("link", "does not lie in"),
        ("/proc/self/environ", "does not lie in"),
        ("proc/environ", "does not lie in"),
        ("../secret", "does not lie in"),
        ("pipe", "no regular file"),
        ("folder", "no regular file"),
        ("empty", "is empty"),
        ("large", "at most 50 MB"),
        ("nothing", "There is no file"),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("send {} [[say Told: {{{{last_tool_result}}}}]]", send(path));
        let turn = rig.runner.ask(id(n as i64), &text).await;
        assert!(turn.text().contains(why), "{path}: {}", turn.text());
    }
    let mut events = rig.runner.events(0).await;
    events.up_to(rig.runner.status().await.seq).await;
    assert!(sent(&events.records).is_empty());
    assert_eq!(copies(&rig), 0);
}

#[tokio::test]
async fn the_result_of_a_task_waits_for_its_files_to_be_taken() {
    let mut rig = rig("task", json!({"permissionMode": "dontAsk"})).await;
    std::fs::create_dir_all(rig.path("workspace")).unwrap();
    std::fs::write(rig.path("workspace/report.txt"), "piers").unwrap();
    let mut events = rig.runner.events(0).await;
    rig.runner
        .say(id(1), &format!("report {} [[say Sent.]]", send("report.txt")))
        .await;
    let record = events.wait("the file", is_file).await;
    events.turn_of(id(1)).await;
    let file = sent(&events.records)[0].clone();
    assert_eq!(rig.runner.get("/v1/result").await.0, 404);
    // Its next pod still has it, and the acknowledgement of a result is none of a file.
    rig.kill_pod().await;
    rig.start_again().await;
    assert_eq!(rig.runner.post("/v1/ack", json!({"seq": record.seq})).await.0, 204);
    assert_eq!(content(&rig, &file).await.unwrap(), b"piers");
    take(&rig, &file).await;
    take(&rig, &file).await;
    let result = result(&rig).await;
    assert_eq!(result["text"], "Sent.");
    assert_eq!(copies(&rig), 0);
}

#[tokio::test]
async fn a_class_can_refuse_the_tool_and_an_agent_without_a_chat_has_none() {
    for agent in [json!({"disallowedTools": [TOOL]}), json!({"sendsFiles": false})] {
        let rig = rig("task", agent).await;
        rig.runner
            .until("ready", |status| status.state == RunnerState::Ready)
            .await;
        std::fs::write(rig.path("workspace/a"), "a").unwrap();
        rig.runner
            .say(id(1), &format!("send {} [[say Done anyway.]]", send("a")))
            .await;
        let result = result(&rig).await;
        assert!(result["text"].as_str().unwrap().ends_with("Done anyway."), "{result}");
        assert_eq!(copies(&rig), 0);
    }
}
