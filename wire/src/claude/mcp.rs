//! MCP messages that claude exchanges with a server that lives in the runner, over the control channel.
//!
//! claude packs each JSON-RPC message into a `control_request` of subtype `mcp_message` and wants every one of them answered,
//! notifications, too. Only what a server with tools needs is known here; anything else is a JSON-RPC error.
//! <https://modelcontextprotocol.io/specification/2025-11-25/server/tools>

use serde_json::{Value, json};

/// JSON-RPC's code for a method that does not exist.
const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC's code for parameters that cannot be used.
const INVALID_PARAMS: i64 = -32602;
/// Version of the protocol that is spoken when claude names none.
const PROTOCOL: &str = "2025-11-25";

/// A message of claude's to a server in the runner.
#[derive(Clone, Debug, PartialEq)]
pub struct McpRequest {
    /// Key of the answer on the control channel.
    pub request_id: String,
    /// Name of the server.
    pub server: String,
    /// JSON-RPC id; null for a notification.
    pub id: Value,
    /// What is wanted.
    pub call: McpCall,
}

/// What claude wants of a server.
#[derive(Clone, Debug, PartialEq)]
pub enum McpCall {
    /// `initialize`.
    Initialize {
        /// Version of the protocol that claude speaks.
        protocol: String,
    },
    /// Any notification, such as `notifications/initialized`.
    Notification,
    /// `ping`.
    Ping,
    /// `tools/list`.
    ListTools,
    /// `tools/call`.
    CallTool {
        /// Name of the tool, without that of its server.
        name: String,
        /// What it is called with.
        arguments: Value,
    },
    /// A method that is not served.
    Unknown {
        /// Its name.
        method: String,
    },
}

/// Answer to an [`McpRequest`].
#[derive(Clone, Debug, PartialEq)]
pub enum McpAnswer {
    /// To `initialize`.
    Initialized {
        /// Version of the protocol that is spoken.
        protocol: String,
        /// Name of the server.
        server: String,
    },
    /// To `ping` and to notifications.
    Empty,
    /// To `tools/list`.
    Tools(Vec<Value>),
    /// To `tools/call`.
    Called {
        /// Told to the model.
        text: String,
        /// It did not work.
        is_error: bool,
    },
    /// There is no such tool.
    NoSuchTool {
        /// Its name.
        name: String,
    },
    /// There is no such method.
    NoSuchMethod {
        /// Its name.
        method: String,
    },
}

impl McpRequest {
    /// Reads the `request` of a `control_request` with `mcp_message`. Total: what is not known is an unknown method.
    pub fn read(request_id: String, request: &Value) -> Self {
        let message = &request["message"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let method = text(&message["method"]);
        let call = match method.as_str() {
            "initialize" => McpCall::Initialize {
                protocol: message["params"]["protocolVersion"]
                    .as_str()
                    .unwrap_or(PROTOCOL)
                    .to_owned(),
            },
            "ping" => McpCall::Ping,
            "tools/list" => McpCall::ListTools,
            "tools/call" => McpCall::CallTool {
                name: text(&message["params"]["name"]),
                arguments: message["params"]["arguments"].clone(),
            },
            other if other.starts_with("notifications/") => McpCall::Notification,
            _ => McpCall::Unknown { method },
        };
        Self {
            request_id,
            server: text(&request["server_name"]),
            id: message["id"].clone(),
            call,
        }
    }
}

impl McpAnswer {
    /// The JSON-RPC message that answers the request with this id.
    pub fn to_message(&self, id: &Value) -> Value {
        let result = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
        let error = |code: i64, message: String| json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
        match self {
            Self::Initialized { protocol, server } => result(json!({
                "protocolVersion": protocol,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": server, "version": env!("CARGO_PKG_VERSION")},
            })),
            Self::Empty => result(json!({})),
            Self::Tools(tools) => result(json!({ "tools": tools })),
            Self::Called { text, is_error } => result(json!({
                "content": [{"type": "text", "text": text}],
                "isError": is_error,
            })),
            Self::NoSuchTool { name } => error(INVALID_PARAMS, format!("there is no tool {name}")),
            Self::NoSuchMethod { method } => error(METHOD_NOT_FOUND, format!("{method} is not served")),
        }
    }
}
