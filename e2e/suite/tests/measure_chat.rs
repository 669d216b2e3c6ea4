//! How long a person waits for the first visible text, beside claude's own share.
//!
//! The times are the emulator's: from the person's message to the first look of the answer that holds text of the model.

use anyhow::{Context as _, Result, ensure};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Install, Options, with_install};
use longshore_e2e::table::{median, render};

const RUNS: usize = 5;

/// Milliseconds from the question to the first visible text, and from the question to claude's request to the model.
async fn time(install: &Install, chat: &Chat, prefix: &str, mark: &str) -> Result<(f64, f64)> {
    let asked = chat.say(&format!("{prefix}{mark}? [[say Answer {mark}.]]")).await?;
    let answer = chat.answer(asked, &format!("Answer {mark}.")).await?;
    let all = chat.telegram.messages(chat.forum, Some(chat.thread)).await?;
    let question = all
        .iter()
        .find(|shown| shown.message_id == asked)
        .context("the question is gone")?;
    let first = answer
        .history
        .iter()
        .find(|version| version.text.contains("Answer"))
        .context("no look with text")?;
    let requests = install.model_requests(&format!("{mark}?")).await?;
    let request = requests.first().context("the model was not asked")?;
    let sent = i64::try_from(request.unix_ms)?;
    Ok((
        (first.at_ms - question.sent_ms) as f64,
        (sent - question.sent_ms) as f64,
    ))
}

#[tokio::test]
async fn first_visible_text_of_cold_tasks_cold_sessions_and_warm_sessions() -> Result<()> {
    with_install(Options::named("first-text"), async |install| {
        let chat = Chat::open(install, "speed").await?;
        time(install, &chat, "", "warmup").await?;
        let mut rows = Vec::new();
        let mut row = |what: &str, times: &[(f64, f64)]| {
            let visible: Vec<f64> = times.iter().map(|(visible, _)| *visible).collect();
            let asked: Vec<f64> = times.iter().map(|(_, asked)| *asked).collect();
            let rest: Vec<f64> = times.iter().map(|(visible, asked)| visible - asked).collect();
            rows.push(vec![
                what.to_owned(),
                format!("{:.0}", median(&visible)),
                format!("{:.0}", median(&asked)),
                format!("{:.0}", median(&rest)),
            ]);
        };
        let (mut tasks, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..RUNS {
            tasks.push(time(install, &chat, "", &format!("task{run}")).await?);
        }
        for run in 0..RUNS {
            let topic = chat.another(&format!("speed {run}")).await?;
            time(install, &topic, "", &format!("prepare{run}")).await?;
            cold.push(time(install, &topic, "/deep ", &format!("cold{run}")).await?);
            warm.push(time(install, &topic, "", &format!("warm{run}")).await?);
            topic.say("/end").await?;
        }
        row("cold task", &tasks);
        row("cold session", &cold);
        row("warm session", &warm);
        let header = ["what", "message -> text", "message -> model asked", "model asked -> text"];
        println!("{}", render(&format!("first visible text, ms, median of {RUNS}"), &header, &rows));
        println!("  claude's own share: 670 ms from spawn to its request when cold, 30-160 ms when warm (claude-cli measurements)");
        ensure!(warm.iter().all(|(visible, _)| *visible < 60_000.0), "a warm answer took more than a minute");
        Ok(())
    })
    .await
}
