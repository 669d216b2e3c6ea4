//! `GET /v1/events`: catch-up from the journal, then live, without gap or duplicate.
//!
//! Durable records are always read from the journal, up to what is on disk; a signal only says that there is more. So a
//! slow consumer costs no memory and loses nothing. Previews come through a bounded channel and are dropped for who
//! cannot keep up.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::Stream;
use http::HeaderMap;
use jiff::Timestamp;
use longshore_wire::event::{EventsClient, EventsQuery};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::problem::Query;
use super::{Api, ApiError};
use crate::journal::{Durable, Journal};
use crate::lifecycle::Shown;

/// Bytes of the journal that are read at once.
const CHUNK: u64 = 256 * 1024;
/// Events that wait for the connection.
const WAITING: usize = 32;
/// Pause between comments that keep the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub async fn follow(
    State(api): State<Arc<Api>>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let journal = api.journal().await?.clone();
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = last.and_then(|value| value.trim().parse().ok());
    let (sender, events) = mpsc::channel(WAITING);
    let follower = Follower {
        previews: api.previews.subscribe(),
        durable: journal.durable(),
        journal,
        sent: last.unwrap_or(query.after),
        sender,
    };
    let attached = (query.client == EventsClient::Terminal).then(|| Attached::new(api));
    tokio::spawn(async move {
        let _attached = attached;
        follower.run().await;
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(ReceiverStream::new(events)).keep_alive(keep_alive))
}

/// Counts a terminal for as long as it listens.
struct Attached(Arc<Api>);

impl Attached {
    fn new(api: Arc<Api>) -> Self {
        let attached = Self(api);
        attached.change(|count| count + 1);
        attached
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        self.0.terminals.send_modify(|terminals| {
            terminals.attached = change(terminals.attached);
            terminals.changed = Some(Timestamp::now());
        });
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.change(|count| count.saturating_sub(1));
    }
}

struct Follower {
    journal: Journal,
    durable: watch::Receiver<Durable>,
    previews: broadcast::Receiver<Shown>,
    /// Newest sequence that was sent.
    sent: u64,
    sender: mpsc::Sender<Result<Event, Infallible>>,
}

/// The consumer is gone.
struct Gone;

impl Follower {
    async fn run(mut self) {
        while self.next().await.is_ok() {}
    }

    async fn next(&mut self) -> Result<(), Gone> {
        self.catch_up().await?;
        tokio::select! {
            biased;
            () = self.sender.closed() => Err(Gone),
            changed = self.durable.changed() => changed.map_err(|_| Gone),
            preview = self.previews.recv() => match preview {
                Ok(shown) => self.show(shown).await,
                // What was missed of a preview stands in the finished block.
                Err(RecvError::Lagged(_)) => Ok(()),
                Err(RecvError::Closed) => Err(Gone),
            },
        }
    }

    /// A preview comes after the records that were there before it.
    async fn show(&mut self, shown: Shown) -> Result<(), Gone> {
        while self.sent < shown.after {
            self.durable
                .wait_for(|durable| durable.seq >= shown.after)
                .await
                .map_err(|_| Gone)?;
            self.catch_up().await?;
        }
        let event = Event::default().data(shown.json.as_ref());
        // A preview is not worth waiting for.
        match self.sender.try_send(Ok(event)) {
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
        }
    }

    async fn catch_up(&mut self) -> Result<(), Gone> {
        while self.sent < self.durable.borrow_and_update().seq {
            let (journal, after) = (self.journal.clone(), self.sent);
            let read = tokio::task::spawn_blocking(move || journal.read_after(after, CHUNK)).await;
            let records = match read {
                Ok(Ok(records)) if !records.is_empty() => records,
                Ok(Ok(_)) => {
                    // Somebody else wrote there. Waiting for what cannot be read would never end.
                    tracing::error!(after, "an event stream ends: the journal's next records cannot be read");
                    return Err(Gone);
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "an event stream ends");
                    return Err(Gone);
                }
                Err(_) => return Err(Gone),
            };
            for (seq, json) in records {
                let event = Event::default().id(seq.to_string()).data(json);
                self.sender.send(Ok(event)).await.map_err(|_| Gone)?;
                self.sent = seq;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_wire::event::Event as Durable;

    #[tokio::test]
    async fn a_stream_ends_where_the_journal_cannot_be_read_and_does_not_spin_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.jsonl");
        let (journal, _) = Journal::open(&path).unwrap();
        let message = "news".to_owned();
        let (_, appended) = journal.append(Timestamp::UNIX_EPOCH, Durable::Restarted { message });
        let patience = Duration::from_secs(20);
        journal.wait(appended.entry, patience).await.unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::write(&path, "x".repeat(usize::try_from(length).unwrap())).unwrap();
        let (sender, _events) = mpsc::channel(WAITING);
        let (_previews, previews) = broadcast::channel(1);
        let mut follower = Follower {
            durable: journal.durable(),
            journal,
            previews,
            sent: 0,
            sender,
        };
        let shown = Shown {
            after: 1,
            json: "{}".into(),
        };
        let ended = tokio::time::timeout(patience, follower.show(shown)).await;
        assert!(ended.expect("it spins").is_err());
    }
}
