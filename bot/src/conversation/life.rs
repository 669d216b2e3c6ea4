//! Sentences about what a session or task waits for, why a session sleeps, and why it is over. For people; pure.
//!
//! Each says what happened and what to do. The cluster's own words follow where they name something that the sentence cannot.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{ContainerTask, DesiredState, PersistentSession, PersistentSessionStatus, SessionPhase, meta};
use longshore_wire::MessageId;
use longshore_wire::api::{IdleEnd, Undelivered};

use super::outcome::{condition, is_true};
use crate::render::{self, Rich};

/// A message woke the session, or is about to.
pub const WAKING: &str = "Waking the session up …";
/// What a note about what held the session up becomes.
pub const GOES_ON: &str = "The session takes messages again.";
/// The same when the session has fallen asleep.
pub const SLEEPS: &str = "The session sleeps now.";
/// The same when the session has ended.
pub const IS_OVER: &str = "The session is over.";
/// What the idle warning becomes when the session has ended.
pub const WAS_IDLE: &str = "The session was idle and is over.";
/// What the idle warning becomes when somebody does something.
pub const STAYS_AWAKE: &str = "The session was about to be idle; it stays awake.";

/// A session without a pod, or about to have none, that a wake can bring back. Also one that is about to end because it was
/// idle: a wake that comes in time keeps it.
pub fn is_asleep(session: &PersistentSession) -> bool {
    let phase = session.status.as_ref().and_then(|status| status.phase);
    has_no_pod(session) || phase == Some(SessionPhase::Suspending) || ends_for_being_idle(session)
}

fn ends_for_being_idle(session: &PersistentSession) -> bool {
    session.status.as_ref().is_some_and(|status| {
        let ended = condition(&status.conditions, types::ENDED);
        status.phase == Some(SessionPhase::Ending) && ended.is_some_and(|ended| ended.reason == reasons::IDLE_TIMEOUT)
    })
}

/// A session that sleeps, with its pod gone.
pub fn has_no_pod(session: &PersistentSession) -> bool {
    session.status.as_ref().is_some_and(|status| {
        status.phase == Some(SessionPhase::Suspended) || is_true(&status.conditions, types::SUSPENDED)
    })
}

/// A session that is on its way out for good: no wake brings it back, and new messages do not go there.
pub fn is_ending(session: &PersistentSession) -> bool {
    let phase = session.status.as_ref().and_then(|status| status.phase);
    session.metadata.deletion_timestamp.is_some()
        || session.spec.desired_state == DesiredState::Ended
        || session.annotations().contains_key(meta::END)
        || phase == Some(SessionPhase::Ended)
        || (phase == Some(SessionPhase::Ending) && !ends_for_being_idle(session))
}

/// The spec keeps the session suspended, which no wake changes.
pub fn held_down(name: &str) -> String {
    format!(
        "The session is kept suspended by its desiredState. This message waits; “kubectl longshore resume {name}”, or \
         desiredState: Running, brings it back, and /end ends it."
    )
}

/// The session could not be brought back.
pub fn rests(session: &PersistentSession, until: Timestamp) -> String {
    let name = session.metadata.name.as_deref().unwrap_or_default();
    let sentence = format!(
        "The session could not be brought back. This message waits; it is tried again at {}, or at once with “kubectl longshore \
         resume {name}”. /end ends the session.",
        clock(until)
    );
    with_detail(sentence, &failed_resume(session).unwrap_or_default())
}

/// Why it could not be brought back.
fn failed_resume(session: &PersistentSession) -> Option<String> {
    let suspended = condition(&session.status.as_ref()?.conditions, types::SUSPENDED)?;
    (suspended.reason == reasons::RESUME_FAILED).then(|| suspended.message.clone())
}

/// A wake was refused.
pub fn not_woken(why: &str) -> String {
    format!(
        "The session sleeps and could not be woken: {why}. This message waits and it is tried again; ask the operator of \
         this installation to let the bot patch persistentsessions."
    )
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M UTC").to_string()
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The session will soon be idle.
pub fn idle_warning(deadline: Timestamp, then: IdleEnd) -> String {
    let then = match then {
        IdleEnd::Suspend => "goes to sleep",
        IdleEnd::End => "ends",
    };
    format!(
        "Idle: the session {then} at {}; any message keeps it awake.",
        clock(deadline)
    )
}

/// What a waiting task waits for, when that is worth telling.
pub fn task_waits(task: &ContainerTask) -> Option<String> {
    let status = task.status.as_ref()?;
    waits(status.queue_position, &status.conditions, "The task")
}

/// What a session waits for that shall be there and is not.
pub fn session_waits(session: &PersistentSession) -> Option<String> {
    let status = session.status.as_ref();
    if status.is_some_and(|status| status.endpoint.is_some()) || is_asleep(session) {
        return None;
    }
    let begun = status.is_some_and(|status| status.start_time.is_some());
    let ordinary = if begun {
        "The session is coming back …"
    } else {
        "Starting a session …"
    };
    Some(session_held_up(session).unwrap_or_else(|| ordinary.to_owned()))
}

/// What holds a session up that should be there: something that takes long, or that somebody must do something about.
pub fn session_held_up(session: &PersistentSession) -> Option<String> {
    let status = session.status.as_ref()?;
    if status.endpoint.is_some() || is_asleep(session) {
        return None;
    }
    waits(status.queue_position, &status.conditions, "The session")
}

fn waits(queue: Option<i32>, conditions: &[Condition], what: &str) -> Option<String> {
    if let Some(position) = queue {
        return Some(format!(
            "{what} waits in the queue, at position {position}. It starts when another one has ended or sleeps."
        ));
    }
    [types::ADMITTED, types::READY].iter().find_map(|kind| {
        let blocked = condition(conditions, kind).filter(|condition| condition.status == "False")?;
        blocked_by(&blocked.reason, what).map(|sentence| with_detail(sentence, &blocked.message))
    })
}

/// What a reason means and what to do; none for what passes by itself in a moment. A reason that this version does not know
/// speaks through its message.
fn blocked_by(reason: &str, what: &str) -> Option<String> {
    let ask = "ask the operator of this installation";
    Some(match reason {
        reasons::STARTING
        | reasons::RESUMING
        | reasons::READY
        | reasons::ENDED
        | reasons::SUSPENDED
        | reasons::COMPLETED
        | reasons::NOT_FINISHED => return None,
        reasons::QUEUED => format!("{what} waits in the queue. It starts when another one has ended or sleeps."),
        reasons::TOPIC_BUSY => {
            format!("{what} waits: this topic has a session already. It starts when that one has ended; /end ends it.")
        }
        reasons::WAITING_FOR_TASK => format!("{what} waits for a task of this topic and starts when it has finished."),
        reasons::WAITING_FOR_SESSION => {
            format!("{what} waits: it starts when the topic's session has ended or sleeps. /end ends it.")
        }
        reasons::CLASS_NOT_FOUND => format!("{what} waits: its AgentClass does not exist; {ask} to create it."),
        reasons::TOPIC_NOT_FOUND => format!("{what} waits: its topic is not ready; {ask} to look at the Topic."),
        reasons::IMAGE_PULL => {
            format!("{what} waits: the agent's image cannot be pulled; {ask} to check image and pull secret.")
        }
        reasons::UNSCHEDULABLE => format!(
            "{what} waits: no node has room for it. It starts as soon as one has; if that takes long, {ask} for more room \
             or smaller requests."
        ),
        reasons::CRASH_LOOP => {
            format!("{what} does not stay up; it is tried again and again. If that goes on, {ask} to look at its log.")
        }
        reasons::OUT_OF_MEMORY => format!(
            "{what} used more memory than it may and is started again. If that goes on, {ask} to raise the memory limit of \
             the AgentClass, or do the work in smaller steps."
        ),
        reasons::AGENT_NOT_LOGGED_IN => format!(
            "{what} waits: claude has no valid credentials; {ask} to renew the key or token that the AgentClass names."
        ),
        reasons::CONFIG_MAP_NOT_FOUND => format!(
            "{what} waits: instructions that its AgentClass or Topic names are not there; {ask} to create the ConfigMap."
        ),
        reasons::REPOSITORY_CLONE_FAILED => format!(
            "{what} waits: the topic's repository cannot be cloned; {ask} to correct the repository of the Topic, or its \
             Secret."
        ),
        reasons::VOLUME_NOT_WRITABLE => format!(
            "{what} waits: the topic's volume cannot be written; {ask} to make room on it or to repair its permissions."
        ),
        reasons::NODE_LOST => format!(
            "{what} waits: its node does not answer. Messages wait, nothing is lost; {ask} to bring the node back, to delete \
             the Node, or to taint it out-of-service."
        ),
        reasons::NAME_CONFLICT => {
            format!("{what} waits: a name that it needs is taken; {ask} to delete what has it.")
        }
        _ => format!("{what} waits."),
    })
}

fn with_detail(sentence: String, detail: &str) -> String {
    match detail.trim().trim_end_matches('.') {
        "" => sentence,
        detail => format!("{sentence}\n({detail}.)"),
    }
}

/// Whether somebody has asked the session to wake up and the operator has not seen it.
pub fn wakes_up(session: &PersistentSession) -> bool {
    let observed = session.status.as_ref().and_then(|status| status.observed_wake.as_ref());
    session
        .annotations()
        .get(meta::WAKE)
        .is_some_and(|wish| Some(wish) != observed)
}

/// Answers that nobody had taken when the pod went.
pub fn undelivered(session: &PersistentSession) -> Vec<Undelivered> {
    let answers = session.status.iter().flat_map(|status| &status.undelivered);
    let answers = answers.map(|answer| Undelivered {
        message_ids: answer
            .message_ids
            .iter()
            .filter_map(|id| id.parse().ok().map(MessageId))
            .collect(),
        text: answer.text.clone(),
        is_error: answer.is_error,
    });
    answers.collect()
}

/// Why a session sleeps and what brings it back, with the mark by which this sleep is told from others.
pub fn sleep_note(session: &PersistentSession) -> Option<(String, String)> {
    let status = session.status.as_ref()?;
    let suspended = condition(&status.conditions, types::SUSPENDED).filter(|suspended| suspended.status == "True")?;
    let mark = format!("asleep since {}", suspended.last_transition_time.0);
    let name = session.metadata.name.as_deref().unwrap_or_default();
    let why = match suspended.reason.as_str() {
        reasons::IDLE_TIMEOUT => "nobody needed it for a while".to_owned(),
        reasons::REQUESTED => "it was suspended on request".to_owned(),
        reasons::SLOT_RECLAIMED => "its place was needed for another session".to_owned(),
        reasons::RESUME_FAILED => format!("it could not be brought back ({})", suspended.message),
        other if suspended.message.is_empty() => other.to_owned(),
        _ => suspended.message.clone(),
    };
    let then = match session.spec.desired_state {
        DesiredState::Suspended => {
            format!(
                "“kubectl longshore resume {name}” or desiredState: Running brings it back; messages wait until then."
            )
        }
        _ => "Your next message wakes it, with its conversation; /end ends it.".to_owned(),
    };
    let until = status.expires_at.as_ref();
    let until = until.map_or(String::new(), |at| {
        format!(" If nobody comes back it ends at {}.", date(at.0))
    });
    Some((mark, format!("The session sleeps: {why}. {then}{until}")))
}

/// The final words about a session: why it is over, what to do, and its key outcomes.
pub fn end_note(session: &PersistentSession) -> Rich {
    let none = PersistentSessionStatus::default();
    let status = session.status.as_ref().unwrap_or(&none);
    let mut rich = Rich::plain(ended(status));
    let summary = status
        .summary
        .as_ref()
        .filter(|summary| !summary.text.trim().is_empty());
    if let Some(summary) = summary {
        rich = rich
            .paragraph(Rich::plain("Key outcomes:"))
            .paragraph(render::markdown(&summary.text));
    }
    let failed = condition(&status.conditions, types::SUMMARIZED)
        .is_some_and(|summarized| summarized.reason == reasons::SUMMARY_FAILED);
    if failed {
        rich = rich.paragraph(Rich::plain(
            "Its newest outcomes could not be written down; the next task or session of this topic does that first.",
        ));
    }
    rich
}

/// What is said about a session that is not there any more.
pub const GONE: &str = "The session is over: it was deleted. /deep starts another.";

fn ended(status: &PersistentSessionStatus) -> String {
    let again = "/deep starts another, which finds the files and the outcomes.";
    let Some(ended) = condition(&status.conditions, types::ENDED).filter(|ended| ended.status == "True") else {
        return GONE.to_owned();
    };
    match ended.reason.as_str() {
        reasons::USER_ENDED if status.start_time.is_none() => "The session was ended before it began.".to_owned(),
        reasons::USER_ENDED => "The session has ended.".to_owned(),
        reasons::IDLE_TIMEOUT => format!("The session has ended: nobody needed it for a while. {again}"),
        reasons::MAX_DURATION => format!("The session has ended: it lived as long as a session may. {again}"),
        reasons::SUSPENDED_TOO_LONG => {
            format!("The session has ended: it slept for long and nobody came back. {again}")
        }
        reasons::DELETED => format!("The session has ended: it was deleted. {again}"),
        reasons::FAILED => with_detail(
            "The session was given up: it did not get going in time. Once that is mended, /deep starts another."
                .to_owned(),
            &ended.message,
        ),
        reasons::QUEUE_TIMEOUT => {
            "The session was given up: no place became free in time. Try /deep again later, or end a \
                                   session that is no longer needed."
                .to_owned()
        }
        reasons::REJECTED => {
            let admitted = condition(&status.conditions, types::ADMITTED);
            let why = admitted.filter(|admitted| admitted.reason == reasons::REJECTED);
            with_detail(
                "The session was refused: there is no room for it. Try /deep again later, or end a session that is no \
                 longer needed."
                    .to_owned(),
                &why.unwrap_or(ended).message,
            )
        }
        _ => with_detail(format!("The session has ended. {again}"), &ended.message),
    }
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
