//! What Topics look like that the bot makes: a part of RoutingPolicy.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Instructions, ReclaimPolicy, Repository, SessionTimes};

/// What a Topic looks like that the bot makes in certain places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicTemplate {
    /// Name of the template, unique in its policy; the Topic, the bot's log, `explain` and the status tell it.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')").message("name: use lower-case letters, digits and '-', starting and ending with a letter or digit"))]
    pub name: String,
    /// In which places. Without anything it is for all of them.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<TemplateMatch>,
    /// What the Topic gets. What is left out is as the bot's own settings have it (chart: `telegram.workspace`).
    pub topic: TopicDefaults,
}

/// In which places a template counts. Both must be true at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMatch {
    /// Chat ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub chats: Vec<i64>,
    /// Forum topics (`message_thread_id`); 0 is the General topic, a plain group or a private chat. Ids of threads are unique in
    /// their chat only, so name the chat as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(t, t == 0 || t > 1)").message("threads: write 0 for the General topic, a plain group or a private chat, else the message_thread_id, which is above 1"))]
    pub threads: Vec<i64>,
}

/// What a Topic gets by a template. Each field means what it means in a Topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicDefaults {
    /// AgentClass of its tasks and sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub agent_class_name: Option<String>,
    /// Its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceDefaults>,
    /// Git repository that is cloned into its workspace on first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// What its agents are told to heed, after what their class says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Instructions>,
    /// Times of its sessions, where they differ from the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionTimes>,
}

/// The volume of a Topic by a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceDefaults {
    /// Size of the volume as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]*(\\\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$')").message("workspace.size: write a quantity such as 10Gi"))]
    pub size: Option<String>,
    /// StorageClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// What becomes of the volume when the Topic is deleted. Default: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<ReclaimPolicy>,
}
