//! What a message refers to: the one it replies to, the part of it that was chosen, a story. What is forwarded is quoted where messages are put
//! together.
//!
//! Total like all reading of updates: what is not understood is left out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::person;
use super::update::{has, number, string};

/// What a message refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// To what.
    pub to: Referred,
    /// What it is besides text, as people call it: `a photo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Its text or caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// The part of it that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

/// Where what is referred to comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Referred {
    /// A message of the same chat.
    Message {
        /// Its id.
        message: i64,
        /// Who wrote it.
        user: Option<i64>,
        /// Name of the writer.
        name: String,
    },
    /// A message elsewhere, by this person or chat.
    Elsewhere(String),
    /// A story of this person or chat.
    Story(String),
}

/// Kinds of content, as people call one of them.
const KINDS: &[(&str, &str)] = &[
    ("photo", "a photo"),
    ("animation", "an animation"),
    ("document", "a file"),
    ("voice", "a voice message"),
    ("audio", "an audio file"),
    ("video", "a video"),
    ("video_note", "a video message"),
    ("sticker", "a sticker"),
    ("story", "a story"),
    ("poll", "a poll"),
    ("checklist", "a checklist"),
    ("location", "a location"),
    ("venue", "a place"),
    ("contact", "a contact"),
    ("paid_media", "paid media"),
    ("dice", "a die"),
    ("giveaway", "a giveaway"),
];

/// What a message refers to; none when it stands for itself.
pub fn read(message: &Value) -> Option<Reference> {
    let quote = string(message, "/quote/text").filter(|text| !text.trim().is_empty());
    if let Some(replied) = message.get("reply_to_message").filter(|replied| replied.is_object()) {
        return (!is_root(message, replied)).then(|| to_message(replied, quote.clone()))?;
    }
    if let Some(external) = message.get("external_reply").filter(|reply| reply.is_object()) {
        let to = Referred::Elsewhere(origin(external.get("origin")).unwrap_or_else(|| chat(external)));
        return Some(Reference {
            to,
            what: what(external),
            words: None,
            quote,
        });
    }
    let simple = |to| Reference {
        to,
        what: None,
        words: None,
        quote: quote.clone(),
    };
    if let Some(story) = message.get("reply_to_story").filter(|story| story.is_object()) {
        return Some(simple(Referred::Story(chat(story))));
    }
    None
}

/// In a topic some clients let every message reply to the one that made the topic. That says nothing.
fn is_root(message: &Value, replied: &Value) -> bool {
    let thread = number(message, "/message_thread_id");
    let in_topic = message.get("is_topic_message").and_then(Value::as_bool) == Some(true);
    has(replied, "forum_topic_created") || (in_topic && thread.is_some() && thread == number(replied, "/message_id"))
}

fn to_message(replied: &Value, quote: Option<String>) -> Option<Reference> {
    let writer = person::writer(replied);
    let words = string(replied, "/text").or_else(|| string(replied, "/caption"));
    let to = Referred::Message {
        message: number(replied, "/message_id")?,
        user: writer.as_ref().map(|writer| writer.id),
        name: writer.map_or_else(|| "somebody".to_owned(), |writer| writer.name),
    };
    Some(Reference {
        to,
        what: what(replied),
        words: words.filter(|words| !words.trim().is_empty()),
        quote,
    })
}

fn what(message: &Value) -> Option<String> {
    let (key, kind) = KINDS.iter().find(|(key, _)| has(message, key))?;
    let name = string(message, &format!("/{key}/file_name")).map(|name| longshore_wire::author::clean(&name));
    Some(match name.filter(|name| !name.is_empty()) {
        Some(name) => format!("{kind} named {name}"),
        None => (*kind).to_owned(),
    })
}

/// Name of who wrote a message elsewhere.
fn origin(origin: Option<&Value>) -> Option<String> {
    let origin = origin.filter(|origin| origin.is_object())?;
    if let Some(hidden) = string(origin, "/sender_user_name") {
        let name = longshore_wire::author::clean(&hidden);
        return Some(if name.is_empty() { "somebody".to_owned() } else { name });
    }
    let whose = ["sender_user", "sender_chat", "chat"]
        .iter()
        .find_map(|key| origin.get(key));
    Some(whose.map_or_else(|| "somebody".to_owned(), person::name))
}

fn chat(holder: &Value) -> String {
    holder.get("chat").map_or_else(|| "somebody".to_owned(), person::name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn to(message: i64, user: i64, name: &str) -> Referred {
        let (user, name) = (Some(user), name.to_owned());
        Referred::Message { message, user, name }
    }

    fn refers(to: Referred, what: Option<&str>, words: Option<&str>, quote: Option<&str>) -> Option<Reference> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Reference {
            to,
            what: owned(what),
            words: owned(words),
            quote: owned(quote),
        })
    }

    #[test]
    fn a_reply_carries_whose_words_it_answers_and_the_chosen_part() {
        let bob = json!({"id": 6, "first_name": "Bob"});
        let plain = json!({"text": "why?", "reply_to_message": {"message_id": 3, "from": bob, "text": "it is red"}});
        assert_eq!(read(&plain), refers(to(3, 6, "Bob"), None, Some("it is red"), None));
        let mut quoting = plain;
        quoting["quote"] = json!({"text": "red", "position": 6, "is_manual": true});
        assert_eq!(
            read(&quoting),
            refers(to(3, 6, "Bob"), None, Some("it is red"), Some("red"))
        );
        let photo = json!({"text": "?", "reply_to_message": {"message_id": 3, "from": bob, "photo": [], "caption": "the pier"}});
        assert_eq!(
            read(&photo),
            refers(to(3, 6, "Bob"), Some("a photo"), Some("the pier"), None)
        );
        let file = json!({"text": "?", "reply_to_message": {"message_id": 3, "from": bob, "document": {"file_name": "a\nlog.txt"}}});
        assert_eq!(
            read(&file),
            refers(to(3, 6, "Bob"), Some("a file named a log.txt"), None, None)
        );
    }

    #[test]
    fn the_root_of_a_topic_is_no_reply() {
        let root = json!({"text": "a", "is_topic_message": true, "message_thread_id": 42,
            "reply_to_message": {"message_id": 42, "forum_topic_created": {"name": "Payments"}}});
        assert_eq!(read(&root), None);
        let bare = json!({"text": "a", "is_topic_message": true, "message_thread_id": 42, "reply_to_message": {"message_id": 42}});
        assert_eq!(read(&bare), None);
        let reply = json!({"text": "a", "is_topic_message": true, "message_thread_id": 42,
            "reply_to_message": {"message_id": 43, "from": {"id": 6, "first_name": "Bob"}, "text": "b"}});
        assert_eq!(read(&reply), refers(to(43, 6, "Bob"), None, Some("b"), None));
    }

    #[test]
    fn replies_to_elsewhere_stories_and_forwards_say_whose_they_are() {
        let elsewhere = json!({"text": "a", "external_reply": {"origin": {"type": "channel", "chat": {"title": "News"}}, "photo": []},
            "quote": {"text": "storm"}});
        let expected = refers(Referred::Elsewhere("News".into()), Some("a photo"), None, Some("storm"));
        assert_eq!(read(&elsewhere), expected);
        let unheard =
            json!({"text": "a", "external_reply": {"origin": {"type": "unheard_of"}, "chat": {"title": "Yard"}}});
        assert_eq!(
            read(&unheard),
            refers(Referred::Elsewhere("somebody".into()), None, None, None)
        );
        let story = json!({"text": "a", "reply_to_story": {"chat": {"id": 6, "first_name": "Bob"}, "id": 1}});
        assert_eq!(read(&story), refers(Referred::Story("Bob".into()), None, None, None));
        for nothing in [
            json!({"text": "a"}),
            json!({"reply_to_message": null}),
            json!({"reply_to_message": 7}),
            json!(null),
        ] {
            assert_eq!(read(&nothing), None, "{nothing}");
        }
    }
}
