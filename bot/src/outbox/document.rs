//! Posts that bring a file.
//!
//! A file goes out in one call and not by an edit of a placeholder, so after a lost reply it goes out once more, under the
//! same name: it comes at least once. Its id and that it is shown are recorded in one step. What Telegram does not take
//! becomes a sentence in the same post.
//!
//! A large file takes minutes, so the call is made beside the others of its chat, one file at a time: what is urgent does not wait
//! for it.

use tokio_util::task::AbortOnDropHandle;

use super::sender::{Sender, counted};
use crate::render::Rich;
use crate::store::StoreError;
use crate::store::posts::{self, Body, Pending};
use crate::telegram::CallError;
use crate::telegram::client::{Document, To};
use crate::words;

/// Largest file that Telegram takes from a bot.
const MAX_UPLOAD: usize = 50 << 20;

/// What came of a call that sends a file; the id of its message.
type Sent = Result<Result<i64, CallError>, StoreError>;

/// A file that is on its way.
pub(super) struct Upload {
    pending: Pending,
    file: posts::Upload,
    call: AbortOnDropHandle<Sent>,
}

/// Whether a post brings a file.
pub(super) fn brings_file(pending: &Pending) -> bool {
    pending.content.as_ref().is_some_and(|content| content.file.is_some())
}

/// Waits until the file has arrived, or has not; for ever without one.
pub(super) async fn uploading(upload: Option<&mut Upload>) -> Sent {
    match upload {
        Some(upload) => {
            let sent = (&mut upload.call).await;
            sent.unwrap_or_else(|error| Ok(Err(CallError::Unknown(error.to_string()))))
        }
        None => std::future::pending().await,
    }
}

impl Sender {
    /// Begins to send a post that brings a file. One that was sent stays as it is, whatever the post says later.
    pub(super) async fn document(&mut self, pending: Pending) -> Result<(), StoreError> {
        let content = pending.content.clone().unwrap_or_default();
        let Some(file) = content.file.clone() else {
            return Ok(());
        };
        if pending.shown > 0 {
            self.inner.store.shown(pending.post, pending.version).await?;
            self.inner.deliveries.notify_one();
            return Ok(());
        }
        let bytes = match self.read(&file).await {
            Ok(bytes) => bytes,
            Err(why) => return self.say_instead(&pending, &file, &why).await,
        };
        let to = To {
            chat: self.id,
            thread: pending.place.thread,
            reply_to: pending.reply_to,
        };
        let caption = if pending.plain {
            content.bare().swap_remove(0)
        } else {
            content.rich
        };
        let document = Document {
            name: file.name.clone(),
            content: bytes,
            caption,
            buttons: content.buttons,
        };
        let (inner, chat) = (self.inner.clone(), self.id);
        let call = tokio::spawn(async move {
            let call = inner.telegram.send_document(to, document);
            counted(&inner, chat, call).await
        });
        self.pace.begins();
        self.turns.served(pending.place.thread_key());
        let call = AbortOnDropHandle::new(call);
        self.upload = Some(Upload { pending, file, call });
        Ok(())
    }

    /// The file has arrived, or has not.
    pub(super) async fn uploaded(&mut self, sent: Sent) -> Result<(), StoreError> {
        let Some(Upload { pending, file, .. }) = self.upload.take() else {
            return Ok(());
        };
        self.pace.ended(self.inner.now(), pending.priority);
        let store = self.inner.store.clone();
        match sent? {
            Ok(id) => {
                self.went_well(pending.place);
                store.sent_whole(pending.post, id, pending.version).await?;
                self.inner.deliveries.notify_one();
                self.let_go(&file).await
            }
            Err(CallError::Formatting(_)) if !pending.plain => {
                store.fall_back_to_plain(pending.post, pending.version).await
            }
            Err(CallError::Refused(why) | CallError::Formatting(why) | CallError::MessageGone(why)) => {
                self.say_instead(&pending, &file, &why).await
            }
            Err(error) => self.failed(error, &pending).await,
        }
    }

    /// What is in a file, or in a few words why it cannot be sent.
    async fn read(&self, file: &posts::Upload) -> Result<Vec<u8>, String> {
        let bytes = match &file.body {
            Body::Text(text) => text.clone().into_bytes(),
            Body::Kept(name) => {
                let read = self.inner.store.files().read(name).await;
                read.map_err(|error| format!("the bot could not read it: {error}"))?
            }
        };
        match bytes.len() {
            0 => Err("it is empty".to_owned()),
            1..=MAX_UPLOAD => Ok(bytes),
            _ => Err("it is larger than 50 MB".to_owned()),
        }
    }

    async fn say_instead(&self, pending: &Pending, file: &posts::Upload, why: &str) -> Result<(), StoreError> {
        tracing::warn!(chat = self.id, post = pending.post, why, "a file was not sent");
        let mut content = pending.content.clone().unwrap_or_default();
        content.file = None;
        content.rich = content
            .rich
            .paragraph(Rich::plain(words::file_not_sent(&file.name, why)));
        let store = &self.inner.store;
        store.say_instead(pending.post, pending.version, content).await?;
        self.let_go(file).await
    }

    async fn let_go(&self, file: &posts::Upload) -> Result<(), StoreError> {
        match &file.body {
            Body::Text(_) => Ok(()),
            Body::Kept(name) => self.inner.store.drop_file(name).await,
        }
    }
}
