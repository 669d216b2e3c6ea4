//! A conversation in a terminal: events come, lines go, until the person leaves or the session does.

use std::time::Duration;

use longshore_wire::Record;
use longshore_wire::api::{Busy, MessageId, Status, Verdict};
use longshore_wire::event::{Event, EventsClient, Heard};
use tokio::sync::{mpsc, watch};

use super::errands::{Errand, Errands};
use super::input::{HELP, Input, read};
use super::lines::Line;
use super::standing::Standing;
use super::{ChatError, Desk, message};
use crate::feed::{Begin, News, follow};
use crate::prompts::{Answered, asking};
use crate::story::Screen;

/// How long what was typed last may take to be sent when the person leaves.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How much of what was said before is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// This many of the last turns.
    Turns(usize),
    /// All.
    All,
}

/// Talks until the person or the session leaves.
pub async fn talk(
    desk: Desk<'_>,
    before: Before,
    mut lines: mpsc::Receiver<Line>,
    mut standing: watch::Receiver<Standing>,
) -> Result<(), ChatError> {
    let begin = match before {
        Before::Nothing => Begin::Now,
        Before::Turns(_) | Before::All => Begin::After(0),
    };
    let mut news = follow(desk.runner.clone(), desk.uid.clone(), begin, EventsClient::Terminal);
    let errands = Errands::start(desk.runner.clone());
    let phase = standing.borrow().phase;
    let mut talk = Talk {
        screen: Screen::new(desk.zone.clone(), true),
        desk,
        errands,
        before,
        past: None,
        ours: Vec::new(),
        attached: false,
        phase,
    };
    loop {
        let left = tokio::select! {
            Some(next) = news.recv() => talk.hear(next)?,
            Some(note) = talk.errands.notes.recv() => talk.note(&note)?,
            changed = standing.changed() => match changed {
                Ok(()) => {
                    let now = standing.borrow_and_update().clone();
                    talk.stands(&now, &mut news)?
                }
                Err(_) => talk.leave("the session cannot be watched any more")?,
            },
            line = lines.recv() => talk.typed(line.unwrap_or(Line::End)).await?,
        };
        if left {
            return Ok(());
        }
    }
}

struct Talk<'a> {
    desk: Desk<'a>,
    screen: Screen,
    errands: Errands,
    before: Before,
    /// What was said before, until all of it is there; then up to which sequence.
    past: Option<(Vec<Record>, u64)>,
    /// Messages of this terminal, which need not be repeated.
    ours: Vec<MessageId>,
    attached: bool,
    phase: Option<longshore_crds::SessionPhase>,
}

/// Whether the conversation is over.
type Left = Result<bool, ChatError>;

impl Talk<'_> {
    fn print(&mut self, text: &str) -> Left {
        self.desk.out.write_all(text.as_bytes())?;
        self.desk.out.flush()?;
        Ok(false)
    }

    fn note(&mut self, text: &str) -> Left {
        let text = self.screen.note(text);
        self.print(&text)
    }

    fn leave(&mut self, why: &str) -> Left {
        self.note(why)?;
        Ok(true)
    }

    fn hear(&mut self, news: News) -> Left {
        match news {
            News::Attached { status, replaced } => self.attached(&status, replaced),
            News::Heard(Heard::Event(record)) => self.event(record),
            News::Heard(Heard::Preview(preview)) if self.past.is_none() => {
                let text = self.screen.preview(&preview);
                self.print(&text)
            }
            News::Heard(_) => Ok(false),
            News::Lost(why) => {
                self.screen.lost();
                self.note(&format!("connection lost ({why}); trying again"))
            }
            News::Closed(error) => Err(error.into()),
        }
    }

    fn attached(&mut self, status: &Status, replaced: bool) -> Left {
        self.screen.prompts.retain(&status.approvals);
        if self.attached {
            self.note(match replaced {
                true => "the pod was replaced; connected to the new one, the conversation goes on",
                false => "connected again",
            })?;
        } else {
            self.attached = true;
            let hello = format!(
                "connected to {}: {}. /help lists commands; Ctrl-D leaves, the session goes on",
                self.desk.name,
                doing(&status.busy)
            );
            self.note(&hello)?;
            if self.before != Before::Nothing {
                self.past = Some((Vec::new(), status.seq));
            }
        }
        for approval in &status.approvals {
            // Numbers come in the order of the journal, so what is about to be read from it is not numbered here.
            if self.past.is_none() && self.screen.prompts.is_new(approval) {
                let number = self.screen.prompts.open(approval);
                self.note(&asking(number, approval))?;
            }
        }
        self.past_is_there()
    }

    fn event(&mut self, record: Record) -> Left {
        if let Some((past, _)) = &mut self.past {
            past.push(record);
            return self.past_is_there();
        }
        if matches!(&record.event, Event::Accepted { id, .. } if self.ours.contains(id)) {
            return Ok(false);
        }
        let text = self.screen.record(&record);
        self.print(&text)
    }

    /// Shows what was said before once all of it is there.
    fn past_is_there(&mut self) -> Left {
        let whole = self
            .past
            .as_ref()
            .is_some_and(|(past, until)| past.last().map_or(0, |record| record.seq) >= *until);
        let Some((past, _)) = self.past.take_if(|_| whole) else {
            return Ok(false);
        };
        let shown = match self.before {
            Before::Turns(count) => last_turns(&past, count),
            Before::Nothing | Before::All => 0,
        };
        for (place, record) in past.iter().enumerate() {
            let text = self.screen.record(record);
            if place >= shown {
                self.print(&text)?;
            }
        }
        Ok(false)
    }

    fn stands(&mut self, now: &Standing, news: &mut mpsc::Receiver<News>) -> Left {
        if now.away {
            // What the agent said before it went is on its way already.
            while let Ok(News::Heard(heard)) = news.try_recv() {
                self.hear(News::Heard(heard))?;
            }
            self.note(&now.line)?;
            let waiting = *self.errands.waiting.borrow();
            if waiting > 0 {
                self.note(&format!("not sent any more: {waiting} of what you wrote last"))?;
            }
            return Ok(true);
        }
        if self.phase != now.phase {
            self.phase = now.phase;
            return self.note(&now.line);
        }
        Ok(false)
    }

    async fn typed(&mut self, line: Line) -> Left {
        let text = match line {
            Line::Text(text) => text,
            Line::End => return self.goodbye(LAST_WORDS).await,
            Line::Interrupt => return self.goodbye(Duration::ZERO).await,
        };
        // The person has ended the line.
        self.screen.typed();
        match read(&text) {
            Input::Empty => Ok(false),
            Input::Message(text) => {
                let message = message(text, self.desk.by.clone());
                self.ours.push(message.id);
                self.errands.add(Errand::Say(message));
                Ok(false)
            }
            Input::Allow(number) => self.judge(number, Verdict::Allow, None),
            Input::Deny(number, why) => self.judge(number, Verdict::Deny, why.as_deref()),
            Input::Answer(number, text) => {
                let answered = self.screen.prompts.answer(number, &text, self.desk.by.as_deref());
                self.answered(answered)
            }
            Input::Stop => {
                self.errands.add(Errand::Stop);
                Ok(false)
            }
            Input::Quit => self.goodbye(LAST_WORDS).await,
            Input::Help => self.note(HELP),
            Input::Unknown(why) => self.note(&why),
        }
    }

    fn judge(&mut self, number: Option<usize>, verdict: Verdict, why: Option<&str>) -> Left {
        let answered = self.screen.prompts.judge(number, verdict, why, self.desk.by.as_deref());
        self.answered(answered)
    }

    fn answered(&mut self, answered: Result<Answered, String>) -> Left {
        match answered {
            Ok(Answered::Decided { id, decision }) => {
                self.errands.add(Errand::Decide { id, decision });
                Ok(false)
            }
            Ok(Answered::Next(question)) => self.note(&question),
            Err(why) => self.note(&why),
        }
    }

    /// Leaves, once what was typed is sent.
    async fn goodbye(&mut self, patience: Duration) -> Left {
        let sent = tokio::time::timeout(patience, self.errands.waiting.wait_for(|count| *count == 0))
            .await
            .is_ok();
        while let Ok(note) = self.errands.notes.try_recv() {
            self.note(&note)?;
        }
        if !sent && *self.errands.waiting.borrow() > 0 {
            self.note("not everything that you wrote could be sent")?;
        }
        let name = self.desk.name.clone();
        self.leave(&format!("left; {name} goes on"))
    }
}

fn doing(busy: &[Busy]) -> String {
    let others: Vec<_> = busy
        .iter()
        .filter(|one| **one != Busy::TerminalAttached)
        .copied()
        .collect();
    match others.is_empty() {
        true => "idle".to_owned(),
        false => crate::status::busy(&others),
    }
}

/// Where the last `count` finished turns begin, with what belongs to a running one.
fn last_turns(records: &[Record], count: usize) -> usize {
    let ends = records
        .iter()
        .enumerate()
        .filter(|(_, record)| matches!(record.event, Event::TurnFinished { .. }));
    ends.rev().nth(count).map_or(0, |(place, _)| place + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::story::tests::record;

    #[test]
    fn the_last_turns_begin_behind_the_end_of_the_one_before() {
        let usage = json!({"turns": 1, "inputTokens": 1, "outputTokens": 1, "costUsd": "0.1"});
        let end = |seq, turn| {
            record(
                seq,
                json!({"type": "turn_finished", "turn": turn, "messageIds": [], "isError": false, "terminalReason": "completed", "usage": usage}),
            )
        };
        let text = |seq, turn| record(seq, json!({"type": "text", "turn": turn, "block": 0, "text": "a"}));
        let all = [text(1, 1), end(2, 1), text(3, 2), end(4, 2), text(5, 3)];
        assert_eq!([0, 1, 2, 9].map(|count| last_turns(&all, count)), [4, 2, 0, 0]);
    }
}
