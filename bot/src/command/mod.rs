//! What the bot answers to its own commands that tell or change something, and carry nothing to claude.
//!
//! They overtake the lanes and wait for nobody: what a runner or the cluster does not say within a moment is left out.

mod history;
pub mod setting;
mod standing;

use std::time::Duration;

use longshore_crds::PersistentSession;
use longshore_wire::api::Status;

use crate::bot::Bot;
use crate::door;

pub use history::history;
pub use standing::{status, usage};

/// How long an answer may wait for a runner, and for the API server.
const MOMENT: Duration = Duration::from_secs(3);

/// What the runner of a session says, if it says something in time.
async fn ask(bot: &Bot, session: &PersistentSession) -> Option<Status> {
    let asked = async {
        for fresh in [false, true] {
            let door = door::of_session(bot, session, fresh).await?;
            match bot.runners.status(&door).await {
                Ok(status) => return Some(status),
                Err(crate::agent::RunnerError::Unauthorized) => {}
                Err(error) => {
                    tracing::debug!(%error, "a runner does not say how it is");
                    return None;
                }
            }
        }
        None
    };
    tokio::time::timeout(MOMENT, asked).await.ok().flatten()
}
