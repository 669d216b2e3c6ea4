//! An unknown sender is offered to approvers: how that looks in a chat, and how its buttons are read. Pure.
//!
//! Name and text come from somebody whom nobody knows. They are shown short, in one line and in a fixed-width font: in that Telegram
//! makes no links, mentions or commands of what it finds. Characters that nobody sees, or that turn the line round, are left out.

use serde::{Deserialize, Serialize};

use super::prompt::button;
use crate::render::{self, Entity, Rich, Style};
use crate::store::posts::Content;

/// Longest name that is shown, in characters.
const NAME_CHARS: usize = 64;
/// Longest text that is shown, in characters.
const TEXT_CHARS: usize = 300;

/// Somebody who has no role and has written something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// User id.
    pub user: i64,
    /// Name, as it is shown.
    pub name: String,
    /// The beginning of the first message, as it is shown.
    pub excerpt: String,
}

impl Stranger {
    /// Of who wrote this.
    pub fn new(user: i64, name: &str, text: &str) -> Self {
        Self {
            user,
            name: one_line(name, NAME_CHARS),
            excerpt: one_line(text, TEXT_CHARS),
        }
    }
}

/// What a pressed button stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Let the person in.
    Allow,
    /// Do not.
    Ignore,
    /// Take it back.
    Revoke,
}

/// `of:<row>:a`, `of:<row>:i`, `of:<row>:r`.
fn data(row: i64, choice: Choice) -> String {
    let choice = match choice {
        Choice::Allow => 'a',
        Choice::Ignore => 'i',
        Choice::Revoke => 'r',
    };
    format!("of:{row}:{choice}")
}

/// Row and choice of a pressed button; none when it belongs to something else.
pub fn read_data(data: &str) -> Option<(i64, Choice)> {
    let (row, choice) = data.strip_prefix("of:")?.split_once(':')?;
    let choice = match choice {
        "a" => Choice::Allow,
        "i" => Choice::Ignore,
        "r" => Choice::Revoke,
        _ => return None,
    };
    Some((row.parse().ok()?, choice))
}

/// Approvers are asked.
pub fn asking(row: i64, stranger: &Stranger) -> Content {
    let asked = "Shall this person use the bot in this chat? With Allow, what was written is taken up, too; an approver can \
                 take it back. Only approvers may press, within 24 hours.";
    Content {
        rich: told(stranger).paragraph(Rich::plain(asked)),
        buttons: vec![vec![
            button("✅ Allow", data(row, Choice::Allow)),
            button("⛔ Ignore", data(row, Choice::Ignore)),
        ]],
        ..Content::default()
    }
}

/// Somebody was let in.
pub fn allowed(row: i64, stranger: &Stranger, by: &str) -> Content {
    let by = one_line(by, NAME_CHARS);
    Content {
        rich: told(stranger).paragraph(Rich::plain(format!(
            "✅ This person may use the bot in this chat, as {by} said."
        ))),
        buttons: vec![vec![button("↩️ Revoke", data(row, Choice::Revoke))]],
        ..Content::default()
    }
}

/// How an offer, or what was allowed, ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody decided against it.
    Ignored(String),
    /// Somebody took it back.
    Revoked(String),
    /// Nobody answered in time.
    Expired,
    /// A policy names the person by now.
    ByPolicy,
    /// The policies in force mean something else, for this reason.
    Void(&'static str),
}

/// An offer that is over, without buttons.
pub fn ended(stranger: &Stranger, end: &End) -> Content {
    let end = match end {
        End::Ignored(by) => format!(
            "⛔ Ignored, as {} said. Nobody is asked again for a week.",
            one_line(by, NAME_CHARS)
        ),
        End::Revoked(by) => format!(
            "↩️ Taken back, as {} said. Nobody is asked again for a week.",
            one_line(by, NAME_CHARS)
        ),
        End::Expired => "⌛ Nobody answered within 24 hours, so nothing was run.".to_owned(),
        End::ByPolicy => "By now a policy says what this person may do here.".to_owned(),
        End::Void(why) => format!("This does not count any more: {why}."),
    };
    Content {
        rich: told(stranger).paragraph(Rich::plain(end)),
        ..Content::default()
    }
}

fn told(stranger: &Stranger) -> Rich {
    let mut head = code(&stranger.name);
    head.text
        .push_str(&format!(" (user id {}) is not known here and writes:", stranger.user));
    head.paragraph(code(&stranger.excerpt))
}

fn code(text: &str) -> Rich {
    Rich {
        text: text.to_owned(),
        entities: vec![Entity {
            style: Style::Code,
            offset: 0,
            length: render::units(text),
        }],
    }
}

/// Marks that are not seen, or that change in which direction the rest reads.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn one_line(text: &str, chars: usize) -> String {
    let seen = text.chars().filter(|c| !is_hidden(*c));
    let spaced = seen.map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars) {
        _ if line.is_empty() => "–".to_owned(),
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_writes_is_shown_short_and_as_it_is_and_makes_no_links() {
        let text = format!(
            "see https://evil.example @ada\n/deep\t\u{202e}now\u{200b} *bold* {}",
            "é".repeat(4000)
        );
        let shown = asking(7, &Stranger::new(42, "t.me/\nx <b>", &text));
        let covered = |entity: &Entity| {
            let units = shown.rich.text.encode_utf16().collect::<Vec<_>>();
            String::from_utf16(&units[entity.offset..entity.offset + entity.length]).unwrap()
        };
        let all = shown.rich.entities.iter().map(covered).collect::<Vec<_>>();
        assert_eq!(all[0], "t.me/ x <b>");
        assert!(
            all[1].starts_with("see https://evil.example @ada /deep now *bold* éé"),
            "{all:?}"
        );
        assert!(
            all[1].ends_with("é…") && all[1].chars().count() == TEXT_CHARS + 1,
            "{all:?}"
        );
        assert!(shown.rich.entities.iter().all(|entity| entity.style == Style::Code));
        let rest = shown.rich.text.replace(&all[0], "").replace(&all[1], "");
        assert!(!rest.contains("evil") && rest.contains("(user id 42)"), "{rest}");
        assert!(shown.rich.units() < render::MESSAGE_UNITS);
        assert_eq!(Stranger::new(1, "\u{200b}", "\u{202e}").name, "–");
    }

    #[test]
    fn buttons_say_which_offer_and_what() {
        for choice in [Choice::Allow, Choice::Ignore, Choice::Revoke] {
            assert_eq!(read_data(&data(77, choice)), Some((77, choice)));
        }
        for other in ["es:1:y", "of:1", "of:x:a", "of:1:y"] {
            assert_eq!(read_data(other), None, "{other}");
        }
    }
}
