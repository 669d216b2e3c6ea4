//! `POST /v1/messages`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use longshore_wire::api::{MAX_FILES_BYTES, MAX_MESSAGE_BYTES, MessageAccepted, PostMessage};
use tokio::sync::oneshot;

use super::problem::BodyWithFiles;
use super::{Api, ApiError};
use crate::lifecycle::{Command, Posted};

/// How long the disk may take before the caller is sent away. The message may be journalled all the same; posting it
/// again then finds it.
const DISK: Duration = Duration::from_secs(10);

pub async fn post(
    State(api): State<Arc<Api>>,
    BodyWithFiles(message): BodyWithFiles<PostMessage>,
) -> Result<(StatusCode, Json<MessageAccepted>), ApiError> {
    let journal = api.journal().await?;
    if message.text.trim().is_empty() && message.attachments.is_empty() {
        return Err(ApiError::invalid("The message has neither text nor a file."));
    }
    if message.text.len() > MAX_MESSAGE_BYTES {
        return Err(ApiError::too_large());
    }
    let files = message.attachments.iter().map(|file| {
        let content = BASE64_STANDARD.decode(&file.data);
        let content = content.map_err(|_| ApiError::invalid(format!("{:?} is not base64.", file.name)))?;
        Ok((file.name.clone(), content))
    });
    let files = files.collect::<Result<Vec<_>, ApiError>>()?;
    if files.iter().map(|(_, content)| content.len()).sum::<usize>() > MAX_FILES_BYTES {
        return Err(ApiError::files_too_large());
    }
    let id = message.id;
    let (reply, posted) = oneshot::channel();
    let command = Command::Post { message, files, reply };
    api.commands.send(command).await.map_err(|_| api.gone())?;
    let Posted { seq } = posted.await.map_err(|_| api.gone())??;
    match journal.wait_seq(seq, DISK).await {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(MessageAccepted { id, seq }))),
        Err(error) => Err(ApiError::unavailable(format!(
            "{error}. The message is not safe yet; post it again with the same id."
        ))),
    }
}
