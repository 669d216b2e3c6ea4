//! What the bot says by itself. Sentences for people: what happened, why, what to do.

use super::COMMANDS;

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
/// The place has no Topic.
pub const NO_TOPIC: &str = "This chat has no workspace yet, and this installation does not let me make one. Ask its operator to create a Topic that is bound to this chat.";

/// Something that cannot be handed on.
pub fn unsupported(kind: &str) -> String {
    format!("I cannot hand on {kind} yet, so nothing was run. Please write it as text.")
}

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

/// A session without a first message is ready.
pub const SESSION_READY: &str = "The session is ready. Write to it; /end or “done” ends it.";
/// `/stop` stopped the turn.
pub const STOPPED: &str = "Stopping.";
/// `/stop` with a session that has nothing to stop.
pub const SESSION_IDLE: &str = "The session is not working on anything right now.";
/// `/stop` with a session that has not begun.
pub const SESSION_NOT_THERE: &str = "The session is not running yet, so there is nothing to stop. /end ends it.";
/// `/stop` with a session that sleeps.
pub const SESSION_ASLEEP: &str = "The session sleeps, so nothing runs here. /end ends it.";
/// A prompt of a session that sleeps was decided.
pub const PROMPT_SLEPT: &str = "The session had fallen asleep and is being woken; this prompt is gone. claude asks again if it still needs to know.";
/// `/stop` waits for the task to begin.
pub const STOPPED_LATER: &str = "The task has not begun; it is stopped as soon as it does.";
/// An answer reached claude.
pub const ANSWER_TAKEN: &str = "Noted.";
/// The session cannot be heard.
pub const ANSWER_KEPT: &str = "Noted; the session gets it as soon as it answers.";
/// A prompt or question was decided before.
pub const TOO_LATE: &str = "This has been decided already, or is no longer needed.";
/// A button of somebody who may not decide.
pub const NOT_YOURS: &str = "You are not on the list of people who may decide this.";
/// The runner did not answer.
pub const TRY_AGAIN: &str = "The session does not answer right now. Please try again in a moment.";
/// `/end` is on its way.
pub const ENDING: &str = "Ending the session …";

/// Kubernetes refused what the bot wanted to make.
pub fn refused(what: &str, why: &str) -> String {
    format!("{what} could not be created, so nothing was run: {why}")
}

/// A runner refused a message.
pub fn not_taken(why: &str) -> String {
    format!("The session did not take this message: {why}")
}

/// Something could not be stopped.
pub fn not_stopped(why: &str) -> String {
    format!("It could not be stopped: {why}")
}
