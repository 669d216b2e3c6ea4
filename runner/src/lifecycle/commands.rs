//! What the API asks for.

use jiff::Timestamp;
use longshore_wire::api::{PostMessage, RunnerState, Warn};
use longshore_wire::event::Event;
use longshore_wire::quote::shortened;

use super::{Agent, Command, MAX_UNFINISHED, Posted, Waiting};
use crate::http::ApiError;
use crate::journal::Mark;
use crate::turn::{Input, Message};

/// Longest context of a message, in bytes.
const CONTEXT_BYTES: usize = 16 * 1024;

impl Agent {
    pub(super) fn command(&mut self, command: Command) {
        // A caller that has gone away does not get its reply; what it asked for is done all the same.
        match command {
            Command::Post { message, files, reply } => {
                let _ = reply.send(self.post(message, &files));
            }
            Command::Ack { seq, reply } => {
                let seq = seq.min(self.parts.journal.seq());
                if seq > self.acked {
                    self.acked = seq;
                    self.chronicle.delivered(seq);
                    self.files.acked(seq);
                    self.parts.journal.mark(Mark::Acked { seq });
                }
                let _ = reply.send(());
            }
            Command::FileTaken { id, reply } => {
                self.file_taken(id);
                let _ = reply.send(());
            }
            Command::Interrupt { cancel_queued, reply } => {
                self.last_activity = Timestamp::now();
                let token = self.token(Waiting::Interrupted(reply));
                self.step(Input::Interrupt { token, cancel_queued });
            }
            Command::Decide { id, decision, reply } => {
                let now = Timestamp::now();
                let decided = self.machine.decide(now, &id, decision);
                let answer = match decided {
                    Ok(outputs) => {
                        self.last_activity = now;
                        self.carry_out(outputs);
                        // Whoever has the answer may look at the status next.
                        self.publish();
                        Ok(())
                    }
                    Err(error @ crate::turn::DecideError::NotWaiting) => Err(ApiError::not_found(error.to_string())),
                    Err(error @ crate::turn::DecideError::BadAnswers(_)) => Err(ApiError::invalid(error.to_string())),
                };
                let _ = reply.send(answer);
            }
            Command::Settings { settings, reply } => {
                self.last_activity = Timestamp::now();
                let token = self.token(Waiting::Settings(reply));
                self.step(Input::Settings { token, settings });
            }
            Command::Warn { warn, reply } => {
                self.warn(warn);
                let _ = reply.send(());
            }
            Command::Quiesce { quiesce, reply } => {
                let _ = reply.send(self.quiesce(quiesce));
            }
        }
    }

    /// Tells people of a deadline, once. Who is busy again, or on the way out already, need not be warned.
    fn warn(&mut self, Warn { deadline, then }: Warn) {
        let idle = self.busy().is_empty() && !self.winding.is_over();
        if idle && self.warned != Some(deadline) {
            self.warned = Some(deadline);
            self.record(Event::IdleWarning { deadline, then });
        }
    }

    fn post(&mut self, message: PostMessage, files: &[(String, Vec<u8>)]) -> Result<Posted, ApiError> {
        let id = message.id;
        if let Some(seq) = self.accepted.get(&id) {
            return Ok(Posted { seq: *seq });
        }
        match self.state {
            RunnerState::Quiescing => return Err(ApiError::quiescing()),
            RunnerState::Quiesced => return Err(ApiError::ended()),
            RunnerState::Starting | RunnerState::Ready | RunnerState::Failed => {}
        }
        if self.chronicle.result().is_some() {
            return Err(ApiError::ended());
        }
        if self.machine.unfinished().len() >= MAX_UNFINISHED {
            return Err(ApiError::queue_full(MAX_UNFINISHED));
        }
        let saved = files.iter().enumerate().map(|(index, (name, content))| {
            let saved = self.parts.volume.save_attachment(id, index, name, content);
            saved.map_err(|error| ApiError::unavailable(error.to_string()))
        });
        let attachments = saved.collect::<Result<Vec<_>, ApiError>>()?;
        let context = message.context.map(|context| shortened(&context, CONTEXT_BYTES));
        let record = self.record(Event::Accepted {
            id,
            author: message.author.clone(),
            text: message.text.clone(),
            attachments: attachments.clone(),
            context: context.clone(),
        });
        self.accepted.insert(id, record.seq);
        self.step(Input::Accept(Message {
            id,
            text: message.text,
            author: message.author,
            attachments,
            context,
            priority: message.priority,
        }));
        Ok(Posted { seq: record.seq })
    }
}
