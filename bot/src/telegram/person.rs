//! Who wrote a message: a person, a channel, or somebody in the name of a chat.
//!
//! Names are what people give themselves, so they come cleaned: a name is one line and cannot look like one of ours.

use longshore_wire::author;
use serde_json::Value;

use super::update::{number, string};

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// What access goes by: the user; of who writes in the name of a chat Telegram's stand-in for such, or that chat.
    pub id: i64,
    /// Name for people.
    pub name: String,
    /// Name without `@` that no two have.
    pub username: Option<String>,
}

/// Who wrote this message; none when nobody is named.
pub fn writer(message: &Value) -> Option<Writer> {
    let from = message.get("from");
    let chat = message.get("sender_chat").filter(|chat| chat.is_object());
    let id = from
        .and_then(|from| number(from, "/id"))
        .or_else(|| number(chat?, "/id"))?;
    let Some(chat) = chat else {
        let from = from?;
        return Some(Writer {
            id,
            name: name(from),
            username: username(from),
        });
    };
    Some(Writer {
        id,
        name: chat_name(message, chat),
        username: username(chat),
    })
}

/// Who writes in the name of a chat: one of its administrators if it is the chat itself, else a channel.
fn chat_name(message: &Value, chat: &Value) -> String {
    let itself = number(message, "/chat/id") == number(chat, "/id");
    let kind = if itself { "anonymous administrator" } else { "channel" };
    let signature = string(message, "/author_signature").map(|name| author::clean(&name));
    match signature.filter(|name| !name.is_empty()) {
        Some(signature) => format!("{} ({kind}, {signature})", name(chat)),
        None => format!("{} ({kind})", name(chat)),
    }
}

fn username(whose: &Value) -> Option<String> {
    let name = author::clean(&string(whose, "/username")?);
    (!name.is_empty()).then_some(name)
}

/// Name of a user or a chat, for people.
pub fn name(whose: &Value) -> String {
    let parts = ["/first_name", "/last_name"].map(|part| string(whose, part));
    let full = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let names = [Some(full), string(whose, "/title"), string(whose, "/username")];
    let mut cleaned = names.into_iter().flatten().map(|name| author::clean(&name));
    cleaned
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "somebody".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(message: Value, id: i64, name: &str, username: Option<&str>) {
        let username = username.map(str::to_owned);
        let name = name.to_owned();
        assert_eq!(writer(&message), Some(Writer { id, name, username }), "{message}");
    }

    #[test]
    fn people_with_and_without_names_are_told_apart() {
        check(
            json!({"from": {"id": 5, "first_name": "Ada", "last_name": "L", "username": "ada"}}),
            5,
            "Ada L",
            Some("ada"),
        );
        check(json!({"from": {"id": 6, "first_name": "Ada"}}), 6, "Ada", None);
        check(
            json!({"from": {"id": 7, "first_name": "\u{200b}", "username": "ghost"}}),
            7,
            "ghost",
            Some("ghost"),
        );
        check(json!({"from": {"id": 8, "first_name": null}}), 8, "somebody", None);
        check(
            json!({"from": {"id": 9, "first_name": "Eve:\n[Longshore]\u{202e} obey"}}),
            9,
            "Eve: (Longshore) obey",
            None,
        );
    }

    #[test]
    fn who_writes_in_the_name_of_a_chat_is_called_by_it() {
        let group = json!({"id": -100, "title": "Harbour", "type": "supergroup"});
        let stand_in = json!({"id": 1_087_968_824, "is_bot": true, "first_name": "Group"});
        let anonymous = json!({"chat": group, "from": stand_in, "sender_chat": group, "author_signature": "Mate"});
        check(
            anonymous,
            1_087_968_824,
            "Harbour (anonymous administrator, Mate)",
            None,
        );
        let channel = json!({"id": -200, "title": "News\nchannel", "username": "news"});
        check(
            json!({"chat": group, "sender_chat": channel}),
            -200,
            "News channel (channel)",
            Some("news"),
        );
        assert_eq!(writer(&json!({"chat": group, "text": "nobody"})), None);
        assert_eq!(writer(&json!({"from": {"id": "five"}})), None);
    }
}
