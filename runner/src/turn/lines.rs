//! What a line of claude's means.

use std::collections::BTreeSet;

use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::api::{AgentProblem, AgentProblemKind, Settings};
use longshore_wire::claude::output::side_answer;
use longshore_wire::claude::{self, ControlResponse, Delta, Lifecycle, Line, System};
use serde_json::Value;
use uuid::Uuid;

use super::now::{Found, models};
use super::{Machine, Output, Pending, Place, Reply, Unset, WindDown, finish};
use crate::journal::Mark;

impl Machine {
    pub(super) fn line(&mut self, now: Timestamp, line: Line, out: &mut Vec<Output>) {
        self.watch.sign(now);
        if is_answer(&line) {
            self.watch.answered();
        }
        if let Line::User(user) = &line {
            self.results(user);
        }
        match line {
            Line::System(system) => self.system(now, system, out),
            // What a subagent says is for its parent; only the parent's own words are the answer.
            Line::Stream(stream) if stream.subagent => {}
            Line::Assistant(assistant) if assistant.subagent => {}
            Line::User(user) if user.subagent => {}
            Line::Stream(stream) => self.stream(stream.delta, out),
            Line::Assistant(assistant) => self.assistant(assistant, out),
            Line::User(user) => self.user(&user, out),
            Line::Result(result) => self.result(&result, out),
            Line::CanUseTool(request) => {
                let turn = self.announced_turn(out).number;
                let expires_at = now.saturating_add(self.limits.approval).unwrap_or(Timestamp::MAX);
                self.approvals.open(turn, *request, expires_at, out);
            }
            Line::Mcp(request) => self.mcp(*request, out),
            Line::OtherRequest { request_id, subtype } => out.push(Output::Write(claude::Input::Refuse {
                request_id,
                error: format!("longshore does not serve {subtype}"),
            })),
            Line::Response(response) => self.response(response, out),
            Line::CancelRequest { request_id } => self.approvals.cancel(&request_id, out),
            Line::Lifecycle { message, state } => self.lifecycle(message, state, out),
            Line::Quiet => {}
            Line::Unknown { kind, .. } => out.push(Output::Unknown(format!("unknown kind {kind}"))),
            Line::Malformed { kind, error, .. } => {
                out.push(Output::Unknown(format!("{kind} of an unexpected shape: {error}")));
            }
            Line::NotJson(_) => out.push(Output::Unknown("a line that is not JSON".to_owned())),
        }
    }

    fn system(&mut self, now: Timestamp, system: System, out: &mut Vec<Output>) {
        match system {
            // Printed at the start of every turn, also of one that claude starts by itself.
            System::Init {
                model, permission_mode, ..
            } => {
                self.found.model = model.or(self.found.model.take());
                self.found.permission_mode = permission_mode.or(self.found.permission_mode.take());
                if self.turn.is_none() {
                    self.settling = None;
                }
                self.announced_turn(out);
            }
            System::Status { status, messages } => {
                self.watch.compacting = status.as_deref() == Some("compacting");
                for message in messages {
                    let ids = self.ids_of(message);
                    self.join(ids, out);
                }
            }
            System::ApiRetry { error, .. } => {
                self.watch.retried(now);
                if error == "authentication_failed" && self.turn.is_some() {
                    self.refused_credentials(out);
                    self.stop(now, finish::not_logged_in(), out);
                }
            }
            System::BackgroundTasks { ids } => self.in_background(now, ids.into_iter().collect()),
            System::TaskEnded { id } => {
                let mut left = self.background.clone();
                left.remove(&id);
                self.in_background(now, left);
            }
            System::SessionState { state } if state == "idle" => self.idle(out),
            System::SessionState { .. } => {}
            System::WritesLost { error } => out.push(Output::Problem(Some(AgentProblem {
                kind: AgentProblemKind::NotWritable,
                message: format!(
                    "claude could not save its conversation ({}). Make room on the topic's volume.",
                    error.as_deref().unwrap_or("unknown error")
                ),
            }))),
        }
    }

    fn in_background(&mut self, now: Timestamp, tasks: BTreeSet<String>) {
        if tasks.is_empty() && !self.background.is_empty() {
            self.settling = Some(now);
        }
        self.background = tasks;
    }

    fn lifecycle(&mut self, message: Uuid, state: Lifecycle, out: &mut Vec<Output>) {
        match state {
            Lifecycle::Queued | Lifecycle::Completed => {}
            Lifecycle::Started => {
                let ids = self.ids_of(message);
                self.join(ids, out);
            }
            Lifecycle::Cancelled => self.cancelled(message, out),
        }
    }

    /// A message was dropped from claude's queue. For one of the running turn this is only the echo of its end.
    pub(super) fn cancelled(&mut self, message: Uuid, out: &mut Vec<Output>) {
        if self.winding == Some(WindDown::Suspend) {
            return;
        }
        let running: Vec<MessageId> = self.turn.as_ref().map(|turn| turn.messages.clone()).unwrap_or_default();
        let mut dropped = self.ids_of(message);
        dropped.retain(|id| self.is_unfinished(*id) && !running.contains(id));
        if !dropped.is_empty() {
            let end = match self.winding {
                Some(_) => finish::quiesced(),
                None => finish::cancelled(),
            };
            self.finish_unrun(dropped, end, out);
        }
    }

    fn response(&mut self, response: ControlResponse, out: &mut Vec<Output>) {
        let Some(pending) = self.pending.remove(&response.request_id) else {
            return;
        };
        match (pending, response.outcome) {
            (Pending::Initialize, Ok(reply)) => {
                self.ready = true;
                self.found = Found {
                    models: models(&reply),
                    ..Found::default()
                };
                out.push(Output::Ready {
                    pid: reply["pid"].as_u64().and_then(|pid| pid.try_into().ok()),
                    version: reply["claude_code_version"].as_str().map(str::to_owned),
                });
            }
            (Pending::Initialize, Err(error)) => out.push(Output::StartRefused(error)),
            (Pending::Interrupt { token, stopped }, outcome) => {
                self.interrupted(token, stopped, &outcome.unwrap_or(Value::Null), out);
            }
            (Pending::Setting { token, change, last }, Ok(_)) => {
                self.changed(change, out);
                if last {
                    out.push(Output::Reply(token, Reply::Settings(Ok(()))));
                }
            }
            (Pending::Setting { token, .. }, Err(error)) => {
                out.push(Output::Reply(token, Reply::Settings(Err(Unset::Refused(error)))));
            }
            (Pending::Ask { token }, outcome) => {
                let answer = outcome.and_then(|reply| side_answer(&reply));
                out.push(Output::Reply(token, Reply::Answer(answer)));
            }
            (Pending::Unanswered, _) => {}
        }
    }

    fn changed(&mut self, change: Settings, out: &mut Vec<Output>) {
        if change.model.is_some() {
            // What the last turn had says nothing of the next one.
            self.found.model = None;
            self.settings.model = change.model;
        }
        if change.permission_mode.is_some() {
            self.found.permission_mode = None;
            self.settings.permission_mode = change.permission_mode;
        }
        out.push(Output::Mark(Mark::Settings {
            model: self.settings.model.clone(),
            permission_mode: self.settings.permission_mode.clone(),
        }));
    }

    pub(super) fn refused_credentials(&mut self, out: &mut Vec<Output>) {
        self.not_logged_in = true;
        out.push(Output::Problem(Some(AgentProblem {
            kind: AgentProblemKind::NotLoggedIn,
            message: "The model endpoint refuses the credentials. Put a valid key into the Secret that the AgentClass \
                      names, then restart the agent."
                .to_owned(),
        })));
    }

    /// Messages that claude's process never got to.
    pub(super) fn waiting(&self) -> Vec<MessageId> {
        let waiting = self.unfinished.iter().filter(|open| open.place == Place::Waiting);
        waiting.map(|open| open.message.id).collect()
    }
}

/// The model has answered, the parent or a subagent. Without a stream there is no beginning, only the finished block.
fn is_answer(line: &Line) -> bool {
    match line {
        Line::Stream(stream) => stream.delta == Delta::MessageStart,
        Line::Assistant(assistant) => assistant.api_error.is_none(),
        _ => false,
    }
}
