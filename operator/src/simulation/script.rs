//! What people do and what goes wrong, and when: drawn from a seed, made shorter one input at a time.

use super::chance::Chance;
use super::kind::Kind;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// Milliseconds from the beginning.
    pub at: i64,
    pub input: Input,
}

/// What happens; topics go by number. Things that last take milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    CreateSession {
        topic: usize,
        number: usize,
        prompt: bool,
    },
    CreateTask {
        topic: usize,
        number: usize,
        /// It only reads the workspace.
        reads: bool,
    },
    Message {
        topic: usize,
        number: usize,
    },
    Desire {
        topic: usize,
        number: usize,
        state: &'static str,
    },
    EndNote {
        topic: usize,
        number: usize,
    },
    DeleteSession {
        topic: usize,
        number: usize,
    },
    DeleteTask {
        topic: usize,
        number: usize,
    },
    SetLimits {
        sessions: Option<i32>,
        tasks: Option<i32>,
    },
    KillOperator {
        down: i64,
    },
    SecondLeader {
        lasts: i64,
    },
    ApiTrouble {
        lasts: i64,
    },
    SlowWatch {
        kind: Kind,
        lasts: i64,
    },
    DropWatch {
        kind: Kind,
        pause: i64,
    },
    ClockStep {
        by: i64,
        lasts: i64,
    },
    LoseNotices {
        lasts: i64,
    },
    BotAway {
        lasts: i64,
    },
    /// It is made anew after a while, with the same name and the same volume.
    DeleteTopic {
        topic: usize,
        lasts: i64,
    },
    /// The node of the topic's pod. It comes back, or is known to be off.
    LoseNode {
        topic: usize,
        lasts: i64,
        back: bool,
    },
    SlowKubelets {
        lasts: i64,
    },
    Unreachable {
        topic: usize,
        lasts: i64,
    },
    KillProcess {
        topic: usize,
    },
    DeletePod {
        topic: usize,
        force: bool,
    },
    Evict {
        topic: usize,
    },
}

/// A world to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub seed: u64,
    pub topics: usize,
    pub limit: Limits,
    /// When the last input happens at the latest.
    pub length: i64,
    pub inputs: Vec<Timed>,
}

/// What the class says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub sessions: Option<i32>,
    pub tasks: Option<i32>,
    /// Seconds.
    pub idle: i64,
    pub life: i64,
    pub rest: i64,
    pub queue: Option<i64>,
    pub on_idle: &'static str,
    pub when_full: &'static str,
}

/// Milliseconds between moments in which much happens at once.
const BURST: i64 = 15_000;
const SESSIONS_PER_TOPIC: usize = 7;

impl Script {
    pub fn of(seed: u64) -> Self {
        Self::with(seed, None)
    }

    /// Everybody comes in the same moment, and there is not room for all.
    pub fn rush(seed: u64) -> Self {
        Self::with(seed, Some(true))
    }

    fn with(seed: u64, rush: Option<bool>) -> Self {
        let mut chance = Chance::new(seed, 2);
        let topics = 3 + chance.index(3);
        // In a rush everybody comes in the same moment, and there is not room for all.
        let drawn = chance.percent(25);
        let rush = rush.unwrap_or(drawn);
        let most = if rush { 1 } else { i64::try_from(topics).unwrap() };
        let limit = Limits {
            sessions: (rush || !chance.percent(15)).then(|| i32::try_from(chance.between(1, most)).unwrap()),
            tasks: (!chance.percent(30)).then(|| i32::try_from(chance.between(1, 2)).unwrap()),
            idle: chance.between(20, 150),
            life: chance.between(60, 900),
            rest: chance.between(60, 600),
            queue: chance.percent(30).then(|| chance.between(60, 400)),
            on_idle: if chance.percent(75) { "Suspend" } else { "End" },
            when_full: ["Queue", "Queue", "SuspendIdle", "SuspendIdle", "Reject"][chance.index(5)],
        };
        let mut inputs = Vec::new();
        let mut length = 0;
        for topic in 0..topics {
            length = length.max(lives(topic, rush, &mut chance, &mut inputs));
        }
        faults(topics, length, &mut chance, &mut inputs);
        if !rush {
            new_limits(topics, length, &mut chance, &mut inputs);
            absences(topics, length, &mut chance, &mut inputs);
        }
        for timed in &mut inputs {
            // Much happens in the same moment.
            if !rush && chance.percent(30) {
                timed.at = timed.at / BURST * BURST + chance.between(0, 15);
            }
        }
        inputs.sort_by_key(|timed| timed.at);
        let length = inputs
            .iter()
            .map(|timed| timed.at + timed.input.lasts())
            .max()
            .unwrap_or_default()
            + 1;
        Self {
            seed,
            topics,
            limit,
            length,
            inputs,
        }
    }

    /// The same without some of its inputs.
    pub fn without(&self, places: std::ops::Range<usize>) -> Self {
        let mut shorter = self.clone();
        shorter.inputs.drain(places);
        shorter
    }
}

/// Sessions and tasks of a topic, one after another or nearly so; when the last is through.
fn lives(topic: usize, rush: bool, chance: &mut Chance, inputs: &mut Vec<Timed>) -> i64 {
    let mut at = chance.between(0, 30_000);
    for number in 0..SESSIONS_PER_TOPIC {
        let (mut begin, mut length) = (at, chance.between(5_000, 200_000));
        if rush {
            begin = 20_000 + i64::try_from(number).unwrap() * 60_000 + chance.between(0, 25);
            length = chance.between(10_000, 40_000);
        }
        let mut add = |at: i64, input: Input| inputs.push(Timed { at, input });
        let prompt = chance.percent(70);
        add(begin, Input::CreateSession { topic, number, prompt });
        if chance.percent(40) {
            let at = begin + chance.between(-20_000, length).max(-begin);
            let reads = chance.percent(20);
            add(at, Input::CreateTask { topic, number, reads });
            if chance.percent(15) {
                add(at + chance.between(1, 60_000), Input::DeleteTask { topic, number });
            }
        }
        for _ in 0..chance.index(4) {
            add(begin + chance.between(1, length), Input::Message { topic, number });
        }
        for _ in 0..chance.index(3) {
            let state = if chance.percent(50) { "Suspended" } else { "Running" };
            add(
                begin + chance.between(1, length),
                Input::Desire { topic, number, state },
            );
        }
        let end = match chance.index(10) {
            0..=3 => Input::Desire {
                topic,
                number,
                state: "Ended",
            },
            4..=5 => Input::EndNote { topic, number },
            6..=8 => Input::DeleteSession { topic, number },
            _ => Input::Desire {
                topic,
                number,
                state: "Running",
            },
        };
        add(begin + length, end);
        at = begin + length + chance.between(-5_000, 20_000);
    }
    at
}

fn faults(topics: usize, length: i64, chance: &mut Chance, inputs: &mut Vec<Timed>) {
    const KINDS: [Kind; 6] = [Kind::Session, Kind::Set, Kind::Pod, Kind::Job, Kind::Task, Kind::Class];
    for _ in 0..chance.between(0, 24) {
        let (topic, kind) = (chance.index(topics), KINDS[chance.index(KINDS.len())]);
        let lasts = chance.between(1_000, 60_000);
        let input = match chance.index(14) {
            0 | 1 => Input::KillOperator {
                down: chance.between(100, 20_000),
            },
            2 | 3 => Input::SecondLeader { lasts },
            4 => Input::ApiTrouble { lasts },
            5 => Input::SlowWatch { kind, lasts },
            6 => Input::DropWatch {
                kind,
                pause: chance.between(100, 20_000),
            },
            7 => Input::ClockStep {
                by: chance.between(-200_000, 200_000),
                lasts,
            },
            8 => Input::LoseNotices { lasts },
            9 => Input::SlowKubelets { lasts },
            10 => Input::Unreachable { topic, lasts },
            11 => Input::KillProcess { topic },
            12 => Input::DeletePod {
                topic,
                force: chance.percent(50),
            },
            _ => Input::Evict { topic },
        };
        inputs.push(Timed {
            at: chance.between(0, length),
            input,
        });
    }
}

/// Limits go up, down and away.
fn new_limits(topics: usize, length: i64, chance: &mut Chance, inputs: &mut Vec<Timed>) {
    let most = i64::try_from(topics).unwrap();
    for _ in 0..chance.index(5) {
        let mut limit = |most: i64| (!chance.percent(20)).then(|| i32::try_from(chance.between(1, most)).unwrap());
        let input = Input::SetLimits {
            sessions: limit(most),
            tasks: limit(2),
        };
        inputs.push(Timed {
            at: chance.between(0, length),
            input,
        });
    }
}

/// The bot is away, or a node, or a Topic.
fn absences(topics: usize, length: i64, chance: &mut Chance, inputs: &mut Vec<Timed>) {
    for _ in 0..chance.index(4) {
        let lasts = chance.between(1_000, 300_000);
        let at = chance.between(0, length);
        inputs.push(Timed {
            at,
            input: Input::BotAway { lasts },
        });
    }
    for _ in 0..chance.index(3) {
        let input = Input::LoseNode {
            topic: chance.index(topics),
            lasts: chance.between(5_000, 600_000),
            back: chance.percent(50),
        };
        let at = chance.between(0, length);
        inputs.push(Timed { at, input });
    }
    for _ in 0..chance.index(3) {
        let input = Input::DeleteTopic {
            topic: chance.index(topics),
            lasts: chance.delay(5_000, 120_000),
        };
        let at = chance.between(0, length);
        inputs.push(Timed { at, input });
    }
}

impl Input {
    /// What is counted, in words; none for what people do all the time.
    pub fn trouble(&self) -> Option<&'static str> {
        Some(match self {
            Self::SetLimits { .. } => "limits changed",
            Self::KillOperator { .. } => "operator killed",
            Self::SecondLeader { .. } => "two leaders",
            Self::ApiTrouble { .. } => "calls that fail or whose answer is lost",
            Self::SlowWatch { .. } => "stale cache",
            Self::DropWatch { .. } => "watch dropped",
            Self::ClockStep { .. } => "clock set",
            Self::LoseNotices { .. } => "notices lost",
            Self::BotAway { .. } => "bot away",
            Self::DeleteTopic { .. } => "topic deleted and made anew",
            Self::LoseNode { back: true, .. } => "node lost that comes back",
            Self::LoseNode { .. } => "node lost for good",
            Self::SlowKubelets { .. } => "slow kubelets",
            Self::Unreachable { .. } => "runner unreachable",
            Self::KillProcess { .. } => "runner killed",
            Self::DeletePod { force: true, .. } => "pod deleted by force",
            Self::DeletePod { .. } => "pod deleted",
            Self::Evict { .. } => "pod evicted",
            Self::CreateSession { .. }
            | Self::CreateTask { .. }
            | Self::Message { .. }
            | Self::Desire { .. }
            | Self::EndNote { .. }
            | Self::DeleteSession { .. }
            | Self::DeleteTask { .. } => return None,
        })
    }

    pub fn lasts(&self) -> i64 {
        match self {
            Self::KillOperator { down: lasts }
            | Self::SecondLeader { lasts }
            | Self::ApiTrouble { lasts }
            | Self::SlowWatch { lasts, .. }
            | Self::DropWatch { pause: lasts, .. }
            | Self::ClockStep { lasts, .. }
            | Self::LoseNotices { lasts }
            | Self::BotAway { lasts }
            | Self::LoseNode { lasts, .. }
            | Self::DeleteTopic { lasts, .. }
            | Self::SlowKubelets { lasts }
            | Self::Unreachable { lasts, .. } => *lasts,
            _ => 0,
        }
    }
}
