//! What a message says, wherever its words stand.
//!
//! Words that somebody wrote must not be lost because they came in a shape that this program does not know: what is known is read as
//! such, and of what is not known every text in it is taken.

use serde_json::Value;

use super::update::{Content, has, string};

/// What is no file, and how people call it.
const MEDIA: &[(&str, &str)] = &[
    ("sticker", "stickers"),
    ("story", "stories"),
    ("contact", "contacts"),
    ("dice", "dice"),
    ("game", "games"),
    ("poll", "polls"),
    ("venue", "places"),
    ("location", "locations"),
    ("paid_media", "paid media"),
    ("checklist", "checklists"),
    ("live_photo", "live photos"),
];

/// Fields of a message that hold neither its words nor its content.
const KNOWN: &[&str] = &[
    "message_id",
    "message_thread_id",
    "direct_messages_topic",
    "from",
    "sender_chat",
    "sender_boost_count",
    "sender_business_bot",
    "sender_tag",
    "date",
    "business_connection_id",
    "chat",
    "forward_origin",
    "forward_from",
    "forward_from_chat",
    "forward_sender_name",
    "is_topic_message",
    "is_automatic_forward",
    "reply_to_message",
    "external_reply",
    "quote",
    "reply_to_story",
    "reply_to_checklist_task_id",
    "via_bot",
    "guest_bot_caller_user",
    "guest_bot_caller_chat",
    "edit_date",
    "media_group_id",
    "author_signature",
    "text",
    "entities",
    "link_preview_options",
    "suggested_post_info",
    "effect_id",
    "caption",
    "caption_entities",
    "reply_markup",
];

/// Longest text that is gathered from what is not known, in bytes.
const GATHERED: usize = 32 * 1024;
/// How deep it is looked into.
const DEPTH: usize = 32;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The words, or what is there instead.
    pub content: Content,
    /// What came with the words and cannot be handed on.
    pub left_out: Option<&'static str>,
}

/// Reads the words of a message. `files` says whether there are some that can be handed on, `unread` whether there are some that
/// cannot.
pub fn read(message: &Value, files: bool, unread: bool) -> Said {
    let media = MEDIA.iter().find(|(key, _)| has(message, key));
    let written = ["/text", "/caption"].map(|pointer| string(message, pointer));
    let unknown = !files && media.is_none();
    let gathered = (unknown && written[0].is_none()).then(|| gather(message)).flatten();
    let listed = media.and_then(|(key, _)| list(message, key));
    let left_out = match media {
        Some(_) if listed.is_some() => None,
        Some((_, name)) => Some(*name),
        None if unread => Some("files"),
        None if gathered.is_some() => Some("the form it came in"),
        None if unknown && written[0].is_none() => Some("what the words stand under"),
        None => None,
    };
    let words = written.into_iter().chain([listed, gathered]).flatten();
    let words = words.filter(|words| !words.trim().is_empty()).collect::<Vec<_>>();
    if !words.is_empty() {
        let content = Content::Text(words.join("\n\n"));
        return Said { content, left_out };
    }
    let content = match media {
        _ if files => Content::Text(String::new()),
        Some((_, name)) => Content::Unsupported(name),
        None if has(message, "text") => Content::Text(String::new()),
        None => Content::Unsupported("messages of this kind"),
    };
    Said {
        content,
        left_out: None,
    }
}

/// The words of polls and checklists: they were written to be read.
fn list(message: &Value, key: &str) -> Option<String> {
    let found = message.get(key)?;
    let (title, items) = match key {
        "poll" => ("/question", "/options"),
        "checklist" => ("/title", "/tasks"),
        _ => return None,
    };
    let title = string(found, title)?;
    let items = found.pointer(items).and_then(Value::as_array).into_iter().flatten();
    let lines = items.filter_map(|item| {
        let done = ["completion_date", "completed_by_user", "completed_by_chat"]
            .iter()
            .any(|key| has(item, key) && item[*key] != 0);
        let mark = match key {
            "poll" => "-",
            _ if done => "- [x]",
            _ => "- [ ]",
        };
        Some(format!("{mark} {}", string(item, "/text")?))
    });
    Some([title].into_iter().chain(lines).collect::<Vec<_>>().join("\n"))
}

/// Every text in the fields that are not known.
fn gather(message: &Value) -> Option<String> {
    let mut found = Vec::new();
    let fields = message.as_object()?.iter();
    for (_, value) in fields.filter(|(key, _)| !KNOWN.contains(&key.as_str())) {
        texts(value, DEPTH, &mut found);
    }
    let mut text = found.join("\n");
    text.truncate(text.floor_char_boundary(GATHERED));
    (!text.trim().is_empty()).then_some(text)
}

fn texts(value: &Value, depth: usize, found: &mut Vec<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if matches!(key.as_str(), "text" | "caption") => found.push(text.clone()),
                    Value::Object(_) | Value::Array(_) if key != "reply_markup" => texts(value, depth, found),
                    _ => {}
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, depth, found)),
        _ => {}
    }
}
