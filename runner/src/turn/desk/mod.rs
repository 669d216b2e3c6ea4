//! The one MCP server that lives in the runner, over claude's control channel, and its tools.
//!
//! | file | tool | who has it |
//! |---|---|---|
//! | `escalation` | `request_deep_session` | a task that may ask for a session |
//! | `files` | `send_file` | an agent whose chat takes files |
//!
//! An agent that has none of them has no server. Every request is answered once; what a tool does is journalled before its
//! answer is written.

pub mod escalation;
pub mod files;

use std::collections::BTreeSet;

use longshore_wire::agent::{AgentConfig, EscalationOffer};
use longshore_wire::claude::{self, McpAnswer, McpCall, McpRequest};
use serde_json::Value;

use super::{Machine, Output};

/// Name of the server.
pub const SERVER: &str = "longshore";

/// What the agent may ask for, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desk {
    /// It may ask for a session.
    pub offer: Option<EscalationOffer>,
    /// It has asked, in this life or an earlier one.
    pub asked: bool,
    /// It may send files.
    pub sends_files: bool,
    /// The newest turn in which it has sent files, and how many.
    pub sent: (u64, usize),
    /// Calls of claude's present process whose files are being copied.
    pub copying: BTreeSet<String>,
}

/// Permission rules of the tools that this agent has: they ask nobody.
pub fn rules(agent: &AgentConfig) -> Vec<&'static str> {
    let rules = [
        agent.escalation.map(|_| escalation::RULE),
        agent.sends_files.then_some(files::RULE),
    ];
    rules.into_iter().flatten().collect()
}

impl Machine {
    /// The same, with the tools that this agent has.
    pub fn serving(mut self, agent: &AgentConfig) -> Self {
        self.desk.offer = agent.escalation;
        self.desk.sends_files = agent.sends_files;
        self
    }

    /// Names of the servers that claude is told of.
    pub(super) fn mcp_servers(&self) -> Vec<String> {
        let any = !self.tools().is_empty();
        any.then(|| SERVER.to_owned()).into_iter().collect()
    }

    fn tools(&self) -> Vec<Value> {
        let session = self.desk.offer.map(escalation::tool);
        let file = self.desk.sends_files.then(files::tool);
        session.into_iter().chain(file).collect()
    }

    pub(super) fn mcp(&mut self, request: McpRequest, out: &mut Vec<Output>) {
        let McpRequest {
            request_id,
            server,
            id,
            call,
        } = request;
        if server != SERVER || self.tools().is_empty() {
            out.push(Output::Write(claude::Input::Refuse {
                request_id,
                error: format!("longshore has no MCP server {server} here"),
            }));
            return;
        }
        let answer = match call {
            McpCall::Initialize { protocol } => McpAnswer::Initialized {
                protocol,
                server: SERVER.to_owned(),
            },
            McpCall::Notification | McpCall::Ping => McpAnswer::Empty,
            McpCall::ListTools => McpAnswer::Tools(self.tools()),
            McpCall::CallTool { name, arguments } => match (name.as_str(), self.desk.offer) {
                (escalation::TOOL, Some(offer)) => called(self.ask_for_session(offer, &arguments, out)),
                (files::TOOL, _) if self.desk.sends_files => match self.send_file(&request_id, &id, &arguments, out) {
                    // It is answered when the file is copied.
                    Ok(()) => return,
                    Err(text) => called(Err(text)),
                },
                _ => McpAnswer::NoSuchTool { name },
            },
            McpCall::Unknown { method } => McpAnswer::NoSuchMethod { method },
        };
        out.push(Output::Write(claude::Input::Mcp { request_id, id, answer }));
    }
}

/// What a tool came to.
fn called(result: Result<String, &'static str>) -> McpAnswer {
    match result {
        Ok(text) => McpAnswer::Called { text, is_error: false },
        Err(text) => McpAnswer::Called {
            text: text.to_owned(),
            is_error: true,
        },
    }
}

#[cfg(test)]
mod tests;
