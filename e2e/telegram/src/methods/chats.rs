//! Chats, their members, and what the bot shows itself to be doing.

use serde_json::{Value, json};

use super::Call;
use crate::{
    error::{ApiError, ApiResult},
    world::{ChatKind, Standing},
};

/// An action is shown for five seconds.
const ACTION_SHOWN_MS: i64 = 5_000;
const ACTIONS: [&str; 11] = [
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
];

pub fn send_chat_action(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let thread = call.thread();
    let action = call.params.text("action").unwrap_or_default().to_lowercase();
    let until = call.now_ms + ACTION_SHOWN_MS;
    let chat = call.world.chat_mut(chat_id)?;
    if !ACTIONS.contains(&action.as_str()) {
        return Err(ApiError::bad_request("wrong parameter action in request"));
    }
    chat.writable(thread)?;
    chat.actions.insert(thread, (action, until));
    Ok(json!(true))
}

pub fn get_chat(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let chat = call.world.chat(chat_id)?;
    if chat.is_group() {
        chat.reachable()?;
    }
    let mut out = call.world.chat_json(chat);
    out["accent_color_id"] = json!(0);
    out["max_reaction_count"] = json!(11);
    out["accepted_gift_types"] = json!({
        "unlimited_gifts": false, "limited_gifts": false, "unique_gifts": false, "premium_subscription": false,
    });
    if chat.is_group() {
        let send = chat.members_may_write;
        out["permissions"] = json!({
            "can_send_messages": send, "can_send_audios": send, "can_send_documents": send, "can_send_photos": send,
            "can_send_videos": send, "can_send_video_notes": send, "can_send_voice_notes": send, "can_send_polls": send,
            "can_send_other_messages": send, "can_add_web_page_previews": send, "can_change_info": false,
            "can_invite_users": true, "can_pin_messages": false, "can_manage_topics": false,
        });
    }
    if let Some(pinned) = chat
        .messages
        .values()
        .rev()
        .find(|message| message.pinned && message.deleted_ms.is_none())
    {
        out["pinned_message"] = call.world.message_json(chat, pinned);
    }
    Ok(out)
}

pub fn get_chat_member(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let user = call.params.int("user_id").unwrap_or(0);
    let chat = call.world.chat(chat_id)?;
    if user == call.world.bot.id {
        return Ok(call.world.bot_member(chat, chat.standing));
    }
    chat.reachable()?;
    if !call.world.users.contains_key(&user) {
        return Err(ApiError::bad_request("member not found"));
    }
    Ok(call.world.member(chat, user))
}

pub fn get_chat_administrators(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let chat = call.world.chat(chat_id)?;
    if !chat.is_group() {
        return Err(ApiError::bad_request("there are no administrators in the private chat"));
    }
    chat.reachable()?;
    let creator = chat.creator.map(|user| call.world.member(chat, user));
    let bot = (chat.standing == Standing::Administrator).then(|| call.world.bot_member(chat, chat.standing));
    Ok(creator.into_iter().chain(bot).collect::<Vec<Value>>().into())
}

pub fn leave_chat(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    if chat.kind == ChatKind::Private {
        return Err(ApiError::bad_request(
            "chat member status can't be changed in private chats",
        ));
    }
    chat.standing = Standing::Left;
    Ok(json!(true))
}
