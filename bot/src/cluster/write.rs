//! What the bot writes: Topics, ContainerTasks and PersistentSessions it creates, three annotations, and its own condition.
//!
//! Creating is idempotent: names derive from chat and message, and "already exists" is success when the live object has
//! the same origin. Fails with [`WriteError`], which says whether trying again can help.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use longshore_crds::conditions::{reasons, types};
use longshore_crds::{
    AgentClass, ContainerTask, ContainerTaskSpec, Origin, PersistentSession, PersistentSessionSpec, TaskEscalation,
    TelegramBinding, Topic, TopicDefaults, TopicRef, TopicSpec, Workspace, meta,
};
use longshore_routing::TemplateName;
use serde_json::json;

use super::Cluster;
use crate::chat::Place;

/// What Topics look like that the bot makes, where no template of a policy says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// AgentClass.
    pub agent_class: String,
    /// Size of the volume; none leaves it to the kind's default.
    pub workspace_size: Option<String>,
    /// StorageClass; none leaves it to the cluster.
    pub storage_class: Option<String>,
}

/// What was decided about a task.
#[derive(Clone, Debug)]
pub struct WantedTask<'a> {
    /// What claude is asked.
    pub prompt: &'a str,
    /// AgentClass; none for the Topic's.
    pub agent_class: Option<String>,
    /// What becomes of it when claude asks for a session.
    pub escalation: Option<TaskEscalation>,
    /// Whether it runs beside the session, and only reads the workspace.
    pub read_only: bool,
}

impl TopicSettings {
    /// The Topic of a place, by a template where there is one.
    fn spec(&self, place: Place, display_name: Option<String>, template: TopicDefaults) -> TopicSpec {
        let workspace = template.workspace.unwrap_or_default();
        TopicSpec {
            agent_class_name: template.agent_class_name.unwrap_or_else(|| self.agent_class.clone()),
            display_name: display_name.map(|name| name.chars().take(128).collect()),
            telegram: Some(TelegramBinding {
                chat_id: place.chat,
                thread_id: place.thread,
            }),
            workspace: Workspace {
                size: workspace.size.or_else(|| self.workspace_size.clone()),
                storage_class_name: workspace.storage_class_name.or_else(|| self.storage_class.clone()),
                reclaim_policy: workspace.reclaim_policy,
                ..Workspace::default()
            },
            repository: template.repository,
            instructions: template.instructions,
            session: template.session,
        }
    }
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It will never be accepted like this.
    #[error("{0}")]
    Refused(String),
    /// The name belongs to something else.
    #[error("{0} exists already and belongs to something else")]
    NameTaken(String),
    /// It does not exist.
    #[error("it does not exist")]
    NotFound,
    /// The API server cannot be asked, or is busy.
    #[error("the API server did not do it: {0}")]
    Later(#[source] Box<kube::Error>),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 => Self::NotFound,
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 413 | 422) => {
                Self::Refused(status.message.clone())
            }
            _ => Self::Later(Box::new(error)),
        }
    }
}

fn exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

/// The UID in a patch is not that of the object.
fn another(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 || (status.code == 422 && status.message.contains("uid")))
}

fn metadata(name: &str, topic: &str) -> ObjectMeta {
    let labels = [(meta::MANAGED_BY.0, meta::MANAGED_BY.1), (meta::TOPIC_LABEL, topic)];
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        ..ObjectMeta::default()
    }
}

/// Whether two objects come from one message, whatever is known of it beside that.
fn same_message(one: &Origin, other: &Origin) -> bool {
    let ids = |origin: &Origin| {
        let telegram = origin.telegram.as_ref()?;
        Some((
            telegram.chat_id,
            telegram.thread_id,
            telegram.message_id,
            telegram.user_id,
        ))
    };
    ids(one) == ids(other)
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(meta::BOT.to_owned()),
        ..PostParams::default()
    }
}

fn patch() -> PatchParams {
    PatchParams {
        field_manager: Some(meta::BOT.to_owned()),
        ..PatchParams::default()
    }
}

impl Cluster {
    /// Makes the Topic of a place under this name.
    pub async fn create_topic(
        &self,
        name: &str,
        place: Place,
        display_name: Option<String>,
        settings: &TopicSettings,
        template: Option<(TemplateName, &TopicDefaults)>,
    ) -> Result<Topic, WriteError> {
        let (by, template) = template.unzip();
        let mut topic = Topic {
            metadata: metadata(name, name),
            spec: settings.spec(place, display_name, template.cloned().unwrap_or_default()),
            status: None,
        };
        if let Some(by) = &by {
            // For people who wonder; the Topic does not follow its template.
            let annotations = topic.metadata.annotations.get_or_insert_default();
            annotations.insert(
                meta::TOPIC_TEMPLATE.to_owned(),
                format!("{}/{}", by.policy, by.template),
            );
        }
        match self.topic_api.create(&post(), &topic).await {
            Ok(topic) => {
                self.remember(&topic);
                let by = by.map(|by| by.to_string());
                tracing::info!(
                    topic = name,
                    chat = place.chat,
                    thread = place.thread,
                    by,
                    "made a Topic"
                );
                Ok(topic)
            }
            Err(error) if exists(&error) => {
                let live = self.topic_api.get(name).await?;
                if self.place_of(&live) == Some(self.moved.place(place)) {
                    Ok(live)
                } else {
                    Err(WriteError::NameTaken(format!("Topic {name}")))
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the ContainerTask for a message. False when there is one already that asks something else.
    pub async fn create_task(
        &self,
        name: &str,
        topic: &str,
        wanted: WantedTask<'_>,
        origin: Origin,
    ) -> Result<bool, WriteError> {
        let spec = ContainerTaskSpec {
            topic_ref: TopicRef { name: topic.to_owned() },
            read_only: wanted.read_only,
            prompt: wanted.prompt.to_owned(),
            agent_class_name: wanted.agent_class,
            timeout_seconds: None,
            ttl_seconds_after_finished: None,
            retries: None,
            history: None,
            escalation: wanted.escalation,
            when: None,
            origin: Some(origin.clone()),
        };
        let task = ContainerTask {
            metadata: metadata(name, topic),
            spec,
            status: None,
        };
        match self.task_api.create(&post(), &task).await {
            Ok(_) => Ok(true),
            Err(error) if exists(&error) => match self.task_api.get(name).await?.spec {
                live if live.origin.as_ref().is_some_and(|live| same_message(live, &origin)) => {
                    Ok(live.prompt == wanted.prompt)
                }
                _ => Err(WriteError::NameTaken(format!("ContainerTask {name}"))),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the PersistentSession for a message.
    pub async fn create_session(
        &self,
        name: &str,
        topic: &str,
        prompt: Option<String>,
        agent_class: Option<String>,
        origin: Origin,
    ) -> Result<PersistentSession, WriteError> {
        let spec = PersistentSessionSpec {
            topic_ref: TopicRef { name: topic.to_owned() },
            prompt,
            agent_class_name: agent_class,
            desired_state: Default::default(),
            idle_timeout_seconds: None,
            max_duration_seconds: None,
            suspended_ttl_seconds: None,
            start_timeout_seconds: None,
            origin: Some(origin.clone()),
        };
        // From the start: the operator would need another write to add it before there is a pod.
        let finalizers = Some(vec![meta::SUMMARY_FINALIZER.to_owned()]);
        let session = PersistentSession {
            metadata: ObjectMeta {
                finalizers,
                ..metadata(name, topic)
            },
            spec,
            status: None,
        };
        match self.session_api.create(&post(), &session).await {
            Ok(session) => Ok(session),
            Err(error) if exists(&error) => {
                let live = self.session_api.get(name).await?;
                match &live.spec.origin {
                    Some(known) if same_message(known, &origin) => Ok(live),
                    _ => Err(WriteError::NameTaken(format!("PersistentSession {name}"))),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the operator to end a session.
    pub async fn end_session(&self, name: &str, why: &str) -> Result<(), WriteError> {
        self.session_api
            .patch(name, &patch(), &annotation(meta::END, why))
            .await?;
        Ok(())
    }

    /// Asks the operator to wake a session up. A value that it has not seen yet is a new wish.
    pub async fn wake_session(&self, name: &str, value: &str) -> Result<(), WriteError> {
        self.session_api
            .patch(name, &patch(), &annotation(meta::WAKE, value))
            .await?;
        Ok(())
    }

    /// Records that a task's answer stands in the chat; its time to live counts from here. A task that is gone needs none.
    pub async fn mark_delivered(&self, name: &str, at: Timestamp) -> Result<(), WriteError> {
        let receipt = annotation(meta::DELIVERED, &at.to_string());
        Ok(self.receipt(name, &receipt).await?)
    }

    /// The same for a result that no message asked for. Its task may be gone, and another one have its name.
    pub async fn mark_result_delivered(&self, name: &str, uid: &str, at: Timestamp) -> Result<(), WriteError> {
        let receipt = json!({"metadata": {"uid": uid, "annotations": {meta::DELIVERED: at.to_string()}}});
        match self.receipt(name, &Patch::Merge(receipt)).await {
            Err(error) if another(&error) => Ok(()),
            done => Ok(done?),
        }
    }

    /// A task that is gone needs none.
    async fn receipt(&self, name: &str, receipt: &Patch<serde_json::Value>) -> kube::Result<()> {
        match self.task_api.patch(name, &patch(), receipt).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            done => done.map(drop),
        }
    }

    /// An AgentClass as it is now. It is asked for so seldom that it is not watched.
    pub async fn agent_class(&self, name: &str) -> Result<Option<AgentClass>, WriteError> {
        Ok(self.class_api.get_opt(name).await?)
    }

    /// The live task, past the reflector.
    pub async fn live_task(&self, name: &str) -> Result<Option<ContainerTask>, WriteError> {
        Ok(self.task_api.get_opt(name).await?)
    }

    /// The live session, past the reflector.
    pub async fn live_session(&self, name: &str) -> Result<Option<PersistentSession>, WriteError> {
        Ok(self.session_api.get_opt(name).await?)
    }

    /// Writes what the bot knows of a Topic's chat, unless it stands there already: whether it can be reached, and where it is now. That
    /// a chat is reachable is said only after it was not; `news` knows that before the reflector does.
    pub async fn set_reachable(
        &self,
        topic: &Topic,
        problem: Option<(&str, &str)>,
        news: bool,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let status = topic.status.as_ref();
        let known = status.into_iter().flat_map(|status| &status.conditions);
        let known = known.into_iter().find(|known| known.type_ == types::CHAT_REACHABLE);
        let (state, reason, message) = match problem {
            None => ("True", reasons::REACHABLE, "The bot can post in the chat."),
            Some((reason, message)) => ("False", reason, message),
        };
        let says = match (problem, known) {
            (Some(_), known) => known.is_none_or(|known| known.status != state || known.reason != reason),
            (None, known) => news || known.is_some_and(|known| known.status != state),
        };
        let chat = self.chat_now(topic);
        let moved = chat
            != status
                .and_then(|status| status.telegram.as_ref())
                .map(|chat| chat.chat_id);
        if !says && !moved {
            return Ok(());
        }
        let condition = Condition {
            type_: types::CHAT_REACHABLE.to_owned(),
            status: state.to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(1024).collect(),
            observed_generation: topic.metadata.generation,
            last_transition_time: known
                .filter(|known| known.status == state)
                .map_or(Time(now), |known| known.last_transition_time.clone()),
        };
        let condition = if says { Some(condition) } else { known.cloned() };
        // All that is ours in one apply: what is left out is taken away.
        let mut ours = json!({ "conditions": condition.into_iter().collect::<Vec<_>>() });
        if let Some(chat) = chat {
            ours["telegram"] = json!({ "chatId": chat });
        }
        let apply = json!({
            "apiVersion": Topic::api_version(&()),
            "kind": Topic::kind(&()),
            "metadata": {"name": topic.name_any()},
            "status": ours,
        });
        let params = PatchParams::apply(meta::BOT).force();
        self.topic_api
            .patch_status(&topic.name_any(), &params, &Patch::Apply(&apply))
            .await?;
        Ok(())
    }

    /// Id of a Topic's chat now, where that is not the one in its spec.
    fn chat_now(&self, topic: &Topic) -> Option<i64> {
        let written = topic.spec.telegram.as_ref()?.chat_id;
        let now = self.place_of(topic)?.chat;
        (now != written).then_some(now)
    }

    /// Whether a Topic does not say yet where its chat is now.
    pub fn has_moved(&self, topic: &Topic) -> bool {
        let told = topic.status.as_ref().and_then(|status| status.telegram.as_ref());
        self.chat_now(topic)
            .is_some_and(|now| told.is_none_or(|told| told.chat_id != now))
    }
}

fn annotation(key: &str, value: &str) -> Patch<serde_json::Value> {
    Patch::Merge(json!({"metadata": {"annotations": {key: value}}}))
}
