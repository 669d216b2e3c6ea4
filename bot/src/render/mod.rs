//! From claude's Markdown to what Telegram shows.
//!
//! Text is sent with a list of entities, not as HTML: nothing needs escaping, nothing can be refused for its syntax, and a
//! long answer can be cut anywhere with the formatting continued on the other side ([`split`]). Pure; knows no message ids
//! and no limits but the length that it is given. Nothing is dropped: what has no counterpart in Telegram becomes text.

mod characters;
mod code;
mod link;
mod markdown;
mod page;
mod settle;
mod split;
mod table;

pub use code::{CodeFile, take_out_code};
pub use markdown::markdown;
pub use split::{CAPTION_UNITS, MESSAGE_UNITS, split, tail};

use serde::{Deserialize, Serialize};

/// Text with formatting, as Telegram takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rich {
    /// Plain text.
    pub text: String,
    /// Formatting of ranges of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
}

/// Formatting of a range. Offsets and lengths are UTF-16 code units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// Which formatting.
    #[serde(flatten)]
    pub style: Style,
    /// Where it begins.
    pub offset: usize,
    /// How far it goes.
    pub length: usize,
}

/// Formatting that Telegram knows and claude uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Style {
    /// Bold.
    Bold,
    /// Italic.
    Italic,
    /// Struck through.
    Strikethrough,
    /// Monospace in a line.
    Code,
    /// Monospace block.
    Pre {
        /// Language for highlighting.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// Text that is a link.
    TextLink {
        /// Where it leads.
        url: String,
    },
    /// Quotation.
    Blockquote,
}

impl Rich {
    /// Text without formatting.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            entities: Vec::new(),
        }
    }

    /// Length in UTF-16 code units, as Telegram counts.
    pub fn units(&self) -> usize {
        units(&self.text)
    }

    /// The bare text, with the targets of its links behind what they stand under.
    pub fn written_out(&self) -> String {
        let mut links = self
            .entities
            .iter()
            .filter_map(|entity| match &entity.style {
                Style::TextLink { url } => Some((entity.offset + entity.length, url)),
                _ => None,
            })
            .peekable();
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        for c in self.text.chars().map(Some).chain([None]) {
            while let Some((_, url)) = links.next_if(|(end, _)| *end <= at) {
                out.push_str(&format!(" ({url})"));
            }
            out.extend(c);
            at += c.map_or(0, char::len_utf16);
        }
        out
    }

    /// Appends other text after a blank line.
    pub fn paragraph(mut self, other: Rich) -> Self {
        if self.text.is_empty() {
            return other;
        }
        self.text.push_str("\n\n");
        let shift = self.units();
        self.text.push_str(&other.text);
        self.entities.extend(other.entities.into_iter().map(|mut entity| {
            entity.offset += shift;
            entity
        }));
        self
    }
}

/// Length in UTF-16 code units.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
mod tests;
