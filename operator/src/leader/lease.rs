//! What one process knows of the Lease, and when it has to act on it. No IO and no clock.
//!
//! A Lease of somebody else runs out when it has not been seen to change for as long as its holder promised; the times that
//! stand in it are for people.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

/// How long a holder that is not heard of keeps the Lease: as long as nobody reconciles after a leader is killed.
pub const LASTS: Duration = Duration::from_secs(4);
/// How long after a renewal the next one is sent.
const RENEW: Duration = Duration::from_secs(2);
/// How long before others may take the Lease its holder stops leading.
const MARGIN: Duration = Duration::from_millis(500);
/// Wait after an attempt that did not work out.
const RETRY: Duration = Duration::from_millis(300);

/// Name of who holds it.
pub fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref();
    holder.filter(|holder| !holder.is_empty())
}

/// One process and the Lease as it knows it.
#[derive(Debug)]
pub struct Standing {
    me: String,
    lease: Option<Lease>,
    /// When this version was first seen.
    seen: Instant,
    /// When the request was sent that took or renewed it last.
    held: Option<Instant>,
    /// Nothing is tried before.
    not_before: Instant,
}

impl Standing {
    /// Nothing is known yet.
    pub fn new(me: String, now: Instant) -> Self {
        Self {
            me,
            lease: None,
            seen: now,
            held: None,
            not_before: now,
        }
    }

    pub fn exists(&self) -> bool {
        self.lease.is_some()
    }

    pub fn holder(&self) -> Option<&str> {
        holder(self.lease.as_ref()?)
    }

    /// The Lease as it was just read.
    pub fn sees(&mut self, lease: Lease, now: Instant) {
        let is_known = |known: &Lease| known.resource_version() == lease.resource_version();
        if self.lease.as_ref().is_some_and(is_known) {
            return;
        }
        if holder(&lease) != Some(self.me.as_str()) {
            self.held = None;
        }
        self.lease = Some(lease);
        self.seen = now;
    }

    /// There is no Lease.
    pub fn misses(&mut self) {
        (self.lease, self.held) = (None, None);
    }

    /// The Lease was taken or renewed by a request sent at `begun`.
    pub fn holds(&mut self, lease: Lease, begun: Instant) {
        (self.lease, self.seen, self.held) = (Some(lease), begun, Some(begun));
        self.not_before = begun;
    }

    /// An attempt did not work out.
    pub fn failed(&mut self, now: Instant) {
        self.not_before = now + RETRY;
    }

    /// Whether this process may reconcile.
    pub fn leads(&self, now: Instant) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// When this process stops leading unless it renews.
    pub fn leads_until(&self) -> Option<Instant> {
        self.held.map(|held| held + LASTS - MARGIN)
    }

    /// When to take or renew the Lease, as far as is known now; in between a leader may have to step down.
    pub fn due(&self) -> Instant {
        let due = match (&self.lease, self.held) {
            (_, Some(held)) => held + RENEW,
            (Some(lease), None) if holder(lease).is_some_and(|holder| holder != self.me) => self.seen + lasts(lease),
            _ => self.seen,
        };
        due.max(self.not_before)
    }

    /// The Lease with this process as its holder.
    pub fn wanted(&self, name: &str, now: Timestamp) -> Lease {
        let mut lease = self.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let is_mine = holder(&lease) == Some(self.me.as_str());
        let spec = lease.spec.get_or_insert_default();
        if !is_mine {
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.holder_identity = Some(self.me.clone());
        spec.renew_time = Some(MicroTime(now));
        spec.lease_duration_seconds = i32::try_from(LASTS.as_secs()).ok();
        lease
    }

    /// The Lease without a holder; none if this process does not hold it.
    pub fn given_back(&self) -> Option<Lease> {
        let mut lease = self.lease.clone().filter(|_| self.held.is_some())?;
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        lease.spec = Some(LeaseSpec {
            lease_transitions: transitions,
            ..LeaseSpec::default()
        });
        Some(lease)
    }
}

/// How long its holder keeps it without a renewal.
fn lasts(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(LASTS, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Lease in the API server.
    fn stored(mut lease: Lease, version: u32) -> Lease {
        lease.metadata.resource_version = Some(version.to_string());
        lease
    }

    fn of(holder: &str, now: Instant, version: u32) -> Lease {
        let other = Standing::new(holder.to_owned(), now);
        stored(other.wanted("lease", Timestamp::UNIX_EPOCH), version)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lease_that_is_not_there_or_given_back_is_taken_at_once() {
        let now = Instant::now();
        let mut standing = Standing::new("me".to_owned(), now);
        assert!(standing.due() <= now && !standing.exists());

        standing.sees(of("other", now, 1), now);
        assert!(standing.due() > now + SECOND);
        let mut other = Standing::new("other".to_owned(), now);
        other.holds(of("other", now, 1), now);
        let free = stored(other.given_back().unwrap(), 2);
        standing.sees(free, now + SECOND);
        assert_eq!((standing.due(), standing.holder()), (now + SECOND, None));
    }

    #[test]
    fn a_holder_that_renews_keeps_it_and_one_that_is_silent_loses_it_after_what_it_promised() {
        let now = Instant::now();
        let mut standing = Standing::new("me".to_owned(), now);
        standing.sees(of("other", now, 1), now);
        assert_eq!(standing.due(), now + LASTS);
        standing.sees(of("other", now, 1), now + SECOND);
        assert_eq!(standing.due(), now + LASTS, "the same version says nothing new");
        standing.sees(of("other", now, 2), now + SECOND);
        assert_eq!(standing.due(), now + SECOND + LASTS);
        assert!(!standing.leads(standing.due()), "it has to be written first");
    }

    #[test]
    fn who_cannot_renew_stops_leading_before_anybody_else_may_take_it() {
        let now = Instant::now();
        let mut standing = Standing::new("me".to_owned(), now);
        standing.holds(of("me", now, 1), now);
        assert_eq!(standing.due(), now + RENEW);
        standing.failed(now + RENEW);
        assert_eq!(standing.due(), now + RENEW + RETRY);
        assert!(standing.leads(now + 3 * SECOND));
        assert!(!standing.leads(now + LASTS - MARGIN));
    }

    #[test]
    fn who_sees_another_holder_leads_no_more() {
        let now = Instant::now();
        let mut standing = Standing::new("me".to_owned(), now);
        standing.holds(of("me", now, 1), now);
        standing.sees(of("other", now, 2), now);
        assert!(!standing.leads(now) && standing.given_back().is_none());
    }

    #[test]
    fn a_restarted_holder_takes_up_its_own_lease_at_once() {
        let now = Instant::now();
        let mut standing = Standing::new("me".to_owned(), now);
        standing.sees(of("me", now, 1), now);
        assert!(standing.due() <= now && !standing.leads(now));
        let spec = standing.wanted("lease", Timestamp::UNIX_EPOCH).spec.unwrap();
        assert_eq!(spec.lease_transitions, Some(1), "the leader has not changed");
    }
}
