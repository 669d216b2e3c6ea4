//! AgentClass: how an agent runs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, EnvVar, ResourceRequirements, Toleration};
use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{History, Instructions, SecretKeyRef};

/// Desired state of an AgentClass.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "AgentClass",
    plural = "agentclasses",
    shortname = "ac",
    category = "longshore",
    namespaced,
    status = "AgentClassStatus",
    derive = "PartialEq",
    doc = "How an agent runs: image, model, credentials, permissions, resources and limits. Tasks and sessions name one. The limits of the one that is called `namespace` hold for the agents of all classes of the namespace together, besides the limits of their own class.",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Sessions", type_ = "integer", json_path = ".status.activeSessions"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.limits.maxActiveSessions"),
    printcolumn(name = "Tasks", type_ = "integer", json_path = ".status.runningTasks"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name: use at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentClassSpec {
    /// Image with claude and the Longshore runner. Default: the agent image of the installation. A change reaches the next pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^\\\\S+$')").message("image: write an image reference without spaces, such as registry.example/longshore-agent:1.0"))]
    pub image: Option<String>,
    /// When the image is pulled. Default: IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Names of Secrets with registry credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub image_pull_secrets: Vec<String>,
    /// Model that claude uses, by Claude Code's own names. Default: claude's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,
    /// Origin of the model endpoint. Default: Anthropic's public API. An address inside the cluster must also be allowed under `egress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/\\\\s]+(/\\\\S*)?$')").message("baseUrl: write an address that starts with https:// or http://"))]
    pub base_url: Option<String>,
    /// Credentials for the model endpoint. They reach the runner only; claude and its tools never see them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// What every agent of this class is told to heed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Instructions>,
    /// What claude may do without asking.
    #[serde(default)]
    pub permissions: Permissions,
    /// Resources of the agent container. Default: requests 250m CPU and 384Mi, limit 2Gi memory. A CPU limit under one core makes
    /// every answer seconds slower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Additions to every agent pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
    /// Network destinations that agents of this class may reach besides DNS, the operator, the model endpoint by IP address and
    /// the public internet on ports 443, 80 and 22. Rules as in a NetworkPolicy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub egress: Vec<NetworkPolicyEgressRule>,
    /// How many agents of this class may run at once.
    #[serde(default)]
    pub limits: Limits,
    /// Defaults of sessions.
    #[serde(default)]
    pub session: SessionDefaults,
    /// Defaults of tasks.
    #[serde(default)]
    pub task: TaskDefaults,
    /// What happens when an agent's memory runs short.
    #[serde(default)]
    pub memory: MemoryPolicy,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::AsRefStr)]
pub enum ImagePullPolicy {
    /// Before every start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

/// Credentials for the model endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Secret and key that hold the credential.
    pub secret_ref: SecretKeyRef,
    /// What the credential is. Default: ApiKey.
    #[serde(default, rename = "type")]
    pub kind: CredentialsType,
}

/// What a credential is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CredentialsType {
    /// An Anthropic API key, sent as `x-api-key`.
    #[default]
    ApiKey,
    /// A Claude Code OAuth token, sent as `Authorization: Bearer`.
    OAuthToken,
}

/// What claude may do without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Permission mode of sessions. What it and `allowedTools` do not cover is asked in the chat. Default: default.
    #[serde(default = "session_mode")]
    pub session_mode: PermissionMode,
    /// Permission mode of tasks. Default: dontAsk, so that what `allowedTools` does not cover is refused.
    #[serde(default = "task_mode")]
    pub task_mode: PermissionMode,
    /// Tools that run without asking, as `--allowedTools` takes them, e.g. `Bash(git *)`. Default: Read, Glob, Grep.
    #[serde(default = "allowed_tools")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 256)))]
    pub allowed_tools: Vec<String>,
    /// Tools that never run, as `--disallowedTools` takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 256)))]
    pub disallowed_tools: Vec<String>,
    /// Seconds after which an unanswered prompt is denied. Default: 1800.
    #[serde(default = "approval_timeout")]
    #[schemars(range(min = 5, max = 86400))]
    pub approval_timeout_seconds: i32,
    /// Let settings, hooks and MCP servers in the workspace take effect. They run without asking. Default: false.
    #[serde(default)]
    pub trust_workspace_settings: bool,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            session_mode: session_mode(),
            task_mode: task_mode(),
            allowed_tools: allowed_tools(),
            disallowed_tools: Vec::new(),
            approval_timeout_seconds: approval_timeout(),
            trust_workspace_settings: false,
        }
    }
}

fn session_mode() -> PermissionMode {
    PermissionMode::Default
}
fn task_mode() -> PermissionMode {
    PermissionMode::DontAsk
}
fn allowed_tools() -> Vec<String> {
    ["Read", "Glob", "Grep"].map(str::to_owned).to_vec()
}
fn approval_timeout() -> i32 {
    1800
}

/// Claude Code's permission modes, in its own spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::AsRefStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum PermissionMode {
    /// Ask for what is not allowed.
    Default,
    /// Edits in the workspace run without asking.
    AcceptEdits,
    /// Plan first; nothing is changed before the plan is approved.
    Plan,
    /// Refuse what is not allowed, without asking.
    DontAsk,
    /// Run everything without asking. The pod is the only wall left.
    BypassPermissions,
}

/// Additions to every agent pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels. Keys under `longshore.dev/` and `app.kubernetes.io/` are Longshore's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('longshore.dev/') && !k.startsWith('app.kubernetes.io/'))")
        .message("podTemplate.labels: keys under longshore.dev/ and app.kubernetes.io/ are set by Longshore; use a prefix of your own"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
    /// Node labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Scheduling preferences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// RuntimeClass, e.g. one of a sandbox such as gVisor or Kata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
    /// Environment of the runner. Claude and its tools see the variables that start with `AGENT_` only, so that nothing reaches
    /// them by accident.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.all(e, e.name.startsWith('AGENT_') || e.name in ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'RUST_LOG', 'TZ'])")
        .message("podTemplate.env: name variables for claude's tools AGENT_<NAME>; besides those only HTTPS_PROXY, HTTP_PROXY, NO_PROXY, RUST_LOG and TZ are passed"))]
    pub env: Vec<EnvVar>,
}

/// How many agents may run at once. Absent means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Sessions with a pod. Suspended and ended ones do not count. Further ones wait in the order of their creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_active_sessions: Option<i32>,
    /// Tasks with a pod. Further ones wait in the order of their creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_running_tasks: Option<i32>,
    /// Sessions that may wait for a slot; a further one is rejected. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_queued: Option<i32>,
    /// Seconds that a session may wait for a slot before it is ended with reason `QueueTimeout`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 604800))]
    pub queue_timeout_seconds: Option<i32>,
}

/// Defaults of sessions. A Topic and a PersistentSession may set the times differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionDefaults {
    /// Seconds without a message, a running turn, a background command, a pending prompt or an attached terminal after which a
    /// session is idle. Default: 3600, an hour.
    #[serde(default = "idle_timeout")]
    #[schemars(range(min = 5, max = 31536000))]
    pub idle_timeout_seconds: i32,
    /// Seconds after its first start at which a session ends, busy or not. Default: 604800, a week.
    #[serde(default = "max_duration")]
    #[schemars(range(min = 10, max = 31536000))]
    pub max_duration_seconds: i32,
    /// Seconds after which a suspended session ends. Default: 1209600, two weeks.
    #[serde(default = "suspended_ttl")]
    #[schemars(range(min = 10, max = 31536000))]
    pub suspended_ttl_seconds: i32,
    /// Seconds that a session with a slot may take until it is Ready, image pull and room on a node included. One that never was
    /// Ready then ends with reason `Failed`; one that was, is suspended with reason `ResumeFailed` and keeps its conversation. The
    /// time during which its node is lost does not count. Default: 900, a quarter of an hour.
    #[serde(default = "start_timeout")]
    #[schemars(range(min = 10, max = 86400))]
    pub start_timeout_seconds: i32,
    /// What becomes of an idle session. Default: Suspend.
    #[serde(default)]
    pub on_idle: OnIdle,
    /// What becomes of a session that finds no free slot. Default: Queue.
    #[serde(default)]
    pub when_full: WhenFull,
    /// Ask claude for the key outcomes when a session is suspended or ends, and keep them in the topic's state files. Default: true.
    #[serde(default = "summarize")]
    pub summarize: bool,
}

impl Default for SessionDefaults {
    fn default() -> Self {
        Self {
            idle_timeout_seconds: idle_timeout(),
            max_duration_seconds: max_duration(),
            suspended_ttl_seconds: suspended_ttl(),
            start_timeout_seconds: start_timeout(),
            on_idle: OnIdle::default(),
            when_full: WhenFull::default(),
            summarize: summarize(),
        }
    }
}

fn idle_timeout() -> i32 {
    3600
}
fn max_duration() -> i32 {
    604_800
}
fn suspended_ttl() -> i32 {
    1_209_600
}
fn start_timeout() -> i32 {
    900
}
fn summarize() -> bool {
    true
}

/// What becomes of an idle session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnIdle {
    /// Stop the pod; keep workspace and conversation. The next message brings it back.
    #[default]
    Suspend,
    /// End it.
    End,
}

/// What becomes of a session that finds no free slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenFull {
    /// It waits.
    #[default]
    Queue,
    /// The session of the class that has been idle longest, and is not busy, is suspended for it. It waits while all are busy.
    SuspendIdle,
    /// It is refused and ends with reason `Rejected`.
    Reject,
}

/// What happens when an agent's memory runs short. Percentages are of the container's memory limit; without one nothing happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.warnPercent <= self.recyclePercent")
    .message("memory: warnPercent must not be higher than recyclePercent"))]
pub struct MemoryPolicy {
    /// From here on the session is `MemoryPressure` and the topic is told. Default: 80.
    #[serde(default = "warn_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub warn_percent: i32,
    /// From here on claude is restarted with its conversation as soon as no turn runs. Default: 90.
    #[serde(default = "recycle_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub recycle_percent: i32,
}

impl Default for MemoryPolicy {
    fn default() -> Self {
        Self {
            warn_percent: warn_percent(),
            recycle_percent: recycle_percent(),
        }
    }
}

fn warn_percent() -> i32 {
    80
}
fn recycle_percent() -> i32 {
    90
}

/// Defaults of tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskDefaults {
    /// Seconds after which a task is stopped and reported as failed. Default: 900.
    #[serde(default = "task_timeout")]
    #[schemars(range(min = 10, max = 86400))]
    pub timeout_seconds: i32,
    /// Seconds after which a finished task is deleted. Default: 86400, a day.
    #[serde(default = "task_ttl")]
    #[schemars(range(min = 0, max = 604800))]
    pub ttl_seconds_after_finished: i32,
    /// How often a pod that was lost without a result is replaced. Default: 2.
    #[serde(default = "task_retries")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: i32,
    /// What a task is told of the topic's earlier turns.
    #[serde(default)]
    pub history: History,
}

impl Default for TaskDefaults {
    fn default() -> Self {
        Self {
            timeout_seconds: task_timeout(),
            ttl_seconds_after_finished: task_ttl(),
            retries: task_retries(),
            history: History::default(),
        }
    }
}

fn task_timeout() -> i32 {
    900
}
fn task_ttl() -> i32 {
    86_400
}
fn task_retries() -> i32 {
    2
}

/// Observed state of an AgentClass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentClassStatus {
    /// The slot ledger: who may have a pod. Changed by compare-and-swap only; empty for a class without limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000))]
    pub slots: Vec<Slot>,
    /// Number of slots held by sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_sessions: Option<i32>,
    /// Number of slots held by tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_tasks: Option<i32>,
}

/// One entry of the slot ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// UID of the holder.
    #[schemars(length(max = 36))]
    pub uid: String,
    /// Kind of the holder.
    pub kind: SlotKind,
    /// Name of the holder, so that a stale entry can be checked.
    #[schemars(length(max = 63))]
    pub name: String,
    /// AgentClass of the holder, in the ledger of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub agent_class_name: Option<String>,
    /// Since when.
    pub since: Time,
}

/// Kind of a slot's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SlotKind {
    /// A PersistentSession.
    Session,
    /// A ContainerTask.
    Task,
}
