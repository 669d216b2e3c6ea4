//! How much of a conversation of twelve steps the model still has in front of it at the last one: in a session, and in tasks
//! that are told the turns before.

use std::io::Write as _;

use serde_json::json;

use crate::support::{Rig, Setup, id};
use crate::task;

const STEPS: i64 = 12;

/// What one step brings to light: a decision that claude says, and the result of a command, which stands in no message.
fn step(n: i64) -> String {
    format!("Step {n}. [[bash echo $((7000 + {n}))]] [[say Decision {n}: go on.]]")
}

/// How many of the steps before the last still have it in the newest request, and the size of that.
async fn kept(rig: &Rig) -> (usize, usize, usize) {
    let entries = rig.requests().await;
    let asked = entries.iter().rev().filter(|entry| !entry.side_question);
    let mut bodies = asked.filter_map(|entry| entry.body.as_ref());
    let messages = bodies.find(|body| body["messages"].is_array()).unwrap()["messages"].to_string();
    let has = |what: &dyn Fn(i64) -> String| (1..STEPS).filter(|n| messages.contains(&what(*n))).count();
    (
        // As it was said: at the begin of a text, or of a line that quotes it.
        has(&|n| format!("\"Decision {n}:")) + has(&|n| format!("> Decision {n}:")),
        has(&|n| (7000 + n).to_string()),
        messages.len(),
    )
}

async fn by_session() -> (usize, usize, usize) {
    let agent = json!({"allowedTools": ["Bash"]});
    let rig = Rig::start(Setup {
        agent,
        ..Setup::default()
    })
    .await;
    for n in 1..=STEPS {
        assert!(!rig.runner.ask(id(n), &step(n)).await.is_error);
    }
    kept(&rig).await
}

async fn by_tasks() -> (usize, usize, usize) {
    let setup = || Setup {
        kind: "task",
        agent: json!({"allowedTools": ["Bash"], "history": {"turns": 20, "maxBytes": 32_768}}),
        ..Setup::default()
    };
    let mut rig = Rig::start(setup()).await;
    for n in 1..=STEPS {
        if n > 1 {
            rig.setup = setup();
            rig.start_again().await;
        }
        rig.runner.say(id(n), &step(n)).await;
        let result = task::result(&rig).await;
        rig.runner.post("/v1/ack", json!({"seq": result["seq"]})).await;
        assert_eq!(rig.runner.exit().await, Some(0));
    }
    kept(&rig).await
}

#[tokio::test]
async fn a_session_keeps_what_was_decided_and_seen_and_tasks_only_what_was_said() {
    let (session, tasks) = (by_session().await, by_tasks().await);
    let steps = usize::try_from(STEPS - 1).unwrap();
    let mut table =
        format!("\nstep {STEPS} of a conversation: what of the {steps} steps before is in the model's request\n");
    table.push_str("  by       decisions  tool results  bytes of messages\n");
    for (what, (decisions, results, bytes)) in [("session", session), ("replay", tasks)] {
        table.push_str(&format!("  {what:7}  {decisions:9}  {results:12}  {bytes:17}\n"));
    }
    // Past the capture of the test harness: this is a measurement.
    std::io::stderr().write_all(table.as_bytes()).unwrap();
    assert_eq!((session.0, session.1), (steps, steps));
    assert_eq!((tasks.0, tasks.1), (steps, 0));
}
