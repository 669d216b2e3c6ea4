//! When memory is short, and what people are told about it. Pure.

use jiff::{SignedDuration, Timestamp};
use longshore_wire::api::Memory;
use longshore_wire::event::MemoryLevel;

/// Percentage points below the warning threshold at which the warning is over: no back and forth at the threshold.
const RELIEF: u64 = 10;
/// claude is not restarted for memory more often than this.
const RECYCLE_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// What memory does over time.
#[derive(Clone, Copy, Debug)]
pub struct Pressure {
    warn_percent: u64,
    recycle_percent: u64,
    warned: bool,
    recycled_at: Option<Timestamp>,
}

impl Pressure {
    /// With the thresholds of the class.
    pub fn new(warn_percent: u8, recycle_percent: u8) -> Self {
        Self {
            warn_percent: warn_percent.into(),
            recycle_percent: recycle_percent.into(),
            warned: false,
            recycled_at: None,
        }
    }

    /// What has become of it since the last look. Without a limit there is no pressure.
    pub fn look(&mut self, memory: &Memory) -> Option<MemoryLevel> {
        let percent = percent(memory)?;
        if !self.warned && percent >= self.warn_percent {
            self.warned = true;
            return Some(MemoryLevel::Warning);
        }
        if self.warned && percent < self.warn_percent.saturating_sub(RELIEF) {
            self.warned = false;
            return Some(MemoryLevel::Normal);
        }
        None
    }

    /// claude should be restarted as soon as it is idle.
    pub fn wants_recycling(&self, memory: &Memory, now: Timestamp) -> bool {
        let rested = self
            .recycled_at
            .is_none_or(|at| now.duration_since(at) >= RECYCLE_PAUSE);
        rested && percent(memory).is_some_and(|percent| percent >= self.recycle_percent)
    }

    /// It was.
    pub fn recycled(&mut self, now: Timestamp) {
        self.recycled_at = Some(now);
    }
}

fn percent(memory: &Memory) -> Option<u64> {
    let limit = memory.limit_bytes.filter(|limit| *limit > 0)?;
    Some(memory.current_bytes.saturating_mul(100) / limit)
}

/// Who holds the memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    pub claude: u64,
    pub tools: u64,
}

/// What is told of a change of level.
pub fn sentence(level: MemoryLevel, memory: &Memory, holders: Holders) -> String {
    let share = share(memory);
    match level {
        MemoryLevel::Normal => format!("The agent's memory use is back to normal: {share}."),
        MemoryLevel::Warning => format!(
            "The agent uses {share}: claude holds {}, its tools {}.",
            bytes(holders.claude),
            bytes(holders.tools)
        ),
        MemoryLevel::Recycled => {
            format!("claude was restarted with its conversation to free memory: the agent used {share}.")
        }
        MemoryLevel::OutOfMemory => out_of_memory(memory, false, &[]),
    }
}

/// What is told of a kill. `running` are tools and other work at that moment.
pub fn out_of_memory(memory: &Memory, claude_died: bool, running: &[String]) -> String {
    let who = if claude_died {
        "claude was killed"
    } else {
        "A process of the agent was killed"
    };
    let limit = memory.limit_bytes.map(|limit| format!(" of {}", bytes(limit)));
    let mut text = format!(
        "{who} because the agent reached its memory limit{}.",
        limit.unwrap_or_default()
    );
    if !running.is_empty() {
        text.insert_str(text.len() - 1, &format!(", while this ran: {}", running.join("; ")));
    }
    text
}

fn share(memory: &Memory) -> String {
    match (percent(memory), memory.limit_bytes) {
        (Some(percent), Some(limit)) => format!("{percent} % of its {} of memory", bytes(limit)),
        _ => format!("{} of memory", bytes(memory.current_bytes)),
    }
}

/// A size for people.
pub fn bytes(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    if bytes >= GIB {
        let tenths = (bytes * 10 + GIB / 2) / GIB;
        format!("{}.{} GiB", tenths / 10, tenths % 10)
    } else {
        format!("{} MiB", (bytes + MIB / 2) / MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(percent: u64) -> Memory {
        Memory {
            current_bytes: percent << 24,
            limit_bytes: Some(100 << 24),
            ..Memory::default()
        }
    }

    #[test]
    fn a_warning_is_given_once_and_is_over_only_well_below_its_threshold() {
        let mut pressure = Pressure::new(80, 90);
        let looks = [10, 79, 80, 95, 81, 79, 70, 69, 50, 80].map(|percent| pressure.look(&memory(percent)));
        let (warning, normal) = (Some(MemoryLevel::Warning), Some(MemoryLevel::Normal));
        assert_eq!(
            looks,
            [None, None, warning, None, None, None, None, normal, None, warning]
        );
    }

    #[test]
    fn claude_is_restarted_for_memory_at_most_once_in_ten_minutes() {
        let mut pressure = Pressure::new(80, 90);
        let at = |minutes: i64| Timestamp::from_second(minutes * 60).unwrap();
        assert!(!pressure.wants_recycling(&memory(89), at(0)));
        assert!(pressure.wants_recycling(&memory(90), at(0)));
        pressure.recycled(at(0));
        assert!(!pressure.wants_recycling(&memory(99), at(9)));
        assert!(pressure.wants_recycling(&memory(99), at(10)));
    }

    #[test]
    fn without_a_limit_there_is_no_pressure() {
        let free = Memory {
            current_bytes: u64::MAX,
            ..Memory::default()
        };
        let mut pressure = Pressure::new(1, 1);
        assert_eq!(pressure.look(&free), None);
        assert!(!pressure.wants_recycling(&free, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn what_people_read() {
        let holders = Holders {
            claude: 900 << 20,
            tools: 1536 << 20,
        };
        let say = |level| sentence(level, &memory(85), holders);
        insta::assert_snapshot!(say(MemoryLevel::Warning), @"The agent uses 85 % of its 1.6 GiB of memory: claude holds 900 MiB, its tools 1.5 GiB.");
        insta::assert_snapshot!(say(MemoryLevel::Normal), @"The agent's memory use is back to normal: 85 % of its 1.6 GiB of memory.");
        insta::assert_snapshot!(say(MemoryLevel::Recycled), @"claude was restarted with its conversation to free memory: the agent used 85 % of its 1.6 GiB of memory.");
        let running = ["Bash (make)".to_owned(), "work in the background".to_owned()];
        insta::assert_snapshot!(out_of_memory(&memory(99), false, &running), @"A process of the agent was killed because the agent reached its memory limit of 1.6 GiB, while this ran: Bash (make); work in the background.");
        insta::assert_snapshot!(out_of_memory(&Memory::default(), true, &[]), @"claude was killed because the agent reached its memory limit.");
    }
}
