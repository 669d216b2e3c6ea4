//! What the calls send, as Telegram's Bot API names it. <https://core.telegram.org/bots/api#available-methods>

use serde::Serialize;
use serde_json::Value;
use teloxide_core::requests::Payload;

use super::client::Button;
use crate::render::Entity;

macro_rules! payload {
    ($type:ty, $name:literal) => {
        impl Payload for $type {
            type Output = Value;
            const NAME: &'static str = $name;
        }
    };
}

#[derive(Clone, Serialize)]
pub(super) struct GetUpdates {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<i64>,
    pub(super) timeout: u32,
    pub(super) allowed_updates: &'static [&'static str],
}
payload!(GetUpdates, "getUpdates");

#[derive(Clone, Serialize)]
pub(super) struct GetFile {
    pub(super) file_id: String,
}
payload!(GetFile, "getFile");

#[derive(Clone, Serialize)]
pub(super) struct GetMe {}
payload!(GetMe, "getMe");

#[derive(Clone, Serialize)]
pub(super) struct GetChatMember {
    pub(super) chat_id: i64,
    pub(super) user_id: i64,
}
payload!(GetChatMember, "getChatMember");

#[derive(Clone, Serialize)]
pub(super) struct BotCommand {
    pub(super) command: String,
    pub(super) description: String,
}

#[derive(Clone, Serialize)]
pub(super) struct SetMyCommands {
    pub(super) commands: Vec<BotCommand>,
}
payload!(SetMyCommands, "setMyCommands");

#[derive(Clone, Serialize)]
pub(super) struct ReplyParameters {
    pub(super) message_id: i64,
    pub(super) allow_sending_without_reply: bool,
}

impl ReplyParameters {
    pub(super) fn to(message_id: i64) -> Self {
        Self {
            message_id,
            allow_sending_without_reply: true,
        }
    }
}

#[derive(Clone, Serialize)]
pub(super) struct SendMessage {
    pub(super) chat_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_thread_id: Option<i64>,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply_parameters: Option<ReplyParameters>,
}
payload!(SendMessage, "sendMessage");

#[derive(Clone, Serialize)]
pub(super) struct LinkPreviewOptions {
    pub(super) is_disabled: bool,
}

#[derive(Clone, Serialize)]
pub(super) struct InlineKeyboard {
    pub(super) inline_keyboard: Vec<Vec<Button>>,
}

#[derive(Clone, Serialize)]
pub(super) struct EditMessageText {
    pub(super) chat_id: i64,
    pub(super) message_id: i64,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) entities: Vec<Entity>,
    pub(super) link_preview_options: LinkPreviewOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply_markup: Option<InlineKeyboard>,
}
payload!(EditMessageText, "editMessageText");

#[derive(Clone, Serialize)]
pub(super) struct SendMessageDraft {
    pub(super) chat_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_thread_id: Option<i64>,
    pub(super) draft_id: i64,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) entities: Vec<Entity>,
}
payload!(SendMessageDraft, "sendMessageDraft");

#[derive(Clone, Serialize)]
pub(super) struct ReactionType {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) emoji: String,
}

#[derive(Clone, Serialize)]
pub(super) struct SetMessageReaction {
    pub(super) chat_id: i64,
    pub(super) message_id: i64,
    pub(super) reaction: Vec<ReactionType>,
}
payload!(SetMessageReaction, "setMessageReaction");

#[derive(Clone, Serialize)]
pub(super) struct SendChatAction {
    pub(super) chat_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_thread_id: Option<i64>,
    pub(super) action: &'static str,
}
payload!(SendChatAction, "sendChatAction");

#[derive(Clone, Serialize)]
pub(super) struct AnswerCallbackQuery {
    pub(super) callback_query_id: String,
    pub(super) text: String,
    pub(super) show_alert: bool,
}
payload!(AnswerCallbackQuery, "answerCallbackQuery");
