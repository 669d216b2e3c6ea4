//! What a person tells the runner, in order, while its events go on coming.
//!
//! A message is posted until it is taken or refused: its id makes every further post harmless. Decisions and interruptions are
//! tried once; the person sees whether they worked.

use std::time::Duration;

use longshore_wire::api::{Decision, PostMessage};
use tokio::sync::{mpsc, watch};

use crate::runner::{Runner, RunnerError};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Beginning of the note about a message that was refused.
pub const NOT_SENT: &str = "not sent";

/// One thing to tell the runner.
#[derive(Clone, Debug)]
pub enum Errand {
    /// A message.
    Say(PostMessage),
    /// An answer to a prompt.
    Decide {
        /// The prompt's id.
        id: String,
        /// The answer.
        decision: Decision,
    },
    /// Stop the turn, and drop what waits.
    Stop,
}

/// The way to tell it, and what becomes of it.
pub struct Errands {
    sender: mpsc::UnboundedSender<Errand>,
    /// What the person should know.
    pub notes: mpsc::UnboundedReceiver<String>,
    /// Errands that are not done yet.
    pub waiting: watch::Receiver<usize>,
    count: watch::Sender<usize>,
}

impl Errands {
    /// Starts to run errands.
    pub fn start(runner: Runner) -> Self {
        let (sender, mut errands) = mpsc::unbounded_channel();
        let (noter, notes) = mpsc::unbounded_channel();
        let (count, waiting) = watch::channel(0);
        let done = count.clone();
        tokio::spawn(async move {
            while let Some(errand) = errands.recv().await {
                tokio::select! {
                    () = noter.closed() => return,
                    () = run(&runner, errand, &noter) => {}
                }
                done.send_modify(|count| *count -= 1);
            }
        });
        Self {
            sender,
            notes,
            waiting,
            count,
        }
    }

    /// Adds one.
    pub fn add(&self, errand: Errand) {
        self.count.send_modify(|count| *count += 1);
        // The task ends with this object only.
        let _ = self.sender.send(errand);
    }
}

async fn run(runner: &Runner, errand: Errand, notes: &mpsc::UnboundedSender<String>) {
    let note = |text: String| {
        // Nobody listens any more: nobody needs to know.
        let _ = notes.send(text);
    };
    match errand {
        Errand::Say(message) => {
            if let Err(error) = say(runner, &message, &note).await {
                note(format!("{NOT_SENT}: {error}"));
            }
        }
        Errand::Decide { id, decision } => {
            if let Err(error) = runner.decide(&id, &decision).await {
                note(format!("not answered: {error}"));
            }
        }
        Errand::Stop => match runner.interrupt().await {
            Ok(done) if done.stopped.is_empty() && done.cancelled.is_empty() => note("nothing runs".to_owned()),
            Ok(done) if done.cancelled.is_empty() => note("stopped".to_owned()),
            Ok(done) => note(format!(
                "stopped; {} waiting messages were dropped",
                done.cancelled.len()
            )),
            Err(error) => note(format!("not stopped: {error}")),
        },
    }
}

async fn say(runner: &Runner, message: &PostMessage, note: &impl Fn(String)) -> Result<(), RunnerError> {
    let (mut pause, mut told) = (FIRST_PAUSE, false);
    loop {
        let wait = match runner.post(message).await {
            Ok(_) if told => {
                note("sent now".to_owned());
                return Ok(());
            }
            Ok(_) => return Ok(()),
            Err(RunnerError::Busy { after, message }) => (after.max(pause), message),
            Err(error @ (RunnerError::Unreachable(_) | RunnerError::Silent(_))) => (pause, error.to_string()),
            Err(error) => return Err(error),
        };
        if !told && pause > FIRST_PAUSE {
            told = true;
            note(format!("still trying to send: {}", wait.1));
        }
        tokio::time::sleep(wait.0).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
