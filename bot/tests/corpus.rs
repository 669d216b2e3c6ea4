//! Updates of newer versions of the Bot API and broken ones, through the real bot: no words are lost and the stream goes on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{Stage, in_time};

/// Ids that stand in the data for those of the stage.
const IDS: [&str; 3] = ["-1007777", ": 7777,", "4242"];

/// The updates, with the ids of the stage.
fn corpus(stage: &Stage, thread: i64) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/updates");
    let mut files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    files.sort();
    let read = files.into_iter().map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let ids = [stage.forum.to_string(), format!(": {},", stage.ada), thread.to_string()];
        let text = IDS
            .iter()
            .zip(ids)
            .fold(text, |text, (known, real)| text.replace(known, &real));
        (name, serde_json::from_str(&text).unwrap())
    });
    read.collect()
}

#[tokio::test]
async fn every_update_of_the_corpus_passes_and_what_is_written_between_is_answered_once() {
    let stage = Stage::play().await;
    let thread = stage.topic("Corpus").await;
    let corpus = corpus(&stage, thread);
    assert!(corpus.len() >= 40, "only {}", corpus.len());
    let mut plain = Vec::new();
    for (at, (name, case)) in corpus.iter().enumerate() {
        stage
            .people
            .inject(&case["update"])
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        if at % 8 == 0 {
            plain.push(stage.say(thread, &format!("plain message {at}")).await);
        }
    }
    for message in &plain {
        stage
            .complete(&stage.name(thread, *message), &format!("answer to {message}."))
            .await;
    }
    let prompts = in_time("the words of all updates", async {
        loop {
            let tasks = stage.api.names("containertasks").into_iter();
            let prompts =
                tasks.filter_map(|name| Some(stage.api.get("containertasks", &name)?["spec"]["prompt"].clone()));
            let prompts = prompts.collect::<Vec<_>>();
            let worded = corpus.iter().filter(|(_, case)| case["reads"] == "message");
            if worded
                .map(|(_, case)| &case["text"])
                .all(|text| prompts.iter().any(|prompt| same(prompt, text)))
            {
                return prompts;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    for (name, case) in &corpus {
        let times = prompts.iter().filter(|prompt| same(prompt, &case["text"])).count();
        let expected = usize::from(case["reads"] == "message");
        assert_eq!(times, expected, "{name}: {case}");
    }
    for message in plain {
        let answer = format!("answer to {message}.");
        stage.sees(thread, &answer).await;
        assert_eq!(stage.stands(thread, &answer).await, 1);
    }
    let backlog = stage.people.backlog().await.unwrap();
    assert!(
        backlog.confirmed >= corpus.len() as u64,
        "the offset stands still: {backlog:?}"
    );
    assert!(stage.log().contains("the cluster is seen"));
    assert!(!stage.log().contains("the bot stops"), "{}", stage.log());
}

/// Prompts are trimmed; what is forwarded is quoted, and goes with the words that were written with it.
fn same(prompt: &Value, text: &Value) -> bool {
    let (prompt, text) = (prompt.as_str().unwrap_or_default(), text.as_str());
    text.is_some_and(|text| prompt.contains(text.trim()))
}
