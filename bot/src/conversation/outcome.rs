//! Sentences about how turns and tasks ended. For people; pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{ContainerTask, meta};

use crate::render::{self, Rich};

/// Shown at a message that was answered in one go with a later one.
pub const ANSWERED_TOGETHER: &str = "Answered below, together with your later message.";
/// claude ended its turn without text.
pub const SILENT: &str = "claude has finished and has nothing to say.";
/// A session ended with this message unanswered.
pub const SESSION_OVER: &str = "The session ended before this was answered.";
/// A session ended and it is not known whether it had taken the message.
pub const SESSION_OVER_UNSURE: &str = "The session ended while this message was on its way, so it may or may not have been read. Send it again if it still matters.";
/// A task is gone.
pub const TASK_DELETED: &str = "This task was withdrawn before it had answered.";

/// What to tell about a turn that did not end well.
pub fn sentence(terminal_reason: &str, error: Option<&str>) -> String {
    let told = error.map(str::trim).filter(|error| !error.is_empty());
    match (terminal_reason, told) {
        ("cancelled", None) => "This was dropped before it ran.".to_owned(),
        (reason, None) if reason.starts_with("aborted") => "Stopped.".to_owned(),
        (reason, Some(error)) if reason.starts_with("aborted") => format!("Stopped. {error}"),
        (_, Some(error)) => error.to_owned(),
        (reason, None) => format!("claude stopped with an error ({reason})."),
    }
}

/// The condition of this type.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether a condition of this type is True.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    condition(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// What stands above the result of a task that no message asked for: whose it is, and which run.
pub fn heading(task: &ContainerTask) -> String {
    let Some(schedule) = task.labels().get(meta::SCHEDULE_LABEL) else {
        return format!("Task {}", task.name_any());
    };
    // The clock of the schedule's time zone, as people there read it; its offset says nothing to them.
    let run = task.annotations().get(meta::SCHEDULED_FOR).and_then(|at| at.get(..16));
    match run {
        Some(run) => run_heading(&format!("{schedule}, {}", run.replace('T', " "))),
        None => run_heading(schedule),
    }
}

/// What stands above the answer of this run of a schedule, be it a task's or a session's.
pub fn run_heading(run: &str) -> String {
    format!("⏰ {run}")
}

/// The final words about a task, once there are any, and whether it failed.
pub fn of_task(task: &ContainerTask) -> Option<(Rich, bool)> {
    let status = task.status.as_ref()?;
    if let Some(failed) = condition(&status.conditions, types::FAILED).filter(|failed| failed.status == "True") {
        let why = if failed.message.is_empty() {
            failed.reason.clone()
        } else {
            failed.message.clone()
        };
        return Some((Rich::plain(format!("The task failed: {why}")), true));
    }
    let result = status
        .result
        .as_ref()
        .filter(|_| is_true(&status.conditions, types::COMPLETE))?;
    let mut rich = render::markdown(&result.text);
    if result.truncated {
        rich = rich.paragraph(Rich::plain(
            "[The answer was longer than 64 KiB; the rest is not shown.]",
        ));
    }
    if result.is_error {
        // The runner puts the reason into the text when claude said nothing.
        let told = if rich.text.is_empty() { None } else { Some("") };
        match (told, result.terminal_reason.starts_with("aborted")) {
            (Some(_), false) => {}
            _ => rich = rich.paragraph(Rich::plain(sentence(&result.terminal_reason, None))),
        }
    }
    if rich.text.is_empty() {
        rich = Rich::plain(SILENT);
    }
    Some((rich, result.is_error))
}
