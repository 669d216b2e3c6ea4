//! What must hold: after every step, and once the world has been left alone for a while.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::kind::Kind;
use super::people::{MailState, has_wish};
use super::server::{Change, Object};
use super::world::World;

/// How long a status may say what is not so any more, while nothing else goes wrong: the slowest watch, call and probe.
const LAG: i64 = 40_000;
/// How long winding down may take.
const DRAIN: i64 = 120_000;

/// How long an object may stay in between, with nobody disturbing it: winding down, a resync and the longest back-off.
const BETWEEN: i64 = 10 * 60_000;

/// How often an object may change in a minute while one operator leads: a ledger that everybody wants is changed most. Two leaders of
/// which one sees less correct each other's statuses for as long as both lead, which a lease ends within seconds.
const MOST_CHANGES: u32 = 80;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub rule: &'static str,
    pub what: String,
    /// The topic that it is about, to find its lines in the trace.
    pub topic: String,
}

#[derive(Default)]
pub struct Watchdog {
    pub broken: Option<Broken>,
    /// The last trouble is over from here on.
    calm: i64,
    /// When the clock was right again each time, and by how much it had been wrong.
    clocks: Vec<(i64, i64)>,
    /// How often each message was begun afresh.
    runs: BTreeMap<(String, Uuid), u32>,
    /// Since when a status has said what is not so.
    wrong: BTreeMap<(&'static str, String), i64>,
    /// When the phase of each object last changed, by UID.
    phases: BTreeMap<String, i64>,
    /// How often each object was changed in the minute that began then, by UID.
    changes: BTreeMap<String, (i64, u32)>,
    operators: u64,
    touched: bool,
}

impl Watchdog {
    pub fn disturbed(&mut self, until: i64) {
        self.calm = self.calm.max(until);
    }

    /// Whether nothing has gone wrong since then.
    pub fn is_calm_since(&self, at: i64) -> bool {
        self.calm < at
    }

    /// The clock is wrong by so much until then.
    pub fn clock_is_wrong(&mut self, until: i64, by: i64) {
        self.clocks.push((until, by.abs()));
    }

    /// How late a deadline may be that runs since then. What is reckoned or written while the clock is wrong is off by as much as
    /// the clock is, and so is the time of the next look. It is never off by more, and no longer than until the clock has caught
    /// up.
    fn lateness(&self, since: i64) -> i64 {
        let matters = |(until, by): &&(i64, i64)| until + by >= since;
        self.clocks.iter().filter(matters).map(|(_, by)| by).sum()
    }

    pub fn next_operator(&mut self) -> u64 {
        self.operators += 1;
        self.operators
    }

    pub fn breaks(&mut self, rule: &'static str, topic: &str, what: String) {
        self.broken.get_or_insert(Broken {
            rule,
            what,
            topic: topic.to_owned(),
        });
    }

    /// A message is begun afresh.
    pub fn ran(&mut self, uid: &str, id: Uuid) {
        let runs = self.runs.entry((uid.to_owned(), id)).or_default();
        *runs += 1;
        if *runs > 1 {
            self.breaks("a message runs once", "", format!("{id} of {uid} ran twice"));
        }
    }

    pub fn sees(&mut self, change: &Change, now: i64, leaders: usize) {
        self.touched = true;
        let (since, times) = self.changes.entry(change.object.uid.clone()).or_insert((now, 0));
        if now - *since > 60_000 || leaders > 1 {
            (*since, *times) = (now, 0);
        }
        *times += 1;
        if *times > MOST_CHANGES {
            let what = format!("{} was changed {MOST_CHANGES} times in a minute", change.object.name);
            self.breaks("nothing spins", topic(&change.object), what);
        }
        let phase = |object: &Object| object.value["status"]["phase"].clone();
        let before = change.before.as_ref().map(|before| phase(before));
        if before.as_ref() != Some(&phase(&change.object)) {
            self.phases.insert(change.object.uid.clone(), now);
        }
        let ended = |object: &Object| object.holds("Ended");
        if let (Kind::Session, Some(before), false) = (change.object.kind, &change.before, change.gone)
            && ended(before)
            && !ended(&change.object)
        {
            let what = format!("{} had ended and lives again", change.object.name);
            self.breaks("an end is final", topic(&change.object), what);
        }
    }

    /// Whether a claim has been wrong for too long.
    fn claims(&mut self, rule: &'static str, session: &Object, right: bool, now: i64) {
        let key = (rule, session.uid.clone());
        if right {
            self.wrong.remove(&key);
            return;
        }
        let since = *self.wrong.entry(key).or_insert(now);
        if now - since.max(self.calm) > LAG {
            let what = format!("{} has said otherwise for {} s", session.name, (now - since) / 1000);
            self.breaks(rule, topic(session), what);
        }
    }
}

pub fn topic(object: &Object) -> &str {
    object.value["spec"]["topicRef"]["name"].as_str().unwrap_or_default()
}

pub fn is_finished(pod: &Object) -> bool {
    matches!(pod.value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

impl World {
    /// After every step.
    pub fn check(&mut self) {
        let touched = std::mem::take(&mut self.watchdog.touched);
        if touched {
            self.check_writers();
            self.check_limits();
        }
        if touched || self.steps.is_multiple_of(32) {
            self.check_claims();
        }
    }

    fn check_writers(&mut self) {
        let mut writers: BTreeMap<&str, &str> = BTreeMap::new();
        let mut found = None;
        for process in self.processes.values().filter(|process| !process.orphan) {
            if let Some(other) = writers.insert(&process.volume, &process.owner) {
                let what = format!("processes of {other} and {} run on one volume", process.owner);
                found = Some((process.topic.clone(), what));
            }
        }
        if let Some((topic, what)) = found {
            self.watchdog.breaks("one writer per workspace", &topic, what);
        }
    }

    fn check_claims(&mut self) {
        let now = self.now;
        for session in self.server.all(Kind::Session) {
            let ready = session.holds("Ready") && !session.is_leaving();
            let heard = || {
                self.processes.values().any(|process| {
                    process.uid == session.uid
                        && process.accepts()
                        && !self.is_silent(process.node)
                        && self.is_of_topic(process)
                })
            };
            self.watchdog
                .claims("Ready means reachable", session, !ready || heard(), now);
            let wanted = || {
                let sets = self.server.all(Kind::Set);
                sets.into_iter()
                    .any(|set| set.owners().any(|uid| uid == session.uid) && set.value["spec"]["replicas"] != 0)
            };
            let suspended = session.holds("Suspended") && !session.is_leaving();
            self.watchdog
                .claims("Suspended means no pod", session, !suspended || !wanted(), now);
            let runs =
                session.holds("Admitted") && !session.is_leaving() && session.value["spec"]["desiredState"] != "Ended";
            let phase = session.value["status"]["phase"].as_str();
            let lost = runs && matches!(phase, Some("Starting" | "Running")) && self.is_on_silent_node(&session.uid);
            let named = || {
                session
                    .condition("Ready")
                    .is_some_and(|ready| ready["reason"] == "NodeLost")
            };
            self.watchdog
                .claims("lost nodes are named", session, !lost || named(), now);
            let expires = session.expires().filter(|_| !session.holds("Ended"));
            // Winding down takes its time.
            let late = expires.is_some_and(|at| at + DRAIN + self.watchdog.lateness(at) < now);
            self.watchdog.claims("deadlines hold", session, !late, now);
            // One that has just come back is not idle, however old its conversation.
            let runs_for = self.watchdog.phases.get(&session.uid).map_or(0, |since| now - since);
            let idle = self.idle_for(&session.uid).filter(|_| ready).is_some_and(|idle| {
                let idle = idle.min(runs_for);
                let late = self.watchdog.lateness(now - idle);
                idle > self.script.limit.idle * 1000 + 2_000 + late
            });
            self.watchdog.claims("idle sessions rest", session, !idle, now);
        }
    }

    /// When everything has had time to settle.
    pub fn check_settled(&mut self) {
        let mut stuck: Vec<(String, String)> = Vec::new();
        let now = self.now;
        let watchdog = &self.watchdog;
        for session in self
            .server
            .all(Kind::Session)
            .filter(|session| self.is_at_rest(session))
        {
            if let Some(why) = self
                .unsettled_session(session)
                .or_else(|| self.unsettled_answer(session))
            {
                stuck.push((topic(session).to_owned(), format!("{}: {why}", session.name)));
            }
        }
        for task in self.server.all(Kind::Task).filter(|task| self.is_at_rest(task)) {
            if let Some(why) = self.unsettled_task(task) {
                stuck.push((topic(task).to_owned(), format!("{}: {why}", task.name)));
            }
        }
        for slot in self.slots() {
            let (name, uid) = (
                slot["name"].as_str().unwrap_or_default(),
                slot["uid"].as_str().unwrap_or_default(),
            );
            if watchdog.phases.get(uid).is_none_or(|since| now - since > BETWEEN) && self.is_idle_holder(uid) {
                stuck.push((String::new(), format!("{name} holds a slot and needs none")));
            }
        }
        stuck.extend(self.unsettled_ledger().map(|why| (String::new(), why)));
        for mail in self.mail.iter().filter(|mail| mail.state == MailState::Waiting) {
            let session = self.server.get(Kind::Session, &mail.session);
            if let Some(session) = session.filter(|found| found.uid == mail.uid && found.holds("Ready")) {
                stuck.push((
                    topic(session).to_owned(),
                    format!("message {} waits for {}", mail.id, mail.session),
                ));
            }
        }
        if let Some((topic, what)) = stuck.into_iter().next() {
            self.watchdog.breaks("everything settles", &topic, what);
        }
    }

    /// Whether an object has been as it is for so long that it must have settled.
    pub fn is_at_rest(&self, object: &Object) -> bool {
        let since = self.watchdog.phases.get(&object.uid);
        since.is_none_or(|since| self.now - since > BETWEEN)
    }

    /// How long the runner of a session has had nothing to do.
    fn idle_for(&self, uid: &str) -> Option<i64> {
        let journal = self.journals.get(uid)?;
        let process = self
            .processes
            .values()
            .find(|process| process.uid == uid && process.accepts())?;
        let busy = journal.entries.iter().any(|entry| !entry.done);
        (!busy).then(|| self.now - journal.last_activity.max(process.since))
    }

    fn slots(&self) -> impl Iterator<Item = &Value> {
        let class = self.server.get(Kind::Class, "default");
        class
            .into_iter()
            .filter_map(|class| class.value["status"]["slots"].as_array())
            .flatten()
    }

    fn is_idle_holder(&self, uid: &str) -> bool {
        let session = self.server.all(Kind::Session).find(|one| one.uid == uid);
        let task = self.server.all(Kind::Task).find(|one| one.uid == uid);
        match (session, task) {
            (Some(session), _) => session.holds("Ended") || session.holds("Suspended"),
            (_, Some(task)) => task.holds("Complete") || task.holds("Failed"),
            (None, None) => true,
        }
    }

    /// Whether a class has no free slot of a kind.
    fn is_full(&self, kind: Kind) -> bool {
        let held = self
            .slots()
            .filter(|slot| slot["kind"] == if kind == Kind::Session { "Session" } else { "Task" })
            .count();
        self.limit(kind)
            .most
            .is_some_and(|limit| i32::try_from(held).unwrap() >= limit)
    }

    fn unsettled_session(&self, session: &Object) -> Option<String> {
        let pods = || {
            self.server
                .all(Kind::Pod)
                .any(|pod| pod.label("longshore.dev/uid") == session.uid)
        };
        let says = |what: &str| Some(format!("{what} (Ready: {})", session.condition("Ready")?["reason"]));
        if session.is_leaving() {
            return says("its deletion hangs");
        }
        if session.holds("Ended") {
            return pods().then(|| "it has ended and has a pod".to_owned());
        }
        let spec = &session.value["spec"];
        if spec["desiredState"] == "Ended" || !session.value["metadata"]["annotations"]["longshore.dev/end"].is_null() {
            return says("it does not end");
        }
        if spec["desiredState"] == "Suspended" {
            return if !session.holds("Suspended") {
                says("it is not suspended")
            } else {
                pods().then(|| "it is suspended and has a pod".to_owned())
            };
        }
        if session.holds("Ready") {
            let journal = self.journals.get(&session.uid)?;
            let open = journal.entries.iter().find(|entry| !entry.done)?;
            return Some(format!("message {} was accepted and is not answered", open.id));
        }
        if session.holds("Suspended") && self.rests_by_rule(session) {
            return None;
        }
        let rival = self
            .server
            .all(Kind::Session)
            .any(|other| topic(other) == topic(session) && other.uid != session.uid && !other.holds("Ended"));
        let full = self.is_full(Kind::Session);
        (!rival && !full).then(|| says("it waits for nothing"))?
    }

    /// Whether it may be suspended although its author wants it to run.
    fn rests_by_rule(&self, session: &Object) -> bool {
        let reason = session
            .condition("Suspended")
            .and_then(|found| found["reason"].as_str());
        !has_wish(&session.value) && matches!(reason, Some("IdleTimeout" | "SlotReclaimed"))
    }

    fn unsettled_task(&self, task: &Object) -> Option<String> {
        if task.is_leaving() {
            return Some("its deletion hangs".to_owned());
        }
        if task.holds("Complete") || task.holds("Failed") {
            return None;
        }
        let busy = self
            .server
            .all(Kind::Session)
            .any(|session| topic(session) == topic(task) && session.holds("Admitted") && !session.holds("Ended"));
        let full = self.is_full(Kind::Task);
        (!busy && !full).then(|| {
            format!(
                "it waits for nothing (Ready: {})",
                task.condition("Ready").unwrap_or(&Value::Null)["reason"]
            )
        })
    }
}
