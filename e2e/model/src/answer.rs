//! Chooses what to answer: from rules, directives and the conversation to the steps of this one response.
//!
//! Pure: what has fired before comes in as [`Fired`] and is recorded in it. Never fails; there is always a default.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    conversation::Conversation,
    directive,
    script::{Rule, Step, Text, Tool},
};

/// One request, as the choice sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub conversation: &'a Conversation,
    pub model: &'a str,
    pub body: &'a str,
    /// Keeps equal conversations of different CLI sessions apart.
    pub session: &'a str,
}

/// The chosen answer: steps for this response only, templates filled, spent faults left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which rule answered, for the journal.
    pub rule: String,
    pub steps: Vec<Step>,
}

/// How often each fault has fired and each rule has answered. A retried request looks exactly like the first one, so
/// this cannot be computed from the conversation.
#[derive(Debug, Default)]
pub struct Fired {
    faults: HashMap<String, u32>,
    rules: HashMap<u64, u32>,
}

/// A rule with the number under which its uses are counted.
#[derive(Clone, Debug)]
pub struct Numbered {
    pub id: u64,
    pub rule: Rule,
}

/// `added` are the rules put in at run time, which win over directives; `started_with` come after them.
pub fn choose(asked: Asked<'_>, added: &[Numbered], started_with: &[Numbered], fired: &mut Fired) -> Answer {
    let (rule, script, behind) = script_for(asked, added, started_with, fired);
    let turn = format!(
        "{}|{}|{}|{}",
        asked.session,
        asked.conversation.turns(),
        asked.conversation.last_user().unwrap_or_default(),
        rule
    );
    let mut steps = Vec::new();
    for (index, step) in segment(&script, behind) {
        if let Some(times) = step.times() {
            let count = fired.faults.entry(format!("{turn}|{index}")).or_default();
            if *count >= times {
                continue;
            }
            *count += 1;
            steps.push(step);
            break;
        }
        steps.push(fill(step, asked.conversation));
    }
    if !steps.iter().any(says_something) {
        steps.push(text(asked.conversation, closing(asked.conversation)));
    }
    Answer { rule, steps }
}

/// The rule's name, its whole script and how many tool results of the turn lie behind.
fn script_for(
    asked: Asked<'_>,
    added: &[Numbered],
    started_with: &[Numbered],
    fired: &mut Fired,
) -> (String, Vec<Step>, usize) {
    let results = asked.conversation.results_in_turn();
    let mut by_rule = |rules: &[Numbered]| {
        let matching = |n: &&Numbered| {
            n.rule.when.holds(asked.conversation, asked.model, asked.body)
                && n.rule
                    .times
                    .is_none_or(|times| fired.rules.get(&n.id).copied().unwrap_or(0) < times)
        };
        let found = rules.iter().find(matching)?;
        *fired.rules.entry(found.id).or_default() += 1;
        let behind = results - usize::from(found.rule.when.has_tool_result == Some(true));
        Some((found.rule.name.clone(), found.rule.steps.clone(), behind))
    };
    if let Some(chosen) = by_rule(added) {
        return chosen;
    }
    let script = directives(asked.conversation);
    if !script.is_empty() {
        return ("directives".to_owned(), script, results);
    }
    by_rule(started_with).unwrap_or_else(|| {
        let quote = Step::Text(Text::Plain("You wrote: {{last_user}}".to_owned()));
        ("default".to_owned(), vec![quote], results)
    })
}

/// Directives of the text that opened the turn, then of the messages folded into it. A folded message without any is
/// acknowledged in words.
fn directives(conversation: &Conversation) -> Vec<Step> {
    let mut script = directive::steps(conversation.last_user().unwrap_or_default());
    if script.is_empty() {
        return script;
    }
    for folded in conversation.folded_in_turn() {
        let own = directive::steps(folded);
        if own.is_empty() {
            script.push(Step::Text(Text::Plain(format!(" (You also wrote: {})", folded.trim()))));
        }
        script.extend(own);
    }
    script
}

/// The steps behind the first `behind` tool results, up to the next tool call.
fn segment(script: &[Step], behind: usize) -> Vec<(usize, Step)> {
    let (mut results, mut out) = (0, Vec::new());
    for (index, step) in script.iter().enumerate() {
        if results >= behind {
            out.push((index, step.clone()));
            if step.calls() > 0 {
                break;
            }
        }
        results += step.calls();
    }
    out
}

fn says_something(step: &Step) -> bool {
    matches!(step, Step::Text(_) | Step::Tool(_) | Step::Tools(_)) || step.times().is_some()
}

/// What a turn ends with when its script says nothing more.
fn closing(conversation: &Conversation) -> &'static str {
    if conversation.results_in_turn() > 0 {
        "Done. The tool said: {{last_tool_result}}"
    } else {
        "Done."
    }
}

fn text(conversation: &Conversation, template: &str) -> Step {
    Step::Text(Text::Plain(conversation.fill(template)))
}

fn fill(step: Step, conversation: &Conversation) -> Step {
    match step {
        Step::Text(Text::Plain(template)) => text(conversation, &template),
        Step::Text(Text::Paced { text, chunk, delay_ms }) => Step::Text(Text::Paced {
            text: conversation.fill(&text),
            chunk,
            delay_ms,
        }),
        Step::Tool(tool) => Step::Tool(fill_tool(tool, conversation)),
        Step::Tools(tools) => Step::Tools(tools.into_iter().map(|tool| fill_tool(tool, conversation)).collect()),
        other => other,
    }
}

fn fill_tool(tool: Tool, conversation: &Conversation) -> Tool {
    Tool {
        name: tool.name,
        input: fill_value(tool.input, conversation),
    }
}

fn fill_value(value: Value, conversation: &Conversation) -> Value {
    match value {
        Value::String(template) => Value::String(conversation.fill(&template)),
        Value::Array(items) => items.into_iter().map(|item| fill_value(item, conversation)).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, item)| (key, fill_value(item, conversation)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(messages: Value, added: &str, fired: &mut Fired) -> Answer {
        let body = json!({ "messages": messages });
        let conversation = Conversation::of(&body);
        let rules: Vec<Rule> = serde_json::from_str(added).unwrap();
        let added: Vec<Numbered> = rules
            .into_iter()
            .zip(0..)
            .map(|(rule, id)| Numbered { id, rule })
            .collect();
        let raw = body.to_string();
        choose(
            Asked {
                conversation: &conversation,
                model: "m",
                body: &raw,
                session: "s",
            },
            &added,
            &[],
            fired,
        )
    }

    fn said(answer: &Answer) -> String {
        let texts = answer.steps.iter().map(|step| match step {
            Step::Text(Text::Plain(text) | Text::Paced { text, .. }) => text.clone(),
            other => format!("{other:?}"),
        });
        texts.collect()
    }

    fn with_results(text: &str, results: usize) -> Value {
        let mut messages = vec![json!({"role": "user", "content": text})];
        for n in 0..results {
            messages.push(json!({"role": "assistant", "content": [{"type": "tool_use", "name": "Bash"}]}));
            let result = json!({"type": "tool_result", "content": format!("result {n}")});
            messages.push(json!({"role": "user", "content": [result]}));
        }
        json!(messages)
    }

    #[test]
    fn a_script_continues_behind_each_tool_result() {
        let text = "[[say a]] [[bash one]] [[say b]] [[bash two]]";
        let tools = |answer: &Answer| answer.steps.iter().map(Step::calls).sum::<usize>();
        let mut fired = Fired::default();
        let first = ask(with_results(text, 0), "[]", &mut fired);
        assert_eq!((first.steps.len(), tools(&first)), (2, 1));
        let second = ask(with_results(text, 1), "[]", &mut fired);
        assert!(said(&second).starts_with('b') && tools(&second) == 1, "{second:?}");
        assert_eq!(
            said(&ask(with_results(text, 2), "[]", &mut fired)),
            "Done. The tool said: result 1"
        );
    }

    #[test]
    fn a_fault_fires_as_often_as_it_says_and_is_then_skipped() {
        let mut fired = Fired::default();
        let mut next = || ask(with_results("[[error 529 times=2]] [[say ok]]", 0), "[]", &mut fired);
        assert!(matches!(next().steps[..], [Step::Error(_)]));
        assert!(matches!(next().steps[..], [Step::Error(_)]));
        assert_eq!(said(&next()), "ok");
    }

    #[test]
    fn the_first_matching_rule_answers_until_it_is_spent() {
        let rules = r#"[{"match": {"user": "^hi"}, "times": 1, "steps": [{"text": "one"}]},
                        {"match": {"user": "hi", "turn": 1}, "steps": [{"text": "two"}]}]"#;
        let mut fired = Fired::default();
        assert_eq!(said(&ask(with_results("hi [[say no]]", 0), rules, &mut fired)), "one");
        assert_eq!(said(&ask(with_results("hi", 0), rules, &mut fired)), "two");
        assert_eq!(
            said(&ask(with_results("other", 0), rules, &mut fired)),
            "You wrote: other"
        );
    }

    #[test]
    fn a_rule_for_tool_results_counts_from_the_first_one() {
        let rules = r#"[{"match": {"has_tool_result": true}, "steps": [{"text": "then {{last_tool_result}}"}]},
                        {"match": {"has_tool_result": false}, "steps": [{"tool": {"name": "Bash", "input": {"command": "echo {{turns}}"}}}]}]"#;
        let mut fired = Fired::default();
        let call = Tool {
            name: "Bash".to_owned(),
            input: json!({"command": "echo 1"}),
        };
        assert_eq!(ask(with_results("x", 0), rules, &mut fired).steps, [Step::Tool(call)]);
        assert_eq!(said(&ask(with_results("x", 1), rules, &mut fired)), "then result 0");
    }

    #[test]
    fn a_folded_message_adds_its_directives_or_is_acknowledged() {
        for (folded, expected) in [
            ("[[say two]]", "onetwo"),
            ("be quick", "one (You also wrote: be quick)"),
        ] {
            let mut messages = with_results("[[bash x]] [[say one]]", 1);
            let framed = format!(
                "The user sent a new message while you were working:\n{folded}\n\nThis is how Claude Code surfaces messages"
            );
            messages
                .as_array_mut()
                .unwrap()
                .push(json!({"role": "system", "content": framed}));
            assert_eq!(said(&ask(messages, "[]", &mut Fired::default())), expected);
        }
    }
}
