//! HTTP client of one runner: one connection per call, answers bounded in time and size.
//!
//! Tells a refusal, after which nothing happened, from silence, after which it may have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, BodyStream, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use longshore_wire::api::{Decision, Interrupt, Interrupted, MessageAccepted, PostMessage, Problem, Status};
use longshore_wire::event::{EventsClient, Heard};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::RwLock;

use crate::cluster::ClusterError;
use crate::way::{Way, WayError};

const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time to get the head of an answer; a stream has no end to wait for.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A stream that says nothing for so long is broken; runners send a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(50);
/// Largest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// Why a runner did not do something.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// There is no way to it, and there will be none.
    #[error(transparent)]
    Closed(ClusterError),
    /// It did not happen: there is no connection.
    #[error("the agent cannot be reached: {0}")]
    Unreachable(String),
    /// It may or may not have happened.
    #[error("the agent does not answer: {0}")]
    Silent(String),
    /// Not now.
    #[error("{message}")]
    Busy {
        /// When to try again.
        after: Duration,
        /// Its own words.
        message: String,
    },
    /// The session is over.
    #[error("the session has ended and takes no messages")]
    Ended,
    /// None of the tokens opens it.
    #[error(
        "the agent accepts none of the namespace's keys. If they were changed by hand since its pod started, `kubectl longshore suspend` and `resume` give it the new ones"
    )]
    Unauthorized,
    /// Never.
    #[error("{0}")]
    Refused(String),
}

/// One runner.
#[derive(Clone)]
pub struct Runner {
    way: Arc<dyn Way>,
    /// Tokens; the one that opened it last comes first.
    tokens: Arc<RwLock<Vec<String>>>,
}

impl Runner {
    /// A runner at the end of this way.
    pub fn new(way: Arc<dyn Way>) -> Self {
        Self {
            way,
            tokens: Arc::default(),
        }
    }

    /// Which instance stands there.
    pub async fn instance(&self) -> Option<String> {
        self.way.instance().await
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<Status, RunnerError> {
        self.json(Method::GET, "/v1/status", Bytes::new()).await
    }

    /// `POST /v1/messages`. Repeating one is harmless.
    pub async fn post(&self, message: &PostMessage) -> Result<MessageAccepted, RunnerError> {
        self.json(Method::POST, "/v1/messages", body(message)?).await
    }

    /// `POST /v1/interrupt`.
    pub async fn interrupt(&self) -> Result<Interrupted, RunnerError> {
        let everything = Interrupt { cancel_queued: true };
        self.json(Method::POST, "/v1/interrupt", body(&everything)?).await
    }

    /// `POST /v1/approvals/{id}`. Ids are claude's and need no escaping; others are refused.
    pub async fn decide(&self, approval: &str, decision: &Decision) -> Result<(), RunnerError> {
        if !approval
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || "-_.~".contains(one))
        {
            return Err(RunnerError::Refused(format!("{approval:?} is no id of a prompt")));
        }
        let path = format!("/v1/approvals/{approval}");
        within(CALL_TIMEOUT, self.call(Method::POST, &path, body(decision)?))
            .await
            .map(drop)
    }

    /// `GET /v1/events`: ends when the connection does, or when it is silent for too long.
    pub async fn events(&self, after: u64, client: EventsClient) -> Result<BoxStream<'static, Heard>, RunnerError> {
        let client = match client {
            EventsClient::Bot => "bot",
            EventsClient::Terminal => "terminal",
        };
        let path = format!("/v1/events?after={after}&client={client}");
        let response = within(HEAD_TIMEOUT, self.call(Method::GET, &path, Bytes::new())).await?;
        Ok(heard(response.into_body()).boxed())
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, RunnerError> {
        within(CALL_TIMEOUT, async {
            let response = self.call(method, path, body).await?;
            let answer = bounded(response.into_body()).await?;
            serde_json::from_slice(&answer)
                .map_err(|error| RunnerError::Silent(format!("its answer is not understood: {error}")))
        })
        .await
    }

    /// Tries all tokens, and once more with keys that are read anew: they may have been rotated.
    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, RunnerError> {
        let known = self.tokens.read().await.clone();
        if let Some(answer) = self.attempt(&known, &method, path, &body).await? {
            return Ok(answer);
        }
        let fresh = self.way.tokens().await.map_err(RunnerError::Closed)?;
        if fresh != known
            && let Some(answer) = self.attempt(&fresh, &method, path, &body).await?
        {
            return Ok(answer);
        }
        Err(RunnerError::Unauthorized)
    }

    async fn attempt(
        &self,
        tokens: &[String],
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Option<Response<Incoming>>, RunnerError> {
        for (place, token) in tokens.iter().enumerate() {
            let response = self.send(token, method, path, body).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                continue;
            }
            let mut order = tokens.to_vec();
            order.swap(0, place);
            *self.tokens.write().await = order;
            return match response.status() {
                status if status.is_success() => Ok(Some(response)),
                _ => Err(refusal(response).await),
            };
        }
        Ok(None)
    }

    async fn send(
        &self,
        token: &str,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Response<Incoming>, RunnerError> {
        let connection = self.way.open().await.map_err(|error| match error {
            WayError::Closed(error) => RunnerError::Closed(error),
            WayError::NotNow(why) => RunnerError::Unreachable(why),
        })?;
        let silent = |error: hyper::Error| RunnerError::Silent(cause(&error));
        let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await.map_err(silent)?;
        // It ends with the answer's body; its errors show there.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "runner")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))
            .map_err(|error| RunnerError::Refused(error.to_string()))?;
        sender.send_request(request).await.map_err(silent)
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, RunnerError>>) -> Result<T, RunnerError> {
    let answer = tokio::time::timeout(limit, call).await;
    answer.unwrap_or_else(|_| Err(RunnerError::Silent(format!("nothing came for {limit:?}"))))
}

fn body(value: &impl Serialize) -> Result<Bytes, RunnerError> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from)
        .map_err(|error| RunnerError::Refused(error.to_string()))
}

async fn bounded(body: Incoming) -> Result<Bytes, RunnerError> {
    let collected = Limited::new(body, MAX_ANSWER).collect().await;
    Ok(collected
        .map_err(|error| RunnerError::Silent(error.to_string()))?
        .to_bytes())
}

async fn refusal(response: Response<Incoming>) -> RunnerError {
    let status = response.status();
    let after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let problem = bounded(response.into_body()).await.ok();
    let problem = problem.and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
    let message = problem.map_or_else(|| format!("the agent answered {status}"), |problem| problem.message);
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => RunnerError::Busy {
            after: Duration::from_secs(after.unwrap_or(1)),
            message,
        },
        StatusCode::CONFLICT => RunnerError::Ended,
        status if status.is_server_error() => RunnerError::Silent(message),
        _ => RunnerError::Refused(message),
    }
}

fn heard(body: Incoming) -> impl Stream<Item = Heard> + Send {
    let bytes = futures::stream::unfold(BodyStream::new(body), async |mut body| {
        // The silence is measured on the bytes: the comments that keep the stream alive are no events.
        let frame = tokio::time::timeout(SILENCE, body.next()).await.ok()??.ok()?;
        Some((
            Ok::<_, std::convert::Infallible>(frame.into_data().unwrap_or_default()),
            body,
        ))
    });
    let events = bytes.boxed().eventsource();
    events
        .take_while(|event| std::future::ready(event.is_ok()))
        .filter_map(|event| std::future::ready(event.ok().and_then(|event| Heard::read(&event.data))))
}

fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text = format!("{text}: {next}");
        source = next.source();
    }
    text
}
