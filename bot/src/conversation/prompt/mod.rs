//! How prompts and questions of claude's look in a chat. Pure.
//!
//! [`look`] is a function of all that is known about a prompt: what claude wants, what was chosen so far, what was pressed, how it
//! ended. Whatever changes, the prompt is shown anew by it. A button carries the row of the prompt and what it stands for
//! ([`buttons`]); the prompt itself stays in the store.

pub mod buttons;
pub mod tool;
pub mod visible;

use std::collections::BTreeMap;

use jiff::Timestamp;
use longshore_wire::api::{Approval, ApprovalKind, Decision, Verdict};
use longshore_wire::event::ApprovalOutcome;
pub use longshore_wire::question::{Question, next_question, questions};
use serde::{Deserialize, Serialize};

pub use buttons::{Choice, button, data, read_data};

use crate::render::{self, Entity, Rich, Style};
use crate::store::posts::{Body, Content, Upload};
use crate::telegram::client::Button;

/// Room for what a tool wants to do; of more it is said how much it is.
const INPUT_UNITS: usize = 2400;
/// Longest name, path or reason that is shown.
const LINE_CHARS: usize = 200;
/// Seconds for which a decision about a prompt that was lost counts for the same prompt, if claude asks again.
pub const AGAIN_SECONDS: i64 = 300;
/// Seconds from which on a time of day alone could be another day's.
const DAY: i64 = 20 * 3600;

/// A prompt, and all that is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// Row in the store; buttons carry it.
    pub row: i64,
    /// What is asked.
    pub approval: Approval,
    /// When it came, in Unix seconds.
    pub asked_at: i64,
    /// Whose messages the turn answers, as far as that is worth telling.
    pub people: Vec<String>,
    /// Answers so far, by the text of the question.
    pub answers: BTreeMap<String, String>,
    /// Options of the question at hand that are chosen, where several may be.
    pub chosen: Vec<usize>,
    /// Whose next message says why it is denied.
    pub writer: Option<Writer>,
    /// What was decided.
    pub pressed: Option<Pressed>,
    /// How it ended.
    pub closed: Option<Closed>,
    /// The process that asked is gone before the tool had run.
    pub lost: bool,
    /// By this prompt the tool was always allowed in the topic.
    pub granted: Option<Granted>,
}

/// Somebody who denies a prompt and is about to write why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Who.
    pub user: i64,
    /// Name of that person.
    pub name: String,
}

/// A decision about a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressed {
    /// What is handed to the runner.
    pub decision: Decision,
    /// Why, in the words of whoever denied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// When somebody pressed, in Unix seconds.
    pub at: i64,
    /// How it came about.
    pub how: How,
}

/// How a decision came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// Somebody decided about this prompt.
    Here,
    /// Somebody had decided about the same prompt of a process that is gone.
    Again,
    /// The tool is always allowed in this topic.
    Granted,
}

/// How a prompt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// How.
    pub outcome: ApprovalOutcome,
    /// Who decided.
    pub by: Option<String>,
    /// When, in Unix seconds.
    pub at: i64,
}

/// That a tool is always allowed in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Name of who said so.
    pub by: String,
    /// Why it is over; none while it holds.
    pub over: Option<Over>,
}

/// Why a tool is not always allowed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Over {
    /// Somebody stopped it.
    Stopped {
        /// Name of that person.
        by: String,
        /// When, in Unix seconds.
        at: i64,
    },
    /// Who had said so is no approver any more.
    NoApprover,
}

impl Prompt {
    /// A prompt that has come just now.
    pub fn new(row: i64, approval: Approval, asked_at: i64) -> Self {
        Self {
            row,
            approval,
            asked_at,
            people: Vec::new(),
            answers: BTreeMap::new(),
            chosen: Vec::new(),
            writer: None,
            pressed: None,
            closed: None,
            lost: false,
            granted: None,
        }
    }

    /// The first question without an answer, and its number from 0.
    pub fn next_question(&self) -> Option<(usize, Question)> {
        next_question(&self.approval, &self.answers)
    }

    /// Whether what was pressed here counts for another prompt, that comes at `now`: claude was restarted before the tool had run,
    /// and asks for exactly the same, soon. What was applied once already does not count again.
    pub fn counts_for(&self, other: &Approval, now: i64) -> bool {
        let (Some(pressed), Some(closed)) = (&self.pressed, &self.closed) else {
            return false;
        };
        let undone = match closed.outcome {
            ApprovalOutcome::Cancelled => true,
            ApprovalOutcome::Allowed => pressed.decision.verdict == Verdict::Allow,
            ApprovalOutcome::Denied => pressed.decision.verdict == Verdict::Deny,
            ApprovalOutcome::Expired => false,
        };
        let (asked, asks) = (&self.approval, other);
        let same = (asked.kind, &asked.tool_name, &asked.input) == (asks.kind, &asks.tool_name, &asks.input);
        // Of a plan that the prompt does not hold nobody knows whether it is the same.
        let known = asks.kind != ApprovalKind::Plan || asks.input["plan"].is_string();
        let soon = (0..=AGAIN_SECONDS).contains(&(now - pressed.at));
        self.lost && undone && same && known && soon && pressed.how == How::Here
    }

    /// Who has decided, and what, for people who press late.
    pub fn verdict_in_words(&self) -> String {
        match (&self.closed, &self.pressed) {
            (Some(closed), _) => match closed.outcome {
                ApprovalOutcome::Allowed => self.decided(closed.by.as_deref(), true, closed.at),
                ApprovalOutcome::Denied => self.decided(closed.by.as_deref(), false, closed.at),
                ApprovalOutcome::Expired => self.expired(),
                ApprovalOutcome::Cancelled => self.cancelled(),
            },
            (None, Some(pressed)) => {
                let allowed = pressed.decision.verdict == Verdict::Allow;
                self.decided(pressed.decision.by.as_deref(), allowed, pressed.at)
            }
            (None, None) => crate::words::TOO_LATE.to_owned(),
        }
    }

    fn decided(&self, by: Option<&str>, allowed: bool, at: i64) -> String {
        let by = by.map_or_else(|| "Somebody".to_owned(), |by| visible::line(by, LINE_CHARS));
        let what = match (self.approval.kind, allowed) {
            (ApprovalKind::Question, true) => "answered",
            (ApprovalKind::Question, false) => "skipped",
            (ApprovalKind::Plan, true) => "approved",
            (ApprovalKind::Plan, false) => "turned down",
            (ApprovalKind::Permission, true) => "allowed",
            (ApprovalKind::Permission, false) => "denied",
        };
        format!("{by} {what} this at {}.", clock(at))
    }

    fn expired(&self) -> String {
        format!("Nobody answered until {}, so it was denied.", self.deadline())
    }

    fn cancelled(&self) -> String {
        if !self.lost {
            return "No longer needed.".to_owned();
        }
        let again = "claude was restarted; it asks again if it still needs to know.";
        match &self.pressed {
            None => again.to_owned(),
            Some(pressed) => {
                let allowed = pressed.decision.verdict == Verdict::Allow;
                let decided = self.decided(pressed.decision.by.as_deref(), allowed, pressed.at);
                format!("{again} {decided} That counts if it asks for exactly the same within 5 minutes.")
            }
        }
    }

    fn deadline(&self) -> String {
        let at = self.approval.expires_at;
        match at.as_second() - self.asked_at {
            0..DAY => at.strftime("%H:%M UTC").to_string(),
            _ => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        }
    }

    /// Whose request it is for, and until when it waits.
    fn waits(&self) -> Rich {
        let people: Vec<String> = self.people.iter().map(|name| visible::line(name, 60)).collect();
        let people = match people.is_empty() {
            true => String::new(),
            false => format!("For {}. ", people.join(" and ")),
        };
        Rich::plain(format!("{people}Waits until {}.", self.deadline()))
    }
}

/// How a prompt looks now.
pub fn look(prompt: &Prompt) -> Content {
    if let Some(ending) = ending(prompt) {
        let mut rich = head(prompt).paragraph(Rich::plain(ending));
        let mut buttons = Vec::new();
        if let Some(granted) = &prompt.granted {
            rich = rich.paragraph(Rich::plain(always(prompt, granted)));
            if granted.over.is_none() {
                let stop = data(prompt.row, Choice::StopAllowing);
                buttons.push(vec![button("↩️ Stop allowing", stop)]);
            }
        }
        return content(&rich, buttons);
    }
    let (rich, buttons) = match (prompt.approval.kind, prompt.next_question()) {
        (ApprovalKind::Question, Some((number, question))) => ask(prompt, number, &question),
        (ApprovalKind::Question, None) => (head(prompt), Vec::new()),
        (ApprovalKind::Permission | ApprovalKind::Plan, _) => {
            let mut rich = head(prompt).paragraph(prompt.waits());
            if let Some(writer) = &prompt.writer {
                rich = rich.paragraph(Rich::plain(write_why(writer)));
            }
            (rich, buttons::of_verdict(prompt.row, &prompt.approval))
        }
    };
    content(&rich, buttons)
}

/// What is told below the input is short, unless a name or a rule is not.
fn content(rich: &Rich, buttons: Vec<Vec<Button>>) -> Content {
    let rich = cut_end(rich, render::MESSAGE_UNITS - 64);
    Content {
        rich,
        buttons,
        ..Content::default()
    }
}

/// All of what a prompt is about, as a file, where the prompt cannot hold it.
pub fn in_full(approval: &Approval) -> Option<Content> {
    let whole = whole(approval);
    if render::split(&whole, INPUT_UNITS).len() < 2 {
        return None;
    }
    let name = match approval.kind {
        ApprovalKind::Plan => "plan.txt",
        ApprovalKind::Permission | ApprovalKind::Question => "prompt.txt",
    };
    Some(Content {
        rich: Rich::plain("All of what claude asks for above."),
        file: Some(Upload {
            name: name.to_owned(),
            body: Body::Text(whole.text),
        }),
        ..Content::default()
    })
}

/// The last line of a prompt that nobody can decide any more.
fn ending(prompt: &Prompt) -> Option<String> {
    let pressed = prompt.pressed.as_ref();
    let Some(closed) = &prompt.closed else {
        let pressed = pressed?;
        return Some(match pressed.how {
            How::Again => applied(pressed),
            How::Here | How::Granted => format!(
                "{} {} The session gets it as soon as it answers.",
                mark(pressed.decision.verdict),
                prompt.verdict_in_words()
            ),
        });
    };
    let by = closed.by.as_deref().map(|by| visible::line(by, LINE_CHARS));
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let answered = prompt.approval.kind == ApprovalKind::Question;
    Some(match (closed.outcome, pressed) {
        (ApprovalOutcome::Allowed | ApprovalOutcome::Denied, Some(pressed)) if pressed.how == How::Again => {
            applied(pressed)
        }
        (ApprovalOutcome::Allowed, _) if answered => format!("Answered{by}."),
        (ApprovalOutcome::Denied, _) if answered => format!("⏭ Skipped{by}."),
        (ApprovalOutcome::Allowed, pressed) => {
            let session = match (
                pressed.is_some_and(|pressed| pressed.decision.remember),
                prompt.approval.kind,
            ) {
                (false, _) => String::new(),
                (true, ApprovalKind::Plan) => " Edits are accepted from now on.".to_owned(),
                (true, _) => remembered(&prompt.approval),
            };
            format!("✅ Allowed{by}.{session}")
        }
        (ApprovalOutcome::Denied, pressed) => match pressed.and_then(|pressed| pressed.word.as_deref()) {
            Some(word) => format!("⛔ Denied{by}: {}", visible::line(word, LINE_CHARS)),
            None => format!("⛔ Denied{by}."),
        },
        (ApprovalOutcome::Expired, _) => format!("⌛ {}", prompt.expired()),
        (ApprovalOutcome::Cancelled, _) => prompt.cancelled(),
    })
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "✅",
        Verdict::Deny => "⛔",
    }
}

fn applied(pressed: &Pressed) -> String {
    let by = pressed.decision.by.as_deref();
    let by = by.map_or_else(|| "somebody".to_owned(), |by| visible::line(by, LINE_CHARS));
    let mark = mark(pressed.decision.verdict);
    format!("{mark} Applied what {by} pressed at {}.", clock(pressed.at))
}

/// What is allowed for the rest of the session.
fn remembered(approval: &Approval) -> String {
    let rules = approval.rememberable.iter().flatten();
    let rules: Vec<String> = rules.map(|rule| visible::line(rule, LINE_CHARS)).collect();
    match rules.is_empty() {
        true => " For this session.".to_owned(),
        false => format!(" For this session: {}.", visible::line(&rules.join(", "), LINE_CHARS)),
    }
}

fn always(prompt: &Prompt, granted: &Granted) -> String {
    let tool = visible::line(&prompt.approval.tool_name, LINE_CHARS);
    let by = visible::line(&granted.by, LINE_CHARS);
    match &granted.over {
        None => format!("{tool} is always allowed in this topic from now on, whatever it is to do, as {by} said."),
        Some(Over::Stopped { by: other, at }) => {
            let other = visible::line(other, LINE_CHARS);
            format!(
                "{by} had always allowed {tool} in this topic, until {other} stopped that at {}.",
                clock(*at)
            )
        }
        Some(Over::NoApprover) => {
            format!(
                "{by} had always allowed {tool} in this topic. That is over, since {by} is no approver here any more."
            )
        }
    }
}

fn write_why(writer: &Writer) -> String {
    format!(
        "💬 {}, write why: your next message here goes to claude with the denial. /stop or another button takes it back.",
        visible::line(&writer.name, 60)
    )
}

pub(super) fn bold(text: String) -> Rich {
    let length = render::units(&text);
    Rich {
        text,
        entities: vec![Entity {
            style: Style::Bold,
            offset: 0,
            length,
        }],
    }
}

/// What claude wants, in full as far as it fits: nobody should allow what they cannot read.
fn head(prompt: &Prompt) -> Rich {
    let approval = &prompt.approval;
    match approval.kind {
        ApprovalKind::Permission => {
            let tool = visible::line(&approval.tool_name, LINE_CHARS);
            let rich = bold(format!("May claude use {tool}?")).paragraph(fitting(&whole(approval)));
            why(approval)
                .into_iter()
                .fold(rich, |rich, line| rich.paragraph(Rich::plain(line)))
        }
        ApprovalKind::Plan => bold("claude's plan".to_owned()).paragraph(fitting(&whole(approval))),
        ApprovalKind::Question => questions(approval).into_iter().fold(Rich::default(), |all, question| {
            let answer = prompt.answers.get(&question.text).map_or("–", String::as_str);
            all.paragraph(cut_end(&bold(visible::visible(&question.text)), INPUT_UNITS / 4))
                .paragraph(cut_end(&Rich::plain(visible::visible(answer)), INPUT_UNITS / 4))
        }),
    }
}

/// All that a permission prompt or plan is about, however long.
fn whole(approval: &Approval) -> Rich {
    match approval.kind {
        ApprovalKind::Permission => {
            let wanted = tool::wanted(&approval.tool_name, &approval.input);
            match wanted.text.trim().is_empty() {
                true => Rich::plain(visible::visible(&approval.summary)),
                false => wanted,
            }
        }
        ApprovalKind::Plan => match approval.input["plan"].as_str() {
            Some(plan) => render::markdown(&visible::visible(plan)),
            None => Rich::plain("The plan is what claude has written above."),
        },
        ApprovalKind::Question => Rich::default(),
    }
}

/// Why claude asks, where it says so.
fn why(approval: &Approval) -> Vec<String> {
    let reason = approval
        .reason
        .as_deref()
        .map(|reason| visible::line(reason, LINE_CHARS));
    let path = approval
        .blocked_path
        .as_deref()
        .map(|path| visible::line(path, LINE_CHARS));
    let told = match (reason, path) {
        (Some(reason), Some(path)) => format!("Why claude asks: {reason} ({path})"),
        (Some(reason), None) => format!("Why claude asks: {reason}"),
        (None, Some(path)) => format!("Why claude asks: it touches {path}"),
        (None, None) => return Vec::new(),
    };
    vec![told]
}

fn ask(prompt: &Prompt, number: usize, question: &Question) -> (Rich, Vec<Vec<Button>>) {
    let text = visible::visible(&question.text);
    let mut rich = match question.header.trim() {
        "" => bold(text),
        header => Rich::plain(format!("❓ {}", visible::line(header, 60))).paragraph(bold(text)),
    };
    let described = question
        .options
        .iter()
        .filter(|(_, description)| !description.is_empty());
    for (label, description) in described {
        let line = format!("{}: {}", visible::visible(label), visible::visible(description));
        rich = rich.paragraph(Rich::plain(line));
    }
    let hint = match (question.options.is_empty(), question.several) {
        (true, _) => "Write your answer.",
        (false, true) => "Choose any number of them and press Done, or write your answer.",
        (false, false) => "Press one, or write another answer.",
    };
    let chosen = question.several.then_some(&prompt.chosen[..]);
    let buttons = buttons::of_question(prompt.row, number, &question.options, chosen);
    let rich = cut_end(&rich, INPUT_UNITS)
        .paragraph(Rich::plain(hint))
        .paragraph(prompt.waits());
    (rich, buttons)
}

/// The beginning that fits, and how much is missing.
fn fitting(rich: &Rich) -> Rich {
    let mut parts = render::split(rich, INPUT_UNITS);
    if parts.len() < 2 {
        return parts.pop().unwrap_or_default();
    }
    let shown = parts.swap_remove(0);
    let missing = rich.text.get(shown.text.len()..).unwrap_or_default().trim_start();
    let (lines, characters) = (missing.lines().count(), missing.chars().count());
    let told = format!(
        "[… {} with {} more stand in the file below]",
        tool::count(lines, "line"),
        tool::count(characters, "character")
    );
    shown.paragraph(Rich::plain(told))
}

pub(super) fn cut_end(rich: &Rich, limit: usize) -> Rich {
    let mut parts = render::split(rich, limit);
    match parts.len() {
        0 => Rich::default(),
        1 => parts.remove(0),
        _ => parts.remove(0).paragraph(Rich::plain("[… cut; the rest is not shown]")),
    }
}

/// A time of day.
pub fn clock(at: i64) -> String {
    Timestamp::from_second(at)
        .map(|at| at.strftime("%H:%M UTC").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "prompt_tests.rs"]
mod tests;
