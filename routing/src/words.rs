//! What a decision says to people. Sentences: what happened, why, what to do.

use crate::COMMANDS;

/// Nothing was written.
pub const EMPTY: &str = "There is no text in this message, so nothing was run.";
/// More than a prompt may hold.
pub const TOO_LONG: &str = "This message is too long: at most 65,536 characters can be handed on. Nothing was run; put the text into a file in the workspace, or send it in pieces.";
/// `/stop` with nothing to stop.
pub const NOTHING_TO_STOP: &str = "Nothing is running here.";
/// `/end` without a session.
pub const NO_SESSION: &str = "No session is active here. /deep starts one.";
/// `/deep` alone with a session.
pub const ALREADY_DEEP: &str = "A session is active already; just write to it. /end ends it.";
/// `/quick` alone.
pub const NOTHING_QUICK: &str = "Write what claude shall do after /quick.";
/// The place has no Topic.
pub const NO_TOPIC: &str = "This chat has no workspace yet, and this installation does not let me make one. Ask its operator to create a Topic that is bound to this chat.";

/// Something that cannot be handed on.
pub fn unsupported(kind: &str) -> String {
    format!("I cannot hand on {kind} yet, so nothing was run. Please write it as text.")
}

/// A file for a task.
pub const FILE_NEEDS_SESSION: &str = "Only a session can be given a file, so nothing was run. Send it again with /deep in front of \
     what you write with it, or start a session first and send it then.";

/// A command that does not exist.
pub fn unknown_command(name: &str) -> String {
    format!("I do not know /{name}, so nothing was run. /help lists what I know.")
}

/// `/help`.
pub fn help() -> String {
    let commands = COMMANDS
        .iter()
        .map(|(_, name, what)| format!("/{name} – {what}."))
        .collect::<Vec<_>>()
        .join("\n");
    format!(
        "Write a question, and claude answers it in a pod of its own, on the files of this topic.\n\
         For longer work start a session: claude stays, remembers what was said, and asks before it does something it \
         may not do by itself. While a session is active everything you write goes to it; “done” alone ends it.\n\n{commands}"
    )
}

/// A command of a policy, without anything to do.
pub fn nothing_to_do(command: &str) -> String {
    format!("Write what claude shall do after /{command}.")
}

/// A rule with `Deny` that has no words of its own.
pub fn denied(rule: &str) -> String {
    format!("This is not allowed here (rule {rule}), so nothing was run.")
}

/// Somebody who may not talk to agents.
pub fn unknown_sender(user: i64) -> String {
    format!(
        "I do not know you, so nothing was run. To let you in, the operator of this installation needs your user id: {user}."
    )
}
