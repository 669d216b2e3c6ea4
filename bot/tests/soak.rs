//! Ten busy topics in one forum for ten minutes, at Telegram's limit of 20 calls a minute, in time that passes ten times as fast as the
//! clock: sessions that stream, use tools and ask; tasks; 429s, 5xx, lost replies, cut connections; and a bot that is killed again and
//! again. Every answer stands there once and whole, no limit is ever hit by the bot's own doing, and what is urgent goes first.
//!
//! `SOAK_SEED` chooses another course of events. The table is on standard error (`--nocapture`).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_telegram_emulator::Client;
use longshore_telegram_emulator::calls::Call;
use longshore_telegram_emulator::control::routes::WantedCalls;
use longshore_telegram_emulator::control::view::Shown;
use longshore_telegram_emulator::faults::{Fault, Kind};
use longshore_wire::MessageId;
use longshore_wire::api::ApprovalKind;
use longshore_wire::event::{ApprovalOutcome, Event, ToolState};
use serde_json::json;
use support::api::Api;
use support::deep::approval;
use support::runner::Runner;
use support::{Stage, completed};
use tokio::time::Instant;

const FACTOR: f64 = 10.0;
const PER_MINUTE: usize = 20;
/// A slot: the time of one call, if calls are spread evenly.
const SLOT_MS: f64 = 60_000.0 / PER_MINUTE as f64;
/// How long people write, in emulated seconds.
const LENGTH: f64 = 600.0;
const SESSIONS: usize = 8;
const TASK_TOPICS: usize = 2;
const KILLS: usize = 5;
/// What is ordered to go wrong, each so often.
const FAULTS: usize = 5;
/// After the last message, in real time.
const DRAIN: Duration = Duration::from_secs(120);

/// Numbers that look random and are the same for the same seed.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low + 1)
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds as f64 / FACTOR)).await;
}

/// Something urgent, and when the bot knew it.
#[derive(Clone, Debug)]
struct Urgent {
    topic: usize,
    what: &'static str,
    /// Stands in its text and in nothing else.
    mark: String,
    /// Messages that it answers; their placeholders are urgent from then on.
    answers: Option<i64>,
    known_ms: i64,
}

/// What all topics share.
#[derive(Clone)]
struct Harbour {
    people: Client,
    api: Api,
    forum: i64,
    ada: i64,
    urgent: Arc<Mutex<Vec<Urgent>>>,
    /// Lines that must stand in a topic, each once.
    lines: Arc<Mutex<Vec<(i64, String)>>>,
    end: Instant,
}

impl Harbour {
    async fn known(&self, topic: usize, what: &'static str, mark: String, answers: Option<i64>) {
        let known_ms = self.people.now_ms().await.unwrap();
        let urgent = Urgent {
            topic,
            what,
            mark,
            answers,
            known_ms,
        };
        self.urgent.lock().unwrap().push(urgent);
    }

    /// An answer of so many lines, each of which can be told from all others.
    fn answer(&self, thread: i64, name: &str, lines: u64) -> (String, String) {
        let line = |number| format!("«{name}/{number}» the quick brown fox jumps over the lazy dog, again and again.");
        let lines = (0..lines).map(line).collect::<Vec<_>>();
        let mut expected = self.lines.lock().unwrap();
        expected.extend(lines.iter().map(|line| (thread, line.clone())));
        (lines.join("\n\n"), format!("«{name}/0»"))
    }
}

/// A topic with a session, whose runner the test plays.
struct Deep {
    harbour: Harbour,
    topic: usize,
    thread: i64,
    runner: Runner,
    dice: Dice,
}

impl Deep {
    /// Emits an event that the bot acknowledges at once, and waits until it has.
    async fn told(&self, event: Event) {
        self.runner.emit(event);
        let seq = self.runner.wait("nothing", |_| true).await.records.len() as u64;
        self.runner.wait("an acknowledgement", |state| state.acked >= seq).await;
    }

    async fn live(mut self, first: i64) {
        let mut message = first;
        for turn in 1.. {
            self.turn(turn, message).await;
            pass(self.dice.roll(80, 130)).await;
            if Instant::now() >= self.harbour.end {
                return;
            }
            let harbour = &self.harbour;
            let text = format!("and {turn}?");
            message = harbour
                .people
                .say(harbour.forum, Some(self.thread), harbour.ada, &text)
                .await
                .unwrap();
            let id = MessageId::from_telegram(harbour.forum, message);
            let posted = |state: &support::runner::Seen| state.posted.iter().any(|posted| posted.id == id);
            self.runner.wait("a message", posted).await;
        }
    }

    async fn turn(&mut self, turn: u64, message: i64) {
        let id = MessageId::from_telegram(self.harbour.forum, message);
        let name = format!("{}.{turn}", self.topic);
        self.runner.emit(Event::TurnStarted {
            turn,
            message_ids: vec![id],
        });
        for step in 0..self.dice.roll(2, 5) {
            let tool = format!("{name}.{step}");
            let (kind, summary) = [("Read", "src/main.rs"), ("Edit", "src/lib.rs"), ("Bash", "cargo test")]
                [self.dice.roll(0, 2) as usize];
            self.runner.tool(turn, &tool, kind, summary);
            pass(self.dice.roll(2, 6)).await;
            self.runner.emit(Event::Tool {
                turn,
                id: tool,
                name: kind.into(),
                summary: String::new(),
                state: ToolState::Finished,
            });
            self.runner.preview(turn, &format!("thinking about {step} … ")).await;
            pass(self.dice.roll(1, 4)).await;
        }
        if turn % 4 == 2 {
            self.ask(turn, &name).await;
        }
        let lines = if turn % 5 == 3 { 80 } else { self.dice.roll(1, 6) };
        let (text, mark) = self.harbour.answer(self.thread, &name, lines);
        self.runner.emit(Event::Text { turn, block: 0, text });
        self.told(Event::TurnFinished {
            turn,
            message_ids: vec![id],
            is_error: false,
            terminal_reason: "completed".into(),
            error: None,
            usage: Default::default(),
        })
        .await;
        self.harbour.known(self.topic, "answer", mark, Some(message)).await;
    }

    /// claude asks, somebody allows it.
    async fn ask(&self, turn: u64, name: &str) {
        let (prompt, mark) = (format!("req-{name}"), format!("make «{name}»"));
        let mut event = approval(&prompt, ApprovalKind::Permission, "Bash", json!({"command": mark}));
        if let Event::Approval { turn: of, .. } = &mut event {
            *of = turn;
        }
        self.told(event).await;
        self.harbour.known(self.topic, "approval", mark.clone(), None).await;
        let Harbour { people, forum, ada, .. } = &self.harbour;
        let shown = people
            .wait_for(*forum, Some(self.thread), 0, &mark, support::PATIENCE)
            .await
            .unwrap();
        let label = &shown.buttons[0][0];
        loop {
            people.press(*forum, shown.message_id, *ada, label).await.unwrap();
            let decided = self.runner.wait("a decision", |state| {
                state.decisions.iter().any(|(id, _)| *id == prompt)
            });
            // A press that nobody answers, since the bot was killed, is made again.
            if tokio::time::timeout(Duration::from_secs(10), decided).await.is_ok() {
                break;
            }
        }
        self.runner.emit(Event::ApprovalClosed {
            id: prompt,
            outcome: ApprovalOutcome::Allowed,
            by: Some("Ada".into()),
        });
    }
}

/// A topic in which every message is a task.
async fn tasks(harbour: Harbour, topic: usize, thread: i64, mut dice: Dice) {
    for number in 0.. {
        if Instant::now() >= harbour.end {
            return;
        }
        let name = format!("{topic}.{number}");
        let message = harbour
            .people
            .say(harbour.forum, Some(thread), harbour.ada, "what about it?")
            .await
            .unwrap();
        let task = longshore_crds::names::telegram_topic(harbour.forum, Some(thread));
        let task = longshore_crds::names::for_message(&task, message);
        harbour.api.wait("containertasks", &task, |_| true).await;
        pass(dice.roll(5, 30)).await;
        let (text, mark) = harbour.answer(thread, &name, dice.roll(1, 5));
        harbour.api.merge("containertasks", &task, completed(&text));
        harbour.known(topic, "result", mark, Some(message)).await;
        pass(dice.roll(70, 120)).await;
    }
}

/// Lets things go wrong, and returns how often Telegram was made to ask to wait.
async fn faults(harbour: Harbour, mut dice: Dice) -> (usize, usize) {
    let kinds = [
        Kind::TooManyRequests { retry_after: 7 },
        Kind::Status {
            code: 502,
            description: "Bad Gateway".into(),
        },
        Kind::LostReply,
        Kind::Disconnect,
    ];
    let (mut ordered, mut number) = (Vec::new(), 0);
    let pause = LENGTH / (FAULTS * kinds.len()) as f64;
    while Instant::now() < harbour.end && number < FAULTS * kinds.len() {
        let method = ["sendMessage", "editMessageText"][dice.roll(0, 1) as usize];
        let mut fault = Fault::on(method, kinds[number % kinds.len()].clone());
        fault.chat = Some(harbour.forum);
        ordered.push(harbour.people.fault(&fault).await.unwrap());
        number += 1;
        pass(dice.roll(pause as u64 / 2, pause as u64)).await;
    }
    tokio::time::sleep_until(harbour.end).await;
    let all = harbour.people.faults().await.unwrap();
    let hits = |wanted: &Kind| {
        all.values()
            .filter(|fault| fault.kind == *wanted)
            .map(|fault| fault.hit as usize)
            .sum()
    };
    let found = (hits(&kinds[0]), hits(&kinds[2]));
    // What has not struck by now must not strike any more.
    harbour.people.clear_faults().await.unwrap();
    assert!(ordered.len() == number && number > 0);
    found
}

/// How urgent a call was when it was made.
fn is_urgent(call: &Call, urgent: &[Urgent]) -> bool {
    let text = call.params["text"].as_str().unwrap_or_default();
    if text == "…" {
        let Some(message) = call.params["reply_parameters"]["message_id"].as_i64() else {
            return true;
        };
        // The ends of turns are known a moment before the test notes that they are.
        return urgent
            .iter()
            .any(|urgent| urgent.answers == Some(message) && urgent.known_ms - 1_000 <= call.at_ms);
    }
    // Prompts that are decided are closed with the same urgency.
    text.contains('«')
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted
        .get(((sorted.len() as f64 - 1.0) * share).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// What was measured of one kind of urgent things, in slots.
fn row(name: &str, mut slots: Vec<f64>, overtaken: usize) {
    slots.sort_by(f64::total_cmp);
    eprintln!(
        "| {name:<10} | {:>5} | {:>6.1} | {:>6.1} | {:>6.1} | {overtaken:>9} |",
        slots.len(),
        percentile(&slots, 0.5),
        percentile(&slots, 0.95),
        percentile(&slots, 1.0),
    );
}

struct Report {
    calls: Vec<Call>,
    urgent: Vec<Urgent>,
}

impl Report {
    fn shown(&self, urgent: &Urgent) -> &Call {
        let shows = |call: &&Call| {
            let edit = call.method.eq_ignore_ascii_case("editMessageText");
            edit && call.committed
                && call.params["text"]
                    .as_str()
                    .is_some_and(|text| text.contains(&urgent.mark))
        };
        self.calls
            .iter()
            .find(shows)
            .unwrap_or_else(|| panic!("{urgent:?} was never shown"))
    }

    /// Calls that were less urgent and went out while this was known and not shown; the one on its way apart.
    fn overtaken(&self, urgent: &Urgent) -> usize {
        let shown = self.shown(urgent);
        let between = self
            .calls
            .iter()
            .filter(|call| call.at_ms > urgent.known_ms && call.seq < shown.seq);
        between
            .filter(|call| visible(call) && !is_urgent(call, &self.urgent))
            .count()
            .saturating_sub(1)
    }

    fn print(&self, shown: &[Shown], faults: (usize, usize)) -> f64 {
        eprintln!("| urgent     | count | p50    | p95    | max    | overtaken |   (slots of {SLOT_MS} ms)");
        eprintln!("|------------|-------|--------|--------|--------|-----------|");
        let mut worst: f64 = 0.0;
        for what in ["answer", "approval", "result"] {
            let these = self.urgent.iter().filter(|urgent| urgent.what == what);
            let slots = these
                .clone()
                .map(|urgent| (self.shown(urgent).at_ms - urgent.known_ms).max(0) as f64 / SLOT_MS);
            let slots = slots.collect::<Vec<_>>();
            worst = slots.iter().copied().fold(worst, f64::max);
            row(what, slots, these.map(|urgent| self.overtaken(urgent)).sum());
        }
        let mut kinds = BTreeMap::<String, usize>::new();
        for call in self.calls.iter().filter(|call| visible(call)) {
            *kinds.entry(call.method.to_lowercase()).or_default() += 1;
        }
        let span = self.calls.last().unwrap().at_ms - self.calls.first().unwrap().at_ms;
        eprintln!(
            "calls {kinds:?} in {} s; messages of the bot {}",
            span / 1_000,
            shown.len()
        );
        eprintln!(
            "ordered: {} times 429, {} lost replies, {KILLS} kills",
            faults.0, faults.1
        );
        worst
    }
}

fn visible(call: &Call) -> bool {
    call.params["chat_id"].is_i64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_busy_topics_are_served_in_time_whole_and_once_whatever_goes_wrong() {
    let seed = std::env::var("SOAK_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_128);
    eprintln!("SOAK_SEED={seed}");
    let mut dice = Dice(seed);
    let mut stage = Stage::set().await.paced(PER_MINUTE, FACTOR).await;
    stage.start();
    let harbour = Harbour {
        people: stage.people.clone(),
        api: stage.api.clone(),
        forum: stage.forum,
        ada: stage.ada,
        urgent: Arc::default(),
        lines: Arc::default(),
        end: Instant::now() + Duration::from_secs_f64(LENGTH / FACTOR),
    };
    let mut threads = Vec::new();
    let mut busy = Vec::new();
    for topic in 0..SESSIONS + TASK_TOPICS {
        let thread = stage.topic(&format!("Pier {topic}")).await;
        threads.push(thread);
        let dice = Dice(dice.roll(1, u64::MAX - 1));
        if topic >= SESSIONS {
            busy.push(tokio::spawn(tasks(harbour.clone(), topic, thread, dice)));
            continue;
        }
        let first = stage.say(thread, "/deep keep the pier in order").await;
        let (runner, endpoint) = Runner::start().await;
        stage.ready(&stage.name(thread, first), &runner, &endpoint).await;
        let harbour = harbour.clone();
        let deep = Deep {
            harbour,
            topic,
            thread,
            runner,
            dice,
        };
        busy.push(tokio::spawn(deep.live(first)));
    }
    let trouble = tokio::spawn(faults(harbour.clone(), dice.clone()));
    for kill in 1..=KILLS {
        let part = LENGTH / FACTOR / (KILLS + 1) as f64;
        let at = part * kill as f64 + dice.roll(0, 1_000) as f64 / 1_000.0;
        tokio::time::sleep_until(harbour.end - Duration::from_secs_f64(LENGTH / FACTOR - at)).await;
        stage.kill();
        stage.start();
    }
    let trouble = trouble.await.unwrap();
    for topic in busy {
        tokio::time::timeout(DRAIN, topic)
            .await
            .expect("people get what they wait for")
            .unwrap();
    }
    let expected = harbour.lines.lock().unwrap().clone();
    let missing = async {
        loop {
            let mut missing = 0;
            for thread in &threads {
                let said = stage.by_bot(Some(*thread)).await.join("\n");
                missing += expected
                    .iter()
                    .filter(|(of, line)| of == thread && !said.contains(line))
                    .count();
            }
            if missing == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(DRAIN, missing).await.expect("every answer comes");

    let calls = stage.people.calls(&WantedCalls::default()).await.unwrap();
    let calls = calls.into_iter().filter(visible).collect();
    let urgent = harbour.urgent.lock().unwrap().clone();
    let report = Report { calls, urgent };
    let mut shown = Vec::new();
    for thread in &threads {
        shown.extend(
            stage
                .people
                .messages(stage.forum, Some(*thread))
                .await
                .unwrap()
                .into_iter()
                .filter(|shown| shown.from_bot),
        );
    }
    let worst = report.print(&shown, trouble);
    check(&report, &shown, &expected, trouble, &threads);
    assert!(worst < 60.0, "something urgent waited for {worst} slots");
}

fn check(report: &Report, shown: &[Shown], expected: &[(i64, String)], trouble: (usize, usize), threads: &[i64]) {
    let refused = report.calls.iter().filter(|call| call.code == 429).collect::<Vec<_>>();
    eprintln!(
        "429s: {} ordered, {} by own doing",
        trouble.0,
        refused.len() - trouble.0.min(refused.len())
    );
    assert_eq!(
        refused.len(),
        trouble.0,
        "the bot brought a refusal on itself: {refused:#?}"
    );
    for (thread, line) in expected {
        let stands = shown
            .iter()
            .filter(|shown| shown.thread == Some(*thread) && shown.text.contains(line))
            .count();
        assert_eq!(stands, 1, "{line}");
    }
    let empty = shown.iter().filter(|shown| shown.text == "…").count();
    eprintln!(
        "answers {}, lines {}, each once; empty placeholders {empty}",
        report.urgent.len(),
        expected.len()
    );
    let lost = report
        .calls
        .iter()
        .filter(|call| call.method.eq_ignore_ascii_case("sendMessage") && call.committed && !call.ok);
    assert!(empty <= lost.count() + KILLS, "{empty} empty placeholders");
    let overtaken = report
        .urgent
        .iter()
        .map(|urgent| report.overtaken(urgent))
        .max()
        .unwrap();
    assert_eq!(overtaken, 0, "something less urgent went first");
    for (topic, thread) in threads.iter().enumerate() {
        let of_topic = report.urgent.iter().filter(|urgent| urgent.topic == topic);
        let waits = of_topic.map(|urgent| (report.shown(urgent).at_ms - urgent.known_ms) as f64 / SLOT_MS);
        let waits = waits.collect::<Vec<_>>();
        let worst = waits.iter().copied().fold(0.0, f64::max);
        let looks = shown
            .iter()
            .filter(|shown| shown.thread == Some(*thread))
            .map(|shown| shown.edits)
            .sum::<usize>();
        eprintln!(
            "topic {topic:>2}: {:>2} urgent, worst wait {worst:>5.1} slots, {looks:>3} edits",
            waits.len()
        );
        assert!(waits.len() >= 2, "topic {topic} had its share");
    }
}
