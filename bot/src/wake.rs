//! Waking sessions that sleep, by an annotation that the operator acts on.
//!
//! `plan` decides, pure; [`wake`] reads the live session and writes at most one annotation. Two wishes at once are one: as
//! long as the operator has not seen the last one, nothing is written. Knows nothing of the messages that wait for it.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{DesiredState, PersistentSession, meta, wish};

use crate::bot::Bot;
use crate::cluster::write::WriteError;
use crate::conversation::life;
use crate::conversation::outcome::condition;

/// What comes of a wish to wake a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It does not sleep, or is over.
    NotNeeded,
    /// It was asked to wake up, now or before.
    Asked,
    /// Its spec keeps it suspended.
    HeldDown,
    /// It was woken for this and could not be brought back; it is tried again then.
    Rests(Timestamp),
}

/// How long a session that could not be brought back is left alone, unless something else wakes it. Each try takes its
/// `startTimeoutSeconds`, and a slot as long.
const PAUSE: SignedDuration = SignedDuration::from_mins(15);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Nothing(Wake),
    Ask(String),
}

/// Wakes a session if it sleeps. `cause` is what it shall wake up for, unique to it.
pub async fn wake(bot: &Bot, seen: &PersistentSession, cause: &str) -> Result<Wake, WriteError> {
    if let Step::Nothing(wake) = plan(seen, cause, Timestamp::now()) {
        return Ok(wake);
    }
    let name = seen.name_any();
    let _one = bot.waking.lock().await;
    // Past the reflector: it may not show yet that the session was asked already, or that it is awake.
    let Some(live) = bot.cluster.live_session(&name).await? else {
        return Ok(Wake::NotNeeded);
    };
    match plan(&live, cause, Timestamp::now()) {
        Step::Nothing(wake) => Ok(wake),
        Step::Ask(value) => {
            bot.cluster.wake_session(&name, &value).await?;
            tracing::info!(session = name, cause, "asked the session to wake up");
            Ok(Wake::Asked)
        }
    }
}

fn plan(session: &PersistentSession, cause: &str, now: Timestamp) -> Step {
    let observed = session
        .status
        .as_ref()
        .and_then(|status| status.observed_wake.as_deref());
    let asked = session.annotations().get(meta::WAKE).map(String::as_str);
    if !life::is_asleep(session) || life::is_ending(session) {
        Step::Nothing(Wake::NotNeeded)
    } else if session.spec.desired_state == DesiredState::Suspended {
        Step::Nothing(Wake::HeldDown)
    } else if asked.is_some() && asked != observed {
        Step::Nothing(Wake::Asked)
    } else if let Some(until) =
        rests_until(session).filter(|until| asked.is_some_and(|asked| wish::is_for(asked, cause)) && *until > now)
    {
        Step::Nothing(Wake::Rests(until))
    } else {
        Step::Ask(wish::another(cause, asked))
    }
}

fn rests_until(session: &PersistentSession) -> Option<Timestamp> {
    let conditions = &session.status.as_ref()?.conditions;
    let suspended = condition(conditions, types::SUSPENDED)?;
    (suspended.reason == reasons::RESUME_FAILED).then(|| suspended.last_transition_time.0 + PAUSE)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(session: Value, expected: Step) {
        let mut whole = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
            "metadata": {"name": "ps"}, "spec": {"topicRef": {"name": "tp"}},
        });
        for (pointer, value) in session.as_object().unwrap() {
            let (parent, key) = pointer.split_once('.').unwrap();
            whole[parent][key] = value.clone();
        }
        let session = serde_json::from_value::<PersistentSession>(whole).unwrap();
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        assert_eq!(plan(&session, "m1", now), expected, "{session:?}");
    }

    #[test]
    fn a_sleeping_session_is_asked_once_until_the_operator_has_seen_it() {
        let (nothing, ask) = (Step::Nothing, |value: &str| Step::Ask(value.into()));
        let wish = |value: &str| json!({meta::WAKE: value});
        check(json!({}), nothing(Wake::NotNeeded));
        check(json!({"status.phase": "Running"}), nothing(Wake::NotNeeded));
        check(json!({"status.phase": "Starting"}), nothing(Wake::NotNeeded));
        for phase in ["Suspending", "Suspended"] {
            check(json!({"status.phase": phase}), ask("m1"));
        }
        check(
            json!({"status.phase": "Suspended", "metadata.annotations": wish("m0")}),
            nothing(Wake::Asked),
        );
        for (value, expected) in [
            ("m0", ask("m1")),
            ("m1", nothing(Wake::Asked)),
            ("m9", nothing(Wake::Asked)),
        ] {
            check(
                json!({"status.phase": "Suspended", "status.observedWake": "m0", "metadata.annotations": wish(value)}),
                expected,
            );
        }
    }

    #[test]
    fn a_session_that_sleeps_again_before_it_took_the_message_is_asked_again() {
        for (last, next) in [("m1", "m1/2"), ("m1/2", "m1/3"), ("m1/x", "m1"), ("m11", "m1")] {
            check(
                json!({"status.phase": "Suspended", "status.observedWake": last, "metadata.annotations": {meta::WAKE: last}}),
                Step::Ask(next.into()),
            );
        }
    }

    #[test]
    fn a_session_that_is_about_to_end_is_woken_only_when_it_was_idle() {
        for (reason, expected) in [
            ("IdleTimeout", Step::Ask("m1".into())),
            ("MaxDuration", Step::Nothing(Wake::NotNeeded)),
        ] {
            let ended = json!({"type": "Ended", "status": "False", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
            check(
                json!({"status.phase": "Ending", "status.conditions": [ended]}),
                expected,
            );
        }
        check(json!({"status.phase": "Ended"}), Step::Nothing(Wake::NotNeeded));
    }

    #[test]
    fn a_session_that_could_not_be_brought_back_is_left_alone_for_a_while_but_for_something_else() {
        let rested = |last: &str, since: &str| {
            let suspended = json!({"type": "Suspended", "status": "True", "reason": "ResumeFailed", "message": "", "lastTransitionTime": since});
            json!({"status.phase": "Suspended", "status.observedWake": last, "status.conditions": [suspended],
                "metadata.annotations": {meta::WAKE: last}})
        };
        let until = "2026-01-01T00:15:00Z".parse().unwrap();
        for last in ["m1", "m1/2"] {
            check(rested(last, "2026-01-01T00:00:00Z"), Step::Nothing(Wake::Rests(until)));
        }
        check(rested("m1", "2025-12-31T23:55:00Z"), Step::Ask("m1/2".into()));
        check(rested("m11", "2026-01-01T00:00:00Z"), Step::Ask("m1".into()));
    }

    #[test]
    fn what_shall_sleep_or_end_is_not_woken() {
        check(
            json!({"status.phase": "Suspended", "spec.desiredState": "Suspended"}),
            Step::Nothing(Wake::HeldDown),
        );
        check(
            json!({"status.phase": "Suspended", "metadata.annotations": {meta::END: "x"}}),
            Step::Nothing(Wake::NotNeeded),
        );
        check(
            json!({"status.phase": "Suspended", "spec.desiredState": "Ended"}),
            Step::Nothing(Wake::NotNeeded),
        );
    }
}
