//! The slot ledger of an AgentClass: who may have a pod.
//!
//! Pure: it says what the next ledger is; `cluster` writes it by compare-and-swap, so a decision on an old ledger never takes
//! effect. A class without a limit for a kind keeps no entries of that kind.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_crds::{Limits, Slot, SlotKind};

use crate::conditions::whole_seconds;

/// Somebody who wants a slot. Claims are ordered: who has run before comes first, then by creation, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Nobody waits in the middle of something for it.
    pub first_start: bool,
    pub created: Timestamp,
    pub name: String,
    pub uid: String,
}

/// The others of a class, by the caches.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// All that wait for a slot of the claimed kind, in any order, with or without the claimant.
    pub waiting: Vec<Claim>,
    /// What the entries of all that were admitted would be, of any kind. A new ledger or a new limit does not have them yet.
    pub running: Vec<Slot>,
}

/// What the ledger says to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The class has no limit.
    Unlimited,
    /// It has a slot.
    Held,
    /// It may have one: this is the ledger with it.
    Free(Vec<Slot>),
    /// It waits at this place, from 1.
    Full { position: i32, limit: i32 },
}

/// Limit for a kind.
pub fn limit(limits: &Limits, kind: SlotKind) -> Option<i32> {
    match kind {
        SlotKind::Session => limits.max_active_sessions,
        SlotKind::Task => limits.max_running_tasks,
    }
}

/// Number of slots held by a kind.
pub fn held(slots: &[Slot], kind: SlotKind) -> i32 {
    i32::try_from(slots.iter().filter(|slot| slot.kind == kind).count()).unwrap_or(i32::MAX)
}

/// Whether there is an entry for this holder.
pub fn holds(slots: &[Slot], uid: Option<&str>) -> bool {
    slots.iter().any(|slot| Some(slot.uid.as_str()) == uid)
}

/// Decides a claim. A free slot goes to the first that waits. Who runs without an entry counts like one with an entry.
pub fn grant(slots: &[Slot], limits: &Limits, kind: SlotKind, me: &Claim, others: &Others, now: Timestamp) -> Grant {
    let Some(limit) = limit(limits, kind) else {
        return Grant::Unlimited;
    };
    let has = |uid: &str| slots.iter().any(|slot| slot.kind == kind && slot.uid == uid);
    if has(&me.uid) {
        return Grant::Held;
    }
    let unlisted: Vec<&Slot> = others
        .running
        .iter()
        .filter(|slot| slot.kind == kind && slot.uid != me.uid && !has(&slot.uid))
        .collect();
    let runs = |uid: &str| has(uid) || unlisted.iter().any(|slot| slot.uid == uid);
    let before = others
        .waiting
        .iter()
        .filter(|claim| *claim < me && claim.uid != me.uid && !runs(&claim.uid))
        .count();
    let before = i32::try_from(before).unwrap_or(i32::MAX - 1);
    let running = i32::try_from(unlisted.len()).unwrap_or(i32::MAX);
    if before < limit.saturating_sub(held(slots, kind)).saturating_sub(running) {
        let mut next = slots.to_vec();
        next.push(entry(kind, me, now));
        Grant::Free(next)
    } else {
        Grant::Full {
            position: before + 1,
            limit,
        }
    }
}

/// An entry of the ledger.
pub fn entry(kind: SlotKind, claim: &Claim, now: Timestamp) -> Slot {
    Slot {
        uid: claim.uid.clone(),
        kind,
        name: claim.name.clone(),
        since: Time(whole_seconds(now)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(n: u8) -> Claim {
        Claim {
            first_start: true,
            created: Timestamp::UNIX_EPOCH,
            name: format!("s{n:03}"),
            uid: format!("u{n}"),
        }
    }

    fn limits(sessions: i32) -> Limits {
        Limits {
            max_active_sessions: Some(sessions),
            max_running_tasks: None,
            ..Limits::default()
        }
    }

    fn ask(slots: &[Slot], limit: i32, me: u8, waiting: &[u8]) -> Grant {
        ask_beside(&[], slots, limit, me, waiting)
    }

    fn ask_beside(running: &[u8], slots: &[Slot], limit: i32, me: u8, waiting: &[u8]) -> Grant {
        let others = Others {
            waiting: waiting.iter().copied().map(claim).collect(),
            running: self::slots(running),
        };
        grant(
            slots,
            &limits(limit),
            SlotKind::Session,
            &claim(me),
            &others,
            Timestamp::UNIX_EPOCH,
        )
    }

    fn slots(holders: &[u8]) -> Vec<Slot> {
        holders
            .iter()
            .map(|n| entry(SlotKind::Session, &claim(*n), Timestamp::UNIX_EPOCH))
            .collect()
    }

    #[test]
    fn a_free_slot_goes_to_the_first_that_waits() {
        assert_eq!(
            ask(&slots(&[1]), 2, 3, &[2, 3, 4]),
            Grant::Full { position: 2, limit: 2 }
        );
        assert_eq!(ask(&slots(&[1]), 2, 2, &[2, 3, 4]), Grant::Free(slots(&[1, 2])));
        assert_eq!(ask(&slots(&[1, 2]), 2, 2, &[3]), Grant::Held);
    }

    #[test]
    fn who_was_woken_goes_before_all_that_never_ran() {
        let woken = Claim {
            first_start: false,
            ..claim(9)
        };
        let others = Others {
            waiting: vec![claim(1), claim(2), woken.clone()],
            running: Vec::new(),
        };
        let ask = |me: &Claim| grant(&[], &limits(1), SlotKind::Session, me, &others, Timestamp::UNIX_EPOCH);
        assert!(matches!(ask(&woken), Grant::Free(_)));
        assert_eq!(ask(&claim(1)), Grant::Full { position: 2, limit: 1 });
    }

    #[test]
    fn who_runs_counts_before_the_ledger_knows_of_it() {
        assert_eq!(
            ask_beside(&[1, 2], &[], 2, 3, &[3]),
            Grant::Full { position: 1, limit: 2 }
        );
        assert_eq!(
            ask_beside(&[1, 2], &slots(&[1]), 3, 3, &[3]),
            Grant::Free(slots(&[1, 3]))
        );
        let oneself = ask_beside(&[3], &slots(&[1]), 2, 3, &[]);
        assert_eq!(oneself, Grant::Free(slots(&[1, 3])), "oneself is no obstacle");
        let waiting_and_running = ask_beside(&[1], &[], 2, 3, &[1, 3]);
        assert_eq!(waiting_and_running, Grant::Free(slots(&[3])), "nobody counts twice");
    }

    #[test]
    fn a_class_without_a_limit_keeps_no_ledger() {
        let nobody = Others::default();
        let grant = grant(
            &[],
            &limits(1),
            SlotKind::Task,
            &claim(1),
            &nobody,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(grant, Grant::Unlimited);
    }

    /// A step of one of several operators, each with a view of the ledger that may be as old as it likes.
    #[derive(Clone, Debug)]
    enum Step {
        Look { operator: usize },
        Claim { operator: usize, me: u8 },
        End { holder: u8 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_usize).prop_map(|operator| Step::Look { operator }),
            (0..3_usize, 0..8_u8).prop_map(|(operator, me)| Step::Claim { operator, me }),
            (0..8_u8).prop_map(|holder| Step::End { holder }),
        ]
    }

    proptest! {
        #[test]
        fn slots_are_never_exceeded_however_old_the_views_are(steps in proptest::collection::vec(step(), 1..200), limit in 1..4) {
            let mut truth: (u64, Vec<Slot>) = (0, Vec::new());
            let mut views = vec![truth.clone(); 3];
            let waiting: Vec<u8> = (0..8).collect();
            for step in steps {
                match step {
                    Step::Look { operator } => views[operator] = truth.clone(),
                    Step::Claim { operator, me } => {
                        let (version, seen) = &views[operator];
                        if let Grant::Free(next) = ask(seen, limit, me, &waiting) && *version == truth.0 {
                            truth = (truth.0 + 1, next);
                        }
                    }
                    Step::End { holder } => {
                        truth.1.retain(|slot| slot.uid != claim(holder).uid);
                        truth.0 += 1;
                    }
                }
                prop_assert!(held(&truth.1, SlotKind::Session) <= limit);
                let mut uids: Vec<&str> = truth.1.iter().map(|slot| slot.uid.as_str()).collect();
                uids.dedup();
                prop_assert_eq!(uids.len(), truth.1.len());
            }
        }
    }
}
