//! Reading an update.
//!
//! Works on the raw JSON with pointers, for two reasons: an unknown entity, button or field must never cost a message its
//! text, and an update that nobody has heard of must be skipped, not stop the line. So reading is total: it cannot fail.

use longshore_wire::file_name;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reference::Reference;
use super::{content, forward, person, reference};
use crate::chat::Place;

/// What an update means to the bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Somebody wrote something.
    Message(Incoming),
    /// Somebody changed what they had written.
    Edited {
        /// As it is now.
        message: Incoming,
        /// When, in Unix seconds: the same message may be edited again.
        at: i64,
    },
    /// A group became a supergroup, which has another id.
    Migrated {
        /// The group, which is no more.
        from: i64,
        /// The supergroup.
        to: i64,
    },
    /// Somebody pressed a button.
    Press(Press),
    /// The bot was let in, thrown out, blocked or unblocked.
    Membership {
        /// Where.
        chat: i64,
        /// Whether it can post there now.
        reachable: bool,
    },
    /// A forum topic was made, renamed, closed or opened again.
    Topic {
        /// Which.
        place: Place,
        /// Its new name.
        name: Option<String>,
        /// Whether one can write there; none says nothing about it.
        open: Option<bool>,
    },
    /// Nothing the bot acts on.
    Other,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Where.
    pub place: Place,
    /// Its id in the chat.
    pub message: i64,
    /// Who wrote it.
    pub user: i64,
    /// Name of the writer for people.
    pub user_name: String,
    /// Name of the writer without `@` that no two have.
    pub username: Option<String>,
    /// When it was written, in Unix seconds.
    pub date: Option<i64>,
    /// Title of the chat, or the name of the other person.
    pub chat_title: Option<String>,
    /// Name of the forum topic, when the message tells it.
    pub topic_name: Option<String>,
    /// What was written, or what stands under the files.
    pub content: Content,
    /// What else it says if it was put together from several messages, behind the words of the first of them.
    pub rest: Option<String>,
    /// Files that came with it.
    pub files: Vec<FileRef>,
    /// The album that it is a part of.
    pub album: Option<String>,
    /// From whom it was forwarded, in words.
    pub forwarded: Option<String>,
    /// What came with the words and cannot be handed on.
    pub left_out: Option<&'static str>,
    /// What it refers to.
    pub refers: Option<Reference>,
}

/// A file on Telegram's servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// What `getFile` is asked for.
    pub id: String,
    /// Name for people, without a path; one is made up for kinds that have none.
    pub name: String,
    /// Size in bytes, where Telegram tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// It is a voice message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
    /// What is said in it stands in the text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub heard: bool,
}

/// What a message holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text; empty when there are only files.
    Text(String),
    /// Something that the bot cannot hand on; how people call it.
    Unsupported(&'static str),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A pressed button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Press {
    /// Id to answer.
    pub query: String,
    /// Who pressed.
    pub user: i64,
    /// Name of that person.
    pub user_name: String,
    /// What the button carries.
    pub data: String,
    /// Chat of the message under which the button is.
    pub chat: i64,
    /// That message.
    pub message: i64,
}

/// Longest name of a file, in bytes.
const FILE_NAME: usize = 100;

/// Files, with the name of one that has none. An animation has its file as a document as well.
const FILES: &[(&str, &str)] = &[
    ("document", "file"),
    ("photo", "photo.jpg"),
    ("voice", "voice.ogg"),
    ("audio", "audio.mp3"),
    ("video", "video.mp4"),
    ("video_note", "video.mp4"),
];

/// Messages that Telegram writes about the chat itself. Nobody expects an answer.
const SERVICE: &[&str] = &[
    "new_chat_members",
    "left_chat_member",
    "new_chat_title",
    "new_chat_photo",
    "delete_chat_photo",
    "group_chat_created",
    "supergroup_chat_created",
    "channel_chat_created",
    "message_auto_delete_timer_changed",
    "pinned_message",
    "invoice",
    "successful_payment",
    "refunded_payment",
    "users_shared",
    "chat_shared",
    "connected_website",
    "write_access_allowed",
    "passport_data",
    "proximity_alert_triggered",
    "boost_added",
    "chat_background_set",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "giveaway_created",
    "giveaway",
    "giveaway_winners",
    "giveaway_completed",
    "video_chat_scheduled",
    "video_chat_started",
    "video_chat_ended",
    "video_chat_participants_invited",
    "web_app_data",
    "gift",
    "unique_gift",
    "paid_message_price_changed",
    "direct_message_price_changed",
    "checklist_tasks_done",
    "checklist_tasks_added",
    "suggested_post_approved",
    "suggested_post_approval_failed",
    "suggested_post_declined",
    "suggested_post_paid",
    "suggested_post_refunded",
    "gift_upgrade_sent",
    "chat_owner_left",
    "chat_owner_changed",
    "managed_bot_created",
    "poll_option_added",
    "poll_option_deleted",
];

/// `update_id` of a raw update; none when it has none, which Telegram never does.
pub fn update_id(raw: &Value) -> Option<i64> {
    raw.get("update_id").and_then(Value::as_i64)
}

/// Reads a raw update.
pub fn read(raw: &Value) -> Update {
    if let Some(message) = raw.get("message") {
        return read_message(message).unwrap_or(Update::Other);
    }
    if let Some(message) = raw.get("edited_message") {
        return read_edit(message).unwrap_or(Update::Other);
    }
    if let Some(query) = raw.get("callback_query") {
        return read_press(query).map_or(Update::Other, Update::Press);
    }
    if let Some(change) = raw.get("my_chat_member") {
        return read_membership(change).unwrap_or(Update::Other);
    }
    Update::Other
}

pub(super) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

pub(super) fn string(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

/// Whether a field is there and holds something.
pub(super) fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(|field| !field.is_null())
}

/// A thread id alone proves nothing: in plain groups it marks a chain of replies. Only `is_topic_message` makes it a topic.
fn place(message: &Value) -> Option<Place> {
    let chat = number(message, "/chat/id")?;
    let in_topic = message
        .get("is_topic_message")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let thread = number(message, "/message_thread_id").filter(|id| in_topic && *id > 1);
    Some(Place { chat, thread })
}

fn read_message(message: &Value) -> Option<Update> {
    let place = place(message)?;
    if let Some(update) = read_topic(message, place) {
        return Some(update);
    }
    if let Some(to) = number(message, "/migrate_to_chat_id") {
        return Some(Update::Migrated { from: place.chat, to });
    }
    if let Some(from) = number(message, "/migrate_from_chat_id") {
        return Some(Update::Migrated { from, to: place.chat });
    }
    let worded = string(message, "/text")
        .or_else(|| string(message, "/caption"))
        .is_some();
    if !worded && SERVICE.iter().any(|key| has(message, key)) {
        return Some(Update::Other);
    }
    Some(Update::Message(read_incoming(message, place)?))
}

fn read_edit(message: &Value) -> Option<Update> {
    let place = place(message)?;
    Some(Update::Edited {
        at: number(message, "/edit_date")?,
        message: read_incoming(message, place)?,
    })
}

fn read_incoming(message: &Value, place: Place) -> Option<Incoming> {
    let files: Vec<FileRef> = FILES
        .iter()
        .find_map(|kind| read_file(message, kind))
        .into_iter()
        .collect();
    let unread = files.is_empty() && FILES.iter().any(|(key, _)| has(message, key));
    let said = content::read(message, !files.is_empty(), unread);
    let writer = person::writer(message)?;
    Some(Incoming {
        place,
        message: number(message, "/message_id")?,
        user: writer.id,
        user_name: writer.name,
        username: writer.username,
        date: number(message, "/date").filter(|date| (1..1 << 40).contains(date)),
        chat_title: string(message, "/chat/title").or_else(|| message.get("chat").map(person::name)),
        topic_name: string(message, "/reply_to_message/forum_topic_created/name"),
        content: said.content,
        rest: None,
        files,
        album: string(message, "/media_group_id"),
        forwarded: forward::origin(message),
        left_out: said.left_out,
        refers: reference::read(message),
    })
}

/// Of a picture Telegram has several sizes, of which the last is the largest.
fn read_file(message: &Value, (key, name): &(&str, &str)) -> Option<FileRef> {
    let found = message.get(key)?;
    let file = found.as_array().map_or(Some(found), |sizes| sizes.last())?;
    let given = string(file, "/file_name");
    Some(FileRef {
        id: string(file, "/file_id")?,
        name: file_name::sanitised(given.as_deref().unwrap_or(name), FILE_NAME),
        size: file.get("file_size").and_then(Value::as_u64),
        voice: *key == "voice",
        heard: false,
    })
}

fn read_topic(message: &Value, place: Place) -> Option<Update> {
    let has = |key: &str| has(message, key);
    let named = message
        .get("forum_topic_created")
        .or_else(|| message.get("forum_topic_edited"));
    let open = if has("forum_topic_closed") || has("general_forum_topic_closed") {
        Some(false)
    } else if has("forum_topic_reopened") || has("forum_topic_created") || has("general_forum_topic_reopened") {
        Some(true)
    } else if has("forum_topic_edited") {
        None
    } else {
        return None;
    };
    Some(Update::Topic {
        place,
        name: named.and_then(|topic| string(topic, "/name")),
        open,
    })
}

fn read_press(query: &Value) -> Option<Press> {
    Some(Press {
        query: string(query, "/id")?,
        user: number(query, "/from/id")?,
        user_name: person::name(query.get("from")?),
        data: string(query, "/data")?,
        chat: number(query, "/message/chat/id")?,
        message: number(query, "/message/message_id")?,
    })
}

fn read_membership(change: &Value) -> Option<Update> {
    let chat = number(change, "/chat/id")?;
    let member = change.get("new_chat_member")?;
    let reachable = match string(member, "/status")?.as_str() {
        "left" | "kicked" => false,
        "restricted" => member
            .get("can_send_messages")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        _ => true,
    };
    Some(Update::Membership { chat, reachable })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(extra: Value) -> Value {
        let mut message = json!({
            "message_id": 7, "date": 1, "chat": {"id": -100, "type": "supergroup", "title": "Team", "is_forum": true},
            "from": {"id": 5, "is_bot": false, "first_name": "Ada", "last_name": "L"},
        });
        for (key, value) in extra.as_object().unwrap() {
            message[key] = value.clone();
        }
        json!({"update_id": 1, "message": message})
    }

    fn incoming(raw: &Value) -> Incoming {
        match read(raw) {
            Update::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_with_an_entity_from_the_future_keeps_its_text() {
        let read = incoming(&message(json!({
            "text": "at noon", "entities": [{"type": "date_time", "offset": 3, "length": 4, "unix_time": 1}],
            "external_reply": {"origin": {"type": "unheard_of"}},
        })));
        assert_eq!(read.content, Content::Text("at noon".into()));
        assert_eq!((read.user, read.user_name.as_str()), (5, "Ada L"));
    }

    #[test]
    fn a_thread_counts_only_when_the_message_is_in_a_topic() {
        let place = |extra| incoming(&message(extra)).place;
        let topic = json!({"text": "a", "message_thread_id": 42, "is_topic_message": true});
        assert_eq!(
            place(topic),
            Place {
                chat: -100,
                thread: Some(42)
            }
        );
        assert_eq!(
            place(json!({"text": "a", "message_thread_id": 42})),
            Place {
                chat: -100,
                thread: None
            }
        );
        let general = json!({"text": "a", "message_thread_id": 1, "is_topic_message": true});
        assert_eq!(
            place(general),
            Place {
                chat: -100,
                thread: None
            }
        );
    }

    #[test]
    fn a_private_chat_with_topics_has_a_place_for_each() {
        let mut private = message(json!({"text": "a", "message_thread_id": 42, "is_topic_message": true}));
        let chat = private.pointer_mut("/message/chat").unwrap();
        *chat = json!({"id": 100, "type": "private", "first_name": "Ada"});
        let place = incoming(&private).place;
        assert_eq!((place.chat, place.thread), (100, Some(42)));
    }

    #[test]
    fn the_name_of_a_topic_is_learnt_from_the_message_that_made_it() {
        let created = message(json!({
            "message_thread_id": 42, "is_topic_message": true,
            "forum_topic_created": {"name": "Payments", "icon_color": 1},
        }));
        let place = Place {
            chat: -100,
            thread: Some(42),
        };
        assert_eq!(
            read(&created),
            Update::Topic {
                place,
                name: Some("Payments".into()),
                open: Some(true)
            }
        );
        let reply = message(json!({
            "text": "hello", "message_thread_id": 42, "is_topic_message": true,
            "reply_to_message": {"message_id": 42, "forum_topic_created": {"name": "Payments"}},
        }));
        assert_eq!(incoming(&reply).topic_name.as_deref(), Some("Payments"));
    }

    #[test]
    fn what_cannot_be_handed_on_has_a_name_and_service_messages_are_silent() {
        let content = |extra| incoming(&message(extra)).content;
        assert_eq!(content(json!({"sticker": {}})), Content::Unsupported("stickers"));
        assert_eq!(
            content(json!({"photo": [], "caption": "look"})),
            Content::Text("look".into()),
            "the words are handed on whatever becomes of the picture"
        );
        assert_eq!(
            content(json!({"hologram": {}})),
            Content::Unsupported("messages of this kind")
        );
        assert_eq!(read(&message(json!({"new_chat_members": []}))), Update::Other);
        assert_eq!(read(&json!({"update_id": 3, "unheard_of": {}})), Update::Other);
        assert_eq!(read(&json!("no object")), Update::Other);
    }

    #[test]
    fn files_have_a_name_and_the_words_under_them() {
        let check = |extra, text: &str, id: &str, name: &str| {
            let read = incoming(&message(extra));
            assert_eq!(read.content, Content::Text(text.to_owned()));
            assert_eq!(read.files.len(), 1);
            assert_eq!((read.files[0].id.as_str(), read.files[0].name.as_str()), (id, name));
        };
        let sizes = json!([{"file_id": "s"}, {"file_id": "l"}]);
        check(json!({"photo": sizes, "caption": "look"}), "look", "l", "photo.jpg");
        let document = json!({"file_id": "d", "file_name": "log.txt"});
        check(
            json!({"document": document, "animation": {"file_id": "a"}}),
            "",
            "d",
            "log.txt",
        );
        check(json!({"voice": {"file_id": "v"}}), "", "v", "voice.ogg");
        let evil = json!({"file_id": "d", "file_name": "../\u{202e}fdp.exe"});
        check(json!({ "document": evil }), "", "d", "__fdp.exe");
        assert!(incoming(&message(json!({"text": "a"}))).files.is_empty());
    }

    #[test]
    fn pieces_say_where_they_belong_and_files_how_large_they_are() {
        let read = incoming(&message(json!({
            "voice": {"file_id": "v", "file_size": 7}, "media_group_id": "13",
            "forward_origin": {"type": "hidden_user", "sender_user_name": "Grace"},
        })));
        assert_eq!(
            (read.album.as_deref(), read.forwarded.as_deref()),
            (Some("13"), Some("Grace"))
        );
        assert_eq!((read.files[0].size, read.files[0].voice), (Some(7), true));
        let old = incoming(&message(json!({"text": "a"})));
        assert_eq!((old.album, old.forwarded), (None, None));
    }

    #[test]
    fn being_thrown_out_and_let_in_again_is_noticed() {
        let change = |status| json!({"update_id": 1, "my_chat_member": {"chat": {"id": -5}, "new_chat_member": {"status": status}}});
        assert_eq!(
            read(&change("kicked")),
            Update::Membership {
                chat: -5,
                reachable: false
            }
        );
        assert_eq!(
            read(&change("member")),
            Update::Membership {
                chat: -5,
                reachable: true
            }
        );
    }
}
