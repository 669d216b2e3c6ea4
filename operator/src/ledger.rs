//! The slot ledger of an AgentClass: who may have a pod.
//!
//! Pure: it says what the next ledger is; `cluster` writes it by compare-and-swap, so a decision on an old ledger never takes
//! effect. A class without a limit for a kind keeps no entries of that kind. Where the namespace limits a kind, its own class
//! ([`NAMESPACE_CLASS`]) keeps the entries of all classes: one ledger decides by both limits, with one write.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use longshore_crds::names::NAMESPACE_CLASS;
use longshore_crds::{AgentClass, Limits, Slot, SlotKind};

use crate::conditions::whole_seconds;

/// Somebody who wants a slot. Claims are ordered: who has run before comes first, then by creation, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Nobody waits in the middle of something for it.
    pub first_start: bool,
    pub created: Timestamp,
    pub name: String,
    pub uid: String,
    /// It comes back from a rest, in which anybody may take its old entry away: it does not rely on one, but writes it anew, so
    /// that whoever saw it rest and is about to write comes too late.
    pub returns: bool,
}

/// Those who want or have slots, by the caches.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    /// All that wait for a slot of the claimed kind, in any order, with or without the claimant.
    pub waiting: Vec<Claim>,
    /// What the entries of all that were admitted would be, of any kind. A new ledger or a new limit does not have them yet.
    pub running: Vec<Slot>,
}

/// The others of a claimant.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// Of its class.
    pub own: Crowd,
    /// Of the other classes, where the namespace has a limit. Who waits for its own class is not among those who wait.
    pub beside: Crowd,
}

/// By which ledgers a class goes.
#[derive(Clone, Copy, Debug)]
pub struct Keepers<'a> {
    pub class: &'a AgentClass,
    /// The class that limits the namespace.
    namespace: Option<&'a AgentClass>,
}

impl<'a> Keepers<'a> {
    pub fn new(class: &'a AgentClass, namespace: Option<&'a AgentClass>) -> Self {
        let namespace = namespace.filter(|found| found.name_any() != class.name_any());
        Self { class, namespace }
    }

    /// The class of the namespace, where it limits this kind.
    pub fn shared(&self, kind: SlotKind) -> Option<&'a AgentClass> {
        self.namespace.filter(|found| limit(&found.spec.limits, kind).is_some())
    }

    /// Whose ledger has the slots of this kind.
    pub fn keeper(&self, kind: SlotKind) -> &'a AgentClass {
        self.shared(kind).unwrap_or(self.class)
    }

    /// Whether there is any limit for this kind.
    pub fn is_limited(&self, kind: SlotKind) -> bool {
        limit(&self.keeper(kind).spec.limits, kind).is_some()
    }

    /// All that may have an entry of somebody of the class.
    pub fn all(&self) -> impl Iterator<Item = &'a AgentClass> {
        [Some(self.class), self.namespace].into_iter().flatten()
    }

    /// Whether any has an entry for this holder.
    pub fn hold(&self, uid: Option<&str>) -> bool {
        self.all().any(|class| holds(slots(class), uid))
    }

    /// What holds for a claim, by the live version of the keeper; none when it is no keeper any more.
    pub fn bounds(&self, live: &AgentClass, kind: SlotKind) -> Option<Bounds> {
        if self.shared(kind).is_none() {
            return Some(Bounds {
                own: limit(&live.spec.limits, kind),
                shared: None,
            });
        }
        let shared = limit(&live.spec.limits, kind)?;
        Some(Bounds {
            own: limit(&self.class.spec.limits, kind),
            shared: Some((shared, self.class.name_any())),
        })
    }
}

/// Limits for a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Of the class.
    pub own: Option<i32>,
    /// Of the namespace, with the name of the class, by which its entries are told from others.
    pub shared: Option<(i32, String)>,
}

/// Whether this class limits its whole namespace.
pub fn is_of_namespace(class: &AgentClass) -> bool {
    class.name_any() == NAMESPACE_CLASS
}

/// The ledger of a class.
pub fn slots(class: &AgentClass) -> &[Slot] {
    class.status.as_ref().map_or(&[], |status| &status.slots)
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
pub fn grant(slots: &[Slot], bounds: &Bounds, kind: SlotKind, me: &Claim, others: &Others, now: Timestamp) -> Grant {
    let slots_of_kind: Vec<&Slot> = slots.iter().filter(|slot| slot.kind == kind).collect();
    if bounds.own.is_none() && bounds.shared.is_none() {
        return Grant::Unlimited;
    }
    let class = bounds.shared.as_ref().map(|(_, class)| class);
    if let Some(mine) = slots_of_kind.iter().find(|slot| slot.uid == me.uid) {
        let renewed = entry(kind, me, class.cloned(), now);
        if !me.returns || **mine == renewed {
            return Grant::Held;
        }
        let others = slots.iter().filter(|slot| slot.uid != me.uid).cloned();
        return Grant::Free(others.chain([renewed]).collect());
    }
    let of_class = |slot: &&Slot| class.is_none() || slot.agent_class_name.as_ref() == class;
    let own = bounds.own.map(|limit| {
        let held = slots_of_kind.iter().copied().filter(of_class).count();
        room(limit, held, &slots_of_kind, &[&others.own], kind, me)
    });
    let shared = bounds.shared.as_ref().map(|(limit, _)| {
        room(
            *limit,
            slots_of_kind.len(),
            &slots_of_kind,
            &[&others.own, &others.beside],
            kind,
            me,
        )
    });
    let full = [own, shared].into_iter().flatten().filter_map(Result::err);
    match full.max_by_key(|(position, _)| *position) {
        Some((position, limit)) => Grant::Full { position, limit },
        None => {
            let mut next = slots.to_vec();
            next.push(entry(kind, me, class.cloned(), now));
            Grant::Free(next)
        }
    }
}

/// Whether a limit leaves room for a claim among those who have and want slots; else its place in the queue, and the limit.
fn room(
    limit: i32,
    held: usize,
    slots: &[&Slot],
    crowds: &[&Crowd],
    kind: SlotKind,
    me: &Claim,
) -> Result<(), (i32, i32)> {
    let has = |uid: &str| slots.iter().any(|slot| slot.uid == uid);
    let running = crowds.iter().flat_map(|crowd| &crowd.running);
    let unlisted: Vec<&str> = running
        .filter(|slot| slot.kind == kind && slot.uid != me.uid && !has(&slot.uid))
        .map(|slot| slot.uid.as_str())
        .collect();
    let waiting = crowds.iter().flat_map(|crowd| &crowd.waiting);
    let before = waiting
        .filter(|claim| {
            *claim < me && claim.uid != me.uid && !has(&claim.uid) && !unlisted.contains(&claim.uid.as_str())
        })
        .count();
    let count = |many: usize| i32::try_from(many).unwrap_or(i32::MAX - 1);
    if count(before) < limit.saturating_sub(count(held)).saturating_sub(count(unlisted.len())) {
        Ok(())
    } else {
        Err((count(before) + 1, limit))
    }
}

/// An entry of the ledger; with its class in that of a namespace.
pub fn entry(kind: SlotKind, claim: &Claim, class: Option<String>, now: Timestamp) -> Slot {
    Slot {
        uid: claim.uid.clone(),
        kind,
        name: claim.name.clone(),
        agent_class_name: class,
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
            returns: false,
        }
    }

    fn limits(sessions: i32) -> Bounds {
        Bounds {
            own: Some(sessions),
            shared: None,
        }
    }

    fn ask(slots: &[Slot], limit: i32, me: u8, waiting: &[u8]) -> Grant {
        ask_beside(&[], slots, limit, me, waiting)
    }

    fn ask_beside(running: &[u8], slots: &[Slot], limit: i32, me: u8, waiting: &[u8]) -> Grant {
        let own = Crowd {
            waiting: waiting.iter().copied().map(claim).collect(),
            running: self::slots(running),
        };
        let others = Others {
            own,
            ..Others::default()
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
            .map(|n| entry(SlotKind::Session, &claim(*n), None, Timestamp::UNIX_EPOCH))
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
        let own = Crowd {
            waiting: vec![claim(1), claim(2), woken.clone()],
            running: Vec::new(),
        };
        let others = Others {
            own,
            ..Others::default()
        };
        let ask = |me: &Claim| grant(&[], &limits(1), SlotKind::Session, me, &others, Timestamp::UNIX_EPOCH);
        assert!(matches!(ask(&woken), Grant::Free(_)));
        assert_eq!(ask(&claim(1)), Grant::Full { position: 2, limit: 1 });
    }

    #[test]
    fn who_comes_back_writes_its_entry_anew_even_where_there_is_no_room() {
        let back = Claim {
            returns: true,
            ..claim(1)
        };
        let now = Timestamp::from_second(60).unwrap();
        let renewed = entry(SlotKind::Session, &back, None, now);
        let ask = |slots: &[Slot]| grant(slots, &limits(1), SlotKind::Session, &back, &Others::default(), now);
        let [first, second] = [slots(&[1])[0].clone(), slots(&[2])[0].clone()];
        let next = vec![second.clone(), renewed];
        assert_eq!(ask(&[first, second]), Grant::Free(next.clone()));
        assert_eq!(ask(&next), Grant::Held, "once is enough");
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
            &Bounds::default(),
            SlotKind::Task,
            &claim(1),
            &nobody,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(grant, Grant::Unlimited);
    }

    /// Classes `a` (claims 0 to 3) and `b` in a namespace.
    fn ask_in_namespace(slots: &[Slot], own: Option<i32>, shared: i32, me: u8, beside: &[u8]) -> Grant {
        let class = if me < 4 { "a" } else { "b" };
        let bounds = Bounds {
            own,
            shared: Some((shared, class.to_owned())),
        };
        let beside = Crowd {
            waiting: beside.iter().copied().map(claim).collect(),
            running: Vec::new(),
        };
        let others = Others {
            beside,
            ..Others::default()
        };
        let (kind, now) = (SlotKind::Session, Timestamp::UNIX_EPOCH);
        grant(slots, &bounds, kind, &claim(me), &others, now)
    }

    fn shared_slot(n: u8) -> Slot {
        let class = if n < 4 { "a" } else { "b" };
        entry(
            SlotKind::Session,
            &claim(n),
            Some(class.to_owned()),
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_namespace_and_a_class_limit_the_same_claim_and_one_ledger_has_both() {
        let ledger = [shared_slot(1), shared_slot(5)];
        let ask = |own, shared, me, beside: &[u8]| ask_in_namespace(&ledger, own, shared, me, beside);
        let full = |position, limit| Grant::Full { position, limit };
        assert_eq!(ask(None, 2, 2, &[]), full(1, 2));
        assert_eq!(ask(Some(1), 9, 2, &[]), full(1, 1), "its class is full");
        assert_eq!(ask(Some(2), 3, 3, &[0]), full(2, 3), "one of the other class was first");
        let mut with = ledger.to_vec();
        with.push(shared_slot(2));
        assert_eq!(ask(Some(2), 3, 2, &[6]), Grant::Free(with));
        assert_eq!(ask(Some(1), 1, 5, &[]), Grant::Held);
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
        fn neither_limit_is_exceeded_in_a_namespace(claims in proptest::collection::vec(0..8_u8, 1..40), own in 1..3, shared in 1..6) {
            let mut ledger = Vec::new();
            for me in claims {
                if let Grant::Free(next) = ask_in_namespace(&ledger, Some(own), shared, me, &[]) {
                    ledger = next;
                }
                prop_assert!(held(&ledger, SlotKind::Session) <= shared);
                for class in ["a", "b"] {
                    let of_class = ledger.iter().filter(|slot| slot.agent_class_name.as_deref() == Some(class));
                    prop_assert!(i32::try_from(of_class.count()).unwrap() <= own);
                }
            }
        }

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
