//! What comes while the bot or the cluster is away is answered afterwards, in order, and says how late it is.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use longshore_telegram_emulator::control::{ChatChange, TopicChange};
use longshore_telegram_emulator::world::{Rights, Standing};
use longshore_wire::api::ApprovalKind;
use longshore_wire::event::{Event, Meets, Preview};
use serde_json::{Value, json};
use support::deep::{Deep, approval};
use support::{Stage, in_time};

const MARK: &str = "while I was away)";

/// So long that everything written before is stale for a bot that is told so by [`stale`].
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

fn stale(stage: Stage) -> Stage {
    stage.allowing(&["--create-topics", "--stale-after-seconds", "1"])
}

#[tokio::test]
async fn what_is_written_while_the_bot_is_down_is_answered_in_order_and_marked() {
    let mut stage = stale(Stage::play().await);
    let thread = stage.topic("Away").await;
    let here = stage.name(thread, stage.say(thread, "are you there?").await);
    stage.complete(&here, "I am.").await;
    stage.sees(thread, "I am.").await;
    stage.kill();
    let first = stage.say(thread, "first question").await;
    let second = stage.say(thread, "second question").await;
    stage.say(thread, "/help").await;
    a_while().await;
    stage.start();
    for (message, answer) in [(first, "First answer."), (second, "Second answer.")] {
        stage.complete(&stage.name(thread, message), answer).await;
        let shown = stage.sees(thread, answer).await;
        assert!(
            shown.text.starts_with("(sent ") && shown.text.contains(MARK),
            "{}",
            shown.text
        );
    }
    assert!(stage.sees(thread, "/deep –").await.text.contains(MARK));
    let creates = stage
        .api
        .writes()
        .into_iter()
        .filter(|write| write.starts_with("POST containertasks"));
    let names =
        [stage.name(thread, first), stage.name(thread, second)].map(|name| format!("POST containertasks/{name}"));
    assert_eq!(
        creates.collect::<Vec<_>>()[1..],
        names,
        "in the order in which they were written"
    );
    let task = stage.api.get("containertasks", &stage.name(thread, first)).unwrap();
    let context = task["spec"]["origin"]["telegram"]["context"].as_str().unwrap();
    assert!(context.contains("The next message was written at 2"), "{context}");
    assert_eq!(
        stage.stands(thread, MARK).await,
        3,
        "what was answered in time bears no mark"
    );
}

#[tokio::test]
async fn what_the_cluster_could_not_take_is_marked_and_waiting_for_a_session_is_not() {
    let mut stage = stale(Stage::set().await);
    stage.start();
    let thread = stage.topic("Cluster").await;
    let here = stage.name(thread, stage.say(thread, "are you there?").await);
    stage.complete(&here, "I am.").await;
    stage.sees(thread, "I am.").await;
    stage.api.refuse(true);
    let asked = stage.say(thread, "what now?").await;
    // Longer than the bot takes a slow answer for one.
    tokio::time::sleep(Duration::from_secs(12)).await;
    stage.api.refuse(false);
    stage.complete(&stage.name(thread, asked), "Now it works.").await;
    assert!(stage.sees(thread, "Now it works.").await.text.contains(MARK));

    let deep = stage.say(thread, "/deep work").await;
    let waiting = stage.say(thread, "with the session").await;
    a_while().await;
    let (runner, endpoint) = support::runner::Runner::start().await;
    let name = stage.name(thread, deep);
    stage.ready(&name, &runner, &endpoint).await;
    let id = longshore_wire::MessageId::from_telegram(stage.forum, waiting);
    let state = runner
        .wait("the message", |state| state.posted.iter().any(|posted| posted.id == id))
        .await;
    assert_eq!(state.posted.last().unwrap().context, None);
    runner.turn(1, &[id], "Together.");
    assert!(!stage.sees(thread, "Together.").await.text.contains(MARK));
}

#[tokio::test]
async fn an_old_stop_stops_nothing_that_was_asked_for_after_it() {
    let deep = Deep::ready().await;
    let (stage, thread) = (&deep.stage, deep.thread);
    deep.runner.turn(1, &[deep.id(deep.first)], "Fixed.");
    stage.sees(thread, "Fixed.").await;
    let newer = stage.say(thread, "something new").await;
    deep.posted(newer).await;
    // It was written before, and is looked at only now.
    let stop = json!({"message": {"message_id": 1, "date": 1, "text": "/stop", "message_thread_id": thread,
        "is_topic_message": true, "chat": {"id": stage.forum, "type": "supergroup", "is_forum": true},
        "from": {"id": stage.ada, "first_name": "Ada"}}});
    stage.people.inject(&stop).await.unwrap();
    stage.sees(thread, "older than what runs now").await;
    let state = deep.runner.wait("everything", |_| true).await;
    assert_eq!(state.interrupts, 0);
    stage.say(thread, "/stop").await;
    deep.runner.wait("the stop", |state| state.interrupts == 1).await;
}

#[tokio::test]
async fn a_button_that_was_pressed_while_the_bot_was_down_counts_if_it_is_still_asked() {
    let mut deep = Deep::ready().await;
    deep.runner.emit(approval(
        "req-1",
        ApprovalKind::Permission,
        "Bash",
        json!({"command": "make clean"}),
    ));
    let prompt = deep.stage.sees(deep.thread, "make clean").await;
    deep.stage.kill();
    let (forum, ada) = (deep.stage.forum, deep.stage.ada);
    let label = prompt.buttons[0][0].clone();
    deep.stage
        .people
        .press(forum, prompt.message_id, ada, &label)
        .await
        .unwrap();
    // Telegram gives up on an answer long before.
    let clock = longshore_telegram_emulator::control::ClockChange {
        advance_seconds: Some(3_600.0),
        ..Default::default()
    };
    deep.stage.people.turn_clock(&clock).await.unwrap();
    deep.stage.start();
    deep.runner
        .wait("the decision", |state| state.decisions.len() == 1)
        .await;
    deep.stage.say(deep.thread, "/help").await;
    deep.stage.sees(deep.thread, "/deep –").await;
    assert!(!deep.stage.log().contains("the bot stops"));
}

#[tokio::test]
async fn the_person_sees_whether_a_message_waits_or_was_folded_in() {
    let mut deep = Deep::ready().await;
    deep.runner.emit(Event::TurnStarted {
        turn: 1,
        message_ids: vec![deep.id(deep.first)],
    });
    let asked = deep.stage.say(deep.thread, "and meanwhile").await;
    deep.posted(asked).await;
    let meets = |meets| Preview::Meeting {
        turn: 1,
        id: deep.id(asked),
        meets,
    };
    let (waiting, folded) = (meets(Meets::Waiting), meets(Meets::Folded));
    deep.runner.show(waiting).await;
    bears(&deep.stage, deep.thread, asked, Some("👀")).await;
    deep.runner.show(folded).await;
    bears(&deep.stage, deep.thread, asked, Some("✍")).await;
    // What a message bears is taken away when it is answered, also by a bot that was started since.
    deep.stage.kill();
    deep.stage.start();
    deep.runner.finish(1, &[deep.id(deep.first), deep.id(asked)]);
    bears(&deep.stage, deep.thread, asked, None).await;
}

async fn bears(stage: &Stage, thread: i64, message: i64, emoji: Option<&str>) {
    in_time(&format!("the reaction {emoji:?}"), async {
        loop {
            let all = stage.people.messages(stage.forum, Some(thread)).await.unwrap();
            let shown = all.into_iter().find(|shown| shown.message_id == message).unwrap();
            let bears = shown.reactions.into_values().flatten().collect::<Vec<_>>();
            if bears.iter().map(String::as_str).eq(emoji) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

fn reachable(topic: &Value) -> Option<(String, String)> {
    let conditions = topic["status"]["conditions"].as_array()?;
    let condition = conditions
        .iter()
        .find(|condition| condition["type"] == "ChatReachable")?;
    let text = |field: &str| Some(condition[field].as_str()?.to_owned());
    Some((text("status")?, text("reason")?))
}

async fn becomes(stage: &Stage, topic: &str, status: &str, reason: &str) {
    let wanted = Some((status.to_owned(), reason.to_owned()));
    stage
        .api
        .wait("topics", topic, |topic| reachable(topic) == wanted)
        .await;
}

#[tokio::test]
async fn a_topic_that_is_closed_is_known_at_once_unless_the_bot_may_write_there_anyway() {
    let stage = Stage::play().await;
    let thread = stage.topic("Closing").await;
    let name = stage.name(thread, stage.say(thread, "what?").await);
    stage.api.wait("containertasks", &name, |_| true).await;
    stage.sees(thread, "…").await;
    let change = async |closed| {
        let change = TopicChange {
            user: stage.ada,
            name: None,
            closed: Some(closed),
            deleted: None,
        };
        stage.people.change_topic(stage.forum, thread, &change).await.unwrap();
    };
    // An administrator that may manage topics writes in closed ones.
    let manager = ChatChange {
        standing: Some(Standing::Administrator),
        rights: Some(Rights {
            can_manage_topics: true,
            ..Rights::default()
        }),
        ..ChatChange::default()
    };
    stage.change_chat(manager).await;
    change(true).await;
    stage.complete(&name, "forty-two").await;
    stage.sees(thread, "forty-two").await;
    change(false).await;
    let member = ChatChange {
        standing: Some(Standing::Member),
        user: Some(stage.ada),
        ..ChatChange::default()
    };
    stage.change_chat(member).await;
    change(true).await;
    becomes(&stage, &stage.topic_name(thread), "False", "TopicClosed").await;
    // Another topic is none the worse for it.
    let other = stage.topic("Open").await;
    let asked = stage.name(other, stage.say(other, "and here?").await);
    stage.complete(&asked, "All is well.").await;
    stage.sees(other, "All is well.").await;
    change(false).await;
    becomes(&stage, &stage.topic_name(thread), "True", "Reachable").await;
}

#[tokio::test]
async fn a_topic_that_was_deleted_says_so_and_the_next_message_elsewhere_is_answered() {
    let stage = Stage::play().await;
    let thread = stage.topic("Doomed").await;
    let name = stage.name(thread, stage.say(thread, "what?").await);
    stage.api.wait("containertasks", &name, |_| true).await;
    stage.sees(thread, "…").await;
    let change = TopicChange {
        user: stage.ada,
        name: None,
        closed: None,
        deleted: Some(true),
    };
    stage.people.change_topic(stage.forum, thread, &change).await.unwrap();
    let again = stage.name(thread, 900_001);
    let late = json!({"message": {"message_id": 900_001, "date": jiff::Timestamp::now().as_second(), "text": "and?",
        "chat": {"id": stage.forum, "type": "supergroup", "is_forum": true}, "from": {"id": stage.ada, "first_name": "Ada"},
        "message_thread_id": thread, "is_topic_message": true}});
    stage.people.inject(&late).await.unwrap();
    stage.api.wait("containertasks", &again, |_| true).await;
    becomes(&stage, &stage.topic_name(thread), "False", "TopicDeleted").await;
    let other = stage.topic("Alive").await;
    let asked = stage.name(other, stage.say(other, "and here?").await);
    stage.complete(&asked, "All is well.").await;
    stage.sees(other, "All is well.").await;
}

#[tokio::test]
async fn a_person_who_blocks_the_bot_and_unblocks_it_is_told_apart_from_a_group() {
    let stage = Stage::play().await;
    let asked = stage.people.say(stage.ada, None, stage.ada, "what?").await.unwrap();
    let topic = longshore_crds::names::telegram_topic(stage.ada, None);
    let name = longshore_crds::names::for_message(&topic, asked);
    stage.api.wait("containertasks", &name, |_| true).await;
    let change = |status: &str| {
        json!({"my_chat_member": {"chat": {"id": stage.ada, "type": "private"}, "date": 1,
            "from": {"id": stage.ada, "first_name": "Ada"}, "new_chat_member": {"status": status}}})
    };
    stage.people.inject(&change("kicked")).await.unwrap();
    becomes(&stage, &topic, "False", "BotBlocked").await;
    stage.people.inject(&change("member")).await.unwrap();
    becomes(&stage, &topic, "True", "Reachable").await;
}
