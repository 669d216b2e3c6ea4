//! What the runner writes to claude's stdin.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::mcp::McpAnswer;
use crate::api::Priority;

/// One line of stdin.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A message of a person.
    User(UserMessage),
    /// A request to the CLI itself; it answers with a `control_response` of the same id.
    Control {
        /// Id of our choice.
        request_id: String,
        /// What is asked for.
        request: Request,
    },
    /// Answer to claude's `can_use_tool`.
    Permission {
        /// claude's id.
        request_id: String,
        /// The answer.
        answer: PermissionAnswer,
    },
    /// Answer to claude's `mcp_message`.
    Mcp {
        /// claude's id on the control channel.
        request_id: String,
        /// JSON-RPC id of what is answered; null for a notification.
        id: Value,
        /// The answer.
        answer: McpAnswer,
    },
    /// Answer to a request of claude's that the runner does not serve; without one claude waits for ever.
    Refuse {
        /// claude's id.
        request_id: String,
        /// Why.
        error: String,
    },
}

/// A message of a person. Always `client_composed`: taken literally, no slash command, no `@file` is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMessage {
    /// Stored by claude as the uuid of the line in its transcript.
    pub uuid: Uuid,
    /// The content.
    pub content: UserContent,
    /// How it meets a running turn; `Next` is claude's own default and not written.
    pub priority: Priority,
}

/// Content of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum UserContent {
    /// One text.
    Text(String),
    /// Several text blocks.
    Texts(#[serde(serialize_with = "text_blocks")] Vec<String>),
}

fn text_blocks<S: serde::Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts.iter().map(|text| json!({"type": "text", "text": text})))
}

/// Control requests that the runner makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub enum Request {
    /// Answered when the process is up.
    Initialize {
        /// Names of MCP servers that live in the runner.
        #[serde(rename = "sdkMcpServers", skip_serializing_if = "Vec::is_empty")]
        mcp_servers: Vec<String>,
    },
    /// Stop the running turn.
    Interrupt {
        /// Also drop queued messages.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        cancel_queued: bool,
    },
    /// Change the model.
    SetModel {
        /// Its name.
        model: String,
    },
    /// Change the permission mode.
    SetPermissionMode {
        /// claude's spelling.
        mode: String,
    },
    /// One answer on top of the conversation that is not added to it.
    SideQuestion {
        /// The question.
        question: String,
    },
    /// Leave.
    EndSession,
}

/// Answer to `can_use_tool`.
#[derive(Clone, Debug, PartialEq)]
pub enum PermissionAnswer {
    /// The tool runs.
    Allow {
        /// Its input, changed or as it was.
        updated_input: Value,
        /// Rules that hold from now on.
        updated_permissions: Vec<Value>,
    },
    /// The tool does not run; claude reads the message.
    Deny {
        /// Told to claude.
        message: String,
    },
}

impl Input {
    /// The line, with its end.
    pub fn encode(&self) -> String {
        let mut line = self.to_value().to_string();
        line.push('\n');
        line
    }

    fn to_value(&self) -> Value {
        match self {
            Self::User(message) => message.to_value(),
            Self::Control { request_id, request } => {
                json!({"type": "control_request", "request_id": request_id, "request": request})
            }
            Self::Permission { request_id, answer } => json!({
                "type": "control_response",
                "response": {"subtype": "success", "request_id": request_id, "response": answer.to_value()},
            }),
            Self::Mcp { request_id, id, answer } => json!({
                "type": "control_response",
                "response": {
                    "subtype": "success",
                    "request_id": request_id,
                    "response": {"mcp_response": answer.to_message(id)},
                },
            }),
            Self::Refuse { request_id, error } => json!({
                "type": "control_response",
                "response": {"subtype": "error", "request_id": request_id, "error": error},
            }),
        }
    }
}

impl UserMessage {
    fn to_value(&self) -> Value {
        let mut line = json!({
            "type": "user",
            "uuid": self.uuid,
            "message": {"role": "user", "content": self.content},
            "client_composed": true,
        });
        if self.priority != Priority::Next {
            line["priority"] = json!(self.priority);
        }
        line
    }
}

impl PermissionAnswer {
    fn to_value(&self) -> Value {
        match self {
            Self::Allow {
                updated_input,
                updated_permissions,
            } => {
                let mut answer = json!({"behavior": "allow", "updatedInput": updated_input});
                if !updated_permissions.is_empty() {
                    answer["updatedPermissions"] = json!(updated_permissions);
                }
                answer
            }
            Self::Deny { message } => json!({"behavior": "deny", "message": message}),
        }
    }
}
