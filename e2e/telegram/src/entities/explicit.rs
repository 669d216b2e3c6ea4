//! A list of entities that a bot gives explicitly, refused where the real server refuses it (`get_text_entity` of
//! telegram-bot-api, `fix_formatted_text` of TDLib) and in its words.
//!
//! Fields that are not known are ignored. What is recognised in texts anyway, such as mentions, is dropped from the list.

use serde_json::Value;

use super::{Entity, fix, link};

/// More than these have no effect.
const MOST: usize = 100;
const FARTHEST: i64 = 1_000_000;
const RECOGNISED: [&str; 8] = [
    "mention",
    "hashtag",
    "cashtag",
    "bot_command",
    "url",
    "email",
    "phone_number",
    "bank_card_number",
];
const PLAIN: [&str; 8] = [
    "bold",
    "italic",
    "underline",
    "strikethrough",
    "spoiler",
    "code",
    "blockquote",
    "expandable_blockquote",
];

/// The entities of this list for this text, or why they are refused.
pub fn entities(text: &str, list: &Value) -> Result<Vec<Entity>, String> {
    let mut out = Vec::new();
    for item in list.as_array().into_iter().flatten() {
        let read = entity(item).map_err(|reason| format!("can't parse MessageEntity: {reason}"))?;
        out.extend(read);
    }
    for (offset, length, _) in &out {
        if !(0..=FARTHEST).contains(offset) {
            return Err(format!("receive an entity with incorrect offset {offset}"));
        }
        if !(0..=FARTHEST).contains(length) {
            return Err(format!("receive an entity with incorrect length {length}"));
        }
    }
    let mut entities = Vec::new();
    for (offset, length, mut entity) in out {
        if let Some(url) = &entity.url {
            entity.url = Some(checked_link(url).map_err(|reason| format!("wrong message entity: {reason}"))?);
        }
        (entity.offset, entity.length) = (offset as usize, length as usize);
        if length > 0 {
            fits(text, &entity)?;
            entities.push(entity);
        }
    }
    entities.truncate(MOST);
    Ok(entities)
}

fn entity(item: &Value) -> Result<Option<(i64, i64, Entity)>, String> {
    if !item.is_object() {
        return Err("expected an Object".to_owned());
    }
    let field = |name: &str| match item.get(name) {
        None | Some(Value::Null) => Err(format!("Can't find field \"{name}\"")),
        Some(value) => Ok(value),
    };
    let int = |name: &str| {
        let value = field(name)?;
        value
            .as_i64()
            .or_else(|| value.as_str()?.parse().ok())
            .ok_or_else(|| format!("Field \"{name}\" must be a valid Number"))
    };
    let string = |name: &str| {
        let value = field(name)?;
        let wrong = || format!("Field \"{name}\" must be of type String");
        value.as_str().map(str::to_owned).ok_or_else(wrong)
    };
    let (offset, length, kind) = (int("offset")?, int("length")?, string("type")?);
    let mut entity = Entity::new(&kind, 0, 0);
    match kind.as_str() {
        kind if RECOGNISED.contains(&kind) => return Ok(None),
        kind if PLAIN.contains(&kind) => {}
        "pre" => entity.language = string("language").ok().filter(|language| !language.is_empty()),
        "text_link" => entity.url = Some(string("url")?),
        "text_mention" => {
            let user = field("user")?;
            user["id"].as_i64().ok_or("Can't find field \"id\"")?;
            entity.user = Some(user.clone());
        }
        "custom_emoji" => entity.custom_emoji_id = Some(int("custom_emoji_id")?.to_string()),
        "date_time" => drop(int("unix_time")?),
        _ => return Err("Unsupported type specified".to_owned()),
    }
    Ok(Some((offset, length, entity)))
}

fn checked_link(url: &str) -> Result<String, &'static str> {
    if url.starts_with("tg://user?id=") {
        return Ok(url.to_owned());
    }
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    if host.trim_matches('/').is_empty() {
        return Err("URL host is empty");
    }
    let url = link(url).ok_or("Unsupported URL protocol")?;
    match fix::problem(&url) {
        Some(problem) => Err(problem),
        None => Ok(url),
    }
}

/// Both ends lie inside the text and between characters.
fn fits(text: &str, entity: &Entity) -> Result<(), String> {
    let (begin, end) = (entity.offset, entity.end());
    let (mut units, mut bytes) = (0, 0);
    for character in text.chars() {
        let next = units + character.len_utf16();
        let after = bytes + character.len_utf8();
        if units < begin && begin < next {
            return Err(format!(
                "entity begins in a middle of a UTF-16 symbol at byte offset {after}"
            ));
        }
        if units < end && end < next {
            return Err(format!(
                "entity beginning at UTF-16 offset {begin} ends in a middle of a UTF-16 symbol at byte offset {after}"
            ));
        }
        (units, bytes) = (next, after);
    }
    if begin >= units {
        return Err(format!(
            "entity begins after the end of the text at UTF-16 offset {begin}"
        ));
    }
    if end > units {
        return Err(format!(
            "entity beginning at UTF-16 offset {begin} ends after the end of the text at UTF-16 offset {end}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_real_server_refuses_is_refused_in_its_words() {
        let text = "👉 aba";
        let bold = |offset: i64, length: i64| json!({"type": "bold", "offset": offset, "length": length});
        for (entity, reason) in [
            (
                bold(1, 1),
                "entity begins in a middle of a UTF-16 symbol at byte offset 4",
            ),
            (
                bold(0, 1),
                "entity beginning at UTF-16 offset 0 ends in a middle of a UTF-16 symbol at byte offset 4",
            ),
            (
                bold(3, 6),
                "entity beginning at UTF-16 offset 3 ends after the end of the text at UTF-16 offset 9",
            ),
            (bold(6, 1), "entity begins after the end of the text at UTF-16 offset 6"),
            (bold(-1, 1), "receive an entity with incorrect offset -1"),
            (bold(0, -1), "receive an entity with incorrect length -1"),
            (json!(7), "can't parse MessageEntity: expected an Object"),
            (
                json!({"type": "bold", "length": 1}),
                "can't parse MessageEntity: Can't find field \"offset\"",
            ),
            (
                json!({"type": "wavy", "offset": 0, "length": 2}),
                "can't parse MessageEntity: Unsupported type specified",
            ),
            (
                json!({"type": "text_link", "offset": 0, "length": 2}),
                "can't parse MessageEntity: Can't find field \"url\"",
            ),
            (
                json!({"type": "text_link", "offset": 0, "length": 2, "url": "javascript:alert(1)"}),
                "wrong message entity: Unsupported URL protocol",
            ),
            (
                json!({"type": "text_link", "offset": 0, "length": 2, "url": "http://localhost:3000/"}),
                "wrong message entity: Wrong HTTP URL",
            ),
            (
                json!({"type": "text_link", "offset": 0, "length": 2, "url": "https://"}),
                "wrong message entity: URL host is empty",
            ),
        ] {
            assert_eq!(entities(text, &json!([entity])).unwrap_err(), reason, "{entity}");
        }
    }

    #[test]
    fn what_it_takes_is_taken_and_what_it_ignores_is_dropped() {
        let list = json!([
            {"type": "pre", "offset": 0, "length": 3, "language": "rust", "new_field": true},
            {"type": "bold", "offset": 0, "length": 0},
            {"type": "mention", "offset": 0, "length": 3},
            {"type": "text_link", "offset": 4, "length": 2, "url": "example.org/a"},
        ]);
        let taken = entities("abc de", &list).unwrap();
        let short: Vec<_> = taken
            .iter()
            .map(|entity| (entity.kind.as_str(), entity.offset, entity.length))
            .collect();
        assert_eq!(short, [("pre", 0, 3), ("text_link", 4, 2)]);
        assert_eq!(taken[1].url.as_deref(), Some("http://example.org/a"));
    }

    #[test]
    fn more_than_a_hundred_have_no_effect() {
        let list: Vec<Value> = (0..150)
            .map(|n| json!({"type": "bold", "offset": n, "length": 1}))
            .collect();
        assert_eq!(entities(&"x".repeat(150), &json!(list)).unwrap().len(), 100);
    }
}
