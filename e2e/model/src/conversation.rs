//! What a request says, seen as a conversation between people and the model.
//!
//! The CLI wraps people's words in framing of its own: `<system-reminder>` blocks, notes about interruptions, messages
//! folded into a running turn as `role: system`. Here the framing is taken off. A request of unknown shape gives an
//! empty conversation, never an error: the real endpoint's validation is not modelled.

use serde_json::Value;

/// How the CLI announces a message that came while a tool ran.
const FOLDED: &str = "The user sent a new message while you were working:\n";
const FOLDED_END: &str = "\n\nThis is how Claude Code surfaces messages";
const SIDE_QUESTION: &str = "This is a side question from the user";
/// How the runner tells that a person stopped what was asked before.
const STOPPED: &str = "[Longshore] The request before this message was stopped";
/// How the runner quotes the topic's earlier turns in front of a task's prompt.
const EARLIER: &str = "[Longshore] Earlier turns of this topic";
/// How the runner quotes what the command of a task's `when` printed.
const PRINTED: &str = "[Longshore] You are asked because a command";
const REMINDER: &str = "<system-reminder>";

/// One thing said or done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Words of a person that opened a turn.
    User(String),
    /// Words of a person that reached a turn already running.
    Folded(String),
    /// A tool call of ours came back with this text.
    ToolResult(String),
    /// We said this.
    Assistant(String),
}

/// One request, without its framing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    pub items: Vec<Item>,
    /// A question beside the conversation (the CLI's `side_question`): it must be answered without tools and leaves no
    /// trace in later requests.
    pub side_question: bool,
    /// Earlier turns of the topic, as they are quoted in front of a task's prompt.
    pub earlier: String,
    /// What the command of a task's `when` printed, as it is quoted there.
    pub printed: String,
}

impl Conversation {
    pub fn of(body: &Value) -> Self {
        let mut conversation = Conversation::default();
        for message in body["messages"].as_array().into_iter().flatten() {
            conversation.side_question = false;
            match message["role"].as_str() {
                Some("user") => conversation.add_user(&message["content"]),
                Some("system") => conversation.add_system(&message["content"]),
                Some("assistant") => conversation
                    .items
                    .push(Item::Assistant(texts(&message["content"]).join("\n"))),
                _ => {}
            }
        }
        // A folded message may stand behind the question it was asked beside, as the last message of the request.
        conversation.side_question = last_user_message_is_side_question(body);
        conversation
    }

    fn add_user(&mut self, content: &Value) {
        let texts_of_user = texts(content);
        if let Some(earlier) = texts_of_user.iter().find(|text| text.starts_with(EARLIER)) {
            self.earlier.clone_from(earlier);
        }
        if let Some(printed) = texts_of_user.iter().find(|text| text.starts_with(PRINTED)) {
            self.printed.clone_from(printed);
        }
        let words: Vec<String> = texts_of_user.into_iter().filter(|text| !is_framing(text)).collect();
        for block in content
            .as_array()
            .into_iter()
            .flatten()
            .filter(|block| block["type"] == "tool_result")
        {
            self.items.push(Item::ToolResult(texts(&block["content"]).join("\n")));
        }
        // A request that was stopped before its first word comes once more in one message with the next.
        for words in words.split(|text| text.starts_with(STOPPED)) {
            match words {
                [] => {}
                [author, said @ ..] if is_author(author) && !said.is_empty() => {
                    self.items.push(Item::User(said.join("\n")))
                }
                said => self.items.push(Item::User(said.join("\n"))),
            }
        }
    }

    fn add_system(&mut self, content: &Value) {
        for text in texts(content) {
            if let Some((_, rest)) = text.split_once(FOLDED) {
                let words = rest.split_once(FOLDED_END).map_or(rest, |(words, _)| words);
                self.items.push(Item::Folded(words.trim().to_owned()));
            }
        }
    }

    /// The words that opened the turn being answered.
    pub fn last_user(&self) -> Option<&str> {
        self.items.iter().rev().find_map(as_user)
    }

    /// Everything people wrote, folded messages included, but not a question asked beside the conversation.
    pub fn people(&self) -> Vec<&str> {
        let question = self.side_question.then(|| self.turn_start()).flatten();
        self.items
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != question)
            .filter_map(|(_, item)| match item {
                Item::User(text) | Item::Folded(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// How many turns people opened so far, the one being answered included.
    pub fn turns(&self) -> usize {
        self.items.iter().filter_map(as_user).count() - usize::from(self.side_question)
    }

    /// Tool results since the turn began: how far its script has come.
    pub fn results_in_turn(&self) -> usize {
        self.turn()
            .iter()
            .filter(|item| matches!(item, Item::ToolResult(_)))
            .count()
    }

    /// Messages folded into the turn being answered.
    pub fn folded_in_turn(&self) -> Vec<&str> {
        self.turn()
            .iter()
            .filter_map(|item| match item {
                Item::Folded(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub fn last_tool_result(&self) -> Option<&str> {
        self.items.iter().rev().find_map(|item| match item {
            Item::ToolResult(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Fills `{{name}}`; an unknown name stays as it is, so that a typing error is seen.
    pub fn fill(&self, template: &str) -> String {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            match after
                .split_once("}}")
                .and_then(|(name, tail)| Some((self.value(name.trim())?, tail)))
            {
                Some((value, tail)) => {
                    out.push_str(&value);
                    rest = tail;
                }
                None => {
                    out.push_str("{{");
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    fn value(&self, name: &str) -> Option<String> {
        let people = self.people();
        let nth_last = |n: usize| people.iter().rev().nth(n).map(|text| spoken(text)).unwrap_or_default();
        Some(match name {
            "first_user" => people.first().map(|text| spoken(text)).unwrap_or_default(),
            "last_user" => self.last_user().map(spoken).unwrap_or_default(),
            "previous_user" => nth_last(usize::from(!self.side_question)),
            "all_users" => people.iter().map(|text| spoken(text)).collect::<Vec<_>>().join(" | "),
            "turns" => self.turns().to_string(),
            "earlier" => self.earlier.clone(),
            "printed" => self.printed.clone(),
            "last_tool_result" => self.last_tool_result().unwrap_or_default().to_owned(),
            _ => return None,
        })
    }

    fn turn_start(&self) -> Option<usize> {
        self.items.iter().rposition(|item| matches!(item, Item::User(_)))
    }

    fn turn(&self) -> &[Item] {
        self.turn_start().map_or(&[], |start| &self.items[start + 1..])
    }
}

/// A person's words as one would quote them: without directives, unless they are all there is.
fn spoken(text: &str) -> String {
    let plain = crate::directive::without(text);
    if plain.is_empty() {
        text.trim().to_owned()
    } else {
        plain
    }
}

fn as_user(item: &Item) -> Option<&str> {
    match item {
        Item::User(text) => Some(text),
        _ => None,
    }
}

fn is_framing(text: &str) -> bool {
    let text = text.trim_start();
    let framing = [REMINDER, EARLIER, PRINTED, "[Request interrupted by user"];
    framing.iter().any(|beginning| text.starts_with(beginning))
}

/// A block of its own in front of the text that says who wrote it, as the runner puts it.
fn is_author(text: &str) -> bool {
    text.starts_with("From ") && text.ends_with(':') && !text.contains('\n')
}

fn last_user_message_is_side_question(body: &Value) -> bool {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let last = messages.iter().rev().find(|message| message["role"] == "user");
    last.is_some_and(|message| {
        texts(&message["content"])
            .iter()
            .any(|text| text.trim_start().starts_with(REMINDER) && text.contains(SIDE_QUESTION))
    })
}

fn texts(content: &Value) -> Vec<String> {
    match content {
        Value::String(text) => vec![text.clone()],
        Value::Array(blocks) => blocks
            .iter()
            .filter_map(|block| block["text"].as_str())
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The shape that claude 2.1.330 sends when a message arrived during a tool call.
    fn folded() -> Value {
        json!({"messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "<system-reminder>\nCLAUDE.md\n</system-reminder>"},
                {"type": "text", "text": "first"}]},
            {"role": "system", "content": "# Environment\n..."},
            {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
            {"role": "user", "content": "run a tool"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "hi"}]},
            {"role": "system", "content": [{"type": "text", "text":
                "The user sent a new message while you were working:\nhurry\n\nThis is how Claude Code surfaces messages the user sends"}]},
        ]})
    }

    #[test]
    fn framing_is_taken_off() {
        let seen = Conversation::of(&folded());
        assert_eq!(seen.people(), ["first", "run a tool", "hurry"]);
        assert_eq!(seen.last_user(), Some("run a tool"));
        assert_eq!((seen.turns(), seen.results_in_turn()), (2, 1));
        assert_eq!(seen.folded_in_turn(), ["hurry"]);
        assert_eq!(seen.last_tool_result(), Some("hi"));
    }

    #[test]
    fn a_side_question_is_known_and_not_counted_as_a_turn() {
        let mut body = folded();
        let question = json!([
            {"type": "text", "text": "<system-reminder>This is a side question from the user. You must ..."},
            {"type": "text", "text": "Summarise."}]);
        body["messages"]
            .as_array_mut()
            .unwrap()
            .insert(6, json!({"role": "user", "content": question}));
        let seen = Conversation::of(&body);
        assert!(seen.side_question);
        assert_eq!(seen.last_user(), Some("Summarise."));
        assert_eq!(
            seen.fill("{{turns}}: {{all_users}}; before: {{previous_user}}"),
            "2: first | run a tool | hurry; before: hurry"
        );
    }

    #[test]
    fn templates_quote_without_directives_and_keep_unknown_names() {
        let body = json!({"messages": [{"role": "user", "content": "keep 42 [[say ok]]"}, {"role": "user", "content": "[[recall]]"}]});
        let seen = Conversation::of(&body);
        assert_eq!(
            seen.fill("{{first_user}} / {{ last_user }} / {{nope}} {{"),
            "keep 42 / [[recall]] / {{nope}} {{"
        );
    }

    #[test]
    fn who_wrote_it_is_not_part_of_what_was_written() {
        let with_author = json!([{"type": "text", "text": "From Ada:"}, {"type": "text", "text": "hello"}]);
        let seen = Conversation::of(&json!({"messages": [{"role": "user", "content": with_author}]}));
        assert_eq!(seen.people(), ["hello"]);
        let alone = json!({"messages": [{"role": "user", "content": "From Ada:"}]});
        assert_eq!(Conversation::of(&alone).people(), ["From Ada:"]);
    }

    #[test]
    fn a_stopped_request_that_comes_again_is_no_part_of_the_next() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let note = "[Longshore] The request before this message was stopped by a person. Leave it.";
        let content = json!([
            text("From Ada:"),
            text("long"),
            text(note),
            text("From Bo:"),
            text("short")
        ]);
        let seen = Conversation::of(&json!({"messages": [{"role": "user", "content": content}]}));
        assert_eq!(seen.people(), ["long", "short"]);
        assert_eq!(seen.last_user(), Some("short"));
    }

    #[test]
    fn an_unknown_shape_is_an_empty_conversation() {
        assert_eq!(Conversation::of(&json!({"messages": 3})), Conversation::default());
        assert_eq!(Conversation::of(&json!([])).fill("{{first_user}}{{turns}}"), "0");
    }
}
