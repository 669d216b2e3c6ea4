//! Summaries that earlier sessions of the topic failed to write: made here before claude is first started, so that it
//! reads them. Messages are accepted meanwhile and wait.
//!
//! All of it takes at most as long as the settings say. What fails is left to the topic's next pod; after a few failures
//! the state file says that there is no summary. A session that lives elsewhere is known by the lock on its journal and is
//! left alone; the lock also keeps two pods from doing the same work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_wire::event::Event;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Parts;
use super::summary::{QUESTION, shortened, title};
use crate::claude::environment::{self, Conversation};
use crate::claude::reaper::Reaper;
use crate::claude::{question, transcript};
use crate::journal::{Entry, Journal, JournalError};
use crate::owed::Owed;
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::turn::Past;
use crate::volume::{Volume, VolumeError};

/// Pods that may fail to make a summary before it is given up.
const ATTEMPTS: u32 = 3;
/// It is not worth beginning another summary with less time than this.
const LEAST: Duration = Duration::from_secs(3);
/// Patience with the disk.
const DISK: Duration = Duration::from_secs(5);

/// The work, which ends when this is dropped.
#[derive(Debug)]
pub struct Predecessors(JoinHandle<()>);

impl Drop for Predecessors {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is still no summary.
#[derive(Debug, thiserror::Error)]
enum Unsummarized {
    /// The session is somewhere at work, so it is no business of ours.
    #[error("it is alive")]
    Alive,
    /// There is nothing that a summary could be made of.
    #[error("its conversation is gone")]
    NoConversation,
    /// It did not work this time.
    #[error("{0}")]
    Failed(String),
}

impl From<JournalError> for Unsummarized {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::InUse { .. } => Self::Alive,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<VolumeError> for Unsummarized {
    fn from(error: VolumeError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Begins, when there is something to do.
pub fn summarize(parts: &Parts) -> Option<Predecessors> {
    let owed = parts.volume.owed().of_others(parts.settings.agent.uid);
    if owed.is_empty() {
        return None;
    }
    let patience = Duration::from_millis(parts.settings.flags.owed_summaries_ms.into());
    let work = Work {
        settings: parts.settings.clone(),
        volume: parts.volume.clone(),
        journal: parts.journal.clone(),
        proxy: parts.proxy.clone(),
        reaper: parts.reaper.clone(),
        until: Instant::now() + patience,
    };
    Some(Predecessors(tokio::spawn(async move {
        for owed in owed {
            work.make(owed).await;
        }
    })))
}

/// Waits for the end; never ready without a beginning.
pub async fn done(predecessors: &mut Option<Predecessors>) {
    match predecessors {
        Some(Predecessors(work)) => {
            if let Err(error) = work.await {
                tracing::error!(%error, "summaries of earlier sessions failed");
            }
            *predecessors = None;
        }
        None => std::future::pending().await,
    }
}

struct Work {
    settings: Arc<Settings>,
    volume: Volume,
    /// Of this agent; the conversation's own is not touched before there is a summary.
    journal: Journal,
    proxy: Proxy,
    reaper: Reaper,
    until: Instant,
}

impl Work {
    async fn make(&self, mut owed: Owed) {
        if Instant::now() + LEAST > self.until && owed.attempts < ATTEMPTS {
            return;
        }
        tracing::info!(
            session = owed.name,
            attempts = owed.attempts,
            "making a summary that is owed"
        );
        match self.attempt(&mut owed).await {
            Ok(()) | Err(Unsummarized::Alive) => {}
            Err(error) => {
                tracing::warn!(session = owed.name, %error, "a summary is still owed");
                let hopeless = matches!(error, Unsummarized::NoConversation);
                if (hopeless || owed.attempts >= ATTEMPTS)
                    && let Err(error) = self.give_up(&owed, &error)
                {
                    tracing::warn!(%error, "that a summary is missing cannot be written");
                }
            }
        }
    }

    async fn attempt(&self, owed: &mut Owed) -> Result<(), Unsummarized> {
        let volume = self.volume.of(owed.uid);
        let (journal, entries) = open(&volume.journal()).await?;
        if !entries.is_empty() && !Past::read(&entries).news {
            // It has been written; only the marker was left.
            return Ok(volume.owed().settle(owed.uid)?);
        }
        if owed.attempts >= ATTEMPTS {
            return Err(Unsummarized::Failed(
                "the pods that tried to make one ended too soon".to_owned(),
            ));
        }
        if transcript::find(&volume.claude_config(), owed.uid).is_none() {
            return Err(Unsummarized::NoConversation);
        }
        // Counted before it is made: a pod that dies of it must not try for ever.
        owed.attempts += 1;
        volume.owed().write(owed)?;
        let answer = timeout_at(self.until, self.ask(owed)).await;
        self.reaper.kill_orphans().await;
        let late = || Err("claude took too long to answer".to_owned());
        let text = answer.unwrap_or_else(|_| late()).map_err(Unsummarized::Failed)?;
        let now = Timestamp::now();
        let summary = volume.write_summary(&title(&owed.name), shortened(&text), now)?;
        let session = owed.name.clone();
        journal.append(
            now,
            Event::Summary {
                summary: summary.clone(),
            },
        );
        journal.wait(journal.entries(), DISK).await?;
        self.journal.append(now, Event::EarlierSummary { session, summary });
        Ok(volume.owed().settle(owed.uid)?)
    }

    async fn ask(&self, owed: &Owed) -> Result<String, String> {
        let fork = Conversation::ForkOf(owed.uid);
        let command = environment::command(&self.settings, &self.volume, &self.proxy, fork, &Default::default());
        question::ask(command, &self.reaper, self.journal.clone(), QUESTION).await
    }

    fn give_up(&self, owed: &Owed, why: &Unsummarized) -> Result<(), VolumeError> {
        let volume = self.volume.of(owed.uid);
        volume.write_missing_summary(&title(&owed.name), &why.to_string(), Timestamp::now())?;
        volume.owed().settle(owed.uid)
    }
}

/// Opens the journal of another session, which locks it.
async fn open(path: &Path) -> Result<(Journal, Vec<Entry>), Unsummarized> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || Journal::open(&path)).await;
    Ok(opened.map_err(|error| Unsummarized::Failed(error.to_string()))??)
}
