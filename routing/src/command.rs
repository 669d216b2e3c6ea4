//! Reading a command off the beginning of a message.

/// Commands the bot knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start a session, or give the active one a message.
    Deep,
    /// A task, whatever rules and heuristics say.
    Quick,
    /// End the session and start another.
    New,
    /// Tell what is going on.
    Status,
    /// Stop what runs.
    Stop,
    /// End the session.
    End,
    /// Tell or change the model of the session.
    Model,
    /// Tell or change what the session may do without asking.
    Mode,
    /// Tell what the model has cost.
    Usage,
    /// Tell the last turns.
    History,
    /// Explain.
    Help,
}

/// All commands with what the menu says about them, in its order.
pub const COMMANDS: [(Command, &str, &str); 11] = [
    (
        Command::Deep,
        "deep",
        "Start a session that stays, with an optional first message",
    ),
    (Command::Quick, "quick", "Have it answered in a container of its own"),
    (
        Command::New,
        "new",
        "End the session and start a fresh one, with an optional first message",
    ),
    (Command::Status, "status", "Say what is going on here"),
    (
        Command::Stop,
        "stop",
        "Stop what is running now; “/stop all” also drops what waits",
    ),
    (Command::End, "end", "End the session"),
    (
        Command::Model,
        "model",
        "Say which model the session uses, or choose another",
    ),
    (
        Command::Mode,
        "mode",
        "Say what the session may do without asking, or change it",
    ),
    (
        Command::Usage,
        "usage",
        "Say how many tokens were used, and what they cost",
    ),
    (
        Command::History,
        "history",
        "Show the last turns here: 10, or as many as you write",
    ),
    (Command::Help, "help", "Explain how this works"),
];

/// What Telegram itself sends when somebody opens a chat with the bot; not in the menu.
const START: &str = "start";

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
        None if name.eq_ignore_ascii_case(START) => Parsed::Command(Command::Help, ""),
        None => Parsed::Unknown(name, rest.trim()),
    }
}

/// The known command that somebody may have meant; none when nothing is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let allowed = match name.len() {
        0..=3 => 1,
        _ => 2,
    };
    let near = known.filter_map(|known| {
        let far = strsim::osa_distance(&name, known);
        // Of a short name little may be different, or anything would be near.
        (far <= allowed && far < known.len().min(name.len())).then_some((far, known))
    });
    near.min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_can_take_the_name_of_a_command_of_the_bot() {
        for (_, name, _) in COMMANDS {
            assert!(longshore_crds::OWN_COMMANDS.contains(&name), "{name}");
        }
        assert!(longshore_crds::OWN_COMMANDS.contains(&START));
    }

    #[test]
    fn the_menu_is_one_that_telegram_takes() {
        for (_, name, what) in COMMANDS {
            assert!(is_name(name), "{name}");
            assert!((1..=256).contains(&what.chars().count()), "{what}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_understood_and_other_words_are_not() {
        let known = || COMMANDS.iter().map(|(_, name, _)| *name);
        for (written, meant) in [
            ("statsu", Some("status")),
            ("Stauts", Some("status")),
            ("halp", Some("help")),
            ("models", Some("model")),
            ("ned", Some("end")),
            ("nwe", Some("new")),
            ("dep", Some("deep")),
            ("frobnicate", None),
            ("x", None),
            ("review", None),
        ] {
            assert_eq!(nearest(written, known()), meant, "{written}");
        }
    }
}
