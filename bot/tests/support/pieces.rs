//! Messages that Telegram sends in pieces, and voice messages, as raw updates.

use serde_json::{Value, json};

use super::Stage;

impl Stage {
    /// Puts a file on Telegram's servers; returns its id. Nobody who is heard has sent it.
    pub async fn file(&self, name: &str, content: Vec<u8>) -> String {
        let stranger = self.people.user("Grace").await.unwrap().id;
        let upload = longshore_telegram_emulator::control::Upload {
            user: stranger,
            name: name.to_owned(),
            ..Default::default()
        };
        self.people.upload(stranger, &upload, content).await.unwrap();
        let all = self.people.messages(stranger, None).await.unwrap();
        all.last().unwrap().file.as_ref().unwrap().file_id.clone()
    }

    /// A message of Ada's in a topic, with more in it.
    pub fn message(&self, thread: i64, id: i64, more: &Value) -> Value {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let mut message = json!({
            "message_id": id, "date": now.as_secs(), "message_thread_id": thread, "is_topic_message": true,
            "chat": {"id": self.forum, "type": "supergroup", "title": "Harbour", "is_forum": true},
            "from": {"id": self.ada, "is_bot": false, "first_name": "Ada"},
        });
        for (key, value) in more.as_object().unwrap() {
            message[key] = value.clone();
        }
        message
    }

    /// Ada sends this.
    pub async fn sends(&self, thread: i64, id: i64, more: Value) {
        let message = self.message(thread, id, &more);
        self.people.inject(&json!({ "message": message })).await.unwrap();
    }

    /// Ada has changed a message at this Unix second; it holds this now.
    pub fn edited(&self, thread: i64, id: i64, at: i64, more: &Value) -> Value {
        let mut message = self.message(thread, id, more);
        message["edit_date"] = json!(at);
        json!({ "edited_message": message })
    }

    /// Waits until the bot has stored every update.
    pub async fn all_taken(&self) {
        super::in_time("the updates are taken", async {
            loop {
                if self.people.backlog().await.unwrap().pending.is_empty() {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}
