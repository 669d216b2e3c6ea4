//! The operator in a world of its own: its real reconcilers against models of the API server, of Kubernetes' controllers and
//! kubelets, of runners and of people, with everything that goes wrong in a cluster.
//!
//! A seed makes a script (`script`): what people do and which troubles come, and when. A world (`world`) plays it: events in
//! the order of their time, with delays from the same seed. Passes of the operator (`operator`) are real futures that stop at
//! every call; stale caches, lost answers, a second leader or a kill come between any two of them. After every step the
//! promises are checked (`invariants`), and once more when the world has been left alone for a while.
//!
//! A seed that breaks a promise is made shorter until nothing can be left out, and told in at most 40 lines.
//! A life is that of a session or a task, from its create to its end. `make simulation` plays 10,000 of them in an optimised
//! build, as `make test` does. `SIMULATION_LIVES=50000` plays more, `SIMULATION_FIRST=1000` other seeds, and
//! `SIMULATION_SEED=27` one alone: `cargo test -p longshore-operator simulation`.
//!
//! A clock that is wrong makes deadlines late by as much as it was wrong, and no more (`invariants`). What is promised of limits that
//! change, of answers that nobody fetches and of nodes that fall silent stands in `limits`, `answers` and `nodes`.
//!
//! Not modelled: the network between people and the API server, admission (people are careful), quotas, schedules, changes of a
//! class but for its limits, tasks beside a session.

mod answers;
mod chance;
mod invariants;
mod kind;
mod limits;
mod machines;
mod nodes;
mod operator;
mod people;
mod request;
mod runners;
mod scenes;
mod script;
mod server;
mod tell;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use script::Script;
use server::Guards;
use tell::{play, tell};
use world::World;

/// Lives that are played with every unit test. In an unoptimised build one takes 20 to 40 ms of one core, nearly all of it in
/// reading and writing JSON; in an optimised one 4 ms.
const LIVES: u64 = 300;
/// As many lives as are promised, the time in which they are to be played on two cores, and when it is taken as an error: another
/// machine may be slower, and this one busy.
const PROMISED: (u64, f64, f64) = (10_000, 60.0, 180.0);

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {value:?}")),
    )
}

/// What all worlds together came to.
#[derive(Default)]
struct Sum {
    /// Lives of all worlds that are through.
    lives: AtomicU64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    worlds: u64,
    sessions: u64,
    tasks: u64,
    steps: u64,
    writes: u64,
    troubles: BTreeMap<&'static str, u64>,
}

impl Sum {
    fn add(&self, world: &World) {
        let lives = world.lives.sessions + world.lives.tasks;
        self.lives.fetch_add(lives, Ordering::Relaxed);
        let mut counts = self.counts.lock().unwrap();
        counts.worlds += 1;
        counts.sessions += world.lives.sessions;
        counts.tasks += world.lives.tasks;
        counts.steps += world.steps;
        counts.writes += world.server.writes;
        for (name, times) in &world.troubles {
            *counts.troubles.entry(name).or_default() += times;
        }
    }

    fn tell(&self, seconds: f64) {
        let counts = self.counts.lock().unwrap();
        let lives = self.lives.load(Ordering::Relaxed);
        println!(
            "{lives} lives in {seconds:.1} s, {:.0} in a second: {} sessions and {} tasks in {} worlds, {} steps and {} writes, through:",
            lives as f64 / seconds,
            counts.sessions,
            counts.tasks,
            counts.worlds,
            counts.steps,
            counts.writes
        );
        for (name, times) in &counts.troubles {
            println!("{times:>8} x {name}");
        }
    }

    /// Says whether many lives were played as fast as promised.
    fn check_speed(&self, seconds: f64) {
        let (lives, promised, longest) = PROMISED;
        let played = self.lives.load(Ordering::Relaxed);
        if played < lives {
            return;
        }
        let allowed = promised * played as f64 / lives as f64;
        let word = if seconds <= allowed { "within" } else { "NOT within" };
        println!("{played} lives were played {word} {allowed:.0} s ({seconds:.1} s)");
        assert!(seconds <= allowed * longest / promised, "that is far too slow");
    }
}

/// Where the scripts of a run come from: one for every seed from `first` to before `end`.
#[derive(Clone, Copy)]
struct Play {
    first: u64,
    end: u64,
    script: fn(u64) -> Script,
    guards: Guards,
}

impl Play {
    fn all(first: u64) -> Self {
        Self {
            first,
            end: u64::MAX,
            script: Script::of,
            guards: Guards::default(),
        }
    }

    /// Plays until there were enough lives, on as many threads as there are cores. The first seed that breaks a promise.
    fn until(self, lives: u64, sum: &Sum) -> Option<u64> {
        let (next, failed) = (AtomicU64::new(self.first), AtomicU64::new(u64::MAX));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while sum.lives.load(Ordering::Relaxed) < lives && failed.load(Ordering::Relaxed) == u64::MAX {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.end {
                            break;
                        }
                        let world = play(&(self.script)(seed), self.guards, false);
                        sum.add(&world);
                        if world.watchdog.broken.is_some() {
                            failed.fetch_min(seed, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner();
        (failed != u64::MAX).then_some(failed)
    }
}

#[test]
fn sessions_and_tasks_live_through_everything_and_no_promise_is_broken() {
    if let Some(seed) = number("SIMULATION_SEED") {
        if let Some(story) = tell(&Script::of(seed), Guards::default()) {
            panic!("{story}");
        }
        return;
    }
    let lives = number("SIMULATION_LIVES").unwrap_or(LIVES);
    let (sum, begun) = (Sum::default(), Instant::now());
    let failed = Play::all(number("SIMULATION_FIRST").unwrap_or(0)).until(lives, &sum);
    let seconds = begun.elapsed().as_secs_f64();
    sum.tell(seconds);
    if let Some(seed) = failed {
        panic!(
            "{}",
            tell(&Script::of(seed), Guards::default()).unwrap_or_else(|| format!("seed {seed} fails only sometimes"))
        );
    }
    sum.check_speed(seconds);
}

#[test]
fn a_seed_plays_the_same_every_time_and_on_every_thread() {
    for seed in 0..3 {
        let script = Script::of(seed);
        let (first, second) = std::thread::scope(|scope| {
            let one = scope.spawn(|| play(&script, Guards::default(), true));
            let other = scope.spawn(|| play(&script, Guards::default(), true));
            (one.join().unwrap(), other.join().unwrap())
        });
        let traces = [&first, &second].map(|world| world.trace.as_ref().unwrap());
        let difference = traces[0].iter().zip(traces[1]).find(|(one, other)| one != other);
        assert_eq!(difference, None, "seed {seed}");
        let counted = |world: &World| (world.steps, world.numbers, world.server.writes, world.lives);
        assert_eq!(counted(&first), counted(&second), "seed {seed}");
    }
}

/// Takes a guard away, and expects a seed that breaks the promise which the guard keeps.
fn expect_broken(guards: Guards, script: fn(u64) -> Script, rules: &[&str]) {
    const SEEDS: u64 = 300;
    let (play_without, sum) = (
        Play {
            end: SEEDS,
            script,
            guards,
            ..Play::all(0)
        },
        Sum::default(),
    );
    let seed = play_without.until(u64::MAX, &sum);
    let script = script(seed.unwrap_or_else(|| panic!("nothing notices {guards:?}")));
    let broken = play(&script, guards, false).watchdog.broken.unwrap();
    assert!(rules.contains(&broken.rule), "seed {seed:?}: {broken:?}");
    assert_eq!(
        play(&script, Guards::default(), false).watchdog.broken,
        None,
        "with the guard seed {seed:?} is fine"
    );
    println!("{guards:?}: seed {seed:?} of {}", sum.counts.lock().unwrap().worlds);
}

#[test]
fn limits_break_without_the_compare_and_swap_of_slots() {
    let guards = Guards {
        blind_slots: true,
        ..Guards::default()
    };
    // An entry that another claim has written over is a limit that nobody counts any more.
    expect_broken(guards, Script::rush, &["limits hold", "the ledger is honest"]);
}

#[test]
fn two_write_a_workspace_without_the_live_look_at_pods() {
    let guards = Guards {
        hidden_pods: true,
        ..Guards::default()
    };
    expect_broken(guards, Script::of, &["one writer per workspace"]);
}

#[test]
fn messages_run_twice_without_the_id_check_of_the_journal() {
    let guards = Guards {
        forgetful_journal: true,
        ..Guards::default()
    };
    expect_broken(guards, Script::of, &["a message runs once"]);
}

#[test]
fn answers_are_lost_when_runners_do_not_say_which_ones_nobody_fetched() {
    let guards = Guards {
        silent_runners: true,
        ..Guards::default()
    };
    expect_broken(guards, Script::of, &["answers are kept"]);
}

/// The create of a Job was on its way while its task was deleted, and its pod began beside that of the next task.
#[test]
fn two_write_a_workspace_when_jobs_do_not_wait_for_their_release() {
    let guards = Guards {
        eager_jobs: true,
        ..Guards::default()
    };
    expect_broken(guards, Script::takeovers, &["one writer per workspace"]);
}

#[test]
fn a_job_that_comes_late_never_has_a_pod() {
    const WORLDS: u64 = 40;
    let (takeovers, sum) = (
        Play {
            end: WORLDS,
            script: Script::takeovers,
            ..Play::all(0)
        },
        Sum::default(),
    );
    if let Some(seed) = takeovers.until(u64::MAX, &sum) {
        panic!(
            "{}",
            tell(&Script::takeovers(seed), Guards::default()).unwrap_or_default()
        );
    }
}

/// A new Topic does not know who wrote the workspace last.
#[test]
fn nobody_writes_a_workspace_before_the_last_pod_of_an_earlier_topic_is_gone() {
    const WORLDS: u64 = 20;
    let (heirs, sum) = (
        Play {
            end: WORLDS,
            script: Script::heirs,
            ..Play::all(0)
        },
        Sum::default(),
    );
    if let Some(seed) = heirs.until(u64::MAX, &sum) {
        panic!("{}", tell(&Script::heirs(seed), Guards::default()).unwrap_or_default());
    }
}

/// The slot of a task was given back because the cache did not show its Job yet, and another task took it.
#[test]
fn a_slot_is_not_given_back_while_a_job_runs_that_the_cache_does_not_show() {
    let script = Script::of(13);
    assert_eq!(play(&script, Guards::default(), false).watchdog.broken, None);
}
