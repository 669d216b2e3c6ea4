//! Arguments and environment, read once and turned into what the bot works with.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

use crate::cluster::write::TopicSettings;
use crate::outbox::{Budget, Scale};

/// The Telegram bot of Longshore.
#[derive(Parser)]
#[command(name = "longshore-bot", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Run the bot until it is told to stop.
    Run(Box<RunArgs>),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object in a line.
    Json,
}

/// Arguments of `run`. Each can be given by its environment variable as well.
#[derive(Args)]
pub struct RunArgs {
    /// Namespace with the Topics, tasks and sessions.
    #[arg(long, env = "LONGSHORE_NAMESPACE")]
    namespace: String,
    /// Address of a Bot API server; Telegram's own when it is empty.
    #[arg(long, env = "TELEGRAM_API_URL", default_value = "")]
    telegram_api_url: String,
    /// Token of the bot, from @BotFather. Give it by the environment: arguments are visible to others.
    #[arg(long, env = "TELEGRAM_BOT_TOKEN", hide_env_values = true)]
    telegram_bot_token: SecretString,
    /// Ids of the users who may use the bot, separated by commas. Empty means nobody.
    #[arg(long, env = "LONGSHORE_ALLOWED_USERS", default_value = "")]
    allowed_users: String,
    /// Make a Topic when somebody allowed writes in a chat or forum topic that has none.
    #[arg(long, env = "LONGSHORE_CREATE_TOPICS", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    create_topics: bool,
    /// AgentClass of the Topics that the bot makes.
    #[arg(long, env = "LONGSHORE_AGENT_CLASS", default_value = "default")]
    agent_class: String,
    /// Size of the volumes of the Topics that the bot makes; the kind's default when it is empty.
    #[arg(long, env = "LONGSHORE_WORKSPACE_SIZE", default_value = "")]
    workspace_size: String,
    /// StorageClass of the volumes of the Topics that the bot makes; the cluster's default when it is empty.
    #[arg(long, env = "LONGSHORE_WORKSPACE_STORAGE_CLASS", default_value = "")]
    workspace_storage_class: String,
    /// The bot's database file.
    #[arg(long, env = "LONGSHORE_STORE", default_value = "/var/lib/longshore/bot.db")]
    store: PathBuf,
    /// Where /healthz and /readyz are served.
    #[arg(long, env = "LONGSHORE_LISTEN", default_value = "0.0.0.0:7413")]
    listen: SocketAddr,
    /// Calls a minute into one group, over all its topics. Private chats get one a second.
    #[arg(long, env = "LONGSHORE_MESSAGES_PER_MINUTE", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    messages_per_minute: u16,
    /// How many times faster than the clock the outbox's time passes: its budgets, gaps and what Telegram asks to wait. For tests, which
    /// tell the Telegram emulator the same.
    #[arg(long, env = "LONGSHORE_TIME_SCALE", default_value_t = 1.0, hide = true)]
    time_scale: f64,
    /// Words that end the session when they stand alone, separated by commas.
    #[arg(long, env = "LONGSHORE_DONE_WORDS", default_value = "done", value_delimiter = ',')]
    done_words: Vec<String>,
    /// How log lines look.
    #[arg(long, env = "LONGSHORE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// What the bot works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace with the Topics, tasks and sessions.
    pub namespace: String,
    /// Address of a Bot API server; none for Telegram's own.
    pub telegram_api_url: Option<String>,
    /// Token of the bot.
    pub telegram_token: SecretString,
    /// Users who may use the bot.
    pub allowed_users: Vec<i64>,
    /// Whether the bot makes Topics.
    pub create_topics: bool,
    /// What they look like.
    pub topic: TopicSettings,
    /// The bot's database file.
    pub store: PathBuf,
    /// Where health is served.
    pub listen: SocketAddr,
    /// How fast the outbox may talk.
    pub budget: Budget,
    /// Words that end the session.
    pub done_words: Vec<String>,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// An argument makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an id.
    #[error("--allowed-users: {0:?} is no user id; ids are numbers, and @userinfobot tells yours")]
    User(String),
}

impl TryFrom<RunArgs> for Settings {
    type Error = SettingsError;

    fn try_from(args: RunArgs) -> Result<Self, SettingsError> {
        let filled = |text: String| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        Ok(Self {
            namespace: args.namespace,
            telegram_api_url: filled(args.telegram_api_url),
            telegram_token: args.telegram_bot_token,
            allowed_users: users(&args.allowed_users)?,
            create_topics: args.create_topics,
            topic: TopicSettings {
                agent_class: args.agent_class,
                workspace_size: filled(args.workspace_size),
                storage_class: filled(args.workspace_storage_class),
            },
            store: args.store,
            listen: args.listen,
            budget: Budget {
                per_minute: args.messages_per_minute.into(),
                scale: Scale::new(args.time_scale),
            },
            done_words: args.done_words.into_iter().filter_map(filled).collect(),
            log_format: args.log_format,
        })
    }
}

fn users(list: &str) -> Result<Vec<i64>, SettingsError> {
    let ids = list.split(',').map(str::trim).filter(|id| !id.is_empty());
    ids.map(|id| id.parse().map_err(|_| SettingsError::User(id.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &[&str]) -> Result<Settings, SettingsError> {
        let base = [
            "longshore-bot",
            "run",
            "--namespace",
            "n",
            "--telegram-bot-token",
            "1:a",
        ];
        let Command::Run(args) = Cli::try_parse_from(base.iter().chain(more)).unwrap().command;
        Settings::try_from(*args)
    }

    #[test]
    fn an_empty_list_means_nobody_and_a_broken_one_is_refused() {
        assert_eq!(settings(&[]).unwrap().allowed_users, Vec::<i64>::new());
        assert_eq!(settings(&["--allowed-users", " 5, 6,"]).unwrap().allowed_users, [5, 6]);
        assert_eq!(
            settings(&["--allowed-users", "@ada"]).unwrap_err(),
            SettingsError::User("@ada".into())
        );
    }

    #[test]
    fn empty_values_count_as_left_out_and_a_flag_needs_no_value() {
        let left = settings(&[
            "--telegram-api-url",
            "",
            "--create-topics",
            "false",
            "--workspace-size",
            "",
        ])
        .unwrap();
        assert_eq!(
            (left.telegram_api_url, left.create_topics, left.topic.workspace_size),
            (None, false, None)
        );
        assert!(settings(&["--create-topics"]).unwrap().create_topics);
    }
}
