//! Topic: a durable workspace and its chat binding.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Instructions, Slot};

/// Desired state of a Topic.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "Topic",
    plural = "topics",
    shortname = "tp",
    category = "longshore",
    namespaced,
    status = "TopicStatus",
    derive = "PartialEq",
    doc = "A durable workspace and its chat binding. Tasks and sessions of a topic share one volume, which outlives them all.",
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.agentClassName"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Chat", type_ = "integer", json_path = ".spec.telegram.chatId"),
    printcolumn(name = "Thread", type_ = "integer", json_path = ".spec.telegram.threadId"),
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Volume", type_ = "string", json_path = ".status.workspaceClaim", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 49 && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')")
        .message("metadata.name: use at most 49 lower-case letters, digits and '-', starting and ending with a letter or digit; the StatefulSet is named ls-<topic>")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.telegram) == has(oldSelf.telegram) && (!has(self.telegram) || self.telegram == oldSelf.telegram)")
        .message("telegram: the chat binding cannot be changed; to move a workspace to another chat, delete this Topic and make a new one with workspace.existingClaim"),
    validation = Rule::new("(has(self.workspace) && has(self.workspace.existingClaim) ? self.workspace.existingClaim : '') == (has(oldSelf.workspace) && has(oldSelf.workspace.existingClaim) ? oldSelf.workspace.existingClaim : '')")
        .message("workspace.existingClaim cannot be changed, since conversations of this topic are on its volume; make another Topic")
)]
pub struct TopicSpec {
    /// AgentClass in the same namespace that tasks and sessions of this topic use unless they name another. Default: `default`.
    #[serde(default = "default_class")]
    #[schemars(length(min = 1, max = 63))]
    pub agent_class_name: String,
    /// Name for people, e.g. the name of the forum topic. Nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub display_name: Option<String>,
    /// The Telegram chat, or forum topic, that this topic answers in. Without it the topic is used with kubectl only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram: Option<TelegramBinding>,
    /// The volume on which everything of this topic lives.
    #[serde(default)]
    pub workspace: Workspace,
    /// A Git repository that is cloned into the workspace on first use: before the first turn of a pod that finds the workspace
    /// empty. A workspace with files in it is never touched, so a change has an effect on an empty one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// What agents of this topic are told to heed, after what their class says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Instructions>,
    /// Times of this topic's sessions, where they differ from the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionTimes>,
}

/// A Git repository. Submodules are not cloned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.secretRef) || self.url.startsWith('https://')")
    .message("repository.secretRef: a credential goes over https only; write the url with https://, or remove secretRef"))]
pub struct Repository {
    /// Address that `git clone` takes, over https, or over http without a credential. A credential has no place in it.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("self.matches('^https?://')").message("repository.url: write an address that begins with https://; ssh, git and file addresses are not supported"),
        validation = Rule::new("!self.matches('^https?://[^/?#]*@')").message("repository.url: take user and password out of the address and name a Secret with them in repository.secretRef"),
        validation = Rule::new("!self.matches('^https?://') || self.matches('^https?://[^/?#]*@') || self.matches('^https?://[A-Za-z0-9.:_\\\\[\\\\]-]+/[^\\\\s?#\\\\\\\\]+$')").message("repository.url: write host and path, such as https://git.example.com/team/app.git, without blanks, '?' and '#'")
    )]
    pub url: String,
    /// Branch, tag or whole commit id to check out. Default: the branch that the server calls its default one.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('refs/')").message("repository.ref: write the name alone, without refs/heads/ or refs/tags/"),
        validation = Rule::new("self.matches('^[^-\\\\s~^:?*\\\\[\\\\\\\\][^\\\\s~^:?*\\\\[\\\\\\\\]*$') && !self.contains('..') && !self.contains('@{')").message("repository.ref: write the name of a branch or tag, or a whole commit id; it cannot begin with '-' and has no blanks, '..', '@{' or any of ~^:?*[ and backslash")
    )]
    pub reference: Option<String>,
    /// Commits of history to fetch; 0 for all. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub depth: i32,
    /// Secret with the credential for https in the same namespace, of the shape of `kubernetes.io/basic-auth`: the keys `password`,
    /// which may be a token, and `username` where the server wants a certain one. It is used to clone and for nothing else; claude
    /// never has it. It is read when a pod starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

fn one() -> i32 {
    1
}

/// Reference to a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Times of a topic's sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionTimes {
    /// Seconds without activity after which a session is idle. Default: the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 31536000))]
    pub idle_timeout_seconds: Option<i32>,
    /// Seconds after its first start at which a session ends, busy or not. Default: the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 31536000))]
    pub max_duration_seconds: Option<i32>,
    /// Seconds after which a session ends when it is suspended. Default: the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 31536000))]
    pub suspended_ttl_seconds: Option<i32>,
    /// Seconds that a session may take until it is Ready. Default: the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub start_timeout_seconds: Option<i32>,
}

fn default_class() -> String {
    "default".to_owned()
}

/// A Telegram chat or forum topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TelegramBinding {
    /// Chat id; negative for groups and supergroups.
    #[x_kube(validation = Rule::new("self != 0").message("chatId: 0 is no chat; forward a message of the chat to an id bot, or read it in the bot's log"))]
    pub chat_id: i64,
    /// Forum topic (`message_thread_id`). Leave it out for the General topic, a plain group, or a private chat without topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self > 1").message("threadId: leave it out for the General topic, a plain group or a private chat (Telegram refuses 1)"))]
    pub thread_id: Option<i64>,
}

/// The topic's volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.existingClaim) || !(has(self.size) || has(self.storageClassName) || has(self.accessModes))")
        .message("workspace: existingClaim names a volume that exists; remove size, storageClassName and accessModes, or remove existingClaim"),
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
        .message("workspace.storageClassName cannot be changed, since Kubernetes moves no volume to another class; make another Topic"),
    validation = Rule::new("has(self.accessModes) == has(oldSelf.accessModes) && (!has(self.accessModes) || self.accessModes == oldSelf.accessModes)")
        .message("workspace.accessModes of a volume cannot be changed; make another Topic"),
    validation = Rule::new("!has(self.existingClaim) || !has(self.reclaimPolicy) || self.reclaimPolicy == 'Retain'")
        .message("workspace.reclaimPolicy: a claim that Longshore did not make is never deleted by it; use Retain with existingClaim")
)]
pub struct Workspace {
    /// Size of the volume as a Kubernetes quantity. Default: 10Gi. Growing it later needs a StorageClass that can expand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]*(\\\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$')").message("workspace.size: write a quantity such as 10Gi"))]
    pub size: Option<String>,
    /// StorageClass. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// Access modes. Default: ReadWriteOnce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3))]
    pub access_modes: Option<Vec<AccessMode>>,
    /// Use this PersistentVolumeClaim instead of making one. Two Topics cannot share a claim: the younger one is not Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub existing_claim: Option<String>,
    /// What becomes of the volume when the Topic is deleted. Default: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<ReclaimPolicy>,
}

/// Access mode of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::AsRefStr)]
pub enum AccessMode {
    /// One node may write.
    ReadWriteOnce,
    /// One pod may write. A task beside a session cannot start then.
    ReadWriteOncePod,
    /// Many nodes may write.
    ReadWriteMany,
}

/// What becomes of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// The claim stays; a Topic of the same name finds it again.
    #[default]
    Retain,
    /// The claim is deleted with the Topic.
    Delete,
}

/// Observed state of a Topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_claim: Option<String>,
    /// The task or session that may write the workspace now. Changed by compare-and-swap only. It stays behind when its holder has
    /// finished, and the next one takes it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Slot>,
    /// Where the chat is now, if that differs from the spec. Written by the bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram: Option<TopicChat>,
    /// `Ready`, `WorkspaceBound` (operator) and `ChatReachable` (bot).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// Where the chat of a Topic is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicChat {
    /// Chat id that Telegram gave the group when it became a supergroup. The Topic is bound to it as to the one in the spec.
    pub chat_id: i64,
}

impl Topic {
    /// Where the Topic is bound now: by its spec, unless its chat has another id since.
    pub fn binding(&self) -> Option<TelegramBinding> {
        let written = self.spec.telegram.as_ref()?;
        let now = self.status.as_ref().and_then(|status| status.telegram.as_ref());
        Some(TelegramBinding {
            chat_id: now.map_or(written.chat_id, |now| now.chat_id),
            thread_id: written.thread_id,
        })
    }

    /// Whether the Topic is bound to this place, under the id in its spec or the one that its chat has now.
    pub fn is_bound_to(&self, chat_id: i64, thread_id: Option<i64>) -> bool {
        let bindings = [self.spec.telegram.clone(), self.binding()];
        let mut bindings = bindings.into_iter().flatten();
        bindings.any(|binding| (binding.chat_id, binding.thread_id) == (chat_id, thread_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_whose_group_was_upgraded_is_bound_to_both_ids() {
        let spec = TopicSpec {
            agent_class_name: default_class(),
            display_name: None,
            telegram: Some(TelegramBinding {
                chat_id: -5,
                thread_id: None,
            }),
            workspace: Workspace::default(),
            repository: None,
            instructions: None,
            session: None,
        };
        let mut topic = Topic::new("crew", spec);
        assert_eq!(topic.binding(), topic.spec.telegram);
        assert!(topic.is_bound_to(-5, None) && !topic.is_bound_to(-100, None) && !topic.is_bound_to(-5, Some(2)));
        topic.status = Some(TopicStatus {
            telegram: Some(TopicChat { chat_id: -100 }),
            ..TopicStatus::default()
        });
        assert_eq!(topic.binding().map(|binding| binding.chat_id), Some(-100));
        assert!(topic.is_bound_to(-5, None) && topic.is_bound_to(-100, None));
    }
}
