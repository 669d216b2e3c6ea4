//! Arguments and environment, read once and turned into what the bot works with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;
use url::Url;

use crate::cluster::write::TopicSettings;
use crate::outbox::{Budget, Scale};
use crate::transcribe::{Plugged, Transcriber};

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
    /// Milliseconds to wait for the next picture of an album, or the next of several messages that were forwarded together; 0 takes
    /// each by itself.
    #[arg(long, env = "LONGSHORE_GATHER_MILLISECONDS", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(..=10_000))]
    gather_milliseconds: u16,
    /// Words that end the session when they stand alone, separated by commas.
    #[arg(long, env = "LONGSHORE_DONE_WORDS", default_value = "done", value_delimiter = ',')]
    done_words: Vec<String>,
    /// Seconds for which a session that such a word ended goes on if somebody presses a button; 0 ends it at once.
    #[arg(long, env = "LONGSHORE_KEEP_GOING_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(..=600))]
    keep_going_seconds: u16,
    #[command(flatten)]
    transcription: Transcription,
    /// Seconds after which a message that nobody took since the bot or the cluster was away is marked at its answer, and claude is
    /// told when it was written.
    #[arg(long, env = "LONGSHORE_STALE_AFTER_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    stale_after_seconds: u32,
    /// How log lines look.
    #[arg(long, env = "LONGSHORE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// How voice messages become text; off unless a command or an endpoint is named.
#[derive(Args)]
pub struct Transcription {
    /// A program and its arguments, as a JSON list. It gets the recording on its standard input, and its name as AUDIO_NAME, and
    /// prints the text.
    #[arg(long, env = "LONGSHORE_TRANSCRIPTION_COMMAND", default_value = "")]
    transcription_command: String,
    /// An endpoint that speaks OpenAI's API, whole: http://whisper:8000/v1/audio/transcriptions.
    #[arg(long, env = "LONGSHORE_TRANSCRIPTION_URL", default_value = "")]
    transcription_url: String,
    /// The model that the endpoint shall use; its default when it is empty.
    #[arg(long, env = "LONGSHORE_TRANSCRIPTION_MODEL", default_value = "")]
    transcription_model: String,
    /// Bearer token for the endpoint. Give it by the environment: arguments are visible to others.
    #[arg(
        long,
        env = "LONGSHORE_TRANSCRIPTION_TOKEN",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    transcription_token: String,
    /// Seconds that one recording may take.
    #[arg(long, env = "LONGSHORE_TRANSCRIPTION_SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..=600))]
    transcription_seconds: u16,
}

impl Transcription {
    fn transcriber(self) -> Result<Option<Transcriber>, SettingsError> {
        let filled = |text: String| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let by = match (filled(self.transcription_command), filled(self.transcription_url)) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(SettingsError::TwoTranscriptions),
            (Some(command), None) => {
                let words: Option<Vec<String>> = serde_json::from_str(&command).ok();
                let words = words.filter(|words| words.first().is_some_and(|program| !program.is_empty()));
                Plugged::Command(words.ok_or(SettingsError::TranscriptionCommand(command))?)
            }
            (None, Some(url)) => {
                let parsed = url.parse::<Url>().ok();
                let url = parsed.filter(|url| matches!(url.scheme(), "http" | "https"));
                Plugged::Endpoint {
                    url: url.ok_or(SettingsError::TranscriptionUrl)?,
                    model: filled(self.transcription_model),
                    token: filled(self.transcription_token).map(SecretString::from),
                }
            }
        };
        let at_most = Duration::from_secs(self.transcription_seconds.into());
        Ok(Some(Transcriber { by, at_most }))
    }
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
    /// How long the next piece of a message is waited for.
    pub gather: Duration,
    /// Words that end the session.
    pub done_words: Vec<String>,
    /// How long the end by such a word can be undone.
    pub keep_going: Duration,
    /// What turns voice messages into text.
    pub transcriber: Option<Transcriber>,
    /// Seconds after which a message that nobody took is marked.
    pub stale_after: i64,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// An argument makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an id.
    #[error("--allowed-users: {0:?} is no user id; ids are numbers, and @userinfobot tells yours")]
    User(String),
    /// Both are given.
    #[error("--transcription-command and --transcription-url: give one of them")]
    TwoTranscriptions,
    /// Not a list.
    #[error(
        "--transcription-command: {0:?} is no JSON list of a program and its arguments, such as [\"whisper\", \"-\"]"
    )]
    TranscriptionCommand(String),
    /// Not an address. It is not repeated: it may have a credential in it.
    #[error("--transcription-url: no http or https address")]
    TranscriptionUrl,
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
            gather: Duration::from_millis(args.gather_milliseconds.into()),
            done_words: args.done_words.into_iter().filter_map(filled).collect(),
            keep_going: Duration::from_secs(args.keep_going_seconds.into()),
            transcriber: args.transcription.transcriber()?,
            stale_after: args.stale_after_seconds.into(),
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
    fn voice_messages_are_transcribed_by_one_thing_or_not_at_all() {
        assert!(settings(&[]).unwrap().transcriber.is_none());
        let by = |more: &[&str]| settings(more).map(|settings| settings.transcriber.unwrap().by);
        let command = r#"["whisper", "-"]"#;
        assert!(
            matches!(by(&["--transcription-command", command]), Ok(Plugged::Command(words)) if words == ["whisper", "-"])
        );
        let url = "http://whisper:8000/v1/audio/transcriptions";
        assert!(matches!(
            by(&["--transcription-url", url]),
            Ok(Plugged::Endpoint {
                model: None,
                token: None,
                ..
            })
        ));
        for (more, error) in [
            (
                vec!["--transcription-command", command, "--transcription-url", url],
                SettingsError::TwoTranscriptions,
            ),
            (
                vec!["--transcription-command", "whisper -"],
                SettingsError::TranscriptionCommand("whisper -".into()),
            ),
            (
                vec!["--transcription-command", "[]"],
                SettingsError::TranscriptionCommand("[]".into()),
            ),
            (
                vec!["--transcription-url", "file:///etc/passwd"],
                SettingsError::TranscriptionUrl,
            ),
        ] {
            assert_eq!(by(&more).unwrap_err(), error);
        }
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
