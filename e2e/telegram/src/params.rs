//! Parameters of a call, however they were sent: query, JSON, form or multipart.
//!
//! Telegram is lenient: numbers may come as strings, objects as JSON inside strings, and a parameter it cannot read counts
//! as absent. Only a body that is no JSON at all is refused.

use std::collections::BTreeMap;

use axum::{
    Form,
    extract::{FromRequest, Multipart, Request},
    http::header::CONTENT_TYPE,
};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// Telegram's own bound on uploads.
pub const MAX_UPLOAD: usize = 50 << 20;

/// A file that came with the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub name: String,
    pub mime: Option<String>,
    pub bytes: Bytes,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    pub values: Map<String, Value>,
    pub files: BTreeMap<String, Upload>,
}

impl Params {
    pub fn of(value: Value) -> Self {
        let values = match value {
            Value::Object(values) => values,
            _ => Map::new(),
        };
        Params {
            values,
            files: BTreeMap::new(),
        }
    }

    pub async fn read(request: Request) -> Result<Self, ApiError> {
        let mut params = Params::default();
        let query = request.uri().query().unwrap_or_default().to_owned();
        for (name, value) in reqwest::Url::parse(&format!("http://x/?{query}"))
            .iter()
            .flat_map(|url| url.query_pairs())
        {
            params
                .values
                .insert(name.into_owned(), Value::String(value.into_owned()));
        }
        let kind = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if kind.starts_with("multipart/form-data") {
            params.read_multipart(request).await?;
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            let Form(pairs) = Form::<Vec<(String, String)>>::from_request(request, &())
                .await
                .map_err(|error| ApiError::bad_request(&error.to_string()))?;
            params
                .values
                .extend(pairs.into_iter().map(|(name, value)| (name, Value::String(value))));
        } else {
            let body = Bytes::from_request(request, &()).await.map_err(|_| too_large())?;
            if !body.is_empty() {
                let Ok(Value::Object(values)) = serde_json::from_slice(&body) else {
                    return Err(ApiError::bad_request("object expected as JSON body"));
                };
                params.values.extend(values);
            }
        }
        Ok(params)
    }

    async fn read_multipart(&mut self, request: Request) -> Result<(), ApiError> {
        let broken = || ApiError::bad_request("can't parse multipart body");
        let mut form = Multipart::from_request(request, &()).await.map_err(|_| broken())?;
        while let Some(field) = form.next_field().await.map_err(|_| broken())? {
            let name = field.name().unwrap_or_default().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let mime = field.content_type().map(str::to_owned);
            let bytes = field.bytes().await.map_err(|_| too_large())?;
            match file_name {
                Some(_) if bytes.len() > MAX_UPLOAD => return Err(too_large()),
                Some(file_name) => drop(self.files.insert(
                    name,
                    Upload {
                        name: file_name,
                        mime,
                        bytes,
                    },
                )),
                None => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.values.insert(name, Value::String(text));
                }
            }
        }
        Ok(())
    }

    pub fn text(&self, name: &str) -> Option<String> {
        match self.values.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
            other => Some(other.to_string()),
        }
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        match self.values.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub fn flag(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            Some(Value::String(text)) => matches!(text.as_str(), "true" | "True" | "1" | "yes"),
            _ => false,
        }
    }

    /// A list or an object, or the same written as a string.
    pub fn json(&self, name: &str) -> Result<Option<Value>, ApiError> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| ApiError::bad_request(&format!("can't parse {} JSON object", name.replace('_', " ")))),
            Some(other) => Ok(Some(other.clone())),
        }
    }
}

fn too_large() -> ApiError {
    ApiError::new(413, "Request Entity Too Large")
}
