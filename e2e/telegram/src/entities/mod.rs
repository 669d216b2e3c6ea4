//! Formatted text: entities with UTF-16 offsets, made from HTML, MarkdownV2, an explicit list, or detected.
//!
//! Refuses what Telegram refuses, in its words. The legacy `Markdown` mode is not modelled and is refused as unknown.

pub mod detect;
pub mod explicit;
mod fix;
pub mod html;
pub mod markdown;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{error::ApiError, params::Params};

/// Longest text of a message, in UTF-16 units after parsing.
pub const MAX_TEXT: usize = 4_096;
pub const MAX_CAPTION: usize = 1_024;
/// Longest text with its markup, in bytes.
const MAX_SOURCE: usize = 1 << 15;

/// MessageEntity. Kinds of the Bot API are kept as their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    #[serde(rename = "type")]
    pub kind: String,
    pub offset: usize,
    pub length: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_emoji_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Value>,
}

impl Entity {
    pub fn new(kind: &str, offset: usize, length: usize) -> Self {
        Entity {
            kind: kind.to_owned(),
            offset,
            length,
            url: None,
            language: None,
            custom_emoji_id: None,
            user: None,
        }
    }

    pub fn end(&self) -> usize {
        self.offset + self.length
    }
}

/// A text with its entities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formatted {
    pub text: String,
    pub entities: Vec<Entity>,
}

impl Formatted {
    /// Length as Telegram counts it.
    pub fn units(&self) -> usize {
        units(&self.text)
    }

    /// The part of the text an entity covers.
    pub fn covered(&self, entity: &Entity) -> String {
        let all: Vec<u16> = self.text.encode_utf16().collect();
        String::from_utf16_lossy(all.get(entity.offset..entity.end().min(all.len())).unwrap_or_default())
    }

    /// A text as a person types it: trimmed, with what Telegram recognises by itself.
    pub fn typed(text: &str) -> Self {
        let text = text.trim().to_owned();
        let entities = detect::entities(&text);
        Formatted { text, entities }
    }

    /// From the parameters of a call: `text` with `parse_mode` or `entities` (for captions, `caption_entities`).
    pub fn from_params(params: &Params, field: &str, list: &str) -> Result<Self, ApiError> {
        let text = params.text(field).unwrap_or_default();
        if text.len() > MAX_SOURCE {
            return Err(ApiError::bad_request("text is too long"));
        }
        let mode = params.text("parse_mode").unwrap_or_default().to_lowercase();
        let parse_failed = |reason: String| ApiError::bad_request(&format!("can't parse entities: {reason}"));
        let formatted = match mode.as_str() {
            "html" => html::parse(&text).map_err(parse_failed)?,
            "markdownv2" => markdown::parse(&text).map_err(parse_failed)?,
            "" | "none" => {
                let list = params.json(list)?.unwrap_or_default();
                let refused = |reason: String| ApiError::bad_request(&reason);
                let entities = explicit::entities(&text, &list).map_err(refused)?;
                let (text, entities) = fix::fixed(&text, entities);
                Formatted { text, entities }
            }
            _ => return Err(ApiError::bad_request("unsupported parse_mode")),
        };
        Ok(formatted.trimmed())
    }

    /// Without white space at both ends that is not code's, and without entities that cover nothing then.
    fn trimmed(self) -> Self {
        let is_code = |entity: &&Entity| matches!(entity.kind.as_str(), "code" | "pre");
        let code = self.entities.iter().filter(is_code).map(|entity| entity.offset).min();
        let in_front = self.text.chars().take_while(|c| c.is_whitespace());
        // Indentation of code stays.
        let front = in_front
            .map(char::len_utf16)
            .sum::<usize>()
            .min(code.unwrap_or(usize::MAX));
        let in_front: usize = self.text.chars().take(front).map(char::len_utf8).sum();
        let kept = self.text[in_front..].trim_end();
        let end = units(kept);
        let mut entities = Vec::new();
        for mut entity in self.entities {
            let stop = entity.end().saturating_sub(front).min(end);
            entity.offset = entity.offset.saturating_sub(front);
            if stop > entity.offset {
                entity.length = stop - entity.offset;
                entities.push(entity);
            }
        }
        entities.sort_by_key(|entity| (entity.offset, std::cmp::Reverse(entity.length)));
        Formatted {
            text: kept.to_owned(),
            entities,
        }
    }
}

pub(crate) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A link as Telegram accepts it in formatting; others are dropped silently, leaving plain text.
pub(crate) fn link(url: &str) -> Option<String> {
    let url = url.trim();
    let known = ["http://", "https://", "tg://", "ton://", "tonsite://"];
    if known.iter().any(|scheme| url.to_lowercase().starts_with(scheme)) {
        return Some(url.to_owned());
    }
    let plausible = url.contains('.') && !url.contains(char::is_whitespace) && !url.contains(':');
    let slash = if url.contains('/') { "" } else { "/" };
    plausible.then(|| format!("http://{url}{slash}"))
}

/// A text link, or a mention when it points to a person.
pub(crate) fn link_entity(url: &str, offset: usize, length: usize) -> Option<Entity> {
    if let Some(id) = url.strip_prefix("tg://user?id=").and_then(|id| id.parse::<i64>().ok()) {
        let user = serde_json::json!({"id": id, "is_bot": false, "first_name": ""});
        return Some(Entity {
            user: Some(user),
            ..Entity::new("text_mention", offset, length)
        });
    }
    Some(Entity {
        url: Some(link(url)?),
        ..Entity::new("text_link", offset, length)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(params: Value) -> Result<Formatted, String> {
        Formatted::from_params(&Params::of(params), "text", "entities").map_err(|error| error.description)
    }

    #[test]
    fn trimming_moves_entities() {
        let text = "  \n😀 bold  ";
        let read = read(
            json!({"text": text, "entities": [{"type": "bold", "offset": 6, "length": 6}, {"type": "italic", "offset": 0, "length": 2}]}),
        );
        let read = read.unwrap();
        assert_eq!(read.text, "😀 bold");
        assert_eq!(read.entities, [Entity::new("bold", 3, 4)]);
        assert_eq!(read.covered(&read.entities[0]), "bold");
    }

    #[test]
    fn entities_may_be_a_string_of_json_and_must_fit() {
        let ok = read(json!({"text": "abc", "entities": "[{\"type\":\"code\",\"offset\":0,\"length\":3}]"})).unwrap();
        assert_eq!(ok.entities, [Entity::new("code", 0, 3)]);
        let refused =
            read(json!({"text": "abc", "entities": [{"type": "code", "offset": 1, "length": 3}]})).unwrap_err();
        assert!(refused.contains("ends after the end of the text"), "{refused}");
    }

    #[test]
    fn an_unknown_parse_mode_is_refused() {
        assert_eq!(
            read(json!({"text": "a", "parse_mode": "rtf"})).unwrap_err(),
            "Bad Request: unsupported parse_mode"
        );
    }
}
