//! What an explanation needs to know: policies, the bot's own settings, and the place of the message.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ApiResource, ListParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{PersistentSession, RoutingPolicy, SessionPhase, Topic, names};
use longshore_routing::{ActiveSession, Guest, PolicySource, Settings, Situation, TopicState};
use serde_json::Value;

use super::ExplainError;
use crate::args::Explain;
use crate::cluster::{Cluster, rights};
use crate::session;

/// Everything that a decision goes by besides the message.
#[derive(Clone, Debug)]
pub struct Known {
    pub policies: Vec<PolicySource>,
    pub settings: Settings,
    pub situation: Situation,
    /// What is not known, and what follows from that.
    pub notes: Vec<String>,
}

/// With policies from files; the place is as the arguments say.
pub fn from_files(wanted: &Explain) -> Result<Known, ExplainError> {
    let mut policies = Vec::new();
    for file in &wanted.file {
        policies.extend(read(file)?);
    }
    let name = names::telegram_topic(wanted.chat, wanted.thread);
    let topic = match (wanted.no_topic, wanted.new_topic) {
        (true, _) => TopicState::Missing,
        (false, true) => TopicState::Creatable(name),
        (false, false) => TopicState::Bound(name),
    };
    Ok(Known {
        policies,
        settings: settings(wanted, &BTreeMap::new()),
        situation: Situation {
            topic,
            session: told(wanted),
            task: wanted.task.clone(),
            guest: guest(wanted),
        },
        notes: Vec::new(),
    })
}

fn read(file: &Path) -> Result<Vec<PolicySource>, ExplainError> {
    let text = std::fs::read_to_string(file).map_err(|source| ExplainError::File {
        file: file.to_owned(),
        source,
    })?;
    let broken = |why: String| ExplainError::Manifest {
        file: file.to_owned(),
        why,
    };
    let documents = serde_saphyr::from_multiple::<Value>(&text).map_err(|error| broken(error.to_string()))?;
    let mut policies = Vec::new();
    for mut document in documents {
        let items = match document["items"].take() {
            Value::Array(items) => items,
            _ => vec![document],
        };
        for item in items.iter().filter(|item| item["kind"] == "RoutingPolicy") {
            let name = item["metadata"]["name"].as_str();
            let name = name.ok_or_else(|| broken("a RoutingPolicy has no metadata.name".to_owned()))?;
            policies.push(PolicySource::stored(name.to_owned(), item));
        }
    }
    match policies.is_empty() {
        true => Err(broken("there is no RoutingPolicy in it".to_owned())),
        false => Ok(policies),
    }
}

/// What the arguments say about a session.
fn told(wanted: &Explain) -> Option<ActiveSession> {
    let name = wanted.session.clone()?;
    Some(ActiveSession {
        name,
        question: wanted.asking.then_some(0),
        word: wanted.denying.then_some(0),
        asleep: wanted.asleep,
    })
}

/// What the arguments say about a button. The bot keeps that in its own store.
fn guest(wanted: &Explain) -> Option<Guest> {
    let by = wanted.let_in_by?;
    let (user, chat) = (wanted.user, wanted.chat);
    Some(Guest { user, chat, by })
}

/// The bot's own settings: as the arguments say, else as its Deployment does, else as the bot has them by itself.
fn settings(wanted: &Explain, bot: &BTreeMap<String, String>) -> Settings {
    let list = |name: &str| {
        let all = bot.get(name).map_or("", String::as_str).split(',').map(str::trim);
        all.filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let users = list("LONGSHORE_ALLOWED_USERS")
        .iter()
        .filter_map(|id| id.parse().ok())
        .collect();
    let done = match list("LONGSHORE_DONE_WORDS") {
        none if none.is_empty() => vec!["done".to_owned()],
        words => words,
    };
    Settings {
        allowed_users: wanted.allowed_users.clone().unwrap_or(users),
        bot_username: wanted.bot_username.clone(),
        done_words: done.iter().map(|word| word.to_lowercase()).collect(),
    }
}

/// With everything that the cluster knows; arguments about the place come first.
pub async fn from_cluster(cluster: &Cluster, wanted: &Explain) -> Result<Known, ExplainError> {
    let kind = ApiResource::erase::<RoutingPolicy>(&());
    let api = Api::<DynamicObject>::namespaced_with(cluster.client.clone(), &cluster.namespace, &kind);
    let found = api.list(&ListParams::default()).await;
    let found = found.map_err(|error| cluster.explain(error, rights::POLICIES))?;
    let sources = found.items.iter();
    let policies = sources.map(|object| PolicySource::stored(object.name_any(), &object.data));
    let mut notes = Vec::new();
    let bot = bot(cluster).await;
    if bot.is_none() && wanted.allowed_users.is_none() {
        notes.push(
            "the bot's Deployment is not in this namespace, or you may not read it, so its own list of users (chart: \
             telegram.allowedUsers) counts as empty; --allowed-users says who is on it"
                .to_owned(),
        );
    }
    let bot = bot.unwrap_or_default();
    Ok(Known {
        policies: policies.collect(),
        settings: settings(wanted, &bot),
        situation: situation(cluster, wanted, &bot).await?,
        notes,
    })
}

/// Environment of the bot that works in this namespace; none when it cannot be seen.
async fn bot(cluster: &Cluster) -> Option<BTreeMap<String, String>> {
    let label = "app.kubernetes.io/name=longshore,app.kubernetes.io/component=bot";
    let found = cluster
        .api::<Deployment>()
        .list(&ListParams::default().labels(label))
        .await
        .ok()?;
    let environment = |deployment: Deployment| {
        let containers = deployment.spec?.template.spec?.containers;
        let all = containers
            .into_iter()
            .flat_map(|container| container.env.unwrap_or_default());
        Some(
            all.filter_map(|one| Some((one.name, one.value?)))
                .collect::<BTreeMap<_, _>>(),
        )
    };
    let mut all = found.items.into_iter().filter_map(environment);
    all.find(|env| env.get("LONGSHORE_NAMESPACE") == Some(&cluster.namespace))
}

async fn situation(
    cluster: &Cluster,
    wanted: &Explain,
    bot: &BTreeMap<String, String>,
) -> Result<Situation, ExplainError> {
    let found = cluster.api::<Topic>().list(&ListParams::default()).await;
    let mut topics = found.map_err(|error| cluster.explain(error, rights::TOPICS))?.items;
    let thread = wanted.thread.filter(|thread| *thread > 1);
    topics.retain(|topic| topic.is_bound_to(wanted.chat, thread));
    // As the bot does: of several the oldest.
    topics.sort_by_key(|topic| (topic.creation_timestamp(), topic.name_any()));
    let topic = topics.first().map(ResourceExt::name_any).filter(|_| !wanted.no_topic);
    let mut session = told(wanted);
    if let (None, Some(topic)) = (&session, &topic) {
        let all = cluster.api::<PersistentSession>();
        let of_topic = ListParams::default().fields(&format!("spec.topicRef.name={topic}"));
        let found = all
            .list(&of_topic)
            .await
            .map_err(|error| cluster.explain(error, rights::SESSIONS))?;
        session = session::live(&found.items)
            .into_iter()
            .find(|live| !is_ending(live))
            .map(active);
    }
    let may_create = bot.get("LONGSHORE_CREATE_TOPICS").is_some_and(|value| value == "true") && !wanted.no_topic;
    Ok(Situation {
        topic: match topic {
            Some(topic) => TopicState::Bound(topic),
            None if may_create => TopicState::Creatable(names::telegram_topic(wanted.chat, thread)),
            None => TopicState::Missing,
        },
        session,
        task: wanted.task.clone(),
        guest: guest(wanted),
    })
}

fn is_ending(found: &PersistentSession) -> bool {
    found.metadata.deletion_timestamp.is_some()
        || found.annotations().contains_key(longshore_crds::meta::END)
        || session::phase(found) == Some(SessionPhase::Ending)
}

fn active(found: &PersistentSession) -> ActiveSession {
    let asleep = matches!(
        session::phase(found),
        Some(SessionPhase::Suspended | SessionPhase::Suspending)
    );
    let asking =
        session::condition(found, types::ACTIVE).is_some_and(|active| active.reason == reasons::WAITING_FOR_ANSWER);
    ActiveSession {
        name: found.name_any(),
        question: asking.then_some(0),
        word: None,
        asleep,
    }
}
