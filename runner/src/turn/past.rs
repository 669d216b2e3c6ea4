//! What the journal says about earlier lives of this session or task.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::{Priority, Settings, Summary, TaskResult};
use longshore_wire::event::{Event, MemoryLevel, Record, ToolState};

use super::approvals::Approvals;
use super::desk::Desk;
use super::running::{Tool, Turn};
use super::{Continuation, Limits, Machine, Message, Place, Unfinished, finish, money};
use crate::journal::{Entry, Mark};

/// Sum of all entries of a journal.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Sequence of the `accepted` event of every message that ever was.
    pub accepted: BTreeMap<MessageId, u64>,
    /// Newest acknowledged sequence.
    pub acked: u64,
    /// How often claude was started again.
    pub restarts: u32,
    /// How often claude was restarted to free memory.
    pub recycled: u32,
    /// Processes that the kernel killed for memory.
    pub oom_kills: u64,
    /// The last summary.
    pub summary: Option<Summary>,
    /// Turns have begun since the last summary.
    pub news: bool,
    /// Result of the task.
    pub result: Option<TaskResult>,
    /// The last life ended on purpose and nothing has happened since.
    pub closed: bool,
    /// When a person or claude last did something.
    pub last_activity: Option<Timestamp>,
    /// Deadline of the newest warning of idleness.
    pub warned: Option<Timestamp>,
    begun: bool,
    unfinished: Vec<Unfinished>,
    continuations: Vec<Continuation>,
    turns: BTreeMap<u64, Turn>,
    last_turn: u64,
    approvals: Approvals,
    stop_asked: BTreeSet<MessageId>,
    untold_stop: bool,
    usage: money::Total,
    settings: Settings,
    /// What the task's `when` printed when it found that claude is needed.
    pub needed: Option<String>,
    desk: Desk,
}

/// Whether an event is a sign that a person or claude works here. What the runner and the operator do about the agent is
/// none: a session whose claude died while it was idle stays idle.
pub fn is_activity(event: &Event) -> bool {
    match event {
        Event::Accepted { .. }
        | Event::TurnStarted { .. }
        | Event::Text { .. }
        | Event::Tool { .. }
        | Event::Approval { .. }
        | Event::ApprovalClosed { .. }
        | Event::ApprovalLost { .. }
        | Event::Escalation { .. }
        | Event::File { .. }
        | Event::TurnFinished { .. } => true,
        Event::Memory { .. }
        | Event::Disk { .. }
        | Event::Repository { .. }
        | Event::IdleWarning { .. }
        | Event::Restarted { .. }
        | Event::Summary { .. }
        | Event::EarlierSummary { .. } => false,
    }
}

impl Past {
    /// Reads the entries in their order.
    pub fn read(entries: &[Entry]) -> Self {
        let mut past = Self::default();
        for entry in entries {
            match entry {
                Entry::Record(record) => past.record(record),
                Entry::Mark(mark) => past.mark(mark),
            }
        }
        past
    }

    /// Nothing was ever journalled.
    pub fn is_empty(&self) -> bool {
        !self.begun
    }

    /// claude has had a conversation.
    pub fn had_turns(&self) -> bool {
        self.usage != money::Total::default()
    }

    fn record(&mut self, record: &Record) {
        if is_activity(&record.event) {
            self.last_activity = Some(record.at);
            self.closed = false;
        }
        self.begun = true;
        match &record.event {
            Event::Accepted {
                id,
                author,
                text,
                attachments,
                context,
            } => {
                self.accepted.insert(*id, record.seq);
                self.unfinished.push(Unfinished {
                    message: Message {
                        id: *id,
                        text: text.clone(),
                        author: author.clone(),
                        attachments: attachments.clone(),
                        context: context.clone(),
                        priority: Priority::Next,
                    },
                    // Whether it reached claude is for the transcript to say.
                    place: Place::Sent,
                    attempts: 0,
                    met: None,
                });
            }
            Event::TurnStarted { turn, message_ids } => {
                self.last_turn = self.last_turn.max(*turn);
                self.news = true;
                let mut started = Turn::new(*turn);
                started.announced = true;
                started.messages.clone_from(message_ids);
                self.untold_stop &= message_ids.is_empty();
                self.turns.insert(*turn, started);
            }
            Event::Text { turn, text, .. } => {
                if let Some(turn) = self.turns.get_mut(turn) {
                    turn.texts.push(text.clone());
                }
            }
            Event::Tool {
                turn,
                id,
                name,
                summary,
                state,
            } => {
                if let Some(turn) = self.turns.get_mut(turn) {
                    match state {
                        ToolState::Started => {
                            let (name, summary, since) = (name.clone(), summary.clone(), record.at);
                            turn.tools.insert(id.clone(), Tool { name, summary, since })
                        }
                        ToolState::Finished | ToolState::Failed => turn.tools.remove(id),
                    };
                }
                if *state != ToolState::Started {
                    self.approvals.ended(id);
                }
            }
            Event::Approval { turn, approval } => self.approvals.restore(*turn, approval.clone()),
            Event::ApprovalClosed { id, outcome, .. } => self.approvals.forget(id, *outcome),
            // Its end follows.
            Event::ApprovalLost { .. } => {}
            Event::TurnFinished {
                turn,
                message_ids,
                usage,
                terminal_reason,
                ..
            } => {
                self.last_turn = self.last_turn.max(*turn);
                self.untold_stop |= finish::is_stop(terminal_reason, message_ids, &self.stop_asked);
                self.turns.remove(turn);
                self.approvals.turn_over(*turn);
                self.unfinished.retain(|open| !message_ids.contains(&open.message.id));
                self.usage.add(usage);
                self.news |= usage.turns > 0;
            }
            Event::Restarted { .. } => {
                self.restarts += 1;
                self.count_attempt();
            }
            Event::Summary { summary } => {
                self.summary = Some(summary.clone());
                self.news = false;
            }
            Event::Escalation { .. } => self.desk.asked = true,
            Event::File { turn, .. } => self.desk.note_sent(*turn),
            Event::IdleWarning { deadline, .. } => self.warned = Some(*deadline),
            Event::Disk { .. } | Event::Repository { .. } | Event::EarlierSummary { .. } => {}
            Event::Memory { level, memory, .. } => {
                self.oom_kills = self.oom_kills.max(memory.oom_kills);
                self.recycled += u32::from(*level == MemoryLevel::Recycled);
            }
        }
    }

    /// As the restart rule counts, as far as the journal knows what claude had begun.
    fn count_attempt(&mut self) {
        let turns = &self.turns;
        let begun = |id: &MessageId| turns.values().any(|turn| turn.messages.contains(id));
        let any = self.unfinished.iter().any(|open| begun(&open.message.id));
        for (index, open) in self.unfinished.iter_mut().enumerate() {
            open.attempts += u32::from(begun(&open.message.id) || (!any && index == 0));
        }
    }

    fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Acked { seq } => self.acked = self.acked.max(*seq),
            Mark::Continued { uuid, message_ids } => self.continuations.push(Continuation {
                uuid: *uuid,
                ids: message_ids.clone(),
            }),
            Mark::StopAsked { message_ids } => self.stop_asked.extend(message_ids),
            Mark::Settings { model, permission_mode } => {
                self.settings = Settings {
                    model: model.clone(),
                    permission_mode: permission_mode.clone(),
                };
            }
            Mark::Needed { printed } => self.needed = Some(printed.clone()),
            Mark::FileTaken { .. } => {}
            Mark::Result { result } => self.result = Some(result.clone()),
            Mark::Closed { .. } => self.closed = true,
        }
    }

    pub(super) fn into_machine(mut self, limits: Limits, now: Timestamp) -> Machine {
        // Of the tools of subagents the journal does not know whether they ran.
        let turns = &self.turns;
        self.approvals
            .keep_running(|tool_use| turns.values().any(|turn| turn.tools.contains_key(tool_use)));
        let mut turns: Vec<Turn> = self.turns.into_values().collect();
        let suspended = turns.iter().rposition(|turn| !turn.messages.is_empty());
        let suspended = suspended.map(|index| turns.remove(index));
        let mut machine = Machine {
            limits,
            at: now,
            unfinished: self.unfinished,
            continuations: self.continuations,
            to_continue: Default::default(),
            turn: None,
            suspended,
            orphaned: turns,
            last_turn: self.last_turn,
            approvals: self.approvals,
            background: BTreeSet::new(),
            settling: None,
            pending: BTreeMap::new(),
            requests: 0,
            ready: false,
            winding: None,
            stopping: None,
            watch: Default::default(),
            stop_asked: self.stop_asked,
            untold_stop: self.untold_stop,
            preface: Vec::new(),
            usage: self.usage,
            not_logged_in: false,
            settings: self.settings,
            found: Default::default(),
            desk: self.desk,
        };
        machine.settle(&[]);
        machine.watch.sign(now);
        machine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(events: Vec<Option<Event>>) -> Past {
        let entries = events.into_iter().zip(1_u8..).map(|(event, seq)| {
            let at = Timestamp::from_second(seq.into()).unwrap();
            match event {
                Some(event) => Entry::Record(Record {
                    seq: seq.into(),
                    at,
                    event,
                }),
                None => Entry::Mark(Mark::Closed { at }),
            }
        });
        Past::read(&entries.collect::<Vec<_>>())
    }

    fn started() -> Option<Event> {
        Some(Event::TurnStarted {
            turn: 1,
            message_ids: Vec::new(),
        })
    }

    #[test]
    fn what_is_noted_about_a_session_that_was_closed_is_no_life_of_it() {
        let summary = Summary {
            path: String::new(),
            time: Timestamp::UNIX_EPOCH,
            text: String::new(),
        };
        let past = read(vec![started(), None, Some(Event::Summary { summary })]);
        assert!(past.closed && !past.news);
        assert_eq!(past.last_activity, Timestamp::from_second(1).ok());
        assert!(!read(vec![None, started()]).closed);
    }

    #[test]
    fn kills_and_restarts_for_memory_are_counted_over_all_lives() {
        let memory = |level, oom_kills| {
            Some(Event::Memory {
                level,
                message: String::new(),
                memory: longshore_wire::api::Memory {
                    oom_kills,
                    ..Default::default()
                },
            })
        };
        let past = read(vec![
            memory(MemoryLevel::OutOfMemory, 2),
            memory(MemoryLevel::Recycled, 2),
            memory(MemoryLevel::OutOfMemory, 5),
            memory(MemoryLevel::Recycled, 5),
        ]);
        assert_eq!((past.oom_kills, past.recycled), (5, 2));
        assert_eq!(past.last_activity, None);
        assert!(!past.is_empty());
    }
}
