//! A session's events without end: over lost connections and replaced pods, each durable one once.
//!
//! Goes on where it was when a connection breaks, for as long as somebody takes what it brings.

use std::time::Duration;

use futures::StreamExt;
use longshore_wire::api::Status;
use longshore_wire::event::{EventsClient, Heard};
use tokio::sync::mpsc;

use crate::runner::{Runner, RunnerError};

/// Events that wait for the reader.
const WAITING: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Time to find out which instance stands there; without an answer the events come all the same.
const LOOK: Duration = Duration::from_secs(5);

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With what happens from now on.
    Now,
    /// Behind this sequence.
    After(u64),
}

/// What a feed brings.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time is held, and most are events")]
pub enum News {
    /// It is connected.
    Attached {
        /// What the runner said of itself just before.
        status: Box<Status>,
        /// Another instance than last time.
        replaced: bool,
    },
    /// An event.
    Heard(Heard),
    /// The connection is lost, or could not be made; it is tried again. Said once.
    Lost(String),
    /// There is no way, and there will be none. Nothing comes behind it.
    Closed(RunnerError),
}

/// Follows the events of the session with this UID.
pub fn follow(runner: Runner, uid: String, begin: Begin, client: EventsClient) -> mpsc::Receiver<News> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut feed = Feed {
            runner,
            uid,
            client,
            sent: match begin {
                Begin::Now => None,
                Begin::After(seq) => Some(seq),
            },
            instance: None,
            sender: sender.clone(),
        };
        tokio::select! {
            () = sender.closed() => {}
            () = feed.run() => {}
        }
    });
    receiver
}

struct Feed {
    runner: Runner,
    uid: String,
    client: EventsClient,
    /// Newest sequence that was sent; none before the first connection when only news are wanted.
    sent: Option<u64>,
    instance: Option<String>,
    sender: mpsc::Sender<News>,
}

impl Feed {
    async fn run(&mut self) {
        let (mut pause, mut lost) = (FIRST_PAUSE, false);
        loop {
            let why = match self.attach(&mut lost).await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    "the connection ended".to_owned()
                }
                Err(error @ (RunnerError::Closed(_) | RunnerError::Unauthorized)) => {
                    return self.send(News::Closed(error)).await;
                }
                Err(error) => error.to_string(),
            };
            if !lost {
                lost = true;
                self.send(News::Lost(why)).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection, to its end.
    async fn attach(&mut self, lost: &mut bool) -> Result<(), RunnerError> {
        let status = self.runner.status().await?;
        if status.uid.to_string() != self.uid {
            return Err(RunnerError::Unreachable(
                "another session's agent stands there".to_owned(),
            ));
        }
        let after = self.sent.unwrap_or(status.seq);
        let mut events = self.runner.events(after, self.client).await?;
        self.sent = Some(after);
        *lost = false;
        let instance = tokio::time::timeout(LOOK, self.runner.instance())
            .await
            .unwrap_or_default();
        let replaced = matches!((&self.instance, &instance), (Some(before), Some(now)) if before != now);
        self.instance = instance.or(self.instance.take());
        let status = Box::new(status);
        self.send(News::Attached { status, replaced }).await;
        while let Some(heard) = events.next().await {
            let seq = match &heard {
                Heard::Event(record) => Some(record.seq),
                Heard::Unknown(seq) => Some(*seq),
                Heard::Preview(_) => None,
            };
            if let Some(seq) = seq {
                if self.sent >= Some(seq) {
                    continue;
                }
                self.sent = Some(seq);
            }
            self.send(News::Heard(heard)).await;
        }
        Ok(())
    }

    /// A reader that is gone ends the feed as a whole.
    async fn send(&self, news: News) {
        let _ = self.sender.send(news).await;
    }
}
