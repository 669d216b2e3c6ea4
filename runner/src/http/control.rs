//! The routes that steer: acknowledge, interrupt, decide, settings, warn, quiesce, result.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use longshore_wire::api::{Ack, Decision, Interrupt, Interrupted, Quiesce, Settings, TaskResult, Warn};
use tokio::sync::oneshot;

use super::problem::{Body, BodyOrDefault};
use super::{Api, ApiError};
use crate::lifecycle::Command;
use crate::turn::Unset;

/// How long claude may take to answer a request of ours.
const CLAUDE: Duration = Duration::from_secs(20);

/// Sends a command and waits for its reply.
pub(super) async fn ask<T>(api: &Api, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ApiError> {
    api.journal().await?;
    let (reply, answer) = oneshot::channel();
    api.commands.send(command(reply)).await.map_err(|_| api.gone())?;
    match tokio::time::timeout(CLAUDE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(api.gone()),
        Err(_) => Err(ApiError::unavailable("claude does not answer. Try again in a moment.")),
    }
}

pub async fn ack(State(api): State<Arc<Api>>, Body(Ack { seq }): Body<Ack>) -> Result<StatusCode, ApiError> {
    ask(&api, |reply| Command::Ack { seq, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn interrupt(
    State(api): State<Arc<Api>>,
    BodyOrDefault(Interrupt { cancel_queued }): BodyOrDefault<Interrupt>,
) -> Result<Json<Interrupted>, ApiError> {
    ask(&api, |reply| Command::Interrupt { cancel_queued, reply })
        .await
        .map(Json)
}

pub async fn decide(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Body(decision): Body<Decision>,
) -> Result<StatusCode, ApiError> {
    ask(&api, |reply| Command::Decide { id, decision, reply }).await??;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn settings(State(api): State<Arc<Api>>, Body(settings): Body<Settings>) -> Result<StatusCode, ApiError> {
    if settings == Settings::default() {
        return Err(ApiError::invalid("Name a `model` or a `permissionMode`."));
    }
    let answer = ask(&api, |reply| Command::Settings { settings, reply }).await?;
    answer.map_err(|unset| match unset {
        Unset::NotRunning => ApiError::unavailable("claude is not running right now. Try again in a moment."),
        Unset::Refused(why) => ApiError::invalid(why),
    })?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn quiesce(State(api): State<Arc<Api>>, Body(quiesce): Body<Quiesce>) -> Result<StatusCode, ApiError> {
    ask(&api, |reply| Command::Quiesce { quiesce, reply }).await??;
    Ok(StatusCode::ACCEPTED)
}

pub async fn warn(State(api): State<Arc<Api>>, Body(warn): Body<Warn>) -> Result<StatusCode, ApiError> {
    ask(&api, |reply| Command::Warn { warn, reply }).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn result(State(api): State<Arc<Api>>) -> Result<Json<TaskResult>, ApiError> {
    let result = api.snapshot.borrow().result.clone();
    result
        .map(Json)
        .ok_or_else(|| ApiError::not_found("There is no result yet."))
}
