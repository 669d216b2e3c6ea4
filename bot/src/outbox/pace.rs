//! How fast one chat may be talked to. Pure; `now` is the time since some start, which only grows.
//!
//! One budget covers everything that a chat sees: messages, edits, files, reactions, drafts, the sign that the bot is typing. A group
//! has so many calls in any minute over all its topics; what is urgent may use all of them, progress only a share, so that an answer
//! never waits behind previews. When Telegram asks to wait, nothing at all goes out for that long, and the gap between calls stays
//! wide for half a minute after it and shrinks in the next half. Which of several equals goes first is the matter of
//! [`super::schedule`].

use std::collections::VecDeque;
use std::time::Duration;

/// The span that the budget is for.
pub const MINUTE: Duration = Duration::from_secs(60);
/// Telegram's minute begins when it takes a call and ours when its answer is here. What clocks lose by rounding is made up for.
const WINDOW: Duration = Duration::from_millis(60_250);
/// Private chats: at most one call a second, by Telegram's own advice.
const PRIVATE_GAP: Duration = Duration::from_secs(1);
/// Answers to a private chat may come in a short burst, as a placeholder and its text do.
const BURST: (usize, Duration) = (4, Duration::from_secs(4));
/// Between two calls to a group, so that a burst does not look like a flood.
const GROUP_GAP: Duration = Duration::from_millis(50);
/// Between two pieces of progress in a chat. Once half of their share is used up, the rest is spread over the minute.
const PROGRESS_GAP: Duration = Duration::from_secs(2);
/// After Telegram asked to wait.
const CAREFUL_GAP: Duration = Duration::from_secs(3);

/// What goes first. Later variants go before earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// What is shown only if nothing else needs the call: that the bot is typing, a clock that goes on. Is not stored.
    Spare = -1,
    /// The newest state of something unfinished. May be skipped.
    Progress = 0,
    /// A sign that a message was seen.
    Placeholder = 1,
    /// Something went wrong.
    Notice = 2,
    /// An answer, or a prompt that waits for a person.
    Answer = 3,
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
    /// Do it now.
    Act,
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
    /// Calls that began and go on beside others; each counts as if it were over now.
    beside: usize,
    last: Option<Duration>,
    last_progress: Option<Duration>,
    last_spare: Option<Duration>,
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
            beside: 0,
            last: None,
            last_progress: None,
            last_spare: None,
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
            Priority::Spare => self.per_minute / 4,
        }
    }

    /// Whether the most urgent that there is may go out now. What is less urgent may not go out earlier.
    pub fn next(&self, now: Duration, urgent: Option<Priority>) -> Next {
        let Some(priority) = urgent else {
            return Next::Idle;
        };
        let earliest = self.earliest(now, priority);
        if earliest <= now {
            Next::Act
        } else {
            Next::Wait(earliest)
        }
    }

    fn earliest(&self, now: Duration, priority: Priority) -> Duration {
        let mut earliest = self.silent_until;
        if let Some(last) = self.last {
            earliest = earliest.max(last + self.gap(now, priority));
        }
        let share = self.share(priority);
        let window = self.sent.iter().filter(|at| **at + WINDOW > now).collect::<Vec<_>>();
        let used = window.len() + self.beside;
        let before = match priority {
            Priority::Spare => self.last_progress.max(self.last_spare),
            Priority::Progress => self.last_progress,
            _ => None,
        };
        if let Some(last) = before {
            let spread = used * 2 >= share && share > 0;
            let even = if spread { MINUTE / share as u32 } else { Duration::ZERO };
            earliest = earliest.max(last + PROGRESS_GAP.max(even));
        }
        if let Some(over) = used.checked_sub(share) {
            // The call that must leave the window before this priority has room again; that of one that goes on is not known.
            let leaves = window.get(over).map(|at| **at + WINDOW);
            earliest = earliest.max(leaves.unwrap_or(now + WINDOW));
        }
        earliest
    }

    /// Shortest time between the last call and the next.
    fn gap(&self, now: Duration, priority: Priority) -> Duration {
        let recent = self.sent.iter().rev().take_while(|at| **at + BURST.1 > now).count();
        let usual = if priority == Priority::Answer && recent < BURST.0 {
            self.gap.min(GROUP_GAP)
        } else {
            self.gap
        };
        let careful = self.careful_until.saturating_sub(now);
        usual.max((CAREFUL_GAP * 2).mul_f64(careful.min(MINUTE / 2).as_secs_f64() / MINUTE.as_secs_f64()))
    }

    /// Takes over what an earlier run did: calls of these ages, and how long ago Telegram asked to wait how long. Ages are by the clock
    /// on the wall; one that was turned back makes none of them older than they are.
    pub fn restore(&mut self, now: Duration, ages: &[Duration], refused: Option<(Duration, Duration)>) {
        self.sent = ages
            .iter()
            .filter(|age| **age < WINDOW)
            .map(|age| now.saturating_sub(*age))
            .collect();
        self.sent.make_contiguous().sort();
        self.last = self.sent.back().copied();
        if let Some((ago, wait)) = refused {
            self.silent_until = now + wait.saturating_sub(ago);
            self.careful_until = now + (wait + MINUTE).saturating_sub(ago);
        }
    }

    /// A call begins that may take long, beside which others are made.
    pub fn begins(&mut self) {
        self.beside += 1;
    }

    /// Such a call is over.
    pub fn ended(&mut self, now: Duration, priority: Priority) {
        self.beside = self.beside.saturating_sub(1);
        self.sent(now, priority);
    }

    /// A call is over, with or without an answer: it counts from now on.
    pub fn sent(&mut self, now: Duration, priority: Priority) {
        while self.sent.front().is_some_and(|at| *at + WINDOW <= now) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        self.last = Some(now);
        match priority {
            Priority::Spare => self.last_spare = Some(now),
            Priority::Progress => self.last_progress = Some(now),
            _ => {}
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
    use Priority::{Answer, Notice, Placeholder, Progress, Spare};

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Runs a pace over a list of wishes that never empties and counts what goes out in `length`.
    fn run(pace: &mut Pace, priority: Priority, length: Duration) -> usize {
        let (mut now, mut count) = (Duration::ZERO, 0);
        loop {
            match pace.next(now, Some(priority)) {
                Next::Act => {
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

    fn may(pace: &Pace, now: u64, priority: Priority) -> Next {
        pace.next(seconds(now), Some(priority))
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
        assert!(matches!(may(&pace, 50, Progress), Next::Wait(_)));
        assert_eq!(may(&pace, 50, Answer), Next::Act);
        assert_eq!(pace.next(seconds(50), None), Next::Idle);
    }

    #[test]
    fn progress_is_quick_at_first_and_spread_over_the_minute_then() {
        let mut pace = Pace::group(20);
        run(&mut pace, Progress, seconds(59));
        let sent = pace.sent.iter().map(Duration::as_secs).collect::<Vec<_>>();
        assert_eq!(sent, [0, 2, 4, 6, 8, 14, 20, 26, 32, 38]);
    }

    #[test]
    fn what_is_spare_takes_a_quarter_at_most() {
        let mut pace = Pace::group(20);
        assert_eq!(run(&mut pace, Spare, seconds(60)), 5);
        assert_eq!(may(&Pace::group(1), 0, Spare), Next::Wait(WINDOW));
    }

    #[test]
    fn progress_does_not_wait_behind_what_is_spare() {
        let mut pace = Pace::group(20);
        pace.sent(seconds(0), Spare);
        assert_eq!(may(&pace, 0, Progress), Next::Wait(GROUP_GAP));
        assert_eq!(may(&pace, 0, Spare), Next::Wait(PROGRESS_GAP));
        pace.sent(seconds(1), Progress);
        assert_eq!(may(&pace, 1, Spare), Next::Wait(seconds(3)));
    }

    #[test]
    fn a_budget_of_one_still_lets_everything_urgent_through() {
        let pace = Pace::group(1);
        for priority in [Placeholder, Notice, Answer] {
            assert_eq!(may(&pace, 0, priority), Next::Act, "{priority:?}");
        }
    }

    #[test]
    fn a_placeholder_and_its_text_follow_each_other_at_once_in_a_private_chat_too() {
        let mut pace = Pace::private();
        let at = |ms| Duration::from_millis(ms);
        for ms in [0, 50, 100, 150] {
            assert_eq!(pace.next(at(ms), Some(Answer)), Next::Act, "{ms}");
            pace.sent(at(ms), Answer);
        }
        assert_eq!(pace.next(at(200), Some(Answer)), Next::Wait(at(1_150)));
        assert_eq!(Pace::private().next(at(0), Some(Placeholder)), Next::Act);
        assert_eq!(pace.next(at(200), Some(Placeholder)), Next::Wait(at(1_150)));
    }

    #[test]
    fn a_refusal_silences_everything_and_slows_the_next_minute() {
        let mut pace = Pace::group(20);
        pace.refused(seconds(10), seconds(30));
        assert_eq!(may(&pace, 11, Answer), Next::Wait(seconds(40)));
        assert_eq!(may(&pace, 40, Answer), Next::Act);
        pace.sent(seconds(40), Answer);
        assert_eq!(may(&pace, 41, Answer), Next::Wait(seconds(43)));
        pace.sent(seconds(90), Answer);
        assert_eq!(may(&pace, 90, Answer), Next::Wait(seconds(91)), "the gap shrinks");
        pace.sent(seconds(101), Answer);
        assert_eq!(may(&pace, 102, Answer), Next::Act);
    }

    #[test]
    fn a_restart_forgets_neither_calls_nor_a_refusal() {
        let mut pace = Pace::group(2);
        pace.restore(seconds(100), &[seconds(70), seconds(10), seconds(40)], None);
        assert_eq!(may(&pace, 100, Answer), Next::Wait(seconds(60) + WINDOW));
        let mut pace = Pace::group(2);
        pace.restore(seconds(100), &[], Some((seconds(10), seconds(30))));
        assert_eq!(may(&pace, 100, Answer), Next::Wait(seconds(120)));
        pace.restore(seconds(100), &[], Some((seconds(500), seconds(30))));
        assert_eq!(may(&pace, 100, Answer), Next::Act);
    }

    proptest::proptest! {
        /// Whatever is wanted when, however long calls take, whenever the bot is started again and whatever the clock on the wall says
        /// then: Telegram, which counts when it takes a call, never sees more than the budget in a minute.
        #[test]
        fn the_budget_holds_in_any_minute(
            budget in 1_usize..30,
            steps in proptest::collection::vec((0_u64..4_000, 0_u64..3_000, 0_usize..5, 0_u8..40), 1..400),
        ) {
            let ms = Duration::from_millis;
            let (mut pace, mut now) = (Pace::group(budget), ms(120_000));
            let (mut taken, mut recorded) = (Vec::new(), Vec::new());
            for (idle, takes, what, event) in steps {
                now += ms(idle);
                match event {
                    // A restart: ages come from the store, in milliseconds, and a clock that was turned back makes them younger.
                    0 | 1 => {
                        let back = if event == 1 { ms(30_000) } else { ms(0) };
                        let ages = recorded.iter().map(|at| now.saturating_sub(*at).saturating_sub(back)).collect::<Vec<_>>();
                        pace = Pace::group(budget);
                        pace.restore(now, &ages, None);
                    }
                    2 => pace.refused(now, ms(takes)),
                    _ => {}
                }
                let priority = [Spare, Progress, Placeholder, Notice, Answer][what];
                if pace.next(now, Some(priority)) == Next::Act {
                    // Telegram takes it at any time before its answer is here.
                    taken.push(now + ms(takes / 2));
                    now += ms(takes);
                    pace.sent(now, priority);
                    recorded.push(now);
                }
            }
            for (at, first) in taken.iter().enumerate() {
                let within = taken[at..].iter().filter(|call| **call < *first + MINUTE).count();
                proptest::prop_assert!(within <= budget, "{within} of {budget} from {first:?} on");
            }
        }

        /// The more urgent something is, the sooner it may go out.
        #[test]
        fn nothing_urgent_waits_longer_than_what_is_not(
            budget in 1_usize..30,
            calls in proptest::collection::vec((0_u64..9_000, 0_usize..5), 0..60),
            wait in 0_u64..30_000,
        ) {
            let all = [Spare, Progress, Placeholder, Notice, Answer];
            let (mut pace, mut now) = (Pace::group(budget), Duration::from_secs(120));
            for (idle, what) in calls {
                now += Duration::from_millis(idle);
                pace.sent(now, all[what]);
            }
            pace.refused(now, Duration::from_millis(wait));
            let times = all.map(|priority| pace.earliest(now, priority));
            proptest::prop_assert!(times.is_sorted_by(|low, high| low >= high), "{times:?}");
        }
    }
}
