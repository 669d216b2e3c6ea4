//! Leader election: one replica reconciles, the others wait and pass notices on.
//!
//! The Lease makes two leaders rare; it does not make them impossible, and nothing relies on it for safety: slots, topics, statuses
//! and StatefulSets are written by compare-and-swap, and what is created or deleted is known by its name and UID.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::LeaseManagerBuilder;
use longshore_wire::OPERATOR_PORT;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster;
use crate::settings::Settings;

/// Seconds after which a leader that is not heard of is replaced: as long as nobody reconciles after one is killed.
const LEASE_SECONDS: u64 = 4;
/// Seconds before that at which the leader renews.
const GRACE_SECONDS: u64 = 2;
/// Longest wait for the release of the Lease at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the leader's address is used without a look at the Lease.
const ADDRESS_FRESH: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the Lease cannot be used")]
    Lease(#[from] kube_lease_manager::LeaseManagerError),
    #[error("the election stopped by itself")]
    Stopped,
}

/// Runs `term` whenever this process leads, and cancels it when it does not any more. Returns after `stop`.
pub async fn elect<F>(
    client: Client,
    settings: &Settings,
    stop: CancellationToken,
    term: impl Fn(CancellationToken) -> F,
) -> Result<(), Error>
where
    F: Future<Output = ()> + Send + 'static,
{
    let manager = LeaseManagerBuilder::new(client, settings.lease_name.clone())
        .with_namespace(settings.namespace.clone())
        .with_identity(settings.identity.clone())
        .with_duration(LEASE_SECONDS)
        .with_grace(GRACE_SECONDS)
        .build()
        .await?;
    let (mut leads, election) = manager.watch().await;
    let mut current: Option<Term> = None;
    let outcome = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            changed = leads.changed() => if changed.is_err() { break Err(Error::Stopped) },
        }
        let now = *leads.borrow_and_update();
        tracing::info!(leads = now, "leadership changed");
        match (now, current.take()) {
            (true, None) => current = Some(Term::begin(&stop, &term)),
            (true, running) => current = running,
            (false, Some(running)) => running.end().await,
            (false, None) => {}
        }
    };
    if let Some(running) = current {
        running.end().await;
    }
    // The manager releases the Lease when nobody listens any more.
    drop(leads);
    if tokio::time::timeout(RELEASE_TIMEOUT, election).await.is_err() {
        tracing::warn!("the Lease was not released in time; it runs out by itself");
    }
    outcome
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
pub struct Whereabouts {
    client: Client,
    namespace: String,
    lease: String,
    known: Mutex<Option<(Instant, Option<SocketAddr>)>>,
}

impl Whereabouts {
    pub fn new(client: Client, settings: &Settings) -> Self {
        Self {
            client,
            namespace: settings.namespace.clone(),
            lease: settings.lease_name.clone(),
            known: Mutex::default(),
        }
    }

    pub async fn leader(&self) -> Option<SocketAddr> {
        if let Some((since, address)) = *self.known.lock().unwrap_or_else(PoisonError::into_inner)
            && since.elapsed() < ADDRESS_FRESH
        {
            return address;
        }
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let lease = cluster::get(&api, &self.lease).await.ok().flatten();
        let address = lease.and_then(|lease| address(&lease.spec?.holder_identity?));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), address));
        address
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
