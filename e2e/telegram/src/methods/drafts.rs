//! Texts that are streamed as drafts.

use serde_json::json;

use super::Call;
use crate::{
    entities::{Formatted, MAX_TEXT},
    error::{ApiError, ApiResult},
    world::Draft,
};

const DRAFT_SHOWN_MS: i64 = 30_000;

/// A streamed text people see while it grows, in private chats only. It is gone when a message comes, or after a while.
pub fn send_message_draft(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let thread = call.thread();
    let words = Formatted::from_params(call.params, "text", "entities")?;
    if words.units() > MAX_TEXT {
        return Err(ApiError::bad_request("message is too long"));
    }
    let draft = call.params.int("draft_id").filter(|id| *id != 0);
    let draft = draft.ok_or_else(|| ApiError::bad_request("RANDOM_ID_INVALID"))?;
    let until_ms = call.now_ms + DRAFT_SHOWN_MS;
    let chat = call.world.chat_mut(chat_id)?;
    chat.writable(thread)?;
    if chat.is_group() {
        return Err(ApiError::bad_request("TEXTDRAFT_PEER_INVALID"));
    }
    chat.drafts.insert(
        (thread, draft),
        Draft {
            text: words.text,
            entities: words.entities,
            until_ms,
        },
    );
    Ok(json!(true))
}
