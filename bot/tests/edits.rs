//! Messages that people change: while they wait, while a session is at work on them, and too late.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_wire::event::Event;
use serde_json::json;
use support::Stage;
use support::deep::Deep;

const TOO_LATE: &str = "the change does not count";

async fn edit(stage: &Stage, message: i64, text: &str) {
    stage.people.edit(stage.forum, message, stage.ada, text).await.unwrap();
}

#[tokio::test]
async fn a_message_that_waits_goes_with_its_new_words() {
    let deep = Deep::start().await;
    let Deep { stage, thread, .. } = &deep;
    let waiting = stage.say(*thread, "run the tsets").await;
    stage.sees(*thread, "Starting a session").await;
    edit(stage, waiting, "run the tests").await;
    edit(stage, waiting, "run all tests").await;
    let dropped = stage.say(*thread, "and this is for nobody").await;
    edit(stage, dropped, "/quick what is a PVC?").await;
    let task = stage.name(*thread, dropped);
    // Updates are taken one after the other.
    stage.say(*thread, "/help").await;
    stage.sees(*thread, "/deep –").await;
    deep.stage.ready(&deep.name, &deep.runner, &deep.endpoint).await;
    deep.posted(waiting).await;
    let state = deep.runner.wait("everything", |_| true).await;
    let texts = state
        .posted
        .iter()
        .map(|posted| posted.text.as_str())
        .collect::<Vec<_>>();
    assert_eq!(texts, ["run all tests"]);
    let task = stage.api.wait("containertasks", &task, |_| true).await;
    assert_eq!(task["spec"]["prompt"], "what is a PVC?", "it is decided about anew");
    assert_eq!(stage.stands(*thread, TOO_LATE).await, 0);
}

#[tokio::test]
async fn a_session_at_work_on_a_message_is_told_what_was_corrected_once() {
    let mut deep = Deep::ready().await;
    let asked = deep.stage.say(deep.thread, "delete the east pier").await;
    deep.posted(asked).await;
    let at = jiff::Timestamp::now().as_second();
    let update = deep
        .stage
        .edited(deep.thread, asked, at, &json!({"text": "delete the west pier"}));
    deep.stage.people.inject(&update).await.unwrap();
    let corrected =
        |state: &support::runner::Seen| state.posted.iter().any(|posted| posted.text == "delete the west pier");
    let state = deep.runner.wait("the correction", corrected).await;
    let correction = state.posted.last().unwrap();
    let context = correction.context.as_deref().unwrap();
    assert!(
        context.contains("Ada corrected a message that you were given"),
        "{context}"
    );
    assert!(context.ends_with("\n> delete the east pier"), "{context}");
    assert_ne!(correction.id, deep.id(asked));

    // The same edit again, before and after a crash, and one that changes no word: nothing more comes of them.
    deep.stage.people.inject(&update).await.unwrap();
    deep.stage.kill();
    deep.stage.start();
    deep.stage.people.inject(&update).await.unwrap();
    let same = deep
        .stage
        .edited(deep.thread, asked, at + 5, &json!({"text": "delete the west pier"}));
    deep.stage.people.inject(&same).await.unwrap();
    let last = deep.stage.say(deep.thread, "and then?").await;
    deep.posted(last).await;
    let state = deep.runner.wait("everything", |_| true).await;
    // The runner takes an id once, however often it is posted.
    let corrections = state
        .posted
        .iter()
        .filter(|posted| posted.text == "delete the west pier");
    let ids = corrections
        .map(|posted| posted.id)
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids, [correction.id].into());

    // Its answer stands under the message that was corrected, and so does what is seen of the turn before.
    deep.runner.turn(7, &[deep.id(asked)], "East it is.");
    deep.stage.sees(deep.thread, "East it is.").await;
    deep.runner.emit(Event::TurnStarted {
        turn: 8,
        message_ids: vec![correction.id],
    });
    deep.runner.tool(8, "toolu_8", "Bash", "rm -r pier/west");
    let working = deep.stage.sees(deep.thread, "running rm").await;
    assert_eq!(working.reply_to, Some(asked));
    deep.runner.turn(8, &[correction.id], "No: west.");
    let shown = deep.stage.sees(deep.thread, "No: west.").await;
    assert_eq!((shown.message_id, shown.reply_to), (working.message_id, Some(asked)));
}

#[tokio::test]
async fn a_change_that_comes_too_late_is_told_once() {
    let stage = Stage::play().await;
    let thread = stage.topic("Late").await;
    let asked = stage.say(thread, "what is a PCV?").await;
    let name = stage.name(thread, asked);
    stage.api.wait("containertasks", &name, |_| true).await;
    edit(&stage, asked, "what is a PVC?").await;
    let told = stage.sees(thread, TOO_LATE).await;
    assert_eq!(told.reply_to, Some(asked));
    stage.complete(&name, "I do not know.").await;
    stage.sees(thread, "I do not know.").await;
    edit(&stage, asked, "what is a PVC, please?").await;
    stage.say(thread, "/help").await;
    stage.sees(thread, "/deep –").await;
    assert_eq!(stage.said(TOO_LATE).await, 1);
    assert_eq!(stage.api.names("containertasks"), [name], "an edit is never run");
}

#[tokio::test]
async fn an_edit_that_meets_the_making_of_its_task_is_told_to_be_too_late() {
    let stage = Stage::play().await;
    let thread = stage.topic("Race").await;
    let earlier = stage.name(thread, stage.say(thread, "are you there?").await);
    stage.complete(&earlier, "I am.").await;
    stage.sees(thread, "I am.").await;
    stage.api.hold_replies(true);
    let asked = stage.say(thread, "first words").await;
    let name = stage.name(thread, asked);
    stage.api.wait("containertasks", &name, |_| true).await;
    edit(&stage, asked, "second words").await;
    stage.say(thread, "/help").await;
    stage.sees(thread, "/deep –").await;
    stage.api.hold_replies(false);
    stage.sees(thread, TOO_LATE).await;
    stage.complete(&name, "Answer to the first words.").await;
    stage.sees(thread, "Answer to the first words.").await;
    let task = stage.api.get("containertasks", &name).unwrap();
    assert_eq!(task["spec"]["prompt"], "first words");
}

#[tokio::test]
async fn an_edit_of_what_was_never_taken_changes_nothing() {
    let stage = Stage::play().await;
    let thread = stage.topic("Strangers").await;
    let eve = stage.people.user("Eve").await.unwrap().id;
    let said = stage
        .people
        .say(stage.forum, Some(thread), eve, "let me in")
        .await
        .unwrap();
    stage
        .people
        .edit(stage.forum, said, eve, "please let me in")
        .await
        .unwrap();
    let unseen = stage.edited(thread, 600_000, 7, &json!({"text": "from before"}));
    stage.people.inject(&unseen).await.unwrap();
    stage.say(thread, "/help").await;
    stage.sees(thread, "/deep –").await;
    assert_eq!(stage.by_bot(Some(thread)).await.len(), 1);
    assert!(stage.api.names("containertasks").is_empty());
}
