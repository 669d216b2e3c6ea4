//! A conversation with a program: each line is a message, sent when the one before is answered. Answers go to standard output,
//! everything else beside it.

use std::collections::BTreeMap;
use std::io::Write;

use longshore_wire::Record;
use longshore_wire::api::MessageId;
use longshore_wire::event::{Event, EventsClient, Heard};
use tokio::sync::{mpsc, watch};

use super::errands::{Errand, Errands, NOT_SENT};
use super::lines::Line;
use super::standing::Standing;
use super::{ChatError, Desk, message};
use crate::feed::{Begin, News, follow};
use crate::plain::plain;
use crate::story::Screen;

/// Sends all lines. True when every turn came to its end.
pub async fn play<'a>(
    desk: Desk<'a>,
    notes: &'a mut (dyn Write + Send),
    mut lines: mpsc::Receiver<Line>,
    mut standing: watch::Receiver<Standing>,
) -> Result<bool, ChatError> {
    let mut news = follow(
        desk.runner.clone(),
        desk.uid.clone(),
        Begin::Now,
        EventsClient::Terminal,
    );
    let mut play = Play {
        errands: Errands::start(desk.runner.clone()),
        screen: Screen::new(desk.zone.clone(), false),
        desk,
        notes,
        texts: BTreeMap::new(),
    };
    // What is said before the events are followed would be answered unseen.
    while !matches!(play.next(&mut news, &mut standing).await?, News::Attached { .. }) {}
    let mut all_well = true;
    loop {
        let text = match lines.recv().await {
            Some(Line::Text(text)) if text.trim().is_empty() => continue,
            Some(Line::Text(text)) => text,
            // Without a terminal nobody asks for Ctrl-C: it ends the program.
            Some(Line::End | Line::Interrupt) | None => return Ok(all_well),
        };
        let message = message(text, play.desk.by.clone());
        let id = message.id;
        play.errands.add(Errand::Say(message));
        all_well &= play.answer(id, &mut news, &mut standing).await?;
    }
}

struct Play<'a> {
    desk: Desk<'a>,
    notes: &'a mut (dyn Write + Send),
    errands: Errands,
    screen: Screen,
    /// Finished texts of turns that have not ended.
    texts: BTreeMap<u64, Vec<String>>,
}

impl Play<'_> {
    /// Reads on until the message is answered. True when its turn came to its end.
    async fn answer(
        &mut self,
        id: MessageId,
        news: &mut mpsc::Receiver<News>,
        standing: &mut watch::Receiver<Standing>,
    ) -> Result<bool, ChatError> {
        loop {
            let News::Heard(Heard::Event(record)) = self.next(news, standing).await? else {
                continue;
            };
            match &record.event {
                Event::Text { turn, text, .. } => self.texts.entry(*turn).or_default().push(plain(text)),
                Event::TurnFinished {
                    turn,
                    message_ids,
                    is_error,
                    ..
                } => {
                    let texts = self.texts.remove(turn).unwrap_or_default();
                    if message_ids.contains(&id) {
                        for text in texts {
                            writeln!(self.desk.out, "{}", text.trim_end())?;
                        }
                        self.desk.out.flush()?;
                        self.beside(&record)?;
                        return Ok(!is_error);
                    }
                }
                Event::Accepted { .. } => {}
                _ => self.beside(&record)?,
            }
        }
    }
    /// What comes next from the agent; notes are written down meanwhile.
    async fn next(
        &mut self,
        news: &mut mpsc::Receiver<News>,
        standing: &mut watch::Receiver<Standing>,
    ) -> Result<News, ChatError> {
        loop {
            tokio::select! {
                // What the agent said before it went comes before the word that it has gone.
                biased;
                Some(next) = news.recv() => match next {
                    News::Attached { status, replaced } => {
                        self.screen.prompts.retain(&status.approvals);
                        if replaced {
                            self.note("the pod was replaced; connected to the new one")?;
                        }
                        return Ok(News::Attached { status, replaced });
                    }
                    News::Lost(why) => self.note(&format!("connection lost ({why}); trying again"))?,
                    News::Closed(error) => return Err(error.into()),
                    heard => return Ok(heard),
                },
                Some(note) = self.errands.notes.recv() => {
                    self.note(&note)?;
                    // A message that was refused is never answered.
                    if note.starts_with(NOT_SENT) {
                        return Err(ChatError::NotSent);
                    }
                }
                away = standing.wait_for(|standing| standing.away) => {
                    let line = away.map_or_else(|_| "the session cannot be watched any more".to_owned(), |now| now.line.clone());
                    return Err(ChatError::Unanswered(line));
                }
            }
        }
    }

    fn beside(&mut self, record: &Record) -> Result<(), ChatError> {
        let mut text = self.screen.record(record);
        if matches!(record.event, Event::Approval { .. }) {
            text += &self.screen.note(
                "a script cannot answer; answer in the topic's chat, or in a terminal with `kubectl longshore chat`",
            );
        }
        Ok(self.notes.write_all(text.trim_start_matches('\n').as_bytes())?)
    }

    fn note(&mut self, text: &str) -> Result<(), ChatError> {
        let text = self.screen.note(text);
        Ok(self.notes.write_all(text.as_bytes())?)
    }
}
