//! A typed client of the control API, for tests and the demo.
//!
//! Every call fails with [`ClientError`]; waiting calls fail with `Refused` when their time is up.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    control::{Stats, Wanted},
    gate::Gate,
    journal::Entry,
};

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the model stand-in cannot be reached")]
    Http(#[from] reqwest::Error),
    #[error("the model stand-in refused {path}: {status} {text}")]
    Refused { path: String, status: u16, text: String },
}

type Result<T> = std::result::Result<T, ClientError>;

/// Steers one stand-in.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// `base` as in `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(600))
            .build()
            .unwrap_or_default();
        Client {
            base: base.trim_end_matches('/').to_owned(),
            http,
        }
    }

    /// Puts rules before all others: one rule, a list, or `{"rules": [...]}`. See `Script` for the shape.
    pub async fn add_rules(&self, rules: &impl Serialize) -> Result<()> {
        self.call(self.http.post(self.at("/rules")).json(rules)).await.map(drop)
    }

    /// Removes the rules added since the start.
    pub async fn clear_rules(&self) -> Result<()> {
        self.call(self.http.delete(self.at("/rules"))).await.map(drop)
    }

    pub async fn open_gate(&self, name: &str) -> Result<()> {
        self.call(self.http.post(self.at(&format!("/gates/{name}/open"))))
            .await
            .map(drop)
    }

    pub async fn close_gate(&self, name: &str) -> Result<()> {
        self.call(self.http.post(self.at(&format!("/gates/{name}/close"))))
            .await
            .map(drop)
    }

    pub async fn gates(&self) -> Result<BTreeMap<String, Gate>> {
        self.read(self.http.get(self.at("/gates"))).await
    }

    /// Returns once an answer is held at the gate.
    pub async fn held_at(&self, name: &str, timeout: Duration) -> Result<Gate> {
        let query = [("waiting", 1), ("timeout_ms", timeout.as_millis())];
        self.read(self.http.get(self.at(&format!("/gates/{name}"))).query(&query))
            .await
    }

    /// Matching journal entries; with `timeout_ms` it waits for the first.
    pub async fn requests(&self, wanted: &Wanted) -> Result<Vec<Entry>> {
        self.read(self.http.get(self.at("/requests")).query(wanted)).await
    }

    pub async fn clear_requests(&self) -> Result<()> {
        self.call(self.http.delete(self.at("/requests"))).await.map(drop)
    }

    pub async fn stats(&self) -> Result<Stats> {
        self.read(self.http.get(self.at("/stats"))).await
    }

    /// Requests without this key (as `x-api-key` or bearer) get 401; `None` lets all in again.
    pub async fn require_key(&self, key: Option<&str>) -> Result<()> {
        self.call(self.http.post(self.at("/auth")).json(&json!({"require": key})))
            .await
            .map(drop)
    }

    /// Asks the Messages API directly, without streaming: for tests of scripts.
    pub async fn ask(&self, body: &Value) -> Result<Value> {
        self.read(self.http.post(format!("{}/v1/messages", self.base)).json(body))
            .await
    }

    fn at(&self, path: &str) -> String {
        format!("{}/_control{path}", self.base)
    }

    async fn read<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T> {
        Ok(self.call(request).await?.json().await?)
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (path, status) = (response.url().path().to_owned(), response.status().as_u16());
        let text = response.text().await.unwrap_or_default();
        Err(ClientError::Refused { path, status, text })
    }
}
