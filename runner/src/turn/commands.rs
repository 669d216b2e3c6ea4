//! What people and the operator want: stop, settings, a question, winding down.

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::{Interrupted, Settings};
use longshore_wire::claude::Request;
use longshore_wire::claude::output::uuids;
use serde_json::Value;

use super::watch::Stopping;
use super::{Machine, Output, Pending, Place, Reply, Token, Unset, WindDown, finish};
use crate::journal::Mark;

/// Said when a command needs a process that is not there.
const NOT_RUNNING: &str = "claude is not running yet. Try again in a moment.";

impl Machine {
    pub(super) fn interrupt(&mut self, now: Timestamp, token: Token, cancel_queued: bool, out: &mut Vec<Output>) {
        if !self.ready && self.turn.is_none() {
            let reply = self.interrupt_without_claude(cancel_queued, out);
            out.push(Output::Reply(token, Reply::Interrupted(reply)));
            return;
        }
        let waiting = self.waiting();
        if cancel_queued && !waiting.is_empty() {
            self.finish_unrun(waiting, finish::cancelled(), out);
        }
        let mut stopped = Vec::new();
        if let Some(turn) = &self.turn {
            stopped.clone_from(&turn.messages);
            // A claude that is stuck does not hear of it.
            self.stopping
                .get_or_insert_with(|| Stopping::new(finish::stopped(), now));
        }
        if !stopped.is_empty() {
            self.stop_asked.extend(&stopped);
            out.push(Output::Mark(Mark::StopAsked {
                message_ids: stopped.clone(),
            }));
        }
        self.control(
            Request::Interrupt { cancel_queued },
            Pending::Interrupt { token, stopped },
            out,
        );
    }

    /// No process is there to be asked: what would go on in the next one ends here, what waits is dropped here.
    fn interrupt_without_claude(&mut self, cancel_queued: bool, out: &mut Vec<Output>) -> Interrupted {
        let suspended = self.suspended.take();
        let of_turn = suspended.iter().flat_map(|turn| turn.messages.clone());
        let started = self.unfinished.iter().filter(|open| open.place == Place::Started);
        let begun: Vec<MessageId> = of_turn.chain(started.map(|open| open.message.id)).collect();
        let (stopped, queued): (Vec<MessageId>, Vec<MessageId>) =
            self.unfinished().into_iter().partition(|id| begun.contains(id));
        self.stop_asked.extend(&stopped);
        if let Some(mut turn) = suspended {
            turn.fail_tools(out);
            self.settle_suspended(turn, finish::stopped(), out);
        }
        // Begun in other turns, which nothing goes on with.
        let others: Vec<MessageId> = stopped.iter().copied().filter(|id| self.is_unfinished(*id)).collect();
        if !others.is_empty() {
            self.finish_unrun(others, finish::stopped(), out);
        }
        let mut reply = Interrupted {
            stopped,
            ..Interrupted::default()
        };
        if cancel_queued && !queued.is_empty() {
            self.finish_unrun(queued.clone(), finish::cancelled(), out);
            reply.cancelled = queued;
        } else {
            reply.still_queued = queued;
        }
        reply
    }

    /// claude's answer to an interrupt.
    pub(super) fn interrupted(&mut self, token: Token, stopped: Vec<MessageId>, reply: &Value, out: &mut Vec<Output>) {
        let named = |machine: &Self, key| -> Vec<MessageId> {
            let uuids = uuids(reply, key).into_iter();
            uuids.flat_map(|uuid| machine.ids_of(uuid)).collect()
        };
        let cancelled = named(self, "cancelled");
        let still_queued = named(self, "still_queued");
        for uuid in uuids(reply, "cancelled") {
            self.cancelled(uuid, out);
        }
        out.push(Output::Reply(
            token,
            Reply::Interrupted(Interrupted {
                stopped,
                cancelled,
                still_queued,
            }),
        ));
    }

    pub(super) fn set(&mut self, token: Token, settings: Settings, out: &mut Vec<Output>) {
        if !self.ready {
            out.push(Output::Reply(token, Reply::Settings(Err(Unset::NotRunning))));
            return;
        }
        let Settings { model, permission_mode } = settings;
        if let Some(model) = model {
            let change = Settings {
                model: Some(model.clone()),
                permission_mode: None,
            };
            let last = permission_mode.is_none();
            self.control(
                Request::SetModel { model },
                Pending::Setting { token, change, last },
                out,
            );
        }
        if let Some(mode) = permission_mode {
            let change = Settings {
                model: None,
                permission_mode: Some(mode.clone()),
            };
            self.control(
                Request::SetPermissionMode { mode },
                Pending::Setting {
                    token,
                    change,
                    last: true,
                },
                out,
            );
        }
    }

    pub(super) fn ask(&mut self, token: Token, question: String, out: &mut Vec<Output>) {
        if self.ready {
            self.control(Request::SideQuestion { question }, Pending::Ask { token }, out);
        } else {
            out.push(Output::Reply(token, Reply::Answer(Err(NOT_RUNNING.to_owned()))));
        }
    }

    /// Stops what runs. Nothing more is sent from here on.
    pub(super) fn wind_down(&mut self, now: Timestamp, how: WindDown, out: &mut Vec<Output>) {
        self.winding = Some(how);
        if how == WindDown::Finish {
            if !self.ready {
                // Without a process nobody else will ever end these.
                self.finish_everything(&finish::quiesced(), out);
            } else if self.is_working() {
                self.stopping = Some(Stopping::new(finish::quiesced(), now));
            }
        }
        let in_flight = self.unfinished.iter().any(|open| open.place != Place::Waiting);
        if self.ready && (self.turn.is_some() || in_flight) {
            self.control(Request::Interrupt { cancel_queued: true }, Pending::Unanswered, out);
        }
    }

    pub(super) fn leave(&mut self, out: &mut Vec<Output>) {
        if self.ready {
            self.control(Request::EndSession, Pending::Unanswered, out);
        }
    }
}
