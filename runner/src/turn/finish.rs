//! How turns end.

use std::collections::BTreeSet;

use longshore_wire::MessageId;
use longshore_wire::api::{TaskResult, Usage};
use longshore_wire::claude::TurnResult;
use longshore_wire::event::Event;

use super::running::Turn;
use super::{Machine, Output, WindDown, money};

/// How claude's reasons for ends begin that a person wanted.
const ABORTED: &str = "aborted_";

/// Why a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub is_error: bool,
    pub reason: String,
    pub error: Option<String>,
}

impl End {
    fn failed(reason: &str, error: &str) -> Self {
        Self {
            is_error: true,
            reason: reason.to_owned(),
            error: Some(error.to_owned()),
        }
    }
}

pub fn cancelled() -> End {
    End::failed("cancelled", "Dropped before it was begun.")
}

pub fn quiesced() -> End {
    End::failed("quiesced", "Stopped because the session was wound down.")
}

pub fn stopped() -> End {
    End::failed("aborted_streaming", "Stopped.")
}

pub fn no_repository(why: &str) -> End {
    End::failed("repository_clone_failed", why)
}

pub fn not_asked(failed: bool, why: String) -> End {
    let reason = match failed {
        true => TaskResult::WHEN_FAILED,
        false => TaskResult::NOT_NEEDED,
    };
    End {
        is_error: failed,
        reason: reason.to_owned(),
        error: Some(why),
    }
}

pub fn restarted() -> End {
    End::failed("restarted", "claude was started again.")
}

pub fn crashed() -> End {
    End::failed(
        "crashed",
        "claude died of this message again and again, so it was given up. Try to say it differently.",
    )
}

pub fn silence() -> End {
    End::failed(
        "silence",
        "Nothing came from claude or the model endpoint for too long, so the turn was stopped. Try again.",
    )
}

pub fn retries() -> End {
    End::failed(
        "retries",
        "The model endpoint kept failing, so the turn was stopped. Try again later.",
    )
}

pub fn not_logged_in() -> End {
    End::failed(
        "not_logged_in",
        "The model endpoint refuses the credentials of this agent. An administrator must set a valid key.",
    )
}

pub fn completed() -> End {
    End {
        is_error: false,
        reason: "completed".to_owned(),
        error: None,
    }
}

pub fn api_error(text: String) -> End {
    End {
        is_error: true,
        reason: "api_error".to_owned(),
        error: Some(text),
    }
}

/// Judges a `result` by `is_error` and `terminal_reason`; `subtype` lies.
fn judge(turn: &Turn, result: &TurnResult) -> End {
    let reason = result.terminal_reason.clone().unwrap_or_else(|| "completed".to_owned());
    let aborted = reason.starts_with(ABORTED);
    let is_error = result.is_error || aborted;
    let told = turn.api_error.as_ref().map(|(_, text)| text.clone());
    let error = is_error.then(|| match reason.as_str() {
        _ if aborted => "Stopped.".to_owned(),
        "max_turns" => "Stopped: the turn took more steps than the class allows.".to_owned(),
        "budget_exhausted" => "Stopped: the budget of this session is used up.".to_owned(),
        _ => told
            .or_else(|| result.result.clone().filter(|text| !text.trim().is_empty()))
            .or_else(|| (!result.errors.is_empty()).then(|| result.errors.join("; ")))
            .unwrap_or_else(|| format!("The turn failed ({reason}).")),
    });
    End {
        is_error,
        reason,
        error,
    }
}

impl Machine {
    /// A `result` line.
    pub(super) fn result(&mut self, result: &TurnResult, out: &mut Vec<Output>) {
        if !self.ready && self.turn.is_none() && result.is_error && result.num_turns == 0 {
            let why = result
                .startup_failure_reason
                .iter()
                .chain(&result.errors)
                .chain(&result.result);
            let why: Vec<&str> = why.map(String::as_str).collect();
            out.push(Output::StartRefused(why.join(": ")));
            return;
        }
        self.watch.answered();
        for uuid in &result.user_message_uuids {
            let ids = self.ids_of(*uuid);
            self.join(ids, out);
        }
        let Some(turn) = &self.turn else { return };
        let mut end = judge(turn, result);
        let api_error = turn.api_error.as_ref().map(|(kind, _)| kind.as_str());
        if self.winding == Some(WindDown::Suspend) && end.reason.starts_with(ABORTED) {
            self.suspend_turn(out);
            return;
        }
        if api_error == Some("authentication_failed") || result.api_error_status == Some(401) {
            self.refused_credentials(out);
            end = End {
                reason: not_logged_in().reason,
                ..end
            };
        } else if !end.is_error && self.not_logged_in {
            self.not_logged_in = false;
            out.push(Output::Problem(None));
        }
        if let Some(stopping) = self.stopping.take() {
            // A turn that completed after all is not called stopped, and how claude obeyed a person is its own to say.
            let obeyed = stopping.end == stopped() && end.reason.starts_with(ABORTED);
            if end.is_error && !obeyed {
                end = stopping.end;
            }
        }
        let usage = self.usage.add_result(result);
        self.finish_turn(end, usage, out);
    }

    /// claude says that it has nothing to do: a turn without a `result` has ended all the same.
    pub(super) fn idle(&mut self, out: &mut Vec<Output>) {
        if self.turn.is_none() {
            return;
        }
        if self.winding == Some(WindDown::Suspend) {
            self.suspend_turn(out);
            return;
        }
        let end = match self.stopping.take() {
            Some(stopping) => stopping.end,
            None => End::failed("ended", "The turn ended without a result."),
        };
        self.finish_turn(end, money::nothing(1), out);
    }

    /// Ends the running turn and all its messages.
    pub(super) fn finish_turn(&mut self, end: End, usage: Usage, out: &mut Vec<Output>) {
        self.announced_turn(out);
        let Some(mut turn) = self.turn.take() else { return };
        if end.is_error {
            turn.keep_preview(out);
        }
        turn.fail_tools(out);
        self.approvals.cancel_all(out);
        self.approvals.turn_over(turn.number);
        self.untold_stop |= is_stop(&end.reason, &turn.messages, &self.stop_asked);
        self.settle(&turn.messages);
        out.push(finished(turn.number, turn.messages, end, usage));
    }

    /// Ends messages that no turn ran for, as a turn of their own.
    pub(super) fn finish_unrun(&mut self, ids: Vec<MessageId>, end: End, out: &mut Vec<Output>) {
        self.settle(&ids);
        self.last_turn += 1;
        out.push(finished(self.last_turn, ids, end, money::nothing(0)));
    }

    /// Ends a turn whose messages have gone elsewhere, or that had none.
    pub(super) fn close_orphan(&mut self, mut turn: Turn, out: &mut Vec<Output>) {
        turn.fail_tools(out);
        self.approvals.turn_over(turn.number);
        out.push(finished(turn.number, Vec::new(), restarted(), money::nothing(0)));
    }

    /// Keeps the running turn for the next life.
    pub(super) fn suspend_turn(&mut self, out: &mut Vec<Output>) {
        self.approvals.lose_waiting(out);
        let Some(mut turn) = self.turn.take() else { return };
        // What subagents did stands in no transcript that is looked at.
        self.approvals
            .keep_running(|tool_use| turn.tools.contains_key(tool_use));
        turn.keep_preview(out);
        turn.fail_tools(out);
        if !turn.announced {
            // Nobody has heard of it, and its messages are looked up anyway.
        } else if turn.messages.is_empty() {
            self.close_orphan(turn, out);
        } else if let Some(older) = self.suspended.replace(turn) {
            self.orphaned.push(older);
        }
    }

    /// Ends all turns and messages, with or without a process.
    pub(super) fn finish_everything(&mut self, end: &End, out: &mut Vec<Output>) {
        if self.turn.is_some() {
            self.finish_turn(end.clone(), money::nothing(1), out);
        }
        if let Some(mut turn) = self.suspended.take() {
            turn.fail_tools(out);
            self.settle_suspended(turn, end.clone(), out);
        }
        let rest = self.unfinished();
        if !rest.is_empty() {
            self.finish_unrun(rest, end.clone(), out);
        }
    }

    /// Ends a suspended turn with those of its messages that are still open.
    pub(super) fn settle_suspended(&mut self, turn: Turn, end: End, out: &mut Vec<Output>) {
        let ids: Vec<MessageId> = turn
            .messages
            .iter()
            .copied()
            .filter(|id| self.is_unfinished(*id))
            .collect();
        self.untold_stop |= is_stop(&end.reason, &ids, &self.stop_asked);
        self.settle(&ids);
        self.approvals.turn_over(turn.number);
        out.push(finished(turn.number, ids, end, money::nothing(1)));
    }
}

/// Whether a turn of these messages that ended like this was stopped by a person. An urgent message aborts a turn as well.
pub fn is_stop(reason: &str, messages: &[MessageId], stop_asked: &BTreeSet<MessageId>) -> bool {
    reason.starts_with(ABORTED) && messages.iter().any(|id| stop_asked.contains(id))
}

fn finished(turn: u64, message_ids: Vec<MessageId>, end: End, usage: Usage) -> Output {
    Output::Event(Event::TurnFinished {
        turn,
        message_ids,
        is_error: end.is_error,
        terminal_reason: end.reason,
        error: end.error,
        usage,
    })
}
