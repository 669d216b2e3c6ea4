//! From a runner's events to what the chat shall show.
//!
//! A pure state machine per session: [`Conversation::take`] folds one durable event and returns what it changes for good;
//! [`Conversation::progress`] is how the running turn looks right now. Folding the stored events of the unfinished turn
//! rebuilds it after a restart, so it keeps nothing that is not in the journal. Knows no posts, ids of posts or budgets.

pub mod activity;
pub mod farewell;
pub mod life;
pub mod menu;
pub mod offer;
pub mod outcome;
pub mod prompt;
pub mod standing;
pub mod wish;

use std::collections::BTreeMap;

use jiff::Timestamp;
use longshore_wire::api::{Approval, SentFile};
use longshore_wire::event::{ApprovalOutcome, DiskLevel, Event, MemoryLevel, Preview, Record};
use longshore_wire::{MessageId, author};

use activity::Activity;

use crate::render::{self, Rich};
use crate::store::posts::Content;

/// What an event changes for good.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A turn is over: these are the final words about its messages.
    Answer {
        /// Number of the turn.
        turn: u64,
        /// Messages it answered; none when claude began by itself.
        messages: Vec<MessageId>,
        /// The words; empty when claude said nothing.
        parts: Vec<Content>,
        /// What the earlier ones of several messages show.
        refer: Content,
        /// Whether it failed.
        error: bool,
    },
    /// A prompt waits for a person.
    Ask {
        /// Number of the turn.
        turn: u64,
        /// Messages that the turn answers, as far as known.
        messages: Vec<MessageId>,
        /// The prompt.
        approval: Approval,
    },
    /// claude's process is gone before the tool of a prompt had run.
    Lose {
        /// Its id.
        id: String,
    },
    /// A prompt does not wait any more.
    Close {
        /// Its id.
        id: String,
        /// How it ended.
        outcome: ApprovalOutcome,
        /// Who decided.
        by: Option<String>,
    },
    /// The session will soon be idle.
    Idle {
        /// In a sentence.
        text: String,
        /// When; a warning that comes later than that warns of nothing.
        deadline: Timestamp,
    },
    /// Somebody or claude did something, so the session is not idle.
    Stirred,
    /// Something that people should know.
    Notice {
        /// In a sentence.
        text: String,
    },
    /// Key outcomes of an earlier session are known by now.
    Outcomes(Outcomes),
    /// Claude sent a file, which the bot has by now.
    File {
        /// The file.
        file: SentFile,
        /// What the chat sees of it.
        parts: Vec<Content>,
    },
}

/// Key outcomes of an earlier session.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    /// Which of them: the same wherever they are heard of.
    pub mark: String,
    /// What is told of them.
    pub parts: Vec<Content>,
}

impl Outcomes {
    /// Those that an event brings.
    pub fn of(event: &Event) -> Option<Self> {
        let Event::EarlierSummary { session, summary } = event else {
            return None;
        };
        let heading = format!("Key outcomes of the earlier session {session}, written down now:");
        let told = Rich::plain(heading).paragraph(render::markdown(&summary.text));
        Some(Self {
            mark: format!("{}/{}", summary.path, summary.time),
            parts: Content::parts(&told),
        })
    }
}

/// How the running turn looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Number of the turn.
    pub turn: u64,
    /// Messages it answers, as far as known.
    pub messages: Vec<MessageId>,
    /// The look.
    pub rich: Rich,
    /// It shows no more than that claude thinks.
    pub thinking: bool,
    /// The last tool calls, for who asks; empty without any.
    pub details: String,
}

/// State of a conversation: the turns that have no end yet. One runs at a time, but the end of another, such as that of messages
/// that were dropped from the queue, may come while it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    turns: BTreeMap<u64, Turn>,
    /// Messages that a schedule gave to the session and that have no answer yet, with the run that each is.
    runs: BTreeMap<MessageId, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Turn {
    messages: Vec<MessageId>,
    blocks: BTreeMap<u32, String>,
    previews: BTreeMap<u32, String>,
    activity: Activity,
}

/// Room that a preview leaves in its message.
const PREVIEW_UNITS: usize = 3500;

impl Conversation {
    /// The state after these events.
    pub fn rebuild<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut conversation = Self::default();
        for record in records {
            conversation.take_record(record);
        }
        conversation
    }

    /// Folds a durable event, with the time at which it happened.
    pub fn take_record(&mut self, record: &Record) -> Vec<Change> {
        let changes = self.take(&record.event);
        if let Event::TurnStarted { turn, .. } = &record.event {
            self.turn(*turn).activity.since.get_or_insert(record.at);
        }
        changes
    }

    /// Folds a durable event.
    pub fn take(&mut self, event: &Event) -> Vec<Change> {
        match event {
            Event::TurnStarted { turn, message_ids } => {
                // A turn that a crash cut short starts again under its number and keeps what it has said.
                let turn = self.turn(*turn);
                for id in message_ids {
                    if !turn.messages.contains(id) {
                        turn.messages.push(*id);
                    }
                }
                vec![Change::Stirred]
            }
            Event::Text { turn, block, text } => {
                let turn = self.turn(*turn);
                turn.previews.remove(block);
                turn.blocks.insert(*block, text.clone());
                turn.activity.spoke();
                Vec::new()
            }
            Event::Tool {
                turn,
                id,
                name,
                summary,
                state,
            } => {
                self.turn(*turn).activity.tool(id, name, summary, *state);
                Vec::new()
            }
            Event::Approval { turn, approval } => vec![Change::Ask {
                turn: *turn,
                messages: self
                    .turns
                    .get(turn)
                    .map(|turn| turn.messages.clone())
                    .unwrap_or_default(),
                approval: approval.clone(),
            }],
            Event::ApprovalLost { id } => vec![Change::Lose { id: id.clone() }],
            Event::ApprovalClosed { id, outcome, by } => {
                vec![Change::Close {
                    id: id.clone(),
                    outcome: *outcome,
                    by: by.clone(),
                }]
            }
            Event::TurnFinished {
                turn,
                message_ids,
                is_error,
                terminal_reason,
                error,
                ..
            } => {
                let said = self.turns.remove(turn).unwrap_or_default();
                let heading = self.heading(message_ids);
                message_ids.iter().for_each(|id| drop(self.runs.remove(id)));
                let mut rich = said.said();
                if *is_error {
                    rich = rich.paragraph(Rich::plain(outcome::sentence(terminal_reason, error.as_deref())));
                }
                if !rich.text.is_empty() {
                    rich = heading.unwrap_or_default().paragraph(rich);
                }
                vec![Change::Answer {
                    turn: *turn,
                    messages: message_ids.clone(),
                    parts: Content::parts(&rich),
                    refer: Content::plain(outcome::ANSWERED_TOGETHER),
                    error: *is_error,
                }]
            }
            Event::Restarted { message } | Event::Repository { message } => {
                vec![Change::Notice { text: message.clone() }]
            }
            // What people wrote is known from the chat.
            Event::Accepted { id, author, .. } => {
                let run = author.as_deref().and_then(author::as_run);
                self.runs.extend(run.map(|run| (*id, run.to_owned())));
                vec![Change::Stirred]
            }
            Event::IdleWarning { deadline, then } => vec![Change::Idle {
                text: life::idle_warning(*deadline, *then),
                deadline: *deadline,
            }],
            Event::Memory { level, message, .. } => match level {
                MemoryLevel::Normal => Vec::new(),
                MemoryLevel::Warning | MemoryLevel::Recycled | MemoryLevel::OutOfMemory => {
                    vec![Change::Notice { text: message.clone() }]
                }
            },
            Event::Disk { level, message, .. } => match level {
                DiskLevel::Normal => Vec::new(),
                DiskLevel::Low => vec![Change::Notice { text: message.clone() }],
            },
            // Outcomes are told when the session is over.
            Event::Summary { .. } => Vec::new(),
            Event::EarlierSummary { .. } => Outcomes::of(event).into_iter().map(Change::Outcomes).collect(),
            // What a task's agent asks for is taken from the task, together with its answer.
            Event::Escalation { .. } => Vec::new(),
            // Whoever hears of it fetches it first, and posts it then.
            Event::File { .. } => Vec::new(),
        }
    }

    /// Folds a preview. It is gone as soon as its block is finished.
    pub fn preview(&mut self, preview: &Preview) {
        let (number, block, more) = match preview {
            Preview::TextDelta { turn, block, text } => (*turn, *block, Some(text)),
            Preview::TextReset { turn, block } => (*turn, *block, None),
            // That is no look of a turn.
            Preview::Meeting { .. } => return,
        };
        let Some(turn) = self.turns.get_mut(&number) else {
            return;
        };
        match more {
            Some(_) if turn.blocks.contains_key(&block) => {}
            Some(text) => {
                turn.previews.entry(block).or_default().push_str(text);
                turn.activity.spoke();
            }
            None => drop(turn.previews.remove(&block)),
        }
    }

    /// Messages of the turn that runs, as far as known; none when none runs.
    pub fn running(&self) -> Option<&[MessageId]> {
        let (_, turn) = self.turns.last_key_value()?;
        Some(&turn.messages)
    }

    /// Previews of a stream that broke are sent anew or never.
    pub fn drop_previews(&mut self) {
        for turn in self.turns.values_mut() {
            turn.previews.clear();
        }
    }

    /// Whether a turn runs.
    pub fn is_running(&self) -> bool {
        !self.turns.is_empty()
    }

    /// How the running turn looks; none when it has nothing to show.
    pub fn progress(&self, now: Timestamp) -> Option<Progress> {
        let (number, turn) = self.turns.last_key_value()?;
        let mut rich = turn.said();
        for preview in turn.previews.values() {
            rich = rich.paragraph(render::markdown(preview));
        }
        rich = render::tail(&rich, PREVIEW_UNITS);
        let line = turn.activity.line(now);
        let thinking = rich.text.trim().is_empty() && line.is_none();
        let line = line.or_else(|| turn.activity.thinking(now).filter(|_| thinking));
        if let Some(line) = line {
            rich = rich.paragraph(Rich::plain(line));
        }
        let shows = !rich.text.trim().is_empty();
        if let Some(heading) = self.heading(&turn.messages) {
            rich = heading.paragraph(rich);
        }
        shows.then(|| Progress {
            turn: *number,
            messages: turn.messages.clone(),
            rich,
            thinking,
            details: turn.activity.details(),
        })
    }

    /// What stands above the answer of a turn that none but schedules asked for: which runs.
    fn heading(&self, messages: &[MessageId]) -> Option<Rich> {
        let runs = messages.iter().map(|id| Some(outcome::run_heading(self.runs.get(id)?)));
        let lines = runs.collect::<Option<Vec<_>>>().filter(|lines| !lines.is_empty())?;
        Some(Rich::plain(lines.join("\n")))
    }

    fn turn(&mut self, number: u64) -> &mut Turn {
        self.turns.entry(number).or_default()
    }
}

impl Turn {
    fn said(&self) -> Rich {
        self.blocks.values().fold(Rich::default(), |all, block| {
            let block = render::markdown(block);
            if block.text.is_empty() {
                all
            } else {
                all.paragraph(block)
            }
        })
    }
}

#[cfg(test)]
mod tests;
