//! How fast one chat may be talked to, and what goes first. Pure; `now` is the time since some start.
//!
//! One budget covers everything that a chat sees. A group has so many calls in any minute over all its topics; what is
//! urgent may use all of them, progress only a share, so that an answer never waits behind previews. When Telegram asks
//! to wait, nothing at all goes out for that long, and the pace stays slower for a minute after it.

use std::collections::VecDeque;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// Private chats: at most one call a second, by Telegram's own advice.
const PRIVATE_GAP: Duration = Duration::from_secs(1);
/// Between two calls to a group, so that a burst does not look like a flood.
const GROUP_GAP: Duration = Duration::from_millis(50);
/// Between two pieces of progress in a chat.
const PROGRESS_GAP: Duration = Duration::from_secs(2);
/// After Telegram asked to wait.
const CAREFUL_GAP: Duration = Duration::from_secs(3);

/// What goes first. Later variants go before earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The newest state of something unfinished. May be skipped.
    Progress,
    /// The first sign that a message was seen.
    Placeholder,
    /// Something went wrong.
    Notice,
    /// An answer, or a prompt that waits for a person.
    Answer,
}

impl Priority {
    /// From the number that the store keeps.
    pub fn from_number(number: i64) -> Self {
        match number {
            3 => Self::Answer,
            2 => Self::Notice,
            1 => Self::Placeholder,
            _ => Self::Progress,
        }
    }

    /// For the store.
    pub fn number(self) -> i64 {
        self as i64
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this item of the list.
    Act(usize),
    /// Nothing may go out before this time.
    Wait(Duration),
    /// There is nothing to do.
    Idle,
}

/// Pace of one chat.
#[derive(Clone, Debug)]
pub struct Pace {
    per_minute: usize,
    gap: Duration,
    sent: VecDeque<Duration>,
    last: Option<Duration>,
    last_progress: Option<Duration>,
    silent_until: Duration,
    careful_until: Duration,
}

impl Pace {
    /// Pace of a group with this budget over all its topics.
    pub fn group(per_minute: usize) -> Self {
        Self::new(per_minute.max(1), GROUP_GAP)
    }

    /// Pace of a private chat.
    pub fn private() -> Self {
        Self::new(60, PRIVATE_GAP)
    }

    fn new(per_minute: usize, gap: Duration) -> Self {
        Self {
            per_minute,
            gap,
            sent: VecDeque::new(),
            last: None,
            last_progress: None,
            silent_until: Duration::ZERO,
            careful_until: Duration::ZERO,
        }
    }

    /// How many calls of a minute this priority may use up.
    fn share(&self, priority: Priority) -> usize {
        match priority {
            Priority::Answer => self.per_minute,
            Priority::Notice | Priority::Placeholder => self.per_minute - self.per_minute / 10,
            Priority::Progress => self.per_minute / 2,
        }
    }

    /// The most urgent item, the first of equals, if it may go out now.
    pub fn next(&self, now: Duration, items: &[Priority]) -> Next {
        let urgent = items
            .iter()
            .enumerate()
            .max_by_key(|(at, priority)| (**priority, std::cmp::Reverse(*at)));
        let Some((at, priority)) = urgent else {
            return Next::Idle;
        };
        let earliest = self.earliest(now, *priority);
        if earliest <= now {
            Next::Act(at)
        } else {
            Next::Wait(earliest)
        }
    }

    fn earliest(&self, now: Duration, priority: Priority) -> Duration {
        let gap = if now < self.careful_until {
            self.gap.max(CAREFUL_GAP)
        } else {
            self.gap
        };
        let mut earliest = self.silent_until;
        if let Some(last) = self.last {
            earliest = earliest.max(last + gap);
        }
        if let (Priority::Progress, Some(last)) = (priority, self.last_progress) {
            earliest = earliest.max(last + PROGRESS_GAP);
        }
        let share = self.share(priority);
        let window = self.sent.iter().filter(|at| **at + MINUTE > now).collect::<Vec<_>>();
        if window.len() >= share {
            // The call that must leave the window before this priority has room again.
            let leaves = match share {
                0 => window.last().copied(),
                share => window.get(window.len() - share).copied(),
            };
            earliest = earliest.max(leaves.map_or(now, |at| *at + MINUTE));
        }
        earliest
    }

    /// A call went out.
    pub fn sent(&mut self, now: Duration, priority: Priority) {
        while self.sent.front().is_some_and(|at| *at + MINUTE <= now) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        self.last = Some(now);
        if priority == Priority::Progress {
            self.last_progress = Some(now);
        }
    }

    /// Telegram asks to wait.
    pub fn refused(&mut self, now: Duration, wait: Duration) {
        self.silent_until = self.silent_until.max(now + wait);
        self.careful_until = self.silent_until + MINUTE;
    }

    /// Nothing came back; try again after a while.
    pub fn pause(&mut self, now: Duration, wait: Duration) {
        self.silent_until = self.silent_until.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{Answer, Notice, Placeholder, Progress};

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Runs a pace over a list of wishes that never empties and counts what goes out in `length`.
    fn run(pace: &mut Pace, priority: Priority, length: Duration) -> usize {
        let (mut now, mut count) = (Duration::ZERO, 0);
        loop {
            match pace.next(now, &[priority]) {
                Next::Act(_) => {
                    pace.sent(now, priority);
                    count += 1;
                }
                Next::Wait(until) => now = until,
                Next::Idle => unreachable!("there is always a wish"),
            }
            if now >= length {
                return count;
            }
        }
    }

    #[test]
    fn answers_go_first_and_equals_in_order() {
        let pace = Pace::group(20);
        assert_eq!(
            pace.next(seconds(0), &[Progress, Placeholder, Answer, Notice, Answer]),
            Next::Act(2)
        );
        assert_eq!(pace.next(seconds(0), &[Progress, Progress]), Next::Act(0));
        assert_eq!(pace.next(seconds(0), &[]), Next::Idle);
    }

    #[test]
    fn a_group_never_gets_more_than_its_budget_in_any_minute() {
        assert_eq!(run(&mut Pace::group(20), Answer, seconds(60)), 20);
        assert_eq!(run(&mut Pace::group(20), Answer, seconds(179)), 60);
        assert_eq!(run(&mut Pace::private(), Answer, seconds(60)), 60);
        assert_eq!(run(&mut Pace::group(1), Answer, seconds(60)), 1);
    }

    #[test]
    fn progress_leaves_room_for_answers() {
        let mut pace = Pace::group(20);
        assert_eq!(run(&mut pace, Progress, seconds(50)), 10);
        assert_eq!(pace.next(seconds(50), &[Progress, Answer]), Next::Act(1));
    }

    #[test]
    fn a_budget_of_one_still_lets_everything_urgent_through() {
        let pace = Pace::group(1);
        for priority in [Placeholder, Notice, Answer] {
            assert_eq!(pace.next(seconds(0), &[priority]), Next::Act(0), "{priority:?}");
        }
    }

    #[test]
    fn a_refusal_silences_everything_and_slows_the_next_minute() {
        let mut pace = Pace::group(20);
        pace.refused(seconds(10), seconds(30));
        assert_eq!(pace.next(seconds(11), &[Answer]), Next::Wait(seconds(40)));
        assert_eq!(pace.next(seconds(40), &[Answer]), Next::Act(0));
        pace.sent(seconds(40), Answer);
        assert_eq!(pace.next(seconds(41), &[Answer]), Next::Wait(seconds(43)));
        pace.sent(seconds(101), Answer);
        assert_eq!(pace.next(seconds(102), &[Answer]), Next::Act(0));
    }
}
