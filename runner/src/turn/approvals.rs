//! Prompts that wait for a person, and decisions that claude has not made use of yet.
//!
//! When claude's process is gone, whoever keeps what people pressed must know whether the tool can have run: of a prompt that
//! waited, and of one that was decided while its tool has no result, neither seen nor in claude's transcript, the runner says
//! that it is lost. It keeps no decision for later itself: the journal lies on a volume that the agent can write to, and an
//! approval must not come from there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use longshore_wire::api::{Approval, ApprovalKind, Decision, Verdict};
use longshore_wire::claude::{self, CanUseTool, PermissionAnswer};
use longshore_wire::event::{ApprovalOutcome, Event};
use serde_json::{Value, json};

use super::{Machine, Output, describe};

/// Why a decision was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// No prompt of this id waits.
    #[error("No prompt with this id waits for an answer. It was answered, has expired, or its turn has ended.")]
    NotWaiting,
    /// The answers do not fit the question.
    #[error("{0}")]
    BadAnswers(String),
}

/// Prompts by their id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Approvals {
    waiting: BTreeMap<String, Waiting>,
    /// By the id of the tool's use, until that has a result.
    decided: BTreeMap<String, Decided>,
}

#[derive(Clone, Debug, PartialEq)]
struct Waiting {
    turn: u64,
    approval: Approval,
    suggestions: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq)]
struct Decided {
    turn: u64,
    prompt: String,
}

impl Approvals {
    pub fn waiting(&self) -> Vec<Approval> {
        self.waiting.values().map(|waiting| waiting.approval.clone()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A prompt that the journal knows as open. claude has forgotten it, so it can only be closed.
    pub fn restore(&mut self, turn: u64, approval: Approval) {
        let waiting = Waiting {
            turn,
            suggestions: Vec::new(),
            approval,
        };
        self.waiting.insert(waiting.approval.id.clone(), waiting);
    }

    /// The journal knows that it was closed, and how.
    pub fn forget(&mut self, id: &str, outcome: ApprovalOutcome) {
        let closed = self.waiting.remove(id);
        if let (Some(waiting), ApprovalOutcome::Allowed | ApprovalOutcome::Denied) = (closed, outcome) {
            self.keep_decided(waiting);
        }
    }

    fn keep_decided(&mut self, waiting: Waiting) {
        let Waiting { turn, approval, .. } = waiting;
        if let Some(tool_use) = approval.tool_use_id {
            let prompt = approval.id;
            self.decided.insert(tool_use, Decided { turn, prompt });
        }
    }

    /// A use of a tool has a result, so that a decision about it is spent.
    pub fn ended(&mut self, tool_use: &str) {
        self.decided.remove(tool_use);
    }

    /// A turn is over, and all that was decided in it.
    pub fn turn_over(&mut self, turn: u64) {
        self.decided.retain(|_, decided| decided.turn != turn);
    }

    /// Keeps only decisions about uses of tools that are known to run.
    pub fn keep_running(&mut self, runs: impl Fn(&str) -> bool) {
        self.decided.retain(|tool_use, _| runs(tool_use));
    }

    /// Uses of tools that were decided about and have no result.
    pub fn decided(&self) -> BTreeSet<String> {
        self.decided.keys().cloned().collect()
    }

    /// Says which decisions were in vain, since claude is gone. `may_have_run` are uses of tools that may have had a result.
    pub fn lose_decided(&mut self, may_have_run: &BTreeSet<String>, out: &mut Vec<Output>) {
        for (tool_use, Decided { prompt, .. }) in std::mem::take(&mut self.decided) {
            if !may_have_run.contains(&tool_use) {
                out.push(Output::Event(Event::ApprovalLost { id: prompt }));
            }
        }
    }

    /// Closes what waits, since claude is gone.
    pub fn lose_waiting(&mut self, out: &mut Vec<Output>) {
        for id in std::mem::take(&mut self.waiting).into_keys() {
            out.push(Output::Event(Event::ApprovalLost { id: id.clone() }));
            close(&id, ApprovalOutcome::Cancelled, None, out);
        }
    }

    pub fn open(&mut self, turn: u64, request: CanUseTool, expires_at: Timestamp, out: &mut Vec<Output>) {
        let kind = match request.tool_name.as_str() {
            "AskUserQuestion" => ApprovalKind::Question,
            "ExitPlanMode" => ApprovalKind::Plan,
            _ => ApprovalKind::Permission,
        };
        let description = request.description.as_deref();
        let approval = Approval {
            summary: describe::approval(kind, &request.tool_name, &request.input, description),
            id: request.request_id,
            kind,
            tool_name: request.tool_name,
            input: request.input,
            expires_at,
            tool_use_id: request.tool_use_id,
            blocked_path: request.blocked_path.map(describe::of_prompt),
            reason: request.reason.map(describe::of_prompt),
            rememberable: Some(match kind {
                ApprovalKind::Permission => describe::rules(&remembered(&request.suggestions)),
                ApprovalKind::Question | ApprovalKind::Plan => Vec::new(),
            }),
        };
        out.push(Output::Event(Event::Approval {
            turn,
            approval: approval.clone(),
        }));
        let waiting = Waiting {
            turn,
            suggestions: request.suggestions,
            approval,
        };
        self.waiting.insert(waiting.approval.id.clone(), waiting);
    }

    /// claude no longer waits for it.
    pub fn cancel(&mut self, id: &str, out: &mut Vec<Output>) {
        if self.waiting.remove(id).is_some() {
            close(id, ApprovalOutcome::Cancelled, None, out);
        }
    }

    pub fn cancel_all(&mut self, out: &mut Vec<Output>) {
        for id in std::mem::take(&mut self.waiting).into_keys() {
            close(&id, ApprovalOutcome::Cancelled, None, out);
        }
    }

    /// Denies what nobody answered in time.
    pub fn expire(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let due = self
            .waiting
            .values()
            .filter(|waiting| waiting.approval.expires_at <= now);
        let due: Vec<String> = due.map(|waiting| waiting.approval.id.clone()).collect();
        for id in due {
            self.waiting.remove(&id);
            answer(
                &id,
                PermissionAnswer::Deny {
                    message:
                        "Nobody answered this prompt in time, so it was denied. Go on without it, or say what you \
                              need and stop."
                            .to_owned(),
                },
                out,
            );
            close(&id, ApprovalOutcome::Expired, None, out);
        }
    }
}

impl Machine {
    /// A person's answer to a prompt.
    pub fn decide(&mut self, now: Timestamp, id: &str, decision: Decision) -> Result<Vec<Output>, DecideError> {
        let waiting = self.approvals.waiting.get(id).ok_or(DecideError::NotWaiting)?;
        let reply = reply(waiting, &decision)?;
        if let Some(waiting) = self.approvals.waiting.remove(id) {
            self.approvals.keep_decided(waiting);
        }
        self.watch.sign(now);
        let mut out = Vec::new();
        // On disk before claude hears of it: what it may have acted on is never taken for a prompt that still waited.
        close(id, decision.verdict.into(), decision.by, &mut out);
        answer(id, reply, &mut out);
        Ok(out)
    }
}

fn reply(waiting: &Waiting, decision: &Decision) -> Result<PermissionAnswer, DecideError> {
    let Approval { kind, input, .. } = &waiting.approval;
    if decision.verdict == Verdict::Deny {
        let message = decision.message.clone().filter(|text| !text.trim().is_empty());
        return Ok(PermissionAnswer::Deny {
            message: message.unwrap_or_else(|| denial(*kind).to_owned()),
        });
    }
    let mut updated_input = input.clone();
    let mut updated_permissions = Vec::new();
    match kind {
        ApprovalKind::Question => updated_input["answers"] = answers(input, decision)?,
        ApprovalKind::Plan if decision.remember => {
            updated_permissions.push(json!({"type": "setMode", "mode": "acceptEdits", "destination": "session"}));
        }
        ApprovalKind::Permission if decision.remember => updated_permissions = remembered(&waiting.suggestions),
        ApprovalKind::Plan | ApprovalKind::Permission => {}
    }
    Ok(PermissionAnswer::Allow {
        updated_input,
        updated_permissions,
    })
}

fn answers(input: &Value, decision: &Decision) -> Result<Value, DecideError> {
    let asked: Vec<&str> = input["questions"]
        .as_array()
        .map(|questions| {
            questions
                .iter()
                .filter_map(|question| question["question"].as_str())
                .collect()
        })
        .unwrap_or_default();
    if decision.answers.is_empty() {
        return Err(DecideError::BadAnswers(
            "`answers` must map the text of each question to an answer.".to_owned(),
        ));
    }
    if let Some(unknown) = decision.answers.keys().find(|key| !asked.contains(&key.as_str())) {
        return Err(DecideError::BadAnswers(format!(
            "No such question was asked: {unknown}"
        )));
    }
    Ok(json!(decision.answers))
}

/// What claude suggests to allow, for this session only: nothing is ever written to a settings file. Of what it suggests the least:
/// rules for this very use, else whole folders, else another mode, each of which would allow much more.
fn remembered(suggestions: &[Value]) -> Vec<Value> {
    let suggestions = || suggestions.iter().filter(|suggestion| suggestion.is_object());
    let least = |kind: &Value| match kind.as_str() {
        Some("addRules") => 0,
        Some("setMode") => 2,
        _ => 1,
    };
    let chosen = suggestions().map(|suggestion| least(&suggestion["type"])).min();
    suggestions()
        .filter(|suggestion| Some(least(&suggestion["type"])) == chosen)
        .cloned()
        .map(|mut suggestion| {
            suggestion["destination"] = json!("session");
            suggestion
        })
        .collect()
}

fn denial(kind: ApprovalKind) -> &'static str {
    match kind {
        ApprovalKind::Permission => "The person did not allow this.",
        ApprovalKind::Question => "The person gave no answer.",
        ApprovalKind::Plan => "The person does not agree with this plan.",
    }
}

fn answer(id: &str, answer: PermissionAnswer, out: &mut Vec<Output>) {
    out.push(Output::Write(claude::Input::Permission {
        request_id: id.to_owned(),
        answer,
    }));
}

fn close(id: &str, outcome: ApprovalOutcome, by: Option<String>, out: &mut Vec<Output>) {
    out.push(Output::Event(Event::ApprovalClosed {
        id: id.to_owned(),
        outcome,
        by,
    }));
}
