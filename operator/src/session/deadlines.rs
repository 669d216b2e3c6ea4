//! When a session is idle, when it expires, and how long it may wait. Pure functions of spec, status, what the runner says, and
//! the time.
//!
//! Nothing here is remembered but what stands in the status: the last activity as it was last written, and the times at which
//! conditions changed. Times are whole seconds, rounded up, so that what is computed is what the status can hold.

use std::time::Duration;

use jiff::Timestamp;
use longshore_crds::conditions::types;
use longshore_crds::{
    AgentClass, PersistentSession, PersistentSessionSpec, PersistentSessionStatus, SessionDefaults, SessionPhase, Topic,
};
use longshore_wire::api::Status;

use super::cause::EndCause;
use super::order::{is_woken, wants_pod};
use crate::conditions::find;
use crate::settings::Timing;

/// The spans that apply to a session: its own, else the topic's, else the class's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    pub idle: Duration,
    pub life: Duration,
    pub rest: Duration,
    pub start: Duration,
}

/// The class may be gone; then its defaults hold.
pub fn spans(spec: &PersistentSessionSpec, topic: Option<&Topic>, class: Option<&AgentClass>) -> Spans {
    let topic = topic.and_then(|topic| topic.spec.session.clone()).unwrap_or_default();
    let class = class.map_or_else(SessionDefaults::default, |class| class.spec.session.clone());
    let seconds = |own: Option<i32>, of_topic: Option<i32>, of_class: i32| {
        let seconds = own.or(of_topic).unwrap_or(of_class);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    };
    Spans {
        idle: seconds(
            spec.idle_timeout_seconds,
            topic.idle_timeout_seconds,
            class.idle_timeout_seconds,
        ),
        life: seconds(
            spec.max_duration_seconds,
            topic.max_duration_seconds,
            class.max_duration_seconds,
        ),
        rest: seconds(
            spec.suspended_ttl_seconds,
            topic.suspended_ttl_seconds,
            class.suspended_ttl_seconds,
        ),
        start: seconds(
            spec.start_timeout_seconds,
            topic.start_timeout_seconds,
            class.start_timeout_seconds,
        ),
    }
}

/// The same time, or the next whole second.
pub fn whole_seconds_up(at: Timestamp) -> Timestamp {
    let down = crate::conditions::whole_seconds(at);
    if down < at { down + Duration::from_secs(1) } else { at }
}

/// When the session ends if nobody does anything about it, and why.
///
/// A session that was never Ready counts from its admission, and one that was never admitted, as for want of its Topic, from its
/// creation. `maxDurationSeconds` holds while it is suspended too: it would be ended as soon as it is back.
pub fn expiry(
    session: &PersistentSession,
    status: &PersistentSessionStatus,
    spans: &Spans,
) -> Option<(Timestamp, EndCause)> {
    if matches!(status.phase, Some(SessionPhase::Ending | SessionPhase::Ended)) {
        return None;
    }
    let too_long = true_since(status, types::SUSPENDED).map(|at| (at + spans.rest, EndCause::SuspendedTooLong));
    [life(session, status, spans), too_long]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
}

fn life(session: &PersistentSession, status: &PersistentSessionStatus, spans: &Spans) -> Option<(Timestamp, EndCause)> {
    let begun = status.start_time.as_ref().map(|at| at.0);
    let begun = begun.or_else(|| true_since(status, types::ADMITTED));
    let begun = begun.or_else(|| Some(session.metadata.creation_timestamp.as_ref()?.0))?;
    Some((begun + spans.life, EndCause::MaxDuration))
}

/// Why the session's time is over, if it is. One that somebody has woken has not been suspended for too long.
pub fn expired(session: &PersistentSession, spans: &Spans, now: Timestamp) -> Option<EndCause> {
    let status = session.status.as_ref()?;
    let (at, cause) = if wants_pod(session) {
        life(session, status, spans)?
    } else {
        expiry(session, status, spans)?
    };
    (at <= now).then_some(cause)
}

fn true_since(status: &PersistentSessionStatus, condition: &str) -> Option<Timestamp> {
    let found = find(&status.conditions, condition).filter(|found| found.status == "True")?;
    Some(found.last_transition_time.0)
}

/// What is known of a session's idleness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idleness {
    /// Since when nothing has happened.
    pub since: Timestamp,
    /// When that has lasted for the idle timeout.
    pub deadline: Timestamp,
    /// When to warn of it.
    pub warning: Timestamp,
}

/// What came of a look at the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to be done until then.
    LookAt(Timestamp),
    /// People are to be warned, and it is to be looked again at the deadline.
    Warn,
    /// It is idle.
    Idle,
}

impl Idleness {
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        if self.deadline <= now {
            Verdict::Idle
        } else if self.warning <= now {
            Verdict::Warn
        } else {
            Verdict::LookAt(self.warning)
        }
    }

    /// Whether the status must say the new deadline: there is none, the one it says is about to pass or already has, or is too
    /// late. Otherwise it waits for another write.
    pub fn must_be_written(
        &self,
        status: &PersistentSessionStatus,
        spans: &Spans,
        timing: &Timing,
        now: Timestamp,
    ) -> bool {
        match status.idle_deadline.as_ref().map(|at| at.0) {
            None => true,
            Some(said) if said == self.deadline => false,
            Some(said) => said - window(spans, timing) <= now || self.deadline < said,
        }
    }
}

fn window(spans: &Spans, timing: &Timing) -> Duration {
    timing.idle_warning.min(spans.idle / 5)
}

/// Reckons with what the runner says: a busy agent, a refusal to wind down and a wake-up count as activity now. The runner is
/// not believed to know the future. A session that has just become Ready is not idle, however old its conversation.
pub fn idleness(
    session: &PersistentSession,
    runner: &Status,
    refused: bool,
    spans: &Spans,
    timing: &Timing,
    now: Timestamp,
) -> Idleness {
    let status = session.status.as_ref();
    let active = refused || !runner.busy.is_empty() || is_woken(session);
    let since = if active {
        now
    } else {
        let ready = status
            .and_then(|status| true_since(status, types::READY))
            .unwrap_or(now);
        let written = status
            .and_then(|status| status.last_activity_time.as_ref())
            .map(|at| at.0);
        let known = written.unwrap_or(ready).max(ready);
        // A clock that was set back must not keep a session alive.
        runner.last_activity.max(known).min(now)
    };
    let since = whole_seconds_up(since);
    let deadline = since + spans.idle;
    Idleness {
        since,
        deadline,
        warning: deadline - window(spans, timing),
    }
}

#[cfg(test)]
mod tests {
    use longshore_crds::conditions::reasons;
    use longshore_wire::api::{Disk, Memory, Usage};
    use serde_json::json;

    use super::*;
    use crate::conditions::{merge, yes};
    use crate::settings::Settings;

    #[test]
    fn a_clock_that_is_set_back_makes_a_session_rest_later_by_no_more_than_that() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let (ready, now) = (10_000, 10_050);
        let spec = serde_json::from_value(json!({ "topicRef": { "name": "t" } })).unwrap();
        let mut session = PersistentSession::new("deep", spec);
        session.status = Some(PersistentSessionStatus {
            conditions: merge(&[], vec![yes(types::READY, reasons::READY, "")], None, at(ready)),
            ..PersistentSessionStatus::default()
        });
        let runner: Status = serde_json::from_value(json!({
            "version": "0.1.0", "kind": "session", "uid": "7f7a36ea-5c4f-4d0e-8a2b-111111111111", "state": "ready",
            "lastActivity": at(ready), "memory": Memory::default(), "disk": Disk::default(), "usage": Usage::default(),
            "seq": 1, "acked": 1, "restarts": 0,
        }))
        .unwrap();
        let spans = Spans {
            idle: Duration::from_secs(70),
            life: Duration::from_secs(100_000),
            rest: Duration::from_secs(100_000),
            start: Duration::from_secs(100_000),
        };
        let wait = |now: Timestamp| {
            let idleness = idleness(&session, &runner, false, &spans, &Settings::example().timing, now);
            idleness.deadline.duration_since(now).as_secs()
        };
        assert_eq!(wait(at(now)), 20);
        for back in [1, 30, 49, 50, 51, 3600] {
            let longer = wait(at(now - back)) - 20;
            assert!(longer <= back, "set back by {back} s it rests {longer} s later");
            assert!(longer <= 50, "the timeout begins anew at most");
        }
    }
}
