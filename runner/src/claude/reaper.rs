//! PID 1 duties: every process that dies below us is waited for, ours and orphans alike.
//!
//! One place waits for all children, so that neither claude's exit status is lost nor a zombie stays. Children are
//! started through it, because a child that ends at once must already be known when it is reaped.

use std::collections::HashMap;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::processes::Processes;

/// Rounds of killing orphans: each may reparent the next generation to us.
const SWEEPS: u32 = 50;
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(Signal),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "{signal}"),
        }
    }
}

/// Kills a process group when it is dropped.
#[derive(Debug)]
pub struct Group(pub u32);

impl Drop for Group {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = killpg(Pid::from_raw(self.0.cast_signed()), Signal::SIGKILL);
    }
}

/// Waits for all children.
#[derive(Clone, Debug, Default)]
pub struct Reaper {
    children: Arc<Mutex<HashMap<i32, oneshot::Sender<Exit>>>>,
}

impl Reaper {
    /// Makes this process the parent of orphans and starts waiting. Needs a tokio runtime.
    pub fn start() -> std::io::Result<Self> {
        nix::sys::prctl::set_child_subreaper(true)?;
        let reaper = Self::default();
        let mut deaths = signal(SignalKind::child())?;
        let waiting = reaper.clone();
        tokio::spawn(async move {
            while deaths.recv().await.is_some() {
                waiting.reap();
            }
        });
        Ok(reaper)
    }

    /// Starts a child.
    pub fn spawn(&self, command: &mut Command) -> std::io::Result<(Child, oneshot::Receiver<Exit>)> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let (sender, exit) = oneshot::channel();
        children.insert(child.id().cast_signed(), sender);
        Ok((child, exit))
    }

    fn reap(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "children cannot be waited for");
                    return;
                }
            };
            if let Some(waiting) = children.remove(&pid.as_raw()) {
                // Nobody listens any more when the runner is on its way out.
                let _ = waiting.send(exit);
            }
        }
    }

    /// Kills every process that was orphaned to us: what a dead claude left behind. Call it only while none of our own
    /// children lives.
    pub async fn kill_orphans(&self) {
        for _ in 0..SWEEPS {
            let orphans = Processes::read().children(std::process::id().cast_signed());
            if orphans.is_empty() {
                return;
            }
            for orphan in orphans {
                // It may be gone by now.
                let _ = kill(Pid::from_raw(orphan), Signal::SIGKILL);
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        tracing::warn!("orphaned processes do not die");
    }
}
