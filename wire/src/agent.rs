//! What the operator tells a new agent pod: one JSON document in one environment variable.
//!
//! It holds no secret and no prompt. Credentials come as their own variables from a Secret; prompts are posted to
//! `/v1/messages` once the runner listens, because a prompt may be longer than the kernel lets one variable be
//! (128 KiB, `MAX_ARG_STRLEN`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Environment variable that holds the [`AgentConfig`] as JSON.
pub const AGENT_CONFIG_ENV: &str = "LONGSHORE_AGENT";
/// Environment variable with an Anthropic API key; read by the runner alone, never given to claude.
pub const API_KEY_ENV: &str = "ANTHROPIC_API_KEY";
/// Environment variable with a Claude Code OAuth token; read by the runner alone, never given to claude.
pub const OAUTH_TOKEN_ENV: &str = "CLAUDE_CODE_OAUTH_TOKEN";
/// Environment variable with the instructions of the AgentClass, Markdown.
pub const CLASS_INSTRUCTIONS_ENV: &str = "LONGSHORE_CLASS_INSTRUCTIONS";
/// Environment variable with the instructions of the Topic, Markdown.
pub const TOPIC_INSTRUCTIONS_ENV: &str = "LONGSHORE_TOPIC_INSTRUCTIONS";
/// Environment variable with the user name for the Topic's repository; read by the runner alone, never given to claude.
pub const REPOSITORY_USERNAME_ENV: &str = "LONGSHORE_REPOSITORY_USERNAME";
/// Environment variable with the password or token for the Topic's repository; read by the runner alone, never given to claude.
pub const REPOSITORY_PASSWORD_ENV: &str = "LONGSHORE_REPOSITORY_PASSWORD";
/// Model endpoint when the class names none.
pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";

/// Whether the pod keeps a conversation or answers one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentKind {
    /// A PersistentSession: lives until it is quiesced.
    Session,
    /// A ContainerTask: runs one prompt, lingers until its result is taken, exits.
    Task,
}

/// Everything the runner must know besides credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentConfig {
    /// Session or task.
    pub kind: AgentKind,
    /// Namespace of the PersistentSession or ContainerTask.
    pub namespace: String,
    /// Name of the PersistentSession or ContainerTask.
    pub name: String,
    /// UID of the PersistentSession or ContainerTask. Also claude's `--session-id`, so both are found by one id.
    pub uid: Uuid,
    /// Name of the Topic.
    pub topic: String,
    /// Lower-case hex SHA-256 of every token that callers may present (see [`crate::token`]).
    pub token_sha256: Vec<String>,
    /// Base URL of the operator's notice endpoint, without a trailing slash; none means that no notices are posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_url: Option<String>,
    /// Origin of the model endpoint that the loopback proxy forwards to.
    pub base_url: String,
    /// `--model`; none leaves the choice to claude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `--permission-mode` in claude's own spelling (`default`, `acceptEdits`, `plan`, `dontAsk`, `bypassPermissions`).
    pub permission_mode: String,
    /// `--allowedTools`.
    #[serde(default)]
    pub allowed_tools: Vec<String>,
    /// `--disallowedTools`.
    #[serde(default)]
    pub disallowed_tools: Vec<String>,
    /// Seconds after which an unanswered permission prompt is denied.
    pub approval_timeout_seconds: u64,
    /// Lets the workspace's own settings, hooks and MCP servers take effect. They run without asking.
    #[serde(default)]
    pub trust_workspace_settings: bool,
    /// Percentage of the memory limit from which on the topic is warned.
    pub memory_warn_percent: u8,
    /// Percentage of the memory limit from which on claude is restarted between turns.
    pub memory_recycle_percent: u8,
    /// Seconds a finished task waits for its result to be acknowledged before it exits.
    pub drain_seconds: u64,
    /// How much of what was said in the topic before is put in front of a task's prompt; none of it without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryLimits>,
    /// What is cloned into the workspace while that is empty. Its credential comes in variables of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryConfig>,
    /// The workspace and the topic's state are only read: somebody else may be writing them. What the runner itself keeps, and all
    /// that the agent writes, goes with the pod.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What becomes of a task's wish for a session; without this the task is not told that it can have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<EscalationOffer>,
    /// There is a chat that takes files: the agent has a tool to send them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sends_files: bool,
    /// What decides whether a task's claude is asked at all; without this it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<WhenConfig>,
}

/// A command that decides whether claude is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhenConfig {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Seconds after which it is killed.
    pub timeout_seconds: u32,
}

/// A Git repository for the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryConfig {
    /// Address, http or https, without a credential.
    pub url: String,
    /// Branch, tag or whole commit id; none for the server's default branch.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Commits of history; 0 for all.
    pub depth: u32,
}

/// What becomes of a task's wish for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EscalationOffer {
    /// A session takes over by itself.
    Start,
    /// A person is asked first.
    Ask,
}

/// How much of a topic's earlier turns a task is told. The smaller of the two holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryLimits {
    /// Newest turns of all tasks and sessions of the topic.
    pub turns: usize,
    /// Bytes of the quoted text.
    pub max_bytes: usize,
}
