//! How prompts and questions of claude's look in a chat, and how their buttons are read. Pure.
//!
//! A button carries the row of the prompt and what it stands for, well within Telegram's 64 bytes; the prompt itself stays
//! in the store.

use std::collections::BTreeMap;

use longshore_wire::api::{Approval, ApprovalKind};
use longshore_wire::event::ApprovalOutcome;
pub use longshore_wire::question::{Question, next_question, questions};

use crate::render::{self, Entity, Rich, Style};
use crate::store::posts::Content;
use crate::telegram::client::Button;

/// Room for what a tool wants to do; more is cut, with a mark.
const INPUT_UNITS: usize = 3000;
/// Longest label of a button that reads well.
const LABEL_CHARS: usize = 48;

/// What a pressed button stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Let it happen.
    Allow,
    /// Do not.
    Deny,
    /// This option of this question.
    Option {
        /// Number of the question, from 0.
        question: usize,
        /// Number of the option, from 0.
        option: usize,
    },
}

/// `ap:<row>:y`, `ap:<row>:n`, `ap:<row>:<question>.<option>`.
pub fn data(row: i64, choice: Choice) -> String {
    match choice {
        Choice::Allow => format!("ap:{row}:y"),
        Choice::Deny => format!("ap:{row}:n"),
        Choice::Option { question, option } => format!("ap:{row}:{question}.{option}"),
    }
}

/// The reverse of [`data`].
pub fn read_data(data: &str) -> Option<(i64, Choice)> {
    let (row, choice) = data.strip_prefix("ap:")?.split_once(':')?;
    let choice = match choice {
        "y" => Choice::Allow,
        "n" => Choice::Deny,
        other => {
            let (question, option) = other.split_once('.')?;
            Choice::Option {
                question: question.parse().ok()?,
                option: option.parse().ok()?,
            }
        }
    };
    Some((row.parse().ok()?, choice))
}

/// A prompt that waits.
pub fn asking(row: i64, approval: &Approval, answers: &BTreeMap<String, String>) -> Content {
    match approval.kind {
        ApprovalKind::Question => match next_question(approval, answers) {
            Some((number, question)) => ask(row, number, &question),
            None if answers.is_empty() => Content {
                rich: head(approval, answers),
                buttons: vec![vec![button("⏭ Skip", data(row, Choice::Deny))]],
                ..Content::default()
            },
            None => Content {
                rich: head(approval, answers),
                ..Content::default()
            },
        },
        ApprovalKind::Permission => Content {
            rich: head(approval, answers),
            buttons: vec![vec![
                button("✅ Allow", data(row, Choice::Allow)),
                button("⛔ Deny", data(row, Choice::Deny)),
            ]],
            ..Content::default()
        },
        ApprovalKind::Plan => Content {
            rich: head(approval, answers),
            buttons: vec![vec![
                button("✅ Approve the plan", data(row, Choice::Allow)),
                button("✏️ Keep planning", data(row, Choice::Deny)),
            ]],
            ..Content::default()
        },
    }
}

/// A prompt that does not wait any more, without buttons.
pub fn closed(
    approval: &Approval,
    answers: &BTreeMap<String, String>,
    outcome: ApprovalOutcome,
    by: Option<&str>,
) -> Content {
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let answered = approval.kind == ApprovalKind::Question;
    let end = match outcome {
        ApprovalOutcome::Allowed if answered => format!("Answered{by}."),
        ApprovalOutcome::Allowed => format!("✅ Allowed{by}."),
        ApprovalOutcome::Denied => format!("⛔ Denied{by}."),
        ApprovalOutcome::Expired => "⌛ Nobody answered in time, so it was denied.".to_owned(),
        ApprovalOutcome::Cancelled => "No longer needed.".to_owned(),
    };
    Content {
        rich: head(approval, answers).paragraph(Rich::plain(end)),
        ..Content::default()
    }
}

pub(super) fn button(text: &str, callback_data: String) -> Button {
    Button {
        text: text.to_owned(),
        callback_data,
    }
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

fn head(approval: &Approval, answers: &BTreeMap<String, String>) -> Rich {
    match approval.kind {
        ApprovalKind::Permission => {
            let title = bold(format!("May claude use {}?", approval.tool_name));
            title.paragraph(cut_end(&input(approval), INPUT_UNITS))
        }
        ApprovalKind::Plan => {
            let plan = approval.input["plan"].as_str().unwrap_or(&approval.summary);
            bold("claude's plan".to_owned()).paragraph(cut_end(&render::markdown(plan), INPUT_UNITS))
        }
        ApprovalKind::Question => questions(approval).into_iter().fold(Rich::default(), |all, question| {
            let answer = answers.get(&question.text).map_or("–", String::as_str);
            all.paragraph(cut_end(&bold(question.text.clone()), INPUT_UNITS / 4))
                .paragraph(cut_end(&Rich::plain(answer), INPUT_UNITS / 4))
        }),
    }
}

fn ask(row: i64, number: usize, question: &Question) -> Content {
    let mut rich = bold(question.text.clone());
    for (label, description) in question
        .options
        .iter()
        .filter(|(_, description)| !description.is_empty())
    {
        rich = rich.paragraph(Rich::plain(format!("{label}: {description}")));
    }
    let hint = match (question.options.is_empty(), question.several) {
        (true, _) => "Write your answer.",
        (false, true) => "Several may be chosen: write them, or press one.",
        (false, false) => "Press one, or write another answer.",
    };
    let options = question.options.iter().enumerate().map(|(option, (label, _))| {
        let label = label.chars().take(LABEL_CHARS).collect::<String>();
        vec![button(
            &label,
            data(
                row,
                Choice::Option {
                    question: number,
                    option,
                },
            ),
        )]
    });
    Content {
        rich: cut_end(&rich, INPUT_UNITS).paragraph(Rich::plain(hint)),
        buttons: options.collect(),
        ..Content::default()
    }
}

/// What a tool wants to do, in full as far as it fits: nobody should allow what they cannot read.
fn input(approval: &Approval) -> Rich {
    let command = approval.input["command"].as_str().map(str::to_owned);
    let text = command.unwrap_or_else(|| serde_json::to_string_pretty(&approval.input).unwrap_or_default());
    if text.trim().is_empty() || text == "null" {
        return Rich::plain(approval.summary.clone());
    }
    let length = render::units(&text);
    Rich {
        text,
        entities: vec![Entity {
            style: Style::Pre { language: None },
            offset: 0,
            length,
        }],
    }
}

pub(super) fn cut_end(rich: &Rich, limit: usize) -> Rich {
    let mut parts = render::split(rich, limit);
    match parts.len() {
        0 => Rich::default(),
        1 => parts.remove(0),
        _ => parts.remove(0).paragraph(Rich::plain("[… cut; the rest is not shown]")),
    }
}
