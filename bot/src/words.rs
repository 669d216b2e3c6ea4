//! What the bot says by itself, besides what decisions say. Sentences for people: what happened, why, what to do.

use longshore_routing::PermissionMode;
pub use longshore_routing::words::*;

use crate::download::LeftOut;

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
/// A decision waits for the session.
pub const DECISION_KEPT: &str = "Noted; the session gets it as soon as it answers.";
/// The runner does not wait for a decision any more, and has not said why yet.
pub const DECISION_TOO_LATE: &str = "This prompt does not wait any more. If claude was restarted and soon asks for exactly the same, what you pressed counts.";
/// A tool is always allowed in a topic from now on.
pub const ALWAYS_ALLOWED: &str = "Allowed, from now on always in this topic.";
/// A tool is not always allowed any more.
pub const NOT_ALWAYS_ALLOWED: &str = "From now on claude asks again. What runs already goes on.";
/// Somebody denies a prompt and is to say why.
pub const WRITE_WHY: &str = "Write why: your next message in this topic goes to claude with the denial.";
/// Nothing is chosen, where something may be.
pub const NOTHING_CHOSEN: &str = "Choose something first, or press Skip.";
/// A prompt or question was decided before.
pub const TOO_LATE: &str = "This has been decided already, or is no longer needed.";
/// A button below a turn that does not run any more.
pub const TURN_OVER: &str = "This is over already; nothing runs here.";
/// Details of a turn without tool calls.
pub const NO_TOOLS: &str = "claude has used no tools yet.";
/// A button of somebody who may not decide.
pub const NOT_YOURS: &str = "You are not on the list of people who may decide this.";
/// A button about a permission, of somebody who may use the bot but not decide that.
pub const NOT_AN_APPROVER: &str = "Only approvers may decide this.";
/// A session takes over from a task.
pub const SESSION_STARTS: &str = "A session takes over.";
/// No session takes over from a task.
pub const NO_SESSION_STARTS: &str = "No session is started.";
/// An unknown sender was let in.
pub const LET_IN: &str = "Allowed, in this chat.";
/// An unknown sender was not let in.
pub const NOT_LET_IN: &str = "Ignored.";
/// Somebody who had been let in is not any more.
pub const REVOKED: &str = "Taken back. What runs already goes on.";
/// The runner did not answer.
pub const TRY_AGAIN: &str = "The session does not answer right now. Please try again in a moment.";
/// `/end` is on its way.
pub const ENDING: &str = "Ending the session …";
/// The end of a session was undone.
pub const GOES_ON: &str = "The session goes on; claude gets your word.";

/// What a command does that a RoutingPolicy defines, in Telegram's menu.
pub const COMMAND_OF_POLICY: &str = "a command of this installation";

/// Access or rules have changed since a message was written that waited.
pub const NO_LONGER: &str = "What this was for is over, and by now nothing may be run for it.";

/// `/status`, `/usage` in a place without a Topic.
pub const NOTHING_YET: &str = "Nothing has been run here yet.";
/// `/history` in a place where nothing was asked.
pub const NO_HISTORY: &str = "Nothing has been asked here yet.";
/// `/stop all` dropped what waited.
pub const DROPPED: &str = "Stopping. What waited is dropped; each of those messages says so.";
/// A new session waits until the one before it is over.
pub const NEW_WAITS: &str = "The earlier session writes down its outcomes; the new one starts as soon as it is over.";
/// A message that only wanted the session woken, and another one is started instead.
pub const NEW_INSTEAD: &str = "The session was ended and a new one is started; just write to it.";
/// A setting waits for a session that sleeps.
pub const SETTING_ASLEEP: &str = "kept; the session sleeps, and has it when it wakes up.";
/// A setting waits for a session that starts.
pub const SETTING_NOT_READY: &str = "kept; the session is not ready yet, and has it as soon as it is.";
/// A setting waits for a session that does not answer.
pub const SETTING_LATER: &str = "kept; the session does not answer right now, and has it as soon as it does.";
/// Somebody has chosen another setting before this one was handed on.
pub const SETTING_OVERTAKEN: &str = "Another choice was made before this one was handed on, so nothing was changed.";
/// A button of a menu that does not count any more.
pub const MENU_USED: &str = "This was used already, or its session is over. /model and /mode show it again.";

/// The session has another model.
pub fn model_set(model: &str, by: &str) -> String {
    format!("The session uses the model {model} from now on ({by}).")
}

/// claude refuses a model.
pub fn model_refused(model: &str, why: &str) -> String {
    format!(
        "claude does not take the model {model}, so the session keeps the one it has. /model lists those I know.\n({})",
        why.trim()
    )
}

/// The session has another permission mode.
pub fn mode_set(mode: PermissionMode, by: &str) -> String {
    format!("From now on claude {} ({by}).", mode.meaning())
}

/// claude refuses a permission mode.
pub fn mode_refused(mode: &str, why: &str) -> String {
    format!(
        "claude does not take the mode {mode}, so nothing was changed.\n({})",
        why.trim()
    )
}

/// `/stop` came after what runs now was asked for.
pub const STOP_OVERTAKEN: &str =
    "This /stop is older than what runs now, so that goes on. Send /stop again to stop it.";
/// A message was changed too late.
pub const EDIT_TOO_LATE: &str = "You changed this message after it was taken up, so the change does not count. Write what shall be different as a new message; /stop stops what runs.";

/// Stands above the answer to a message that had waited since the bot or the cluster was away.
pub fn sent_long_ago(seconds: i64) -> String {
    format!("(sent {} ago, while I was away)", crate::background::span(seconds))
}

/// Somebody else is writing why a prompt is denied.
pub fn writes_why(name: &str) -> String {
    format!("{name} is writing why already. Another button still decides.")
}

/// An option was chosen, where several may be.
pub fn chosen(label: &str) -> String {
    format!("☑ {label}. Press Done when that is all.")
}

/// The choice of an option was taken back.
pub fn not_chosen(label: &str) -> String {
    format!("☐ {label}")
}

/// Kubernetes refused what the bot wanted to make.
pub fn refused(what: &str, why: &str) -> String {
    format!("{what} could not be created, so nothing was run: {why}")
}

/// A runner refused a message.
pub fn not_taken(why: &str) -> String {
    format!("The session did not take this message: {why}")
}

/// The runner has no copy of a file any more.
pub const FILE_GONE: &str = "its copy is gone";
/// The bot's own disk did not take a file.
pub const FILE_NOT_KEPT: &str = "I have no room for it";

/// A file of claude's does not come.
pub fn file_lost(name: &str, why: &str) -> String {
    format!("claude sent {name}, but I could not get it: {why}. Ask claude to send it again.")
}

/// A voice message is being transcribed.
pub const LISTENING: &str = "Listening …";
/// What claude is told of a voice message that nobody understood.
pub const UNHEARD_FOR_CLAUDE: &str = "[Longshore] A voice message came with this, and could not be transcribed.";
/// Nothing becomes of a voice message that was listened to.
pub const NOT_FOR_ME: &str = "Nothing is to be done about this.";

/// What is said in a voice message, as claude gets it.
pub fn transcribed(text: &str) -> String {
    format!("[Transcribed from a voice message] {text}")
}

/// A voice message was not understood.
pub fn not_transcribed(why: &str) -> String {
    format!("I could not transcribe the voice message: {why}.")
}

/// Why a file of several is left out: all of them together are too large.
pub const NO_ROOM: &str = "20 MB together are full";
/// Why a file is not asked for.
pub const FILE_TOO_LARGE: &str = "it is larger than 20 MB";

/// Some files of a message did not go with it.
pub fn left_out(files: &[LeftOut]) -> String {
    let names = files.iter().map(|file| format!("{} ({})", file.name, file.why));
    format!(
        "Left out: {}. The rest was handed on. A message can bring files of up to 20 MB together; send others by themselves, and \
         put larger ones where claude can fetch them.",
        names.collect::<Vec<_>>().join(", ")
    )
}

/// The same for claude.
pub fn left_out_for_claude(files: &[LeftOut]) -> String {
    let names = files.iter().map(|file| format!("{} ({})", file.name, file.why));
    format!(
        "[Longshore] Files that were sent with this and could not be handed on: {}.",
        names.collect::<Vec<_>>().join(", ")
    )
}

/// Telegram does not give the bot a file.
pub fn file_not_fetched(why: &str) -> String {
    format!(
        "Telegram did not give me the file ({why}), so the message was not handed on. A bot can have files of up to 20 MB; put \
         larger ones where claude can fetch them."
    )
}

/// A file was not sent.
pub fn file_not_sent(name: &str, why: &str) -> String {
    format!(
        "The file {name} could not be sent here: {why}. Files of up to 50 MB that are not empty can; ask for it in parts."
    )
}

/// Stands below the first lines of code that is too long for a message.
pub fn rest_in_file(lines: usize, name: &str) -> String {
    match lines {
        1 => format!("[… goes on; the whole is in the file {name}]"),
        _ => format!("[… {lines} lines in all; the whole is in the file {name}]"),
    }
}

/// Something could not be stopped.
pub fn not_stopped(why: &str) -> String {
    format!("It could not be stopped: {why}")
}
