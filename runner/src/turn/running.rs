//! The turn that runs: its messages, its text so far and its tools.

use std::collections::BTreeMap;

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::claude::{Assistant, Block, Delta, User};
use longshore_wire::event::{Event, Meets, Preview, ToolState};

use super::{Machine, Output, describe, meeting};

/// A turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// From 1 over the whole session.
    pub number: u64,
    /// When it began, if that was in this life.
    pub since: Option<Timestamp>,
    /// `turn_started` is out.
    pub announced: bool,
    /// Messages that it answers as far as known.
    pub messages: Vec<MessageId>,
    /// Finished text blocks.
    pub texts: Vec<String>,
    /// Text of the block that is being written; none between blocks.
    pub preview: Option<String>,
    /// Tools that run, by their id.
    pub tools: BTreeMap<String, Tool>,
    /// What the CLI itself said about an API error: kind and text.
    pub api_error: Option<(String, String)>,
    /// Text that people saw and that claude has no memory of, after a crash.
    pub lost_text: Option<String>,
}

/// A tool that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    pub name: String,
    pub summary: String,
    pub since: Timestamp,
}

impl Turn {
    pub fn new(number: u64) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// Number of the block that is being written, or comes next.
    pub fn block(&self) -> u32 {
        u32::try_from(self.texts.len()).unwrap_or(u32::MAX)
    }

    /// A finished block.
    pub fn say(&mut self, text: String, out: &mut Vec<Output>) {
        out.push(Output::Event(Event::Text {
            turn: self.number,
            block: self.block(),
            text: text.clone(),
        }));
        self.texts.push(text);
        self.preview = None;
    }

    /// Throws the preview away.
    fn unsay(&mut self, out: &mut Vec<Output>) {
        if self.preview.take().is_some_and(|text| !text.is_empty()) {
            out.push(Output::Preview(Preview::TextReset {
                turn: self.number,
                block: self.block(),
            }));
        }
    }

    /// Keeps what was streamed of a block that will not be finished.
    pub fn keep_preview(&mut self, out: &mut Vec<Output>) {
        if let Some(text) = self.preview.take().filter(|text| !text.trim().is_empty()) {
            self.say(text.clone(), out);
            self.lost_text = Some(text);
        }
    }

    /// Ends tools that will not end by themselves.
    pub fn fail_tools(&mut self, out: &mut Vec<Output>) {
        for (id, Tool { name, .. }) in std::mem::take(&mut self.tools) {
            out.push(Output::Event(Event::Tool {
                turn: self.number,
                id,
                name,
                summary: String::new(),
                state: ToolState::Failed,
            }));
        }
    }

    fn announce(&mut self, out: &mut Vec<Output>) {
        if !self.announced {
            self.announced = true;
            out.push(Output::Event(Event::TurnStarted {
                turn: self.number,
                message_ids: self.messages.clone(),
            }));
        }
    }
}

impl Machine {
    /// The running turn; a new one when none runs.
    pub(super) fn open_turn(&mut self) -> &mut Turn {
        if self.turn.is_none() {
            self.last_turn += 1;
            self.turn = Some(Turn {
                since: Some(self.at),
                ..Turn::new(self.last_turn)
            });
            // What failed before, e.g. for a subagent in the background, is not held against it.
            self.watch.answered();
        }
        self.turn.as_mut().expect("it was opened just above")
    }

    /// The running turn, told to consumers.
    pub(super) fn announced_turn(&mut self, out: &mut Vec<Output>) -> &mut Turn {
        let turn = self.open_turn();
        turn.announce(out);
        turn
    }

    /// These messages are now part of the running turn.
    pub(super) fn join(&mut self, ids: Vec<MessageId>, out: &mut Vec<Output>) {
        let ids: Vec<MessageId> = ids.into_iter().filter(|id| self.is_unfinished(*id)).collect();
        if ids.is_empty() {
            return;
        }
        let goes_on = self
            .suspended
            .take_if(|suspended| suspended.messages.iter().any(|id| ids.contains(id)));
        if let Some(suspended) = goes_on {
            match &self.turn {
                None => self.turn = Some(suspended),
                // Its messages were folded into a younger turn; that one will name them.
                Some(_) => self.close_orphan(suspended, out),
            }
        }
        let mut had_waited = Vec::new();
        for id in &ids {
            had_waited.extend(self.begin(*id).map(|met| (*id, met)));
        }
        self.untold_stop = false;
        let turn = self.open_turn();
        for (id, met) in had_waited {
            let meets = if met == turn.number {
                Meets::Folded
            } else {
                Meets::Begun
            };
            out.push(meeting(turn.number, id, meets));
        }
        for id in ids {
            if !turn.messages.contains(&id) {
                turn.messages.push(id);
            }
        }
    }

    pub(super) fn stream(&mut self, delta: Delta, out: &mut Vec<Output>) {
        if delta == Delta::Other {
            return;
        }
        let turn = self.announced_turn(out);
        match delta {
            // A second start means that the answer begins anew: what was shown of it is void.
            Delta::MessageStart => turn.unsay(out),
            Delta::TextStart => {
                turn.unsay(out);
                turn.preview = Some(String::new());
            }
            Delta::Text(text) => {
                out.push(Output::Preview(Preview::TextDelta {
                    turn: turn.number,
                    block: turn.block(),
                    text: text.clone(),
                }));
                turn.preview.get_or_insert_default().push_str(&text);
            }
            Delta::Other => {}
        }
    }

    pub(super) fn assistant(&mut self, assistant: Assistant, out: &mut Vec<Output>) {
        let since = self.at;
        let turn = self.announced_turn(out);
        for block in assistant.blocks {
            match (block, &assistant.api_error) {
                (Block::Text(text), Some(kind)) => turn.api_error = Some((kind.clone(), text)),
                (Block::Text(text), None) if text.trim().is_empty() => turn.unsay(out),
                (Block::Text(text), None) => turn.say(text, out),
                (Block::ToolUse { id, name, input }, _) => {
                    let summary = describe::tool(&name, &input);
                    out.push(Output::Event(Event::Tool {
                        turn: turn.number,
                        id: id.clone(),
                        name: name.clone(),
                        summary: summary.clone(),
                        state: ToolState::Started,
                    }));
                    turn.tools.insert(id, Tool { name, summary, since });
                }
                (Block::ToolResult { .. } | Block::Other, _) => {}
            }
        }
    }

    /// Decisions about these tools are spent, also about those of subagents.
    pub(super) fn results(&mut self, user: &User) {
        for block in &user.blocks {
            if let Block::ToolResult { id, .. } = block {
                self.approvals.ended(id);
            }
        }
    }

    /// Tool results. Replays of our own messages say nothing new: `command_lifecycle` came first.
    pub(super) fn user(&mut self, user: &User, out: &mut Vec<Output>) {
        let Some(turn) = &mut self.turn else { return };
        for block in &user.blocks {
            let Block::ToolResult { id, is_error } = block else {
                continue;
            };
            if let Some(Tool { name, .. }) = turn.tools.remove(id) {
                out.push(Output::Event(Event::Tool {
                    turn: turn.number,
                    id: id.clone(),
                    name,
                    summary: String::new(),
                    state: if *is_error {
                        ToolState::Failed
                    } else {
                        ToolState::Finished
                    },
                }));
            }
        }
    }
}
