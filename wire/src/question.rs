//! The questions inside a prompt of claude's (`AskUserQuestion`), read from the tool's input.
//!
//! Reading never fails: an input of an unknown shape is one question that can be answered in words.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::{Approval, ApprovalKind};

/// One question of AskUserQuestion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The question.
    pub text: String,
    /// What it is about, in a word or two; empty when that is not said.
    pub header: String,
    /// Labels and descriptions of the suggested answers.
    pub options: Vec<(String, String)>,
    /// Whether several may be chosen.
    pub several: bool,
}

/// The questions that a prompt holds; none for other prompts.
pub fn questions(approval: &Approval) -> Vec<Question> {
    if approval.kind != ApprovalKind::Question {
        return Vec::new();
    }
    let list = approval.input["questions"].as_array().map_or(&[][..], Vec::as_slice);
    let found: Vec<_> = list
        .iter()
        .map(read)
        .filter(|question| !question.text.is_empty())
        .collect();
    if !found.is_empty() {
        return found;
    }
    vec![Question {
        text: approval.summary.clone(),
        header: String::new(),
        options: Vec::new(),
        several: false,
    }]
}

/// The first question without an answer, and its number from 0.
pub fn next_question(approval: &Approval, answers: &BTreeMap<String, String>) -> Option<(usize, Question)> {
    let mut all = questions(approval).into_iter().enumerate();
    all.find(|(_, question)| !answers.contains_key(&question.text))
}

fn read(question: &Value) -> Question {
    let string = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let options = question["options"].as_array().map_or(&[][..], Vec::as_slice);
    Question {
        text: string(question, "question"),
        header: string(question, "header"),
        options: options
            .iter()
            .map(|one| (string(one, "label"), string(one, "description")))
            .collect(),
        several: question["multiSelect"].as_bool().unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn approval(kind: ApprovalKind, input: Value) -> Approval {
        Approval {
            summary: "Which colour?".to_owned(),
            ..Approval::new("one", kind, "AskUserQuestion", input)
        }
    }

    #[test]
    fn questions_are_asked_one_after_the_other() {
        let asked = approval(
            ApprovalKind::Question,
            json!({"questions": [
                {"question": "Colour?", "options": [{"label": "red", "description": "warm"}]},
                {"question": "Size?", "multiSelect": true},
            ]}),
        );
        let (number, first) = next_question(&asked, &BTreeMap::new()).unwrap();
        assert_eq!(
            (number, first.options),
            (0, vec![("red".to_owned(), "warm".to_owned())])
        );
        let answers = BTreeMap::from([("Colour?".to_owned(), "red".to_owned())]);
        let (number, second) = next_question(&asked, &answers).unwrap();
        assert_eq!((number, second.text.as_str(), second.several), (1, "Size?", true));
    }

    #[test]
    fn an_input_of_an_unknown_shape_is_a_question_in_words_and_other_prompts_have_none() {
        let odd = questions(&approval(ApprovalKind::Question, json!({"ask": 1})));
        assert_eq!(odd[0].text, "Which colour?");
        assert!(questions(&approval(ApprovalKind::Permission, json!({}))).is_empty());
    }
}
