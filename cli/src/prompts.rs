//! Prompts that wait for a person, by the numbers that people answer them with. Pure.

use std::collections::BTreeMap;

use longshore_wire::api::{Approval, ApprovalKind, Decision, Verdict};
use longshore_wire::question::{Question, next_question, questions};

use crate::plain::{indent, one_line, plain};

/// Prompts that were seen, numbered from 1 in the order they came.
#[derive(Debug, Default)]
pub struct Prompts {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    approval: Approval,
    answers: BTreeMap<String, String>,
    open: bool,
}

/// What an answer to a prompt comes to.
#[derive(Debug, PartialEq)]
pub enum Answered {
    /// This is to be sent.
    Decided {
        /// The prompt's id.
        id: String,
        /// The decision.
        decision: Decision,
    },
    /// There is another question to it.
    Next(String),
}

impl Prompts {
    /// Takes up a prompt; the same one keeps its number.
    pub fn open(&mut self, approval: &Approval) -> usize {
        if let Some(place) = self.known.iter().position(|known| known.approval.id == approval.id) {
            return place + 1;
        }
        self.known.push(Known {
            approval: approval.clone(),
            answers: BTreeMap::new(),
            open: true,
        });
        self.known.len()
    }

    /// Whether it was not seen yet.
    pub fn is_new(&self, approval: &Approval) -> bool {
        self.known.iter().all(|known| known.approval.id != approval.id)
    }

    /// A prompt waits no longer. Its number, and whether it was a question.
    pub fn close(&mut self, id: &str) -> Option<(usize, ApprovalKind)> {
        let place = self.known.iter().position(|known| known.approval.id == id)?;
        self.known[place].open = false;
        Some((place + 1, self.known[place].approval.kind))
    }

    /// Forgets what does not wait any more, by the runner's own list.
    pub fn retain(&mut self, waiting: &[Approval]) {
        for known in &mut self.known {
            known.open &= waiting.iter().any(|one| one.id == known.approval.id);
        }
    }

    /// `/allow` and `/deny`.
    pub fn judge(
        &self,
        number: Option<usize>,
        verdict: Verdict,
        word: Option<&str>,
        by: Option<&str>,
    ) -> Result<Answered, String> {
        let (number, known) = self.pick(number)?;
        if known.approval.kind == ApprovalKind::Question && verdict == Verdict::Allow {
            return Err(format!("[{number}] is a question: /answer {number} TEXT"));
        }
        Ok(decided(known, verdict, word, BTreeMap::new(), by))
    }

    /// `/answer`: text, or the number of a suggested answer.
    pub fn answer(&mut self, number: Option<usize>, text: &str, by: Option<&str>) -> Result<Answered, String> {
        let (number, _) = self.pick(number)?;
        let known = &mut self.known[number - 1];
        let Some((_, question)) = next_question(&known.approval, &known.answers) else {
            return Err(format!(
                "[{number}] asks no question: /allow {number} or /deny {number} WHY"
            ));
        };
        let chosen = text
            .parse::<usize>()
            .ok()
            .and_then(|place| question.options.get(place.checked_sub(1)?));
        let answer = chosen.map_or_else(|| text.to_owned(), |(label, _)| label.clone());
        known.answers.insert(question.text, answer);
        if let Some((_, next)) = next_question(&known.approval, &known.answers) {
            return Ok(Answered::Next(ask(number, &next)));
        }
        let answers = std::mem::take(&mut known.answers);
        Ok(decided(&self.known[number - 1], Verdict::Allow, None, answers, by))
    }

    fn pick(&self, number: Option<usize>) -> Result<(usize, &Known), String> {
        let open = self.known.iter().enumerate().filter(|(_, known)| known.open);
        let mut open = open.map(|(place, known)| (place + 1, known));
        match number {
            Some(wanted) => open
                .find(|(number, _)| *number == wanted)
                .ok_or_else(|| format!("no prompt [{wanted}] waits")),
            None => match (open.next(), open.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err("no prompt waits".to_owned()),
                (Some(_), Some(_)) => Err("several prompts wait; say the number of one".to_owned()),
            },
        }
    }
}

fn decided(
    known: &Known,
    verdict: Verdict,
    word: Option<&str>,
    answers: BTreeMap<String, String>,
    by: Option<&str>,
) -> Answered {
    Answered::Decided {
        id: known.approval.id.clone(),
        decision: Decision {
            verdict,
            remember: false,
            message: word.map(str::to_owned),
            answers,
            by: by.map(str::to_owned),
        },
    }
}

/// What a prompt wants, in full: nobody should allow what they cannot read.
pub fn wanted(approval: &Approval) -> String {
    match approval.kind {
        ApprovalKind::Permission => {
            let input = &approval.input;
            let command = input["command"].as_str().map(str::to_owned);
            let text = command.unwrap_or_else(|| serde_json::to_string_pretty(input).unwrap_or_default());
            let text = if text.trim().is_empty() || input.is_null() {
                approval.summary.clone()
            } else {
                text
            };
            format!(
                "May claude use {}?\n{}",
                one_line(&approval.tool_name, 80),
                indent(&plain(&text), "    ")
            )
        }
        ApprovalKind::Plan => {
            let plan = approval.input["plan"].as_str().unwrap_or(&approval.summary);
            format!("Is this plan good?\n{}", indent(&plain(plan), "    "))
        }
        ApprovalKind::Question => {
            let all = questions(approval);
            all.iter()
                .map(|question| plain(&question.text))
                .collect::<Vec<_>>()
                .join("\n")
        }
    }
}

/// A prompt with its number and how to answer it.
pub fn asking(number: usize, approval: &Approval) -> String {
    match approval.kind {
        ApprovalKind::Question => next_question(approval, &BTreeMap::new())
            .map(|(_, question)| ask(number, &question))
            .unwrap_or_default(),
        _ => format!(
            "[{number}] {}\n    /allow {number}   or   /deny {number} WHY",
            wanted(approval)
        ),
    }
}

fn ask(number: usize, question: &Question) -> String {
    let mut text = format!("[{number}] {}", plain(&question.text));
    for (place, (label, description)) in question.options.iter().enumerate() {
        let more = if description.is_empty() {
            String::new()
        } else {
            format!(": {}", one_line(description, 200))
        };
        text = format!("{text}\n    {}. {}{more}", place + 1, one_line(label, 100));
    }
    let hint = match (question.options.is_empty(), question.several) {
        (true, _) => "TEXT",
        (false, true) => "TEXT (several may be chosen; or the number of one)",
        (false, false) => "TEXT (or the number of one of these)",
    };
    format!("{text}\n    /answer {number} {hint}")
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub fn approval(id: &str, kind: ApprovalKind, input: Value) -> Approval {
        let tool = if kind == ApprovalKind::Question {
            "AskUserQuestion"
        } else {
            "Bash"
        };
        Approval {
            summary: "in short".to_owned(),
            ..Approval::new(id, kind, tool, input)
        }
    }

    fn bash(id: &str) -> Approval {
        approval(id, ApprovalKind::Permission, json!({"command": "rm -rf build\nmake"}))
    }

    #[test]
    fn prompts_keep_their_numbers_and_answers_find_them() {
        let mut prompts = Prompts::default();
        assert_eq!(
            prompts.judge(None, Verdict::Allow, None, None),
            Err("no prompt waits".to_owned())
        );
        assert_eq!(
            (
                prompts.open(&bash("a")),
                prompts.open(&bash("b")),
                prompts.open(&bash("a"))
            ),
            (1, 2, 1)
        );
        assert!(
            prompts
                .judge(None, Verdict::Allow, None, None)
                .unwrap_err()
                .contains("several")
        );
        let Ok(Answered::Decided { id, decision }) = prompts.judge(Some(2), Verdict::Deny, Some("never"), Some("ada"))
        else {
            panic!()
        };
        assert_eq!(
            (id.as_str(), decision.verdict, decision.message.as_deref()),
            ("b", Verdict::Deny, Some("never"))
        );
        prompts.close("b");
        assert!(prompts.judge(Some(2), Verdict::Allow, None, None).is_err());
        assert!(
            matches!(prompts.judge(None, Verdict::Allow, None, None), Ok(Answered::Decided { id, .. }) if id == "a")
        );
        assert!(
            prompts
                .answer(Some(1), "yes", None)
                .unwrap_err()
                .contains("asks no question")
        );
    }

    #[test]
    fn several_questions_are_asked_one_by_one_and_sent_together() {
        let mut prompts = Prompts::default();
        let questions = json!({"questions": [
            {"question": "Colour?", "options": [{"label": "red", "description": "warm"}, {"label": "blue"}]},
            {"question": "Size?"},
        ]});
        let asked = approval("q", ApprovalKind::Question, questions);
        let number = prompts.open(&asked);
        insta::assert_snapshot!(asking(number, &asked), @r"
        [1] Colour?
            1. red: warm
            2. blue
            /answer 1 TEXT (or the number of one of these)
        ");
        assert!(prompts.judge(None, Verdict::Allow, None, None).is_err());
        assert_eq!(
            prompts.answer(None, "2", None),
            Ok(Answered::Next("[1] Size?\n    /answer 1 TEXT".to_owned()))
        );
        let Ok(Answered::Decided { decision, .. }) = prompts.answer(Some(1), "7", None) else {
            panic!()
        };
        let expected = BTreeMap::from([
            ("Colour?".to_owned(), "blue".to_owned()),
            ("Size?".to_owned(), "7".to_owned()),
        ]);
        assert_eq!(decision.answers, expected);
    }

    #[test]
    fn a_command_is_shown_in_full_without_control_characters() {
        let tricky = approval(
            "a",
            ApprovalKind::Permission,
            json!({"command": "ls\u{1b}[8m; rm -rf /\nmake"}),
        );
        insta::assert_snapshot!(asking(1, &tricky), @r"
        [1] May claude use Bash?
            ls[8m; rm -rf /
            make
            /allow 1   or   /deny 1 WHY
        ");
    }
}
