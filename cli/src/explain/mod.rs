//! `explain`: what the bot would make of a message, and why.
//!
//! Decides nothing itself: policies, place and settings are gathered ([`known`]) and given to the library that the bot calls. With
//! `--file` the policies come from files and no cluster is asked, so it can be used where policies are reviewed.

mod known;
mod show;

use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;
use longshore_routing::{Explanation, Message, Router};

use crate::args::Explain;
use crate::cluster::{Cluster, ClusterError};
use known::Known;

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The API server did not help.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A file cannot be read.
    #[error("{file}: {source}", file = .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{file}: {why}", file = .file.display())]
    Manifest {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// It cannot be shown.
    #[error("the explanation cannot be written: {0}")]
    Output(#[from] std::io::Error),
    /// It cannot be shown.
    #[error("the explanation cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// Explains a message with policies from files, or else with what is in the cluster.
pub async fn run(cluster: Option<&Cluster>, wanted: &Explain, out: &mut impl Write) -> Result<(), ExplainError> {
    let known = match cluster {
        Some(cluster) => known::from_cluster(cluster, wanted).await?,
        None => known::from_files(wanted)?,
    };
    let (router, explanation) = explain(&known, wanted);
    match wanted.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&explanation)?)?,
        false => show::write(out, &explanation, &router, &known.notes)?,
    }
    Ok(())
}

fn explain(known: &Known, wanted: &Explain) -> (Router, Explanation) {
    let router = Router::compile(known.settings.clone(), &known.policies);
    let content = match &wanted.attachment {
        Some(kind) => Err(kind.as_str()),
        None => Ok(wanted.text.as_deref().unwrap_or_default()),
    };
    let message = Message {
        user: wanted.user,
        chat: wanted.chat,
        thread: wanted.thread.filter(|thread| *thread > 1),
        content,
        file: wanted.with_file,
    };
    let now = wanted.at.unwrap_or_else(Timestamp::now);
    let explanation = router.decide(&known.situation, &message, now);
    (router, explanation)
}
