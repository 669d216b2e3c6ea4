//! Watches that fill the caches and wake reconcilers.
//!
//! One watch per kind and scope, however many reconcilers follow it. A watch that breaks is taken up again with back-off by
//! kube; what was missed meanwhile arrives as a full list, and everything in it wakes its reconcilers once.

use std::fmt::Debug;
use std::hash::Hash;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

/// Feeds `writer` until told to stop. `touched` is called after the cache has the change, with `gone` for a deletion.
pub async fn watch<K>(
    api: Api<K>,
    config: Config,
    mut writer: Writer<K>,
    touched: impl Fn(&K, Change) + Send,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let reader = writer.as_reader();
    let events = watcher(api, config)
        .modify(|object| object.managed_fields_mut().clear())
        .default_backoff()
        .take_until(stop.cancelled_owned());
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), error = %crate::chain(&error), "watch broke, taking it up again");
                continue;
            }
        };
        writer.apply_watcher_event(&event);
        match &event {
            Event::Apply(object) => touched(object, Change::Applied),
            Event::Delete(object) => touched(object, Change::Gone),
            Event::InitDone => reader
                .state()
                .iter()
                .for_each(|object| touched(object, Change::Applied)),
            Event::Init | Event::InitApply(_) => {}
        }
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Applied,
    Gone,
}
