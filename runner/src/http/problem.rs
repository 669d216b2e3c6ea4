//! Errors as people and programs get them: a status, a `Problem`, and when to come back.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use longshore_wire::api::{MAX_FILES_BYTES, MAX_MESSAGE_BYTES, Problem};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Seconds until a refused caller should come back.
const COME_BACK: u16 = 1;
/// What is read and thrown away of a body that is too large, and for how long, so that its sender gets to the answer: one
/// that is cut off while it still sends sees a broken connection instead.
const THROWN_AWAY: usize = 16 << 20;
const THROWING: Duration = Duration::from_secs(5);

/// An error of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    problem: Problem,
    come_back: bool,
}

impl ApiError {
    fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem {
                error: error.to_owned(),
                message: message.into(),
            },
            come_back: false,
        }
    }

    fn later(self) -> Self {
        Self {
            come_back: true,
            ..self
        }
    }

    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// The route exists for another method.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "This route does not serve this method.",
        )
    }

    /// No or a wrong token.
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Unauthorized",
            "A bearer token of this topic is required.",
        )
    }

    /// The body is too large.
    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TooLarge",
            "The message is larger than 1 MiB. Send big things as a file in the workspace.",
        )
    }

    /// The files are too large.
    pub fn files_too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TooLarge",
            "The files of a message may have 20 MiB together. Put larger ones where claude can fetch them.",
        )
    }

    /// Too many messages wait.
    pub fn queue_full(limit: usize) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "QueueFull",
            format!("{limit} messages wait already. Try again when some are answered."),
        )
        .later()
    }

    /// The journal is not open yet.
    pub fn starting() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Starting",
            "The runner is starting. Try again in a moment.",
        )
        .later()
    }

    /// Winding down.
    pub fn quiescing() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Quiescing",
            "The agent is winding down and takes no messages.",
        )
        .later()
    }

    /// Wound down.
    pub fn ended() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "Ended",
            "The agent has ended and takes no messages.",
        )
    }

    /// Not idle any more.
    pub fn active() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "Active",
            "The agent is busy, or somebody has done something since. It is not wound down.",
        )
    }

    /// Something outside failed; trying again may help.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", message).later()
    }

    /// Something failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        if self.come_back {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(COME_BACK));
        }
        response
    }
}

/// Largest body of a message with its files, which are written as base64.
const WITH_FILES: usize = MAX_MESSAGE_BYTES + MAX_FILES_BYTES / 3 * 4 + 4;

/// A JSON body with files: at most [`WITH_FILES`], refused as a `Problem`. What it holds is checked by whoever takes it.
pub struct BodyWithFiles<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for BodyWithFiles<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request, WITH_FILES, ApiError::files_too_large).await?;
        parsed(&bytes).map(Self)
    }
}

/// A JSON body of at most [`MAX_MESSAGE_BYTES`], refused as a `Problem`. The content type does not matter.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request, MAX_MESSAGE_BYTES, ApiError::too_large).await?;
        parsed(&bytes).map(Self)
    }
}

/// A [`Body`] that may be left out.
pub struct BodyOrDefault<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for BodyOrDefault<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request, MAX_MESSAGE_BYTES, ApiError::too_large).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parsed(&bytes).map(Self)
    }
}

/// The whole body, as far as it is small enough.
async fn read(request: Request, limit: usize, too_large: fn() -> ApiError) -> Result<Vec<u8>, ApiError> {
    let mut body = request.into_body().into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "Invalid", error.to_string()))?;
        if bytes.len() + chunk.len() > limit {
            let mut left = THROWN_AWAY;
            let throwing = async {
                while let Some(Ok(chunk)) = body.next().await {
                    left = left.saturating_sub(chunk.len());
                    if left == 0 {
                        return;
                    }
                }
            };
            // Whoever is not done by then is cut off.
            let _ = timeout(THROWING, throwing).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    match Json::<T>::from_bytes(bytes) {
        Ok(Json(body)) => Ok(body),
        Err(rejection) => Err(ApiError::new(rejection.status(), "Invalid", rejection.body_text())),
    }
}

/// A query, refused as a `Problem`.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|query| Self(query.0))
            .map_err(|rejection: QueryRejection| ApiError::invalid(rejection.body_text()))
    }
}
