//! The edge to the runners: posting messages, following events, answering prompts.
//!
//! Owns HTTP and the event stream; knows an endpoint and tokens, nothing of Kubernetes, Telegram or the store. Fails with
//! [`RunnerError`], whose variants are what a caller can do next. Above all it tells a refusal, after which the message
//! was certainly not taken, from silence, after which it may have been.

use std::time::Duration;

use axum::body::Bytes;
use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use longshore_wire::api::{
    Ack, Decision, Interrupt, Interrupted, MessageAccepted, PostMessage, Problem, Settings, Status,
};
pub use longshore_wire::event::Heard;
use reqwest::{Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A stream that says nothing for so long is broken; runners send a comment far more often.
pub const STREAM_SILENCE: Duration = Duration::from_secs(90);

/// Why a runner did not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// No answer: it may or may not have happened.
    #[error("the runner does not answer: {0}")]
    Silent(String),
    /// Nobody listens at the address: it did not happen.
    #[error("the runner cannot be reached: {0}")]
    Unreachable(String),
    /// Not now; try again after this long.
    #[error("the runner is busy: {message}")]
    Busy {
        /// How long to wait.
        after: Duration,
        /// Its own words.
        message: String,
    },
    /// It is winding down, to be suspended or ended, and takes nothing more.
    #[error("the runner is winding down")]
    WindingDown,
    /// It has wound down.
    #[error("the runner has ended")]
    Ended,
    /// All tokens were refused.
    #[error("the runner refuses the topic token")]
    Unauthorized,
    /// There is no such thing.
    #[error("the runner knows no such thing")]
    NotFound,
    /// It will never be accepted.
    #[error("{0}")]
    Refused(String),
}

/// Client for runners.
#[derive(Clone, Debug)]
pub struct Runners {
    http: reqwest::Client,
}

/// One runner and what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// `host:port`.
    pub endpoint: String,
    /// Tokens, the likelier one first.
    pub tokens: Vec<String>,
}

impl Runners {
    /// A client.
    pub fn new() -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .no_proxy()
                .build()?,
        })
    }

    /// Posts a message. Repeating one is harmless.
    pub async fn post(&self, door: &Door, message: &PostMessage) -> Result<MessageAccepted, RunnerError> {
        self.json(door, "/v1/messages", message).await
    }

    /// Everything up to `seq` is stored.
    pub async fn ack(&self, door: &Door, seq: u64) -> Result<(), RunnerError> {
        self.call(door, Method::POST, "/v1/ack", Some(&Ack { seq }), Some(CALL_TIMEOUT))
            .await
            .map(drop)
    }

    /// Stops the running turn, and with `cancel_queued` drops what waits for the next one.
    pub async fn interrupt(&self, door: &Door, cancel_queued: bool) -> Result<Interrupted, RunnerError> {
        self.json(door, "/v1/interrupt", &Interrupt { cancel_queued }).await
    }

    /// How the runner and its claude are.
    pub async fn status(&self, door: &Door) -> Result<Status, RunnerError> {
        let response = self
            .call::<()>(door, Method::GET, "/v1/status", None, Some(CALL_TIMEOUT))
            .await?;
        response.json().await.map_err(|error| silent(&error))
    }

    /// Changes the model or the permission mode. Repeating it is harmless.
    pub async fn set(&self, door: &Door, settings: &Settings) -> Result<(), RunnerError> {
        self.call(door, Method::POST, "/v1/settings", Some(settings), Some(CALL_TIMEOUT))
            .await
            .map(drop)
    }

    /// Answers a prompt or question.
    pub async fn decide(&self, door: &Door, approval: &str, decision: &Decision) -> Result<(), RunnerError> {
        let path = format!(
            "/v1/approvals/{}",
            url::form_urlencoded::byte_serialize(approval.as_bytes()).collect::<String>()
        );
        self.call(door, Method::POST, &path, Some(decision), Some(CALL_TIMEOUT))
            .await
            .map(drop)
    }

    /// Follows the events after `after`. The stream ends when the connection does or when it is silent for too long.
    pub async fn events(
        &self,
        door: &Door,
        after: u64,
    ) -> Result<impl Stream<Item = Heard> + Send + use<>, RunnerError> {
        let path = format!("/v1/events?after={after}&client=bot");
        let response = self.call::<()>(door, Method::GET, &path, None, None).await?;
        // The silence is measured on the bytes: the comments that keep the stream alive are no events.
        let bytes = tokio_stream::StreamExt::timeout(response.bytes_stream(), STREAM_SILENCE)
            .take_while(|bytes| std::future::ready(matches!(bytes, Ok(Ok(_)))))
            .filter_map(|bytes| std::future::ready(bytes.ok()));
        let events = Box::pin(bytes).eventsource();
        Ok(events
            .take_while(|event| std::future::ready(event.is_ok()))
            .filter_map(|event| std::future::ready(event.ok().and_then(|event| Heard::read(&event.data)))))
    }

    /// The content of a file that the agent has sent, piece by piece. It ends with an error if it is silent for too long.
    pub async fn file(
        &self,
        door: &Door,
        id: Uuid,
    ) -> Result<impl Stream<Item = Result<Bytes, RunnerError>> + Send + use<>, RunnerError> {
        let path = format!("/v1/files/{id}");
        let call = tokio::time::timeout(CALL_TIMEOUT, self.call::<()>(door, Method::GET, &path, None, None));
        let late = || RunnerError::Silent("the file did not come".to_owned());
        let response = call.await.map_err(|_| late())??;
        let bytes = tokio_stream::StreamExt::timeout(response.bytes_stream(), CALL_TIMEOUT);
        Ok(bytes.map(|bytes| match bytes {
            Ok(bytes) => bytes.map_err(|error| silent(&error)),
            Err(_) => Err(RunnerError::Silent("the file stopped coming".to_owned())),
        }))
    }

    /// A file that the agent has sent is kept elsewhere now.
    pub async fn file_taken(&self, door: &Door, id: Uuid) -> Result<(), RunnerError> {
        let path = format!("/v1/files/{id}");
        let call = self.call::<()>(door, Method::DELETE, &path, None, Some(CALL_TIMEOUT));
        call.await.map(drop)
    }

    async fn json<T: DeserializeOwned>(
        &self,
        door: &Door,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RunnerError> {
        let response = self
            .call(door, Method::POST, path, Some(body), Some(CALL_TIMEOUT))
            .await?;
        response.json().await.map_err(|error| silent(&error))
    }

    async fn call<B: Serialize + ?Sized>(
        &self,
        door: &Door,
        method: Method,
        path: &str,
        body: Option<&B>,
        timeout: Option<Duration>,
    ) -> Result<reqwest::Response, RunnerError> {
        let url = format!("http://{}{path}", door.endpoint);
        for token in &door.tokens {
            let mut request = self.http.request(method.clone(), &url).bearer_auth(token);
            if let Some(timeout) = timeout {
                request = request.timeout(timeout);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let sent = request.send().await;
            let response = sent.map_err(|error| match error.is_connect() {
                true => RunnerError::Unreachable(cause(&error)),
                false => silent(&error),
            })?;
            match response.status() {
                StatusCode::UNAUTHORIZED => {}
                status if status.is_success() => return Ok(response),
                _ => return Err(refusal(response).await),
            }
        }
        Err(RunnerError::Unauthorized)
    }
}

fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        text = next.to_string();
        source = next.source();
    }
    text
}

fn silent(error: &reqwest::Error) -> RunnerError {
    RunnerError::Silent(cause(error))
}

async fn refusal(response: reqwest::Response) -> RunnerError {
    let status = response.status();
    let after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or(Duration::from_secs(1), Duration::from_secs);
    let (kind, message) = match response.json::<Problem>().await {
        Ok(problem) => (problem.error, problem.message),
        Err(_) => (String::new(), format!("the runner answered {status}")),
    };
    match status {
        StatusCode::SERVICE_UNAVAILABLE if kind == "Quiescing" => RunnerError::WindingDown,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => RunnerError::Busy { after, message },
        StatusCode::CONFLICT => RunnerError::Ended,
        StatusCode::NOT_FOUND => RunnerError::NotFound,
        status if status.is_server_error() => RunnerError::Silent(message),
        _ => RunnerError::Refused(message),
    }
}
