//! Scripts about one thing each, for troubles that are rare in the others.

use super::chance::Chance;
use super::script::{Input, Limits, Script, Timed};

impl Script {
    /// Tasks that are deleted as soon as they have begun, and others that wait for their topic. Nothing else.
    pub fn takeovers(seed: u64) -> Self {
        const TASKS: usize = 12;
        let mut chance = Chance::new(seed, 3);
        let mut inputs = Vec::new();
        for number in 0..TASKS {
            let begin = 20_000 + i64::try_from(number).unwrap() * 45_000;
            let (first, second) = (2 * number, 2 * number + 1);
            let mut add = |at: i64, input: Input| inputs.push(Timed { at, input });
            add(
                begin,
                Input::CreateTask {
                    topic: 0,
                    number: first,
                    reads: false,
                },
            );
            let deleted = begin + chance.between(20, 250);
            add(
                deleted,
                Input::DeleteTask {
                    topic: 0,
                    number: first,
                },
            );
            let next = begin + chance.between(0, 300);
            add(
                next,
                Input::CreateTask {
                    topic: 0,
                    number: second,
                    reads: false,
                },
            );
            add(
                begin + 40_000,
                Input::DeleteTask {
                    topic: 0,
                    number: second,
                },
            );
        }
        inputs.sort_by_key(|timed| timed.at);
        Self {
            limit: Limits {
                sessions: None,
                tasks: None,
                ..Self::of(seed).limit
            },
            length: inputs.last().map_or(0, |timed| timed.at) + 1,
            seed,
            topics: 1,
            inputs,
        }
    }

    /// A session or a task ends while another waits for its topic, the Topic is made anew in that moment, and the last pod takes its
    /// time to go. Nothing else.
    pub fn heirs(seed: u64) -> Self {
        const ROUNDS: i64 = 8;
        const ROUND: i64 = 120_000;
        let mut chance = Chance::new(seed, 4);
        let mut inputs = Vec::new();
        let mut add = |at: i64, input: Input| inputs.push(Timed { at, input });
        let lasts = ROUNDS * ROUND;
        add(0, Input::SlowKubelets { lasts });
        for round in 0..ROUNDS {
            let (topic, begin) = (0, 10_000 + round * ROUND);
            let number = usize::try_from(round).unwrap();
            let first = chance.percent(50);
            let session = Input::CreateSession {
                topic,
                number,
                prompt: false,
            };
            let task = Input::CreateTask {
                topic,
                number,
                reads: false,
            };
            let end = begin + 60_000;
            let state = "Ended";
            if first {
                add(begin, session);
                add(begin + 40_000, task);
                add(end, Input::Desire { topic, number, state });
            } else {
                add(begin, task);
                add(begin + 40_000, session);
                add(end, Input::DeleteTask { topic, number });
            }
            let lasts = chance.between(1, 300);
            add(end + chance.between(0, 3_000), Input::DeleteTopic { topic, lasts });
            add(begin + 110_000, Input::Desire { topic, number, state });
            add(begin + 110_000, Input::DeleteTask { topic, number });
        }
        inputs.sort_by_key(|timed| timed.at);
        Self {
            limit: Limits {
                sessions: None,
                tasks: None,
                ..Self::of(seed).limit
            },
            length: ROUNDS * ROUND + 20_000,
            seed,
            topics: 1,
            inputs,
        }
    }
}
