//! Buttons of prompts: what each stands for, and how it is written into the few bytes that Telegram gives a button.

use longshore_wire::api::{Approval, ApprovalKind};

use super::tool;
use super::visible;
use crate::telegram::client::Button;

/// Longest label of an option that reads well.
const LABEL_CHARS: usize = 48;
/// Longest name of a tool in a label.
const TOOL_CHARS: usize = 14;

/// What a pressed button stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Let it happen, this once.
    Allow,
    /// Also what claude suggests for the rest of the session; for a plan, edits without asking.
    AllowSession,
    /// Let this tool do anything in this topic from now on.
    AllowAlways,
    /// Do not; no answer.
    Deny,
    /// Do not, and the next message of whoever pressed says why.
    DenyWithWord,
    /// What was always allowed is not any more.
    StopAllowing,
    /// This option of this question.
    Option {
        /// Number of the question, from 0.
        question: usize,
        /// Number of the option, from 0.
        option: usize,
    },
    /// The options of this question that are chosen are the answer.
    Done {
        /// Number of the question, from 0.
        question: usize,
    },
}

/// `ap:<row>:` and `y`, `s`, `a`, `n`, `w`, `x`, `<question>.<option>` or `<question>.d`.
pub fn data(row: i64, choice: Choice) -> String {
    match choice {
        Choice::Allow => format!("ap:{row}:y"),
        Choice::AllowSession => format!("ap:{row}:s"),
        Choice::AllowAlways => format!("ap:{row}:a"),
        Choice::Deny => format!("ap:{row}:n"),
        Choice::DenyWithWord => format!("ap:{row}:w"),
        Choice::StopAllowing => format!("ap:{row}:x"),
        Choice::Option { question, option } => format!("ap:{row}:{question}.{option}"),
        Choice::Done { question } => format!("ap:{row}:{question}.d"),
    }
}

/// The reverse of [`data`].
pub fn read_data(data: &str) -> Option<(i64, Choice)> {
    let (row, choice) = data.strip_prefix("ap:")?.split_once(':')?;
    let choice = match choice {
        "y" => Choice::Allow,
        "s" => Choice::AllowSession,
        "a" => Choice::AllowAlways,
        "n" => Choice::Deny,
        "w" => Choice::DenyWithWord,
        "x" => Choice::StopAllowing,
        other => {
            let (question, option) = other.split_once('.')?;
            let question = question.parse().ok()?;
            match option {
                "d" => Choice::Done { question },
                option => Choice::Option {
                    question,
                    option: option.parse().ok()?,
                },
            }
        }
    };
    Some((row.parse().ok()?, choice))
}

/// A button.
pub fn button(text: &str, callback_data: String) -> Button {
    Button {
        text: text.to_owned(),
        callback_data,
    }
}

/// Buttons of a permission prompt or plan.
pub(super) fn of_verdict(row: i64, approval: &Approval) -> Vec<Vec<Button>> {
    let of = |label: &str, choice| button(label, data(row, choice));
    if approval.kind == ApprovalKind::Plan {
        return vec![
            vec![
                of("✅ Approve the plan", Choice::Allow),
                of("✅ And accept edits", Choice::AllowSession),
            ],
            vec![
                of("✏️ Keep planning", Choice::Deny),
                of("💬 Keep, say why", Choice::DenyWithWord),
            ],
        ];
    }
    let mut allow = vec![of("✅ Allow", Choice::Allow)];
    // With nothing to remember the button would do the same as the first.
    if approval.rememberable.as_ref().is_none_or(|rules| !rules.is_empty()) {
        allow.push(of("This session", Choice::AllowSession));
    }
    allow.push(of(&always(&approval.tool_name), Choice::AllowAlways));
    let deny = vec![
        of("⛔ Deny", Choice::Deny),
        of("💬 Deny, say why", Choice::DenyWithWord),
    ];
    vec![allow, deny]
}

/// `Always Bash here`; of an MCP tool only its own name, and none that is too long.
fn always(tool: &str) -> String {
    let short = tool::mcp(tool).map_or(tool, |(_, name)| name);
    let short = visible::line(short, TOOL_CHARS);
    format!("Always {short} here")
}

/// Buttons of a question. With `chosen` several may be.
pub(super) fn of_question(
    row: i64,
    question: usize,
    options: &[(String, String)],
    chosen: Option<&[usize]>,
) -> Vec<Vec<Button>> {
    let mut rows: Vec<Vec<Button>> = Vec::new();
    for (option, (label, _)) in options.iter().enumerate() {
        let mark = match chosen {
            None => "",
            Some(chosen) if chosen.contains(&option) => "☑ ",
            Some(_) => "☐ ",
        };
        let label = format!("{mark}{}", visible::line(label, LABEL_CHARS));
        rows.push(vec![button(&label, data(row, Choice::Option { question, option }))]);
    }
    let mut last = Vec::new();
    if chosen.is_some() && !options.is_empty() {
        last.push(button("✅ Done", data(row, Choice::Done { question })));
    }
    last.push(button("⏭ Skip", data(row, Choice::Deny)));
    rows.push(last);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn choices() -> impl Strategy<Value = Choice> {
        prop_oneof![
            Just(Choice::Allow),
            Just(Choice::AllowSession),
            Just(Choice::AllowAlways),
            Just(Choice::Deny),
            Just(Choice::DenyWithWord),
            Just(Choice::StopAllowing),
            (any::<usize>(), any::<usize>()).prop_map(|(question, option)| Choice::Option { question, option }),
            any::<usize>().prop_map(|question| Choice::Done { question }),
        ]
    }

    proptest! {
        #[test]
        fn what_a_button_carries_fits_and_comes_back_as_it_went(row in any::<i64>(), choice in choices()) {
            let data = data(row, choice);
            // `ap:`, a row of 20 characters and two numbers of 20 at most, with what is between them.
            prop_assert!(data.len() <= 64 || matches!(choice, Choice::Option { .. }), "{}", data);
            prop_assert_eq!(read_data(&data), Some((row, choice)));
        }

        #[test]
        fn every_button_of_a_question_that_claude_can_ask_fits(row in any::<i64>(), question in 0..1000_usize, option in 0..1000_usize) {
            let data = data(row, Choice::Option { question, option });
            prop_assert!(data.len() <= 64, "{}", data);
        }

        #[test]
        fn what_no_button_carries_is_read_without_harm(data in ".{0,70}") {
            if let Some((row, choice)) = read_data(&data) {
                prop_assert_eq!(read_data(&super::data(row, choice)), Some((row, choice)));
            }
        }
    }

    fn labels(approval: &Approval) -> Vec<Vec<String>> {
        let rows = of_verdict(1, approval).into_iter();
        rows.map(|row| row.into_iter().map(|button| button.text).collect())
            .collect()
    }

    #[test]
    fn a_permission_has_two_rows_of_buttons_and_names_its_tool() {
        let mut bash = Approval::new("a", ApprovalKind::Permission, "Bash", json!({}));
        assert_eq!(
            labels(&bash),
            [
                vec!["✅ Allow", "This session", "Always Bash here"],
                vec!["⛔ Deny", "💬 Deny, say why"]
            ]
        );
        bash.rememberable = Some(Vec::new());
        bash.tool_name = "mcp__github__create_pull_request".into();
        assert_eq!(labels(&bash)[0], ["✅ Allow", "Always create_pull_r… here"]);
    }
}
