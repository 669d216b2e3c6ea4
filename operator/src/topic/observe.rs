//! What is known of a topic.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, ResourceExt};
use longshore_crds::Topic;

use super::build::claim_name;
use crate::cluster::{self, Error};
use crate::context::Context;
use crate::index::lookup;

#[derive(Clone, Debug)]
pub struct Observed {
    pub topic: Arc<Topic>,
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// An older Topic with the same chat binding.
    pub twin: Option<String>,
    /// An older Topic with the same claim. Who may write a workspace is decided per Topic, so two of them would write at once.
    pub co_owner: Option<String>,
}

pub async fn observe(topic: Arc<Topic>, ctx: &Context) -> Result<Observed, Error> {
    let namespace = topic.namespace().unwrap_or_default();
    let name = claim_name(&topic);
    let mut claim = lookup(&ctx.index.claims, &namespace, &name);
    if claim.is_none() {
        // The cache may be behind our own create.
        let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), &namespace);
        claim = cluster::get(&api, &name).await?.map(Arc::new);
    }
    let all = ctx.index.topics.state();
    Ok(Observed {
        twin: older_twin(&topic, &all),
        co_owner: older_co_owner(&topic, &all),
        topic,
        claim,
    })
}

/// Of several topics with one binding the oldest wins, then the first by name.
fn older_twin(topic: &Topic, all: &[Arc<Topic>]) -> Option<String> {
    let bindings = [topic.spec.telegram.clone(), topic.binding()];
    let shared = |other: &Topic| {
        let mut bindings = bindings.iter().flatten();
        bindings.any(|binding| other.is_bound_to(binding.chat_id, binding.thread_id))
    };
    older(topic, all, shared)
}

/// Likewise of several topics with one claim.
fn older_co_owner(topic: &Topic, all: &[Arc<Topic>]) -> Option<String> {
    let claim = claim_name(topic);
    older(topic, all, |other| claim_name(other) == claim)
}

fn older(topic: &Topic, all: &[Arc<Topic>], is_alike: impl Fn(&Topic) -> bool) -> Option<String> {
    let age = |t: &Topic| (t.creation_timestamp().map(|at| at.0), t.name_any());
    all.iter()
        .filter(|other| other.namespace() == topic.namespace() && is_alike(other))
        .filter(|other| other.metadata.deletion_timestamp.is_none())
        .map(|other| age(other))
        .filter(|other| *other < age(topic))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use longshore_crds::{TelegramBinding, TopicSpec};

    use super::*;

    fn topic(name: &str, second: i64, chat_id: i64) -> Arc<Topic> {
        let spec = TopicSpec {
            telegram: Some(TelegramBinding {
                chat_id,
                thread_id: None,
            }),
            ..super::super::build::bare_spec()
        };
        let mut topic = Topic::new(name, spec);
        topic.metadata.namespace = Some("ns".to_owned());
        topic.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        Arc::new(topic)
    }

    #[test]
    fn of_two_topics_with_one_binding_the_older_then_the_first_by_name_wins() {
        let all = [
            topic("b", 1, -7),
            topic("a", 1, -7),
            topic("c", 0, -8),
            topic("d", 5, -7),
        ];
        let twin = |n: usize| older_twin(&all[n], &all);
        assert_eq!(twin(1), None);
        assert_eq!(twin(0).as_deref(), Some("a"));
        assert_eq!(twin(3).as_deref(), Some("a"));
        assert_eq!(twin(2), None);
    }

    #[test]
    fn a_claim_belongs_to_the_oldest_topic_that_names_it_or_makes_it() {
        let naming = |name: &str, second, claim: &str| {
            let mut topic = Arc::unwrap_or_clone(topic(name, second, second));
            topic.spec.workspace.existing_claim = Some(claim.to_owned());
            Arc::new(topic)
        };
        let all = [
            topic("a", 1, -7),
            naming("b", 2, "ls-a"),
            naming("c", 3, "mine"),
            naming("d", 4, "mine"),
            naming("e", 5, "other"),
        ];
        let co_owners: Vec<Option<String>> = all.iter().map(|topic| older_co_owner(topic, &all)).collect();
        assert_eq!(
            co_owners.iter().map(Option::as_deref).collect::<Vec<_>>(),
            [None, Some("a"), None, Some("c"), None]
        );
    }
}
