//! Playing a script, and telling one that fails: as few inputs as still break the same promise, and what happened.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::invariants::Broken;
use super::script::Script;
use super::server::Guards;
use super::world::World;

/// Longest story.
const LINES: usize = 40;
/// Longest time that is spent on making a script shorter.
const SHORTENING: Duration = Duration::from_secs(60);

thread_local! {
    // Its clock stands still: a machine that is slow must not make a call of the operator's time out.
    static RUNTIME: RefCell<tokio::runtime::Runtime> =
        RefCell::new(tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap());
}

pub fn play(script: &Script, guards: Guards, tracing: bool) -> World {
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            let mut world = World::new(script, guards, tracing);
            world.run().await;
            world
        })
    })
}

/// The story of a script that breaks a promise; none if it breaks none.
pub fn tell(script: &Script, guards: Guards) -> Option<String> {
    let broken = play(script, guards, false).watchdog.broken?;
    let shorter = shorten(script, guards, &broken);
    let world = play(&shorter, guards, true);
    let broken = world.watchdog.broken?;
    let mut story = format!(
        "seed {}: {}: {}\n{} of {} inputs are needed; {} topics, limits {:?}\n",
        script.seed,
        broken.rule,
        broken.what,
        shorter.inputs.len(),
        script.inputs.len(),
        shorter.topics,
        shorter.limit
    );
    let trace = world.trace.unwrap_or_default();
    let matters = |line: &str| line.starts_with('*') || broken.topic.is_empty() || line.contains(&broken.topic[1..]);
    let lines: Vec<&(i64, String)> = trace.iter().filter(|(_, line)| matters(line)).collect();
    let left_out = lines.len().saturating_sub(LINES - 3);
    if left_out > 0 {
        let _ = writeln!(story, "  ({left_out} lines before)");
    }
    for (at, line) in &lines[left_out..] {
        let _ = writeln!(story, "{:>9.3} {line}", *at as f64 / 1000.0);
    }
    Some(story)
}

/// Leaves out halves, quarters and so on, as long as the same promise is broken.
fn shorten(script: &Script, guards: Guards, broken: &Broken) -> Script {
    let mut best = script.clone();
    let begun = Instant::now();
    let mut size = best.inputs.len().div_ceil(2);
    while size > 0 && begun.elapsed() < SHORTENING {
        let (mut place, mut shrunk) = (0, false);
        while place < best.inputs.len() && begun.elapsed() < SHORTENING {
            let end = (place + size).min(best.inputs.len());
            let shorter = best.without(place..end);
            let same = play(&shorter, guards, false)
                .watchdog
                .broken
                .is_some_and(|now| now.rule == broken.rule);
            if same {
                (best, shrunk) = (shorter, true);
            } else {
                place = end;
            }
        }
        if !shrunk || size > 1 {
            size /= 2;
        }
    }
    best
}
