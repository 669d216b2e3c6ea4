//! Forum topics: create, rename, close, reopen, delete, each with its service message.

use serde_json::{Value, json};

use super::Call;
use crate::{
    error::{ApiError, ApiResult},
    world::{Author, Body, Chat, ChatKind, NewMessage},
};

const COLORS: [i64; 6] = [7_322_096, 16_766_590, 13_338_331, 9_367_192, 16_749_490, 16_478_047];

fn forum<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Chat, ApiError> {
    let chat_id = call.chat_id()?;
    let in_private = call.world.bot.has_topics_enabled;
    let chat = call.world.chat_mut(chat_id)?;
    chat.reachable()?;
    let has_topics = chat.kind == ChatKind::Forum || chat.kind == ChatKind::Private && in_private;
    if !has_topics {
        return Err(ApiError::bad_request("the chat is not a forum"));
    }
    Ok(chat)
}

pub fn create_forum_topic(call: &mut Call<'_>) -> ApiResult {
    let name = call.params.text("name").unwrap_or_default().trim().to_owned();
    let (color, emoji) = (call.params.int("icon_color"), call.params.text("icon_custom_emoji_id"));
    let now_ms = call.now_ms;
    let chat = forum(call)?;
    if !chat.may_manage_topics() {
        return Err(ApiError::bad_request("not enough rights to create a topic"));
    }
    if !(1..=128).contains(&name.chars().count()) {
        return Err(ApiError::bad_request("TOPIC_TITLE_EMPTY"));
    }
    let color = color.unwrap_or(COLORS[0]);
    if !COLORS.contains(&color) {
        return Err(ApiError::bad_request("invalid forum topic icon color specified"));
    }
    let topic = chat.add_topic(&name, color, Author::Bot, now_ms);
    topic.icon_custom_emoji_id = emoji.filter(|emoji| !emoji.is_empty());
    let mut out = json!({"message_thread_id": topic.thread, "name": topic.name, "icon_color": topic.icon_color});
    if let Some(emoji) = &topic.icon_custom_emoji_id {
        out["icon_custom_emoji_id"] = json!(emoji);
    }
    Ok(out)
}

pub fn edit_forum_topic(call: &mut Call<'_>) -> ApiResult {
    let name = call.params.text("name").filter(|name| !name.trim().is_empty());
    let emoji = call.params.text("icon_custom_emoji_id");
    change(call, "edit the topic", |chat, thread| {
        let topic = chat.topics.get_mut(&thread)?;
        let mut what = json!({});
        if let Some(name) = name.filter(|name| *name != topic.name) {
            topic.name.clone_from(&name);
            what["name"] = json!(name);
        }
        if let Some(emoji) = emoji.filter(|emoji| Some(emoji) != topic.icon_custom_emoji_id.as_ref()) {
            topic.icon_custom_emoji_id = Some(emoji.clone()).filter(|emoji| !emoji.is_empty());
            what["icon_custom_emoji_id"] = json!(emoji);
        }
        (what != json!({})).then_some(("forum_topic_edited", what))
    })
}

pub fn close_forum_topic(call: &mut Call<'_>) -> ApiResult {
    change(call, "close or open the topic", |chat, thread| {
        set_closed(chat, thread, true)
    })
}

pub fn reopen_forum_topic(call: &mut Call<'_>) -> ApiResult {
    change(call, "close or open the topic", |chat, thread| {
        set_closed(chat, thread, false)
    })
}

/// The service message that says so, or none when nothing changes.
pub fn set_closed(chat: &mut Chat, thread: i64, closed: bool) -> Option<(&'static str, Value)> {
    let topic = chat.topics.get_mut(&thread)?;
    let changes = topic.closed != closed;
    topic.closed = closed;
    let event = if closed {
        "forum_topic_closed"
    } else {
        "forum_topic_reopened"
    };
    changes.then_some((event, json!({})))
}

/// Changes a topic the bot may manage, or has made itself.
fn change(
    call: &mut Call<'_>,
    what: &str,
    act: impl FnOnce(&mut Chat, i64) -> Option<(&'static str, Value)>,
) -> ApiResult {
    let thread = call.thread().unwrap_or(0);
    let now_ms = call.now_ms;
    let chat = forum(call)?;
    let topic = chat.topics.get(&thread).filter(|topic| !topic.deleted);
    let topic = topic.ok_or_else(|| ApiError::bad_request("TOPIC_ID_INVALID"))?;
    if !topic.created_by_bot && !chat.may_manage_topics() {
        return Err(ApiError::bad_request(&format!("not enough rights to {what}")));
    }
    let (event, value) = act(chat, thread).ok_or_else(|| ApiError::bad_request("TOPIC_NOT_MODIFIED"))?;
    chat.post(
        NewMessage::new(Author::Bot, Some(thread), Body::Service(event, value)),
        now_ms,
    );
    Ok(json!(true))
}

pub fn delete_forum_topic(call: &mut Call<'_>) -> ApiResult {
    let thread = call.thread().unwrap_or(0);
    let now_ms = call.now_ms;
    let chat = forum(call)?;
    if chat.is_group() && !chat.rights.can_delete_messages {
        return Err(ApiError::bad_request("not enough rights to delete the topic"));
    }
    if chat.topics.get(&thread).is_none_or(|topic| topic.deleted) {
        return Err(ApiError::bad_request("TOPIC_ID_INVALID"));
    }
    chat.delete_topic(thread, now_ms);
    Ok(json!(true))
}
