//! Files that agents send: fetched from the runner and kept by the bot before the runner may forget them.
//!
//! A file is on disk before the store names it; fetching it again after a crash only writes the same once more. What can never be
//! had is told instead of the file, so that it holds nothing up.

use std::pin::pin;

use futures::StreamExt;
use longshore_wire::api::{MAX_SENT_FILE_BYTES, SentFile};
use longshore_wire::file_name;

use crate::agent::{Door, RunnerError};
use crate::bot::Bot;
use crate::render::Rich;
use crate::store::posts::{Body, Content, Upload};
use crate::words;

/// Longest name of a file, in bytes.
const NAME: usize = 100;
/// How often a file is asked for that the runner does not give.
pub const TRIES: u32 = 5;

/// Key of the posts that bring a file.
pub fn key(file: &SentFile, part: usize) -> String {
    format!("file/{}/{part}", file.id)
}

/// Fetches a file; returns what the chat shall see of it.
///
/// # Errors
/// When the runner may give it later.
pub async fn fetch(bot: &Bot, door: &Door, file: &SentFile) -> Result<Vec<Content>, RunnerError> {
    // It is held in memory.
    let _turn = bot.fetching.lock().await;
    let why = match content(bot, door, file).await {
        Ok(content) => match bot.store.files().keep(&key(file, 0), content).await {
            Ok(kept) => return Ok(brings(file, kept)),
            Err(error) => {
                tracing::error!(%error, "a file that an agent sent cannot be kept");
                words::FILE_NOT_KEPT.to_owned()
            }
        },
        Err(RunnerError::NotFound) => words::FILE_GONE.to_owned(),
        Err(error) => return Err(error),
    };
    Ok(vec![Content::plain(words::file_lost(&name(file), &why))])
}

/// What the chat sees of a file that the runner did not give in many tries.
pub fn given_up(file: &SentFile, error: &RunnerError) -> Vec<Content> {
    vec![Content::plain(words::file_lost(&name(file), &error.to_string()))]
}

fn name(file: &SentFile) -> String {
    file_name::sanitised(&file.name, NAME)
}

fn brings(file: &SentFile, kept: String) -> Vec<Content> {
    let upload = Upload {
        name: name(file),
        body: Body::Kept(kept),
    };
    Content::bringing(Rich::plain(file.caption.clone().unwrap_or_default()), upload)
}

/// The content of a file, which must be what was announced.
async fn content(bot: &Bot, door: &Door, file: &SentFile) -> Result<Vec<u8>, RunnerError> {
    let damaged = || RunnerError::Silent("it was not what had been announced".to_owned());
    let mut stream = pin!(bot.runners.file(door, file.id).await?);
    let mut content = Vec::new();
    while let Some(bytes) = stream.next().await {
        content.extend_from_slice(&bytes?);
        if content.len() as u64 > file.size.min(MAX_SENT_FILE_BYTES) {
            return Err(damaged());
        }
    }
    match content.len() as u64 == file.size {
        true => Ok(content),
        false => Err(damaged()),
    }
}
