//! What a failed call means for whoever made it.
//!
//! Telegram describes most refusals in English prose only, and teloxide hands the newer ones on as unknown strings, so the
//! texts are matched here and nowhere else. A text that is not known is [`CallError::Refused`]: final, never repeated.

use std::time::Duration;

use longshore_crds::conditions::reasons;
use serde::Deserialize;
use serde_json::Value;
use teloxide_core::types::ChatId;
use teloxide_core::{ApiError, RequestError};

/// Why a call failed, by what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Too many calls; nothing may go to this chat before the time is over.
    #[error("Telegram asks to wait {} s", .0.as_secs())]
    RetryAfter(Duration),
    /// The message already looks like this.
    #[error("the message already looks like this")]
    NotModified,
    /// The formatting was refused; the same text without it may pass.
    #[error("the formatting was refused: {0}")]
    Formatting(String),
    /// The message to edit or delete is gone.
    #[error("the message is gone: {0}")]
    MessageGone(String),
    /// Nothing can be posted in this place.
    #[error("the chat cannot be reached: {why}")]
    Unreachable {
        /// Which part of it.
        scope: Scope,
        /// Condition reason.
        reason: &'static str,
        /// Telegram's words.
        why: String,
    },
    /// The group is a supergroup now, with this id.
    #[error("the group became the supergroup {0}")]
    Moved(i64),
    /// Somebody else polls with the same token, or a webhook is set.
    #[error("another program receives this bot's updates: {0}")]
    Conflict(String),
    /// The token is wrong or was revoked.
    #[error("the bot token is refused: {0}")]
    Unauthorized(String),
    /// Refused for another reason; the same call would be refused again.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer, or the servers have a problem: it may or may not have happened.
    #[error("no usable answer: {0}")]
    Unknown(String),
}

/// How much is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole chat.
    Chat,
    /// One forum topic.
    Thread,
}

const UNREACHABLE: &[(&str, Scope, &str)] = &[
    ("bot was blocked", Scope::Chat, reasons::BOT_BLOCKED),
    ("bot was kicked", Scope::Chat, reasons::BOT_REMOVED),
    ("bot is not a member", Scope::Chat, reasons::BOT_REMOVED),
    ("bot can't initiate conversation", Scope::Chat, reasons::BOT_BLOCKED),
    ("user is deactivated", Scope::Chat, reasons::CHAT_NOT_FOUND),
    ("group chat was upgraded", Scope::Chat, reasons::CHAT_NOT_FOUND),
    ("chat not found", Scope::Chat, reasons::CHAT_NOT_FOUND),
    ("have no rights to send", Scope::Chat, reasons::NO_RIGHTS),
    ("not enough rights to send", Scope::Chat, reasons::NO_RIGHTS),
    ("chat_write_forbidden", Scope::Chat, reasons::NO_RIGHTS),
    ("message thread not found", Scope::Thread, reasons::TOPIC_DELETED),
    ("topic_deleted", Scope::Thread, reasons::TOPIC_DELETED),
    ("topic_closed", Scope::Thread, reasons::TOPIC_CLOSED),
];

/// Refusals that are about formatting or buttons. "Request Entity Too Large" is not.
const FORMATTING: &[&str] = &[
    "can't parse entities",
    "cant parse entities",
    "entity begin",
    "entity url",
    "wrong message entity",
    "entity_",
    "button_",
];

/// Descriptions of the servers' own failures. They come as JSON like refusals, and teloxide drops their status.
const TROUBLE: &[&str] = &[
    "bad gateway",
    "internal server error",
    "gateway timeout",
    "gateway time-out",
    "service unavailable",
    "restart",
];

impl CallError {
    /// Classifies Telegram's own description of a refusal.
    pub fn from_description(description: &str) -> Self {
        let text = description.to_lowercase();
        let has = |needle: &str| text.contains(needle);
        if has("not modified") {
            return Self::NotModified;
        }
        if FORMATTING.iter().any(|needle| has(needle)) {
            return Self::Formatting(description.to_owned());
        }
        if has("message to edit not found") || has("message can't be edited") || has("message_id_invalid") {
            return Self::MessageGone(description.to_owned());
        }
        if has("terminated by other getupdates") || has("webhook is active") || has("conflict") {
            return Self::Conflict(description.to_owned());
        }
        for (needle, scope, reason) in UNREACHABLE {
            if has(needle) {
                return Self::Unreachable {
                    scope: *scope,
                    reason,
                    why: description.to_owned(),
                };
            }
        }
        if has("unauthorized") {
            return Self::Unauthorized(description.to_owned());
        }
        if TROUBLE.iter().any(|needle| has(needle)) {
            return Self::Unknown(description.to_owned());
        }
        Self::Refused(description.to_owned())
    }
}

/// What a method answered: its result, or why there is none.
pub fn read_answer(body: &[u8]) -> Result<Value, CallError> {
    #[derive(Deserialize)]
    struct Answer {
        ok: bool,
        #[serde(default)]
        result: Value,
        #[serde(default)]
        description: String,
        #[serde(default)]
        parameters: Parameters,
    }
    #[derive(Default, Deserialize)]
    struct Parameters {
        retry_after: Option<u64>,
        migrate_to_chat_id: Option<i64>,
    }
    let answer = serde_json::from_slice::<Answer>(body)
        .map_err(|error| CallError::Unknown(format!("the answer is not what it should be: {error}")))?;
    if answer.ok {
        return Ok(answer.result);
    }
    Err(match answer.parameters {
        Parameters {
            retry_after: Some(seconds),
            ..
        } => CallError::RetryAfter(Duration::from_secs(seconds)),
        Parameters {
            migrate_to_chat_id: Some(id),
            ..
        } => RequestError::MigrateToChatId(ChatId(id)).into(),
        // A token that is not known is an address that is not there.
        _ if answer.description == "Not Found" => CallError::Unauthorized(answer.description),
        _ => CallError::from_description(&answer.description),
    })
}

impl From<RequestError> for CallError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::RetryAfter(seconds) => Self::RetryAfter(seconds.duration()),
            // teloxide's name for 401 and 404 without more words.
            RequestError::Api(ApiError::InvalidToken) => Self::Unauthorized("Telegram does not know it".to_owned()),
            RequestError::Api(api) => Self::from_description(&api.to_string()),
            RequestError::MigrateToChatId(id) => Self::Moved(id.0),
            // The token is part of the address; a network error must not carry it into a log.
            RequestError::Network(error) => Self::Unknown(network(&error)),
            RequestError::InvalidJson { source, .. } => {
                Self::Unknown(format!("the answer is not what it should be: {source}"))
            }
            RequestError::Io(error) => Self::Unknown(error.to_string()),
        }
    }
}

fn network(error: &std::sync::Arc<reqwest::Error>) -> String {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "connection broke"
    };
    let mut cause = std::error::Error::source(error.as_ref());
    let mut text = kind.to_owned();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_a_result_or_says_what_to_do() {
        let read = |body: Value| read_answer(body.to_string().as_bytes());
        assert_eq!(
            read(json!({"ok": true, "result": {"message_id": 7}})),
            Ok(json!({"message_id": 7}))
        );
        let refusal = |code: u16, description: &str, parameters: Value| {
            read(json!({"ok": false, "error_code": code, "description": description, "parameters": parameters}))
                .unwrap_err()
        };
        assert_eq!(
            refusal(429, "Too Many Requests: retry after 7", json!({"retry_after": 7})),
            CallError::RetryAfter(Duration::from_secs(7))
        );
        let moved = refusal(
            400,
            "Bad Request: group chat was upgraded",
            json!({"migrate_to_chat_id": -1005}),
        );
        assert!(moved.to_string().contains("-1005"), "{moved}");
        let token = refusal(401, "Unauthorized", json!({}));
        assert!(matches!(token, CallError::Unauthorized(_)), "{token:?}");
        assert_eq!(
            refusal(400, "Bad Request: REACTION_INVALID", json!({})),
            CallError::Refused("Bad Request: REACTION_INVALID".into())
        );
        assert!(matches!(read_answer(b"<html>"), Err(CallError::Unknown(_))));
    }

    #[test]
    fn refusals_are_told_apart_by_their_text() {
        let reason = |text: &str| match CallError::from_description(text) {
            CallError::Unreachable { reason, .. } => reason,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(reason("Forbidden: bot was blocked by the user"), "BotBlocked");
        assert_eq!(reason("Bad Request: message thread not found"), "TopicDeleted");
        assert_eq!(reason("Bad Request: TOPIC_CLOSED"), "TopicClosed");
        assert_eq!(reason("Bad Request: chat not found"), "ChatNotFound");
        assert_eq!(
            CallError::from_description(
                "Bad Request: message is not modified: specified new message content is the same"
            ),
            CallError::NotModified
        );
        for formatting in [
            "Bad Request: can't parse entities: byte offset 3",
            "Bad Request: entity begins in a middle of a UTF-16 symbol at byte offset 3",
            "Bad Request: entity URL 'http://localhost' is invalid: Wrong HTTP URL",
        ] {
            let error = CallError::from_description(formatting);
            assert!(matches!(error, CallError::Formatting(_)), "{formatting}: {error:?}");
        }
        assert!(matches!(
            CallError::from_description("Bad Request: message to edit not found"),
            CallError::MessageGone(_)
        ));
        assert_eq!(reason("Unauthorized: bot was kicked from a chat"), "BotRemoved");
        for trouble in ["Bad Gateway", "Internal Server Error", "Gateway Timeout"] {
            let error = CallError::from_description(trouble);
            assert!(matches!(error, CallError::Unknown(_)), "{trouble}: {error:?}");
        }
        assert!(matches!(
            CallError::from(RequestError::Api(ApiError::InvalidToken)),
            CallError::Unauthorized(_)
        ));
        assert!(matches!(
            CallError::from_description("Bad Request: no idea"),
            CallError::Refused(_)
        ));
    }
}
