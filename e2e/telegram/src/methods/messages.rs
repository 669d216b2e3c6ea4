//! Sending, editing, deleting, pinning messages and reacting to them.

use serde_json::{Value, json};

use super::Call;
use crate::{
    entities::{Formatted, MAX_TEXT},
    error::{ApiError, ApiResult},
    params::Params,
    world::{Author, Body, Chat, ChatKind, Draft, Message, NewMessage},
};

const DELETABLE_FOR_MS: i64 = 48 * 3_600_000;
const DRAFT_SHOWN_MS: i64 = 30_000;
const NOT_MODIFIED: &str = "message is not modified: specified new message content and reply markup are exactly the same \
     as a current content and reply markup of the message";
/// What bots may react with, as far as it is likely to be used.
const REACTIONS: [&str; 20] = [
    "👍", "👎", "❤", "🔥", "🥰", "👏", "😁", "🤔", "🤯", "😱", "🎉", "🤩", "🙏", "👌", "👀", "💯", "⚡", "😢", "🤝",
    "✍",
];

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
    let chat_id = call.chat_id()?;
    let keyboard = keyboard(call.params)?;
    let chat = call.world.chat(chat_id)?;
    chat.writable(call.thread())?;
    let reply_to = reply_target(call.params, chat)?;
    let thread = call
        .thread()
        .or_else(|| reply_to.and_then(|id| chat.message(id)?.thread));
    chat.writable(thread)?;
    let silent = call.params.flag("disable_notification");
    let new = NewMessage {
        thread,
        from: Author::Bot,
        body,
        reply_to,
        keyboard,
        silent,
    };
    let id = call.world.chat_mut(chat_id)?.post(new, call.now_ms).id;
    message_json(call, chat_id, id)
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
    let may_delete_others = chat.rights.can_delete_messages || chat.kind == ChatKind::Private;
    let Some(message) = chat.message_mut(id) else {
        return Ok(false);
    };
    let is_old = now_ms - message.sent_ms > DELETABLE_FOR_MS;
    if !chat_allows(message, may_delete_others, is_old) {
        return Err(ApiError::bad_request("message can't be deleted"));
    }
    message.deleted_ms = Some(now_ms);
    Ok(true)
}

/// A bot deletes its own messages for 48 hours and, with the right to, those of others at any time.
fn chat_allows(message: &Message, may_delete_others: bool, is_old: bool) -> bool {
    may_delete_others || (message.from == Author::Bot && !is_old)
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

pub fn set_message_reaction(call: &mut Call<'_>) -> ApiResult {
    let chat_id = call.chat_id()?;
    let wanted = call.params.json("reaction")?.unwrap_or_else(|| json!([]));
    let emoji = |reaction: &Value| {
        reaction["emoji"]
            .as_str()
            .unwrap_or_default()
            .trim_end_matches('\u{fe0f}')
            .to_owned()
    };
    let emoji: Vec<String> = wanted.as_array().into_iter().flatten().map(emoji).collect();
    let bot = call.world.bot.id;
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    let id = call.params.int("message_id").unwrap_or(0);
    let message = chat
        .message_mut(id)
        .ok_or_else(|| ApiError::bad_request("message to react not found"))?;
    if emoji.len() > 1 {
        return Err(ApiError::bad_request("REACTIONS_TOO_MANY"));
    }
    if emoji.iter().any(|emoji| !REACTIONS.contains(&emoji.as_str())) {
        return Err(ApiError::bad_request("REACTION_INVALID"));
    }
    if emoji.is_empty() {
        message.reactions.remove(&bot);
    } else {
        message.reactions.insert(bot, emoji);
    }
    Ok(json!(true))
}

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
