//! Several people in one topic, messages that come while nobody is there to take them, and places that change.

use anyhow::{Context as _, Result, ensure};
use kube::api::ListParams;
use longshore_crds::{Topic, names};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, DEADLINE, Install, Options, RELEASE, with_install};
use longshore_model::server::Wanted;
use longshore_telegram_emulator::control::view::Wanted as Shown;
use longshore_telegram_emulator::control::{ChatChange, NewChat, NewUser, Post, TopicChange, Upgrade};
use longshore_telegram_emulator::world::{ChatKind, Standing};
use serde_json::json;

/// Another person who may use the bot.
const BOB: i64 = 1_003;
const BOT: &str = "app.kubernetes.io/component=bot";
/// Waits in its own program: claude refuses a command that begins with a long sleep.
const UNTIL_GO: &str = "while [ ! -e go ]; do python3 -c 'import time; time.sleep(0.2)'; done";

fn people(name: &'static str) -> Options {
    Options::named(name).with(json!({
        "agentClass": {"permissions": {"allowedTools": ["Bash"]}},
        "telegram": {"allowedUsers": [ALICE, BOB], "staleAfterSeconds": 5},
    }))
}

async fn bob(chat: &Chat, text: &str, reply_to: Option<i64>) -> Result<i64> {
    let bob = NewUser {
        id: Some(BOB),
        first_name: "Bob".to_owned(),
        username: Some("bob".to_owned()),
    };
    chat.telegram.add_user(&bob).await?;
    let post = Post {
        user: BOB,
        text: text.to_owned(),
        thread: Some(chat.thread),
        reply_to,
        ..Post::default()
    };
    Ok(chat.telegram.post(chat.forum, &post).await?.message_id)
}

/// Everything that the model has been sent, as one text.
async fn sent_to_the_model(install: &Install) -> Result<String> {
    let wanted = Wanted {
        full: 1,
        ..Wanted::default()
    };
    let requests = install.model()?.requests(&wanted).await?;
    Ok(serde_json::to_string(&requests)?)
}

async fn scale_bot(install: &Install, replicas: u8) -> Result<()> {
    let (deployment, count) = (format!("deployment/{RELEASE}-bot"), format!("--replicas={replicas}"));
    install.kubectl(&["scale", &deployment, &count]).await?;
    if replicas == 0 {
        let gone = ["wait", "--for=delete", "--timeout=120s", "pod", "-l", BOT];
        install.kubectl(&gone).await?;
    }
    Ok(())
}

/// Reactions of the bot on a message of a person.
async fn reactions(chat: &Chat, message: i64) -> Result<Vec<String>> {
    let wanted = Shown {
        thread: Some(chat.thread),
        ..Shown::default()
    };
    let all = chat.telegram.conversation(chat.forum, &wanted).await?.messages;
    let shown = all.into_iter().find(|shown| shown.message_id == message);
    Ok(shown
        .context("the message is gone")?
        .reactions
        .into_values()
        .flatten()
        .collect())
}

async fn reachable(install: &Install, topic: &str, status: &'static str, reason: &'static str) -> Result<()> {
    let says = move |topic: Option<&Topic>| {
        let status_of = topic.and_then(|topic| topic.status.as_ref());
        let mut conditions = status_of.into_iter().flat_map(|status| &status.conditions);
        conditions.any(|one| one.type_ == "ChatReachable" && one.status == status && one.reason == reason)
    };
    install.wait_for(topic, reason, says).await.map(drop)
}

#[tokio::test]
async fn two_people_in_one_topic_and_what_they_refer_to_are_named_to_claude() -> Result<()> {
    with_install(people("people"), async |install| {
        let chat = Chat::open(install, "crowd").await?;
        let asked = chat.say("/deep the pier is red [[say Noted, red.]]").await?;
        let answer = chat.answer(asked, "Noted, red.").await?;
        let replied = bob(&chat, "are you sure? [[say Quite sure.]]", Some(answer.message_id)).await?;
        chat.answer(replied, "Quite sure.").await?;
        let sent = sent_to_the_model(install).await?;
        let parts = [
            "From Alice:",
            "From Bob (@bob):",
            "replies to a message of this bot's",
            "> Noted, red.",
        ];
        for part in parts {
            ensure!(sent.contains(part), "claude has not read «{part}»");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_message_during_a_tool_is_folded_in_and_the_person_sees_it() -> Result<()> {
    with_install(people("folded"), async |install| {
        let chat = Chat::open(install, "folding").await?;
        let asked = chat
            .say(&format!("/deep first [[bash {UNTIL_GO}]] [[say Both are done.]]"))
            .await?;
        chat.answer(asked, "⚙ running").await?;
        let second = bob(&chat, "and meanwhile", None).await?;
        let is = async |emoji: &str| Ok(reactions(&chat, second).await?.iter().any(|shown| shown == emoji));
        install.until("the message waits", async || is("👀").await).await?;
        let pod = format!("ls-{}-0", chat.topic);
        install
            .kubectl(&["exec", &pod, "--", "touch", "/topic/workspace/go"])
            .await?;
        chat.answer(asked, "Both are done.").await?;
        chat.exactly_once("Both are done.").await?;
        install
            .until("the reaction is gone", async || {
                Ok(reactions(&chat, second).await?.is_empty())
            })
            .await
    })
    .await
}

#[tokio::test]
async fn a_message_that_is_changed_while_it_waits_goes_with_its_new_words() -> Result<()> {
    with_install(people("edited"), async |install| {
        let chat = Chat::open(install, "edits").await?;
        chat.ask("Are you there? [[say I am here.]]", "I am here.").await?;
        scale_bot(install, 0).await?;
        let asked = chat.say("the old words [[say Old.]]").await?;
        chat.telegram
            .edit(chat.forum, asked, ALICE, "the new words [[say New.]]")
            .await?;
        scale_bot(install, 1).await?;
        // The bot gets the message and its edit at once; which of both it was asked with, it was asked once.
        chat.answer(asked, "").await?;
        let either = async || {
            let shown = chat.from_bot().await?;
            let said = |text: &str| shown.iter().filter(|shown| shown.text.contains(text)).count();
            Ok(said("New.") + said("Old.") == 1 && (said("Old.") == 0 || said("the change does not count") == 1))
        };
        install.until("one answer", either).await
    })
    .await
}

#[tokio::test]
async fn what_is_sent_while_the_bot_is_down_is_answered_in_order_and_marked() -> Result<()> {
    with_install(people("away"), async |install| {
        let chat = Chat::open(install, "away").await?;
        let first = chat.say("/deep [[say Here.]]").await?;
        chat.answer(first, "Here.").await?;
        scale_bot(install, 0).await?;
        let mut asked = Vec::new();
        for n in 1..=3 {
            asked.push(chat.say(&format!("question {n} [[say answer {n}.]]")).await?);
        }
        let waited = std::time::Instant::now();
        install
            .until("they are stale", async || Ok(waited.elapsed().as_secs() > 6))
            .await?;
        scale_bot(install, 1).await?;
        let marked = async || {
            let shown = chat.from_bot().await?;
            let mark = |message: &i64| {
                shown
                    .iter()
                    .any(|shown| shown.reply_to == Some(*message) && shown.text.contains("while I was away"))
            };
            Ok(asked.iter().all(mark))
        };
        install.until("every answer says that it is late", marked).await?;
        let sent = sent_to_the_model(install).await?;
        ensure!(
            sent.contains("before it could be handed on to you"),
            "claude does not know how late it is"
        );
        let at = |n: usize| sent.find(&format!("question {n} ")).context("a question was lost");
        ensure!(at(1)? < at(2)? && at(2)? < at(3)?, "they came in another order");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_topic_that_is_closed_and_opened_again_says_so() -> Result<()> {
    with_install(people("closed"), async |install| {
        let chat = Chat::open(install, "closing").await?;
        chat.ask("Are you there? [[say I am here.]]", "I am here.").await?;
        let member = ChatChange {
            standing: Some(Standing::Member),
            user: Some(ALICE),
            ..ChatChange::default()
        };
        chat.telegram.change_chat(chat.forum, &member).await?;
        let change = |closed| TopicChange {
            user: ALICE,
            name: None,
            closed: Some(closed),
            deleted: None,
        };
        chat.telegram
            .change_topic(chat.forum, chat.thread, &change(true))
            .await?;
        reachable(install, &chat.topic, "False", "TopicClosed").await?;
        chat.telegram
            .change_topic(chat.forum, chat.thread, &change(false))
            .await?;
        reachable(install, &chat.topic, "True", "Reachable").await?;
        chat.ask("And now? [[say Open again.]]", "Open again.").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_group_that_becomes_a_supergroup_keeps_its_conversation() -> Result<()> {
    with_install(people("upgraded"), async |install| {
        let telegram = Chat::open(install, "elsewhere").await?.telegram;
        let crew = NewChat {
            id: None,
            kind: ChatKind::Group,
            title: "The crew".to_owned(),
            creator: Some(ALICE),
        };
        let group = telegram.add_chat(&crew).await?.id;
        let asked = "/deep the codename is ibis [[say Noted.]]";
        telegram.say(group, None, ALICE, asked).await?;
        telegram.wait_for(group, None, 0, "Noted.", DEADLINE).await?;
        let upgrade = Upgrade {
            user: ALICE,
            forum: false,
        };
        let supergroup = telegram.upgrade(group, &upgrade).await?.id;
        let topic = names::telegram_topic(group, None);
        let is_there = move |topic: Option<&Topic>| {
            let telegram = topic.and_then(|topic| topic.status.as_ref()?.telegram.as_ref());
            telegram.is_some_and(|telegram| telegram.chat_id == supergroup)
        };
        install.wait_for(&topic, "in the new chat", is_there).await?;
        let again = "What was my first message? [[recall]]";
        telegram.say(supergroup, None, ALICE, again).await?;
        telegram
            .wait_for(supergroup, None, 0, "codename is ibis", DEADLINE)
            .await?;
        let topics = install.api::<Topic>().list(&ListParams::default()).await?.items;
        ensure!(topics.len() == 1, "there is another Topic for the same chat");
        Ok(())
    })
    .await
}
