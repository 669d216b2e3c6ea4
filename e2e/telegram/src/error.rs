//! Refusals in Telegram's own words. Clients match on these texts, so they are kept letter by letter.

use serde_json::{Value, json};

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {description}")]
pub struct ApiError {
    pub code: u16,
    pub description: String,
    /// Seconds, for 429.
    pub retry_after: Option<u64>,
    /// The new id of a group that became a supergroup.
    pub migrate_to: Option<i64>,
}

pub type ApiResult = Result<Value, ApiError>;

impl ApiError {
    pub fn new(code: u16, description: impl Into<String>) -> Self {
        ApiError {
            code,
            description: description.into(),
            retry_after: None,
            migrate_to: None,
        }
    }

    pub fn bad_request(text: &str) -> Self {
        Self::new(400, format!("Bad Request: {text}"))
    }

    pub fn forbidden(text: &str) -> Self {
        Self::new(403, format!("Forbidden: {text}"))
    }

    pub fn conflict(text: &str) -> Self {
        Self::new(409, format!("Conflict: {text}"))
    }

    pub fn too_many_requests(retry_after: u64) -> Self {
        ApiError {
            retry_after: Some(retry_after),
            ..Self::new(429, format!("Too Many Requests: retry after {retry_after}"))
        }
    }

    pub fn upgraded(to: i64) -> Self {
        ApiError {
            migrate_to: Some(to),
            ..Self::bad_request("group chat was upgraded to a supergroup chat")
        }
    }

    pub fn unknown_thread() -> Self {
        Self::bad_request("message thread not found")
    }

    pub fn body(&self) -> Value {
        let mut body = json!({"ok": false, "error_code": self.code, "description": self.description});
        if let Some(seconds) = self.retry_after {
            body["parameters"] = json!({"retry_after": seconds});
        }
        if let Some(chat) = self.migrate_to {
            body["parameters"] = json!({"migrate_to_chat_id": chat});
        }
        body
    }
}
