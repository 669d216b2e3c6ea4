//! `/history`: the last turns of a place, from the bot's own store.

use jiff::Timestamp;
use longshore_routing::Mode;

use crate::bot::Bot;
use crate::conversation::standing::{beginning, when};
use crate::store::StoreError;
use crate::store::history::PastTurn;
use crate::store::messages::MessageRow;
use crate::words;

/// What is shown of a question and of an answer, in characters.
const ASKED_CHARS: usize = 120;
const ANSWER_CHARS: usize = 160;

/// The last turns of the place of a message.
pub async fn history(bot: &Bot, row: &MessageRow, turns: usize) -> Result<String, StoreError> {
    let past = bot.store.history(row.place, turns).await?;
    Ok(told(&past, Timestamp::now()))
}

fn told(past: &[PastTurn], now: Timestamp) -> String {
    if past.is_empty() {
        return words::NO_HISTORY.to_owned();
    }
    past.iter().map(|turn| line(turn, now)).collect::<Vec<_>>().join("\n\n")
}

fn line(turn: &PastTurn, now: Timestamp) -> String {
    let at = Timestamp::from_second(turn.at).unwrap_or(now);
    let asked = match &turn.message.decision.mode {
        Mode::Task { prompt, .. }
        | Mode::StartSession {
            prompt: Some(prompt), ..
        }
        | Mode::ToSession { text: prompt, .. } => prompt.as_str(),
        _ => "",
    };
    let asked = match (asked.trim(), turn.message.files.is_empty()) {
        ("", true) => "(started a session)".to_owned(),
        ("", false) => "(sent a file)".to_owned(),
        (asked, _) => beginning(asked, ASKED_CHARS),
    };
    let answer = match turn.answer.as_deref().map(str::trim) {
        None => "(not answered yet)".to_owned(),
        Some(answer) => beginning(answer, ANSWER_CHARS),
    };
    format!("{}, {}: {asked}\n→ {answer}", when(at, now), turn.message.user_name)
}
