//! Processes in pods, and the journals that they leave on their topic's volume.
//!
//! A runner takes the lock of the volume before it listens, writes a message down before it answers, runs what is written down
//! and not finished, goes on with a turn that a death cut off, and winds down when asked. One id runs once. Winding down may hang,
//! and its summary may fail.

use jiff::Timestamp;
use longshore_crds::SlotKind;
use longshore_wire::MessageId;
use longshore_wire::agent::AgentKind;
use longshore_wire::api::{
    Busy, Disk, Memory, PostMessage, Problem, Quiesce, RunnerState, Status, Summary, TaskResult, Usage,
};
use serde::Serialize;
use uuid::Uuid;

use super::kind::Kind;
use super::operator::RunnerRequest;
use super::server::Object;
use super::world::{Event, World};

/// One message in a journal.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: Uuid,
    /// How often it was begun afresh; going on after a death does not count.
    pub runs: u32,
    pub done: bool,
    /// Its author has the answer.
    pub told: bool,
}

/// What a session or task has on its topic's volume.
#[derive(Debug, Default)]
pub struct Journal {
    pub entries: Vec<Entry>,
    pub last_activity: i64,
    pub turns: u64,
    /// It wound down in order the last time.
    pub kept: bool,
    summary: Option<i64>,
    summary_failed: bool,
    news: bool,
    finished: Option<i64>,
    acked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody else writes the volume.
    Locked,
    Ready,
    Quiescing,
    Quiesced,
    Terminating,
}

/// A runner with its claude.
pub struct Process {
    pub pod: String,
    pub kind: SlotKind,
    pub owner: String,
    pub uid: String,
    pub topic: String,
    /// What it writes: the volume of its topic, or one of its own.
    pub volume: String,
    /// Of the Topic that it was made for.
    topic_uid: String,
    pub job: Option<String>,
    /// Its pod was deleted by force.
    pub orphan: bool,
    pub node: usize,
    /// When it began to listen.
    pub since: i64,
    /// When it had wound down.
    pub quiesced: Option<i64>,
    endpoint: String,
    state: State,
    /// The turn that runs: its token, and the place in the journal.
    turn: Option<(u64, usize)>,
}

impl Process {
    pub fn new(pod_uid: &str, kind: SlotKind, pod: &Object, endpoint: String, node: usize) -> Self {
        Self {
            pod: pod_uid.to_owned(),
            kind,
            owner: pod.label("longshore.dev/owner").to_owned(),
            uid: pod.label("longshore.dev/uid").to_owned(),
            topic: pod.label("longshore.dev/topic").to_owned(),
            volume: match pod.label("longshore.dev/read-only") {
                "true" => pod_uid.to_owned(),
                _ => pod.label("longshore.dev/topic").to_owned(),
            },
            topic_uid: pod.label("longshore.dev/topic-uid").to_owned(),
            job: pod.owners().next().map(str::to_owned),
            orphan: false,
            node,
            since: 0,
            quiesced: None,
            endpoint,
            state: State::Locked,
            turn: None,
        }
    }

    pub fn listens(&self) -> bool {
        !matches!(self.state, State::Locked | State::Terminating)
    }

    pub fn host(&self) -> &str {
        self.endpoint.split(':').next().unwrap_or_default()
    }

    pub fn accepts(&self) -> bool {
        self.state == State::Ready
    }
}

type Answer = Option<http::Response<Vec<u8>>>;

fn answer(code: u16, body: &impl Serialize) -> Answer {
    Some(
        http::Response::builder()
            .status(code)
            .body(serde_json::to_vec(body).unwrap())
            .unwrap(),
    )
}

fn problem(code: u16, error: &str) -> Answer {
    let problem = Problem {
        error: error.to_owned(),
        message: String::new(),
    };
    answer(code, &problem)
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

impl World {
    /// Listens once the volume is its own.
    pub fn listen(&mut self, pid: u64) {
        let Some(process) = self
            .processes
            .get(&pid)
            .filter(|process| process.state == State::Locked)
        else {
            return;
        };
        let (volume, uid) = (process.volume.clone(), process.uid.clone());
        let finished = process.kind == SlotKind::Task && self.has_result(&uid);
        let locked = self
            .processes
            .values()
            .any(|other| other.volume == volume && other.state != State::Locked);
        if locked {
            self.later(200, Event::Listen(pid));
            return;
        }
        if let Some(process) = self.processes.get_mut(&pid) {
            process.state = State::Ready;
            process.since = self.now;
        }
        let now = self.now;
        let journal = self.journals.entry(uid).or_default();
        (journal.last_activity, journal.kept) = (now, false);
        self.note(|| format!("process {pid} listens"));
        self.announce(pid);
        self.stream(pid);
        if finished {
            self.later(300_000, Event::Exit(pid, true));
        }
        let delay = self.chance.delay(5_000, 10_000);
        self.later(delay, Event::Probe(pid));
        self.work(pid);
    }

    fn announce(&mut self, pid: u64) {
        let delay = self.chance.delay(20, 1_000);
        self.later(delay, Event::Notice(pid));
    }

    /// Begins the next turn if there is one.
    fn work(&mut self, pid: u64) {
        let (token, length) = (self.number(), self.chance.delay(15_000, 180_000));
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        let journal = self.journals.entry(process.uid.clone()).or_default();
        if process.state != State::Ready || process.turn.is_some() {
            return;
        }
        let Some(place) = journal.entries.iter().position(|entry| !entry.done) else {
            return;
        };
        let entry = &mut journal.entries[place];
        if entry.runs == 0 {
            entry.runs = 1;
            self.watchdog.ran(&process.uid, entry.id);
        }
        process.turn = Some((token, place));
        self.later(length, Event::Turn(pid, token));
    }

    pub fn turn_ends(&mut self, pid: u64, token: u64) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        let Some((_, place)) = process.turn.filter(|(running, _)| *running == token) else {
            return;
        };
        process.turn = None;
        let (kind, uid) = (process.kind, process.uid.clone());
        let journal = self.journals.entry(uid.clone()).or_default();
        journal.entries[place].done = true;
        journal.turns += 1;
        journal.last_activity = now;
        journal.news = true;
        self.stream(pid);
        let journal = self.journals.entry(uid).or_default();
        if kind == SlotKind::Task && journal.finished.is_none() {
            journal.finished = Some(now);
            self.announce(pid);
            // It lingers for its result to be taken.
            self.later(300_000, Event::Exit(pid, true));
        }
        self.work(pid);
    }

    /// SIGTERM; milliseconds until it exits.
    pub fn term(&mut self, pid: u64) -> i64 {
        let delay = self.chance.delay(1_500, 29_000);
        let Some(process) = self.processes.get_mut(&pid) else {
            return 0;
        };
        process.state = State::Terminating;
        process.turn = None;
        delay
    }

    /// Whether a task has come to its end.
    pub fn has_result(&self, uid: &str) -> bool {
        self.journals.get(uid).is_some_and(|journal| journal.finished.is_some())
    }

    /// The volume's lock goes with the process.
    pub fn release(&mut self, volume: &str) {
        let waiting: Vec<u64> = self
            .processes
            .iter()
            .filter(|(_, process)| process.volume == volume && process.state == State::Locked)
            .map(|(pid, _)| *pid)
            .collect();
        for pid in waiting {
            self.later(50, Event::Listen(pid));
        }
    }

    /// A call of the operator's.
    pub fn ask_runner(&mut self, request: &RunnerRequest) -> Answer {
        let process = self
            .processes
            .values()
            .find(|process| process.endpoint == request.endpoint);
        let cut = process.is_some_and(|process| {
            self.trouble
                .network
                .iter()
                .any(|(_, topic)| super::people::topic_name(*topic) == process.topic)
        });
        if cut { None } else { self.post(request) }
    }

    /// Whether the bot's token opens a runner: it is that of the Topic which the pod was made for.
    pub fn is_open_to_bot(&self, endpoint: &str) -> bool {
        let process = self.processes.values().find(|process| process.endpoint == endpoint);
        process.is_some_and(|process| self.is_of_topic(process))
    }

    /// Whether a process belongs to the Topic that is there now.
    pub fn is_of_topic(&self, process: &Process) -> bool {
        let topic = self.server.get(Kind::Topic, &process.topic);
        topic.is_some_and(|topic| topic.uid == process.topic_uid)
    }

    /// A call of anybody's.
    pub fn post(&mut self, request: &RunnerRequest) -> Answer {
        let found = self
            .processes
            .iter()
            .find(|(_, process)| process.endpoint == request.endpoint && process.listens())
            .filter(|(_, process)| !self.is_silent(process.node));
        let pid = *found?.0;
        match request.route.as_str() {
            "GET /v1/status" => answer(200, &self.status(pid)?),
            "POST /v1/messages" => self.accept(pid, &serde_json::from_slice(&request.body).ok()?),
            "POST /v1/quiesce" => self.quiesce(pid, &serde_json::from_slice(&request.body).ok()?),
            "GET /v1/result" => self.result(pid),
            "POST /v1/ack" => self.acknowledge(pid),
            "POST /v1/warn" => answer(202, &()),
            other => panic!("the model's runner has no {other}"),
        }
    }

    fn status(&self, pid: u64) -> Option<Status> {
        let process = self.processes.get(&pid)?;
        let journal = self.journals.get(&process.uid)?;
        let unfinished: Vec<MessageId> = journal
            .entries
            .iter()
            .filter(|entry| !entry.done)
            .map(|entry| MessageId(entry.id))
            .collect();
        let state = match process.state {
            State::Ready => RunnerState::Ready,
            State::Quiesced => RunnerState::Quiesced,
            _ => RunnerState::Quiescing,
        };
        Some(Status {
            version: "0.1.0".to_owned(),
            claude_version: None,
            claude_pid: None,
            kind: match process.kind {
                SlotKind::Session => AgentKind::Session,
                SlotKind::Task => AgentKind::Task,
            },
            uid: process.uid.parse().ok()?,
            state,
            problem: None,
            busy: if unfinished.is_empty() {
                Vec::new()
            } else {
                vec![Busy::TurnRunning]
            },
            last_activity: at(journal.last_activity),
            unfinished,
            approvals: Vec::new(),
            memory: Memory::default(),
            disk: Disk::default(),
            usage: usage(journal),
            seq: journal.turns,
            acked: 0,
            restarts: 0,
            summary: journal.summary.map(|time| Summary {
                path: "state/summaries/s.md".to_owned(),
                time: at(time),
                text: "what came of it".to_owned(),
            }),
            summary_error: journal.summary_failed.then(|| "claude did not answer".to_owned()),
            recycled: 0,
            undelivered: match process.state {
                State::Quiesced if !self.server.guards.silent_runners => journal.undelivered(),
                _ => Vec::new(),
            },
            claude: Default::default(),
        })
    }

    fn accept(&mut self, pid: u64, message: &PostMessage) -> Answer {
        let (now, forgetful) = (self.now, self.server.guards.forgetful_journal);
        let process = self.processes.get(&pid)?;
        let journal = self.journals.entry(process.uid.clone()).or_default();
        let known = journal.entries.iter().any(|entry| entry.id == message.id.0);
        match process.state {
            _ if known && !forgetful => return answer(202, &()),
            State::Ready => {}
            State::Quiesced => return problem(409, "Ended"),
            _ => return problem(503, "Quiescing"),
        }
        journal.last_activity = now;
        journal.entries.push(Entry {
            id: message.id.0,
            runs: 0,
            done: false,
            told: false,
        });
        let (owner, id) = (process.owner.clone(), message.id);
        self.note(|| format!("process {pid} of {owner} accepts {id}"));
        self.work(pid);
        answer(202, &())
    }

    fn quiesce(&mut self, pid: u64, quiesce: &Quiesce) -> Answer {
        let (stopping, summary) = (self.chance.delay(500, 5_000), self.chance.delay(15_000, 90_000));
        let (hangs, fails) = (self.chance.percent(5), self.chance.percent(5));
        let now = self.now;
        let process = self.processes.get_mut(&pid)?;
        let journal = self.journals.entry(process.uid.clone()).or_default();
        if process.state != State::Ready {
            return answer(202, &());
        }
        let busy = journal.entries.iter().any(|entry| !entry.done);
        if quiesce
            .unless_active_after
            .is_some_and(|after| busy || at(journal.last_activity) > after)
        {
            return problem(409, "Active");
        }
        process.state = State::Quiescing;
        process.turn = None;
        let working = if busy { stopping } else { 0 };
        let summing = if quiesce.summarize && journal.news { summary } else { 0 };
        let left = (quiesce.deadline.as_millisecond() - now - 3_000).max(0);
        let owner = process.owner.clone();
        journal.summary_failed = fails && summing > 0;
        if hangs {
            self.note(|| format!("process {pid} of {owner} winds down, and does not come to its end"));
            return answer(202, &());
        }
        self.note(|| format!("process {pid} of {owner} winds down"));
        self.later((working + summing + 100).min(left), Event::Quiesced(pid));
        answer(202, &())
    }

    /// What was not finished has been stopped, and its author told.
    pub fn quiesced(&mut self, pid: u64) {
        let now = self.now;
        let Some(process) = self
            .processes
            .get_mut(&pid)
            .filter(|process| process.state == State::Quiescing)
        else {
            return;
        };
        process.state = State::Quiesced;
        process.quiesced = Some(now);
        let journal = self.journals.entry(process.uid.clone()).or_default();
        journal.entries.iter_mut().for_each(|entry| entry.done = true);
        if journal.news && !journal.summary_failed {
            (journal.summary, journal.news) = (Some(now), false);
        }
        self.note(|| format!("process {pid} is wound down"));
        self.announce(pid);
        self.stream(pid);
    }

    fn result(&self, pid: u64) -> Answer {
        let process = self.processes.get(&pid)?;
        let journal = self.journals.get(&process.uid)?;
        let Some(finished) = journal.finished else {
            return problem(404, "NotFound");
        };
        let result = TaskResult {
            text: "done".to_owned(),
            truncated: false,
            is_error: false,
            terminal_reason: "completed".to_owned(),
            usage: usage(journal),
            finished_at: at(finished),
            seq: 1,
            escalation: None,
        };
        answer(200, &result)
    }

    fn acknowledge(&mut self, pid: u64) -> Answer {
        let process = self.processes.get(&pid)?;
        let journal = self.journals.entry(process.uid.clone()).or_default();
        if process.kind == SlotKind::Task && !journal.acked {
            journal.acked = true;
            let delay = self.chance.delay(200, 2_000);
            self.later(delay, Event::Exit(pid, true));
        }
        answer(204, &())
    }
}

fn usage(journal: &Journal) -> Usage {
    Usage {
        turns: journal.turns,
        cost_usd: "0".to_owned(),
        ..Usage::default()
    }
}
