//! Leader election: one replica reconciles, the others wait and pass notices on.
//!
//! The Lease makes two leaders rare; it does not make them impossible, and nothing relies on it for safety: slots, topics, statuses
//! and StatefulSets are written by compare-and-swap, and what is created or deleted is known by its name and UID.
//!
//! Everybody watches the Lease, so a Lease that is given back is taken within a round trip. It is written by compare-and-swap,
//! and its age is counted on the reader's own clock from the first look at a version: clocks of nodes may differ.

mod lease;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use longshore_wire::OPERATOR_PORT;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Created};
use crate::settings::Settings;
use lease::Standing;

/// Longest wait for one answer about the Lease.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the API server took longer than {CALL_TIMEOUT:?} over the Lease")]
    Timeout,
    #[error("the Lease cannot be used")]
    Lease(#[from] cluster::Error),
}

/// Runs `term` whenever this process leads, and cancels it when it does not any more. Tells `whereabouts` who leads. Returns
/// after `stop`.
pub async fn elect<F>(
    client: Client,
    settings: &Settings,
    whereabouts: &Whereabouts,
    stop: CancellationToken,
    term: impl Fn(CancellationToken) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let api: Api<Lease> = Api::namespaced(client, &settings.namespace);
    let changes = watcher::watch_object(api.clone(), &settings.lease_name).default_backoff();
    let mut changes = pin!(changes);
    let mut candidate = Candidate {
        api,
        name: settings.lease_name.clone(),
        standing: Standing::new(settings.identity.clone(), Instant::now()),
    };
    let mut current: Option<Term> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(change) = changes.next() => match change {
                Ok(lease) => candidate.hears(lease).await,
                Err(error) => tracing::debug!(%error, "the Lease is not watched for now"),
            },
            () = candidate.waits() => candidate.acts().await,
        }
        whereabouts.holder.send_if_modified(|known| {
            let holder = candidate.standing.holder();
            let is_new = known.as_deref() != holder;
            *known = holder.map(str::to_owned);
            is_new
        });
        let leads = candidate.standing.leads(Instant::now());
        match (leads, current.take()) {
            (true, None) => {
                tracing::info!("leads");
                current = Some(Term::begin(&stop, &term));
            }
            (true, running) => current = running,
            (false, Some(running)) => {
                tracing::warn!("leads no more: the Lease could not be renewed, or is another's");
                running.end().await;
            }
            (false, None) => {}
        }
    }
    if let Some(running) = current {
        // What has begun is finished under the Lease.
        let mut ending = pin!(running.end());
        loop {
            tokio::select! {
                () = &mut ending => break,
                () = candidate.waits() => candidate.acts().await,
            }
        }
        candidate.gives_back().await;
    }
}

/// This process before the Lease.
struct Candidate {
    api: Api<Lease>,
    name: String,
    standing: Standing,
}

impl Candidate {
    /// A change that the watch tells. It may be older than what this process has read or written itself, so one that names
    /// another holder is looked up.
    async fn hears(&mut self, lease: Option<Lease>) {
        match lease {
            Some(lease) if lease::holder(&lease) == self.standing.holder() => self.standing.sees(lease, Instant::now()),
            _ => self.looks().await,
        }
    }

    async fn looks(&mut self) {
        match bounded(cluster::get(&self.api, &self.name)).await {
            Ok(Some(lease)) => self.standing.sees(lease, Instant::now()),
            Ok(None) => self.standing.misses(),
            Err(error) => tracing::warn!(%error, "nobody knows who leads"),
        }
    }

    /// Waits until something is due.
    async fn waits(&self) {
        tokio::time::sleep_until(self.standing.due().into()).await;
    }

    /// Takes the Lease, or renews it. Not to be cancelled: what was written would not be known.
    async fn acts(&mut self) {
        let begun = Instant::now();
        let wanted = self.standing.wanted(&self.name, Timestamp::now());
        let written = bounded(async {
            if self.standing.exists() {
                return cluster::replace(&self.api, &wanted).await.map(Some);
            }
            match cluster::create(&self.api, &wanted).await? {
                Created::New(made) => Ok(Some(made)),
                Created::Ours(_) | Created::Foreign(_) => Ok(None),
            }
        });
        // A leader has to know in time that it leads no more.
        let until = self.standing.leads_until().filter(|until| *until > begun);
        let written = tokio::time::timeout_at(until.unwrap_or(begun + CALL_TIMEOUT).into(), written);
        match written.await.unwrap_or(Err(Error::Timeout)) {
            Ok(Some(lease)) => self.standing.holds(lease, begun),
            Ok(None) | Err(Error::Lease(cluster::Error::Conflict { .. })) => {
                self.standing.failed(Instant::now());
                self.looks().await;
            }
            Err(error) => {
                tracing::warn!(%error, "the Lease was not written");
                self.standing.failed(Instant::now());
            }
        }
    }

    /// Lets another replica take over at once.
    async fn gives_back(&mut self) {
        let Some(free) = self.standing.given_back() else { return };
        if let Err(error) = bounded(cluster::replace(&self.api, &free)).await {
            tracing::warn!(%error, "the Lease was not given back; it runs out by itself");
        }
    }
}

async fn bounded<T>(call: impl Future<Output = Result<T, cluster::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::Timeout),
    }
}

struct Term {
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Term {
    fn begin<F: Future<Output = ()> + Send + 'static>(
        stop: &CancellationToken,
        term: &impl Fn(CancellationToken) -> F,
    ) -> Self {
        let stop = stop.child_token();
        Self {
            work: tokio::spawn(term(stop.clone())),
            stop,
        }
    }

    async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.work.await {
            tracing::error!(%error, "work did not end in order");
        }
    }
}

/// Where the leader takes notices, as its Lease says.
#[derive(Clone, Debug)]
pub struct Whereabouts {
    holder: watch::Sender<Option<String>>,
}

impl Whereabouts {
    /// Nobody is known to lead.
    pub fn unknown() -> Self {
        Self {
            holder: watch::Sender::new(None),
        }
    }

    pub fn leader(&self) -> Option<SocketAddr> {
        address(self.holder.borrow().as_deref()?)
    }
}

/// `<pod name>_<pod ip>`; pod names have no underscore.
fn address(identity: &str) -> Option<SocketAddr> {
    let (_, ip) = identity.rsplit_once('_')?;
    Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, OPERATOR_PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_found_by_its_identity() {
        assert_eq!(address("op-1_10.0.0.1"), Some("10.0.0.1:7412".parse().unwrap()));
        assert_eq!(address("op-1_fd00::1"), Some("[fd00::1]:7412".parse().unwrap()));
        assert_eq!(address("op-1_"), None);
        assert_eq!(address("somebody"), None);
    }
}
