//! Notices from runners: hints to look at one object now.
//!
//! Nothing in a notice is believed, and its sender is not known. It wakes the reconciler of an object that exists with that
//! UID, which then asks the pod whose address the API server gives. A notice too many costs a look; one that is lost is made
//! up for by pod events and by looking again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use longshore_crds::SlotKind;
use longshore_wire::agent::AgentKind;
use longshore_wire::notice::{NOTICE_PATH, Notice};

use crate::index::lookup;
use crate::leader::Whereabouts;
use crate::scope::Running;

/// Header of a notice that another replica passed on; it is never passed on again.
pub const FORWARDED: &str = "longshore-forwarded";
const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Notices per second that one source may send for long, and at once. A follower passes on those of many pods.
const RATE: f64 = 50.0;
const BURST: f64 = 200.0;
/// Sources that are remembered; above that all are forgotten, which lets each of them send one more burst.
const MAX_SOURCES: usize = 4096;

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Taken,
    /// The source sends too many.
    TooMany,
}

/// Takes notices for as long as the process lives, leader or not.
pub struct Desk {
    scopes: RwLock<Option<Vec<Running>>>,
    sources: Mutex<HashMap<IpAddr, Bucket>>,
    leader: Whereabouts,
    http: reqwest::Client,
}

impl Desk {
    pub fn new(leader: Whereabouts, http: reqwest::Client) -> Self {
        Self {
            scopes: RwLock::default(),
            sources: Mutex::default(),
            leader,
            http,
        }
    }

    /// From now on this process reconciles these scopes; none means that it does not lead.
    pub fn leads(&self, scopes: Option<Vec<Running>>) {
        *self.scopes.write().unwrap_or_else(PoisonError::into_inner) = scopes;
    }

    pub async fn receive(&self, notice: &Notice, from: IpAddr, forwarded: bool) -> Received {
        if !self.allows(from, Instant::now()) {
            return Received::TooMany;
        }
        if !self.wake(notice) && !forwarded {
            self.forward(notice).await;
        }
        Received::Taken
    }

    /// Whether this process leads; wakes the reconciler if the object is there.
    fn wake(&self, notice: &Notice) -> bool {
        let scopes = self.scopes.read().unwrap_or_else(PoisonError::into_inner);
        let Some(scopes) = scopes.as_ref() else { return false };
        for scope in scopes {
            let (namespace, name) = (&notice.namespace, &notice.name);
            let (kind, uid) = match notice.kind {
                AgentKind::Session => (
                    SlotKind::Session,
                    lookup(&scope.index.sessions, namespace, name).and_then(|s| s.uid()),
                ),
                AgentKind::Task => (
                    SlotKind::Task,
                    lookup(&scope.index.tasks, namespace, name).and_then(|t| t.uid()),
                ),
            };
            if uid.is_some_and(|uid| uid == notice.uid.to_string()) {
                tracing::debug!(namespace, name, what = ?notice.what, "notice");
                scope.wake.holder(kind, namespace, name);
            }
        }
        true
    }

    async fn forward(&self, notice: &Notice) {
        let Some(address) = self.leader.leader() else { return };
        let request = self
            .http
            .post(format!("http://{address}{NOTICE_PATH}"))
            .header(FORWARDED, "1");
        let sent = request.timeout(FORWARD_TIMEOUT).json(notice).send().await;
        if let Err(error) = sent {
            tracing::debug!(%error, "a notice was not passed on");
        }
    }

    fn allows(&self, from: IpAddr, now: Instant) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= MAX_SOURCES && !sources.contains_key(&from) {
            sources.clear();
        }
        sources.entry(from).or_insert(Bucket { left: BURST, at: now }).take(now)
    }
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.left = (self.left + earned).min(BURST);
        self.at = now;
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_send_a_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket { left: BURST, at: start };
        let burst = (0..1000).filter(|_| bucket.take(start)).count();
        assert_eq!(burst, 200);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| bucket.take(later)).count(), 50);
    }
}
