//! Fetching the files of a message from Telegram, as many as a runner takes together.
//!
//! What Telegram says about sizes is believed before anything is fetched; what it does not say is found out. A file that does
//! not fit, or that Telegram will not give, is left out and named; the rest goes. If nothing is left, there is no message.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use longshore_wire::api::{Attachment, MAX_FILES_BYTES};

use crate::store::messages::MessageRow;
use crate::telegram::update::FileRef;
use crate::telegram::{CallError, Telegram};
use crate::words;

/// Pause before Telegram is asked again for a file that it did not give for no reason.
const SOON: Duration = Duration::from_secs(1);

/// A file that does not go with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, in a few words.
    pub why: String,
}

/// Files of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Those that go with it, in their order.
    pub attachments: Vec<Attachment>,
    /// Those that do not.
    pub left_out: Vec<LeftOut>,
}

/// Why there are no files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Telegram may have them after this time.
    Later(Duration),
    /// None of them can be had.
    Never(String),
}

/// Fetches the files that came with a message.
pub async fn files(telegram: &Telegram, row: &MessageRow) -> Result<Fetched, Missing> {
    let mut fetched = Fetched::default();
    let mut room = MAX_FILES_BYTES;
    for file in &row.files {
        let content = match unfit(file, room) {
            Some(why) => Err(why.to_owned()),
            None => content(telegram, file, row.message).await?,
        };
        match content {
            Ok(content) if content.len() <= room => {
                room -= content.len();
                fetched.attachments.push(Attachment {
                    name: file.name.clone(),
                    data: BASE64_STANDARD.encode(content),
                });
            }
            Ok(_) => fetched.leave_out(file, words::NO_ROOM),
            Err(why) => fetched.leave_out(file, &why),
        }
    }
    match fetched.left_out.first() {
        Some(first) if fetched.attachments.is_empty() => Err(Missing::Never(first.why.clone())),
        _ => Ok(fetched),
    }
}

impl Fetched {
    fn leave_out(&mut self, file: &FileRef, why: &str) {
        self.left_out.push(LeftOut {
            name: file.name.clone(),
            why: why.to_owned(),
        });
    }
}

/// Why a file need not be asked for, by the size that Telegram tells.
fn unfit(file: &FileRef, room: usize) -> Option<&'static str> {
    let size = usize::try_from(file.size?).unwrap_or(usize::MAX);
    match size {
        _ if size > MAX_FILES_BYTES => Some(words::FILE_TOO_LARGE),
        _ if size > room => Some(words::NO_ROOM),
        _ => None,
    }
}

/// The content of a file, or why it can never be had.
pub async fn content(telegram: &Telegram, file: &FileRef, message: i64) -> Result<Result<Vec<u8>, String>, Missing> {
    match telegram.download(&file.id).await {
        Ok(content) => Ok(Ok(content)),
        Err(CallError::RetryAfter(wait)) => Err(Missing::Later(wait)),
        Err(error @ (CallError::Unknown(_) | CallError::Unauthorized(_))) => {
            tracing::warn!(message_id = message, %error, "a file is fetched again");
            Err(Missing::Later(SOON))
        }
        Err(error) => Ok(Err(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_telegram_tells_are_believed() {
        let check = |size: Option<u64>, room: usize, why: Option<&str>| {
            let file = FileRef {
                size,
                ..FileRef::default()
            };
            assert_eq!(unfit(&file, room), why);
        };
        check(None, 0, None);
        check(Some(20 << 20), MAX_FILES_BYTES, None);
        check(Some((20 << 20) + 1), MAX_FILES_BYTES, Some(words::FILE_TOO_LARGE));
        check(Some(11), 10, Some(words::NO_ROOM));
        check(Some(u64::MAX), 10, Some(words::FILE_TOO_LARGE));
    }
}
