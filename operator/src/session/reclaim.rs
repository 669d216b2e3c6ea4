//! Takes the slot of an idle session for one that waits (`whenFull: SuspendIdle`).
//!
//! The runners are asked now: what the status says of activity may be an hour old. What is written is the intent to suspend,
//! into the status of the session that gives way, if nobody has changed that in between; its own reconciler does the rest, and
//! its runner may still refuse. A session that has just become Ready or active is left alone, so that two sessions cannot take
//! one slot from each other in turns.

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{PersistentSession, SessionPhase, Slot, SlotKind, WhenFull};
use longshore_wire::api::RunnerState;

use super::admit::Admission;
use super::deadlines::{Idleness, idleness};
use super::observe::{Observed, look, observe};
use super::order::{is_woken, wants_pod};
use super::plan::{Plan, give_way};
use super::status;
use crate::agent::Met;
use crate::cluster::Error;
use crate::conditions::holds;
use crate::context::Context;
use crate::ledger::{self, Keepers};
use crate::settings::Timing;

/// Runners that are asked in one pass, those first that were idle longest when they were last asked.
const MAX_LOOKS: usize = 8;

/// Makes room for a session that waits, if its class says so and somebody can give way.
pub async fn reclaim(
    waiting: &Plan,
    seen: &Observed,
    admission: &Admission,
    ctx: &Context,
    now: Timestamp,
) -> Result<(), Error> {
    let (Admission::Queued { position, .. }, Some(class)) = (admission, &seen.class) else {
        return Ok(());
    };
    let waits = waiting.status.phase == Some(SessionPhase::Queued);
    if !waits || class.spec.session.when_full != WhenFull::SuspendIdle {
        return Ok(());
    }
    let holders = holders(&Keepers::new(class, seen.namespace_class.as_deref()), seen, ctx);
    if leaving(&holders) >= usize::try_from(*position).unwrap_or(usize::MAX) {
        return Ok(());
    }
    let found = candidates(holders)
        .into_iter()
        .map(|session| observe(session, ctx))
        .filter(|candidate| !candidate.is_old(&ctx.superseded));
    let looks = join_all(found.map(|candidate| async {
        let contact = look(&candidate, ctx).await;
        (candidate, contact)
    }))
    .await;
    let idle = looks.iter().filter_map(|(candidate, contact)| {
        let met = contact.as_ref().ok()?.met()?;
        let idle = reclaimable(candidate, met, &ctx.settings.timing, now)?;
        Some((idle.since, candidate, met))
    });
    let Some((_, victim, met)) = idle.min_by_key(|(since, ..)| *since) else {
        return Ok(());
    };
    let plan = give_way(victim, met, &ctx.settings, now);
    status::write(&plan, victim, ctx).await
}

/// Sessions of the class that hold slots; none where the holder is gone. Those of other classes do not give way.
fn holders(keepers: &Keepers<'_>, seen: &Observed, ctx: &Context) -> Vec<Option<Arc<PersistentSession>>> {
    let class = keepers.class.name_any();
    let of_class = |slot: &&Slot| slot.agent_class_name.as_ref().is_none_or(|of| *of == class);
    ledger::slots(keepers.keeper(SlotKind::Session))
        .iter()
        .filter(|slot| slot.kind == SlotKind::Session)
        .filter(of_class)
        .map(|slot| {
            let session = crate::index::lookup(&ctx.index.sessions, &seen.namespace(), &slot.name);
            session.filter(|session| session.uid().as_deref() == Some(&slot.uid))
        })
        .collect()
}

/// How many slots are about to come free.
fn leaving(holders: &[Option<Arc<PersistentSession>>]) -> usize {
    use SessionPhase::{Ended, Ending, Suspended, Suspending};
    holders
        .iter()
        .filter(|holder| {
            let phase = holder
                .as_ref()
                .map(|session| session.status.as_ref().and_then(|s| s.phase));
            matches!(phase, None | Some(Some(Suspending | Suspended | Ending | Ended)))
        })
        .count()
}

/// Who may give way, as far as the caches know, in the order in which to ask.
fn candidates(holders: Vec<Option<Arc<PersistentSession>>>) -> Vec<Arc<PersistentSession>> {
    let mut candidates: Vec<_> = holders
        .into_iter()
        .flatten()
        .filter(|session| wants_pod(session) && !is_woken(session))
        .filter(|session| {
            session.status.as_ref().is_some_and(|status| {
                status.phase == Some(SessionPhase::Running) && holds(&status.conditions, types::READY)
            })
        })
        .collect();
    candidates.sort_by_key(|session| {
        let last = session
            .status
            .as_ref()
            .and_then(|status| status.last_activity_time.clone());
        last.map(|at| at.0)
    });
    candidates.truncate(MAX_LOOKS);
    candidates
}

/// How long it has been idle, if that is long enough.
fn reclaimable(candidate: &Observed, met: &Met, timing: &Timing, now: Timestamp) -> Option<Idleness> {
    let idle = idleness(&candidate.session, &met.status, false, &candidate.spans(), timing, now);
    let rests = met.status.state == RunnerState::Ready && met.status.busy.is_empty();
    (rests && idle.since + timing.reclaimable <= now).then_some(idle)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use longshore_crds::PersistentSessionStatus;
    use longshore_crds::conditions::reasons;
    use serde_json::json;

    use super::*;
    use crate::conditions::{merge, yes};

    fn session(name: &str, phase: SessionPhase, last: i64) -> Option<Arc<PersistentSession>> {
        let spec = serde_json::from_value(json!({ "topicRef": { "name": "t" } })).unwrap();
        let mut session = PersistentSession::new(name, spec);
        session.status = Some(PersistentSessionStatus {
            phase: Some(phase),
            last_activity_time: Some(Time(Timestamp::from_second(last).unwrap())),
            conditions: merge(
                &[],
                vec![yes(types::READY, reasons::READY, "")],
                None,
                Timestamp::UNIX_EPOCH,
            ),
            ..PersistentSessionStatus::default()
        });
        Some(Arc::new(session))
    }

    #[test]
    fn who_was_idle_longest_is_asked_first_and_who_was_woken_not_at_all() {
        let woken = session("woken", SessionPhase::Running, 1).map(|mut session| {
            let wish = ("longshore.dev/wake".to_owned(), "w".to_owned());
            Arc::make_mut(&mut session).annotations_mut().extend([wish]);
            session
        });
        let holders = vec![
            session("late", SessionPhase::Running, 9),
            woken,
            session("starting", SessionPhase::Starting, 1),
            None,
            session("early", SessionPhase::Running, 3),
        ];
        let names: Vec<String> = candidates(holders).iter().map(|session| session.name_any()).collect();
        assert_eq!(names, ["early", "late"]);
    }

    #[test]
    fn slots_that_are_about_to_come_free_are_counted() {
        let holders = [
            None,
            session("a", SessionPhase::Suspending, 1),
            session("b", SessionPhase::Ending, 1),
            session("c", SessionPhase::Running, 1),
            session("d", SessionPhase::Starting, 1),
        ];
        assert_eq!(leaving(&holders), 3);
    }
}
