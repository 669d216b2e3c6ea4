//! Files that claude sends: in the chat with every byte, whatever happens in between.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_telegram_emulator::faults::{Fault, Kind};
use longshore_wire::api::SentFile;
use longshore_wire::event::Event;
use serde_json::json;
use support::deep::Deep;
use support::runner::Runner;
use support::{PATIENCE, Stage};
use uuid::Uuid;

const BYTES: &[u8] = b"\x00\x01 pier \xff";

fn file(n: u128, name: &str) -> SentFile {
    SentFile {
        id: Uuid::from_u128(n),
        name: name.to_owned(),
        size: BYTES.len() as u64,
        caption: Some("The plan".to_owned()),
    }
}

fn trouble() -> Kind {
    Kind::Status {
        code: 502,
        description: "Bad Gateway".to_owned(),
    }
}

/// claude sends a file.
fn sends(runner: &Runner, file: &SentFile) {
    runner.change(|state| drop(state.files.insert(file.id, BYTES.to_vec())));
    runner.emit(Event::File {
        turn: 1,
        file: file.clone(),
    });
}

/// The files that stand in a topic by the bot: name, text under it, content.
async fn files(stage: &Stage, thread: i64) -> Vec<(String, String, Vec<u8>)> {
    let mut found = Vec::new();
    for shown in stage.people.messages(stage.forum, Some(thread)).await.unwrap() {
        if let (true, Some(file)) = (shown.from_bot, shown.file) {
            let content = stage.people.download(&file).await.unwrap();
            found.push((file.name, shown.text, content));
        }
    }
    found
}

async fn stands_once(deep: &Deep, name: &str) {
    deep.stage.sees(deep.thread, "The plan").await;
    let expected = (name.to_owned(), "The plan".to_owned(), BYTES.to_vec());
    assert_eq!(files(&deep.stage, deep.thread).await, [expected]);
}

/// Waits until everything that the runner has said is acknowledged.
async fn acknowledged(deep: &Deep) {
    deep.runner
        .wait("the acknowledgement", |state| state.acked == state.records.len() as u64)
        .await;
}

#[tokio::test]
async fn a_file_of_a_session_comes_with_its_name_its_caption_and_every_byte() {
    let deep = Deep::greeted().await;
    sends(&deep.runner, &file(1, "../pla\u{202e}n.pdf"));
    stands_once(&deep, "_pla_n.pdf").await;
    acknowledged(&deep).await;
    deep.runner.turn(2, &[], "And there it is.");
    deep.stage.sees(deep.thread, "And there it is.").await;
}

#[tokio::test]
async fn a_bot_that_dies_while_it_fetches_or_before_it_posts_brings_it_once() {
    let mut deep = Deep::greeted().await;
    // While it fetches.
    deep.runner.change(|state| state.holds_files = true);
    sends(&deep.runner, &file(1, "plan.pdf"));
    deep.runner.wait("the fetch", |state| state.fetches > 0).await;
    deep.stage.kill();
    assert_eq!(deep.runner.wait("everything", |_| true).await.acked, 3);
    deep.runner.change(|state| state.holds_files = false);
    // Between the acknowledgement and the post.
    let mut fault = Fault::on("sendDocument", trouble());
    fault.times = u32::MAX;
    let fault = deep.stage.people.fault(&fault).await.unwrap();
    deep.stage.start();
    acknowledged(&deep).await;
    deep.runner.change(|state| state.files.clear());
    deep.stage.kill();
    deep.stage.people.remove_fault(fault).await.unwrap();
    deep.stage.start();
    stands_once(&deep, "plan.pdf").await;
    // With everything done: what comes behind the file shows that the bot knows that it was sent.
    deep.runner.turn(2, &[], "There it is.");
    deep.stage.sees(deep.thread, "There it is.").await;
    deep.stage.kill();
    deep.stage.start();
    deep.runner.turn(3, &[], "And nothing more.");
    deep.stage.sees(deep.thread, "And nothing more.").await;
    stands_once(&deep, "plan.pdf").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_had_is_told_and_holds_nothing_up() {
    let deep = Deep::greeted().await;
    let gone = file(1, "plan.pdf");
    deep.runner.emit(Event::File { turn: 1, file: gone });
    deep.stage
        .sees(deep.thread, "claude sent plan.pdf, but I could not get it")
        .await;
    let other = SentFile {
        size: 3,
        ..file(2, "map.png")
    };
    sends(&deep.runner, &other);
    deep.stage
        .sees(deep.thread, "claude sent map.png, but I could not get it")
        .await;
    deep.runner.turn(2, &[], "Sorry.");
    deep.stage.sees(deep.thread, "Sorry.").await;
    acknowledged(&deep).await;
}

#[tokio::test]
async fn a_file_of_a_task_comes_also_when_the_bot_was_away_and_the_runner_is_told_that_it_was_taken() {
    let mut stage = Stage::play().await;
    let thread = stage.topic("Task").await;
    let name = stage.name(thread, stage.say(thread, "draw it").await);
    stage.api.wait("containertasks", &name, |_| true).await;
    stage.kill();
    let (runner, endpoint) = Runner::start().await;
    let topic = stage.api.get("topics", &stage.topic_name(thread)).unwrap();
    runner.let_in(topic["metadata"]["uid"].as_str().unwrap());
    sends(&runner, &file(1, "plan.pdf"));
    runner.turn(1, &[], "Drawn.");
    let running = json!({"status": {"phase": "Running", "endpoint": endpoint}});
    stage.api.merge("containertasks", &name, running);
    stage.start();
    stage.sees(thread, "The plan").await;
    let taken = |state: &support::runner::Seen| state.taken == [Uuid::from_u128(1)];
    runner.wait("the file is taken", taken).await;
    stage.complete(&name, "Drawn.").await;
    stage.sees(thread, "Drawn.").await;
    assert_eq!(files(&stage, thread).await.len(), 1);
}

#[tokio::test]
async fn telegrams_trouble_costs_no_file() {
    let deep = Deep::greeted().await;
    let fault = Fault::on("sendDocument", trouble());
    let fault = deep.stage.people.fault(&fault).await.unwrap();
    sends(&deep.runner, &file(1, "plan.pdf"));
    deep.stage.people.fault_hit(fault, PATIENCE).await.unwrap();
    stands_once(&deep, "plan.pdf").await;
}
