//! `chat`: a conversation with the topic's session.
//!
//! A suspended session is woken first. While the plugin is connected the session does not count as idle; it goes on when the plugin
//! leaves.

mod errands;
mod input;
pub mod lines;
mod script;
pub mod standing;
mod talk;

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use jiff::tz::TimeZone;
use kube::ResourceExt;
use longshore_crds::conditions::types;
use longshore_crds::{DesiredState, PersistentSession, SessionPhase, Topic, names};
use longshore_wire::api::{MessageId, PostMessage, Priority};
use uuid::Uuid;

pub use script::play;
pub use talk::{Before, talk};

use crate::access::Keys;
use crate::args::Chat;
use crate::change::{self, ChangeError, Wish};
use crate::cluster::{Cluster, ClusterError};
use crate::runner::{Runner, RunnerError};
use crate::session::{self, FindError, is, is_over, phase};
use crate::way::PodWay;

/// Why a conversation is over that should go on.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// There is no session.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The API server did not help.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It could not be woken.
    #[error(transparent)]
    Wake(#[from] ChangeError),
    /// It is over, or about to be.
    #[error("{name} {what}; an ended session stays ended")]
    Over {
        /// The session.
        name: String,
        /// Where it stands.
        what: &'static str,
    },
    /// The agent.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// The session left before all lines of a script were answered.
    #[error("the last line has no answer: {0}")]
    Unanswered(String),
    /// A line of a script was refused.
    #[error("the last line could not be sent")]
    NotSent,
    /// Nobody reads any more.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// What a conversation is led with.
pub struct Desk<'a> {
    /// The agent.
    pub runner: Runner,
    /// UID of the session.
    pub uid: String,
    /// Name of the session.
    pub name: String,
    /// Who talks.
    pub by: Option<String>,
    /// Zone of the times that are shown.
    pub zone: TimeZone,
    /// Where it is shown.
    pub out: &'a mut (dyn Write + Send),
}

/// Talks with the topic's session. False when a turn failed that a script asked for.
pub async fn run(cluster: &Cluster, chat: &Chat) -> Result<bool, ChatError> {
    let (topic, found) = session::find(cluster, &chat.which).await?;
    // Whoever may not talk shall not wake anybody either.
    Keys::read(cluster).await.map(drop).or_else(not_made_yet)?;
    let (mut out, mut notes) = (std::io::stdout(), std::io::stderr());
    let terminal = std::io::stdin().is_terminal();
    let awake = match terminal {
        true => wake(cluster, found, chat, &mut out).await?,
        false => wake(cluster, found, chat, &mut notes).await?,
    };
    let desk = Desk {
        runner: agent(cluster, &topic),
        uid: awake.uid().unwrap_or_default(),
        name: awake.name_any(),
        by: cluster.person().await,
        zone: TimeZone::system(),
        out: &mut out,
    };
    let (lines, standing) = (lines::of_standard_input(terminal), standing::follow(cluster, &awake));
    if !terminal {
        return play(desk, &mut notes, lines, standing).await;
    }
    let before = match (chat.since_start, chat.history) {
        (true, _) => Before::All,
        (false, Some(turns)) => Before::Turns(turns),
        (false, None) => Before::Nothing,
    };
    talk(desk, before, lines, standing).await?;
    Ok(true)
}

/// The Secret is made with the first session of a namespace, which may be this one.
fn not_made_yet(error: ClusterError) -> Result<(), ClusterError> {
    match error {
        ClusterError::Missing(_) => Ok(()),
        other => Err(other),
    }
}

/// The agent of a topic's session.
pub fn agent(cluster: &Cluster, topic: &Topic) -> Runner {
    let pod = names::session_pod(&topic.name_any());
    Runner::new(Arc::new(PodWay::new(cluster, pod, topic.uid().unwrap_or_default())))
}

/// Brings the session to where it can be talked to.
async fn wake(
    cluster: &Cluster,
    found: PersistentSession,
    chat: &Chat,
    out: &mut (dyn Write + Send),
) -> Result<PersistentSession, ChatError> {
    let over = |what| ChatError::Over {
        name: found.name_any(),
        what,
    };
    let now = phase(&found);
    if is_over(&found) {
        return Err(over("has ended"));
    }
    if now == Some(SessionPhase::Ending)
        || found.metadata.deletion_timestamp.is_some()
        || found.spec.desired_state == DesiredState::Ended
    {
        return Err(over("is about to end"));
    }
    let sleeps = matches!(now, Some(SessionPhase::Suspended | SessionPhase::Suspending))
        || found.spec.desired_state == DesiredState::Suspended;
    let asked = match sleeps {
        true => change::ask(cluster, Wish::Resume, &found).await?,
        false if now == Some(SessionPhase::Running) && is(&found, types::READY) => return Ok(found),
        false => found,
    };
    let ready = change::wait(cluster, Wish::Resume, &asked, chat.timeout, out).await?;
    Ok(ready.unwrap_or(asked))
}

/// A new message.
fn message(text: String, author: Option<String>) -> PostMessage {
    PostMessage {
        id: MessageId(Uuid::new_v4()),
        text,
        attachments: Vec::new(),
        author,
        context: None,
        priority: Priority::Next,
    }
}
