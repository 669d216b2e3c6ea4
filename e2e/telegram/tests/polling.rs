//! Updates and how the bot gets them.

mod stage;

use longshore_telegram_emulator::control::{BotChange, Post};
use serde_json::json;
use stage::{LONG, Stage, TOKEN};

#[tokio::test]
async fn a_hanging_poll_ends_with_the_next_message() {
    let stage = Stage::new().await;
    let (client, forum) = (stage.people.clone(), stage.forum);
    let poll = tokio::spawn(async move {
        client
            .bot_api(TOKEN, "getUpdates", &json!({"timeout": 50}))
            .await
            .unwrap()
    });
    let message = stage
        .people
        .say(forum, Some(stage.thread), stage.ada, "/deep fix it")
        .await
        .unwrap();
    let answer = tokio::time::timeout(LONG, poll).await.unwrap().unwrap();
    let update = &answer["result"][0]["message"];
    assert_eq!(update["message_id"], message);
    assert_eq!(update["message_thread_id"], stage.thread);
    assert_eq!(
        (&update["is_topic_message"], &update["chat"]["is_forum"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        update["entities"],
        json!([{"type": "bot_command", "offset": 0, "length": 5}])
    );
    assert_eq!(update["reply_to_message"]["forum_topic_created"]["name"], "Cranes");
    assert_eq!(update["from"]["id"], stage.ada);
}

#[tokio::test]
async fn unconfirmed_updates_come_again_and_a_limit_is_kept() {
    let stage = Stage::new().await;
    for text in ["one", "two", "three"] {
        stage.people.say(stage.ada, None, stage.ada, text).await.unwrap();
    }
    let first = stage.ok("getUpdates", json!({"limit": 2})).await;
    assert_eq!(first.as_array().unwrap().len(), 2);
    assert_eq!(stage.updates().await.len(), 3);
    let offset = first[0]["update_id"].as_i64().unwrap() + 1;
    let rest = stage.ok("getUpdates", json!({"offset": offset})).await;
    assert_eq!(rest[0]["message"]["text"], "two");
    let last = stage.ok("getUpdates", json!({"offset": -1})).await;
    assert_eq!(
        (last.as_array().unwrap().len(), &last[0]["message"]["text"]),
        (1, &json!("three"))
    );
    assert_eq!(stage.people.backlog().await.unwrap().pending.len(), 1);
}

#[tokio::test]
async fn of_two_pollers_the_older_hanging_one_gets_409() {
    let stage = Stage::new().await;
    let poll = |timeout: u64| {
        let client = stage.people.clone();
        tokio::spawn(async move {
            client
                .bot_api(TOKEN, "GetUpdates", &json!({"timeout": timeout}))
                .await
                .unwrap()
        })
    };
    let revision = stage.people.overview().await.unwrap().revision;
    let older = poll(50);
    stage.people.changed(revision, LONG).await.unwrap();
    let newer = poll(50);
    let refused = tokio::time::timeout(LONG, older).await.unwrap().unwrap();
    assert_eq!(refused["error_code"], 409);
    assert_eq!(
        refused["description"],
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
    );
    stage.people.say(stage.ada, None, stage.ada, "hi").await.unwrap();
    let answer = tokio::time::timeout(LONG, newer).await.unwrap().unwrap();
    assert_eq!(answer["result"][0]["message"]["text"], "hi");
    assert_eq!(
        stage.updates().await.len(),
        1,
        "with updates waiting a second poller gets them without a conflict"
    );
}

#[tokio::test]
async fn a_webhook_is_its_own_conflict() {
    let stage = Stage::new().await;
    stage.people.say(stage.ada, None, stage.ada, "kept").await.unwrap();
    stage.ok("setWebhook", json!({"url": "https://bot.example/hook"})).await;
    assert!(
        stage
            .refused("getUpdates", json!({}))
            .await
            .starts_with("409 Conflict: can't use getUpdates method while webhook")
    );
    assert_eq!(stage.ok("getWebhookInfo", json!({})).await["pending_update_count"], 1);
    stage.ok("deleteWebhook", json!({"drop_pending_updates": true})).await;
    assert!(stage.updates().await.is_empty());
}

#[tokio::test]
async fn only_allowed_kinds_are_delivered_and_the_choice_is_remembered() {
    let stage = Stage::new().await;
    stage
        .ok("getUpdates", json!({"allowed_updates": ["edited_message"]}))
        .await;
    let message = stage.people.say(stage.ada, None, stage.ada, "hi").await.unwrap();
    stage
        .people
        .edit(stage.ada, message, stage.ada, "hi there")
        .await
        .unwrap();
    let updates = stage.updates().await;
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0]["edited_message"]["text"], "hi there");
    assert!(updates[0]["edited_message"]["edit_date"].is_number());
}

#[tokio::test]
async fn in_privacy_mode_groups_show_only_what_concerns_the_bot() {
    let stage = Stage::new().await;
    stage
        .people
        .change_bot(&BotChange {
            privacy: Some(true),
            ..BotChange::default()
        })
        .await
        .unwrap();
    assert_eq!(stage.ok("getMe", json!({})).await["can_read_all_group_messages"], false);
    let mine = stage.send("from the bot").await;
    let post = |text: &str, reply_to| Post {
        user: stage.ada,
        text: text.to_owned(),
        reply_to,
        ..Post::default()
    };
    let mut seen = Vec::new();
    for (text, reply) in [
        ("chatter", None),
        ("/status", None),
        ("/status@longshore_bot", None),
        ("/status@other_bot", None),
        ("hey @longshore_bot", None),
        ("yes", Some(mine)),
    ] {
        let posted = stage.people.post(stage.forum, &post(text, reply)).await.unwrap();
        seen.push(posted.update_id.is_some());
    }
    assert_eq!(seen, [false, true, true, false, true, true]);
    let private = stage.people.post(stage.ada, &post("chatter", None)).await.unwrap();
    assert!(private.update_id.is_some());
}

#[tokio::test]
async fn an_update_of_any_shape_can_be_injected() {
    let stage = Stage::new().await;
    let id = stage
        .people
        .inject(&json!({"hyper_message": {"x": [1]}}))
        .await
        .unwrap();
    assert_eq!(
        stage.updates().await,
        [json!({"update_id": id, "hyper_message": {"x": [1]}})]
    );
}

#[tokio::test]
async fn messages_before_the_bot_first_calls_are_kept_for_it() {
    let emulator = longshore_telegram_emulator::Emulator::local().await.unwrap();
    let people = emulator.client();
    let ada = people.user("Ada").await.unwrap().id;
    people.say(ada, None, ada, "early").await.unwrap();
    let answer = people.bot_api("99:x", "getUpdates", &json!({})).await.unwrap();
    assert_eq!(answer["result"][0]["message"]["text"], "early");
    assert_eq!(
        people.bot_api("99:x", "getMe", &json!({})).await.unwrap()["result"]["id"],
        99
    );
}

#[tokio::test]
async fn other_tokens_and_unknown_methods_are_refused() {
    let stage = Stage::new().await;
    let other = stage.people.bot_api("4711:other", "getMe", &json!({})).await.unwrap();
    assert_eq!(
        (&other["error_code"], &other["description"]),
        (&json!(401), &json!("Unauthorized"))
    );
    let malformed = stage.people.bot_api("nonsense", "getMe", &json!({})).await.unwrap();
    assert_eq!(malformed["error_code"], 404);
    assert_eq!(
        stage.refused("getMee", json!({})).await,
        "404 Not Found: method not found"
    );
    stage
        .people
        .change_bot(&BotChange {
            token: Some("4711:rotated".to_owned()),
            ..BotChange::default()
        })
        .await
        .unwrap();
    assert_eq!(stage.refused("getMe", json!({})).await, "401 Unauthorized");
    assert_eq!(
        stage.people.bot_api("4711:rotated", "GETME", &json!({})).await.unwrap()["ok"],
        true
    );
}
