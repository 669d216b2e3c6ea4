//! The world: one clock, one queue of things to come, and everything that lives in it.
//!
//! Time passes from event to event. Whatever takes time (a call, a watch, a kubelet, a turn) is an event some milliseconds
//! later, and how many comes from the seed. So a world is run again by its seed and its script alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Response;
use kube::client::Body;

use super::chance::Chance;
use super::invariants::Watchdog;
use super::kind::{Kind, WATCHED};
use super::limits::Limit;
use super::machines::PodRun;
use super::operator::{Call, Desk, Exchange, Key, Operator, refusal};
use super::people::Mail;
use super::request::Request;
use super::runners::{Journal, Process};
use super::script::{Input, Script};
use super::server::{Change, Guards, Server};

/// 2030-01-01.
pub const BEGIN: i64 = 1_893_456_000_000;
/// How long the world is left alone before everything must have settled.
pub const SETTLING: i64 = 25 * 60_000;

pub enum Event {
    Input(usize),
    /// What an input began is over.
    Over(usize),
    Pass(u64, Key),
    Call(u64),
    Deliver(u64, u64, Change),
    Relist(u64, Kind, u64),
    StartOperator,
    Sync(Kind, String),
    Collect,
    /// A pod, by UID.
    Start(String),
    Terminate(String),
    Remove(String),
    /// A process, by number.
    Listen(u64),
    Probe(u64),
    Turn(u64, u64),
    Quiesced(u64),
    Exit(u64, bool),
    Notice(u64),
    /// What the node controller does about a silent node, by the input that made it so; whether it deletes the pods.
    NodeControl(usize, bool),
    /// The bot's stream of a process.
    Fetch(u64),
    /// A message, by its place in the inbox.
    Mail(usize),
}

/// Trouble that lasts, by the input that began it.
#[derive(Default)]
pub struct Trouble {
    pub api: Vec<usize>,
    pub watches: Vec<(usize, Kind, i64)>,
    pub notices: Vec<usize>,
    /// Nobody reads messages or fetches answers.
    pub bot: Vec<usize>,
    pub kubelets: Vec<usize>,
    /// Nodes that are silent.
    pub nodes: Vec<(usize, usize)>,
    /// Topics whose pods the operator cannot reach.
    pub network: Vec<(usize, usize)>,
    pub clock: Vec<(usize, i64)>,
}

/// Lives from create to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    pub sessions: u64,
    pub tasks: u64,
}

pub struct World {
    pub now: i64,
    pub server: Server,
    pub operators: Vec<Operator>,
    pub desk: Desk,
    pub chance: Chance,
    pub script: Script,
    pub pods: BTreeMap<String, PodRun>,
    pub processes: BTreeMap<u64, Process>,
    pub journals: BTreeMap<String, Journal>,
    pub mail: Vec<Mail>,
    pub trouble: Trouble,
    /// For sessions and for tasks.
    pub limits: [Limit; 2],
    /// When sessions and tasks, by UID, were not admitted any more.
    pub stopped: BTreeMap<String, i64>,
    /// When Jobs run out of time, by UID.
    pub job_deadlines: BTreeMap<String, i64>,
    /// Jobs whose last pod was disrupted, by UID.
    pub disrupted: BTreeSet<String>,
    pub watchdog: Watchdog,
    pub steps: u64,
    /// Sessions and tasks that are over or gone.
    pub lives: Lives,
    /// How often each trouble came.
    pub troubles: BTreeMap<&'static str, u64>,
    pub trace: Option<Vec<(i64, String)>>,
    pub numbers: u64,
    events: BTreeMap<(i64, u64), Event>,
    calls: BTreeMap<u64, (u64, Call)>,
}

impl World {
    pub fn new(script: &Script, guards: Guards, tracing: bool) -> Self {
        let mut world = Self {
            now: BEGIN,
            server: Server::new(BEGIN, guards),
            operators: Vec::new(),
            desk: Desk::default(),
            chance: Chance::new(script.seed, 1),
            script: script.clone(),
            pods: BTreeMap::new(),
            processes: BTreeMap::new(),
            journals: BTreeMap::new(),
            mail: Vec::new(),
            trouble: Trouble::default(),
            limits: Default::default(),
            stopped: BTreeMap::new(),
            job_deadlines: BTreeMap::new(),
            disrupted: BTreeSet::new(),
            watchdog: Watchdog::default(),
            steps: 0,
            lives: Lives::default(),
            troubles: BTreeMap::new(),
            trace: tracing.then(Vec::new),
            numbers: 0,
            events: BTreeMap::new(),
            calls: BTreeMap::new(),
        };
        world.found();
        for (at, place) in script.inputs.iter().zip(0..).map(|(input, n)| (input.at, n)) {
            world.at(BEGIN + at, Event::Input(place));
        }
        world.at(BEGIN, Event::StartOperator);
        world
    }

    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn at(&mut self, at: i64, event: Event) {
        let number = self.number();
        self.events.insert((at.max(self.now), number), event);
    }

    pub fn later(&mut self, after: i64, event: Event) {
        self.at(self.now + after, event);
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push((self.now - BEGIN, line()));
        }
    }

    /// Runs the script, then some quiet time. Stops at the first broken invariant.
    pub async fn run(&mut self) {
        let end = BEGIN + self.script.length + SETTLING;
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > end || self.watchdog.broken.is_some() {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.server.now = at;
            self.steps += 1;
            let clock = at + self.clock_error();
            self.operators.iter().for_each(|operator| operator.set_clock(clock));
            self.handle(event);
            self.settle().await;
            self.check();
        }
        if self.watchdog.broken.is_none() {
            self.now = end;
            self.check_settled();
        }
        for operator in &mut self.operators {
            operator.kill();
        }
        self.desk.lock().unwrap().calls.clear();
        self.calls.clear();
        tokio::task::yield_now().await;
    }

    fn handle(&mut self, event: Event) {
        let Some(event) = self.stalls(event) else { return };
        match event {
            Event::Input(place) => self.input(place),
            Event::Over(place) => self.over(place),
            Event::Pass(id, key) => self.pass(id, &key),
            Event::Call(number) => self.answer(number),
            Event::Deliver(id, watch, change) => self.deliver(id, watch, &change),
            Event::Relist(id, kind, watch) => self.relist(id, kind, watch),
            Event::StartOperator => self.start_operator(),
            Event::Sync(Kind::Set, name) => self.sync_set(&name),
            Event::Sync(_, name) => self.sync_job(&name),
            Event::Collect => self.collect(),
            Event::Start(uid) => self.start(&uid),
            Event::Terminate(uid) => self.terminate(&uid),
            Event::Remove(uid) => self.remove(&uid),
            Event::Listen(pid) => self.listen(pid),
            Event::Probe(pid) => self.probe(pid),
            Event::Turn(pid, token) => self.turn_ends(pid, token),
            Event::Quiesced(pid) => self.quiesced(pid),
            Event::Exit(pid, success) => self.exit(pid, success),
            Event::Notice(pid) => self.notice(pid),
            Event::NodeControl(place, drains) => self.control_node(place, drains),
            Event::Fetch(pid) => self.fetch(pid),
            Event::Mail(place) => self.deliver_mail(place),
        }
        self.publish();
    }

    /// Lets all passes go on until each waits for a call again, or has ended.
    async fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "a pass waits for something that is not a call");
            let Exchange { calls, ended } = std::mem::take(&mut *self.desk.lock().unwrap());
            for (operator, call) in calls {
                let number = self.number();
                let delay = self.chance.delay(10, 2_000);
                self.calls.insert(number, (operator, call));
                self.later(delay, Event::Call(number));
            }
            for one in ended {
                if let Some(operator) = self.operators.iter_mut().find(|o| o.id == one.operator)
                    && let Some(delay) = operator.end(&one)
                {
                    self.schedule(one.operator, one.key, delay);
                }
            }
            let running: usize = self.operators.iter().map(Operator::running).sum();
            if running <= self.calls.len() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    fn operator(&mut self, id: u64) -> Option<&mut Operator> {
        self.operators.iter_mut().find(|operator| operator.id == id)
    }

    fn schedule(&mut self, id: u64, key: Key, after: i64) {
        let at = self.now + after;
        let Some(operator) = self.operator(id) else { return };
        let sooner = operator.due.get(&key).is_none_or(|due| *due > at);
        if sooner {
            operator.due.insert(key.clone(), at);
            self.at(at, Event::Pass(id, key));
        }
    }

    fn pass(&mut self, id: u64, key: &Key) {
        let (now, desk) = (self.now, Arc::clone(&self.desk));
        let Some(operator) = self.operator(id) else { return };
        if operator.due.get(key) != Some(&now) {
            return;
        }
        operator.due.remove(key);
        operator.begin(key, &desk);
    }

    /// Wakes what a change or a notice has woken.
    fn wake(&mut self, id: u64) {
        let Some(operator) = self.operator(id) else { return };
        let filled = operator.is_filled();
        for key in operator.woken() {
            // Passes begin only once every cache is filled.
            self.schedule(id, key, if filled { 1 } else { 60_000 });
        }
    }

    fn answer(&mut self, number: u64) {
        let Some((id, call)) = self.calls.remove(&number) else {
            return;
        };
        let trouble = !self.trouble.api.is_empty() && self.chance.percent(20);
        match call {
            Call::Api(request, reply) => {
                let answer = if trouble && self.chance.percent(50) {
                    refusal(500, "InternalError")
                } else {
                    let answer = self.ask(id, &request);
                    // Done, and the answer is lost on the way.
                    if trouble { refusal(504, "Timeout") } else { answer }
                };
                let _ = reply.send(answer);
            }
            Call::Runner(request, reply) => {
                let answer = self.ask_runner(&request);
                let _ = reply.send(answer);
            }
        }
    }

    fn ask(&mut self, id: u64, request: &Request) -> Response<Body> {
        let answer = self.server.handle(request);
        if request.is_write() && self.trace.is_some() {
            let outcome = answer
                .as_ref()
                .err()
                .map_or_else(String::new, |(code, _)| format!(" -> {code}"));
            self.note(|| format!("operator {id}: {}{outcome}", request.line()));
        }
        match answer {
            Ok(reply) => {
                let code = if request.method == "POST" { 201 } else { 200 };
                Response::builder().status(code).body(Body::from(reply.json())).unwrap()
            }
            Err((code, reason)) => refusal(code, reason),
        }
    }

    /// Tells watchers, controllers and kubelets what has changed on the server.
    pub fn publish(&mut self) {
        while !self.server.changes.is_empty() {
            for change in std::mem::take(&mut self.server.changes) {
                self.watchdog.sees(&change, self.now, self.operators.len());
                self.check_ledger(&change);
                if WATCHED.contains(&change.object.kind) {
                    self.broadcast(&change);
                }
                self.react(&change);
            }
        }
    }

    fn broadcast(&mut self, change: &Change) {
        let (now, kind) = (self.now, change.object.kind);
        let held = self
            .trouble
            .watches
            .iter()
            .filter(|(_, k, _)| *k == kind)
            .map(|(.., until)| *until)
            .max();
        for place in 0..self.operators.len() {
            let lag = self.chance.delay(30, 2_000);
            let operator = &mut self.operators[place];
            let Some(watch) = operator.watches.get(&kind).copied() else {
                continue;
            };
            let arrival = operator.arrivals.entry(kind).or_default();
            *arrival = (*arrival).max(now + lag).max(held.unwrap_or_default());
            let (at, id) = (*arrival, operator.id);
            self.at(at, Event::Deliver(id, watch, change.clone()));
        }
    }

    fn deliver(&mut self, id: u64, watch: u64, change: &Change) {
        let Some(operator) = self.operator(id) else { return };
        if operator.watches.get(&change.object.kind) == Some(&watch) {
            operator.deliver(&change.object, change.gone);
            self.wake(id);
        }
    }

    fn start_operator(&mut self) {
        let id = self.watchdog.next_operator();
        let mut operator = Operator::new(id, &self.desk);
        operator.set_clock(self.now + self.clock_error());
        self.note(|| format!("operator {id} leads"));
        for kind in WATCHED {
            operator.watches.insert(kind, 0);
        }
        self.operators.push(operator);
        for kind in WATCHED {
            let delay = self.chance.delay(50, 2_000);
            self.later(delay, Event::Relist(id, kind, 0));
        }
    }

    /// The watch of a kind breaks; what it had not brought yet is lost, and a new one begins after a while.
    pub fn drop_watch(&mut self, kind: Kind, pause: i64) {
        for place in 0..self.operators.len() {
            let number = self.number();
            let operator = &mut self.operators[place];
            operator.watches.insert(kind, number);
            let id = operator.id;
            self.later(pause, Event::Relist(id, kind, number));
        }
    }

    fn relist(&mut self, id: u64, kind: Kind, watch: u64) {
        let objects: Vec<_> = self.server.all(kind).cloned().collect();
        let (now, number) = (self.now, self.number());
        let Some(operator) = self.operator(id) else { return };
        if operator.watches.get(&kind) != Some(&watch) {
            return;
        }
        // Changes until now are in the list; the new watch brings what comes after it.
        operator.watches.insert(kind, number);
        operator.arrivals.insert(kind, now);
        operator.relist(kind, &objects);
        if operator.is_filled() {
            let waiting: Vec<Key> = operator.due.keys().cloned().collect();
            for key in waiting {
                self.schedule(id, key, 1);
            }
        }
        self.wake(id);
    }

    /// Ends a process of the operator. Calls on the way reach their goal or do not.
    pub fn kill_operator(&mut self, place: usize) {
        let mut operator = self.operators.remove(place);
        operator.kill();
        let id = operator.id;
        self.note(|| format!("operator {id} is killed"));
        let numbers: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, (by, _))| *by == id)
            .map(|(n, _)| *n)
            .collect();
        for number in numbers {
            let Some((_, call)) = self.calls.remove(&number) else {
                continue;
            };
            if self.chance.percent(50) {
                match call {
                    Call::Api(request, _) => drop(self.ask(id, &request)),
                    Call::Runner(request, _) => drop(self.ask_runner(&request)),
                }
            }
        }
        self.desk.lock().unwrap().calls.retain(|(by, _)| *by != id);
    }

    /// How far the operator's clock is off.
    pub fn clock_error(&self) -> i64 {
        self.trouble.clock.iter().map(|(_, by)| by).sum()
    }

    pub fn notice(&mut self, pid: u64) {
        let Some(process) = self.processes.get(&pid) else {
            return;
        };
        let (kind, name, uid) = (process.kind, process.owner.clone(), process.uid.clone());
        if !self.trouble.notices.is_empty() {
            return;
        }
        for id in self.operators.iter().map(|o| o.id).collect::<Vec<_>>() {
            if let Some(operator) = self.operator(id) {
                operator.notice(kind, &name, &uid);
            }
            self.wake(id);
        }
    }

    pub fn input_of(&self, place: usize) -> Input {
        self.script.inputs[place].input.clone()
    }
}
