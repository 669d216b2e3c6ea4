//! How many pods were at work at once, seen from the watch of the API server, so that no moment is missed between two looks.
//!
//! Owns the count alone; whose pods they are is the caller's choice of labels. A pod is at work from its creation until it has
//! succeeded, has failed or is gone. A watch that breaks is taken up again; pods that came and went meanwhile are missing from
//! [`Seen::names`], so a test that names the pods it expects cannot pass on a watch that saw nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::install::{DEADLINE, Install};

/// Watches pods until it is finished.
pub struct PodWatch {
    stop: CancellationToken,
    watching: JoinHandle<Seen>,
}

/// What a watch has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The highest number of pods that were at work at once.
    pub most: usize,
    /// Names of all pods that ever were at work.
    pub names: BTreeSet<String>,
    working: BTreeMap<String, String>,
    listed: BTreeMap<String, String>,
}

impl PodWatch {
    /// Watches the pods of this installation with these labels. Returns once it has seen those that are there already.
    ///
    /// # Errors
    /// When the watch does not begin within [`DEADLINE`].
    pub async fn start(install: &Install, labels: &str) -> Result<Self> {
        let stop = CancellationToken::new();
        let config = Config::default().labels(labels);
        let events = watcher(install.api::<Pod>() as Api<Pod>, config).default_backoff();
        let events = events.take_until(stop.clone().cancelled_owned());
        let (begun, begins) = oneshot::channel();
        let watching = tokio::spawn(async move {
            let (mut seen, mut begun) = (Seen::default(), Some(begun));
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let Ok(event) = event else { continue };
                let complete = matches!(event, Event::InitDone);
                seen.note(event);
                if let Some(begun) = begun.take_if(|_| complete) {
                    let _ = begun.send(());
                }
            }
            seen
        });
        let waited = tokio::time::timeout(DEADLINE, begins).await;
        waited
            .context("pods cannot be watched")?
            .context("the watch has ended")?;
        Ok(Self { stop, watching })
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// When it has broken down.
    pub async fn finish(self) -> Result<Seen> {
        self.stop.cancel();
        self.watching.await.context("the watch broke down")
    }
}

impl Seen {
    /// Counts in what the watch says next.
    pub fn note(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) if is_at_work(&pod) => {
                self.listed.insert(uid(&pod), pod.name_any());
            }
            Event::InitApply(_) => {}
            Event::InitDone => self.working = std::mem::take(&mut self.listed),
            Event::Apply(pod) if is_at_work(&pod) => {
                self.working.insert(uid(&pod), pod.name_any());
            }
            Event::Apply(pod) | Event::Delete(pod) => {
                self.working.remove(&uid(&pod));
            }
        }
        self.most = self.most.max(self.working.len());
        self.names.extend(self.working.values().cloned());
    }
}

fn uid(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}

fn is_at_work(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}
