//! How long a person waits for the first visible text, beside claude's own share.
//!
//! The times are the emulator's: from the person's message to the first look of the answer that holds text of the model. claude's
//! own share begins with the line of the runner's log that says that it is started, and ends with its request to the model.

use anyhow::{Context as _, Result, ensure};
use longshore_crds::names;
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Install, Options, with_install};
use longshore_e2e::table::{median, render};

const RUNS: usize = 5;

/// One question, in milliseconds.
struct Times {
    /// From the question to the first visible text.
    visible: f64,
    /// From the question to claude's request to the model.
    asked: f64,
    /// From the start of claude to that request, when the question started it.
    claude: Option<f64>,
}

/// Who answers.
enum By {
    Task,
    NewSession,
    Session,
}

async fn time(install: &Install, chat: &Chat, by: By, mark: &str) -> Result<Times> {
    let prefix = if matches!(by, By::NewSession) { "/deep " } else { "" };
    let asked = chat.say(&format!("{prefix}{mark}? [[say Answer {mark}.]]")).await?;
    let answer = chat.answer(asked, &format!("Answer {mark}.")).await?;
    let (asked_ms, seen_ms) = chat.seen_after(asked, &answer, "Answer").await?;
    let requests = install.model_requests(&format!("{mark}?")).await?;
    let request = requests.first().context("the model was not asked")?;
    let sent = i64::try_from(request.unix_ms)?;
    let pod = match by {
        By::Task => {
            let labels = format!("longshore.dev/owner={}", chat.object(asked));
            Some(install.pod_with(&labels).await?)
        }
        By::NewSession => Some(names::session_pod(&chat.topic)),
        By::Session => None,
    };
    let claude = match pod {
        Some(pod) => Some((sent - claude_started(install, &pod).await?) as f64),
        None => None,
    };
    Ok(Times {
        visible: (seen_ms - asked_ms) as f64,
        asked: (sent - asked_ms) as f64,
        claude,
    })
}

/// When the runner of this pod started claude, in milliseconds.
async fn claude_started(install: &Install, pod: &str) -> Result<i64> {
    let log = install.kubectl(&["logs", pod, "--timestamps"]).await?;
    let line = log.lines().find(|line| line.contains("claude is started"));
    let line = line.with_context(|| format!("{pod} does not say when claude was started:\n{log}"))?;
    let (at, _) = line.split_once(' ').context("a line of the log has a time")?;
    Ok(at.parse::<jiff::Timestamp>()?.as_millisecond())
}

/// A line of the table.
fn row(what: &str, times: &[Times]) -> Vec<String> {
    let shown = |values: Vec<f64>| match values.as_slice() {
        [] => "-".to_owned(),
        some => format!("{:.0}", median(some)),
    };
    vec![
        what.to_owned(),
        shown(times.iter().map(|one| one.visible).collect()),
        shown(times.iter().map(|one| one.asked).collect()),
        shown(times.iter().filter_map(|one| one.claude).collect()),
        shown(times.iter().map(|one| one.visible - one.asked).collect()),
    ]
}

#[tokio::test]
async fn first_visible_text_of_cold_tasks_cold_sessions_and_warm_sessions() -> Result<()> {
    with_install(Options::named("first-text"), async |install| {
        let chat = Chat::open(install, "speed").await?;
        time(install, &chat, By::Task, "warmup").await?;
        let (mut tasks, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..RUNS {
            tasks.push(time(install, &chat, By::Task, &format!("task{run}")).await?);
        }
        for run in 0..RUNS {
            let topic = chat.another(&format!("speed {run}")).await?;
            time(install, &topic, By::Task, &format!("prepare{run}")).await?;
            cold.push(time(install, &topic, By::NewSession, &format!("cold{run}")).await?);
            warm.push(time(install, &topic, By::Session, &format!("warm{run}")).await?);
            topic.say("/end").await?;
        }
        let rows = [
            row("cold task", &tasks),
            row("cold session", &cold),
            row("warm session", &warm),
        ];
        let header = [
            "what",
            "message -> text",
            "message -> model asked",
            "claude started -> model asked",
            "model asked -> text",
        ];
        let title = format!("first visible text, ms, median of {RUNS}");
        println!("{}", render(&title, &header, &rows));
        ensure!(
            warm.iter().all(|one| one.visible < 60_000.0),
            "a warm answer took more than a minute"
        );
        Ok(())
    })
    .await
}
