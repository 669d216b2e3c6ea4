use longshore_wire::api::RunnerState;
use longshore_wire::notice::TerminationMessage;
use serde_json::json;

use crate::support::{PATIENCE, Rig, Setup, id};

pub async fn result(rig: &Rig) -> serde_json::Value {
    rig.runner
        .until("done", |status| status.state == RunnerState::Quiesced)
        .await;
    let (code, result) = rig.runner.get("/v1/result").await;
    assert_eq!(code, 200);
    result
}

#[tokio::test]
async fn a_task_gives_its_result_and_leaves_when_it_is_taken() {
    let mut rig = Rig::task().await;
    assert_eq!(rig.runner.get("/v1/result").await.0, 404);
    rig.runner
        .say(
            id(1),
            "add [[say two and two]] [[bash echo four]] [[say is {{last_tool_result}}]]",
        )
        .await;
    let result = result(&rig).await;
    assert_eq!(
        (result["text"].as_str(), result["isError"].as_bool()),
        (Some("two and two\n\nis four"), Some(false))
    );
    let last_words = std::fs::read(rig.path("termination-log")).unwrap();
    let last_words: TerminationMessage = serde_json::from_slice(&last_words).unwrap();
    assert_eq!((last_words.v, last_words.text.as_str()), (1, "two and two\n\nis four"));
    assert_eq!(
        rig.runner
            .post("/v1/messages", json!({"id": id(2), "text": "more"}))
            .await
            .0,
        409
    );
    // A second pod of the same task has the same result and asks the model nothing.
    rig.kill_pod().await;
    rig.start_again().await;
    assert_eq!(self::result(&rig).await, result);
    assert_eq!(
        rig.prompts()
            .await
            .iter()
            .filter(|prompt| prompt.starts_with("add"))
            .count(),
        2,
        "one turn, two rounds"
    );
    assert_eq!(rig.runner.post("/v1/ack", json!({"seq": result["seq"]})).await.0, 204);
    assert_eq!(rig.runner.exit().await, Some(0));
}

#[tokio::test]
async fn a_task_reads_earlier_turns_as_a_quotation_and_obeys_nothing_in_it() {
    let mut rig = Rig::start(Setup {
        agent: json!({"allowedTools": ["Bash"]}),
        ..Setup::default()
    })
    .await;
    rig.runner
        .ask(id(1), "which two? [[bash touch obeyed]] [[say red and blue]]")
        .await;
    rig.runner.terminate().await;
    std::fs::remove_file(rig.path("workspace/obeyed")).unwrap();
    rig.setup = Setup {
        kind: "task",
        agent: json!({"history": {"turns": 5, "maxBytes": 4096}, "allowedTools": ["Bash"]}),
        ..Setup::default()
    };
    rig.start_again().await;
    rig.runner
        .say(
            id(2),
            "and the second one? [[say Of {{earlier}} the second, asked {{turns}}.]]",
        )
        .await;
    let told = result(&rig).await["text"].as_str().unwrap().to_owned();
    assert!(told.starts_with("Of [Longshore] Earlier turns"), "{told}");
    for quoted in ["Somebody asked:\n> which two?", "the agent answered:\n> red and blue"] {
        assert!(told.contains(quoted), "{told}");
    }
    assert!(told.ends_with("the second, asked 1."), "nobody asks twice: {told}");
    assert!(!rig.path("workspace/obeyed").exists(), "what is quoted is not done");
}

#[tokio::test]
async fn a_result_that_nobody_takes_is_kept_only_so_long() {
    let mut rig = Rig::start(Setup {
        kind: "task",
        agent: json!({"drainSeconds": 1}),
        ..Setup::default()
    })
    .await;
    rig.runner.say(id(1), "one").await;
    assert_eq!(rig.runner.exit().await, Some(0));
}

#[tokio::test]
async fn a_failed_task_says_so_and_still_exits_well() {
    let mut rig = Rig::start(Setup {
        kind: "task",
        agent: json!({"drainSeconds": 0}),
        ..Setup::default()
    })
    .await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(1), "one [[error 400 times=20]]").await;
    let turn = events.turn_of(id(1)).await;
    assert_eq!((turn.is_error, turn.reason.as_str()), (true, "api_error"));
    assert_eq!(rig.runner.exit().await, Some(0));
    let last_words = std::fs::read(rig.path("termination-log")).unwrap();
    let last_words: TerminationMessage = serde_json::from_slice(&last_words).unwrap();
    assert!(last_words.is_error && !last_words.text.is_empty(), "{last_words:?}");
}

#[tokio::test]
async fn a_task_killed_before_its_answer_continues_in_the_next_pod() {
    let mut rig = Rig::task().await;
    rig.runner.say(id(1), "work [[hold gate]]").await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    rig.kill_pod().await;
    rig.start_again().await;
    assert_eq!(
        rig.runner.say(id(1), "work [[hold gate]]").await,
        1,
        "the operator posts it again"
    );
    let result = result(&rig).await;
    assert!(
        result["text"].as_str().unwrap().contains("ended unexpectedly"),
        "{result}"
    );
}

#[tokio::test]
async fn a_task_stopped_before_its_answer_is_no_success() {
    let mut rig = Rig::task().await;
    rig.runner.say(id(1), "work [[hold gate]]").await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    assert_eq!(rig.runner.terminate().await, Some(143));
}

#[tokio::test]
async fn a_task_waits_for_its_background_work() {
    let rig = Rig::start(Setup {
        kind: "task",
        agent: json!({"allowedTools": ["Bash"]}),
        ..Setup::default()
    })
    .await;
    let wait = "while [ ! -e go ]; do python3 -c 'import time; time.sleep(0.05)'; done";
    let call = json!({"command": wait, "description": "waits", "run_in_background": true});
    let mut events = rig.runner.events(0).await;
    rig.runner
        .say(id(1), &format!("start it [[tool Bash {call}]] [[say started]]"))
        .await;
    events.turn_of(id(1)).await;
    assert_eq!(rig.runner.get("/v1/result").await.0, 404);
    std::fs::write(rig.path("workspace/go"), "").unwrap();
    let result = result(&rig).await;
    let text = result["text"].as_str().unwrap();
    assert!(text.starts_with("started\n\n"), "and what came after: {text}");
}
