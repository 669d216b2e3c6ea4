//! The next ledger of a class. Pure.

use longshore_crds::{Slot, SlotKind};

use super::observe::Observed;
use crate::ledger::{self, Keepers, limit};

/// None when the ledger is right as it is.
pub fn slots(seen: &Observed) -> Option<Vec<Slot>> {
    let limits = &seen.class.spec.limits;
    let keepers = Keepers::new(&seen.class, seen.namespace.as_deref());
    let limited = |kind: SlotKind| limit(limits, kind).is_some() && keepers.shared(kind).is_none();
    let now = ledger::slots(&seen.class);
    let kept = now
        .iter()
        .filter(|slot| limited(slot.kind) && !seen.done.contains(&slot.uid));
    let entered = seen.without.iter().filter(|slot| limited(slot.kind));
    let next: Vec<Slot> = kept.chain(entered).cloned().collect();
    (next != now).then_some(next)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use longshore_crds::{AgentClass, AgentClassSpec, AgentClassStatus, Limits};

    use super::*;
    use crate::ledger::{Claim, entry};

    fn slot(kind: SlotKind, uid: &str) -> Slot {
        let claim = Claim {
            first_start: true,
            created: Timestamp::UNIX_EPOCH,
            name: uid.to_owned(),
            uid: uid.to_owned(),
            returns: false,
        };
        entry(kind, &claim, None, Timestamp::UNIX_EPOCH)
    }

    fn check(limits: Limits, ledger: &[&str], done: &[&str], without: &[&str], expected: Option<&[&str]>) {
        let sessions = |uids: &[&str]| -> Vec<Slot> { uids.iter().map(|uid| slot(SlotKind::Session, uid)).collect() };
        let mut class = AgentClass::new(
            "default",
            AgentClassSpec {
                limits,
                ..AgentClassSpec::default()
            },
        );
        class.status = Some(AgentClassStatus {
            slots: sessions(ledger),
            ..AgentClassStatus::default()
        });
        let done = done.iter().map(|uid| (*uid).to_owned()).collect();
        let seen = Observed {
            class: Arc::new(class),
            namespace: None,
            done,
            without: sessions(without),
        };
        assert_eq!(slots(&seen), expected.map(sessions));
    }

    #[test]
    fn the_ledger_holds_those_who_run_and_nobody_else() {
        let two = || Limits {
            max_active_sessions: Some(2),
            max_running_tasks: None,
            ..Limits::default()
        };
        check(two(), &["a", "b"], &[], &[], None);
        check(two(), &["a", "b"], &["a"], &[], Some(&["b"]));
        check(two(), &["a"], &[], &["c"], Some(&["a", "c"]));
        check(Limits::default(), &["a"], &[], &["c"], Some(&[]));
        check(Limits::default(), &[], &[], &["c"], None);
    }

    #[test]
    fn a_class_keeps_no_ledger_of_a_kind_that_its_namespace_limits() {
        let limits = |sessions| Limits {
            max_active_sessions: sessions,
            max_running_tasks: Some(1),
            ..Limits::default()
        };
        let class = |name: &str, limits: Limits| {
            let spec = AgentClassSpec {
                limits,
                ..AgentClassSpec::default()
            };
            AgentClass::new(name, spec)
        };
        let mut own = class("default", limits(Some(1)));
        own.status = Some(AgentClassStatus {
            slots: vec![slot(SlotKind::Session, "a"), slot(SlotKind::Task, "b")],
            ..AgentClassStatus::default()
        });
        let only_sessions = Limits {
            max_running_tasks: None,
            ..limits(Some(9))
        };
        let seen = Observed {
            class: Arc::new(own),
            namespace: Some(Arc::new(class("namespace", only_sessions))),
            done: Vec::new(),
            without: vec![slot(SlotKind::Session, "c"), slot(SlotKind::Task, "d")],
        };
        assert_eq!(
            slots(&seen),
            Some(vec![slot(SlotKind::Task, "b"), slot(SlotKind::Task, "d")])
        );
    }
}
