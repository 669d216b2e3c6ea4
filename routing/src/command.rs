//! Reading a command off the beginning of a message.

/// Commands the bot knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start a session, or give the active one a message.
    Deep,
    /// A task, whatever rules and heuristics say.
    Quick,
    /// End the session.
    End,
    /// Stop what runs.
    Stop,
    /// Tell what is going on.
    Status,
    /// Explain.
    Help,
}

/// All commands with what the menu says about them.
pub const COMMANDS: [(Command, &str, &str); 6] = [
    (
        Command::Deep,
        "deep",
        "Start a session that stays, with an optional first message",
    ),
    (Command::Quick, "quick", "Have it answered in a container of its own"),
    (Command::End, "end", "End the session"),
    (Command::Stop, "stop", "Stop what is running now"),
    (Command::Status, "status", "Say what is going on here"),
    (Command::Help, "help", "Explain how this works"),
];

/// What the beginning of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// No command.
    Text,
    /// A command and what follows it.
    Command(Command, &'a str),
    /// A command that the bot does not know, and what follows it.
    Unknown(&'a str, &'a str),
    /// A command for another bot of the group.
    ForAnother,
}

/// Whether a policy can give a command this name.
pub(crate) fn is_name(name: &str) -> bool {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=32).contains(&name.len()) && name.chars().all(valid)
}

/// Reads `/name` or `/name@bot`. A path such as `/etc/hosts` is no command: Telegram's commands have letters, digits and
/// `_` only, at most 32.
pub fn parse<'a>(text: &'a str, bot_username: &str) -> Parsed<'a> {
    let Some(after) = text.strip_prefix('/') else {
        return Parsed::Text;
    };
    let (word, rest) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
    let (name, bot) = word
        .split_once('@')
        .map_or((word, None), |(name, bot)| (name, Some(bot)));
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(valid) || bot.is_some_and(|bot| !bot.chars().all(valid))
    {
        return Parsed::Text;
    }
    if bot.is_some_and(|bot| !bot.eq_ignore_ascii_case(bot_username)) {
        return Parsed::ForAnother;
    }
    match COMMANDS.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)) {
        Some((command, _, _)) => Parsed::Command(*command, rest.trim()),
        None => Parsed::Unknown(name, rest.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_can_take_the_name_of_a_command_of_the_bot() {
        for (_, name, _) in COMMANDS {
            assert!(longshore_crds::OWN_COMMANDS.contains(&name), "{name}");
        }
    }
}
