//! The one MCP server that lives in the runner, and its one tool: the agent of a task asks for a session.
//!
//! What is asked for is kept within bounds, journalled once, and answered with what happens now. Whether a session is started is
//! decided elsewhere, by those who read the task's result.

use longshore_wire::agent::EscalationOffer;
use longshore_wire::api::Escalation;
use longshore_wire::claude::{self, McpAnswer, McpCall, McpRequest};
use longshore_wire::event::Event;
use serde_json::{Value, json};

use super::{Machine, Output};

/// Name of the server.
pub const SERVER: &str = "longshore";
/// Name of the tool.
pub const TOOL: &str = "request_deep_session";
/// The tool as permission rules name it.
pub const RULE: &str = "mcp__longshore__request_deep_session";

/// What a task's agent may ask for, and whether it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desk {
    /// Without an offer there is no server.
    pub offer: Option<EscalationOffer>,
    /// It has asked, in this life or an earlier one.
    pub asked: bool,
}

impl Machine {
    /// The same, with the tool for its agent if there is an offer.
    pub fn offering(mut self, offer: Option<EscalationOffer>) -> Self {
        self.desk.offer = offer;
        self
    }

    /// Names of the servers that claude is told of.
    pub(super) fn mcp_servers(&self) -> Vec<String> {
        self.desk.offer.iter().map(|_| SERVER.to_owned()).collect()
    }

    pub(super) fn mcp(&mut self, request: McpRequest, out: &mut Vec<Output>) {
        let McpRequest {
            request_id,
            server,
            id,
            call,
        } = request;
        let answer = match (self.desk.offer, call) {
            (Some(offer), call) if server == SERVER => self.serve(offer, call, out),
            _ => {
                out.push(Output::Write(claude::Input::Refuse {
                    request_id,
                    error: format!("longshore has no MCP server {server} here"),
                }));
                return;
            }
        };
        out.push(Output::Write(claude::Input::Mcp { request_id, id, answer }));
    }

    fn serve(&mut self, offer: EscalationOffer, call: McpCall, out: &mut Vec<Output>) -> McpAnswer {
        match call {
            McpCall::Initialize { protocol } => McpAnswer::Initialized {
                protocol,
                server: SERVER.to_owned(),
            },
            McpCall::Notification | McpCall::Ping => McpAnswer::Empty,
            McpCall::ListTools => McpAnswer::Tools(vec![tool(offer)]),
            McpCall::CallTool { name, arguments } if name == TOOL => {
                let (text, is_error) = match self.ask_for_session(offer, &arguments, out) {
                    Ok(text) => (text, false),
                    Err(text) => (text.to_owned(), true),
                };
                McpAnswer::Called { text, is_error }
            }
            McpCall::CallTool { name, .. } => McpAnswer::NoSuchTool { name },
            McpCall::Unknown { method } => McpAnswer::NoSuchMethod { method },
        }
    }

    fn ask_for_session(
        &mut self,
        offer: EscalationOffer,
        arguments: &Value,
        out: &mut Vec<Output>,
    ) -> Result<String, &'static str> {
        if self.desk.asked {
            return Err(ASKED_ALREADY);
        }
        let field = |name: &str| arguments[name].as_str().unwrap_or_default().trim().to_owned();
        let said = Escalation {
            reason: field("reason"),
            plan: field("plan"),
        };
        if said.reason.is_empty() || said.plan.is_empty() {
            return Err(INCOMPLETE);
        }
        let escalation = said.bounded();
        let cut = if escalation == said { "" } else { CUT };
        self.desk.asked = true;
        let turn = self.announced_turn(out).number;
        out.push(Output::Event(Event::Escalation { turn, escalation }));
        let next = match offer {
            EscalationOffer::Start => STARTS,
            EscalationOffer::Ask => ASKS,
        };
        Ok(format!("{next} {HAND_OVER}{cut}"))
    }
}

const STARTS: &str = "A session takes over as soon as this task has ended.";
const ASKS: &str = "The person is asked, as soon as this task has ended, whether a session shall take over.";
const HAND_OVER: &str = "It gets the person's message, your reason, your plan and your answer; it sees the same files, and nothing \
                         else of this conversation. Do not go on with the work now. End with a short handover: what you \
                         have found out, what is done, what is left.";
const CUT: &str = " What you wrote was longer than fits and was cut; put what is missing into your answer.";
const ASKED_ALREADY: &str = "A session was asked for already in this task. End with a short handover: what you have found out, \
                             what is done, what is left.";
const INCOMPLETE: &str = "Write both: `reason`, why one task is not enough, and `plan`, what the session shall do.";

/// The tool as claude is told of it. It is always in view: a tool that must be searched for first is not found when it is needed.
fn tool(offer: EscalationOffer) -> Value {
    let then = match offer {
        EscalationOffer::Start => "a session then takes over by itself",
        EscalationOffer::Ask => "the person is then asked whether a session shall take over",
    };
    let description = format!(
        "You work on one message in a task: one turn, a limited time, nobody to ask. Call this when that is not enough: the \
         work needs many steps or hours, or decisions of the person on the way. End your turn after it: {then}, and goes on \
         from your reason, your plan and your answer. Do not call it for what you can finish now. Once in a task."
    );
    json!({
        "name": TOOL,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": {
                "reason": {
                    "type": "string",
                    "maxLength": Escalation::REASON_CHARS,
                    "description": "Why a task is not enough, in a sentence or two for the person.",
                },
                "plan": {
                    "type": "string",
                    "maxLength": Escalation::PLAN_BYTES,
                    "description": "What the session shall do, step by step, with all that you have learnt for it.",
                },
            },
            "required": ["reason", "plan"],
            "additionalProperties": false,
        },
        "_meta": {"anthropic/alwaysLoad": true},
    })
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use longshore_wire::claude::decode;

    use super::*;
    use crate::turn::{Input, Limits, Past};

    fn machine(offer: Option<EscalationOffer>) -> Machine {
        let long = SignedDuration::from_hours(1);
        let limits = Limits {
            silence: long,
            retries: long,
            obey: long,
            approval: long,
            start: long,
        };
        Machine::restore(Past::default(), limits, Timestamp::UNIX_EPOCH).offering(offer)
    }

    fn hears(machine: &mut Machine, server: &str, message: Value) -> Vec<Output> {
        let request = json!({"subtype": "mcp_message", "server_name": server, "message": message});
        let line = json!({"type": "control_request", "request_id": "m", "request": request});
        machine.step(Timestamp::UNIX_EPOCH, Input::Line(decode(&line.to_string())))
    }

    #[test]
    fn every_message_of_the_protocol_is_answered_once() {
        let mut machine = machine(Some(EscalationOffer::Ask));
        for (method, answer) in [
            ("initialize", "protocolVersion"),
            ("notifications/initialized", "\"result\":{}"),
            ("ping", "\"result\":{}"),
            ("tools/list", TOOL),
            ("tools/call", "there is no tool x"),
            ("resources/list", "-32601"),
        ] {
            let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": {"name": "x"}});
            match &hears(&mut machine, SERVER, message)[..] {
                [Output::Write(written @ claude::Input::Mcp { .. })] => {
                    let line = written.encode();
                    assert!(line.contains(answer) && line.contains("\"id\":7"), "{method}: {line}");
                }
                other => panic!("{method}: {other:?}"),
            }
        }
    }

    #[test]
    fn without_an_offer_and_for_another_server_everything_is_refused() {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        for (offer, server) in [(None, SERVER), (Some(EscalationOffer::Start), "other")] {
            let said = hears(&mut machine(offer), server, list.clone());
            assert!(
                matches!(&said[..], [Output::Write(claude::Input::Refuse { .. })]),
                "{said:?}"
            );
        }
        assert!(machine(None).mcp_servers().is_empty());
    }

    #[test]
    fn the_wish_is_journalled_before_claude_is_told_that_it_was_heard() {
        let mut machine = machine(Some(EscalationOffer::Start));
        let arguments = json!({"reason": "long", "plan": "a\nb"});
        let call = json!({"id": 1, "method": "tools/call", "params": {"name": TOOL, "arguments": arguments}});
        let said = hears(&mut machine, SERVER, call.clone());
        let events = said
            .iter()
            .filter(|output| matches!(output, Output::Event(Event::Escalation { .. })));
        assert_eq!(events.count(), 1);
        assert!(
            matches!(said.last(), Some(Output::Write(claude::Input::Mcp { .. }))),
            "{said:?}"
        );
        let again = hears(&mut machine, SERVER, call);
        assert!(
            !again.iter().any(|output| matches!(output, Output::Event(_))),
            "{again:?}"
        );
    }

    #[test]
    fn the_permission_rule_names_the_tool() {
        assert_eq!(RULE, format!("mcp__{SERVER}__{TOOL}"));
    }
}
