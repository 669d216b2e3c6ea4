//! How a session stands to somebody who has a message for it. Pure.

use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{DesiredState, PersistentSession, SessionPhase, meta, wish};

use super::cause::{EndCause, RestCause};
use super::order::{has, is_over, is_woken, wants_end};

/// What a message for it has to expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes messages.
    Ready,
    /// It will, without anybody's doing.
    OnTheWay,
    /// It sleeps, or is about to. This value of the annotation wakes it.
    Asleep { wish: String },
    /// `desiredState: Suspended` keeps it asleep.
    HeldDown,
    /// It was woken for this and could not be brought back.
    Lost,
    /// It is over, or on its way there for good.
    Over,
}

/// `cause` is what it would be woken for, unique to that.
pub fn standing(session: &PersistentSession, cause: &str) -> Standing {
    let phase = session.status.as_ref().and_then(|status| status.phase);
    let ends = phase == Some(SessionPhase::Ending);
    // Whoever ends for being idle goes on when it is woken in time.
    let ends_idle = ends && EndCause::of(session) == Some(EndCause::Idle);
    let goes =
        is_over(session) || wants_end(session) || session.metadata.deletion_timestamp.is_some() || ends && !ends_idle;
    let rests = matches!(phase, Some(SessionPhase::Suspending | SessionPhase::Suspended));
    if goes {
        Standing::Over
    } else if session.spec.desired_state == DesiredState::Suspended {
        Standing::HeldDown
    } else if ends_idle || rests || has(session, types::SUSPENDED) {
        asleep(session, cause)
    } else if phase == Some(SessionPhase::Running) && has(session, types::READY) {
        Standing::Ready
    } else {
        Standing::OnTheWay
    }
}

fn asleep(session: &PersistentSession, cause: &str) -> Standing {
    let last = session.annotations().get(meta::WAKE).map(String::as_str);
    match RestCause::of(session) {
        _ if is_woken(session) => Standing::OnTheWay,
        // Whoever asked for it does not any more.
        Some(RestCause::Requested) => Standing::OnTheWay,
        Some(RestCause::ResumeFailed) if last.is_some_and(|last| wish::is_for(last, cause)) => Standing::Lost,
        _ => Standing::Asleep {
            wish: wish::another(cause, last),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(given: Value, expected: Standing) {
        let mut whole = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession", "metadata": { "name": "deep" },
            "spec": { "topicRef": { "name": "t" } }, "status": {},
        });
        for (path, value) in given.as_object().unwrap() {
            let (parent, key) = path.split_once('.').unwrap();
            whole[parent][key] = value.clone();
        }
        let session = serde_json::from_value(whole).unwrap();
        assert_eq!(standing(&session, "run"), expected, "{given}");
    }

    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!([{ "type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" }])
    }

    #[test]
    fn a_session_takes_messages_once_it_is_ready() {
        check(json!({}), Standing::OnTheWay);
        check(json!({ "status.phase": "Starting" }), Standing::OnTheWay);
        check(json!({ "status.phase": "Running" }), Standing::OnTheWay);
        let ready = condition("Ready", "True", "Ready");
        check(
            json!({ "status.phase": "Running", "status.conditions": ready }),
            Standing::Ready,
        );
        check(
            json!({ "status.phase": "Running", "status.conditions": ready, "spec.desiredState": "Suspended" }),
            Standing::HeldDown,
        );
        check(
            json!({ "status.phase": "Running", "status.conditions": ready, "metadata.annotations": { meta::END: "x" } }),
            Standing::Over,
        );
    }

    #[test]
    fn a_session_that_sleeps_is_asked_until_the_wish_was_seen() {
        let asleep = |wish: &str| Standing::Asleep { wish: wish.to_owned() };
        for phase in ["Suspending", "Suspended"] {
            check(json!({ "status.phase": phase }), asleep("run"));
        }
        let woken = |observed: &str| {
            json!({ "status.phase": "Suspended", "status.observedWake": observed,
                "metadata.annotations": { meta::WAKE: "run" } })
        };
        check(woken("before"), Standing::OnTheWay);
        check(woken("run"), asleep("run/2"));
    }

    #[test]
    fn why_it_sleeps_or_ends_decides_whether_waking_helps() {
        let rests = |reason: &str, last: &str| {
            json!({ "status.phase": "Suspended", "status.conditions": condition("Suspended", "True", reason),
                "status.observedWake": last, "metadata.annotations": { meta::WAKE: last } })
        };
        let asleep = Standing::Asleep { wish: "run".to_owned() };
        check(rests("IdleTimeout", "other"), asleep.clone());
        check(rests("ResumeFailed", "other"), asleep.clone());
        check(rests("ResumeFailed", "run"), Standing::Lost);
        check(rests("Requested", "other"), Standing::OnTheWay);
        let ends = |reason: &str| json!({ "status.phase": "Ending", "status.conditions": condition("Ended", "False", reason) });
        check(ends("IdleTimeout"), asleep);
        check(ends("MaxDuration"), Standing::Over);
        let ended = condition("Ended", "True", "UserEnded");
        check(
            json!({ "status.phase": "Ended", "status.conditions": ended }),
            Standing::Over,
        );
    }
}
