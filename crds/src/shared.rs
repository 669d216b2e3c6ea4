//! Pieces of schema that several kinds use.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

/// Reference to a Topic in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicRef {
    /// Name of the Topic.
    #[schemars(length(min = 1, max = 49))]
    pub name: String,
}

/// Where a task or session came from. The bot fills it in; without it nothing is posted to a chat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The Telegram message that asked for it, or the place where a task's answer shall be posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram: Option<TelegramOrigin>,
}

/// A Telegram message, or only the place where an answer shall be posted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.messageId) == has(self.userId)")
    .message("origin.telegram: give both messageId and userId, or neither if nobody wrote a message for it"))]
pub struct TelegramOrigin {
    /// Chat id; negative for groups.
    pub chat_id: i64,
    /// Forum topic (`message_thread_id`); absent in the General topic, in plain groups, and in private chats without topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<i64>,
    /// Message id inside the chat. Without it the answer of a task is posted as a message of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<i64>,
    /// Id of the user who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// Name of the user who wrote it. claude reads it in front of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub author: Option<String>,
    /// What the message refers to, such as the one that it replies to, quoted, and when it was written if that is long ago. claude
    /// reads it in front of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub context: Option<String>,
}

/// What a task is told of the topic's earlier turns, its tasks' and its sessions'. They are quoted in front of the prompt, with
/// authors and times, as context and not as instructions. The smaller of the two limits holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// How many of the newest turns; 0 for none. Default: 20.
    #[serde(default = "history_turns")]
    #[schemars(range(min = 0, max = 200))]
    pub turns: i32,
    /// Bytes of the quoted text; the oldest turns are left out first, and long texts lose their middle. Default: 32768.
    #[serde(default = "history_bytes")]
    #[schemars(range(min = 1024, max = 262144))]
    pub max_bytes: i32,
}

impl Default for History {
    fn default() -> Self {
        Self {
            turns: history_turns(),
            max_bytes: history_bytes(),
        }
    }
}

fn history_turns() -> i32 {
    20
}
fn history_bytes() -> i32 {
    32_768
}

/// A command that decides whether claude is asked at all. It runs in the agent's pod before claude is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct When {
    /// The program and its arguments; no shell reads them, unless you write one: `["sh", "-c", "git fetch -q && ..."]`. At most 32
    /// of at most 1,024 characters each; a longer script belongs in the workspace or in the image. It runs in the workspace with what
    /// claude's tools have, `AGENT_...` and `TZ` of the class among it, but with no way to the model and no credential.
    ///
    /// Exit status 0: claude is asked, and reads in front of the prompt what the command printed, quoted as context, up to 16 KiB.
    /// 1 to 125: claude is not asked, nothing is posted, and the task is Complete with the reason `NotNeeded`. More, a signal, a
    /// program that cannot be started, or one that takes too long: the task is Failed with the reason `WhenFailed`, which is posted.
    ///
    /// A pod that is lost before claude begins leaves it to the next one, so it must do no harm if it runs twice.
    #[schemars(length(min = 1, max = 32), inner(length(max = 1024)))]
    #[x_kube(validation = Rule::new("size(self) == 0 || size(self[0]) > 0")
        .message("when.command: the first entry names the program to run; it is empty"))]
    pub command: Vec<String>,
    /// Seconds after which the command is killed, with all that it started, and the task has failed. They count towards the timeout
    /// of the task. Default: 60.
    #[serde(default = "when_timeout")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: i32,
}

fn when_timeout() -> i32 {
    60
}

/// Use of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Finished turns.
    pub turns: i64,
    /// Input tokens, cached ones included.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// US dollars as a decimal string, by claude's own price list.
    #[schemars(length(max = 32))]
    pub cost_usd: String,
}

/// Reference to one key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What claude is told to heed, from the first turn on, without a file in the workspace. It stands beside the workspace's own
/// CLAUDE.md. A change reaches the next task, and a session when its pod starts the next time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.inline) != has(self.configMapRef)")
    .message("instructions: write either inline or configMapRef"))]
pub struct Instructions {
    /// Markdown, at most 16,384 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub inline: Option<String>,
    /// A ConfigMap in the same namespace with the Markdown under one of its keys, at most 100 KiB. Pods wait until it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
}

/// Reference to one key of a ConfigMap in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Schema of `status.conditions`: a list-map by `type`, so that several writers can apply their own entries.
pub(crate) fn conditions_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<Condition>();
    json_schema!({
        "type": "array",
        "description": "What is true of this object now. Every condition is computed anew on every pass.",
        "items": item,
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
