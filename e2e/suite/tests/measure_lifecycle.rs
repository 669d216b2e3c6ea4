//! How exactly sessions fall asleep and how long waking takes, beside a cold start in the same run.
//!
//! Times of answers are the emulator's; the time of falling asleep is when the runner says that it winds down, looked at every
//! 20 ms through a port-forward.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use jiff::Timestamp;
use longshore_crds::conditions::types;
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{DEADLINE, Install, Options, with_install};
use longshore_e2e::runner::Runner;
use longshore_e2e::table::{render, times};
use longshore_wire::api::RunnerState;
use serde_json::json;

const RUNS: usize = 8;
const IDLE_SECONDS: i64 = 6;

/// Milliseconds from a message to the first look of its answer with text of the model.
async fn first_text(chat: &Chat, message: &str, mark: &str) -> Result<f64> {
    let asked = chat.say(&format!("{message} [[say {mark}.]]")).await?;
    let answer = chat.answer(asked, &format!("{mark}.")).await?;
    let (sent, seen) = chat.seen_after(asked, &answer, mark).await?;
    Ok((seen - sent) as f64)
}

/// Milliseconds from the idle deadline until the runner winds down; negative when it does so too early.
async fn sleep_error(install: &Install, chat: &Chat) -> Result<f64> {
    let pod = longshore_crds::names::session_pod(&chat.topic);
    let runner = Runner::open(&install.cluster, &install.namespace, &chat.topic, &pod).await?;
    let last = runner.status().await?.last_activity;
    // Deadlines are whole seconds, rounded up, as the status shows them.
    let idle = last.as_millisecond() + IDLE_SECONDS * 1000;
    let deadline = (idle + 999) / 1000 * 1000;
    let give_up = tokio::time::Instant::now() + DEADLINE;
    loop {
        let seen = runner.status().await;
        let now = Timestamp::now().as_millisecond();
        match seen {
            Ok(status) if matches!(status.state, RunnerState::Quiescing | RunnerState::Quiesced) => {
                return Ok((now - deadline) as f64);
            }
            Ok(_) if tokio::time::Instant::now() > give_up => bail!("it does not fall asleep"),
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(_) if now > deadline => return Ok((now - deadline) as f64),
            Err(error) => return Err(error),
        }
    }
}

#[tokio::test]
async fn a_woken_session_answers_about_as_soon_as_a_new_one_and_sleep_comes_when_it_is_due() -> Result<()> {
    let class = json!({"agentClass": {"session": {"idleTimeoutSeconds": IDLE_SECONDS}}});
    with_install(Options::named("wake-times").with(class), async |install| {
        let chat = Chat::open(install, "times").await?;
        let (mut cold, mut resumed, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..RUNS / 2 {
            let topic = chat.another(&format!("cold {run}")).await?;
            topic.ask("[[say Prepared.]]", "Prepared.").await?;
            cold.push(first_text(&topic, "/deep", &format!("Cold{run}")).await?);
        }
        let asked = chat.say("/deep [[say We begin.]]").await?;
        chat.answer(asked, "We begin.").await?;
        let name = chat.object(asked);
        for run in 0..RUNS {
            late.push(sleep_error(install, &chat).await?);
            install.session(&name, types::SUSPENDED, "True").await?;
            resumed.push(first_text(&chat, "Wake", &format!("Awake{run}")).await?);
        }
        let rows = [
            times("cold start: message -> text", &cold),
            times("resume: message -> text", &resumed),
            times("idle deadline -> winding down", &late),
        ];
        println!(
            "{}",
            render("sleeping and waking, ms", &["what", "p50", "p95", "all"], &rows)
        );
        ensure!(
            late.iter().all(|error| *error > -1000.0),
            "a session fell asleep before its time: {late:?}"
        );
        Ok(())
    })
    .await
}
