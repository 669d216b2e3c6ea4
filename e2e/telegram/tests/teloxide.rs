//! The client library the bot uses understands every answer.

#![allow(clippy::unwrap_used, reason = "this is test code outside test functions")]

mod stage;

use longshore_telegram_emulator::{
    control::{ChatChange, Upload},
    faults::{Fault, Kind},
    world::{Rights, Standing},
};
use serde_json::json;
use stage::{Stage, TOKEN};
use teloxide_core::{
    ApiError, Bot, RequestError,
    payloads::{AnswerCallbackQuerySetters, EditMessageTextSetters, SendDocumentSetters, SendMessageSetters},
    prelude::Requester,
    types::{
        BotCommand, CallbackQueryId, ChatAction, ChatId, ChatKind, FileId, InlineKeyboardButton, InlineKeyboardMarkup,
        InputFile, MessageEntityKind, MessageId, MessageKind, ParseMode, ThreadId, UpdateKind, UserId,
    },
};

fn bot(stage: &Stage) -> Bot {
    Bot::new(TOKEN).set_api_url(stage.emulator.url().parse().unwrap())
}

fn thread(stage: &Stage) -> ThreadId {
    ThreadId(MessageId(i32::try_from(stage.thread).unwrap()))
}

#[tokio::test]
async fn updates_parse_as_what_they_are() {
    let stage = Stage::new().await;
    let bot = bot(&stage);
    let (forum, topic) = (stage.forum, Some(stage.thread));
    let text = stage.people.say(forum, topic, stage.ada, "/deep fix it").await.unwrap();
    stage
        .people
        .edit(forum, text, stage.ada, "/deep fix that")
        .await
        .unwrap();
    let upload = Upload {
        user: stage.ada,
        name: "a.txt".to_owned(),
        thread: topic,
        ..Upload::default()
    };
    stage.people.upload(forum, &upload, "content").await.unwrap();
    stage.people.topic(forum, stage.ada, "New").await.unwrap();
    let buttons = InlineKeyboardMarkup::new([[InlineKeyboardButton::callback("Go", "go")]]);
    let sent = bot
        .send_message(ChatId(forum), "press")
        .message_thread_id(thread(&stage))
        .reply_markup(buttons)
        .await
        .unwrap();
    stage
        .people
        .press(forum, i64::from(sent.id.0), stage.ada, "Go")
        .await
        .unwrap();
    stage.make_admin(Rights::default()).await;

    let updates = bot.get_updates().await.unwrap();
    let names: Vec<_> = updates
        .iter()
        .map(|update| match &update.kind {
            UpdateKind::Message(message) => match &message.kind {
                MessageKind::Common(_) if message.text().is_some() => {
                    assert_eq!(message.entities().unwrap()[0].kind, MessageEntityKind::BotCommand);
                    assert_eq!(
                        (message.thread_id, message.is_topic_message),
                        (Some(thread(&stage)), true)
                    );
                    "text"
                }
                MessageKind::Common(_) if message.document().is_some() => "document",
                MessageKind::ForumTopicCreated(_) => "topic",
                other => panic!("{other:?}"),
            },
            UpdateKind::EditedMessage(message) => {
                assert_eq!(message.text(), Some("/deep fix that"));
                "edited"
            }
            UpdateKind::CallbackQuery(query) => {
                assert_eq!(query.data.as_deref(), Some("go"));
                assert_eq!(query.regular_message().unwrap().id, sent.id);
                "callback"
            }
            UpdateKind::MyChatMember(change) => {
                assert!(change.new_chat_member.is_administrator());
                "member"
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["text", "edited", "document", "topic", "callback", "member"]);
}

#[tokio::test]
async fn answers_parse_as_what_they_are() {
    let stage = Stage::new().await;
    let bot = bot(&stage);
    let chat = ChatId(stage.forum);
    let me = bot.get_me().await.unwrap();
    assert!(me.can_read_all_group_messages && me.username() == "longshore_bot");
    let sent = bot
        .send_message(chat, "<b>x</b>")
        .parse_mode(ParseMode::Html)
        .message_thread_id(thread(&stage))
        .await
        .unwrap();
    assert_eq!(sent.text(), Some("x"));
    let edited = bot
        .edit_message_text(chat, sent.id, "*y*")
        .parse_mode(ParseMode::MarkdownV2)
        .await
        .unwrap();
    assert_eq!(edited.entities().unwrap()[0].kind, MessageEntityKind::Bold);
    bot.edit_message_reply_markup(chat, sent.id).await.unwrap_err();
    bot.send_chat_action(chat, ChatAction::Typing).await.unwrap();
    bot.set_my_commands([BotCommand::new("deep", "Deep work")])
        .await
        .unwrap();
    assert_eq!(bot.get_my_commands().await.unwrap().len(), 1);
    let full = bot.get_chat(chat).await.unwrap();
    assert!(matches!(full.kind, teloxide_core::types::ChatFullInfoKind::Public(_)));
    assert!(matches!(sent.chat.kind, ChatKind::Public(_)));
    assert!(bot.get_chat_member(chat, UserId(4711)).await.unwrap().is_member());
    let document = InputFile::memory("content").file_name("log.txt");
    let document = bot
        .send_document(chat, document)
        .caption("log")
        .message_thread_id(thread(&stage))
        .await
        .unwrap();
    let file = bot
        .get_file(document.document().unwrap().file.id.clone())
        .await
        .unwrap();
    assert_eq!(file.size, 7);
    bot.get_file(FileId("nope".to_owned())).await.unwrap_err();
    bot.delete_message(chat, sent.id).await.unwrap();
    let rights = Rights {
        can_manage_topics: true,
        can_delete_messages: true,
        can_pin_messages: true,
    };
    let change = ChatChange {
        standing: Some(Standing::Administrator),
        rights: Some(rights),
        ..ChatChange::default()
    };
    stage.people.change_chat(stage.forum, &change).await.unwrap();
    let topic = bot.create_forum_topic(chat, "Docks").await.unwrap();
    bot.close_forum_topic(chat, topic.thread_id).await.unwrap();
    bot.delete_forum_topic(chat, topic.thread_id).await.unwrap();
}

#[tokio::test]
async fn refusals_become_its_typed_errors() {
    let stage = Stage::new().await;
    let bot = bot(&stage);
    let chat = ChatId(stage.forum);
    let sent = bot.send_message(chat, "x").await.unwrap();
    let api = |error: RequestError| match error {
        RequestError::Api(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        api(bot.edit_message_text(chat, sent.id, "x").await.unwrap_err()),
        ApiError::MessageNotModified
    );
    assert_eq!(
        api(bot.edit_message_text(chat, MessageId(99), "x").await.unwrap_err()),
        ApiError::MessageToEditNotFound
    );
    assert_eq!(
        api(bot.delete_message(chat, MessageId(99)).await.unwrap_err()),
        ApiError::MessageToDeleteNotFound
    );
    assert_eq!(
        api(bot.send_message(chat, "x".repeat(4_097)).await.unwrap_err()),
        ApiError::MessageIsTooLong
    );
    assert_eq!(
        api(bot
            .edit_message_text(chat, sent.id, "x".repeat(4_097))
            .await
            .unwrap_err()),
        ApiError::EditedMessageIsTooLong
    );
    assert_eq!(
        api(bot.send_message(chat, " ").await.unwrap_err()),
        ApiError::MessageTextIsEmpty
    );
    assert_eq!(
        api(bot.send_message(ChatId(-9), "x").await.unwrap_err()),
        ApiError::ChatNotFound
    );
    let broken = bot
        .send_message(chat, "<b>")
        .parse_mode(ParseMode::Html)
        .await
        .unwrap_err();
    assert!(matches!(api(broken), ApiError::CantParseEntities(_)));
    let stale = bot
        .answer_callback_query(CallbackQueryId("1".to_owned()))
        .text("late")
        .await
        .unwrap_err();
    assert!(matches!(api(stale), ApiError::Unknown(text) if text.contains("query is too old")));
    stage
        .people
        .fault(&Fault::on("sendMessage", Kind::TooManyRequests { retry_after: 9 }))
        .await
        .unwrap();
    let flood = bot.send_message(chat, "x").await.unwrap_err();
    assert!(matches!(flood, RequestError::RetryAfter(wait) if wait.seconds() == 9));
    stage.ok("setWebhook", json!({"url": "https://bot.example/"})).await;
    assert!(
        matches!(api(bot.get_updates().await.unwrap_err()), ApiError::Unknown(text) if text.contains("webhook is active"))
    );
    let wrong = Bot::new("4711:wrong").set_api_url(stage.emulator.url().parse().unwrap());
    assert_eq!(api(wrong.get_me().await.unwrap_err()), ApiError::InvalidToken);
}
