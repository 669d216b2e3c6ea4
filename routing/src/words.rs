//! What a decision says to people. Sentences: what happened, why, what to do.

use crate::{COMMANDS, PermissionMode};

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

/// `/model` or `/mode` without a session.
pub const NO_SESSION_TO_SET: &str = "Model and mode are those of a session, and none is active here. /deep starts one; a task \
     goes by its AgentClass.";
/// `/model` with something that is no name.
pub const NO_MODEL_NAME: &str = "This cannot be the name of a model. /model alone lists those I know.";
/// `/mode` by somebody who may not.
pub const MODE_NEEDS_APPROVER: &str = "Only approvers may let claude change files without asking. Nothing was changed.";
/// `/history` with something else than a number.
pub const NO_NUMBER_OF_TURNS: &str = "Write how many turns to show after /history, such as /history 5.";

/// `/mode` with a word that is none.
pub fn no_such_mode() -> String {
    let modes = PermissionMode::ALL.map(|mode| format!("/mode {} – claude {}.", mode.word(), mode.meaning()));
    format!(
        "There is no such mode, so nothing was changed. Write one of these:\n{}",
        modes.join("\n")
    )
}

/// A command that does not exist.
pub fn unknown_command(name: &str, nearest: Option<&str>) -> String {
    let meant = nearest
        .map(|nearest| format!(" Did you mean /{nearest}?"))
        .unwrap_or_default();
    format!("I do not know /{name}, so nothing was run.{meant} /help lists what I know.")
}

/// `/help`. `of_policies` are commands that the policies define.
pub fn help(of_policies: &[&str]) -> String {
    let mut commands = COMMANDS
        .iter()
        .map(|(_, name, what)| format!("/{name} – {what}."))
        .collect::<Vec<_>>();
    if !of_policies.is_empty() {
        let names = of_policies.iter().map(|name| format!("/{name}")).collect::<Vec<_>>();
        commands.push(format!("\nCommands of this installation: {}.", names.join(", ")));
    }
    format!(
        "Write a question, and claude answers it in a pod of its own, on the files of this topic.\n\
         For longer work start a session: claude stays, remembers what was said, and asks before it does something it \
         may not do by itself; approvers decide that by the buttons below it. While a session is active everything you write \
         goes to it; “done” alone ends it.\n\n{}",
        commands.join("\n")
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
