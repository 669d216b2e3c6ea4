//! What claude prints on stdout.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::mcp::McpRequest;

/// One line of stdout.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// `system`.
    System(System),
    /// `stream_event`.
    Stream(Stream),
    /// `assistant`: a finished content block.
    Assistant(Assistant),
    /// `user`: tool results, replays of our messages, notes of the CLI to the model.
    User(User),
    /// `result`: the end of a turn.
    Result(Box<TurnResult>),
    /// `control_request` with `can_use_tool`.
    CanUseTool(Box<CanUseTool>),
    /// `control_request` with `mcp_message`: something for an MCP server that lives in the runner.
    Mcp(Box<McpRequest>),
    /// Any other `control_request`: it must be answered.
    OtherRequest {
        /// claude's id.
        request_id: String,
        /// Kind of the request.
        subtype: String,
    },
    /// `control_response` to a request of ours.
    Response(ControlResponse),
    /// `control_cancel_request`: a prompt became moot.
    CancelRequest {
        /// Id of the prompt.
        request_id: String,
    },
    /// `command_lifecycle`.
    Lifecycle {
        /// uuid of the message.
        message: Uuid,
        /// Where it stands.
        state: Lifecycle,
    },
    /// A kind that says nothing we act on.
    Quiet,
    /// A kind or subtype that this version does not know.
    Unknown {
        /// `type` or `type/subtype`.
        kind: String,
        /// The whole line.
        value: Value,
    },
    /// A known kind of an unexpected shape.
    Malformed {
        /// `type` or `type/subtype`.
        kind: String,
        /// What is wrong with it.
        error: String,
        /// The whole line.
        value: Value,
    },
    /// Not JSON at all.
    NotJson(String),
}

/// `system` lines that mean something to us.
#[derive(Clone, Debug, PartialEq)]
pub enum System {
    /// A turn begins.
    Init {
        /// Model of the turn.
        model: Option<String>,
        /// Its permission mode.
        permission_mode: Option<String>,
        /// Version of the CLI.
        version: Option<String>,
    },
    /// `status`: `requesting`, `compacting` or none.
    Status {
        /// What claude is doing.
        status: Option<String>,
        /// Messages of the turn so far.
        messages: Vec<Uuid>,
    },
    /// A request to the model failed and is tried again.
    ApiRetry {
        /// Number of the retry.
        attempt: u32,
        /// HTTP status, when there was one.
        status: Option<u16>,
        /// Kind, e.g. `authentication_failed`.
        error: String,
    },
    /// All background commands and subagents that run now.
    BackgroundTasks {
        /// Their ids.
        ids: Vec<String>,
    },
    /// A command or subagent ended.
    TaskEnded {
        /// Its id.
        id: String,
    },
    /// `running`, `requires_action` or `idle`.
    SessionState {
        /// The state.
        state: String,
    },
    /// The transcript could not be written.
    WritesLost {
        /// Error of the file system, e.g. `ENOSPC`.
        error: Option<String>,
    },
}

/// A raw event of the Messages API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// It belongs to a subagent.
    pub subagent: bool,
    /// The event.
    pub delta: Delta,
}

/// The part of a stream event that a preview needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// A model answer begins, or begins again.
    MessageStart,
    /// A text block begins.
    TextStart,
    /// More text.
    Text(String),
    /// Anything else.
    Other,
}

/// One finished content block of the model, or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Assistant {
    /// It belongs to a subagent.
    pub subagent: bool,
    /// Written by the CLI itself to tell of an API error; the kind, e.g. `authentication_failed`.
    pub api_error: Option<String>,
    /// The blocks.
    pub blocks: Vec<Block>,
}

/// A `user` line.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// It belongs to a subagent.
    pub subagent: bool,
    /// Echo of a message of ours.
    pub is_replay: bool,
    /// Its uuid.
    pub uuid: Option<Uuid>,
    /// The blocks; a plain text is one text block.
    pub blocks: Vec<Block>,
}

/// A content block.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Text.
    Text(String),
    /// A tool call.
    ToolUse {
        /// `tool_use_id`.
        id: String,
        /// Name of the tool.
        name: String,
        /// Its input.
        input: Value,
    },
    /// The end of a tool call.
    ToolResult {
        /// `tool_use_id`.
        id: String,
        /// It failed or was refused.
        is_error: bool,
    },
    /// Thinking, images and whatever else has no place in a chat.
    Other,
}

/// The end of a turn. Judge it by `is_error` and `terminal_reason`; `subtype` says `success` for API errors too.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct TurnResult {
    /// It failed or was stopped.
    pub is_error: bool,
    /// Why it ended; absent for local commands and refused starts.
    pub terminal_reason: Option<String>,
    /// Text of the last message, or of the error.
    pub result: Option<String>,
    /// Errors of the CLI.
    #[serde(default)]
    pub errors: Vec<String>,
    /// HTTP status of the API error.
    pub api_error_status: Option<u16>,
    /// Why the process refused to start.
    pub startup_failure_reason: Option<String>,
    /// Model round trips.
    #[serde(default)]
    pub num_turns: u64,
    /// Messages that this turn answered.
    #[serde(default)]
    pub user_message_uuids: Vec<Uuid>,
    /// Tokens of this turn.
    #[serde(default)]
    pub usage: TurnUsage,
    /// US dollars since the session began, over restarts too.
    #[serde(default)]
    pub total_cost_usd: f64,
    /// Use by model since the last `result`.
    pub model_usage_since_last_result: Option<std::collections::BTreeMap<String, ModelUsage>>,
}

/// Tokens of one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TurnUsage {
    /// Not cached.
    #[serde(default)]
    pub input_tokens: u64,
    /// Written to the cache.
    #[serde(default)]
    pub cache_creation_input_tokens: u64,
    /// Read from the cache.
    #[serde(default)]
    pub cache_read_input_tokens: u64,
    /// Output.
    #[serde(default)]
    pub output_tokens: u64,
}

/// Use of one model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ModelUsage {
    /// US dollars.
    #[serde(rename = "costUSD", default)]
    pub cost_usd: f64,
}

/// claude asks whether a tool may run.
#[derive(Clone, Debug, PartialEq)]
pub struct CanUseTool {
    /// Key of the answer.
    pub request_id: String,
    /// Name of the tool.
    pub tool_name: String,
    /// Its input.
    pub input: Value,
    /// A line for people, when the tool gives one.
    pub description: Option<String>,
    /// Rules that claude offers to remember.
    pub suggestions: Vec<Value>,
    /// The use of the tool that waits.
    pub tool_use_id: Option<String>,
    /// Path for which claude asks.
    pub blocked_path: Option<String>,
    /// Why claude asks.
    pub reason: Option<String>,
}

/// Reply to a control request of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlResponse {
    /// Our id.
    pub request_id: String,
    /// What came back, or why it was refused.
    pub outcome: Result<Value, String>,
}

/// Where a message stands in claude's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// It waits.
    Queued,
    /// It became part of a turn.
    Started,
    /// Its turn ended.
    Completed,
    /// It was dropped, or its turn was stopped.
    Cancelled,
}

/// Reads one line. Total: whatever it is, it comes back as some [`Line`].
pub fn decode(text: &str) -> Line {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => from_value(value),
        Err(_) => Line::NotJson(text.to_owned()),
    }
}

fn from_value(value: Value) -> Line {
    let kind = string(&value, "type").unwrap_or_default();
    match kind.as_str() {
        "system" => system(value),
        "stream_event" => stream(&value),
        "assistant" => assistant(&value),
        "user" => user(&value),
        "result" => typed("result", value, |result: TurnResult| Line::Result(Box::new(result))),
        "control_request" => request(value),
        "control_response" => response(value),
        "control_cancel_request" => match string(&value, "request_id") {
            Some(request_id) => Line::CancelRequest { request_id },
            None => malformed("control_cancel_request", "no request_id", value),
        },
        "command_lifecycle" => typed("command_lifecycle", value, |raw: RawLifecycle| Line::Lifecycle {
            message: raw.command_uuid,
            state: raw.state,
        }),
        "keep_alive" | "rate_limit_event" | "tool_progress" => Line::Quiet,
        _ => Line::Unknown { kind, value },
    }
}

#[derive(Deserialize)]
struct RawLifecycle {
    command_uuid: Uuid,
    state: Lifecycle,
}

fn system(value: Value) -> Line {
    let subtype = string(&value, "subtype").unwrap_or_default();
    let known = match subtype.as_str() {
        "init" => System::Init {
            model: string(&value, "model"),
            permission_mode: string(&value, "permissionMode"),
            version: string(&value, "claude_code_version"),
        },
        "status" => System::Status {
            status: string(&value, "status"),
            messages: uuids(&value, "user_message_uuids"),
        },
        "api_retry" => System::ApiRetry {
            attempt: value["attempt"].as_u64().unwrap_or(0).try_into().unwrap_or(u32::MAX),
            status: value["error_status"].as_u64().and_then(|status| status.try_into().ok()),
            error: string(&value, "error").unwrap_or_default(),
        },
        "background_tasks_changed" => System::BackgroundTasks {
            ids: value["tasks"]
                .as_array()
                .map(|tasks| tasks.iter().filter_map(|task| string(task, "task_id")).collect())
                .unwrap_or_default(),
        },
        "task_notification" => System::TaskEnded {
            id: string(&value, "task_id").unwrap_or_default(),
        },
        "session_state_changed" => System::SessionState {
            state: string(&value, "state").unwrap_or_default(),
        },
        "session_writes_lost" => System::WritesLost {
            error: string(&value, "error_code"),
        },
        "permission_denied"
        | "compact_boundary"
        | "thinking_tokens"
        | "task_started"
        | "task_updated"
        | "task_progress"
        | "session_title_changed"
        | "control_request_progress"
        | "commands_changed"
        | "ui_invalidate"
        | "hook_started"
        | "hook_response" => return Line::Quiet,
        _ => {
            return Line::Unknown {
                kind: format!("system/{subtype}"),
                value,
            };
        }
    };
    Line::System(known)
}

fn stream(value: &Value) -> Line {
    let event = &value["event"];
    let delta = match event["type"].as_str() {
        Some("message_start") => Delta::MessageStart,
        Some("content_block_start") if event["content_block"]["type"] == "text" => Delta::TextStart,
        Some("content_block_delta") if event["delta"]["type"] == "text_delta" => {
            Delta::Text(string(&event["delta"], "text").unwrap_or_default())
        }
        _ => Delta::Other,
    };
    Line::Stream(Stream {
        subagent: is_subagent(value),
        delta,
    })
}

fn assistant(value: &Value) -> Line {
    Line::Assistant(Assistant {
        subagent: is_subagent(value),
        api_error: (value["is_api_error_message"] == true)
            .then(|| string(value, "error").unwrap_or_else(|| "unknown".to_owned())),
        blocks: blocks(&value["message"]["content"]),
    })
}

fn user(value: &Value) -> Line {
    Line::User(User {
        subagent: is_subagent(value),
        is_replay: value["isReplay"] == true,
        uuid: string(value, "uuid").and_then(|uuid| uuid.parse().ok()),
        blocks: blocks(&value["message"]["content"]),
    })
}

/// Content as blocks, also of a transcript line.
pub fn blocks(content: &Value) -> Vec<Block> {
    match content {
        Value::String(text) => vec![Block::Text(text.clone())],
        Value::Array(blocks) => blocks.iter().map(block).collect(),
        _ => Vec::new(),
    }
}

fn block(value: &Value) -> Block {
    match value["type"].as_str() {
        Some("text") => Block::Text(string(value, "text").unwrap_or_default()),
        Some("tool_use") => Block::ToolUse {
            id: string(value, "id").unwrap_or_default(),
            name: string(value, "name").unwrap_or_default(),
            input: value["input"].clone(),
        },
        Some("tool_result") => Block::ToolResult {
            id: string(value, "tool_use_id").unwrap_or_default(),
            is_error: value["is_error"] == true,
        },
        _ => Block::Other,
    }
}

fn request(value: Value) -> Line {
    let Some(request_id) = string(&value, "request_id") else {
        return malformed("control_request", "no request_id", value);
    };
    let request = &value["request"];
    let subtype = string(request, "subtype").unwrap_or_default();
    match subtype.as_str() {
        "can_use_tool" => {}
        "mcp_message" => return Line::Mcp(Box::new(McpRequest::read(request_id, request))),
        _ => return Line::OtherRequest { request_id, subtype },
    }
    Line::CanUseTool(Box::new(CanUseTool {
        request_id,
        tool_name: string(request, "tool_name").unwrap_or_default(),
        input: request["input"].clone(),
        description: string(request, "description"),
        suggestions: request["permission_suggestions"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        tool_use_id: string(request, "tool_use_id"),
        blocked_path: string(request, "blocked_path"),
        reason: string(request, "decision_reason"),
    }))
}

fn response(value: Value) -> Line {
    let response = &value["response"];
    let Some(request_id) = string(response, "request_id") else {
        return malformed("control_response", "no request_id", value);
    };
    let outcome = match response["subtype"].as_str() {
        Some("error") => Err(string(response, "error").unwrap_or_default()),
        _ => Ok(response["response"].clone()),
    };
    Line::Response(ControlResponse { request_id, outcome })
}

fn typed<T: DeserializeOwned>(kind: &str, value: Value, line: impl FnOnce(T) -> Line) -> Line {
    match T::deserialize(&value) {
        Ok(typed) => line(typed),
        Err(error) => malformed(kind, &error.to_string(), value),
    }
}

fn malformed(kind: &str, error: &str, value: Value) -> Line {
    Line::Malformed {
        kind: kind.to_owned(),
        error: error.to_owned(),
        value,
    }
}

fn is_subagent(value: &Value) -> bool {
    value["parent_tool_use_id"].is_string()
}

fn string(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

/// The answer in the reply to a side question; the error when claude has none to give.
pub fn side_answer(reply: &Value) -> Result<String, String> {
    let text = reply["response"].as_str().unwrap_or_default().trim();
    if text.is_empty() {
        Err("claude gave no answer".to_owned())
    } else if reply["synthetic"] == true {
        // The CLI's own words in place of an answer: the request to the model failed.
        Err(text.trim_matches(['(', ')']).to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Uuids in an array; anything else in it is left out.
pub fn uuids(value: &Value, key: &str) -> Vec<Uuid> {
    value[key]
        .as_array()
        .map(|items| {
            items
                .iter()
                .filter_map(|item| item.as_str().and_then(|text| text.parse().ok()))
                .collect()
        })
        .unwrap_or_default()
}
