//! The calls the bot makes, as payloads of our own.
//!
//! teloxide's types know Bot API 9.1 and lose the text of messages with newer parts; its client, token handling and error
//! types are used, its payloads and requests are not. Answers come as JSON and only the fields that matter are read.

use std::sync::Arc;
use std::time::Duration;

use longshore_wire::api::MAX_FILES_BYTES;
use reqwest::multipart::{Form, Part};
use serde::Serialize;
use serde_json::Value;
use teloxide_core::requests::Payload;
use teloxide_core::{Bot, RequestError};

use super::error::{self, CallError};
use super::payload::{
    AnswerCallbackQuery, BotCommand, EditMessageText, GetChatMember, GetFile, GetMe, GetUpdates, InlineKeyboard,
    LinkPreviewOptions, ReactionType, ReplyParameters, SendChatAction, SendMessage, SendMessageDraft,
    SetMessageReaction, SetMyCommands,
};
use crate::render::{Entity, Rich};

/// How long Telegram holds a poll that has nothing to say.
pub const POLL_SECONDS: u32 = 50;
/// Longer than a poll, so that a silent poll is not taken for a broken one.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long any other call may take. Nothing else goes to the chat in that time.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a file may take to go up.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);
/// What the bot wants to hear of.
const ALLOWED_UPDATES: [&str; 4] = ["message", "edited_message", "callback_query", "my_chat_member"];

/// Telegram's Bot API for one bot.
#[derive(Clone)]
pub struct Telegram {
    bot: Bot,
}

/// What `getMe` says about the bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Name without `@`.
    pub username: String,
    /// Whether it sees all messages of a group (privacy mode is off).
    pub reads_all_group_messages: bool,
}

/// A button under a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Button {
    /// Label.
    pub text: String,
    /// At most 64 bytes; comes back when it is pressed.
    pub callback_data: String,
}

/// Where a message goes. `thread` must be none for the General topic: Telegram refuses 1.
#[derive(Clone, Copy, Debug)]
pub struct To {
    /// Chat.
    pub chat: i64,
    /// Forum topic.
    pub thread: Option<i64>,
    /// Message under which it stands, if that is still there.
    pub reply_to: Option<i64>,
}

/// A file with what stands under it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Name that people see.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
    /// Words under it.
    pub caption: Rich,
    /// Rows of buttons.
    pub buttons: Vec<Vec<Button>>,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The HTTP client.
    #[error("the HTTP client cannot be made: {0}")]
    Http(#[from] reqwest::Error),
    /// The address.
    #[error("TELEGRAM_API_URL is no address: {0}")]
    Address(#[from] url::ParseError),
}

impl Telegram {
    /// Client for the bot with this token. `api_url` replaces Telegram's own servers.
    pub fn new(token: &str, api_url: Option<&str>) -> Result<Self, ClientError> {
        let client = teloxide_core::net::default_reqwest_settings()
            .timeout(CLIENT_TIMEOUT)
            .build()?;
        let mut bot = Bot::with_client(token, client);
        if let Some(url) = api_url {
            // teloxide appends to the path; a trailing slash would double it.
            bot = bot.set_api_url(url.trim_end_matches('/').parse()?);
        }
        Ok(Self { bot })
    }

    async fn call<P>(&self, payload: P) -> Result<Value, CallError>
    where
        P: Payload<Output = Value> + Serialize,
    {
        self.request(payload, CALL_TIMEOUT).await
    }

    /// Makes a call. teloxide's own way to do so sleeps ten seconds whenever Telegram's servers have a problem, in which nothing else
    /// could go to the chat.
    async fn request<P>(&self, payload: P, timeout: Duration) -> Result<Value, CallError>
    where
        P: Payload<Output = Value> + Serialize,
    {
        let request = self.bot.client().post(self.address(None, P::NAME));
        answered(request.json(&payload).timeout(timeout)).await
    }

    /// The next updates from `offset` on, raw. Everything below `offset` is forgotten by Telegram.
    pub async fn get_updates(&self, offset: Option<i64>) -> Result<Vec<Value>, CallError> {
        let updates = GetUpdates {
            offset,
            timeout: POLL_SECONDS,
            allowed_updates: &ALLOWED_UPDATES,
        };
        match self.request(updates, CLIENT_TIMEOUT).await? {
            Value::Array(updates) => Ok(updates),
            other => Err(CallError::Unknown(format!("getUpdates answered {other}"))),
        }
    }

    /// The content of a file.
    ///
    /// teloxide's own download writes the slash of a path as `%2F`.
    pub async fn download(&self, file: &str) -> Result<Vec<u8>, CallError> {
        let found = self
            .call(GetFile {
                file_id: file.to_owned(),
            })
            .await?;
        let path = found["file_path"].as_str();
        let path = path.ok_or_else(|| CallError::Refused("getFile answered no file_path".to_owned()))?;
        let url = self.address(Some("file"), path);
        let answer = self.bot.client().get(url).send().await.map_err(unknown)?;
        let mut answer = answer.error_for_status().map_err(unknown)?;
        let mut content = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unknown)? {
            if content.len() + chunk.len() > MAX_FILES_BYTES {
                return Err(CallError::Refused("file is too big".to_owned()));
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }

    /// An address below the token.
    fn address(&self, before: Option<&str>, path: &str) -> url::Url {
        let mut url = self.bot.api_url();
        if let Ok(mut segments) = url.path_segments_mut() {
            let token = format!("bot{}", self.bot.token());
            segments
                .pop_if_empty()
                .extend(before)
                .push(&token)
                .extend(path.split('/'));
        }
        url
    }

    /// Posts a file with words under it and returns the id of the message.
    pub async fn send_document(&self, to: To, document: Document) -> Result<i64, CallError> {
        let mut form = Form::new().text("chat_id", to.chat.to_string());
        if let Some(thread) = to.thread {
            form = form.text("message_thread_id", thread.to_string());
        }
        if let Some(message_id) = to.reply_to {
            form = form.text("reply_parameters", json(&ReplyParameters::to(message_id)));
        }
        if !document.caption.text.is_empty() {
            form = form.text("caption_entities", json(&document.caption.entities));
            form = form.text("caption", document.caption.text);
        }
        if !document.buttons.is_empty() {
            let inline_keyboard = document.buttons;
            form = form.text("reply_markup", json(&InlineKeyboard { inline_keyboard }));
        }
        let form = form.part("document", Part::bytes(document.content).file_name(document.name));
        let request = self.bot.client().post(self.address(None, "sendDocument"));
        id_of(&answered(request.multipart(form).timeout(UPLOAD_TIMEOUT)).await?)
    }

    /// Who the bot is.
    pub async fn get_me(&self) -> Result<Me, CallError> {
        let me = self.call(GetMe {}).await?;
        Ok(Me {
            username: me["username"].as_str().unwrap_or_default().to_owned(),
            reads_all_group_messages: me["can_read_all_group_messages"].as_bool().unwrap_or(false),
        })
    }

    /// Whether the bot may write in forum topics of a chat that are closed.
    pub async fn writes_in_closed_topics(&self, chat: i64) -> Result<bool, CallError> {
        let me = self.call(GetMe {}).await?;
        let user_id = me["id"].as_i64();
        let user_id = user_id.ok_or_else(|| CallError::Unknown("getMe answered no id".to_owned()))?;
        let member = self.call(GetChatMember { chat_id: chat, user_id }).await?;
        Ok(member["status"] == "creator" || member["can_manage_topics"] == true)
    }

    /// Sets the menu of commands that people see.
    pub async fn set_my_commands(&self, commands: &[(String, String)]) -> Result<(), CallError> {
        let commands = commands
            .iter()
            .cloned()
            .map(|(command, description)| BotCommand { command, description })
            .collect::<Vec<_>>();
        self.call(SetMyCommands { commands }).await.map(drop)
    }

    /// Posts a message and returns its id. `thread` must be none for the General topic: Telegram refuses 1.
    pub async fn send_message(
        &self,
        chat: i64,
        thread: Option<i64>,
        reply_to: Option<i64>,
        text: &str,
    ) -> Result<i64, CallError> {
        let reply_parameters = reply_to.map(ReplyParameters::to);
        let sent = self
            .call(SendMessage {
                chat_id: chat,
                message_thread_id: thread,
                text: text.to_owned(),
                reply_parameters,
            })
            .await?;
        id_of(&sent)
    }

    /// Puts text, formatting and buttons into a message of the bot. No buttons removes those it has.
    pub async fn edit_message(
        &self,
        chat: i64,
        message: i64,
        text: &str,
        entities: &[Entity],
        buttons: &[Vec<Button>],
    ) -> Result<(), CallError> {
        let edit = EditMessageText {
            chat_id: chat,
            message_id: message,
            text: text.to_owned(),
            entities: entities.to_vec(),
            link_preview_options: LinkPreviewOptions { is_disabled: true },
            reply_markup: (!buttons.is_empty()).then(|| InlineKeyboard {
                inline_keyboard: buttons.to_vec(),
            }),
        };
        self.call(edit).await.map(drop)
    }

    /// Puts a reaction on a message, or takes away the bot's own.
    pub async fn react(&self, chat: i64, message: i64, emoji: Option<&str>) -> Result<(), CallError> {
        let reaction = emoji.map(|emoji| ReactionType {
            kind: "emoji",
            emoji: emoji.to_owned(),
        });
        let set = SetMessageReaction {
            chat_id: chat,
            message_id: message,
            reaction: reaction.into_iter().collect(),
        };
        self.call(set).await.map(drop)
    }

    /// Shows for five seconds that the bot is typing.
    pub async fn type_in(&self, chat: i64, thread: Option<i64>) -> Result<(), CallError> {
        let action = SendChatAction {
            chat_id: chat,
            message_thread_id: thread,
            action: "typing",
        };
        self.call(action).await.map(drop)
    }

    /// Streams a text that is being written, in a private chat. It is gone after 30 seconds, or when a message comes; the same id
    /// changes the text that is shown.
    pub async fn send_draft(
        &self,
        chat: i64,
        thread: Option<i64>,
        id: i64,
        text: &str,
        entities: &[Entity],
    ) -> Result<(), CallError> {
        let draft = SendMessageDraft {
            chat_id: chat,
            message_thread_id: thread,
            draft_id: id,
            text: text.to_owned(),
            entities: entities.to_vec(),
        };
        self.call(draft).await.map(drop)
    }

    /// Ends the waiting sign on a pressed button and shows a short text, which goes away by itself unless it is an alert.
    pub async fn answer_callback(&self, query: &str, text: &str, alert: bool) -> Result<(), CallError> {
        let answer = AnswerCallbackQuery {
            callback_query_id: query.to_owned(),
            text: text.to_owned(),
            show_alert: alert,
        };
        self.call(answer).await.map(drop)
    }
}

/// What a request is answered.
async fn answered(request: reqwest::RequestBuilder) -> Result<Value, CallError> {
    let network = |error| CallError::from(RequestError::Network(Arc::new(error)));
    let answer = request.send().await.map_err(network)?;
    let status = answer.status();
    if status.is_server_error() {
        return Err(CallError::Unknown(status.to_string()));
    }
    if status == reqwest::StatusCode::PAYLOAD_TOO_LARGE {
        return Err(CallError::Refused("the file is too large".to_owned()));
    }
    let body = answer.bytes().await.map_err(network)?;
    error::read_answer(&body)
}

/// The address has the token in it, and errors have the address.
fn unknown(error: reqwest::Error) -> CallError {
    CallError::Unknown(error.without_url().to_string())
}

fn id_of(sent: &Value) -> Result<i64, CallError> {
    sent["message_id"]
        .as_i64()
        .ok_or_else(|| CallError::Unknown("Telegram answered no message_id".to_owned()))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text, numbers and lists of them are JSON")
}
