//! What people can change about a session that runs: its model, and what it may do without asking.

use serde::{Deserialize, Serialize};

/// Something to change about a session, or with nothing, to be told and offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Setting {
    /// Which model answers.
    Model(Option<String>),
    /// What it may do without asking.
    Permissions(Option<PermissionMode>),
}

impl Setting {
    /// Whether it names what to change to.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Model(Some(_)) | Self::Permissions(Some(_)))
    }
}

/// What a session may do without asking; what its AgentClass allows or forbids by name is so in every one of them. There is no
/// word for `bypassPermissions`: only an AgentClass can say that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    /// It asks.
    Ask,
    /// It changes files, and asks about the rest.
    AcceptEdits,
    /// It reads and plans, and changes nothing.
    Plan,
    /// It leaves what is not allowed, without asking.
    DontAsk,
}

impl PermissionMode {
    /// All of them, the most usual one first.
    pub const ALL: [Self; 4] = [Self::Ask, Self::AcceptEdits, Self::Plan, Self::DontAsk];

    /// The word for it in the chat.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::AcceptEdits => "edits",
            Self::Plan => "plan",
            Self::DontAsk => "dontask",
        }
    }

    /// What it means, as the rest of a sentence about claude.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ask => "asks before it does what is not allowed yet",
            Self::AcceptEdits => "changes files without asking, and asks about the rest",
            Self::Plan => "reads and makes plans, and changes nothing",
            Self::DontAsk => "leaves what is not allowed, without asking",
        }
    }

    /// claude's own spelling.
    pub fn of_claude(self) -> &'static str {
        match self {
            Self::Ask => "default",
            Self::AcceptEdits => "acceptEdits",
            Self::Plan => "plan",
            Self::DontAsk => "dontAsk",
        }
    }

    /// Reads what people or claude write: in any case, with or without what separates the words.
    pub fn read(text: &str) -> Option<Self> {
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        let folded = letters.collect::<String>().to_lowercase();
        Some(match folded.as_str() {
            "ask" | "default" | "normal" => Self::Ask,
            "edits" | "edit" | "accept" | "acceptedits" => Self::AcceptEdits,
            "plan" | "planning" => Self::Plan,
            "dontask" | "donotask" | "deny" => Self::DontAsk,
            _ => return None,
        })
    }

    /// Whether it lets claude do more without asking, which approvers decide.
    pub fn needs_approver(self) -> bool {
        self == Self::AcceptEdits
    }
}

/// Whether a text can be the name of a model: it becomes an argument of claude's.
pub(crate) fn is_model(name: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_.:/@[]".contains(c);
    (1..=128).contains(&name.len()) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_found_by_its_word_and_by_claudes_and_none_by_that_which_asks_nobody() {
        for mode in PermissionMode::ALL {
            assert_eq!(PermissionMode::read(mode.word()), Some(mode));
            assert_eq!(PermissionMode::read(mode.of_claude()), Some(mode));
        }
        assert_eq!(PermissionMode::read("Accept edits"), Some(PermissionMode::AcceptEdits));
        assert_eq!(PermissionMode::read("don't ask"), Some(PermissionMode::DontAsk));
        for other in ["bypassPermissions", "bypass", "auto", "", "yolo"] {
            assert_eq!(PermissionMode::read(other), None, "{other}");
        }
    }

    #[test]
    fn the_name_of_a_model_is_one_word_and_no_flag() {
        for name in [
            "opus",
            "claude-haiku-4-5",
            "us.anthropic.claude-sonnet-4-5-v1:0",
            "sonnet[1m]",
            "a/b@c",
        ] {
            assert!(is_model(name), "{name}");
        }
        for other in ["", "--resume", "two words", "-x", "ü", &"x".repeat(129)] {
            assert!(!is_model(other), "{other}");
        }
    }
}
