//! Answers to pressed buttons: once, and in time.

use serde_json::json;

use super::Call;
use crate::{
    error::{ApiError, ApiResult},
    world::CallbackAnswer,
};

/// How long a press can be answered, on the emulated clock. The real time is unpublished and longer than this for most.
pub const ANSWERABLE_MS: i64 = 60_000;

pub fn answer_callback_query(call: &mut Call<'_>) -> ApiResult {
    let id = call.params.text("callback_query_id").unwrap_or_default();
    let text = call.params.text("text").unwrap_or_default();
    if text.chars().count() > 200 {
        return Err(ApiError::bad_request("MESSAGE_TOO_LONG"));
    }
    let too_late = || ApiError::bad_request("query is too old and response timeout expired or query ID is invalid");
    let callback = call.world.callbacks.get_mut(&id).ok_or_else(too_late)?;
    if callback.answer.is_some() || call.now_ms - callback.pressed_ms > ANSWERABLE_MS {
        return Err(too_late());
    }
    callback.answer = Some(CallbackAnswer {
        text,
        show_alert: call.params.flag("show_alert"),
    });
    Ok(json!(true))
}
