//! Posts that bring a file.
//!
//! A file goes out in one call and not by an edit of a placeholder, so after a lost reply it goes out once more, under the
//! same name: it comes at least once. Its id and that it is shown are recorded in one step. What Telegram does not take
//! becomes a sentence in the same post.

use super::sender::{About, Sender};
use crate::render::Rich;
use crate::store::StoreError;
use crate::store::posts::{Body, Pending, Upload};
use crate::telegram::CallError;
use crate::telegram::client::{Document, To};
use crate::words;

/// Largest file that Telegram takes from a bot.
const MAX_UPLOAD: usize = 50 << 20;

impl Sender {
    /// Sends a post that brings a file. One that was sent stays as it is, whatever the post says later.
    pub(super) async fn document(&mut self, pending: Pending) -> Result<(), StoreError> {
        let store = self.inner.store.clone();
        let content = pending.content.clone().unwrap_or_default();
        let Some(upload) = content.file.clone() else {
            return Ok(());
        };
        if pending.shown > 0 {
            store.shown(pending.post, pending.version).await?;
            self.inner.deliveries.notify_one();
            return Ok(());
        }
        let bytes = match self.read(&upload).await {
            Ok(bytes) => bytes,
            Err(why) => return self.say_instead(&pending, &upload, &why).await,
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
            name: upload.name.clone(),
            content: bytes,
            caption,
            buttons: content.buttons,
        };
        let telegram = self.inner.telegram.clone();
        let call = telegram.send_document(to, document);
        match self.call(About::new(pending.priority, pending.place), call).await? {
            Ok(id) => {
                self.went_well(pending.place);
                store.sent_whole(pending.post, id, pending.version).await?;
                self.inner.deliveries.notify_one();
                self.let_go(&upload).await
            }
            Err(CallError::Formatting(_)) if !pending.plain => {
                store.fall_back_to_plain(pending.post, pending.version).await
            }
            Err(CallError::Refused(why) | CallError::Formatting(why) | CallError::MessageGone(why)) => {
                self.say_instead(&pending, &upload, &why).await
            }
            Err(error) => self.failed(error, &pending).await,
        }
    }

    /// What is in a file, or in a few words why it cannot be sent.
    async fn read(&self, upload: &Upload) -> Result<Vec<u8>, String> {
        let bytes = match &upload.body {
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

    async fn say_instead(&self, pending: &Pending, upload: &Upload, why: &str) -> Result<(), StoreError> {
        tracing::warn!(chat = self.id, post = pending.post, why, "a file was not sent");
        let mut content = pending.content.clone().unwrap_or_default();
        content.file = None;
        content.rich = content
            .rich
            .paragraph(Rich::plain(words::file_not_sent(&upload.name, why)));
        let store = &self.inner.store;
        store.say_instead(pending.post, pending.version, content).await?;
        self.let_go(upload).await
    }

    async fn let_go(&self, upload: &Upload) -> Result<(), StoreError> {
        match &upload.body {
            Body::Text(_) => Ok(()),
            Body::Kept(name) => self.inner.store.drop_file(name).await,
        }
    }
}
