//! Documents: sent as an upload or by id, and looked up for download.

use serde_json::json;

use super::{Call, messages};
use crate::{
    entities::{Formatted, MAX_CAPTION},
    error::{ApiError, ApiResult},
    world::Body,
};

/// What a bot may download.
const MAX_DOWNLOAD: usize = 20 << 20;

pub fn send_document(call: &mut Call<'_>) -> ApiResult {
    let caption = Formatted::from_params(call.params, "caption", "caption_entities")?;
    if caption.units() > MAX_CAPTION {
        return Err(ApiError::bad_request("message caption is too long"));
    }
    // Refusals come before the upload is kept.
    let chat_id = call.chat_id()?;
    call.world.chat(chat_id)?.writable(call.thread())?;
    let file_id = match call.params.text("document") {
        Some(id) if call.world.files.contains_key(&id) => id,
        Some(reference) => match reference.strip_prefix("attach://") {
            Some(name) => upload(call, name)?,
            None => return Err(ApiError::bad_request("wrong file identifier/HTTP URL specified")),
        },
        None => upload(call, "document")?,
    };
    messages::send(call, Body::Document { file_id, caption })
}

fn upload(call: &mut Call<'_>, field: &str) -> Result<String, ApiError> {
    let missing = || ApiError::bad_request("there is no document in the request");
    let upload = call.params.files.get(field).ok_or_else(missing)?;
    if upload.bytes.is_empty() {
        return Err(ApiError::bad_request("file must be non-empty"));
    }
    Ok(call
        .world
        .add_file(&upload.name, upload.mime.as_deref(), upload.bytes.clone()))
}

pub fn get_file(call: &mut Call<'_>) -> ApiResult {
    let id = call.params.text("file_id").unwrap_or_default();
    let file = call
        .world
        .files
        .get(&id)
        .ok_or_else(|| ApiError::bad_request("invalid file_id"))?;
    if file.bytes.len() > MAX_DOWNLOAD {
        return Err(ApiError::bad_request("file is too big"));
    }
    Ok(json!({
        "file_id": file.id, "file_unique_id": file.unique_id, "file_size": file.bytes.len(), "file_path": file.path,
    }))
}
