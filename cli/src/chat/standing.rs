//! Where the session stands, as the API server says while a conversation goes on.

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::watcher::watch_object;
use longshore_crds::{PersistentSession, SessionPhase};
use tokio::sync::watch;

use crate::change::standing;
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

    fn gone(name: &str) -> Self {
        Self {
            line: format!("{name} was deleted"),
            phase: None,
            away: true,
        }
    }
}

/// Follows a session. A watch that fails says nothing new until it works again.
pub fn follow(cluster: &Cluster, session: &PersistentSession) -> watch::Receiver<Standing> {
    let (sender, receiver) = watch::channel(Standing::of(session));
    let (api, name, uid) = (cluster.api::<PersistentSession>(), session.name_any(), session.uid());
    tokio::spawn(async move {
        let mut seen = watch_object(api, &name).boxed();
        loop {
            let next = tokio::select! {
                () = sender.closed() => return,
                next = seen.next() => next,
            };
            let now = match next {
                Some(Ok(Some(session))) if session.uid() == uid => Standing::of(&session),
                Some(Ok(_)) => Standing::gone(&name),
                Some(Err(_)) => {
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    continue;
                }
                None => return,
            };
            sender.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
    });
    receiver
}
