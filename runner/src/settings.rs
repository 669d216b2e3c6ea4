//! Flags and environment, read once and turned into [`Settings`].
//!
//! Nothing else reads the environment, but `RUST_LOG` (in `main`, before there are settings) and the proxy variables that
//! the client of the model endpoint honours by itself.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use longshore_wire::AgentConfig;
use longshore_wire::agent::{
    AGENT_CONFIG_ENV, API_KEY_ENV, CLASS_INSTRUCTIONS_ENV, OAUTH_TOKEN_ENV, REPOSITORY_PASSWORD_ENV,
    REPOSITORY_USERNAME_ENV, TOPIC_INSTRUCTIONS_ENV,
};
use secrecy::SecretString;
use url::Url;

use crate::git::Login;
use crate::turn::Limits;

/// Names of variables that name proxies. git heeds `http_proxy` in lower case alone.
const PROXIES: [&str; 3] = ["https_proxy", "http_proxy", "no_proxy"];

/// Why the settings do not hold.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The agent's configuration is missing.
    #[error("{AGENT_CONFIG_ENV} is not set; the operator sets it in every agent pod")]
    Missing,
    /// It is no [`AgentConfig`].
    #[error("{AGENT_CONFIG_ENV} cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The model endpoint is no URL that can be forwarded to.
    #[error("the model endpoint {url:?} is no http or https URL")]
    BaseUrl {
        /// It.
        url: String,
    },
}

/// Flags of `longshore-runner serve`. The defaults are what a pod has; tests set others.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// The topic's volume.
    #[arg(long, env = "LONGSHORE_ROOT", default_value = "/topic")]
    pub root: PathBuf,
    /// Address of the HTTP API.
    #[arg(long, env = "LONGSHORE_LISTEN", default_value = "0.0.0.0:7411")]
    pub listen: SocketAddr,
    /// The claude CLI.
    #[arg(long, env = "LONGSHORE_CLAUDE", default_value = "/usr/local/bin/claude")]
    pub claude: PathBuf,
    /// A writable folder for claude's temporary files.
    #[arg(long, env = "LONGSHORE_TMP", default_value = "/tmp")]
    pub tmp: PathBuf,
    /// Where the kubelet looks for the last words of a task.
    #[arg(long, env = "LONGSHORE_TERMINATION_LOG", default_value = "/dev/termination-log")]
    pub termination_log: PathBuf,
    /// Milliseconds without a line from claude and a byte from the model endpoint after which a turn is stopped.
    /// Waiting for a tool or a person does not count.
    #[arg(long, env = "LONGSHORE_SILENCE_MS", default_value_t = 240_000)]
    pub silence_ms: u32,
    /// Milliseconds of nothing but failing requests to the model endpoint after which a turn is stopped.
    #[arg(long, env = "LONGSHORE_RETRIES_MS", default_value_t = 150_000)]
    pub retries_ms: u32,
    /// Milliseconds after which a turn that was told to stop and did not is killed.
    #[arg(long, env = "LONGSHORE_OBEY_MS", default_value_t = 10_000)]
    pub obey_ms: u32,
    /// Milliseconds after which a claude that was started and has not answered is killed.
    #[arg(long, env = "LONGSHORE_START_MS", default_value_t = 120_000)]
    pub start_ms: u32,
    /// Milliseconds that git may take to clone the topic's repository.
    #[arg(long, env = "LONGSHORE_CLONE_MS", default_value_t = 600_000)]
    pub clone_ms: u32,
    /// Milliseconds before a clone that failed is tried again, the first time; later pauses are longer.
    #[arg(long, env = "LONGSHORE_CLONE_PAUSE_MS", default_value_t = 5_000)]
    pub clone_pause_ms: u32,
    /// Milliseconds that summaries which earlier sessions of the topic failed to write may hold up the start, in all.
    #[arg(long, env = "LONGSHORE_OWED_SUMMARIES_MS", default_value_t = 60_000)]
    pub owed_summaries_ms: u32,
}

/// The real credential of the model endpoint; held by the runner alone.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Sent as `x-api-key`.
    ApiKey(SecretString),
    /// Sent as `Authorization: Bearer`.
    OAuthToken(SecretString),
    /// The endpoint wants none, or will refuse us.
    None,
}

/// Everything the runner goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the operator said.
    pub agent: AgentConfig,
    /// The model endpoint.
    pub base_url: Url,
    /// Its credential.
    pub credential: Credential,
    /// Flags.
    pub flags: Flags,
    /// Limits of the turn machine.
    pub limits: Limits,
    /// Variables of the class that are meant for claude's tools: `AGENT_...` and `TZ`.
    pub for_tools: Vec<(OsString, OsString)>,
    /// What claude is told to heed, Markdown: by the class, and by the topic.
    pub instructions: [Option<String>; 2],
    /// The credential of the topic's repository.
    pub repository_login: Option<Login>,
    /// Variables that name proxies, with names in lower case, for git.
    pub proxies: Vec<(OsString, OsString)>,
}

impl Settings {
    /// Reads the environment.
    pub fn from_env(flags: Flags) -> Result<Self, SettingsError> {
        let config = std::env::var(AGENT_CONFIG_ENV).map_err(|_| SettingsError::Missing)?;
        let secret = |name| {
            let value = std::env::var(name).unwrap_or_default();
            (!value.trim().is_empty()).then(|| SecretString::from(value.trim()))
        };
        // claude itself prefers the key when both are set.
        let credential = match (secret(API_KEY_ENV), secret(OAUTH_TOKEN_ENV)) {
            (Some(key), _) => Credential::ApiKey(key),
            (None, Some(token)) => Credential::OAuthToken(token),
            (None, None) => Credential::None,
        };
        let for_tools = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_str().unwrap_or_default();
            name.starts_with("AGENT_") || name == "TZ"
        });
        let repository_login = secret(REPOSITORY_PASSWORD_ENV).map(|password| Login {
            username: secret(REPOSITORY_USERNAME_ENV),
            password,
        });
        let mut settings = Self::new(serde_json::from_str(&config)?, credential, flags, for_tools.collect())?;
        settings.instructions = [CLASS_INSTRUCTIONS_ENV, TOPIC_INSTRUCTIONS_ENV].map(|name| {
            let told = std::env::var(name).unwrap_or_default();
            (!told.trim().is_empty()).then(|| told.trim().to_owned())
        });
        settings.repository_login = repository_login;
        let proxies = std::env::vars_os().map(|(name, value)| (name.to_ascii_lowercase(), value));
        settings.proxies = proxies
            .filter(|(name, _)| PROXIES.iter().any(|proxy| name == proxy))
            .collect();
        Ok(settings)
    }

    fn new(
        agent: AgentConfig,
        credential: Credential,
        flags: Flags,
        for_tools: Vec<(OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let base_url = Url::parse(&agent.base_url).ok();
        let base_url = base_url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base_url = base_url.ok_or_else(|| SettingsError::BaseUrl {
            url: agent.base_url.clone(),
        })?;
        let ms = |ms: u32| SignedDuration::from_millis(ms.into());
        let approval = i64::try_from(agent.approval_timeout_seconds).unwrap_or(i64::MAX);
        let limits = Limits {
            silence: ms(flags.silence_ms),
            retries: ms(flags.retries_ms),
            obey: ms(flags.obey_ms),
            start: ms(flags.start_ms),
            approval: SignedDuration::from_secs(approval),
        };
        Ok(Self {
            agent,
            base_url,
            credential,
            flags,
            limits,
            for_tools,
            instructions: [None, None],
            repository_login: None,
            proxies: Vec::new(),
        })
    }
}
