//! Voice messages as text, by whatever the operator of the installation has plugged in: a command or an endpoint. Off by default.
//!
//! Owns how that is asked, and its bounds in time and size; knows no chat and no store. Fails with [`NotTranscribed`], whose
//! words a person may read: they hold no secret and nothing that the command or endpoint said.

mod command;
mod endpoint;

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// Longest transcript, in bytes.
const TRANSCRIPT: usize = 48 * 1024;

/// What is plugged in.
#[derive(Clone, Debug)]
pub enum Plugged {
    /// A program and its arguments.
    Command(Vec<String>),
    /// An endpoint that speaks OpenAI's API for transcriptions.
    Endpoint {
        /// Whole address, such as `http://whisper:8000/v1/audio/transcriptions`.
        url: Url,
        /// `model`, where one must be named.
        model: Option<String>,
        /// Sent as bearer token.
        token: Option<SecretString>,
    },
}

/// Asks what is plugged in.
#[derive(Clone, Debug)]
pub struct Transcriber {
    /// What is plugged in.
    pub by: Plugged,
    /// How long one recording may take.
    pub at_most: Duration,
}

/// Why there is no transcript.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTranscribed {
    /// It took too long.
    #[error("it took longer than {0} s")]
    TooSlow(u64),
    /// The command cannot be started.
    #[error("the command for it cannot be started")]
    NotStarted,
    /// The command failed.
    #[error("the command for it failed{}", .0.map(|code| format!(" with exit code {code}")).unwrap_or_default())]
    Failed(Option<i32>),
    /// The endpoint does not answer.
    #[error("the endpoint for it does not answer")]
    Unreachable,
    /// The endpoint refuses.
    #[error("the endpoint for it answered {0}")]
    Refused(u16),
    /// The answer is no transcript.
    #[error("what came back is no transcript")]
    NotUnderstood,
    /// There is more text than can be handed on.
    #[error("the transcript is too long")]
    TooLong,
    /// Nothing was said, or nothing was understood.
    #[error("no words were found in it")]
    Silent,
}

impl Transcriber {
    /// What is said in a recording.
    pub async fn text(&self, name: &str, audio: Vec<u8>) -> Result<String, NotTranscribed> {
        let asked = async {
            match &self.by {
                Plugged::Command(command) => command::text(command, name, audio).await,
                Plugged::Endpoint { url, model, token } => {
                    let endpoint = endpoint::Endpoint {
                        url,
                        model: model.as_deref(),
                        token: token.as_ref(),
                    };
                    endpoint.text(name, audio).await
                }
            }
        };
        let asked = tokio::time::timeout(self.at_most, asked).await;
        let text = asked.map_err(|_| NotTranscribed::TooSlow(self.at_most.as_secs()))??;
        match text.trim() {
            "" => Err(NotTranscribed::Silent),
            text => Ok(text.to_owned()),
        }
    }
}
