//! A typed client of the control API, for tests and the demo.
//!
//! Every call fails with [`ClientError`]; waiting calls fail with `Refused` (504) when their time is up.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    calls::Call,
    control::{
        BotChange, ChatChange, ChatSummary, ClockChange, Edit, Forward, NewChat, NewTopic, NewUser, Overview, Post,
        Posted, Press, Reaction, TopicChange, Upgrade, Upload,
        inbox::{InboxEntry, Read},
        routes::{Awaited, WantedCalls},
        view::{Conversation, Shown, ShownFile, Wanted},
    },
    faults::Fault,
    limits::Limits,
    updates::Backlog,
    world::{Callback, ChatKind, User},
};

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the Telegram stand-in cannot be reached")]
    Http(#[from] reqwest::Error),
    #[error("the Telegram stand-in refused {path}: {status} {text}")]
    Refused { path: String, status: u16, text: String },
}

pub type Result<T> = std::result::Result<T, ClientError>;

/// Steers one emulator.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// `base` as in `http://127.0.0.1:8081`.
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(600))
            .build()
            .unwrap_or_default();
        Client {
            base: base.trim_end_matches('/').to_owned(),
            http,
        }
    }

    pub async fn overview(&self) -> Result<Overview> {
        self.get("/state").await
    }

    pub async fn change_bot(&self, change: &BotChange) -> Result<()> {
        self.send(self.http.post(self.at("/bot")).json(change)).await.map(drop)
    }

    /// A person, and the private chat with the bot, whose id is the person's.
    pub async fn user(&self, first_name: &str) -> Result<User> {
        self.add_user(&NewUser {
            first_name: first_name.to_owned(),
            ..NewUser::default()
        })
        .await
    }

    pub async fn add_user(&self, new: &NewUser) -> Result<User> {
        self.post_json("/users", new).await
    }

    pub async fn add_chat(&self, new: &NewChat) -> Result<ChatSummary> {
        self.post_json("/chats", new).await
    }

    /// A forum of which this person is the creator; returns its id.
    pub async fn forum(&self, title: &str, creator: i64) -> Result<i64> {
        let new = NewChat {
            id: None,
            kind: ChatKind::Forum,
            title: title.to_owned(),
            creator: Some(creator),
        };
        Ok(self.add_chat(&new).await?.id)
    }

    /// Blocks or kicks the bot, makes it an administrator, takes rights away.
    pub async fn change_chat(&self, chat: i64, change: &ChatChange) -> Result<()> {
        self.send(self.http.patch(self.at(&format!("/chats/{chat}"))).json(change))
            .await
            .map(drop)
    }

    /// Makes a supergroup of a plain group; returns the new chat.
    pub async fn upgrade(&self, chat: i64, upgrade: &Upgrade) -> Result<ChatSummary> {
        self.post_json(&format!("/chats/{chat}/upgrade"), upgrade).await
    }

    /// A topic made by this person; returns its thread.
    pub async fn topic(&self, chat: i64, user: i64, name: &str) -> Result<i64> {
        let new = NewTopic {
            user,
            name: name.to_owned(),
        };
        let made: Posted = self.post_json(&format!("/chats/{chat}/topics"), &new).await?;
        Ok(made.message_id)
    }

    pub async fn change_topic(&self, chat: i64, thread: i64, change: &TopicChange) -> Result<()> {
        self.send(
            self.http
                .patch(self.at(&format!("/chats/{chat}/topics/{thread}")))
                .json(change),
        )
        .await
        .map(drop)
    }

    /// Somebody writes a message; returns its id.
    pub async fn say(&self, chat: i64, thread: Option<i64>, user: i64, text: &str) -> Result<i64> {
        let post = Post {
            user,
            text: text.to_owned(),
            thread,
            ..Post::default()
        };
        Ok(self.post(chat, &post).await?.message_id)
    }

    pub async fn post(&self, chat: i64, post: &Post) -> Result<Posted> {
        self.post_json(&format!("/chats/{chat}/messages"), post).await
    }

    /// Somebody replies to a message, with a part of it as a quote if one is given; returns the reply's id.
    pub async fn reply(&self, chat: i64, to: i64, user: i64, text: &str, quote: Option<&str>) -> Result<i64> {
        let everything = self.conversation(chat, &Wanted::default()).await?.messages;
        let replied = everything.iter().find(|shown| shown.message_id == to);
        let post = Post {
            user,
            text: text.to_owned(),
            thread: replied.and_then(|shown| shown.thread),
            reply_to: Some(to),
            quote: quote.map(str::to_owned),
            ..Post::default()
        };
        Ok(self.post(chat, &post).await?.message_id)
    }

    /// Somebody forwards a message, whatever it carries.
    pub async fn forward(&self, chat: i64, message: i64, forward: &Forward) -> Result<Posted> {
        self.post_json(&format!("/chats/{chat}/messages/{message}/forward"), forward)
            .await
    }

    pub async fn edit(&self, chat: i64, message: i64, user: i64, text: &str) -> Result<Posted> {
        let edit = Edit {
            user,
            text: text.to_owned(),
        };
        let request = self
            .http
            .patch(self.at(&format!("/chats/{chat}/messages/{message}")))
            .json(&edit);
        Ok(self.send(request).await?.json().await?)
    }

    pub async fn delete(&self, chat: i64, message: i64) -> Result<()> {
        self.send(self.http.delete(self.at(&format!("/chats/{chat}/messages/{message}"))))
            .await
            .map(drop)
    }

    pub async fn upload(&self, chat: i64, upload: &Upload, content: impl Into<reqwest::Body>) -> Result<Posted> {
        let request = self
            .http
            .post(self.at(&format!("/chats/{chat}/files")))
            .query(upload)
            .body(content);
        Ok(self.send(request).await?.json().await?)
    }

    /// Several files as one album: a message and an update for each, in this order. A caption belongs to one of them.
    pub async fn album(&self, chat: i64, album: &str, files: Vec<(Upload, Vec<u8>)>) -> Result<Vec<Posted>> {
        let mut posted = Vec::new();
        for (mut upload, content) in files {
            upload.album = Some(album.to_owned());
            posted.push(self.upload(chat, &upload, content).await?);
        }
        Ok(posted)
    }

    /// The content of a file somebody sent, the bot included.
    pub async fn download(&self, file: &ShownFile) -> Result<Vec<u8>> {
        Ok(self
            .send(self.http.get(format!("{}{}", self.base, file.path)))
            .await?
            .bytes()
            .await?
            .to_vec())
    }

    /// Presses a button by its label.
    pub async fn press(&self, chat: i64, message: i64, user: i64, label: &str) -> Result<Callback> {
        let press = Press {
            user,
            label: Some(label.to_owned()),
            data: None,
        };
        self.post_json(&format!("/chats/{chat}/messages/{message}/press"), &press)
            .await
    }

    /// A press, once the bot has answered it or the time is up.
    pub async fn callback(&self, id: &str, timeout: Duration) -> Result<Callback> {
        let request = self
            .http
            .get(self.at(&format!("/callbacks/{id}")))
            .query(&[("timeout_ms", millis(timeout))]);
        Ok(self.send(request).await?.json().await?)
    }

    pub async fn react(&self, chat: i64, message: i64, user: i64, emoji: &str) -> Result<()> {
        let reaction = Reaction {
            user,
            emoji: emoji.to_owned(),
        };
        let request = self
            .http
            .post(self.at(&format!("/chats/{chat}/messages/{message}/react")))
            .json(&reaction);
        self.send(request).await.map(drop)
    }

    /// What this person has and has not read.
    pub async fn inbox(&self, user: i64) -> Result<Vec<InboxEntry>> {
        self.get(&format!("/inbox?user={user}")).await
    }

    pub async fn mark_read(&self, chat: i64, read: &Read) -> Result<()> {
        let request = self.http.put(self.at(&format!("/chats/{chat}/read"))).json(read);
        self.send(request).await.map(drop)
    }

    /// What people see in a topic; `None` is the General topic or a chat without topics.
    pub async fn messages(&self, chat: i64, thread: Option<i64>) -> Result<Vec<Shown>> {
        let wanted = Wanted {
            thread: Some(thread.unwrap_or(0)),
            ..Wanted::default()
        };
        Ok(self.conversation(chat, &wanted).await?.messages)
    }

    pub async fn conversation(&self, chat: i64, wanted: &Wanted) -> Result<Conversation> {
        let request = self.http.get(self.at(&format!("/chats/{chat}/messages"))).query(wanted);
        Ok(self.send(request).await?.json().await?)
    }

    /// The first message of the bot in a topic, behind `after`, whose text contains `text`, once it is there.
    pub async fn wait_for(
        &self,
        chat: i64,
        thread: Option<i64>,
        after: i64,
        text: &str,
        timeout: Duration,
    ) -> Result<Shown> {
        let contains = (!text.is_empty()).then(|| text.to_owned());
        self.wait(
            chat,
            &Wanted {
                thread: Some(thread.unwrap_or(0)),
                after,
                contains,
                ..Wanted::default()
            },
            timeout,
        )
        .await
    }

    /// The first matching message of the bot, once it is there.
    pub async fn wait(&self, chat: i64, wanted: &Wanted, timeout: Duration) -> Result<Shown> {
        let awaited = Awaited {
            chat,
            timeout_ms: millis(timeout),
        };
        Ok(self
            .send(self.http.get(self.at("/wait")).query(&awaited).query(wanted))
            .await?
            .json()
            .await?)
    }

    /// The revision, once it is above `after` or the time is up.
    pub async fn changed(&self, after: u64, timeout: Duration) -> Result<u64> {
        let query = [("after", after), ("timeout_ms", millis(timeout))];
        let answer: Value = self
            .send(self.http.get(self.at("/changes")).query(&query))
            .await?
            .json()
            .await?;
        Ok(answer["revision"].as_u64().unwrap_or(after))
    }

    /// Calls the bot made, without its polls unless those are asked for.
    pub async fn calls(&self, wanted: &WantedCalls) -> Result<Vec<Call>> {
        Ok(self
            .send(self.http.get(self.at("/calls")).query(wanted))
            .await?
            .json()
            .await?)
    }

    pub async fn clear_calls(&self) -> Result<()> {
        self.send(self.http.delete(self.at("/calls"))).await.map(drop)
    }

    /// Queues an update of any shape; its `update_id` is set.
    pub async fn inject(&self, update: &Value) -> Result<i64> {
        let answer: Value = self.post_json("/updates", update).await?;
        Ok(answer["update_id"].as_i64().unwrap_or_default())
    }

    pub async fn backlog(&self) -> Result<Backlog> {
        self.get("/updates").await
    }

    /// Returns the fault's number.
    pub async fn fault(&self, fault: &Fault) -> Result<u64> {
        let answer: Value = self.post_json("/faults", fault).await?;
        Ok(answer["id"].as_u64().unwrap_or_default())
    }

    /// The fault, once it has hit its last call or the time is up.
    pub async fn fault_hit(&self, id: u64, timeout: Duration) -> Result<Fault> {
        let request = self
            .http
            .get(self.at(&format!("/faults/{id}")))
            .query(&[("timeout_ms", millis(timeout))]);
        Ok(self.send(request).await?.json().await?)
    }

    pub async fn faults(&self) -> Result<BTreeMap<u64, Fault>> {
        self.get("/faults").await
    }

    /// Removes a fault; calls it holds go on.
    pub async fn remove_fault(&self, id: u64) -> Result<()> {
        self.send(self.http.delete(self.at(&format!("/faults/{id}"))))
            .await
            .map(drop)
    }

    pub async fn clear_faults(&self) -> Result<()> {
        self.send(self.http.delete(self.at("/faults"))).await.map(drop)
    }

    pub async fn set_limits(&self, limits: &Limits) -> Result<()> {
        self.send(self.http.put(self.at("/limits")).json(limits))
            .await
            .map(drop)
    }

    pub async fn turn_clock(&self, change: &ClockChange) -> Result<()> {
        self.send(self.http.put(self.at("/clock")).json(change)).await.map(drop)
    }

    /// The emulated time, in milliseconds since 1970.
    pub async fn now_ms(&self) -> Result<i64> {
        let clock: Value = self.get("/clock").await?;
        Ok(clock["now_ms"].as_i64().unwrap_or_default())
    }

    /// Calls a method of the Bot API itself; the answer's JSON, refusals included.
    pub async fn bot_api(&self, token: &str, method: &str, params: &Value) -> Result<Value> {
        let url = format!("{}/bot{token}/{method}", self.base);
        let params = if params.is_null() { json!({}) } else { params.clone() };
        Ok(self.http.post(url).json(&params).send().await?.json().await?)
    }

    fn at(&self, path: &str) -> String {
        format!("{}/_control{path}", self.base)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(self.send(self.http.get(self.at(path))).await?.json().await?)
    }

    async fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        Ok(self
            .send(self.http.post(self.at(path)).json(body))
            .await?
            .json()
            .await?)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (path, status) = (response.url().path().to_owned(), response.status().as_u16());
        let text = response.text().await.unwrap_or_default();
        Err(ClientError::Refused { path, status, text })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
