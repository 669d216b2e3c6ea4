//! `longshore-runner replay`: feeds recorded transcripts through the codec and the turn machine and says what came out.
//!
//! This is how a new version of the CLI is judged: record it, replay it, and see what is not understood and whether
//! anything is lost. A transcript is one JSON object per line, either a line of claude's stdout or
//! `{"t": ms, "dir": "in"|"out", "msg": ...}`, where an `in` may also be the raw text that was written.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use longshore_wire::MessageId;
use longshore_wire::api::{Decision, Priority, Verdict};
use longshore_wire::claude::{Block, ControlResponse, Line, decode};
use longshore_wire::event::{Event, ToolState};
use serde_json::{Value, json};

use crate::turn::{Input, Limits, Machine, Message, Output, Past};

/// Longest text that is printed of a block, in characters.
const SHOWN: usize = 72;

/// What one transcript came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What happened, a line each.
    pub story: Vec<String>,
    /// What was not understood, and how often.
    pub unknown: BTreeMap<String, u32>,
    /// What went in and did not come out.
    pub lost: Vec<String>,
    /// Turns that ended.
    pub turns: usize,
    /// Finished text blocks.
    pub texts: usize,
    /// Tool calls.
    pub tools: usize,
    /// Prompts.
    pub approvals: usize,
}

/// Replays a transcript.
pub fn replay(text: &str) -> Report {
    let mut replay = Replay::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        replay.recorded(line);
    }
    replay.finish()
}

struct Replay {
    machine: Machine,
    ready: bool,
    now: Timestamp,
    report: Report,
    /// Texts that claude said and that must come out, in order.
    expected: Vec<String>,
    said: Vec<String>,
}

impl Replay {
    fn new() -> Self {
        let never = SignedDuration::from_hours(24);
        let limits = Limits {
            silence: never,
            retries: never,
            obey: never,
            approval: never,
            start: never,
        };
        let now = Timestamp::UNIX_EPOCH;
        let mut machine = Machine::restore(Past::default(), limits, now);
        machine.step(now, Input::Spawned { preface: Vec::new() });
        Self {
            machine,
            ready: false,
            now,
            report: Report::default(),
            expected: Vec::new(),
            said: Vec::new(),
        }
    }

    fn recorded(&mut self, line: &str) {
        let Ok(recorded) = serde_json::from_str::<Value>(line) else {
            *self
                .report
                .unknown
                .entry("a line that is not JSON".to_owned())
                .or_default() += 1;
            return;
        };
        if let Some(ms) = recorded["t"].as_f64() {
            self.now = Timestamp::from_millisecond(ms as i64).unwrap_or(self.now);
        }
        match (recorded["dir"].as_str(), &recorded["msg"]) {
            (Some("in"), Value::String(raw)) => {
                let lines = raw.lines().filter_map(|line| serde_json::from_str(line).ok());
                lines.collect::<Vec<Value>>().iter().for_each(|value| self.told(value));
            }
            (Some("in"), value) => self.told(value),
            (Some(_), Value::String(raw)) => self.line(decode(raw)),
            (Some(_), value) => self.line(decode(&value.to_string())),
            (None, _) => self.line(decode(line)),
        }
    }

    /// What the recording host wrote to claude.
    fn told(&mut self, value: &Value) {
        match value["type"].as_str() {
            Some("user") => {
                let Some(id) = value["uuid"].as_str().and_then(|uuid| uuid.parse().ok()) else {
                    return;
                };
                let message = Message {
                    id: MessageId(id),
                    text: value["message"]["content"].as_str().unwrap_or_default().to_owned(),
                    author: None,
                    attachments: Vec::new(),
                    context: None,
                    priority: Priority::Next,
                };
                self.step(Input::Accept(message));
            }
            Some("control_response") => {
                let response = &value["response"];
                let allowed = response["response"]["behavior"] == "allow";
                let answers = response["response"]["updatedInput"]["answers"].as_object();
                let answers = answers.into_iter().flatten();
                let decision = Decision {
                    verdict: if allowed { Verdict::Allow } else { Verdict::Deny },
                    remember: false,
                    message: None,
                    answers: answers
                        .filter_map(|(question, answer)| Some((question.clone(), answer.as_str()?.to_owned())))
                        .collect(),
                    by: None,
                };
                let id = response["request_id"].as_str().unwrap_or_default();
                // A late answer, or one to another kind of request, changes nothing.
                if let Ok(outputs) = self.machine.decide(self.now, id, decision) {
                    self.came_out(&outputs);
                }
            }
            _ => {}
        }
    }

    fn line(&mut self, line: Line) {
        if !self.ready && !matches!(line, Line::Result(_) | Line::NotJson(_)) {
            self.ready = true;
            self.step(Input::Line(Line::Response(ControlResponse {
                request_id: "longshore-1".to_owned(),
                outcome: Ok(json!({})),
            })));
        }
        if let Line::Assistant(assistant) = &line
            && !assistant.subagent
            && assistant.api_error.is_none()
        {
            self.expected
                .extend(assistant.blocks.iter().filter_map(|block| match block {
                    Block::Text(text) if !text.trim().is_empty() => Some(text.clone()),
                    _ => None,
                }));
        }
        let must_show = must_show(&line);
        let outputs = self.step(Input::Line(line));
        if let Some((what, shows)) = must_show
            && !outputs.iter().any(shows)
        {
            self.report.lost.push(what);
        }
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let outputs = self.machine.step(self.now, input);
        self.came_out(&outputs);
        outputs
    }

    fn came_out(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Event(event) => self.event(event),
                Output::Unknown(what) => *self.report.unknown.entry(what.clone()).or_default() += 1,
                Output::StartRefused(why) => self.report.story.push(format!("refused to start: {}", short(why))),
                Output::Problem(Some(problem)) => self.report.story.push(format!("problem: {:?}", problem.kind)),
                _ => {}
            }
        }
    }

    fn event(&mut self, event: &Event) {
        let line = match event {
            Event::TurnStarted { turn, message_ids } => {
                format!("turn {turn} started for {} message(s)", message_ids.len())
            }
            Event::Text { turn, block, text } => {
                self.report.texts += 1;
                self.said.push(text.clone());
                format!("  text {turn}.{block}: {}", short(text))
            }
            Event::Tool {
                name, summary, state, ..
            } => match state {
                ToolState::Started => {
                    self.report.tools += 1;
                    format!("  tool {name}: {}", short(summary))
                }
                ToolState::Finished | ToolState::Failed => format!("  tool {name} {state:?}"),
            },
            Event::Approval { approval, .. } => {
                self.report.approvals += 1;
                format!("  approval ({:?}): {}", approval.kind, short(&approval.summary))
            }
            Event::ApprovalClosed { outcome, .. } => format!("  approval {outcome:?}"),
            Event::ApprovalLost { .. } => "  approval lost".to_owned(),
            Event::TurnFinished {
                turn,
                message_ids,
                terminal_reason,
                error,
                usage,
                ..
            } => {
                self.report.turns += 1;
                let error = error.as_deref().map(|error| format!(": {}", short(error)));
                format!(
                    "turn {turn} ended for {} message(s), {terminal_reason}, {} USD{}",
                    message_ids.len(),
                    usage.cost_usd,
                    error.unwrap_or_default()
                )
            }
            Event::Escalation { escalation, .. } => format!("  asks for a session: {}", short(&escalation.reason)),
            Event::File { file, .. } => format!("  sends {} ({} bytes)", short(&file.name), file.size),
            Event::Accepted { .. }
            | Event::IdleWarning { .. }
            | Event::Memory { .. }
            | Event::Disk { .. }
            | Event::Repository { .. }
            | Event::Restarted { .. }
            | Event::Summary { .. }
            | Event::EarlierSummary { .. } => return,
        };
        self.report.story.push(line);
    }

    fn finish(mut self) -> Report {
        let mut said = self.said;
        for text in self.expected {
            match said.iter().position(|out| *out == text) {
                Some(index) => drop(said.remove(index)),
                None => self.report.lost.push(format!("text {}", short(&text))),
            }
        }
        for id in self.machine.unfinished() {
            self.report
                .story
                .push(format!("message {id} has no end in this recording"));
        }
        self.report
    }
}

type Shows = fn(&Output) -> bool;

/// What must come out for a line at once, if anything: its name for the list of losses, and the test.
fn must_show(line: &Line) -> Option<(String, Shows)> {
    match line {
        Line::Result(result) if result.is_error || result.num_turns > 0 => Some((
            format!(
                "result {}",
                result.terminal_reason.as_deref().unwrap_or("without a reason")
            ),
            |output| {
                matches!(
                    output,
                    Output::Event(Event::TurnFinished { .. }) | Output::StartRefused(_)
                )
            },
        )),
        Line::CanUseTool(request) => Some((format!("approval for {}", request.tool_name), |output| {
            matches!(output, Output::Event(Event::Approval { .. }))
        })),
        Line::Mcp(request) => Some((format!("something for the MCP server {}", request.server), |output| {
            matches!(output, Output::Write(_))
        })),
        Line::OtherRequest { subtype, .. } => Some((format!("request {subtype}"), |output| {
            matches!(output, Output::Write(_))
        })),
        Line::Assistant(assistant) if !assistant.subagent => {
            let has_tool = assistant
                .blocks
                .iter()
                .any(|block| matches!(block, Block::ToolUse { .. }));
            has_tool.then(|| {
                let shows: Shows = |output| matches!(output, Output::Event(Event::Tool { .. }));
                ("tool call".to_owned(), shows)
            })
        }
        _ => None,
    }
}

fn short(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(SHOWN) {
        None => flat,
        Some((end, _)) => format!("{}…", &flat[..end]),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        for (what, times) in &self.unknown {
            writeln!(f, "  not understood ({times}x): {what}")?;
        }
        for what in &self.lost {
            writeln!(f, "  LOST: {what}")?;
        }
        Ok(())
    }
}
