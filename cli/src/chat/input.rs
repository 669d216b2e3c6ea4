//! What a typed line means. Pure.

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    Empty,
    /// A message.
    Message(String),
    /// Allow a prompt.
    Allow(Option<usize>),
    /// Deny a prompt, and why.
    Deny(Option<usize>, Option<String>),
    /// Answer a question.
    Answer(Option<usize>, String),
    /// Stop the turn.
    Stop,
    /// Leave.
    Quit,
    /// List the commands.
    Help,
    /// No such command.
    Unknown(String),
}

/// What `/help` says.
pub const HELP: &str = "a line is a message; these are not:\n\
    \x20   /allow N         let a tool run, or agree with a plan\n\
    \x20   /deny N WHY      do not\n\
    \x20   /answer N TEXT   answer a question, in words or with the number of an option\n\
    \x20   /stop            stop the turn that runs, and drop what waits\n\
    \x20   /quit            leave, as Ctrl-D and Ctrl-C do; the session goes on\n\
    N may be left out when one prompt waits. Begin with a space to send a line that begins with /";

/// Reads a line.
pub fn read(line: &str) -> Input {
    if line.trim().is_empty() {
        return Input::Empty;
    }
    let Some(rest) = line.strip_prefix('/') else {
        return Input::Message(line.trim().to_owned());
    };
    let (command, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (number, words) = numbered(rest.trim());
    match command {
        "allow" => Input::Allow(number),
        "deny" => Input::Deny(number, Some(words.to_owned()).filter(|words| !words.is_empty())),
        "answer" if words.is_empty() => match number {
            // The only word may be the answer itself: the number of an option.
            Some(number) => Input::Answer(None, number.to_string()),
            None => Input::Unknown("/answer needs a text: /answer N TEXT".to_owned()),
        },
        "answer" => Input::Answer(number, words.to_owned()),
        "stop" => Input::Stop,
        "quit" | "exit" => Input::Quit,
        "help" => Input::Help,
        // A path is no command.
        other if other.chars().all(|one| one.is_ascii_alphabetic()) => {
            Input::Unknown(format!("there is no /{other}; /help lists what there is"))
        }
        _ => Input::Message(line.trim().to_owned()),
    }
}

fn numbered(text: &str) -> (Option<usize>, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match first.parse() {
        Ok(number) => (Some(number), rest.trim()),
        Err(_) => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_unless_they_are_commands() {
        let text = |text: &str| text.to_owned();
        let cases = [
            ("", Input::Empty),
            ("  ", Input::Empty),
            ("fix it ", Input::Message(text("fix it"))),
            (" /stop is a word", Input::Message(text("/stop is a word"))),
            ("/etc/hosts is wrong", Input::Message(text("/etc/hosts is wrong"))),
            ("/allow", Input::Allow(None)),
            ("/allow 2", Input::Allow(Some(2))),
            ("/deny 2", Input::Deny(Some(2), None)),
            ("/deny not now", Input::Deny(None, Some(text("not now")))),
            ("/answer 1 blue sky", Input::Answer(Some(1), text("blue sky"))),
            ("/answer blue", Input::Answer(None, text("blue"))),
            ("/answer 2", Input::Answer(None, text("2"))),
            ("/stop", Input::Stop),
            ("/quit", Input::Quit),
            ("/help", Input::Help),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line), expected, "{line:?}");
        }
        assert!(matches!(read("/end"), Input::Unknown(_)));
        assert!(matches!(read("/answer"), Input::Unknown(_)));
    }
}
