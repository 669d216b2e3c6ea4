//! Calls to the API server: bounded in time, with errors that say what was done to what.
//!
//! Knows no plan and no kind in particular. A 409 of a create is looked up live, since a cache may not have the object yet;
//! a 404 of a delete is success.

mod slots;
mod superseded;
#[cfg(test)]
pub mod tests;
mod writer;

pub use slots::{claim_slot, release_slot, replace_slots};
pub use superseded::Superseded;
pub use writer::{Hold, claim_writer, has_jobs_of_others, has_pods, is_admitted, is_done, pods_of_topic};

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::object::HasStatus;
use kube::{Api, Resource, ResourceExt};
use longshore_crds::meta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Longest wait for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A call that did not work out. The variant is the label of the error metric.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum Error {
    #[error("cannot read {what}")]
    Get { what: String, source: Box<kube::Error> },
    #[error("cannot list {what}")]
    List { what: String, source: Box<kube::Error> },
    #[error("cannot create {what}")]
    Create { what: String, source: Box<kube::Error> },
    #[error("cannot change {what}")]
    Change { what: String, source: Box<kube::Error> },
    #[error("cannot delete {what}")]
    Delete { what: String, source: Box<kube::Error> },
    #[error("cannot write the status of {what}")]
    Status { what: String, source: Box<kube::Error> },
    #[error("{what} was changed by somebody else in the same moment")]
    Conflict { what: String },
    #[error("{what} does not have what it must have: {missing}")]
    Malformed { what: String, missing: &'static str },
    #[error("the API server took longer than {CALL_TIMEOUT:?} over {what}")]
    Timeout { what: String },
}

impl Error {
    /// Label of the error metric.
    pub fn label(&self) -> &'static str {
        self.into()
    }

    /// The answer of the API server, for a message to a person.
    pub fn answer(&self) -> String {
        match self {
            Self::Get { source, .. }
            | Self::List { source, .. }
            | Self::Create { source, .. }
            | Self::Change { source, .. }
            | Self::Delete { source, .. }
            | Self::Status { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => format!("{self}: {}", status.message),
                other => format!("{self}: {other}"),
            },
            other => other.to_string(),
        }
    }
}

/// What became of a create.
#[derive(Debug)]
pub enum Created<K> {
    /// It was made now.
    New(K),
    /// It was there and is controlled by the same owner.
    Ours(K),
    /// It was there and belongs to somebody else.
    Foreign(K),
}

/// `Kind namespace/name`.
pub fn describe<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!(
        "{} {}/{}",
        K::kind(&()),
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

fn label<K: Resource<DynamicType = ()>>(name: &str) -> String {
    format!("{} {name}", K::kind(&()))
}

fn conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
}

/// The call's result, or none when it took too long.
async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Option<kube::Result<T>> {
    tokio::time::timeout(CALL_TIMEOUT, call).await.ok()
}

/// Reads the object as it is now; none when there is none.
pub async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = label::<K>(name);
    match bounded(api.get_opt(name)).await {
        None => Err(Error::Timeout { what }),
        Some(found) => found.map_err(|e| Error::Get {
            what,
            source: Box::new(e),
        }),
    }
}

/// Lists objects as they are now.
pub async fn list<K>(api: &Api<K>, params: &ListParams) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = K::plural(&()).into_owned();
    match bounded(api.list(params)).await {
        None => Err(Error::Timeout { what }),
        Some(Ok(found)) => Ok(found.items),
        Some(Err(e)) => Err(Error::List {
            what,
            source: Box::new(e),
        }),
    }
}

/// Creates the object. One that exists is ours when it has the same controller, or, without one, our label.
pub async fn create<K>(api: &Api<K>, object: &K) -> Result<Created<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Serialize,
{
    let what = describe(object);
    let params = PostParams {
        field_manager: Some(meta::OPERATOR.to_owned()),
        ..PostParams::default()
    };
    match bounded(api.create(&params, object)).await {
        None => Err(Error::Timeout { what }),
        Some(Ok(made)) => Ok(Created::New(made)),
        Some(Err(e)) if conflict(&e) => match get(api, &object.name_any()).await? {
            None => Err(Error::Conflict { what }),
            Some(found) if same_owner(object, &found) => Ok(Created::Ours(found)),
            Some(found) => Ok(Created::Foreign(found)),
        },
        Some(Err(e)) => Err(Error::Create {
            what,
            source: Box::new(e),
        }),
    }
}

fn same_owner<K: Resource<DynamicType = ()>>(wanted: &K, found: &K) -> bool {
    match controller(wanted) {
        Some(owner) => controller(found) == Some(owner),
        None => found
            .labels()
            .get(meta::MANAGED_BY.0)
            .is_some_and(|by| by == meta::MANAGED_BY.1),
    }
}

/// UID of the controlling owner.
pub fn controller<K: Resource>(object: &K) -> Option<String> {
    object
        .owner_references()
        .iter()
        .find(|o| o.controller == Some(true))
        .map(|o| o.uid.clone())
}

/// Replaces the whole object, if it is still at the resource version it was read at.
pub async fn replace<K>(api: &Api<K>, object: &K) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Serialize,
{
    let what = describe(object);
    let params = PostParams {
        field_manager: Some(meta::OPERATOR.to_owned()),
        ..PostParams::default()
    };
    match bounded(api.replace(&object.name_any(), &params, object)).await {
        None => Err(Error::Timeout { what }),
        Some(Err(e)) if conflict(&e) => Err(Error::Conflict { what }),
        Some(done) => done.map_err(|e| Error::Change {
            what,
            source: Box::new(e),
        }),
    }
}

/// Merges a patch into the object. A `metadata.resourceVersion` or `uid` in it makes it conditional.
pub async fn merge<K>(api: &Api<K>, name: &str, patch: &serde_json::Value) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = label::<K>(name);
    let params = PatchParams {
        field_manager: Some(meta::OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    match bounded(api.patch(name, &params, &Patch::Merge(patch))).await {
        None => Err(Error::Timeout { what }),
        Some(Err(e)) if conflict(&e) => Err(Error::Conflict { what }),
        Some(done) => done.map_err(|e| Error::Change {
            what,
            source: Box::new(e),
        }),
    }
}

/// Merges a patch into the status; the resource version makes it a compare-and-swap.
pub async fn merge_status<K>(api: &Api<K>, object: &K, status: serde_json::Value) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = describe(object);
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version() }, "status": status });
    let params = PatchParams {
        field_manager: Some(meta::OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    match bounded(api.patch_status(&object.name_any(), &params, &Patch::Merge(&patch))).await {
        None => Err(Error::Timeout { what }),
        Some(Err(e)) if conflict(&e) => Err(Error::Conflict { what }),
        Some(done) => done.map_err(|e| Error::Status {
            what,
            source: Box::new(e),
        }),
    }
}

/// Applies our part of the status, if the object is still the one that the status was computed from.
pub async fn apply_status<K>(api: &Api<K>, object: &K, status: &K::Status) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + HasStatus + Clone + DeserializeOwned + Debug,
    K::Status: Serialize,
{
    let what = describe(object);
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid(), "resourceVersion": object.resource_version() },
        "status": status,
    });
    let params = PatchParams::apply(meta::OPERATOR).force();
    match bounded(api.patch_status(&object.name_any(), &params, &Patch::Apply(&body))).await {
        None => Err(Error::Timeout { what }),
        Some(Err(e)) if conflict(&e) => Err(Error::Conflict { what }),
        Some(done) => done.map_err(|e| Error::Status {
            what,
            source: Box::new(e),
        }),
    }
}

/// Deletes the object with this UID, and what it owns in the background. Gone already is success.
pub async fn delete<K>(api: &Api<K>, name: &str, uid: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let what = label::<K>(name);
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    match bounded(api.delete(name, &params)).await {
        None => Err(Error::Timeout { what }),
        Some(Ok(_)) => Ok(()),
        Some(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => Ok(()),
        Some(Err(e)) => Err(Error::Delete {
            what,
            source: Box::new(e),
        }),
    }
}
