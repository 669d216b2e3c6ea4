//! The topic's repository in its workspace, before anything of claude runs.
//!
//! Messages are accepted meanwhile and wait. What fails is a problem of the agent: a session tries again for as long as it
//! lives, with growing pauses; a task tries a few times and then ends with an error. A workspace with files in it is left as
//! it is, and so is one whose clone cannot be looked at.

use std::time::Duration;

use longshore_wire::agent::AgentKind;
use longshore_wire::api::{AgentProblem, AgentProblemKind, RunnerState};
use longshore_wire::event::Event;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Agent, Parts};
use crate::git::{CloneError, Git};
use crate::repository::{Checkout, Lack, remove};
use crate::turn::Input;
use crate::volume::VolumeError;

/// How often a task tries.
const ATTEMPTS: u32 = 3;
/// The pause is this many times longer after each failure.
const GROWTH: u32 = 4;
/// The longest pause is this many times the first.
const LONGEST: u32 = 64;

/// The work of git, which ends when this is dropped.
#[derive(Debug)]
struct Cloning(JoinHandle<Result<Option<String>, NotCloned>>);

impl Drop for Cloning {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no clone.
#[derive(Debug, thiserror::Error)]
pub enum NotCloned {
    /// git.
    #[error(transparent)]
    Git(#[from] CloneError),
    /// The volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Not even the work could be done.
    #[error("the work failed: {0}")]
    Work(#[from] tokio::task::JoinError),
}

/// How far the repository is.
#[derive(Debug, Default)]
pub struct Repository {
    cloning: Option<Cloning>,
    /// When it is tried again.
    due: Option<Instant>,
    failures: u32,
    /// Why a task has given up.
    hopeless: Option<String>,
}

impl Repository {
    /// Stops.
    pub fn stop(&mut self) {
        self.cloning = None;
        self.due = None;
    }
}

/// Waits for git; never ready without it.
pub async fn done(repository: &mut Repository) -> Result<Option<String>, NotCloned> {
    let Some(Cloning(work)) = &mut repository.cloning else {
        return std::future::pending().await;
    };
    let outcome = work.await;
    repository.cloning = None;
    outcome?
}

impl Agent {
    /// Sees to the repository, then goes on to what comes before claude.
    pub(super) fn prepare_workspace(&mut self) {
        let Some(checkout) = checkout(&self.parts) else {
            return self.ask_whether_needed();
        };
        match checkout.lack() {
            Ok(Lack::Nothing) => self.ask_whether_needed(),
            Ok(Lack::OtherFiles) => self.leave_files(&checkout),
            Ok(Lack::Clone) => self.repository.cloning = Some(start(&self.parts, checkout)),
            Ok(Lack::Move) => self.place_clone(None),
            Err(error) => self.not_cloned(&error.into()),
        }
    }

    pub(super) fn clone_when_due(&mut self) {
        if self.repository.due.is_some_and(|due| due <= Instant::now()) {
            self.repository.due = None;
            self.prepare_workspace();
        }
    }

    fn leave_files(&mut self, checkout: &Checkout) {
        let message = format!(
            "The workspace has files already, so {} is not cloned into it. Move them away, or use another topic, to have it \
             cloned.",
            self.repository_name()
        );
        tracing::warn!(message);
        self.record(Event::Repository { message });
        if let Err(error) = checkout.take_note() {
            tracing::warn!(%error, "it will be told again");
        }
        self.ask_whether_needed();
    }

    /// git has ended.
    pub(super) fn cloned(&mut self, outcome: Result<Option<String>, NotCloned>) {
        match outcome {
            Ok(commit) => self.place_clone(commit.as_deref()),
            Err(error) => self.not_cloned(&error),
        }
    }

    /// Here, where attachments are saved as well, so that none comes in between.
    fn place_clone(&mut self, commit: Option<&str>) {
        let Some(checkout) = checkout(&self.parts) else { return };
        if let Err(error) = checkout.place() {
            return self.not_cloned(&error.into());
        }
        let at = commit.map_or(String::new(), |commit| format!(" (commit {commit})"));
        let message = format!("{} was cloned into the workspace{at}.", self.repository_name());
        tracing::info!(message);
        self.record(Event::Repository { message });
        self.repository.failures = 0;
        if self.state == RunnerState::Failed {
            self.state = RunnerState::Starting;
        }
        self.set_problem(None);
        self.ask_whether_needed();
    }

    fn not_cloned(&mut self, error: &NotCloned) {
        let flags = &self.parts.settings.flags;
        self.repository.failures += 1;
        let failures = self.repository.failures;
        let gives_up = self.parts.settings.agent.kind == AgentKind::Task && failures >= ATTEMPTS;
        let growth = GROWTH.saturating_pow(failures - 1).min(LONGEST);
        let pause = Duration::from_millis(flags.clone_pause_ms.into()) * growth;
        let advice = match error {
            NotCloned::Git(error) => error.advice(self.parts.settings.repository_login.as_ref()),
            NotCloned::Volume(_) | NotCloned::Work(_) => "Look at the topic's volume: its space and its permissions.",
        };
        let then = match (self.parts.settings.agent.kind, gives_up) {
            (AgentKind::Task, true) => "Then ask again.",
            (AgentKind::Task, false) => "It is tried again.",
            (AgentKind::Session, _) => {
                "It is tried again; a correction takes effect once the session was suspended and resumed."
            }
        };
        let message = format!("{} cannot be cloned: {error}. {advice} {then}", self.repository_name());
        tracing::warn!(failures, message, "the workspace lacks its repository");
        if gives_up {
            self.repository.hopeless = Some(message.clone());
        } else {
            self.repository.due = Some(Instant::now() + pause);
        }
        self.state = RunnerState::Failed;
        self.set_problem(Some(AgentProblem {
            kind: AgentProblemKind::RepositoryCloneFailed,
            message,
        }));
    }

    /// Ends what is asked of a task whose workspace will not have its repository.
    pub(super) fn refuse_without_repository(&mut self) {
        if let Some(why) = &self.repository.hopeless
            && !self.machine.unfinished().is_empty()
        {
            let why = why.clone();
            self.step(Input::NoRepository { why });
        }
    }

    fn repository_name(&self) -> String {
        let Some(repository) = &self.parts.settings.agent.repository else {
            return String::new();
        };
        match &repository.reference {
            Some(reference) => format!("{} at {reference}", repository.url),
            None => repository.url.clone(),
        }
    }
}

fn checkout(parts: &Parts) -> Option<Checkout> {
    let repository = parts.settings.agent.repository.as_ref()?;
    let volume = &parts.volume;
    Some(Checkout::new(volume.workspace(), volume.repository(), repository))
}

/// Begins to clone.
fn start(parts: &Parts, checkout: Checkout) -> Cloning {
    let settings = parts.settings.clone();
    let git = Git {
        reaper: parts.reaper.clone(),
        login: settings.repository_login.clone(),
        proxies: settings.proxies.clone(),
        tmp: settings.flags.tmp.clone(),
        patience: Duration::from_millis(settings.flags.clone_ms.into()),
    };
    Cloning(tokio::spawn(async move {
        let Some(repository) = &settings.agent.repository else {
            return Ok(None);
        };
        let places = checkout.clone();
        let target = tokio::task::spawn_blocking(move || places.begin()).await??;
        tracing::info!(url = repository.url, "cloning");
        let done = git.clone(repository, &target).await;
        let ended = tokio::task::spawn_blocking(move || match done {
            Ok(commit) => {
                checkout.finish(&target)?;
                Ok(commit)
            }
            Err(error) => {
                // It may have filled the volume.
                remove(&target)?;
                Err(error.into())
            }
        });
        ended.await?
    }))
}
