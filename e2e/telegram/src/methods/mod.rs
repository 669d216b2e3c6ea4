//! The Bot API's methods, by name. `getUpdates` is the only one that waits; the server drives it.
//!
//! Each is a function on the world: parameters and time in, result or refusal out. A method not listed here is refused as
//! the real server refuses a name it does not know.

mod callbacks;
mod chats;
mod drafts;
mod files;
mod messages;
mod reactions;
mod topics;

pub(crate) use topics::set_closed;

use serde_json::{Value, json};

use crate::{
    error::{ApiError, ApiResult},
    params::Params,
    world::World,
};

/// One call: the world it acts on, its parameters, and when.
#[derive(Debug)]
pub struct Call<'a> {
    pub world: &'a mut World,
    pub params: &'a Params,
    pub now_ms: i64,
}

/// Runs a method; `name` in any case.
pub fn run(name: &str, mut call: Call<'_>) -> ApiResult {
    let method = find(name).ok_or_else(|| ApiError::new(404, "Not Found: method not found"))?;
    method(&mut call)
}

type Method = fn(&mut Call<'_>) -> ApiResult;

fn find(name: &str) -> Option<Method> {
    Some(match name.to_lowercase().as_str() {
        "getme" => get_me,
        "setmycommands" => set_my_commands,
        "getmycommands" => get_my_commands,
        "deletemycommands" => delete_my_commands,
        "setwebhook" => set_webhook,
        "deletewebhook" => delete_webhook,
        "getwebhookinfo" => get_webhook_info,
        "sendmessage" => messages::send_message,
        "sendmessagedraft" => drafts::send_message_draft,
        "editmessagetext" => messages::edit_message_text,
        "editmessagecaption" => messages::edit_message_caption,
        "editmessagereplymarkup" => messages::edit_message_reply_markup,
        "deletemessage" => messages::delete_message,
        "deletemessages" => messages::delete_messages,
        "pinchatmessage" => messages::pin_chat_message,
        "unpinchatmessage" => messages::unpin_chat_message,
        "setmessagereaction" => reactions::set_message_reaction,
        "answercallbackquery" => callbacks::answer_callback_query,
        "sendchataction" => chats::send_chat_action,
        "getchat" => chats::get_chat,
        "getchatmember" => chats::get_chat_member,
        "getchatadministrators" => chats::get_chat_administrators,
        "leavechat" => chats::leave_chat,
        "createforumtopic" => topics::create_forum_topic,
        "editforumtopic" => topics::edit_forum_topic,
        "closeforumtopic" => topics::close_forum_topic,
        "reopenforumtopic" => topics::reopen_forum_topic,
        "deleteforumtopic" => topics::delete_forum_topic,
        "senddocument" => files::send_document,
        "sendphoto" => files::send_photo,
        "sendvoice" => files::send_voice,
        "sendaudio" => files::send_audio,
        "sendvideo" => files::send_video,
        "sendanimation" => files::send_animation,
        "sendmediagroup" => files::send_media_group,
        "getfile" => files::get_file,
        _ => return None,
    })
}

impl Call<'_> {
    fn chat_id(&self) -> Result<i64, ApiError> {
        if self
            .params
            .values
            .get("chat_id")
            .is_none_or(|id| id.is_null() || id == "")
        {
            return Err(ApiError::bad_request("chat_id is empty"));
        }
        self.params
            .int("chat_id")
            .ok_or_else(|| ApiError::bad_request("chat not found"))
    }

    /// The thread; 0 means none, as in the real server.
    fn thread(&self) -> Option<i64> {
        self.params.int("message_thread_id").filter(|thread| *thread != 0)
    }
}

fn get_me(call: &mut Call<'_>) -> ApiResult {
    let mut me = call.world.bot_json();
    let more = json!({
        "can_join_groups": call.world.bot.can_join_groups,
        "can_read_all_group_messages": !call.world.bot.privacy,
        "supports_inline_queries": false, "can_connect_to_business": false, "has_main_web_app": false,
        "has_topics_enabled": call.world.bot.has_topics_enabled,
    });
    if let (Some(me), Value::Object(more)) = (me.as_object_mut(), more) {
        me.extend(more);
    }
    Ok(me)
}

/// Commands are kept per scope and language.
fn commands_key(params: &Params) -> Result<String, ApiError> {
    let scope = params.json("scope")?.unwrap_or_else(|| json!({"type": "default"}));
    Ok(format!("{scope} {}", params.text("language_code").unwrap_or_default()))
}

fn set_my_commands(call: &mut Call<'_>) -> ApiResult {
    let commands = call.params.json("commands")?.unwrap_or_else(|| json!([]));
    let Some(list) = commands.as_array() else {
        return Err(ApiError::bad_request("expected an Array of BotCommand"));
    };
    if list.len() > 100 {
        return Err(ApiError::bad_request("BOT_COMMANDS_TOO_MUCH"));
    }
    for command in list {
        let name = command["command"].as_str().unwrap_or_default().trim_start_matches('/');
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(is_allowed) {
            return Err(ApiError::bad_request("BOT_COMMAND_INVALID"));
        }
        if !(1..=256).contains(&command["description"].as_str().unwrap_or_default().chars().count()) {
            return Err(ApiError::bad_request("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
    }
    let key = commands_key(call.params)?;
    call.world.commands.insert(key, commands);
    Ok(json!(true))
}

fn get_my_commands(call: &mut Call<'_>) -> ApiResult {
    let key = commands_key(call.params)?;
    Ok(call.world.commands.get(&key).cloned().unwrap_or_else(|| json!([])))
}

fn delete_my_commands(call: &mut Call<'_>) -> ApiResult {
    let key = commands_key(call.params)?;
    call.world.commands.remove(&key);
    Ok(json!(true))
}

/// Only its effect on polling is modelled; nothing is delivered.
fn set_webhook(call: &mut Call<'_>) -> ApiResult {
    let url = call.params.text("url").unwrap_or_default();
    if !url.is_empty() && !url.starts_with("https://") {
        return Err(ApiError::bad_request(
            "bad webhook: An HTTPS URL must be provided for webhook",
        ));
    }
    if call.params.flag("drop_pending_updates") {
        call.world.queue.clear();
    }
    call.world.webhook = (!url.is_empty()).then_some(url);
    Ok(json!(true))
}

fn delete_webhook(call: &mut Call<'_>) -> ApiResult {
    if call.params.flag("drop_pending_updates") {
        call.world.queue.clear();
    }
    call.world.webhook = None;
    Ok(json!(true))
}

fn get_webhook_info(call: &mut Call<'_>) -> ApiResult {
    Ok(json!({
        "url": call.world.webhook.clone().unwrap_or_default(), "has_custom_certificate": false,
        "pending_update_count": call.world.queue.len(),
    }))
}
