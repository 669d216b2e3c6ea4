//! Command line and environment, turned once into validated [`Settings`].
//!
//! Nothing else of the operator reads the environment (but kube's own search for credentials).

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url_origin::notice_origin;

/// Longshore's operator.
#[derive(Debug, Parser)]
#[command(name = "longshore-operator", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// How log lines look.
    #[arg(
        long,
        env = "LONGSHORE_LOG_FORMAT",
        value_enum,
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn custom resources into volumes, Jobs and StatefulSets until told to stop.
    Run(RunArgs),
    /// End all sessions, wait for their pods, lift finalizers. The chart's pre-delete hook.
    Uninstall(UninstallArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Args)]
pub struct Place {
    /// Namespace of this pod.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Namespaces to watch, separated by commas; `*` for all. Default: the operator's own.
    #[arg(long, env = "LONGSHORE_WATCH_NAMESPACES", default_value = "")]
    pub watch_namespaces: String,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub place: Place,
    /// Name of this pod; part of the identity in the Lease.
    #[arg(long, env = "POD_NAME", default_value = "longshore-operator")]
    pub pod_name: String,
    /// IP address of this pod, to which followers pass notices on.
    #[arg(long, env = "POD_IP")]
    pub pod_ip: Option<std::net::IpAddr>,
    /// Address of the server for health, metrics and notices.
    #[arg(long, env = "LONGSHORE_LISTEN", default_value = "0.0.0.0:7412")]
    pub listen: SocketAddr,
    /// Origin that agent pods post notices to, e.g. `http://longshore-operator.longshore.svc:7412`. Without it no notices are posted,
    /// and everything happens a little later.
    #[arg(long, env = "LONGSHORE_NOTICE_URL")]
    pub notice_url: Option<String>,
    /// Image of agent pods whose AgentClass names none.
    #[arg(long, env = "LONGSHORE_AGENT_IMAGE")]
    pub agent_image: String,
    /// Let one of several replicas work at a time.
    #[arg(long, env = "LONGSHORE_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// Name of the Lease in the operator's namespace.
    #[arg(long, env = "LONGSHORE_LEASE_NAME", default_value = "longshore-operator")]
    pub lease_name: String,
}

#[derive(Debug, Args)]
pub struct UninstallArgs {
    #[command(flatten)]
    pub place: Place,
    /// Seconds to wait for sessions to end.
    #[arg(long, env = "LONGSHORE_UNINSTALL_TIMEOUT", default_value_t = 180)]
    pub timeout_seconds: u64,
}

/// What one set of watches covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespace(String),
}

/// Everything the operator was told, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub scopes: Vec<Scope>,
    /// Namespace of the operator and the bot.
    pub namespace: String,
    /// Holder identity in the Lease: `<pod name>_<pod ip>`.
    pub identity: String,
    pub listen: SocketAddr,
    /// Origin without a trailing slash.
    pub notice_url: Option<String>,
    pub agent_image: String,
    pub leader_election: bool,
    pub lease_name: String,
    pub timing: Timing,
}

/// Spans that the plans reckon with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a session may take to wind down, summary included.
    pub drain: Duration,
    /// How long a finished task waits for its result to be taken.
    pub linger: Duration,
    /// How much longer than its timeout a task may take until it is given up, whatever its Job says.
    pub task_grace: Duration,
    /// How long before a session is idle people are warned, at most; a fifth of the idle timeout when that is shorter.
    pub idle_warning: Duration,
    /// How long a session must have been idle for its slot to be taken for another one.
    pub reclaimable: Duration,
    /// How long the bot is given to take the last answers of a runner that has wound down.
    pub last_answers: Duration,
    /// When to look again at something that should have been announced but may have been lost.
    pub look_again: Duration,
    /// When to look at everything again.
    pub resync: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(120),
            linger: Duration::from_secs(300),
            task_grace: Duration::from_secs(600),
            idle_warning: Duration::from_secs(60),
            reclaimable: Duration::from_secs(30),
            last_answers: Duration::from_secs(5),
            look_again: Duration::from_secs(5),
            resync: Duration::from_secs(300),
        }
    }
}

#[cfg(test)]
impl Settings {
    /// Settings that tests change where they care.
    pub fn example() -> Self {
        Self {
            scopes: Vec::new(),
            namespace: "longshore".to_owned(),
            identity: "op_".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            notice_url: None,
            agent_image: "agent:1".to_owned(),
            leader_election: false,
            lease_name: "lease".to_owned(),
            timing: Timing::default(),
        }
    }
}

/// What is wrong with an argument.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    #[error("watch-namespaces: `*` watches every namespace; name it alone")]
    StarAmongNames,
    #[error("watch-namespaces: {0:?} is not the name of a namespace")]
    Namespace(String),
    #[error("notice-url: write an origin such as http://longshore-operator.longshore.svc:7412, not {0:?}")]
    NoticeUrl(String),
    #[error("agent-image: it is empty; name the agent image")]
    AgentImage,
}

impl Place {
    /// # Errors
    /// When a name cannot be that of a namespace.
    pub fn scopes(&self) -> Result<Vec<Scope>, Invalid> {
        let mut names: Vec<&str> = self
            .watch_namespaces
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        names.sort_unstable();
        names.dedup();
        match names.as_slice() {
            [] => Ok(vec![Scope::Namespace(self.namespace.clone())]),
            ["*"] => Ok(vec![Scope::Cluster]),
            names if names.contains(&"*") => Err(Invalid::StarAmongNames),
            names => names.iter().map(|name| namespace(name)).collect(),
        }
    }
}

fn namespace(name: &str) -> Result<Scope, Invalid> {
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() <= 63 && name.chars().all(label) && !name.starts_with('-') && !name.ends_with('-') {
        Ok(Scope::Namespace(name.to_owned()))
    } else {
        Err(Invalid::Namespace(name.to_owned()))
    }
}

impl TryFrom<RunArgs> for Settings {
    type Error = Invalid;

    fn try_from(args: RunArgs) -> Result<Self, Invalid> {
        let address = args.pod_ip.map_or_else(String::new, |ip| ip.to_string());
        if args.agent_image.trim().is_empty() {
            return Err(Invalid::AgentImage);
        }
        let notice_url = match args.notice_url.filter(|url| !url.is_empty()) {
            None => None,
            Some(url) => Some(notice_origin(&url).ok_or(Invalid::NoticeUrl(url))?),
        };
        Ok(Self {
            scopes: args.place.scopes()?,
            namespace: args.place.namespace,
            identity: format!("{}_{address}", args.pod_name),
            listen: args.listen,
            notice_url,
            agent_image: args.agent_image,
            leader_election: args.leader_election,
            lease_name: args.lease_name,
            timing: Timing::default(),
        })
    }
}

mod url_origin {
    use http::Uri;

    /// `scheme://host[:port]` without a trailing slash, or none if it is something else.
    pub(super) fn notice_origin(url: &str) -> Option<String> {
        let uri: Uri = url.parse().ok()?;
        let plain = matches!(uri.scheme_str(), Some("http" | "https")) && matches!(uri.path(), "" | "/");
        (plain && uri.host().is_some()).then(|| url.trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(watch: &str) -> Result<Vec<Scope>, Invalid> {
        Place {
            namespace: "own".to_owned(),
            watch_namespaces: watch.to_owned(),
        }
        .scopes()
    }

    #[test]
    fn the_own_namespace_is_watched_unless_others_are_named() {
        let named = |name: &str| Scope::Namespace(name.to_owned());
        assert_eq!(scopes(""), Ok(vec![named("own")]));
        assert_eq!(scopes("b, a,b"), Ok(vec![named("a"), named("b")]));
        assert_eq!(scopes("*"), Ok(vec![Scope::Cluster]));
        assert_eq!(scopes("a,*"), Err(Invalid::StarAmongNames));
        assert_eq!(scopes("A b"), Err(Invalid::Namespace("A b".to_owned())));
    }

    #[test]
    fn arguments_become_settings() {
        let cli = Cli::parse_from([
            "longshore-operator",
            "run",
            "--namespace",
            "ls",
            "--pod-name",
            "op-1",
            "--pod-ip",
            "10.0.0.1",
            "--agent-image",
            "agent:1",
            "--notice-url",
            "http://op.ls.svc:7412/",
            "--leader-election",
            "false",
        ]);
        let Command::Run(args) = cli.command else {
            panic!("run is a command")
        };
        let settings = Settings::try_from(args).unwrap();
        assert_eq!(settings.identity, "op-1_10.0.0.1");
        assert_eq!(settings.notice_url.as_deref(), Some("http://op.ls.svc:7412"));
        assert!(!settings.leader_election);
    }
}
