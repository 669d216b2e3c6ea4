//! Listening to voice messages: what is said in them is what is decided about, and what claude is given.
//!
//! Done in the lane of the place, before the message is carried out: what somebody writes after it waits its turn, and `/stop`
//! overtakes it. What is said is stored together with the decision, so a crash in between only means that it is listened to
//! again. If it cannot be understood, the recording goes on as any other file.

use std::sync::Arc;

use crate::bot::Bot;
use crate::download::{self, Missing};
use crate::express;
use crate::outbox::pace::Priority;
use crate::situation::{self, Heard};
use crate::store::StoreError;
use crate::store::messages::MessageRow;
use crate::store::posts::Content;
use crate::telegram::update::FileRef;
use crate::transcribe::Transcriber;
use crate::words;

/// Whether somebody must listen to something that came with a message.
pub fn must(bot: &Bot, files: &[FileRef]) -> bool {
    bot.settings.transcriber.is_some() && files.iter().any(|file| file.voice)
}

/// Listens to a message and decides about it; `written` came with it. False when Telegram does not give the recording yet.
pub async fn listen(bot: &Arc<Bot>, row: &MessageRow, written: &str) -> Result<bool, StoreError> {
    let Some(transcriber) = &bot.settings.transcriber else {
        // It was plugged in when the message came.
        decide(bot, row, written.to_owned(), row.files.clone(), None).await?;
        return Ok(true);
    };
    bot.show_progress(row, words::LISTENING).await?;
    let (mut files, mut said, mut trouble) = (row.files.clone(), Vec::new(), None);
    for file in files.iter_mut().filter(|file| file.voice) {
        match transcript(bot, transcriber, file, row.message).await {
            Ok(Ok(text)) => {
                file.heard = true;
                said.push(words::transcribed(&text));
            }
            Ok(Err(why)) => {
                said.push(words::UNHEARD_FOR_CLAUDE.to_owned());
                trouble = Some(why);
            }
            Err(_) => return Ok(false),
        }
    }
    let written = Some(written.to_owned()).filter(|written| !written.is_empty());
    let text = written.into_iter().chain(said).collect::<Vec<_>>().join("\n\n");
    decide(bot, row, text, files, trouble).await?;
    Ok(true)
}

/// What is said in a file, or why that cannot be told.
async fn transcript(
    bot: &Bot,
    transcriber: &Transcriber,
    file: &FileRef,
    message: i64,
) -> Result<Result<String, String>, Missing> {
    // It is held in memory.
    let _turn = bot.fetching.lock().await;
    let audio = match download::content(&bot.telegram, file, message).await? {
        Ok(audio) => audio,
        Err(why) => return Ok(Err(why)),
    };
    let text = transcriber.text(&file.name, audio).await;
    Ok(text.map_err(|error| error.to_string()))
}

async fn decide(
    bot: &Arc<Bot>,
    row: &MessageRow,
    text: String,
    files: Vec<FileRef>,
    trouble: Option<String>,
) -> Result<(), StoreError> {
    let heard = Heard {
        text,
        files,
        trouble: trouble.as_deref().map(words::not_transcribed),
    };
    let is_told = heard.trouble.clone();
    let handed_on = situation::decide_heard(bot, row, heard).await?;
    if let Some(told) = is_told.filter(|_| handed_on) {
        let key = format!("unheard/{}/{}", row.place.chat, row.message);
        let told = Content::plain(told);
        let post = bot
            .store
            .post(key, row.place, Some(row.message), Some(told), Priority::Notice);
        post.await?;
    }
    bot.outbox.wake(row.place.chat);
    let again = bot.store.message(row.wire_id).await?;
    if let Some(again) = again.filter(|again| again.decision.mode.overtakes()) {
        bot.spawn("express", express::carry_out(bot.clone(), again));
    }
    Ok(())
}
