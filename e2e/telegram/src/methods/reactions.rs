//! Reactions of the bot: one at most, from the list that Telegram allows.

use serde_json::{Value, json};

use super::Call;
use crate::error::{ApiError, ApiResult};

/// Every emoji of ReactionTypeEmoji, without variation selectors at the end.
pub const REACTIONS: [&str; 73] = [
    "👍",
    "👎",
    "❤",
    "🔥",
    "🥰",
    "👏",
    "😁",
    "🤔",
    "🤯",
    "😱",
    "🤬",
    "😢",
    "🎉",
    "🤩",
    "🤮",
    "💩",
    "🙏",
    "👌",
    "🕊",
    "🤡",
    "🥱",
    "🥴",
    "😍",
    "🐳",
    "❤‍🔥",
    "🌚",
    "🌭",
    "💯",
    "🤣",
    "⚡",
    "🍌",
    "🏆",
    "💔",
    "🤨",
    "😐",
    "🍓",
    "🍾",
    "💋",
    "🖕",
    "😈",
    "😴",
    "😭",
    "🤓",
    "👻",
    "👨‍💻",
    "👀",
    "🎃",
    "🙈",
    "😇",
    "😨",
    "🤝",
    "✍",
    "🤗",
    "🫡",
    "🎅",
    "🎄",
    "☃",
    "💅",
    "🤪",
    "🗿",
    "🆒",
    "💘",
    "🙉",
    "🦄",
    "😘",
    "💊",
    "🙊",
    "😎",
    "👾",
    "🤷‍♂",
    "🤷",
    "🤷‍♀",
    "😡",
];

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
    let here = chat.reactions.clone();
    let is_allowed =
        |emoji: &String| REACTIONS.contains(&emoji.as_str()) && here.as_ref().is_none_or(|here| here.contains(emoji));
    let id = call.params.int("message_id").unwrap_or(0);
    let message = chat
        .message_mut(id)
        .ok_or_else(|| ApiError::bad_request("message to react not found"))?;
    if emoji.len() > 1 {
        return Err(ApiError::bad_request("REACTIONS_TOO_MANY"));
    }
    if emoji.iter().any(|emoji| !is_allowed(emoji)) {
        return Err(ApiError::bad_request("REACTION_INVALID"));
    }
    if emoji.is_empty() {
        message.reactions.remove(&bot);
    } else {
        message.reactions.insert(bot, emoji);
    }
    Ok(json!(true))
}
