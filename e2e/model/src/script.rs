//! Scripts: ordered rules that say what to answer to which request, as JSON.
//!
//! Knows the shapes and how a rule is matched; does not know HTTP. A rule with a bad regular expression is refused when
//! it is read.

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conversation::Conversation;

/// A list of rules; the first that matches answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub rules: Vec<Rule>,
}

/// One rule. `steps` run over as many requests as they hold tool calls: each request continues behind the results it
/// brings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Shown in the journal.
    #[serde(default)]
    pub name: String,
    #[serde(default, rename = "match")]
    pub when: Match,
    /// How many requests this rule answers before it is spent; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    pub steps: Vec<Step>,
}

/// Conditions of a rule; all that are given must hold, none given matches everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// On the words of the last user text, without the CLI's framing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Pattern>,
    /// On any part of the raw request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Pattern>,
    /// On the requested model name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Pattern>,
    /// Whether a tool result came since the last user text. When true the steps are counted from the first result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_tool_result: Option<bool>,
    /// Whether this is a question beside the conversation; a rule without it answers both kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_question: Option<bool>,
    /// The number of the user's turn, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<usize>,
}

impl Match {
    pub fn holds(&self, conversation: &Conversation, model: &str, body: &str) -> bool {
        let agrees = |pattern: &Option<Pattern>, text: &str| pattern.as_ref().is_none_or(|p| p.0.is_match(text));
        agrees(&self.user, conversation.last_user().unwrap_or_default())
            && agrees(&self.body, body)
            && agrees(&self.model, model)
            && self
                .has_tool_result
                .is_none_or(|has| has == (conversation.results_in_turn() > 0))
            && self.side_question.is_none_or(|side| side == conversation.side_question)
            && self.turn.is_none_or(|turn| turn == conversation.turns())
    }
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Text; neighbouring texts form one block. Templates are filled.
    Text(Text),
    /// A thinking block.
    Think(String),
    /// A tool call. Ends this answer; the next step runs when its result is there.
    Tool(Tool),
    /// Several tool calls in one answer.
    Tools(Vec<Tool>),
    /// Wait until the gate of that name is open: before the response headers when it is the first step, else in the
    /// middle of the stream.
    Hold(String),
    /// Wait so many milliseconds.
    WaitMs(u64),
    /// An HTTP error when nothing is sent yet, else an `error` event. Fires `times` times per turn, then is skipped.
    Error(Fault),
    /// Cut the connection; with text before it, inside the unfinished block.
    Drop(Times),
    /// Send nothing more, ever.
    Hang(Times),
    /// The stop reason, instead of `end_turn` or `tool_use`.
    Stop(String),
}

/// A text, whole or in chunks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    Plain(String),
    Paced {
        text: String,
        /// Characters per chunk; 0 sends it whole.
        #[serde(default)]
        chunk: usize,
        /// Pause before each chunk but the first.
        #[serde(default)]
        delay_ms: u64,
    },
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    pub name: String,
    /// Templates in its strings are filled.
    #[serde(default)]
    pub input: Value,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Seconds, as `retry-after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    #[serde(default = "once")]
    pub times: u32,
}

/// How often a fault fires in one turn before it is skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Step {
    /// How many tool results this step waits for.
    pub fn calls(&self) -> usize {
        match self {
            Step::Tool(_) => 1,
            Step::Tools(tools) => tools.len(),
            _ => 0,
        }
    }

    /// How often it may fire in one turn; none for steps that are no fault.
    pub fn times(&self) -> Option<u32> {
        match self {
            Step::Error(fault) => Some(fault.times),
            Step::Drop(times) | Step::Hang(times) => Some(times.times),
            _ => None,
        }
    }
}

/// A regular expression, written as a string.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        Regex::new(pattern).map(Pattern)
    }
}

impl Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Pattern::new(&text).map_err(serde::de::Error::custom)
    }
}
