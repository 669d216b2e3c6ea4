//! The limits of the class, which people change while sessions and tasks run, and the ledger that keeps them.
//!
//! What is promised of a changed limit: a lower one takes no slot away, and no slot is granted before so many came free that there
//! is room below it. A limit where there was none counts everybody who runs, and is kept from when all leaders know of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::invariants::{is_finished, topic};
use super::kind::Kind;
use super::server::{Change, Object};
use super::world::World;

/// How long after the last leader knows of a new limit a pass may still go by the old one: a watch that breaks in that moment,
/// and slow calls.
const LEARNING: i64 = 40_000;

/// How long a look and the write that follows from it may take.
const SLOWEST: i64 = 10_000;

/// The limit for a kind, and who was there before it.
#[derive(Debug, Default)]
pub struct Limit {
    pub most: Option<i32>,
    /// UIDs of those who had a slot or a pod when it was set, until they have neither.
    elders: BTreeSet<String>,
    /// Until then somebody may be admitted who asked before there was a limit.
    open: i64,
}

/// Kind of the objects, as the ledger and as labels have it, and how their ends are called.
const SESSION: Holder = Holder {
    kind: Kind::Session,
    slot: "Session",
    label: "session",
    ends: &["Ended"],
};
const TASK: Holder = Holder {
    kind: Kind::Task,
    slot: "Task",
    label: "task",
    ends: &["Complete", "Failed"],
};

struct Holder {
    kind: Kind,
    slot: &'static str,
    label: &'static str,
    ends: &'static [&'static str],
}

impl Holder {
    fn runs(&self, object: &Object) -> bool {
        object.holds("Admitted") && !self.ends.iter().any(|end| object.holds(end))
    }
}

fn slots<'a>(class: &'a Object, holder: &Holder) -> Vec<&'a str> {
    let slots = class.value["status"]["slots"].as_array();
    let of_kind = slots.into_iter().flatten().filter(|slot| slot["kind"] == holder.slot);
    of_kind.filter_map(|slot| slot["uid"].as_str()).collect()
}

impl World {
    pub fn limit(&self, kind: Kind) -> &Limit {
        if kind == Kind::Session {
            &self.limits[0]
        } else {
            &self.limits[1]
        }
    }

    /// Somebody edits the class.
    pub fn set_limits(&mut self, sessions: Option<i32>, tasks: Option<i32>) {
        let spec = json!({ "spec": { "limits": { "maxActiveSessions": sessions, "maxRunningTasks": tasks } } });
        let _ = self.server.patch(Kind::Class, "default", &spec);
        self.publish();
        let known = self
            .operators
            .iter()
            .filter_map(|operator| operator.arrivals.get(&Kind::Class));
        let known = known.max().copied().unwrap_or_default().max(self.now);
        for (place, holder, most) in [(0, SESSION, sessions), (1, TASK, tasks)] {
            let there = self.there(&holder);
            let limit = &mut self.limits[place];
            if most.is_some() && limit.most.is_none_or(|old| most.is_some_and(|new| new < old)) {
                limit.elders = there;
            }
            if limit.most.is_none() {
                limit.open = known + LEARNING;
            }
            limit.most = most;
        }
    }

    /// UIDs of those who have a slot, a pod, or the word that they may have one.
    fn there(&self, holder: &Holder) -> BTreeSet<String> {
        let class = self.server.get(Kind::Class, "default");
        let mut there: BTreeSet<String> = class
            .into_iter()
            .flat_map(|class| slots(class, holder))
            .map(str::to_owned)
            .collect();
        let admitted = self.server.all(holder.kind).filter(|object| holder.runs(object));
        there.extend(admitted.map(|object| object.uid.clone()));
        there.extend(
            self.pods_of(holder)
                .map(|pod| pod.label("longshore.dev/uid").to_owned()),
        );
        there
    }

    fn pods_of(&self, holder: &Holder) -> impl Iterator<Item = &Object> {
        let label = holder.label;
        let pods = self.server.all(Kind::Pod).map(AsRef::as_ref);
        pods.filter(move |pod: &&Object| pod.label("longshore.dev/kind") == label && !is_finished(pod))
    }

    pub fn check_limits(&mut self) {
        for (place, holder) in [(0, SESSION), (1, TASK)] {
            let Some(most) = self.limits[place].most else { continue };
            let (open, any) = (
                self.now < self.limits[place].open,
                !self.limits[place].elders.is_empty(),
            );
            if open || any {
                let there = self.there(&holder);
                let elders = &mut self.limits[place].elders;
                elders.retain(|uid| there.contains(uid));
                if open {
                    elders.extend(there);
                }
            }
            let (limit, pods) = (&self.limits[place], self.pods_of(&holder).collect::<Vec<_>>());
            let younger = pods
                .iter()
                .any(|pod| !limit.elders.contains(pod.label("longshore.dev/uid")));
            if younger && i32::try_from(pods.len()).unwrap() > most {
                let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
                let what = format!(
                    "the limit for {}s is {most}, and there are pods {}",
                    holder.label,
                    names.join(", ")
                );
                self.watchdog.breaks("limits hold", "", what);
            }
        }
    }

    /// A new ledger: whom it enters and whom it leaves out.
    pub fn check_ledger(&mut self, change: &Change) {
        for holder in [SESSION, TASK] {
            let stops = change.object.kind == holder.kind
                && !holder.runs(&change.object)
                && change.before.as_ref().is_some_and(|before| holder.runs(before));
            if stops {
                self.stopped.insert(change.object.uid.clone(), self.now);
            }
        }
        let (Kind::Class, Some(before)) = (change.object.kind, &change.before) else {
            return;
        };
        // A ledger that is written blindly is wrong before the limit is exceeded, and that is what is to be seen then.
        if self.server.guards.blind_slots {
            return;
        }
        for holder in [SESSION, TASK] {
            let field = if holder.kind == Kind::Session {
                "maxActiveSessions"
            } else {
                "maxRunningTasks"
            };
            let Some(most) = change.object.value["spec"]["limits"][field].as_i64() else {
                continue;
            };
            let (old, new) = (slots(before, &holder), slots(&change.object, &holder));
            let found = |uid: &&str| self.server.all(holder.kind).find(|object| object.uid == **uid);
            let runs = |uid: &&str| found(uid).is_some_and(|object| holder.runs(object));
            let has_pod = |uid: &&str| self.pods_of(&holder).any(|pod| pod.label("longshore.dev/uid") == *uid);
            // Who gave way between the look at it and the write gives the slot back in its next pass.
            let ran = |uid: &&str| runs(uid) || self.stopped.get(*uid).is_some_and(|at| self.now - at < SLOWEST);
            let granted = new.iter().find(|uid| !old.contains(uid) && !ran(uid));
            // Open: of two leaders one that is behind gives back the slot of a task that the other has admitted, without a live look
            // (`cluster::release_slot`); the class enters it again.
            let alone = self.operators.len() < 2;
            let taken = old
                .iter()
                .find(|uid| alone && !new.contains(uid) && runs(uid) && has_pod(uid));
            let broken = if let Some(uid) = granted
                && i64::try_from(new.len()).unwrap() > most
            {
                let what = format!(
                    "{} has the last of {} {}s of at most {most}",
                    uid,
                    new.len(),
                    holder.label
                );
                Some((found(uid).map(|one| topic(one).to_owned()), what))
            } else {
                taken.map(|uid| {
                    let what = format!("{uid} runs, and its slot was taken away");
                    (found(uid).map(|one| topic(one).to_owned()), what)
                })
            };
            if let Some((topic, what)) = broken {
                self.watchdog
                    .breaks("the ledger is honest", &topic.unwrap_or_default(), what);
            }
        }
    }

    /// When everything has settled: who runs and is not in the ledger, or the other way round.
    pub fn unsettled_ledger(&self) -> Option<String> {
        let class = self.server.get(Kind::Class, "default")?;
        [SESSION, TASK].iter().find_map(|holder| {
            let slots = slots(class, holder);
            if self.limit(holder.kind).most.is_none() {
                return (!slots.is_empty())
                    .then(|| format!("there is no limit for {}s, and there are slots", holder.label));
            }
            let mut running = self.server.all(holder.kind).filter(|object| holder.runs(object));
            let without = running.find(|object| !slots.contains(&object.uid.as_str()) && self.is_at_rest(object))?;
            Some(format!("{} runs and has no slot", without.name))
        })
    }

    /// What the class says of limits at first.
    pub fn first_limits(&mut self) -> Value {
        let limit = self.script.limit;
        self.limits[0].most = limit.sessions;
        self.limits[1].most = limit.tasks;
        let mut limits = json!({});
        if let Some(most) = limit.sessions {
            limits["maxActiveSessions"] = most.into();
        }
        if let Some(most) = limit.tasks {
            limits["maxRunningTasks"] = most.into();
        }
        if let Some(longest) = limit.queue {
            limits["queueTimeoutSeconds"] = longest.into();
        }
        limits
    }
}
