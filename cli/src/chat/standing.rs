//! Where the session stands, as the API server says while a conversation goes on.

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use longshore_crds::{PersistentSession, SessionPhase};
use tokio::sync::watch;

use crate::change::{refused, standing};
use crate::cluster::Cluster;
use crate::session::{is_over, phase};

/// Where a session stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// A line for people.
    pub line: String,
    /// Phase, as far as it is known.
    pub phase: Option<SessionPhase>,
    /// There is nobody to talk to any more.
    pub away: bool,
}

impl Standing {
    /// Of a session that was read.
    pub fn of(session: &PersistentSession) -> Self {
        let phase = phase(session);
        Self {
            line: format!("{} {}", session.name_any(), standing(session)),
            phase,
            away: is_over(session) || phase == Some(SessionPhase::Suspended),
        }
    }

    fn closed(line: String) -> Self {
        Self {
            line,
            phase: None,
            away: true,
        }
    }
}

/// Follows a session. A watch that fails says nothing new until it works again; one that is refused ends the
/// conversation, since nobody would learn of its end.
pub fn follow(cluster: &Cluster, session: &PersistentSession) -> watch::Receiver<Standing> {
    let (sender, receiver) = watch::channel(Standing::of(session));
    let (api, name, uid) = (cluster.api::<PersistentSession>(), session.name_any(), session.uid());
    let cluster = cluster.clone();
    tokio::spawn(async move {
        let mut seen = watch_object(api, &name).default_backoff().boxed();
        loop {
            let next = tokio::select! {
                () = sender.closed() => return,
                next = seen.next() => next,
            };
            let now = match next {
                Some(Ok(Some(session))) if session.uid() == uid => Standing::of(&session),
                Some(Ok(_)) => Standing::closed(format!("{name} was deleted")),
                Some(Err(error)) => match refused(&cluster, error) {
                    Ok(()) => continue,
                    Err(refused) => Standing::closed(refused.to_string()),
                },
                None => return,
            };
            sender.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
    });
    receiver
}
