//! What the bot sends, edits and deletes, and what people see of it.

mod stage;

use longshore_telegram_emulator::{
    control::{Upload, view::Wanted},
    world::Rights,
};
use serde_json::{Value, json};
use stage::{LONG, Stage};

const NOT_MODIFIED: &str = "400 Bad Request: message is not modified: specified new message content and reply markup are \
     exactly the same as a current content and reply markup of the message";

fn keyboard(data: &str) -> Value {
    json!({"inline_keyboard": [[{"text": "Allow", "callback_data": data}, {"text": "Deny", "callback_data": "no"}]]})
}

#[tokio::test]
async fn people_see_the_latest_text_and_its_history() {
    let stage = Stage::new().await;
    let id = stage.send("working").await;
    let edit = json!({"chat_id": stage.forum, "message_id": id, "text": "<b>done</b>", "parse_mode": "HTML", "reply_markup": keyboard("yes")});
    let edited = stage.ok("editMessageText", edit.clone()).await;
    assert_eq!(
        (&edited["text"], &edited["entities"][0]["type"]),
        (&json!("done"), &json!("bold"))
    );
    assert_eq!(stage.refused("editMessageText", edit).await, NOT_MODIFIED);
    let seen = stage.people.messages(stage.forum, Some(stage.thread)).await.unwrap();
    let shown = seen.iter().find(|shown| shown.message_id == id).unwrap();
    assert_eq!((shown.text.as_str(), shown.edits, shown.from_bot), ("done", 1, true));
    assert_eq!(shown.buttons, [["Allow", "Deny"]]);
    let texts: Vec<_> = shown.history.iter().map(|version| version.text.as_str()).collect();
    assert_eq!(texts, ["working", "done"]);
    assert!(
        stage
            .people
            .messages(stage.forum, None)
            .await
            .unwrap()
            .iter()
            .all(|shown| shown.message_id != id)
    );
}

#[tokio::test]
async fn leaving_the_keyboard_out_of_an_edit_removes_it() {
    let stage = Stage::new().await;
    let place = json!({"chat_id": stage.forum, "message_thread_id": stage.thread, "text": "may I?", "reply_markup": keyboard("yes")});
    let id = stage.ok("sendMessage", place).await["message_id"].clone();
    let same = json!({"chat_id": stage.forum, "message_id": id, "reply_markup": keyboard("yes")});
    assert_eq!(stage.refused("editMessageReplyMarkup", same).await, NOT_MODIFIED);
    stage
        .ok(
            "editMessageText",
            json!({"chat_id": stage.forum, "message_id": id, "text": "may I?"}),
        )
        .await;
    assert_eq!(
        stage
            .refused(
                "editMessageReplyMarkup",
                json!({"chat_id": stage.forum, "message_id": id})
            )
            .await,
        NOT_MODIFIED
    );
    assert!(
        stage.people.messages(stage.forum, Some(stage.thread)).await.unwrap()[1]
            .buttons
            .is_empty()
    );
}

#[tokio::test]
async fn text_is_measured_after_parsing_in_utf16_units() {
    let stage = Stage::new().await;
    let send = |text: String| json!({"chat_id": stage.forum, "message_thread_id": stage.thread, "text": text, "parse_mode": "HTML"});
    stage
        .ok("sendMessage", send(format!("<b>{}</b>", "x".repeat(4_096))))
        .await;
    stage.ok("sendMessage", send("😀".repeat(2_048))).await;
    assert_eq!(
        stage.refused("sendMessage", send("😀".repeat(2_049))).await,
        "400 Bad Request: message is too long"
    );
    assert_eq!(
        stage.refused("sendMessage", send("<b> </b>".to_owned())).await,
        "400 Bad Request: message text is empty"
    );
    let id = stage.send("x").await;
    let long = json!({"chat_id": stage.forum, "message_id": id, "text": "x".repeat(4_097)});
    assert_eq!(
        stage.refused("editMessageText", long).await,
        "400 Bad Request: MESSAGE_TOO_LONG"
    );
}

#[tokio::test]
async fn broken_formatting_is_refused_and_nothing_is_posted() {
    let stage = Stage::new().await;
    let before = stage
        .people
        .messages(stage.forum, Some(stage.thread))
        .await
        .unwrap()
        .len();
    for (mode, text, reason) in [
        ("HTML", "a <b>c", "Can't find end tag corresponding to start tag \"b\""),
        ("html", "1 <2>", "Unsupported start tag \"2\" at byte offset 2"),
        (
            "MarkdownV2",
            "a.b",
            "Character '.' is reserved and must be escaped with the preceding '\\'",
        ),
        ("MarkdownV2", "*a", "Can't find end of Bold entity at byte offset 0"),
    ] {
        let send = json!({"chat_id": stage.forum, "message_thread_id": stage.thread, "text": text, "parse_mode": mode});
        assert_eq!(
            stage.refused("sendMessage", send).await,
            format!("400 Bad Request: can't parse entities: {reason}")
        );
    }
    assert_eq!(
        stage
            .people
            .messages(stage.forum, Some(stage.thread))
            .await
            .unwrap()
            .len(),
        before
    );
}

#[tokio::test]
async fn places_that_do_not_exist_are_refused() {
    let stage = Stage::new().await;
    let send = |chat: i64, thread: Option<i64>| json!({"chat_id": chat, "message_thread_id": thread, "text": "x"});
    assert_eq!(
        stage.refused("sendMessage", send(-77, None)).await,
        "400 Bad Request: chat not found"
    );
    assert_eq!(
        stage.refused("sendMessage", json!({"text": "x"})).await,
        "400 Bad Request: chat_id is empty"
    );
    for thread in [1, 9_999] {
        let refused = stage.refused("sendMessage", send(stage.forum, Some(thread))).await;
        assert_eq!(refused, "400 Bad Request: message thread not found");
    }
    let general = stage.ok("sendMessage", send(stage.forum, None)).await;
    assert!(general.get("message_thread_id").is_none());
    assert_eq!(
        stage.refused("sendMessage", send(stage.ada, None)).await,
        "403 Forbidden: bot can't initiate conversation with a user"
    );
}

#[tokio::test]
async fn replies_follow_their_message_and_may_be_optional() {
    let stage = Stage::new().await;
    let asked = stage
        .people
        .say(stage.forum, Some(stage.thread), stage.ada, "question")
        .await
        .unwrap();
    let reply = |id: i64, optional: bool| json!({"chat_id": stage.forum, "text": "answer", "reply_parameters": {"message_id": id, "allow_sending_without_reply": optional}});
    let answer = stage.ok("sendMessage", reply(asked, false)).await;
    assert_eq!(answer["reply_to_message"]["text"], "question");
    assert_eq!(answer["message_thread_id"], stage.thread);
    assert_eq!(
        stage.refused("sendMessage", reply(888, false)).await,
        "400 Bad Request: message to be replied not found"
    );
    stage.ok("sendMessage", reply(888, true)).await;
}

#[tokio::test]
async fn only_own_messages_are_edited_and_deleted_without_the_right_to() {
    let stage = Stage::new().await;
    let theirs = stage
        .people
        .say(stage.forum, Some(stage.thread), stage.ada, "mine")
        .await
        .unwrap();
    let own = stage.send("x").await;
    let at = |id: i64| json!({"chat_id": stage.forum, "message_id": id, "text": "y"});
    assert_eq!(
        stage.refused("editMessageText", at(theirs)).await,
        "400 Bad Request: message can't be edited"
    );
    assert_eq!(
        stage.refused("editMessageText", at(999)).await,
        "400 Bad Request: message to edit not found"
    );
    assert_eq!(
        stage.refused("deleteMessage", at(theirs)).await,
        "400 Bad Request: message can't be deleted"
    );
    stage.ok("deleteMessage", at(own)).await;
    assert_eq!(
        stage.refused("deleteMessage", at(own)).await,
        "400 Bad Request: message to delete not found"
    );
    assert_eq!(
        stage.refused("editMessageText", at(own)).await,
        "400 Bad Request: message to edit not found"
    );
    let seen = stage
        .people
        .conversation(
            stage.forum,
            &Wanted {
                deleted: true,
                bot: true,
                ..Wanted::default()
            },
        )
        .await
        .unwrap();
    assert!(seen.messages[0].deleted_ms.is_some());
    stage
        .make_admin(Rights {
            can_delete_messages: true,
            ..Rights::default()
        })
        .await;
    stage.ok("deleteMessage", at(theirs)).await;
    let kept = stage.send("kept").await;
    stage.people.delete(stage.forum, kept).await.unwrap();
    assert_eq!(
        stage.refused("editMessageText", at(kept)).await,
        "400 Bad Request: message to edit not found"
    );
}

#[tokio::test]
async fn a_button_is_pressed_by_its_label_and_answered_once() {
    let stage = Stage::new().await;
    let place = json!({"chat_id": stage.forum, "message_thread_id": stage.thread, "text": "may I?", "reply_markup": keyboard("yes:1")});
    let id = stage.ok("sendMessage", place).await["message_id"].as_i64().unwrap();
    assert!(stage.people.press(stage.forum, id, stage.ada, "Maybe").await.is_err());
    let pressed = stage.people.press(stage.forum, id, stage.ada, "Allow").await.unwrap();
    let query = &stage.updates().await[0]["callback_query"];
    assert_eq!(
        (&query["data"], &query["from"]["id"], &query["id"]),
        (&json!("yes:1"), &json!(stage.ada), &json!(pressed.id))
    );
    assert_eq!(query["message"]["message_thread_id"], stage.thread);
    stage
        .ok(
            "answerCallbackQuery",
            json!({"callback_query_id": pressed.id, "text": "Allowed"}),
        )
        .await;
    assert_eq!(
        stage
            .people
            .callback(&pressed.id, LONG)
            .await
            .unwrap()
            .answer
            .unwrap()
            .text,
        "Allowed"
    );
    let too_late = "400 Bad Request: query is too old and response timeout expired or query ID is invalid";
    assert_eq!(
        stage
            .refused("answerCallbackQuery", json!({"callback_query_id": pressed.id}))
            .await,
        too_late
    );
    assert_eq!(
        stage
            .refused("answerCallbackQuery", json!({"callback_query_id": "1"}))
            .await,
        too_late
    );

    let pressed = stage.people.press(stage.forum, id, stage.ada, "Deny").await.unwrap();
    let later = longshore_telegram_emulator::control::ClockChange {
        advance_seconds: Some(61.0),
        ..Default::default()
    };
    stage.people.turn_clock(&later).await.unwrap();
    assert_eq!(
        stage
            .refused("answerCallbackQuery", json!({"callback_query_id": pressed.id}))
            .await,
        too_late
    );
}

#[tokio::test]
async fn keyboards_are_checked() {
    let stage = Stage::new().await;
    let send = |button: Value| {
        let markup = json!({"inline_keyboard": [[button]]}).to_string();
        json!({"chat_id": stage.forum, "text": "x", "reply_markup": markup})
    };
    stage
        .ok(
            "sendMessage",
            send(json!({"text": "ok", "callback_data": "x".repeat(64)})),
        )
        .await;
    let long = stage
        .refused(
            "sendMessage",
            send(json!({"text": "no", "callback_data": "x".repeat(65)})),
        )
        .await;
    assert_eq!(long, "400 Bad Request: BUTTON_DATA_INVALID");
    let idle = stage.refused("sendMessage", send(json!({"text": "no"}))).await;
    assert_eq!(
        idle,
        "400 Bad Request: Text buttons are unallowed in the inline keyboard"
    );
}

#[tokio::test]
async fn documents_go_both_ways() {
    let stage = Stage::new().await;
    let upload = Upload {
        user: stage.ada,
        name: "notes.txt".to_owned(),
        thread: Some(stage.thread),
        caption: Some("/deep read".to_owned()),
        ..Upload::default()
    };
    stage.people.upload(stage.forum, &upload, "their notes").await.unwrap();
    let message = stage.updates().await[0]["message"].clone();
    assert_eq!(
        (&message["caption"], &message["document"]["file_size"]),
        (&json!("/deep read"), &json!(11))
    );
    let path = stage
        .ok("getFile", json!({"file_id": message["document"]["file_id"]}))
        .await["file_path"]
        .as_str()
        .unwrap()
        .to_owned();
    let http = reqwest::Client::new();
    let url = format!("{}/file/bot{}/{path}", stage.emulator.url(), stage::TOKEN);
    assert_eq!(http.get(url).send().await.unwrap().text().await.unwrap(), "their notes");
    assert_eq!(
        stage.refused("getFile", json!({"file_id": "nope"})).await,
        "400 Bad Request: invalid file_id"
    );

    let part = reqwest::multipart::Part::bytes(b"log".to_vec()).file_name("build.log");
    let form = reqwest::multipart::Form::new()
        .text("chat_id", stage.forum.to_string())
        .text("message_thread_id", stage.thread.to_string())
        .text("document", "attach://upload")
        .text("caption", "<i>log</i>")
        .text("parse_mode", "HTML")
        .part("upload", part);
    let url = format!("{}/bot{}/SendDocument", stage.emulator.url(), stage::TOKEN);
    let sent: Value = http
        .post(url)
        .multipart(form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(sent["result"]["document"]["file_name"], "build.log");
    let shown = stage
        .people
        .wait_for(stage.forum, Some(stage.thread), 0, "log", LONG)
        .await
        .unwrap();
    assert_eq!(stage.people.download(&shown.file.unwrap()).await.unwrap(), b"log");
    let again =
        json!({"chat_id": stage.ada, "document": sent["result"]["document"]["file_id"], "caption": "x".repeat(1_025)});
    assert_eq!(
        stage.refused("sendDocument", again).await,
        "400 Bad Request: message caption is too long"
    );
}

#[tokio::test]
async fn a_test_can_wait_for_an_edit() {
    let stage = Stage::new().await;
    let id = stage.send("thinking").await;
    let waiting = tokio::spawn({
        let (people, forum, thread) = (stage.people.clone(), stage.forum, stage.thread);
        async move { people.wait_for(forum, Some(thread), 0, "answer", LONG).await }
    });
    stage
        .ok(
            "editMessageText",
            json!({"chat_id": stage.forum, "message_id": id, "text": "the answer"}),
        )
        .await;
    assert_eq!(waiting.await.unwrap().unwrap().message_id, id);
    let never = stage
        .people
        .wait_for(
            stage.forum,
            Some(stage.thread),
            id,
            "answer",
            std::time::Duration::from_millis(20),
        )
        .await;
    assert!(never.unwrap_err().to_string().contains("504"));
}

#[tokio::test]
async fn typing_reactions_pins_and_drafts_are_seen() {
    let stage = Stage::new().await;
    let wanted = Wanted {
        thread: Some(stage.thread),
        ..Wanted::default()
    };
    stage
        .ok(
            "sendChatAction",
            json!({"chat_id": stage.forum, "message_thread_id": stage.thread, "action": "typing"}),
        )
        .await;
    assert_eq!(
        stage
            .people
            .conversation(stage.forum, &wanted)
            .await
            .unwrap()
            .action
            .as_deref(),
        Some("typing")
    );
    let wrong = stage
        .refused("sendChatAction", json!({"chat_id": stage.forum, "action": "dancing"}))
        .await;
    assert_eq!(wrong, "400 Bad Request: wrong parameter action in request");

    let theirs = stage
        .people
        .say(stage.forum, Some(stage.thread), stage.ada, "hi")
        .await
        .unwrap();
    let react = |emoji: &str| json!({"chat_id": stage.forum, "message_id": theirs, "reaction": [{"type": "emoji", "emoji": emoji}]});
    stage.ok("setMessageReaction", react("👀")).await;
    assert_eq!(
        stage.refused("setMessageReaction", react("x")).await,
        "400 Bad Request: REACTION_INVALID"
    );
    let seen = stage.people.conversation(stage.forum, &wanted).await.unwrap();
    assert_eq!(seen.messages.last().unwrap().reactions[&4711], ["👀"]);

    let pin = json!({"chat_id": stage.forum, "message_id": theirs});
    assert!(
        stage
            .refused("pinChatMessage", pin.clone())
            .await
            .contains("not enough rights")
    );
    stage
        .make_admin(Rights {
            can_pin_messages: true,
            ..Rights::default()
        })
        .await;
    stage.ok("pinChatMessage", pin).await;
    assert_eq!(
        stage.ok("getChat", json!({"chat_id": stage.forum})).await["pinned_message"]["message_id"],
        theirs
    );

    let draft = |chat: i64| json!({"chat_id": chat, "draft_id": 5, "text": "gro"});
    assert_eq!(
        stage.refused("sendMessageDraft", draft(stage.forum)).await,
        "400 Bad Request: TEXTDRAFT_PEER_INVALID"
    );
    stage.people.say(stage.ada, None, stage.ada, "hi").await.unwrap();
    stage.ok("sendMessageDraft", draft(stage.ada)).await;
    let private = Wanted::default();
    let drafts = stage.people.conversation(stage.ada, &private).await.unwrap().drafts;
    assert_eq!((drafts[0].id, drafts[0].text.as_str()), (5, "gro"));
    stage
        .ok("sendMessage", json!({"chat_id": stage.ada, "text": "grown"}))
        .await;
    assert!(
        stage
            .people
            .conversation(stage.ada, &private)
            .await
            .unwrap()
            .drafts
            .is_empty()
    );
}

#[tokio::test]
async fn parameters_may_come_as_query_form_or_json() {
    let stage = Stage::new().await;
    let http = reqwest::Client::new();
    let url = format!("{}/bot{}/sendmessage", stage.emulator.url(), stage::TOKEN);
    let (chat, thread) = (stage.forum.to_string(), stage.thread.to_string());
    let pairs = [
        ("chat_id", chat.as_str()),
        ("message_thread_id", &thread),
        ("text", "q & a"),
    ];
    for request in [http.get(&url).query(&pairs), http.post(&url).form(&pairs)] {
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["result"]["text"], "q & a");
    }
    let broken = http.post(&url).body("{").send().await.unwrap();
    assert_eq!(broken.status(), 400);
}
