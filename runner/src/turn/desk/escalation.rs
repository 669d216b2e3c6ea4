//! The tool by which the agent of a task asks for a session.
//!
//! What is asked for is kept within bounds, journalled once, and answered with what happens now. Whether a session is started is
//! decided elsewhere, by those who read the task's result.

use longshore_wire::agent::EscalationOffer;
use longshore_wire::api::Escalation;
use longshore_wire::event::Event;
use serde_json::{Value, json};

use crate::turn::{Machine, Output};

/// Name of the tool.
pub const TOOL: &str = "request_deep_session";
/// The tool as permission rules name it.
pub const RULE: &str = "mcp__longshore__request_deep_session";

impl Machine {
    pub(super) fn ask_for_session(
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
pub fn tool(offer: EscalationOffer) -> Value {
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
