//! Forum topics, standing and rights.

mod stage;

use longshore_telegram_emulator::{
    control::{BotChange, ChatChange, ClockChange, NewChat, TopicChange, Upgrade},
    world::{ChatKind, Rights, Standing},
};
use serde_json::json;
use stage::Stage;

#[tokio::test]
async fn a_bot_with_the_right_to_makes_renames_closes_and_deletes_topics() {
    let stage = Stage::new().await;
    let new = json!({"chat_id": stage.forum, "name": "Docks"});
    assert_eq!(
        stage.refused("createForumTopic", new.clone()).await,
        "400 Bad Request: not enough rights to create a topic"
    );
    stage
        .make_admin(Rights {
            can_manage_topics: true,
            can_delete_messages: true,
            ..Rights::default()
        })
        .await;
    let made = stage.ok("createForumTopic", new).await;
    let thread = made["message_thread_id"].as_i64().unwrap();
    let at = |more: serde_json::Value| {
        let mut params = json!({"chat_id": stage.forum, "message_thread_id": thread});
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    stage.ok("sendMessage", at(json!({"text": "first"}))).await;
    stage.ok("editForumTopic", at(json!({"name": "Quays"}))).await;
    assert_eq!(
        stage.refused("editForumTopic", at(json!({"name": "Quays"}))).await,
        "400 Bad Request: TOPIC_NOT_MODIFIED"
    );
    stage.ok("closeForumTopic", at(json!({}))).await;
    stage
        .ok(
            "sendMessage",
            at(json!({"text": "who manages topics may write into closed ones"})),
        )
        .await;
    stage.ok("reopenForumTopic", at(json!({}))).await;
    let seen = stage.people.messages(stage.forum, Some(thread)).await.unwrap();
    let services: Vec<_> = seen
        .iter()
        .filter_map(|shown| shown.service.as_ref().map(|(name, _)| name.as_str()))
        .collect();
    assert_eq!(
        services,
        [
            "forum_topic_created",
            "forum_topic_edited",
            "forum_topic_closed",
            "forum_topic_reopened"
        ]
    );
    stage.ok("deleteForumTopic", at(json!({}))).await;
    assert_eq!(
        stage.refused("sendMessage", at(json!({"text": "x"}))).await,
        "400 Bad Request: message thread not found"
    );
    assert_eq!(
        stage.refused("closeForumTopic", at(json!({}))).await,
        "400 Bad Request: TOPIC_ID_INVALID"
    );
    assert!(
        stage
            .updates()
            .await
            .iter()
            .all(|update| update.get("message").is_none()),
        "its own deeds are no news to a bot"
    );
}

#[tokio::test]
async fn people_close_and_delete_topics_under_the_bot() {
    let stage = Stage::new().await;
    let send = json!({"chat_id": stage.forum, "message_thread_id": stage.thread, "text": "x"});
    let id = stage.send("before").await;
    let close = TopicChange {
        user: stage.ada,
        closed: Some(true),
        ..TopicChange::default()
    };
    stage
        .people
        .change_topic(stage.forum, stage.thread, &close)
        .await
        .unwrap();
    assert_eq!(
        stage.refused("sendMessage", send.clone()).await,
        "400 Bad Request: TOPIC_CLOSED"
    );
    assert!(stage.updates().await[0]["message"]["forum_topic_closed"].is_object());
    let delete = TopicChange {
        user: stage.ada,
        deleted: Some(true),
        ..TopicChange::default()
    };
    stage
        .people
        .change_topic(stage.forum, stage.thread, &delete)
        .await
        .unwrap();
    assert_eq!(
        stage.refused("sendMessage", send).await,
        "400 Bad Request: message thread not found"
    );
    let edit = json!({"chat_id": stage.forum, "message_id": id, "text": "y"});
    assert_eq!(
        stage.refused("editMessageText", edit).await,
        "400 Bad Request: message to edit not found"
    );
}

#[tokio::test]
async fn a_new_topic_is_announced_by_its_first_message() {
    let stage = Stage::new().await;
    let thread = stage.people.topic(stage.forum, stage.ada, "Ropes").await.unwrap();
    let message = &stage.updates().await[0]["message"];
    assert_eq!(message["forum_topic_created"]["name"], "Ropes");
    assert_eq!(
        (&message["message_id"], &message["message_thread_id"]),
        (&json!(thread), &json!(thread))
    );
    assert!(message.get("reply_to_message").is_none());
}

#[tokio::test]
async fn a_bot_that_is_kicked_or_blocked_is_told_so() {
    let stage = Stage::new().await;
    stage.people.say(stage.ada, None, stage.ada, "hi").await.unwrap();
    for (chat, standing, expected) in [
        (
            stage.forum,
            Standing::Kicked,
            "403 Forbidden: bot was kicked from the supergroup chat",
        ),
        (
            stage.forum,
            Standing::Left,
            "403 Forbidden: bot is not a member of the supergroup chat",
        ),
        (
            stage.ada,
            Standing::Blocked,
            "403 Forbidden: bot was blocked by the user",
        ),
    ] {
        let change = ChatChange {
            standing: Some(standing),
            user: Some(stage.ada),
            ..ChatChange::default()
        };
        stage.people.change_chat(chat, &change).await.unwrap();
        for (method, params) in [
            ("sendMessage", json!({"chat_id": chat, "text": "x"})),
            (
                "editMessageText",
                json!({"chat_id": chat, "message_id": 2, "text": "x"}),
            ),
            ("sendChatAction", json!({"chat_id": chat, "action": "typing"})),
        ] {
            assert_eq!(stage.refused(method, params).await, expected);
        }
        let updates = stage.updates().await;
        let change = &updates.last().unwrap()["my_chat_member"];
        assert_eq!(
            (&change["chat"]["id"], &change["from"]["id"]),
            (&json!(chat), &json!(stage.ada))
        );
    }
    assert_eq!(
        stage
            .people
            .post(
                stage.forum,
                &longshore_telegram_emulator::control::Post {
                    user: stage.ada,
                    text: "unheard".to_owned(),
                    ..Default::default()
                }
            )
            .await
            .unwrap()
            .update_id,
        None
    );
}

#[tokio::test]
async fn members_and_rights_can_be_looked_up() {
    let stage = Stage::new().await;
    let member = |user: i64| json!({"chat_id": stage.forum, "user_id": user});
    assert_eq!(stage.ok("getChatMember", member(4711)).await["status"], "member");
    assert_eq!(stage.ok("getChatMember", member(stage.ada)).await["status"], "creator");
    assert_eq!(
        stage.refused("getChatMember", member(5)).await,
        "400 Bad Request: member not found"
    );
    stage
        .make_admin(Rights {
            can_manage_topics: true,
            ..Rights::default()
        })
        .await;
    let bot = stage.ok("getChatMember", member(4711)).await;
    assert_eq!(
        (&bot["status"], &bot["can_manage_topics"], &bot["can_pin_messages"]),
        (&json!("administrator"), &json!(true), &json!(false))
    );
    assert_eq!(
        stage
            .ok("getChatAdministrators", json!({"chat_id": stage.forum}))
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let chat = stage.ok("getChat", json!({"chat_id": stage.forum})).await;
    assert_eq!((&chat["type"], &chat["is_forum"]), (&json!("supergroup"), &json!(true)));
    let silent = ChatChange {
        members_may_write: Some(false),
        standing: Some(Standing::Member),
        ..ChatChange::default()
    };
    stage.people.change_chat(stage.forum, &silent).await.unwrap();
    let refused = stage
        .refused("sendMessage", json!({"chat_id": stage.forum, "text": "x"}))
        .await;
    assert_eq!(
        refused,
        "400 Bad Request: not enough rights to send text messages to the chat"
    );
}

#[tokio::test]
async fn a_group_that_becomes_a_supergroup_has_another_id() {
    let stage = Stage::new().await;
    let new = NewChat {
        id: None,
        kind: ChatKind::Group,
        title: "Pilots".to_owned(),
        creator: Some(stage.ada),
    };
    let old = stage.people.add_chat(&new).await.unwrap().id;
    let upgrade = Upgrade {
        user: stage.ada,
        forum: true,
    };
    let chat = stage.people.upgrade(old, &upgrade).await.unwrap();
    assert_eq!((chat.kind, chat.title.as_str()), (ChatKind::Forum, "Pilots"));
    let updates = stage.updates().await;
    assert_eq!(updates[0]["message"]["chat"]["id"], old);
    assert_eq!(updates[0]["message"]["migrate_to_chat_id"], chat.id);
    assert_eq!(updates[1]["message"]["chat"]["id"], chat.id);
    assert_eq!(updates[1]["message"]["migrate_from_chat_id"], old);
    let refused = stage.call("sendMessage", json!({"chat_id": old, "text": "x"})).await;
    assert_eq!(
        refused["description"],
        "Bad Request: group chat was upgraded to a supergroup chat"
    );
    assert_eq!(refused["parameters"], json!({"migrate_to_chat_id": chat.id}));
    stage.ok("sendMessage", json!({"chat_id": chat.id, "text": "x"})).await;
    assert!(stage.people.say(old, None, stage.ada, "anybody?").await.is_err());
    assert!(stage.people.upgrade(chat.id, &upgrade).await.is_err());
}

#[tokio::test]
async fn private_chats_have_topics_when_the_bot_says_so() {
    let stage = Stage::new().await;
    assert_eq!(stage.ok("getMe", json!({})).await["has_topics_enabled"], false);
    assert!(stage.people.topic(stage.ada, stage.ada, "Errands").await.is_err());
    let change = BotChange {
        has_topics_enabled: Some(true),
        ..BotChange::default()
    };
    stage.people.change_bot(&change).await.unwrap();
    assert_eq!(stage.ok("getMe", json!({})).await["has_topics_enabled"], true);
    let thread = stage.people.topic(stage.ada, stage.ada, "Errands").await.unwrap();
    stage
        .people
        .say(stage.ada, Some(thread), stage.ada, "buy rope")
        .await
        .unwrap();
    let updates = stage.updates().await;
    assert_eq!(updates[0]["message"]["forum_topic_created"]["name"], "Errands");
    let message = &updates[1]["message"];
    assert_eq!(message["chat"]["type"], "private");
    assert_eq!(
        (&message["message_thread_id"], &message["is_topic_message"]),
        (&json!(thread), &json!(true))
    );
    let there = json!({"chat_id": stage.ada, "message_thread_id": thread, "text": "which rope?"});
    assert_eq!(stage.ok("sendMessage", there).await["message_thread_id"], thread);
    let draft = json!({"chat_id": stage.ada, "message_thread_id": thread, "draft_id": 1, "text": "gro"});
    stage.ok("sendMessageDraft", draft).await;
    let own = stage
        .ok("createForumTopic", json!({"chat_id": stage.ada, "name": "Answers"}))
        .await;
    assert!(own["message_thread_id"].is_number());
    let nowhere = json!({"chat_id": stage.ada, "message_thread_id": 9_999, "text": "x"});
    assert_eq!(
        stage.refused("sendMessage", nowhere).await,
        "400 Bad Request: message thread not found"
    );
}

#[tokio::test]
async fn general_can_be_closed() {
    let stage = Stage::new().await;
    let close = TopicChange {
        user: stage.ada,
        closed: Some(true),
        ..TopicChange::default()
    };
    stage.people.change_topic(stage.forum, 1, &close).await.unwrap();
    let message = stage.updates().await[0]["message"].clone();
    assert!(message["forum_topic_closed"].is_object() && message.get("message_thread_id").is_none());
    let general = json!({"chat_id": stage.forum, "text": "x"});
    assert_eq!(
        stage.refused("sendMessage", general).await,
        "400 Bad Request: TOPIC_CLOSED"
    );
    stage.send("other topics are open").await;
}

#[tokio::test]
async fn what_members_may_not_do_is_refused() {
    let stage = Stage::new().await;
    let change = ChatChange {
        members_may_send_files: Some(false),
        reactions: Some(vec!["👍".to_owned()]),
        ..ChatChange::default()
    };
    stage.people.change_chat(stage.forum, &change).await.unwrap();
    assert_eq!(
        stage.refused("sendDocument", json!({"chat_id": stage.forum})).await,
        "400 Bad Request: not enough rights to send documents to the chat"
    );
    let id = stage.send("x").await;
    let react = |emoji: &str| json!({"chat_id": stage.forum, "message_id": id, "reaction": [{"type": "emoji", "emoji": emoji}]});
    stage.ok("setMessageReaction", react("👍")).await;
    assert_eq!(
        stage.refused("setMessageReaction", react("👀")).await,
        "400 Bad Request: REACTION_INVALID"
    );
    let gone = ChatChange {
        standing: Some(Standing::Deactivated),
        ..ChatChange::default()
    };
    stage.people.change_chat(stage.ada, &gone).await.unwrap();
    assert_eq!(
        stage
            .refused("sendMessage", json!({"chat_id": stage.ada, "text": "x"}))
            .await,
        "403 Forbidden: user is deactivated"
    );
}

#[tokio::test]
async fn after_two_days_a_message_stays() {
    let stage = Stage::new().await;
    let own = stage.send("old").await;
    let private = stage.people.say(stage.ada, None, stage.ada, "hi").await.unwrap();
    let later = ClockChange {
        advance_seconds: Some(48.0 * 3_600.0 + 1.0),
        ..ClockChange::default()
    };
    stage.people.turn_clock(&later).await.unwrap();
    for (chat, message) in [(stage.forum, own), (stage.ada, private)] {
        assert_eq!(
            stage
                .refused("deleteMessage", json!({"chat_id": chat, "message_id": message}))
                .await,
            "400 Bad Request: message can't be deleted for everyone"
        );
    }
    let fresh = stage.people.say(stage.ada, None, stage.ada, "hi").await.unwrap();
    stage
        .ok("deleteMessage", json!({"chat_id": stage.ada, "message_id": fresh}))
        .await;
}
