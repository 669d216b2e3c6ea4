//! HTTP client of one runner.

use std::time::Duration;

use longshore_wire::api::{Ack, PostMessage, Problem, Quiesce, Status, TaskResult, Warn};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read. A result holds at most 64 KiB of text; JSON may make six bytes of one.
const MAX_ANSWER: usize = 1 << 20;

/// A call that did not work out.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the runner cannot be reached: {0}")]
    Unreachable(String),
    #[error("the runner refused with {status}: {problem}")]
    Refused {
        status: StatusCode,
        /// The problem's name, empty without one.
        kind: String,
        problem: String,
    },
    #[error("the runner does not accept the topic's token")]
    Unauthorized,
    #[error("the runner sent more than {MAX_ANSWER} bytes")]
    TooLarge,
    #[error("the runner's answer is not understood: {0}")]
    NotUnderstood(serde_json::Error),
    #[error("the runner works for another object, {0}")]
    SomebodyElse(Uuid),
}

/// Connections to runners.
#[derive(Clone)]
pub struct Dialer {
    http: reqwest::Client,
    /// Answers in place of the network.
    #[cfg(test)]
    stand_in: Option<StandIn>,
}

/// Runners of a simulation; no answer means that nobody can be reached.
#[cfg(test)]
pub type StandIn = std::sync::Arc<
    dyn Fn(reqwest::Request) -> futures::future::BoxFuture<'static, Option<http::Response<Vec<u8>>>> + Send + Sync,
>;

impl Dialer {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .build()?;
        Ok(Self {
            http,
            #[cfg(test)]
            stand_in: None,
        })
    }

    #[cfg(test)]
    pub fn with(mut self, stand_in: StandIn) -> Self {
        self.stand_in = Some(stand_in);
        self
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        #[cfg(test)]
        if let Some(stand_in) = &self.stand_in {
            let answer = stand_in(request.build().map_err(unreachable)?).await;
            let nobody = || CallError::Unreachable("nobody answers".to_owned());
            return answer.map(Response::from).ok_or_else(nobody);
        }
        request.send().await.map_err(unreachable)
    }

    /// The runner at `host:port`.
    pub fn runner<'a>(&'a self, endpoint: &'a str, tokens: &'a [SecretString]) -> Runner<'a> {
        Runner {
            dialer: self,
            endpoint,
            tokens,
        }
    }
}

/// One runner and the tokens that may open it, the newest first.
pub struct Runner<'a> {
    dialer: &'a Dialer,
    endpoint: &'a str,
    tokens: &'a [SecretString],
}

impl Runner<'_> {
    pub async fn status(&self) -> Result<Status, CallError> {
        understand(&self.call::<()>(Method::GET, "status", None).await?)
    }

    pub async fn post(&self, message: &PostMessage) -> Result<(), CallError> {
        self.call(Method::POST, "messages", Some(message)).await.map(drop)
    }

    pub async fn quiesce(&self, quiesce: &Quiesce) -> Result<(), CallError> {
        self.call(Method::POST, "quiesce", Some(quiesce)).await.map(drop)
    }

    pub async fn warn(&self, warning: &Warn) -> Result<(), CallError> {
        self.call(Method::POST, "warn", Some(warning)).await.map(drop)
    }

    /// None while the task runs.
    pub async fn result(&self) -> Result<Option<TaskResult>, CallError> {
        match self.call::<()>(Method::GET, "result", None).await {
            Ok(body) => understand(&body).map(Some),
            Err(CallError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub async fn ack(&self, seq: u64) -> Result<(), CallError> {
        self.call(Method::POST, "ack", Some(&Ack { seq })).await.map(drop)
    }

    async fn call<B: Serialize>(&self, method: Method, route: &str, body: Option<&B>) -> Result<Vec<u8>, CallError> {
        let url = format!("http://{}/v1/{route}", self.endpoint);
        for token in self.tokens {
            let mut request = self
                .dialer
                .http
                .request(method.clone(), &url)
                .bearer_auth(token.expose_secret());
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = self.dialer.send(request).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED {
                continue;
            }
            let answer = bounded(response).await?;
            return if status.is_success() {
                Ok(answer)
            } else {
                Err(refused(status, &answer))
            };
        }
        Err(CallError::Unauthorized)
    }
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, CallError> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if answer.len() + chunk.len() > MAX_ANSWER {
            return Err(CallError::TooLarge);
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// Without the URL, whose address says nothing to a person and changes with every pod.
fn unreachable(error: reqwest::Error) -> CallError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    CallError::Unreachable(text)
}

fn understand<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(CallError::NotUnderstood)
}

fn refused(status: StatusCode, body: &[u8]) -> CallError {
    let problem = serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| Problem {
        error: String::new(),
        message: "no reason given".to_owned(),
    });
    CallError::Refused {
        status,
        kind: crate::conditions::truncate(&problem.error, 60),
        problem: crate::conditions::truncate(&problem.message, 300),
    }
}
