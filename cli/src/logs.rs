//! `logs`: a session's journal as a conversation to read. Reading takes nothing away from the bot and keeps no session awake.

use std::io::Write;

use jiff::tz::TimeZone;
use kube::ResourceExt;
use longshore_crds::{PersistentSession, SessionPhase};
use longshore_wire::event::{EventsClient, Heard};
use tokio::sync::watch;

use crate::args::Logs;
use crate::change::standing;
use crate::chat::standing::Standing;
use crate::chat::{self, agent};
use crate::cluster::{Cluster, ClusterError};
use crate::feed::{Begin, News, follow};
use crate::plain::{indent, plain};
use crate::prompts::Prompts;
use crate::runner::{Runner, RunnerError};
use crate::session::{self, FindError, phase, pick};
use crate::story::entry;

/// Why the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// There is no session.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The API server did not help.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The agent.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// The agent cannot be reached.
    #[error("the journal of {0} cannot be read now: {1}")]
    Lost(String, String),
    /// Nobody reads any more.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// A journal that is read.
pub struct Reading<'a> {
    /// The agent.
    pub runner: Runner,
    /// UID of the session.
    pub uid: String,
    /// Name of the session.
    pub name: String,
    /// Leave out everything up to this sequence.
    pub since: u64,
    /// Zone of the times that are shown.
    pub zone: TimeZone,
    /// Where it is shown.
    pub out: &'a mut (dyn Write + Send),
}

/// Shows the journal of the topic's session.
pub async fn run(cluster: &Cluster, logs: &Logs) -> Result<(), LogsError> {
    let topic = session::topic(cluster, &logs.which.topic).await?;
    let sessions = session::of_topic(cluster, &logs.which.topic).await?;
    let session = match pick(&logs.which, &cluster.namespace, &sessions) {
        Err(error @ FindError::NoSession { .. }) => session::last_ended(&sessions).ok_or(error)?,
        found => found?,
    };
    let out = &mut std::io::stdout();
    if !has_pod(session) {
        return Ok(out.write_all(left(session).as_bytes())?);
    }
    let reading = Reading {
        runner: agent(cluster, &topic),
        uid: session.uid().unwrap_or_default(),
        name: session.name_any(),
        since: logs.since,
        zone: TimeZone::system(),
        out,
    };
    match logs.follow {
        true => {
            read_on(
                reading,
                &mut std::io::stderr(),
                chat::standing::follow(cluster, session),
            )
            .await
        }
        false => read_out(reading).await,
    }
}

fn has_pod(session: &PersistentSession) -> bool {
    use SessionPhase::{Ending, Running, Starting, Suspending};
    matches!(phase(session), Some(Starting | Running | Suspending | Ending))
}

/// What there is to read when no pod runs.
pub fn left(session: &PersistentSession) -> String {
    let name = session.name_any();
    let mut text = format!(
        "No pod of {name} runs ({}), so its journal cannot be read; it stands on the topic's volume.\n",
        standing(session)
    );
    let status = session.status.clone().unwrap_or_default();
    match status.summary {
        Some(summary) => {
            let (path, time, words) = (plain(&summary.path), plain(&summary.time), plain(&summary.text));
            text.push_str(&format!("Summary of {time}, in {path}:\n{}\n", indent(&words, "    ")));
        }
        None => text.push_str("There is no summary.\n"),
    }
    for answer in status.undelivered {
        text.push_str(&format!(
            "An answer that nobody has taken:\n{}\n",
            indent(&plain(&answer.text), "    ")
        ));
    }
    text
}

/// Shows the journal as it is now.
pub async fn read_out(reading: Reading<'_>) -> Result<(), LogsError> {
    let mut news = follow(
        reading.runner,
        reading.uid,
        Begin::After(reading.since),
        EventsClient::Bot,
    );
    let (mut prompts, mut until, mut seen) = (Prompts::default(), u64::MAX, reading.since);
    while seen < until {
        match news.recv().await {
            Some(News::Attached { status, .. }) => until = status.seq,
            Some(News::Heard(Heard::Event(record))) => {
                seen = record.seq;
                if seen <= until
                    && let Some(text) = entry(&record, &mut prompts, &reading.zone)
                {
                    reading.out.write_all(text.as_bytes())?;
                }
            }
            Some(News::Heard(Heard::Unknown(seq))) => seen = seq,
            Some(News::Heard(Heard::Preview(_))) => {}
            Some(News::Closed(error)) => return Err(error.into()),
            Some(News::Lost(why)) => return Err(LogsError::Lost(reading.name, why)),
            None => break,
        }
    }
    Ok(reading.out.flush()?)
}

/// Shows the journal and what is added to it, until the session leaves.
pub async fn read_on(
    reading: Reading<'_>,
    notes: &mut (dyn Write + Send),
    mut standing: watch::Receiver<Standing>,
) -> Result<(), LogsError> {
    let mut news = follow(
        reading.runner,
        reading.uid,
        Begin::After(reading.since),
        EventsClient::Bot,
    );
    let mut prompts = Prompts::default();
    loop {
        let next = tokio::select! {
            biased;
            next = news.recv() => next,
            away = standing.wait_for(|standing| standing.away) => {
                let line = away.map_or_else(|_| "the session cannot be watched any more".to_owned(), |now| now.line.clone());
                return Ok(writeln!(notes, "-- {line}")?);
            }
        };
        match next {
            Some(News::Heard(Heard::Event(record))) => {
                if let Some(text) = entry(&record, &mut prompts, &reading.zone) {
                    reading.out.write_all(text.as_bytes())?;
                    reading.out.flush()?;
                }
            }
            Some(News::Attached { replaced: true, .. }) => {
                writeln!(notes, "-- the pod was replaced; connected to the new one")?
            }
            Some(News::Attached { .. } | News::Heard(_)) => {}
            Some(News::Lost(why)) => writeln!(notes, "-- connection lost ({why}); trying again")?,
            Some(News::Closed(error)) => return Err(error.into()),
            None => return Ok(()),
        }
    }
}
