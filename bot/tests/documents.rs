//! Files come at least once under one name, whatever happens on the way; what Telegram refuses comes in another form, complete.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use longshore_bot::chat::Place;
use longshore_bot::outbox::pace::Priority;
use longshore_bot::render::{self, CAPTION_UNITS, Entity, MESSAGE_UNITS, Rich, Style};
use longshore_bot::store::posts::{Body, Content, Upload};
use longshore_telegram_emulator::control::routes::WantedCalls;
use longshore_telegram_emulator::control::view::Shown;
use longshore_telegram_emulator::faults::{Fault, Kind};
use support::{PATIENCE, Stage, in_time};

fn code() -> String {
    (0..200).map(|n| format!("let line{n} = \"{n}\";\n")).collect()
}

fn answer() -> String {
    format!("Here it **is**:\n\n```rust\n{}```\n\nDone.", code())
}

/// Asks and has the operator answer with long code.
async fn ask(stage: &Stage, thread: i64) -> String {
    let name = stage.name(thread, stage.say(thread, "write it").await);
    stage.complete(&name, &answer()).await;
    name
}

/// Everything was delivered: the files in the topic.
async fn delivered(stage: &Stage, thread: i64, name: &str) -> Vec<Shown> {
    stage.sees(thread, "the whole is in the file code-1.rs").await;
    stage
        .api
        .wait("containertasks", name, |task| {
            task["metadata"]["annotations"]["longshore.dev/delivered"].is_string()
        })
        .await;
    let all = stage.people.messages(stage.forum, Some(thread)).await.unwrap();
    all.into_iter().filter(|shown| shown.file.is_some()).collect()
}

async fn is_whole(stage: &Stage, shown: &Shown) {
    let file = shown.file.as_ref().unwrap();
    assert_eq!(file.name, "code-1.rs");
    let content = stage.people.download(file).await.unwrap();
    assert_eq!(String::from_utf8(content).unwrap(), code());
}

#[tokio::test]
async fn long_code_comes_as_a_file_under_the_question() {
    let stage = Stage::play().await;
    let thread = stage.topic("Code").await;
    let name = ask(&stage, thread).await;
    let files = delivered(&stage, thread, &name).await;
    assert_eq!(files.len(), 1);
    is_whole(&stage, &files[0]).await;
    assert!(files[0].reply_to.is_some());
    let text = stage.sees(thread, "Here it is:").await.text;
    assert!(
        text.contains("let line0") && !text.contains("line100") && text.ends_with("Done."),
        "{text}"
    );
}

#[tokio::test]
async fn nothing_waits_for_a_file_that_is_on_its_way() {
    let stage = Stage::play().await;
    let thread = stage.topic("Code").await;
    let fault = stage
        .people
        .fault(&Fault::on("sendDocument", Kind::HoldBefore))
        .await
        .unwrap();
    let name = ask(&stage, thread).await;
    stage.people.fault_hit(fault, PATIENCE).await.unwrap();
    // Neither the same topic nor another one, nor what is only a sign.
    let elsewhere = stage.topic("Elsewhere").await;
    for (thread, answer) in [(thread, "It is late."), (elsewhere, "It is early.")] {
        let asked = stage.name(thread, stage.say(thread, "what time is it?").await);
        stage.complete(&asked, answer).await;
        stage.sees(thread, answer).await;
    }
    let other = ask(&stage, elsewhere).await;
    stage.sees(elsewhere, "the whole is in the file code-1.rs").await;
    for thread in [thread, elsewhere] {
        let all = stage.people.messages(stage.forum, Some(thread)).await.unwrap();
        assert!(
            all.iter().all(|shown| shown.file.is_none()),
            "files come one after the other"
        );
    }
    stage.people.remove_fault(fault).await.unwrap();
    for (thread, name) in [(thread, &name), (elsewhere, &other)] {
        let files = delivered(&stage, thread, name).await;
        assert_eq!(files.len(), 1);
        is_whole(&stage, &files[0]).await;
    }
}

#[tokio::test]
async fn a_file_whose_reply_is_lost_comes_again_under_the_same_name() {
    let stage = Stage::play().await;
    let thread = stage.topic("Lost").await;
    let fault = Fault::on("sendDocument", Kind::LostReply);
    let fault = stage.people.fault(&fault).await.unwrap();
    let name = ask(&stage, thread).await;
    stage.people.fault_hit(fault, PATIENCE).await.unwrap();
    let files = delivered(&stage, thread, &name).await;
    assert_eq!(files.len(), 2, "once for each time that it was sent");
    for file in &files {
        is_whole(&stage, file).await;
    }
}

#[tokio::test]
async fn a_bot_killed_around_a_file_brings_it_at_least_once_and_never_after_it_knows() {
    for kind in [Kind::HoldBefore, Kind::HoldReply] {
        let mut stage = Stage::play().await;
        let thread = stage.topic("Killed").await;
        let held = stage.people.fault(&Fault::on("sendDocument", kind)).await.unwrap();
        let name = ask(&stage, thread).await;
        stage.people.fault_hit(held, PATIENCE).await.unwrap();
        stage.kill();
        stage.people.remove_fault(held).await.unwrap();
        stage.start();
        let files = delivered(&stage, thread, &name).await;
        assert!((1..=2).contains(&files.len()), "{files:?}");
        is_whole(&stage, &files[0]).await;
        stage.kill();
        stage.start();
        stage.say(thread, "/help").await;
        stage.sees(thread, "/deep –").await;
        assert_eq!(delivered(&stage, thread, &name).await.len(), files.len());
    }
}

#[tokio::test]
async fn a_file_that_telegram_refuses_becomes_a_sentence() {
    let stage = Stage::play().await;
    let thread = stage.topic("Refused").await;
    let refused = Kind::Status {
        code: 400,
        description: "Bad Request: file must be non-empty".to_owned(),
    };
    stage.people.fault(&Fault::on("sendDocument", refused)).await.unwrap();
    let name = ask(&stage, thread).await;
    let files = delivered(&stage, thread, &name).await;
    assert!(files.is_empty());
    stage.sees(thread, "The file code-1.rs could not be sent here").await;
    let calls = stage.people.calls(&WantedCalls::default()).await.unwrap();
    let sent = calls
        .iter()
        .filter(|call| call.method.eq_ignore_ascii_case("sendDocument"));
    assert_eq!(sent.count(), 1);
}

/// A stage on which the bot finds these posts when it starts.
async fn posting(contents: Vec<Content>) -> (Stage, i64) {
    let stage = Stage::set().await;
    let thread = stage.topic("Posts").await;
    let place = Place {
        chat: stage.forum,
        thread: Some(thread),
    };
    let store = stage.store().await;
    for (at, content) in contents.into_iter().enumerate() {
        let key = format!("test/{at}");
        store
            .post(key, place, None, Some(content), Priority::Answer)
            .await
            .unwrap();
    }
    (stage, thread)
}

fn upload(name: &str, body: Body) -> Upload {
    Upload {
        name: name.to_owned(),
        body,
    }
}

#[tokio::test]
async fn a_kept_file_comes_with_the_words_about_it_and_is_let_go() {
    let (mut stage, thread) = posting(Vec::new()).await;
    let place = Place {
        chat: stage.forum,
        thread: Some(thread),
    };
    let store = stage.store().await;
    let kept = store.files().keep("session/1", vec![0, 159, 146, 150]).await.unwrap();
    let words = render::markdown("The **plan** as [PDF](https://x.example)");
    let mut contents = Content::bringing(words, upload("plan.pdf", Body::Kept(kept.clone())));
    let long = Rich::plain("word ".repeat(CAPTION_UNITS / 4));
    contents.extend(Content::bringing(long, upload("log.txt", Body::Text("log".to_owned()))));
    for (at, content) in contents.into_iter().enumerate() {
        let key = format!("file/{at}");
        store
            .post(key, place, None, Some(content), Priority::Answer)
            .await
            .unwrap();
    }
    drop(store);
    stage.start();
    let shown = stage.sees(thread, "The plan as PDF").await;
    let file = shown.file.unwrap();
    assert_eq!((file.name.as_str(), shown.entities.len()), ("plan.pdf", 2));
    assert_eq!(stage.people.download(&file).await.unwrap(), [0, 159, 146, 150]);
    stage.sees(thread, "word word").await;
    in_time("the other file", async {
        loop {
            let all = stage.people.messages(stage.forum, Some(thread)).await.unwrap();
            let files = all.into_iter().filter_map(|shown| shown.file);
            if files.map(|file| file.name).eq(["plan.pdf", "log.txt"]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    stage.kill();
    assert!(stage.store().await.files().read(&kept).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_a_file_is_told() {
    let (mut stage, thread) = posting(Vec::new()).await;
    let place = Place {
        chat: stage.forum,
        thread: Some(thread),
    };
    let store = stage.store().await;
    let large = store.files().keep("session/2", vec![0; (50 << 20) + 1]).await.unwrap();
    let files = [
        ("film.mp4", Body::Kept(large)),
        ("empty.txt", Body::Text(String::new())),
        ("gone.txt", Body::Kept("4f0c2b6e5d1a4c7e9b3f8a7d6c5e4b3a".to_owned())),
    ];
    for (name, body) in files {
        let [content] = Content::bringing(Rich::plain(format!("about {name}")), upload(name, body))
            .try_into()
            .unwrap();
        let key = format!("file/{name}");
        store
            .post(key, place, None, Some(content), Priority::Answer)
            .await
            .unwrap();
    }
    drop(store);
    stage.start();
    for (name, why) in [
        ("film.mp4", "larger than 50 MB"),
        ("empty.txt", "it is empty"),
        ("gone.txt", "could not read it"),
    ] {
        let told = stage
            .sees(thread, &format!("The file {name} could not be sent here"))
            .await
            .text;
        assert!(
            told.contains(why) && told.starts_with(&format!("about {name}")),
            "{told}"
        );
    }
    let calls = stage.people.calls(&WantedCalls::default()).await.unwrap();
    assert!(
        calls
            .iter()
            .all(|call| !call.method.eq_ignore_ascii_case("sendDocument"))
    );
}

/// Formatting that the renderer does not make: if it ever does, nothing gets lost.
#[tokio::test]
async fn what_telegrams_parser_refuses_is_sent_bare_and_complete() {
    let entity = |style, offset, length| Entity { style, offset, length };
    let link = |url: &str| Style::TextLink { url: url.to_owned() };
    let text = |text: &str, entities| Content {
        rich: Rich {
            text: text.to_owned(),
            entities,
        },
        ..Content::default()
    };
    let full = "w ".repeat(MESSAGE_UNITS / 2 - 2) + "END";
    let many = (0..90).map(|n| entity(link(&format!("https://x.example/{n:04}")), 2 * n, 1));
    let broken = entity(link("http://localhost/0090"), 180, 1);
    let captioned = Content {
        file: Some(upload("a.txt", Body::Text("a".to_owned()))),
        ..text("caption of it", vec![entity(link("http://localhost/caption"), 0, 7)])
    };
    let (mut stage, thread) = posting(vec![
        text("torn 😀 emoji", vec![entity(Style::Bold, 6, 2)]),
        text("beyond its end", vec![entity(Style::Bold, 7, 100)]),
        text("local server", vec![entity(link("http://localhost:3000/"), 6, 6)]),
        text(&full, many.chain([broken]).collect()),
        captioned,
    ])
    .await;
    stage.start();
    for whole in [
        "torn 😀 emoji",
        "beyond its end",
        "local server (http://localhost:3000/)",
        "caption (http://localhost/caption) of it",
    ] {
        let shown = stage.sees(thread, whole).await;
        assert_eq!((shown.text.as_str(), shown.entities.len()), (whole, 0));
    }
    stage.sees(thread, "END").await;
    let all = stage.by_bot(Some(thread)).await.join("\n");
    assert_eq!(all.matches("https://x.example/").count(), 90);
    assert!(all.contains("(http://localhost/0090)"));
    assert_eq!(
        all.matches("w ").count() + all.matches("w\n").count(),
        MESSAGE_UNITS / 2 - 2
    );
}
