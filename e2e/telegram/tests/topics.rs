//! Forum topics, standing and rights.

mod stage;

use longshore_telegram_emulator::{
    control::{ChatChange, TopicChange},
    world::{Rights, Standing},
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
