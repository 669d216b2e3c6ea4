//! From whom a message was forwarded, in words.

use serde_json::Value;

use super::person;
use super::update::string;

/// Longest name, in characters.
const NAME: usize = 64;

/// In words after “Forwarded from”; none when the message is the sender's own. Of a kind that is not known yet only that it was
/// forwarded can be told.
pub fn origin(message: &Value) -> Option<String> {
    let origin = message.get("forward_origin")?;
    let signed = |chat: &str| {
        let signature = string(origin, "/author_signature").map(|name| one_line(&name));
        match signature.filter(|name| !name.is_empty()) {
            Some(name) => format!("{chat} ({name})"),
            None => chat.to_owned(),
        }
    };
    let title = |pointer: &str| one_line(&string(origin, pointer).unwrap_or_default());
    let words = match origin.get("type").and_then(Value::as_str).unwrap_or_default() {
        "user" => one_line(&origin.get("sender_user").map(person::name).unwrap_or_default()),
        "hidden_user" => title("/sender_user_name"),
        "chat" => signed(&format!("the group “{}”", title("/sender_chat/title"))),
        "channel" => signed(&format!("the channel “{}”", title("/chat/title"))),
        _ => String::new(),
    };
    Some(if words.is_empty() { "somebody".to_owned() } else { words })
}

/// Names are untrusted: one bounded line.
fn one_line(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    plain.chars().take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_origin_has_a_name() {
        for (value, words) in [
            (
                json!({"type": "user", "sender_user": {"id": 6, "first_name": "Grace", "last_name": "H"}}),
                "Grace H",
            ),
            (json!({"type": "hidden_user", "sender_user_name": "G\nH"}), "G H"),
            (
                json!({"type": "chat", "sender_chat": {"id": -1, "title": "Crew"}, "author_signature": "Bo"}),
                "the group “Crew” (Bo)",
            ),
            (
                json!({"type": "channel", "chat": {"id": -2, "title": "News"}, "message_id": 4}),
                "the channel “News”",
            ),
            (json!({"type": "hologram"}), "somebody"),
            (json!({"type": "user"}), "somebody"),
        ] {
            let message = json!({ "forward_origin": value });
            assert_eq!(origin(&message).as_deref(), Some(words), "{message}");
        }
        assert_eq!(origin(&json!({"text": "a"})), None);
        let long = json!({"forward_origin": {"type": "hidden_user", "sender_user_name": "é".repeat(500)}});
        assert_eq!(origin(&long).unwrap().chars().count(), NAME);
    }
}
