//! The limit over all chats: Telegram takes about 30 calls a second from one bot. Chats wait for it in the order in which they come, so
//! each has its share.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::scale::Scale;

/// Calls a second, over all chats.
const CALLS: usize = 30;
/// A second, and what clocks lose by rounding.
const WINDOW: Duration = Duration::from_millis(1_050);

/// The limit over all chats.
pub struct Overall {
    scale: Scale,
    /// Held while waiting for room; tokio's lock lets in who came first.
    queue: tokio::sync::Mutex<()>,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    running: usize,
    /// When calls of the last second were over.
    over: VecDeque<Instant>,
}

impl Window {
    /// When there is room for another call; none when a running one must end first.
    fn room(&mut self, now: Instant, span: Duration) -> Option<Instant> {
        while self.over.front().is_some_and(|at| *at + span <= now) {
            self.over.pop_front();
        }
        if self.running + self.over.len() < CALLS {
            return Some(now);
        }
        let at = (self.running + self.over.len()).checked_sub(CALLS)?;
        self.over.get(at).map(|at| *at + span)
    }
}

/// The right to make one call; it counts from its end on.
pub struct Permit<'a>(&'a Overall);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut window = self.0.window();
        window.running -= 1;
        window.over.push_back(Instant::now());
    }
}

impl Overall {
    /// After so many calls of an earlier run within the last second.
    pub fn new(scale: Scale, recent: usize) -> Self {
        let over = std::iter::repeat_n(Instant::now(), recent.min(CALLS)).collect();
        Self {
            scale,
            queue: tokio::sync::Mutex::default(),
            window: Mutex::new(Window { running: 0, over }),
        }
    }

    /// Waits for room.
    pub async fn permit(&self) -> Permit<'_> {
        let _first = self.queue.lock().await;
        loop {
            let now = Instant::now();
            let room = self.room(now);
            if room <= now {
                self.window().running += 1;
                return Permit(self);
            }
            tokio::time::sleep_until(room).await;
        }
    }

    /// Whether there is room at once and nobody waits for it.
    pub fn has_room(&self) -> bool {
        let now = Instant::now();
        self.queue.try_lock().is_ok() && self.room(now) <= now
    }

    /// When there is room.
    fn room(&self, now: Instant) -> Instant {
        let span = self.scale.real(WINDOW);
        // One that runs is over soon, or its time is up; looking again costs little.
        self.window().room(now, span).unwrap_or(now + span / 10)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn thirty_calls_a_second_go_out_and_running_ones_count() {
        let scale = Scale::new(4.0);
        let overall = Overall::new(scale, 2);
        let start = Instant::now();
        for _ in 0..27 {
            drop(overall.permit().await);
        }
        assert!(overall.has_room());
        let running = overall.permit().await;
        assert!(!overall.has_room());
        drop(overall.permit().await);
        assert!(
            start.elapsed() >= scale.real(WINDOW),
            "the two of the earlier run count"
        );
        for _ in 0..28 {
            drop(overall.permit().await);
        }
        let full = Instant::now();
        drop(running);
        drop(overall.permit().await);
        assert!(full.elapsed() < scale.real(WINDOW) * 2);
        assert!(
            start.elapsed() >= scale.real(WINDOW) * 2,
            "one that ran for long counts from its end on"
        );
    }
}
