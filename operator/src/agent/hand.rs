//! Giving a message to a runner, by somebody who must know whether it stands in the journal before it does anything else with it.

use longshore_wire::api::PostMessage;
use secrecy::SecretString;
use uuid::Uuid;

use super::runner::{CallError, Dialer};

/// What became of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It stands in the journal.
    Taken,
    /// It does not, and this runner takes nothing more.
    WindsDown,
    /// It may or may not. It can be given again: the same id is taken once.
    Unknown(String),
}

/// Gives the message to the runner of the object with this UID.
pub async fn hand(
    dialer: &Dialer,
    endpoint: &str,
    tokens: &[SecretString],
    uid: Uuid,
    message: &PostMessage,
) -> Handed {
    let runner = dialer.runner(endpoint, tokens);
    let posted = match runner.status().await {
        Ok(status) if status.uid == uid => runner.post(message).await,
        Ok(status) => Err(CallError::SomebodyElse(status.uid)),
        Err(error) => Err(error),
    };
    match posted {
        Ok(()) => Handed::Taken,
        // A runner that has the message says so also when it takes no other. Any other refusal may come after it was written down.
        Err(CallError::Refused { kind, .. }) if matches!(kind.as_str(), "Quiescing" | "Ended") => Handed::WindsDown,
        Err(error) => Handed::Unknown(error.to_string()),
    }
}
