//! Files: sent as an upload or by id, alone or as an album, and looked up for download.

use serde_json::{Value, json};

use super::{Call, messages};
use crate::{
    entities::{Formatted, MAX_CAPTION},
    error::{ApiError, ApiResult},
    params::Params,
    world::{Body, FileKind},
};

/// What a bot may download.
const MAX_DOWNLOAD: usize = 20 << 20;
const MAX_PHOTO: usize = 10 << 20;

pub fn send_document(call: &mut Call<'_>) -> ApiResult {
    send_file(call, FileKind::Document)
}

pub fn send_photo(call: &mut Call<'_>) -> ApiResult {
    send_file(call, FileKind::Photo)
}

pub fn send_voice(call: &mut Call<'_>) -> ApiResult {
    send_file(call, FileKind::Voice)
}

pub fn send_audio(call: &mut Call<'_>) -> ApiResult {
    send_file(call, FileKind::Audio)
}

pub fn send_video(call: &mut Call<'_>) -> ApiResult {
    send_file(call, FileKind::Video)
}

pub fn send_animation(call: &mut Call<'_>) -> ApiResult {
    send_file(call, FileKind::Animation)
}

fn send_file(call: &mut Call<'_>, kind: FileKind) -> ApiResult {
    let caption = caption(call.params)?;
    // Refusals come before the upload is kept.
    may_send(call, kind)?;
    let reference = call.params.text(kind.field());
    let file_id = file(call, kind, reference.as_deref())?;
    messages::send(call, Body::File { kind, file_id, caption })
}

fn caption(params: &Params) -> Result<Formatted, ApiError> {
    let caption = Formatted::from_params(params, "caption", "caption_entities")?;
    if caption.units() > MAX_CAPTION {
        return Err(ApiError::bad_request("message caption is too long"));
    }
    Ok(caption)
}

fn may_send(call: &Call<'_>, kind: FileKind) -> Result<(), ApiError> {
    let chat = call.world.chat(call.chat_id()?)?;
    chat.writable(call.thread())?;
    chat.takes_files(kind.plural())
}

/// Two to ten photos and videos, or documents, or audios, that people see as one.
pub fn send_media_group(call: &mut Call<'_>) -> ApiResult {
    let media = call.params.json("media")?.unwrap_or_default();
    let media = media.as_array().cloned().unwrap_or_default();
    if !(2..=10).contains(&media.len()) {
        return Err(ApiError::bad_request(
            "group send failed: Wrong number of messages in the album",
        ));
    }
    let mut bodies = Vec::new();
    for item in &media {
        let kind: FileKind = serde_json::from_value(item["type"].clone())
            .map_err(|_| ApiError::bad_request("can't parse InputMedia: type must be non-empty"))?;
        may_send(call, kind)?;
        let caption = caption(&Params::of(item.clone()))?;
        let file_id = file(call, kind, item["media"].as_str())?;
        bodies.push(Body::File { kind, file_id, caption });
    }
    let is_visual = |body: &Body| {
        matches!(
            body,
            Body::File {
                kind: FileKind::Photo | FileKind::Video,
                ..
            }
        )
    };
    let same = |body: &Body| match (body, &bodies[0]) {
        (Body::File { kind: one, .. }, Body::File { kind: other, .. }) => one == other,
        _ => false,
    };
    if !bodies.iter().all(is_visual) && !bodies.iter().all(same) {
        return Err(ApiError::bad_request(
            "Can't use the media of the specified type in the album",
        ));
    }
    let album = format!("13{:015}", call.world.fresh_id());
    let sent = bodies
        .into_iter()
        .map(|body| messages::send_in_album(call, body, Some(album.clone())));
    sent.collect::<Result<Vec<Value>, ApiError>>().map(Value::from)
}

/// The id of a file that is there already or comes with the call.
fn file(call: &mut Call<'_>, kind: FileKind, reference: Option<&str>) -> Result<String, ApiError> {
    match reference {
        Some(id) if call.world.files.contains_key(id) => Ok(id.to_owned()),
        Some(reference) => match reference.strip_prefix("attach://") {
            Some(name) => upload(call, kind, name),
            None => Err(ApiError::bad_request("wrong file identifier/HTTP URL specified")),
        },
        None => upload(call, kind, kind.field()),
    }
}

fn upload(call: &mut Call<'_>, kind: FileKind, field: &str) -> Result<String, ApiError> {
    let missing = || ApiError::bad_request(&format!("there is no {} in the request", kind.field()));
    let upload = call.params.files.get(field).ok_or_else(missing)?;
    let size = upload.bytes.len();
    if size == 0 {
        return Err(ApiError::bad_request("file must be non-empty"));
    }
    if kind == FileKind::Photo {
        if size > MAX_PHOTO {
            return Err(ApiError::bad_request(&format!(
                "file of size {size} bytes is too big for a photo; the maximum size is {MAX_PHOTO} bytes"
            )));
        }
        if !is_picture(&upload.bytes) {
            return Err(ApiError::bad_request("IMAGE_PROCESS_FAILED"));
        }
    }
    Ok(call
        .world
        .add_file(kind, &upload.name, upload.mime.as_deref(), upload.bytes.clone()))
}

fn is_picture(bytes: &[u8]) -> bool {
    let starts: [&[u8]; 4] = [b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF"];
    starts.iter().any(|start| bytes.starts_with(start))
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
