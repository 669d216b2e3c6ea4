//! Photos, voice, albums, forwards and quotes, as the bot gets them; files of all kinds, as people get them.

#![allow(clippy::unwrap_used, reason = "this is test code outside test functions")]

mod stage;

use longshore_telegram_emulator::{
    control::{Elsewhere, Forward, Post, Upload},
    faults::{Fault, Kind},
    limits::Limits,
    world::{FileKind, Origin},
};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use stage::{LONG, Stage, TOKEN};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand so on";

impl Stage {
    fn file(&self, kind: FileKind, name: &str) -> Upload {
        Upload {
            user: self.ada,
            name: name.to_owned(),
            kind,
            thread: Some(self.thread),
            ..Upload::default()
        }
    }

    async fn sent(&self, kind: FileKind, name: &str) -> Value {
        let upload = self.file(kind, name);
        self.people.upload(self.forum, &upload, "content").await.unwrap();
        self.updates().await.pop().unwrap()["message"].take()
    }

    async fn fetched(&self, file_id: &Value) -> Vec<u8> {
        let found = self.ok("getFile", json!({"file_id": file_id})).await;
        let path = found["file_path"].as_str().unwrap();
        let url = format!("{}/file/bot{TOKEN}/{path}", self.emulator.url());
        reqwest::get(url).await.unwrap().bytes().await.unwrap().to_vec()
    }

    async fn send_form(&self, method: &str, form: Form) -> Value {
        let url = format!("{}/bot{TOKEN}/{method}", self.emulator.url());
        let form = form
            .text("chat_id", self.forum.to_string())
            .text("message_thread_id", self.thread.to_string());
        let sent = reqwest::Client::new().post(url).multipart(form).send().await.unwrap();
        sent.json().await.unwrap()
    }
}

fn part(content: impl Into<Vec<u8>>, name: &str) -> Part {
    Part::bytes(content.into()).file_name(name.to_owned())
}

#[tokio::test]
async fn a_photo_comes_in_sizes_of_which_the_last_is_the_whole() {
    let stage = Stage::new().await;
    let message = stage.sent(FileKind::Photo, "crane.png").await;
    let sizes = message["photo"].as_array().unwrap();
    assert_eq!(sizes.len(), 3);
    assert!(sizes[0]["width"].as_i64() < sizes[2]["width"].as_i64());
    assert_eq!(stage.fetched(&sizes[2]["file_id"]).await, b"content");
    assert_ne!(stage.fetched(&sizes[0]["file_id"]).await, b"content");
    assert!(message.get("document").is_none());
}

#[tokio::test]
async fn each_kind_of_file_has_its_own_fields() {
    let stage = Stage::new().await;
    let voice = stage.sent(FileKind::Voice, "note.ogg").await;
    assert!(voice["voice"]["duration"].is_number() && voice["voice"].get("file_name").is_none());
    assert_eq!(voice["voice"]["mime_type"], "audio/ogg");
    let audio = stage.sent(FileKind::Audio, "song.mp3").await;
    assert_eq!(audio["audio"]["file_name"], "song.mp3");
    let video = stage.sent(FileKind::Video, "clip.mp4").await;
    assert!(video["video"]["width"].is_number());
    assert_eq!(stage.fetched(&video["video"]["file_id"]).await, b"content");
    let animation = stage.sent(FileKind::Animation, "loop.mp4").await;
    assert_eq!(animation["animation"]["file_id"], animation["document"]["file_id"]);
    assert!(stage.sent(FileKind::VideoNote, "round.mp4").await["video_note"]["length"].is_number());
}

#[tokio::test]
async fn an_album_is_one_update_for_each_file_with_the_caption_on_one() {
    let stage = Stage::new().await;
    let mut first = stage.file(FileKind::Photo, "1.png");
    first.caption = Some("both cranes".to_owned());
    let files = vec![
        (first, PNG.to_vec()),
        (stage.file(FileKind::Photo, "2.png"), PNG.to_vec()),
    ];
    stage.people.album(stage.forum, "77", files).await.unwrap();
    let updates = stage.updates().await;
    let messages: Vec<_> = updates.iter().map(|update| &update["message"]).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|message| message["media_group_id"] == "77"));
    assert_eq!(messages[0]["caption"], "both cranes");
    assert!(messages[1].get("caption").is_none());
    let seen = stage.people.messages(stage.forum, Some(stage.thread)).await.unwrap();
    assert_eq!(seen.last().unwrap().album.as_deref(), Some("77"));
}

#[tokio::test]
async fn forwards_say_where_they_come_from() {
    let stage = Stage::new().await;
    let bob = stage.people.user("Bob").await.unwrap().id;
    let original = stage.people.say(stage.forum, None, bob, "look at this").await.unwrap();
    let forward = |origin: Option<Origin>| Forward {
        user: stage.ada,
        chat: stage.forum,
        thread: Some(stage.thread),
        origin,
    };
    let channel = Origin::Channel {
        id: -1_009,
        title: "News".to_owned(),
        message_id: 7,
    };
    let hidden = Origin::HiddenUser {
        name: "Somebody".to_owned(),
    };
    let group = Origin::Chat {
        id: -1_008,
        title: "Pilots".to_owned(),
    };
    for origin in [None, Some(channel), Some(hidden), Some(group)] {
        stage
            .people
            .forward(stage.forum, original, &forward(origin))
            .await
            .unwrap();
    }
    let updates = stage.updates().await;
    let forwards: Vec<_> = updates[1..].iter().map(|update| &update["message"]).collect();
    assert!(forwards.iter().all(|message| message["text"] == "look at this"));
    assert!(forwards.iter().all(|message| message["from"]["id"] == stage.ada));
    let origins: Vec<_> = forwards.iter().map(|message| &message["forward_origin"]).collect();
    assert_eq!(
        (&origins[0]["type"], &origins[0]["sender_user"]["id"]),
        (&json!("user"), &json!(bob))
    );
    assert_eq!(
        (&origins[1]["type"], &origins[1]["chat"]["title"]),
        (&json!("channel"), &json!("News"))
    );
    assert_eq!(origins[2]["sender_user_name"], "Somebody");
    assert_eq!(origins[3]["sender_chat"]["title"], "Pilots");
    let seen = stage.people.messages(stage.forum, Some(stage.thread)).await.unwrap();
    let names: Vec<_> = seen
        .iter()
        .filter_map(|shown| shown.forwarded_from.as_deref())
        .collect();
    assert_eq!(names, ["Bob", "News", "Somebody", "Pilots"]);
}

#[tokio::test]
async fn a_forwarded_file_is_the_same_file() {
    let stage = Stage::new().await;
    let upload = stage.file(FileKind::Document, "plan.txt");
    let original = stage.people.upload(stage.forum, &upload, "the plan").await.unwrap();
    let forward = Forward {
        user: stage.ada,
        chat: stage.ada,
        ..Forward::default()
    };
    stage
        .people
        .forward(stage.forum, original.message_id, &forward)
        .await
        .unwrap();
    let message = stage.updates().await.pop().unwrap()["message"].take();
    assert_eq!(message["chat"]["type"], "private");
    assert_eq!(stage.fetched(&message["document"]["file_id"]).await, b"the plan");
}

#[tokio::test]
async fn replies_quote_what_stands_there_also_from_another_chat() {
    let stage = Stage::new().await;
    let answer = stage.send("😀 one two three").await;
    stage
        .people
        .reply(stage.forum, answer, stage.ada, "why two?", Some("two"))
        .await
        .unwrap();
    let message = stage.updates().await[0]["message"].clone();
    assert_eq!(
        message["quote"],
        json!({"text": "two", "position": 7, "is_manual": true})
    );
    assert_eq!(message["reply_to_message"]["message_id"], answer);
    let wrong = stage
        .people
        .reply(stage.forum, answer, stage.ada, "?", Some("four"))
        .await;
    assert!(wrong.unwrap_err().to_string().contains("no such text"));

    let elsewhere = Post {
        user: stage.ada,
        text: "and this?".to_owned(),
        reply_to_other: Some(Elsewhere {
            chat: stage.forum,
            message: answer,
        }),
        quote: Some("three".to_owned()),
        ..Post::default()
    };
    stage.people.post(stage.ada, &elsewhere).await.unwrap();
    let message = stage.updates().await[1]["message"].clone();
    assert_eq!(message["external_reply"]["chat"]["id"], stage.forum);
    assert_eq!(message["external_reply"]["origin"]["sender_user"]["is_bot"], true);
    assert_eq!(message["quote"]["text"], "three");
    assert!(message.get("reply_to_message").is_none());
}

#[tokio::test]
async fn a_bot_quotes_only_what_stands_there() {
    let stage = Stage::new().await;
    let asked = stage
        .people
        .say(stage.forum, Some(stage.thread), stage.ada, "one two")
        .await
        .unwrap();
    let reply = |quote: &str| json!({"chat_id": stage.forum, "text": "x", "reply_parameters": {"message_id": asked, "quote": quote}});
    assert_eq!(stage.ok("sendMessage", reply("two")).await["quote"]["position"], 4);
    assert_eq!(
        stage.refused("sendMessage", reply("three")).await,
        "400 Bad Request: QUOTE_TEXT_INVALID"
    );
}

#[tokio::test]
async fn edits_by_people_reach_a_bot_that_wants_them() {
    let stage = Stage::new().await;
    let id = stage
        .people
        .say(stage.forum, Some(stage.thread), stage.ada, "one crane")
        .await
        .unwrap();
    let upload = Upload {
        caption: Some("old".to_owned()),
        ..stage.file(FileKind::Photo, "1.png")
    };
    let photo = stage.people.upload(stage.forum, &upload, PNG).await.unwrap().message_id;
    stage
        .people
        .edit(stage.forum, id, stage.ada, "the crane")
        .await
        .unwrap();
    stage.people.edit(stage.forum, photo, stage.ada, "new").await.unwrap();
    let updates = stage.updates().await;
    assert_eq!(updates[2]["edited_message"]["text"], "the crane");
    assert!(updates[2]["edited_message"]["edit_date"].is_number());
    assert_eq!(updates[3]["edited_message"]["caption"], "new");
    stage
        .ok(
            "getUpdates",
            json!({"offset": 1_000_000, "allowed_updates": ["message"]}),
        )
        .await;
    let unwanted = stage.people.edit(stage.forum, id, stage.ada, "a crane").await.unwrap();
    assert_eq!(unwanted.update_id, None);
}

#[tokio::test]
async fn pictures_are_checked_and_captions_edited() {
    let stage = Stage::new().await;
    stage.people.set_limits(&Limits::none()).await.unwrap();
    let sent = stage
        .send_form(
            "sendPhoto",
            Form::new().part("photo", part(PNG, "a.png")).text("caption", "a"),
        )
        .await;
    let id = sent["result"]["message_id"].clone();
    assert_eq!(sent["result"]["photo"].as_array().map(Vec::len), Some(3));
    let edit = json!({"chat_id": stage.forum, "message_id": id, "caption": "b"});
    assert_eq!(stage.ok("editMessageCaption", edit.clone()).await["caption"], "b");
    assert!(
        stage
            .refused("editMessageCaption", edit)
            .await
            .contains("message is not modified")
    );
    let text = json!({"chat_id": stage.forum, "message_id": id, "text": "b"});
    assert_eq!(
        stage.refused("editMessageText", text).await,
        "400 Bad Request: there is no text in the message to edit"
    );
    let no_picture = stage
        .send_form("sendPhoto", Form::new().part("photo", part(*b"text", "a.png")))
        .await;
    assert_eq!(no_picture["description"], "Bad Request: IMAGE_PROCESS_FAILED");
    let huge = stage
        .send_form(
            "sendPhoto",
            Form::new().part("photo", part(vec![0; (10 << 20) + 1], "a.png")),
        )
        .await;
    assert_eq!(
        huge["description"],
        "Bad Request: file of size 10485761 bytes is too big for a photo; the maximum size is 10485760 bytes"
    );
}

#[tokio::test]
async fn a_bot_sends_albums() {
    let stage = Stage::new().await;
    let media = json!([
        {"type": "document", "media": "attach://a", "caption": "both"},
        {"type": "document", "media": "attach://b"},
    ]);
    let form = Form::new()
        .text("media", media.to_string())
        .part("a", part(*b"1", "a.txt"))
        .part("b", part(*b"2", "b.txt"));
    let sent = stage.send_form("sendMediaGroup", form).await;
    let sent = sent["result"].as_array().unwrap();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0]["media_group_id"], sent[1]["media_group_id"]);
    let file = sent[0]["document"]["file_id"].clone();
    let alone = json!({"chat_id": stage.forum, "media": [{"type": "document", "media": file}]});
    assert_eq!(
        stage.refused("sendMediaGroup", alone).await,
        "400 Bad Request: group send failed: Wrong number of messages in the album"
    );
    let mixed = json!({"chat_id": stage.forum, "media": [
        {"type": "document", "media": file}, {"type": "audio", "media": file},
    ]});
    assert_eq!(
        stage.refused("sendMediaGroup", mixed).await,
        "400 Bad Request: Can't use the media of the specified type in the album"
    );
}

#[tokio::test]
async fn files_that_are_too_large_are_refused_on_both_ways() {
    let stage = Stage::new().await;
    let huge = Form::new().part("document", part(vec![0; (50 << 20) + 1], "huge.bin"));
    let refused = stage.send_form("sendDocument", huge).await;
    assert_eq!(
        (&refused["error_code"], &refused["description"]),
        (&json!(413), &json!("Request Entity Too Large"))
    );
    let upload = stage.file(FileKind::Document, "large.bin");
    stage
        .people
        .upload(stage.forum, &upload, vec![0; (20 << 20) + 1])
        .await
        .unwrap();
    let message = stage.updates().await[0]["message"].clone();
    let get = json!({"file_id": message["document"]["file_id"]});
    assert_eq!(stage.refused("getFile", get).await, "400 Bad Request: file is too big");
}

#[tokio::test]
async fn a_download_can_fail() {
    let stage = Stage::new().await;
    let message = stage.sent(FileKind::Document, "a.txt").await;
    let status = Kind::Status {
        code: 404,
        description: "Not Found".to_owned(),
    };
    let fault = stage.people.fault(&Fault::on("file", status)).await.unwrap();
    let found = stage
        .ok("getFile", json!({"file_id": message["document"]["file_id"]}))
        .await;
    let url = format!(
        "{}/file/bot{TOKEN}/{}",
        stage.emulator.url(),
        found["file_path"].as_str().unwrap()
    );
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 404);
    stage.people.fault_hit(fault, LONG).await.unwrap();
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 200);
}
