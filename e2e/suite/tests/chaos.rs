//! Many turns while everything is killed at random: every message is answered exactly once, and nothing is run twice.
//!
//! The seed is printed; `LONGSHORE_CHAOS_SEED` repeats the same order of faults (their timing against the turns stays open).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Install, Options, with_install};
use longshore_e2e::table::render;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

const TOPICS: usize = 5;
const TURNS: usize = 200;
const FAULTS: usize = 60;
/// Longest wait for one answer, with several faults on the way.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two faults.
const PAUSE: std::ops::Range<u64> = 500..3500;
/// What the model says when it is told that a turn was cut short.
const CARRIED_ON: &str = "I carry on.";

const FAULT_KINDS: [&str; 5] = [
    "session pod deleted",
    "session pod killed",
    "claude killed",
    "operator killed",
    "bot killed",
];

#[tokio::test]
async fn two_hundred_turns_with_sixty_faults_are_answered_exactly_once_each() -> Result<()> {
    let seed = std::env::var("LONGSHORE_CHAOS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}");
    let class = json!({"agentClass": {
        "permissions": {"allowedTools": ["Bash"]},
        "session": {"idleTimeoutSeconds": 10},
    }});
    with_install(Options::named("chaos").with(class), async |install| {
        let told = json!({"name": "told", "match": {"user": "ended unexpectedly"}, "steps": [{"text": CARRIED_ON}]});
        install.model()?.add_rules(&told).await?;
        let first = Chat::open(install, "chaos 0").await?;
        let mut chats = vec![];
        for number in 1..TOPICS {
            chats.push(first.another(&format!("chaos {number}")).await?);
        }
        chats.insert(0, first);
        try_join_all(
            chats
                .iter()
                .map(|chat| chat.ask("/deep [[say We begin.]]", "We begin.")),
        )
        .await?;

        let begun = Instant::now();
        let broken = AtomicBool::new(false);
        let faults = inject(install, &chats, &broken, StdRng::seed_from_u64(seed));
        let turns =
            try_join_all(chats.iter().enumerate().map(|(number, chat)| {
                converse(chat, number, &broken, StdRng::seed_from_u64(seed ^ (number as u64 + 1)))
            }));
        let (faults, asked) = tokio::try_join!(faults, turns)?;

        let (mut answered, mut carried_on) = (0, 0);
        for (chat, asked) in chats.iter().zip(&asked) {
            let (whole, cut) = judge(chat, asked).await?;
            answered += whole;
            carried_on += cut;
        }
        for (number, chat) in chats.iter().enumerate() {
            let twice = "[[bash sort ran.txt | uniq -d | wc -l]] [[say Run twice: {{last_tool_result}}]]";
            let count = chat.ask(twice, "Run twice:").await?;
            ensure!(count.text.contains("Run twice: 0"), "topic {number}: {}", count.text);
        }
        let mut rows: Vec<Vec<String>> = faults
            .iter()
            .map(|(kind, n)| vec![(*kind).to_owned(), n.to_string()])
            .collect();
        rows.push(vec![
            "all faults".to_owned(),
            faults.values().sum::<usize>().to_string(),
        ]);
        rows.push(vec!["turns answered".to_owned(), answered.to_string()]);
        rows.push(vec!["turns carried on after a cut".to_owned(), carried_on.to_string()]);
        rows.push(vec!["lost or doubled answers".to_owned(), "0".to_owned()]);
        rows.push(vec!["commands run twice".to_owned(), "0".to_owned()]);
        rows.push(vec!["seconds".to_owned(), begun.elapsed().as_secs().to_string()]);
        println!(
            "{}",
            render(
                &format!("turns under faults in {TOPICS} topics, seed {seed}"),
                &["what", "number"],
                &rows
            )
        );
        ensure!(answered + carried_on >= TURNS);
        ensure!(faults.values().sum::<usize>() >= FAULTS);
        Ok(())
    })
    .await
}

/// One topic's turns, one after the other, until there are enough and nothing is broken any more, with a rest that lets the session fall asleep now and then. Returns the messages.
async fn converse(chat: &Chat, number: usize, broken: &AtomicBool, mut random: StdRng) -> Result<Vec<(i64, String)>> {
    let mut asked = Vec::new();
    for turn in 0.. {
        if turn >= TURNS / TOPICS && broken.load(Ordering::Relaxed) {
            break;
        }
        let mark = format!("{number}-{turn}");
        let long = random.random_range(0..3) == 0;
        let work = if long { " [[slow 20 100]]" } else { "" };
        let message = chat
            .say(&format!("[[bash echo {mark} >> ran.txt]]{work} [[say Answer {mark}.]]"))
            .await?;
        asked.push((message, format!("Answer {mark}.")));
        let deadline = Instant::now() + PATIENCE;
        while chat
            .replies(message, &[&format!("Answer {mark}."), CARRIED_ON])
            .await?
            .is_empty()
        {
            if Instant::now() > deadline {
                bail!(
                    "no answer to message {message} after {PATIENCE:?}:\n{}",
                    chat.transcript().await?
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if random.random_range(0..10) == 0 {
            tokio::time::sleep(Duration::from_secs(14)).await;
        }
    }
    Ok(asked)
}

/// Every message has one answer of its own. Returns how many were answered whole and how many after a cut.
async fn judge(chat: &Chat, asked: &[(i64, String)]) -> Result<(usize, usize)> {
    let (mut whole, mut cut) = (0, 0);
    for (message, answer) in asked {
        let found = chat.replies(*message, &[answer, CARRIED_ON]).await?;
        ensure!(
            found.len() == 1,
            "{} answers to {message}:\n{}",
            found.len(),
            chat.transcript().await?
        );
        if found[0].contains(answer) {
            whole += 1;
        } else {
            cut += 1;
        }
    }
    Ok((whole, cut))
}

/// Breaks things until enough is broken. Every fault is counted only when it hit something.
async fn inject(
    install: &Install,
    chats: &[Chat],
    broken: &AtomicBool,
    mut random: StdRng,
) -> Result<BTreeMap<&'static str, usize>> {
    let mut counts = BTreeMap::new();
    while counts.values().sum::<usize>() < FAULTS {
        tokio::time::sleep(Duration::from_millis(random.random_range(PAUSE))).await;
        let pod = format!("ls-{}-0", chats[random.random_range(0..chats.len())].topic);
        let kind = FAULT_KINDS[random.random_range(0..FAULT_KINDS.len())];
        let hit = match kind {
            "session pod deleted" => install.delete_pod(&pod).await.is_ok(),
            "session pod killed" => install.kill_pod(&pod).await.is_ok(),
            "claude killed" => install
                .kubectl(&["exec", &pod, "--", "pkill", "-9", "-x", "claude"])
                .await
                .is_ok(),
            "operator killed" => kill(install, "operator").await.is_ok(),
            _ => kill(install, "bot").await.is_ok(),
        };
        if hit {
            *counts.entry(kind).or_default() += 1;
        }
    }
    broken.store(true, Ordering::Relaxed);
    Ok(counts)
}

async fn kill(install: &Install, component: &str) -> Result<()> {
    let labels = format!("app.kubernetes.io/component={component}");
    let pod = install.pod_with(&labels).await.context("no such pod")?;
    install.kill_pod(&pod).await
}
