//! Sending, editing, deleting and pinning messages.

use serde_json::{Value, json};

use super::Call;
use crate::{
    entities::{Formatted, MAX_CAPTION, MAX_TEXT},
    error::{ApiError, ApiResult},
    params::Params,
    world::{Author, Body, Chat, ChatKind, Message, NewMessage, Quote},
};

const DELETABLE_FOR_MS: i64 = 48 * 3_600_000;
const NOT_MODIFIED: &str = "message is not modified: specified new message content and reply markup are exactly the same \
     as a current content and reply markup of the message";

pub fn send_message(call: &mut Call<'_>) -> ApiResult {
    let words = Formatted::from_params(call.params, "text", "entities")?;
    if words.text.is_empty() {
        return Err(ApiError::bad_request("message text is empty"));
    }
    if words.units() > MAX_TEXT {
        return Err(ApiError::bad_request("message is too long"));
    }
    send(call, Body::Text(words))
}

/// Posts for the bot what a method has made of its parameters.
pub fn send(call: &mut Call<'_>, body: Body) -> ApiResult {
    send_in_album(call, body, None)
}

/// The same, as a part of an album.
pub fn send_in_album(call: &mut Call<'_>, body: Body, album: Option<String>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let keyboard = keyboard(call.params)?;
    let chat = call.world.chat(chat_id)?;
    chat.writable(call.thread())?;
    let reply_to = reply_target(call.params, chat)?;
    let quote = reply_to.map(|id| quote(call.params, chat, id)).transpose()?.flatten();
    let thread = call
        .thread()
        .or_else(|| reply_to.and_then(|id| chat.message(id)?.thread));
    chat.writable(thread)?;
    let new = NewMessage {
        reply_to,
        quote,
        album,
        keyboard,
        silent: call.params.flag("disable_notification"),
        ..NewMessage::new(Author::Bot, thread, body)
    };
    let id = call.world.chat_mut(chat_id)?.post(new, call.now_ms).id;
    message_json(call, chat_id, id)
}

/// What `reply_parameters` quote of the message; it must stand there.
fn quote(params: &Params, chat: &Chat, replied: i64) -> Result<Option<Quote>, ApiError> {
    let reply = params.json("reply_parameters")?.unwrap_or_default();
    let Some(text) = reply["quote"].as_str().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let words = chat.message(replied).and_then(|message| message.body.words());
    let quote = words.and_then(|words| Quote::of(words, text));
    quote
        .map(Some)
        .ok_or_else(|| ApiError::bad_request("QUOTE_TEXT_INVALID"))
}

fn message_json(call: &Call<'_>, chat: i64, id: i64) -> ApiResult {
    let chat = call.world.chat(chat)?;
    let message = chat
        .message(id)
        .ok_or_else(|| ApiError::bad_request("message not found"))?;
    Ok(call.world.message_json(chat, message))
}

fn reply_target(params: &Params, chat: &Chat) -> Result<Option<i64>, ApiError> {
    let (target, optional) = match params.json("reply_parameters")? {
        Some(reply) => (
            reply["message_id"].as_i64(),
            reply["allow_sending_without_reply"] == true,
        ),
        None => (
            params.int("reply_to_message_id"),
            params.flag("allow_sending_without_reply"),
        ),
    };
    match target.filter(|id| *id != 0) {
        Some(id) if chat.message(id).is_some() => Ok(Some(id)),
        Some(_) if !optional => Err(ApiError::bad_request("message to be replied not found")),
        _ => Ok(None),
    }
}

/// An inline keyboard, checked; an empty one is none.
fn keyboard(params: &Params) -> Result<Option<Value>, ApiError> {
    let Some(markup) = params.json("reply_markup")? else {
        return Ok(None);
    };
    let Some(rows) = markup["inline_keyboard"].as_array() else {
        // Reply keyboards are accepted and leave no trace: they belong to the input field, not to the message.
        return Ok(None);
    };
    let buttons: Vec<&Value> = rows
        .iter()
        .flat_map(|row| row.as_array().into_iter().flatten())
        .collect();
    for button in &buttons {
        let text = button["text"].as_str().unwrap_or_default();
        if text.is_empty() {
            return Err(ApiError::bad_request(
                "can't parse inline keyboard button: Field \"text\" must be of type String",
            ));
        }
        match (button["callback_data"].as_str(), button.get("url")) {
            (Some(data), _) if data.is_empty() || data.len() > 64 => {
                return Err(ApiError::bad_request("BUTTON_DATA_INVALID"));
            }
            (None, None) => {
                return Err(ApiError::bad_request(
                    "Text buttons are unallowed in the inline keyboard",
                ));
            }
            _ => {}
        }
    }
    if buttons.len() > 100 {
        return Err(ApiError::bad_request("reply markup is too long"));
    }
    Ok((!buttons.is_empty()).then_some(markup))
}

/// The bot's message that a call wants to change.
fn editable<'a>(chat: &'a mut Chat, params: &Params) -> Result<&'a mut Message, ApiError> {
    let id = params.int("message_id").unwrap_or(0);
    let message = chat
        .message_mut(id)
        .ok_or_else(|| ApiError::bad_request("message to edit not found"))?;
    if message.from != Author::Bot || matches!(message.body, Body::Service(..)) {
        return Err(ApiError::bad_request("message can't be edited"));
    }
    Ok(message)
}

pub fn edit_message_text(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let words = Formatted::from_params(call.params, "text", "entities")?;
    let keyboard = keyboard(call.params)?;
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    let message = editable(chat, call.params)?;
    if words.text.is_empty() {
        return Err(ApiError::bad_request("message text is empty"));
    }
    if words.units() > MAX_TEXT {
        return Err(ApiError::bad_request("MESSAGE_TOO_LONG"));
    }
    let Body::Text(current) = &message.body else {
        return Err(ApiError::bad_request("there is no text in the message to edit"));
    };
    if *current == words && message.keyboard == keyboard {
        return Err(ApiError::bad_request(NOT_MODIFIED));
    }
    message.body = Body::Text(words);
    edited(call, chat_id, keyboard)
}

pub fn edit_message_caption(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let words = Formatted::from_params(call.params, "caption", "caption_entities")?;
    let keyboard = keyboard(call.params)?;
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    let message = editable(chat, call.params)?;
    if words.units() > MAX_CAPTION {
        return Err(ApiError::bad_request("message caption is too long"));
    }
    let Body::File { caption, .. } = &mut message.body else {
        return Err(ApiError::bad_request("there is no caption in the message to edit"));
    };
    if *caption == words && message.keyboard == keyboard {
        return Err(ApiError::bad_request(NOT_MODIFIED));
    }
    *caption = words;
    edited(call, chat_id, keyboard)
}

pub fn edit_message_reply_markup(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let keyboard = keyboard(call.params)?;
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    if editable(chat, call.params)?.keyboard == keyboard {
        return Err(ApiError::bad_request(NOT_MODIFIED));
    }
    edited(call, chat_id, keyboard)
}

/// An edit always sets the keyboard: leaving it out removes it.
fn edited(call: &mut Call<'_>, chat_id: i64, keyboard: Option<Value>) -> ApiResult {
    let message = editable(call.world.chat_mut(chat_id)?, call.params)?;
    message.keyboard = keyboard;
    message.edited_ms = Some(call.now_ms);
    message.remember(call.now_ms);
    let id = message.id;
    message_json(call, chat_id, id)
}

pub fn delete_message(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let id = call.params.int("message_id").unwrap_or(0);
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    if !delete(chat, id, call.now_ms)? {
        return Err(ApiError::bad_request("message to delete not found"));
    }
    Ok(json!(true))
}

/// Those that are not found are skipped.
pub fn delete_messages(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let ids = call.params.json("message_ids")?.unwrap_or_else(|| json!([]));
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    for id in ids.as_array().into_iter().flatten().filter_map(Value::as_i64) {
        delete(chat, id, call.now_ms)?;
    }
    Ok(json!(true))
}

fn delete(chat: &mut Chat, id: i64, now_ms: i64) -> Result<bool, ApiError> {
    let is_private = chat.kind == ChatKind::Private;
    let may_delete_others = chat.rights.can_delete_messages;
    let Some(message) = chat.message_mut(id) else {
        return Ok(false);
    };
    // With the right to, a bot deletes at any time; else what is its own, and in private chats all, for 48 hours.
    if !may_delete_others {
        if message.from != Author::Bot && !is_private {
            return Err(ApiError::bad_request("message can't be deleted"));
        }
        if now_ms - message.sent_ms > DELETABLE_FOR_MS {
            return Err(ApiError::bad_request("message can't be deleted for everyone"));
        }
    }
    message.deleted_ms = Some(now_ms);
    Ok(true)
}

pub fn pin_chat_message(call: &mut Call<'_>) -> ApiResult {
    set_pinned(call, true)
}

pub fn unpin_chat_message(call: &mut Call<'_>) -> ApiResult {
    set_pinned(call, false)
}

fn set_pinned(call: &mut Call<'_>, pinned: bool) -> ApiResult {
    let chat_id = call.chat_id()?;
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    if chat.is_group() && !chat.rights.can_pin_messages {
        return Err(ApiError::bad_request(
            "not enough rights to manage pinned messages in the chat",
        ));
    }
    let verb = if pinned { "pin" } else { "unpin" };
    let id = call.params.int("message_id").unwrap_or(0);
    let message = chat
        .message_mut(id)
        .ok_or_else(|| ApiError::bad_request(&format!("message to {verb} not found")))?;
    message.pinned = pinned;
    Ok(json!(true))
}
