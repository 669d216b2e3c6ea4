//! Directives inside a user's text, `[[bash ls]]`, with which one chat message scripts its own answer.
//!
//! Text outside directives is not scripted and is what a person would quote. Directives inside an XML-like element
//! (`<history>...</history>`) are quotations and do nothing. An unknown directive is answered with a text saying so.

use serde_json::Value;

use crate::script::{Fault, Step, Text, Times, Tool};

/// All directives of a text in order, as steps.
pub fn steps(text: &str) -> Vec<Step> {
    split(&without_quotations(text))
        .into_iter()
        .filter_map(|piece| piece.err())
        .flat_map(|inner| parse(&inner))
        .collect()
}

/// The text without its directives, white space trimmed.
pub fn without(text: &str) -> String {
    let plain: Vec<String> = split(text).into_iter().filter_map(Result::ok).collect();
    plain
        .iter()
        .map(|piece| piece.trim())
        .filter(|piece| !piece.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Plain pieces as `Ok`, the insides of directives as `Err`. Brackets nest, so `[[tool X {"a": [[1]]}]]` is one.
fn split(text: &str) -> Vec<Result<String, String>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("[[") {
        let Some(length) = closing(&rest[start + 2..]) else {
            break;
        };
        pieces.push(Ok(rest[..start].to_owned()));
        pieces.push(Err(rest[start + 2..start + 2 + length].to_owned()));
        rest = &rest[start + 2 + length + 2..];
    }
    pieces.push(Ok(rest.to_owned()));
    pieces
}

fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (1_usize, 0);
    let bytes = text.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"[[" => (depth, at) = (depth + 1, at + 2),
            // Of `]]]` the first belongs to what is inside, as in a JSON list.
            b"]]" if depth == 1 && bytes.get(at + 2) == Some(&b']') => at += 1,
            b"]]" if depth == 1 => return Some(at),
            b"]]" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    None
}

/// Takes out elements that start a line: what the callers of claude put around history they replay.
fn without_quotations(text: &str) -> String {
    let mut out = String::new();
    let mut until: Option<String> = None;
    for line in text.lines() {
        match &until {
            Some(end) if line.contains(end.as_str()) => until = None,
            Some(_) => {}
            None => match opening_tag(line) {
                Some(end) if text.contains(&end) => until = (!line.contains(&end)).then_some(end),
                _ => {
                    out.push_str(line);
                    out.push('\n');
                }
            },
        }
    }
    out
}

/// The closing tag for a line that starts with an opening one.
fn opening_tag(line: &str) -> Option<String> {
    let inner = line.trim_start().strip_prefix('<')?;
    let name: String = inner
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect();
    (!name.is_empty()).then(|| format!("</{name}>"))
}

fn parse(inner: &str) -> Vec<Step> {
    let (name, words) = inner
        .trim_start()
        .split_once(char::is_whitespace)
        .unwrap_or((inner.trim(), ""));
    let rest = words.trim();
    let step = match name {
        // The spaces at its end join it to the next piece.
        "say" => Some(Step::Text(Text::Plain(words.to_owned()))),
        "think" => Some(Step::Think(rest.to_owned())),
        "recall" => Some(Step::Text(Text::Plain(
            "Your first message was: {{first_user}}".to_owned(),
        ))),
        "bash" => Some(Step::Tool(bash(rest))),
        "tool" => tool(rest).map(Step::Tool),
        "tools" => serde_json::from_str(rest).ok().map(Step::Tools),
        "hold" => (!rest.is_empty()).then(|| Step::Hold(rest.to_owned())),
        "wait" => rest.parse().ok().map(Step::WaitMs),
        "slow" => slow(rest),
        "error" => error(rest),
        "drop" => times(rest).map(Step::Drop),
        "hang" => times(rest).map(Step::Hang),
        "stop" => Some(Step::Stop(rest.to_owned())),
        _ => None,
    };
    vec![step.unwrap_or_else(|| Step::Text(Text::Plain(format!("(not understood: [{inner}])"))))]
}

fn bash(command: &str) -> Tool {
    Tool {
        name: "Bash".to_owned(),
        input: serde_json::json!({"command": command, "description": "Scripted command"}),
    }
}

fn tool(rest: &str) -> Option<Tool> {
    let (name, input) = rest.split_once(char::is_whitespace).unwrap_or((rest, "{}"));
    let input: Value = serde_json::from_str(input).ok()?;
    (!name.is_empty()).then(|| Tool {
        name: name.to_owned(),
        input,
    })
}

/// `N MS [TEXT]`: N chunks, MS apart.
fn slow(rest: &str) -> Option<Step> {
    let mut words = rest.splitn(3, char::is_whitespace);
    let count: usize = words.next()?.parse().ok().filter(|count| *count > 0)?;
    let delay_ms = words.next()?.parse().ok()?;
    let (text, chunk) = match words.next() {
        Some(text) => (text.to_owned(), text.chars().count().div_ceil(count)),
        // Numbered pieces of equal length, so that each chunk is exactly one of them.
        None => (
            (1..=count).map(|n| format!("part {n:>4};")).collect(),
            "part    1;".len(),
        ),
    };
    Some(Step::Text(Text::Paced { text, chunk, delay_ms }))
}

/// `STATUS [retry-after=S] [times=N]`
fn error(rest: &str) -> Option<Step> {
    let mut words = rest.split_whitespace();
    let mut fault = Fault {
        status: words.next()?.parse().ok()?,
        message: None,
        retry_after: None,
        times: 1,
    };
    for word in words {
        match word.split_once('=')? {
            ("retry-after", seconds) => fault.retry_after = Some(seconds.parse().ok()?),
            ("times", count) => fault.times = count.parse().ok()?,
            _ => return None,
        }
    }
    Some(Step::Error(fault))
}

/// `[times=N]`
fn times(rest: &str) -> Option<Times> {
    match rest {
        "" => Some(Times { times: 1 }),
        _ => Some(Times {
            times: rest.strip_prefix("times=")?.parse().ok()?,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(text: &str) -> Step {
        Step::Text(Text::Plain(text.to_owned()))
    }

    #[test]
    fn directives_are_found_in_order_and_nest() {
        let text = r#"fix it [[bash [[ -e x ]] && echo y]] then [[tool Read {"a":[[1]]}]] [[hold g]][[error 429 retry-after=2 times=3]]"#;
        let read = Tool {
            name: "Read".to_owned(),
            input: serde_json::json!({"a": [[1]]}),
        };
        let fault = Fault {
            status: 429,
            message: None,
            retry_after: Some(2),
            times: 3,
        };
        let expected = [
            Step::Tool(bash("[[ -e x ]] && echo y")),
            Step::Tool(read),
            Step::Hold("g".to_owned()),
            Step::Error(fault),
        ];
        assert_eq!(steps(text), expected);
        assert_eq!(without(text), "fix it then");
        assert_eq!(steps("[[say  x ]][[tools []]]"), [say(" x "), Step::Tools(Vec::new())]);
    }

    #[test]
    fn quoted_history_scripts_nothing() {
        let text = "<history>\nuser: [[bash rm x]]\n</history>\n<a>[[say no]]</a>\n[[say yes]]\n< 3 [[say also]]";
        assert_eq!(steps(text), [say("yes"), say("also")]);
    }

    #[test]
    fn a_wrong_directive_is_answered_with_a_remark() {
        assert_eq!(steps("[[eror 529]]"), [say("(not understood: [eror 529])")]);
        assert_eq!(steps("[[slow many 3]]"), [say("(not understood: [slow many 3])")]);
        assert_eq!(steps("unclosed [[say x"), []);
    }

    #[test]
    fn slow_text_has_the_asked_number_of_chunks() {
        let Step::Text(Text::Paced { text, chunk, delay_ms }) = &steps("[[slow 12 50]]")[0] else {
            panic!()
        };
        assert_eq!((text.len(), text.len() / chunk, *delay_ms), (120, 12, 50));
        assert!(text.ends_with("part   12;"));
    }
}
