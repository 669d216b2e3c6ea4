//! Why a run was left out, in words for people. Pure.

use jiff::Timestamp;
use longshore_crds::ScheduledTaskStatus;
use longshore_crds::conditions::reasons;

/// Why the last run was left out, when none was started since.
pub fn last(status: &ScheduledTaskStatus) -> Option<(&'static str, &'static str, Timestamp)> {
    let missed = status.last_missed.as_ref()?;
    let started = status.last_schedule_time.as_ref().map(|at| at.0);
    if started.is_some_and(|started| started > missed.schedule_time.0) {
        return None;
    }
    let (reason, why) = match missed.reason.as_str() {
        reasons::MISSED_DEADLINE => (
            reasons::MISSED_DEADLINE,
            "it would have started later than startingDeadlineSeconds allows",
        ),
        reasons::SESSION_ACTIVE => (
            reasons::SESSION_ACTIVE,
            "a session of the topic had a pod (whileSessionActive: Skip)",
        ),
        reasons::SESSION_SUSPENDED => (
            reasons::SESSION_SUSPENDED,
            "the topic's session is kept asleep by its desiredState (whileSessionActive: ToSession)",
        ),
        reasons::HAND_OVER_UNCERTAIN => (
            reasons::HAND_OVER_UNCERTAIN,
            "the topic's session went away while it was given to it, and may or may not have taken it",
        ),
        reasons::PREVIOUS_RUN_ACTIVE => (
            reasons::PREVIOUS_RUN_ACTIVE,
            "an earlier run was not over (concurrencyPolicy: Forbid)",
        ),
        reasons::NAME_CONFLICT => (
            reasons::NAME_CONFLICT,
            "a ContainerTask with its name belongs to somebody else; delete that, or use another name",
        ),
        _ => return None,
    };
    Some((reason, why, missed.schedule_time.0))
}
