//! Counts of writes, taken from the API server's audit log.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// A place in the audit log; what is counted comes after it.
pub struct Audit {
    path: PathBuf,
    offset: u64,
}

/// One mutating request.
#[derive(Clone, Debug)]
pub struct Write {
    /// Name of the service account, e.g. `longshore-operator`.
    pub account: String,
    /// `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// `resource` or `resource/subresource`.
    pub resource: String,
    /// Name of the object, as far as the request had one.
    pub name: String,
    /// Answer of the API server.
    pub code: u16,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<20} {:<7} {:<28} {:<32} {}",
            self.account, self.verb, self.resource, self.name, self.code
        )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}
#[derive(Deserialize)]
struct User {
    username: String,
}
#[derive(Deserialize)]
struct ObjectRef {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}
#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

/// The writes as a list for people.
pub fn render(title: &str, writes: &[Write]) -> String {
    let lines: String = writes.iter().map(|write| format!("\n  {write}")).collect();
    format!("\n{title}: {} mutating requests{lines}", writes.len())
}

impl Audit {
    /// Begins to count here.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn start(path: PathBuf) -> Result<Self> {
        let offset = std::fs::metadata(&path)
            .with_context(|| format!("no audit log at {}", path.display()))?
            .len();
        Ok(Self { path, offset })
    }

    /// Mutating requests of the service accounts of `namespace` since the start, without Events and Leases.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn writes(&self, namespace: &str) -> Result<Vec<Write>> {
        let log = std::fs::read(&self.path)?;
        let fresh = log.get(usize::try_from(self.offset)?..).unwrap_or_default();
        let prefix = format!("system:serviceaccount:{namespace}:");
        let writes = fresh
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Entry>(line).ok())
            .filter(|entry| entry.stage == "ResponseComplete")
            .filter(|entry| {
                matches!(
                    entry.verb.as_str(),
                    "create" | "update" | "patch" | "delete" | "deletecollection"
                )
            })
            .filter_map(|entry| {
                let account = entry.user.username.strip_prefix(&prefix)?.to_owned();
                let object = entry.object_ref.filter(|object| object.namespace == namespace)?;
                if matches!(object.resource.as_str(), "events" | "leases") {
                    return None;
                }
                let resource = match object.subresource.as_str() {
                    "" => object.resource,
                    sub => format!("{}/{sub}", object.resource),
                };
                let code = entry.response_status.map_or(0, |status| status.code);
                Some(Write {
                    account,
                    verb: entry.verb,
                    resource,
                    name: object.name,
                    code,
                })
            })
            .collect();
        Ok(writes)
    }
}
