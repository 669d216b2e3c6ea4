//! The RoutingPolicies of the bot's namespace, compiled into the router that decides.
//!
//! They are watched as plain JSON: one that this program cannot read must not keep it from reading the others, nor hide that one was
//! deleted. A change counts from the next message on; messages in the store wait for nothing. While the watch is broken the last
//! router stays in force. Before the policies have been seen once there is none, and no message is decided about.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use kube::api::ApiResource;
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use longshore_crds::RoutingPolicy;
use longshore_routing::{PolicySource, Router, Settings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The router that is in force.
#[derive(Clone)]
pub struct Policies {
    current: watch::Receiver<Option<Arc<Router>>>,
}

impl Policies {
    /// Starts to watch the RoutingPolicies of a namespace.
    pub fn watch(
        client: &Client,
        namespace: &str,
        settings: Settings,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let kind = ApiResource::erase::<RoutingPolicy>(&());
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
        let (publish, current) = watch::channel(None);
        let mut seen = Seen {
            settings,
            publish,
            there: BTreeMap::new(),
            listed: BTreeMap::new(),
        };
        let stop = stop.clone();
        tracker.spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            let mut events = std::pin::pin!(events.take_until(stop.cancelled_owned()));
            while let Some(event) = events.next().await {
                seen.take(event);
            }
        });
        Self { current }
    }

    /// Tells when other policies come into force.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Router>>> {
        self.current.clone()
    }

    /// The router that is in force; waits until the policies have been seen.
    pub async fn router(&self) -> Arc<Router> {
        let mut current = self.current.clone();
        match current.wait_for(Option::is_some).await.map(|router| router.clone()) {
            Ok(Some(router)) => router,
            // The watch ended before it saw anything: the bot is shutting down, and nothing is decided any more.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

struct Seen {
    settings: Settings,
    publish: watch::Sender<Option<Arc<Router>>>,
    there: BTreeMap<String, PolicySource>,
    /// What a list that is being read has brought so far.
    listed: BTreeMap<String, PolicySource>,
}

impl Seen {
    fn take(&mut self, event: watcher::Result<watcher::Event<DynamicObject>>) {
        match event {
            Ok(watcher::Event::Init) => self.listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                self.listed.insert(object.name_any(), source(&object));
            }
            Ok(watcher::Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed);
                self.replace(listed);
            }
            Ok(watcher::Event::Apply(object)) => {
                let mut there = self.there.clone();
                there.insert(object.name_any(), source(&object));
                self.replace(there);
            }
            Ok(watcher::Event::Delete(object)) => {
                let mut there = self.there.clone();
                there.remove(&object.name_any());
                self.replace(there);
            }
            Err(error) if is_unknown_kind(&error) => {
                tracing::warn!(
                    "the cluster does not know RoutingPolicies, so there are none; apply the CRDs of this version"
                );
                self.replace(BTreeMap::new());
            }
            Err(error) => tracing::warn!(%error, "the watch of RoutingPolicies broke; it is started again"),
        }
    }

    /// Compiles what is there, unless nothing has changed that a decision goes by.
    fn replace(&mut self, there: BTreeMap<String, PolicySource>) {
        if self.publish.borrow().is_some() && there == self.there {
            return;
        }
        self.there = there;
        let sources = self.there.values().cloned().collect::<Vec<_>>();
        let router = Router::compile(self.settings.clone(), &sources);
        tracing::info!(policies = sources.len(), "RoutingPolicies are in force");
        for findings in router.findings(None).into_iter().filter(|findings| !findings.ready) {
            tracing::warn!(
                policy = findings.policy,
                problem = findings.problem,
                "a RoutingPolicy is not all in force"
            );
        }
        if !router.lets_anybody_in() {
            tracing::warn!(
                "nobody is allowed to use the bot; set LONGSHORE_ALLOWED_USERS (chart: telegram.allowedUsers), or write a \
                 RoutingPolicy with access"
            );
        }
        self.publish.send_replace(Some(Arc::new(router)));
    }
}

fn source(object: &DynamicObject) -> PolicySource {
    PolicySource::stored(object.name_any(), &object.data)
}

/// Whether the API server does not know the kind. Then there is no policy, whatever there was.
fn is_unknown_kind(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::{Value, json};

    use super::*;

    fn seen() -> (Seen, watch::Receiver<Option<Arc<Router>>>) {
        let (publish, current) = watch::channel(None);
        let seen = Seen {
            settings: Settings::default(),
            publish,
            there: BTreeMap::new(),
            listed: BTreeMap::new(),
        };
        (seen, current)
    }

    fn object(name: &str, spec: Value, version: &str) -> DynamicObject {
        let object = json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "RoutingPolicy",
            "metadata": { "name": name, "resourceVersion": version }, "spec": spec });
        serde_json::from_value(object).unwrap()
    }

    fn lets(user: i64) -> Value {
        json!({ "access": { "users": [{ "id": user }] } })
    }

    fn refused(code: u16) -> watcher::Result<watcher::Event<DynamicObject>> {
        let status = Status {
            code,
            ..Status::default()
        };
        Err(watcher::Error::InitialListFailed(kube::Error::Api(status.boxed())))
    }

    /// Who of the users 1, 2 and 3 is let in; none when nothing is in force yet.
    fn in_force(current: &watch::Receiver<Option<Arc<Router>>>) -> Option<Vec<i64>> {
        let router = current.borrow().clone()?;
        Some((1..4).filter(|user| router.standing(*user, 9).is_some()).collect())
    }

    #[test]
    fn a_list_counts_when_it_is_whole_and_changes_count_at_once() {
        let (mut seen, current) = seen();
        seen.take(Ok(watcher::Event::Init));
        seen.take(Ok(watcher::Event::InitApply(object("a", lets(1), "1"))));
        assert_eq!(in_force(&current), None);
        seen.take(Ok(watcher::Event::InitApply(object("b", json!("nonsense"), "1"))));
        seen.take(Ok(watcher::Event::InitDone));
        assert_eq!(in_force(&current), Some(vec![1]));
        seen.take(Ok(watcher::Event::Apply(object("b", lets(2), "2"))));
        assert_eq!(in_force(&current), Some(vec![1, 2]));
        seen.take(Ok(watcher::Event::Delete(object("a", lets(1), "3"))));
        assert_eq!(in_force(&current), Some(vec![2]));
        // A list that begins anew has missed deletions; until it is whole the old one counts.
        seen.take(Ok(watcher::Event::Init));
        seen.take(Ok(watcher::Event::InitApply(object("c", lets(3), "4"))));
        assert_eq!(in_force(&current), Some(vec![2]));
        seen.take(Ok(watcher::Event::InitDone));
        assert_eq!(in_force(&current), Some(vec![3]));
    }

    #[test]
    fn nothing_is_decided_before_the_policies_were_seen_unless_the_cluster_knows_none() {
        let (mut seen, current) = seen();
        seen.take(refused(403));
        seen.take(refused(500));
        assert_eq!(in_force(&current), None);
        seen.take(refused(404));
        assert_eq!(in_force(&current), Some(Vec::new()));
    }

    #[test]
    fn a_status_changes_no_decision_and_makes_no_new_router() {
        let (mut seen, mut current) = seen();
        seen.take(Ok(watcher::Event::Apply(object("a", lets(1), "1"))));
        current.mark_unchanged();
        seen.take(Ok(watcher::Event::Apply(object("a", lets(1), "2"))));
        assert!(!current.has_changed().unwrap());
        seen.take(Ok(watcher::Event::Apply(object("a", lets(2), "3"))));
        assert!(current.has_changed().unwrap());
    }
}
