//! `GET` and `DELETE /v1/files/{id}`: a file that the agent has sent, and that it was taken.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::control::ask;
use super::{Api, ApiError};
use crate::lifecycle::Command;

type Id = Result<Path<Uuid>, PathRejection>;

fn no_file() -> ApiError {
    ApiError::not_found("There is no such file, or it was taken.")
}

pub async fn content(State(api): State<Arc<Api>>, id: Id) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| no_file())?;
    let outgoing = api.volume.outgoing();
    let opened = tokio::task::spawn_blocking(move || {
        let file = outgoing.open(id)?;
        let size = file.metadata()?.len();
        Ok::<_, std::io::Error>((file, size))
    });
    let opened = opened.await.map_err(|error| ApiError::unavailable(error.to_string()))?;
    let (file, size) = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => no_file(),
        _ => ApiError::unavailable(format!("The file cannot be read: {error}.")),
    })?;
    let headers = [
        (CONTENT_LENGTH, size.to_string()),
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
    ];
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    Ok((headers, body).into_response())
}

pub async fn taken(State(api): State<Arc<Api>>, id: Id) -> Result<StatusCode, ApiError> {
    let Path(id) = id.map_err(|_| no_file())?;
    ask(&api, |reply| Command::FileTaken { id, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}
