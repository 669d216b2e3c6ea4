//! Runs git to clone a repository, so that neither an agent of before nor the repository can do anything with it.
//!
//! git is given a clean environment: no configuration but the image's own, no templates, no hooks, no protocol but http and
//! https. The credential goes to git by its environment and from there, by git's own rules, to the server that the address
//! names and to no other; it is in no argument and no file. No claude runs meanwhile that could read the environment of
//! another process. Fails with [`CloneError`], whose text is bounded and has no credential in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use longshore_wire::agent::RepositoryConfig;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::timeout;
use url::Url;

use crate::claude::environment::PATH;
use crate::claude::reaper::{Exit, Group, Reaper};

/// What is kept of what git prints, in bytes; the end of it.
const PRINTED: usize = 8 * 1024;
/// Longest piece of it in an error, in bytes.
const TOLD: usize = 500;
/// A server that sends less than this many bytes a second for that many seconds is given up.
const SLOW: (&str, &str) = ("100", "120");
/// What git asks for a credential. It prints only what git's environment has.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$LONGSHORE_GIT_USERNAME\" \
                      \"$LONGSHORE_GIT_PASSWORD\"; }; f";
/// What is said to a server that wants a token and no certain name.
const ANYBODY: &str = "git";

/// The credential of a repository.
#[derive(Clone, Debug)]
pub struct Login {
    /// User name; none where the server does not mind.
    pub username: Option<SecretString>,
    /// Password or token.
    pub password: SecretString,
}

/// Why there is no clone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloneError {
    /// It could not be started.
    #[error("git cannot be started: {0}")]
    Start(String),
    /// It took too long.
    #[error("it is not finished after {0} s")]
    Timeout(u64),
    /// git gave up.
    #[error("{0}")]
    Git(String),
}

impl CloneError {
    /// What a person can do, one sentence.
    pub fn advice(&self, login: Option<&Login>) -> &'static str {
        let Self::Git(said) = self else {
            return match self {
                Self::Timeout(_) => "Set repository.depth of the Topic to 1, or look why the server is slow.",
                _ => "The agent's image must have git.",
            };
        };
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if says(&["Remote branch", "couldn't find remote ref", "not our ref"]) {
            "Correct repository.ref of the Topic."
        } else if says(&["could not read Username", "could not read Password"]) && login.is_none() {
            "Name a Secret with a credential in repository.secretRef of the Topic, or correct repository.url."
        } else if says(&["Authentication failed", "could not read", "error: 401", "error: 403"]) {
            "Correct the Secret that repository.secretRef of the Topic names."
        } else if says(&["not found", "error: 404"]) {
            "Correct repository.url of the Topic, or give it a credential that may read it."
        } else if says(&["Could not resolve", "unable to access", "Failed to connect"]) {
            "Correct repository.url of the Topic, or let the AgentClass's egress reach it."
        } else if says(&["No space left"]) {
            "Make room on the topic's volume."
        } else {
            "Correct repository of the Topic."
        }
    }
}

/// How git is run.
#[derive(Clone, Debug)]
pub struct Git {
    /// Waits for it.
    pub reaper: Reaper,
    /// The credential.
    pub login: Option<Login>,
    /// Variables that name proxies.
    pub proxies: Vec<(OsString, OsString)>,
    /// A writable folder for temporary files.
    pub tmp: PathBuf,
    /// All of it takes at most this long.
    pub patience: Duration,
}

impl Git {
    /// Clones into a folder that does not exist; returns the commit that is checked out, shortened, or none of an empty
    /// repository. Whoever stops waiting kills git.
    pub async fn clone(&self, repository: &RepositoryConfig, target: &Path) -> Result<Option<String>, CloneError> {
        match timeout(self.patience, self.all_steps(repository, target)).await {
            Ok(done) => done,
            Err(_) => Err(CloneError::Timeout(self.patience.as_secs())),
        }
    }

    async fn all_steps(&self, repository: &RepositoryConfig, target: &Path) -> Result<Option<String>, CloneError> {
        for step in steps(repository, target) {
            self.run(&repository.url, &step).await?;
        }
        let show = within(target, &["rev-parse", "--short", "--verify", "--quiet", "HEAD"]);
        let commit = self.run(&repository.url, &show).await.ok();
        Ok(commit.map(|commit| commit.trim().to_owned()))
    }

    async fn run(&self, url: &str, arguments: &[OsString]) -> Result<String, CloneError> {
        let missing = || CloneError::Start("a pipe is missing".to_owned());
        let start = |error: std::io::Error| CloneError::Start(error.to_string());
        let mut command = self.command(url, arguments);
        let (mut child, exit) = self.reaper.spawn(&mut command).map_err(start)?;
        let group = Group(child.id());
        let stdout = ChildStdout::from_std(child.stdout.take().ok_or_else(missing)?).map_err(start)?;
        let stderr = ChildStderr::from_std(child.stderr.take().ok_or_else(missing)?).map_err(start)?;
        let reading = async { tokio::join!(read(stdout), read(stderr)) };
        let waiting = async {
            let exit = exit.await.unwrap_or(Exit::Code(-1));
            // Whatever it left behind would keep the pipes open.
            drop(group);
            exit
        };
        let both = async { tokio::join!(reading, waiting) };
        let ((said, errors), exit) = both.await;
        match exit {
            Exit::Code(0) => Ok(said),
            exit => Err(CloneError::Git(self.told(&errors, exit))),
        }
    }

    fn command(&self, url: &str, arguments: &[OsString]) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new("git");
        command.args(arguments).current_dir("/").process_group(0).env_clear();
        command.envs(self.proxies.clone()).envs([
            ("PATH", PATH),
            // Files of an agent's HOME would change what git does, and whom curl gives the credential.
            ("HOME", "/nonexistent"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "http:https"),
            ("GIT_HTTP_LOW_SPEED_LIMIT", SLOW.0),
            ("GIT_HTTP_LOW_SPEED_TIME", SLOW.1),
            // Its sentences are looked at.
            ("LC_ALL", "C"),
        ]);
        command.env("TMPDIR", &self.tmp);
        let mut config = vec![
            ("credential.helper".to_owned(), ""),
            ("core.hooksPath".to_owned(), "/dev/null"),
            ("advice.detachedHead".to_owned(), "false"),
        ];
        if let (Some(login), Ok(url)) = (&self.login, Url::parse(url)) {
            let server = url.origin().ascii_serialization();
            config.push((format!("credential.{server}.helper"), HELPER));
            let username = login.username.as_ref().map_or(ANYBODY, |name| name.expose_secret());
            command.env("LONGSHORE_GIT_USERNAME", username);
            command.env("LONGSHORE_GIT_PASSWORD", login.password.expose_secret());
        }
        command.env("GIT_CONFIG_COUNT", config.len().to_string());
        for (at, (key, value)) in config.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What git said went wrong, in one line.
    fn told(&self, errors: &str, exit: Exit) -> String {
        let lines = || errors.lines().map(str::trim).filter(|line| !line.is_empty());
        let tells = |line: &&str| {
            ["fatal:", "error:", "remote:"]
                .iter()
                .any(|start| line.starts_with(start))
        };
        let mut told = lines().filter(tells).collect::<Vec<_>>().join(" ");
        if told.is_empty() {
            told = lines()
                .next_back()
                .map_or_else(|| format!("git ended with {exit}"), str::to_owned);
        }
        let mut told: String = told.chars().filter(|c| !c.is_control()).collect();
        // Before it is cut: half a secret is one, too.
        for secret in self.secrets() {
            told = told.replace(&secret, "***");
        }
        told.truncate(told.floor_char_boundary(TOLD));
        told
    }

    /// What must not be told, in the shapes that a server or git might repeat it in.
    fn secrets(&self) -> Vec<String> {
        use base64::Engine;
        let Some(login) = &self.login else { return Vec::new() };
        let password = login.password.expose_secret();
        let username = login.username.as_ref().map_or(ANYBODY, |name| name.expose_secret());
        let header = base64::prelude::BASE64_STANDARD.encode(format!("{username}:{password}"));
        let encoded: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
        let mut secrets = vec![header, encoded, password.to_owned()];
        if username != ANYBODY {
            // Some servers take a token for the name.
            secrets.push(username.to_owned());
        }
        secrets.retain(|secret| !secret.is_empty());
        secrets
    }
}

/// The calls of git that make a clone.
fn steps(repository: &RepositoryConfig, target: &Path) -> Vec<Vec<OsString>> {
    let depth = (repository.depth > 0).then(|| format!("--depth={}", repository.depth));
    let url = repository.url.as_str();
    if let Some(commit) = repository.reference.as_deref().filter(|name| is_commit(name)) {
        let mut init = words(&["init", "--quiet", "--template=", "--"]);
        init.push(target.into());
        let mut fetch = vec!["fetch", "--quiet"];
        fetch.extend(depth.as_deref());
        // Its branches, too, when all of the history is wanted.
        fetch.push("origin");
        fetch.extend(depth.is_none().then_some("+refs/heads/*:refs/remotes/origin/*"));
        fetch.push(commit);
        return vec![
            init,
            within(target, &["remote", "add", "--", "origin", url]),
            within(target, &fetch),
            within(target, &["checkout", "--quiet", "--detach", commit, "--"]),
        ];
    }
    let mut clone = words(&["clone", "--quiet", "--template="]);
    clone.extend(depth.map(OsString::from));
    clone.extend(
        repository
            .reference
            .iter()
            .map(|name| format!("--branch={name}").into()),
    );
    clone.extend(words(&["--", url]));
    clone.push(target.into());
    vec![clone]
}

/// Arguments of git in a folder.
fn within(folder: &Path, arguments: &[&str]) -> Vec<OsString> {
    let mut all = vec!["-C".into(), folder.into()];
    all.extend(words(arguments));
    all
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Whether a name is a whole commit id, of SHA-1 or SHA-256.
fn is_commit(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The end of what it prints.
async fn read(mut pipe: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut chunk) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..length]);
        if kept.len() > PRINTED {
            kept.drain(..kept.len() - PRINTED);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}
