//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use jiff::{SignedDuration, Timestamp};

/// Sessions of Longshore from a terminal: talk to them, read them, end, suspend and resume them.
#[derive(Debug, Parser)]
#[command(name = "kubectl-longshore", bin_name = "kubectl longshore", version)]
pub struct Cli {
    /// Namespace. Default: the one of the kubeconfig's context.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig. Default: the current one.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show all topics with their sessions, or one topic in detail.
    Status {
        /// Name of the Topic.
        topic: Option<String>,
    },
    /// Talk to the topic's session; a suspended one is woken first. Lines on a standard input that is no terminal are sent one by
    /// one, each when the one before is answered.
    Chat(Chat),
    /// Show the session's journal as a conversation.
    Logs(Logs),
    /// End the topic's session for good. Workspace and summary stay.
    End(Change),
    /// Suspend the topic's session: no pod, no slot; workspace and conversation stay.
    Suspend(Change),
    /// Bring the topic's suspended session back.
    Resume(Change),
    /// Say what the bot would make of a message, by which rule, and why earlier rules did not match. Writes nothing.
    Explain(Explain),
    /// Replace the key that opens the runners of this namespace. The one before stays good until the next rotation.
    RotateKeys {
        /// Say what would happen, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which session.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// Name of the Topic.
    pub topic: String,
    /// Name of the PersistentSession, when the topic has several.
    #[arg(long)]
    pub session: Option<String>,
}

/// A change of a session.
#[derive(Clone, Debug, Args)]
pub struct Change {
    #[command(flatten)]
    pub which: Which,
    /// Wait until it is done, and say what happens meanwhile.
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub wait: bool,
    /// How long to wait, e.g. 90s or 5m.
    #[arg(long, default_value = "3m", value_parser = duration)]
    pub timeout: Duration,
}

/// A message, and where it would be written.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// Chat id; negative for groups.
    #[arg(long, allow_negative_numbers = true)]
    pub chat: i64,
    /// Forum topic (message_thread_id). Leave it out for the General topic, a plain group or a private chat.
    #[arg(long)]
    pub thread: Option<i64>,
    /// User id of the writer.
    #[arg(long)]
    pub user: i64,
    /// Take the RoutingPolicies of this file instead of the cluster's, and ask no cluster. Can be given several times.
    #[arg(short, long)]
    pub file: Vec<PathBuf>,
    /// Time of the message, RFC 3339. Default: now.
    #[arg(long)]
    pub at: Option<Timestamp>,
    /// Take a session of this name for active. Default: the topic's in the cluster; none with --file.
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// That session sleeps.
    #[arg(long, requires = "session")]
    pub asleep: bool,
    /// That session waits for an answer to its question.
    #[arg(long, requires = "session")]
    pub asking: bool,
    /// The writer has pressed “Deny, say why” at a prompt of that session. Only the bot knows who did.
    #[arg(long, requires = "session")]
    pub denying: bool,
    /// Take a task of this name for running.
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Take it that this user has let the writer in by a button (unknownSenders: OfferToApprover). Only the bot knows who was.
    #[arg(long, value_name = "ID")]
    pub let_in_by: Option<i64>,
    /// Take it that no Topic is bound to the chat and the bot may make none.
    #[arg(long)]
    pub no_topic: bool,
    /// Take it that no Topic is bound to the chat and the bot may make one. In a cluster that is looked up.
    #[arg(long, requires = "file", conflicts_with = "no_topic")]
    pub new_topic: bool,
    /// The bot's own list of users (chart: telegram.allowedUsers). Default: as its Deployment says; nobody with --file.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub allowed_users: Option<Vec<i64>>,
    /// The bot's own name without @, for commands such as /deep@name.
    #[arg(long, default_value = "", value_name = "NAME")]
    pub bot_username: String,
    /// Something is attached that people call this, e.g. stickers; there is no text then.
    #[arg(long, value_name = "WHAT", conflicts_with = "text")]
    pub attachment: Option<String>,
    /// A file comes with it that a session can be given: a document, a picture, a recording.
    #[arg(long, conflicts_with = "attachment")]
    pub with_file: bool,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
    /// What is written.
    #[arg(required_unless_present_any = ["attachment", "with_file"], allow_hyphen_values = true)]
    pub text: Option<String>,
}

/// A conversation.
#[derive(Clone, Debug, Args)]
pub struct Chat {
    #[command(flatten)]
    pub which: Which,
    /// Show the whole conversation first.
    #[arg(long, conflicts_with = "history")]
    pub since_start: bool,
    /// Show this many of the last turns first.
    #[arg(long, value_name = "N")]
    pub history: Option<usize>,
    /// How long to wait for a session that is suspended, starting or queued.
    #[arg(long, default_value = "3m", value_parser = duration)]
    pub timeout: Duration,
}

/// A journal.
#[derive(Clone, Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    pub which: Which,
    /// Go on with what happens from now on.
    #[arg(short, long)]
    pub follow: bool,
    /// Leave out everything up to this sequence.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub since: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().map_err(|error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| "a time to wait cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn change(args: &[&str]) -> Change {
        let cli = Cli::try_parse_from([&["kubectl-longshore"], args].concat()).unwrap();
        match cli.command {
            Command::End(change) | Command::Suspend(change) | Command::Resume(change) => change,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn changes_wait_for_three_minutes_unless_told_otherwise() {
        let usual = change(&["end", "deep", "-n", "team"]);
        assert_eq!((usual.wait, usual.timeout), (true, Duration::from_secs(180)));
        let other = change(&["suspend", "deep", "--wait=false", "--timeout", "1h 5s"]);
        assert_eq!((other.wait, other.timeout), (false, Duration::from_secs(3605)));
        assert!(Cli::try_parse_from(["kubectl-longshore", "end", "deep", "--timeout", "soon"]).is_err());
        assert!(Cli::try_parse_from(["kubectl-longshore", "end", "deep", "--timeout", "-5s"]).is_err());
    }
}
