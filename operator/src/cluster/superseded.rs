//! Reading one's own writes: which versions of objects this process has itself replaced.
//!
//! A cache lags behind a write by a few milliseconds. A pass over a version that we know to be old would plan, and send, the
//! same thing once more. Since every write here is conditional on the version it was computed from, the versions to skip are
//! exactly those, and the watch event of the write always brings a newer one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::{Resource, ResourceExt};

/// Objects that were deleted in the meantime leave an entry behind; forgetting all of them costs at most a repeated write each.
const MAX_ENTRIES: usize = 16_384;

/// UID -> resource versions that were replaced since a newer one was seen.
#[derive(Debug, Default)]
pub struct Superseded(Mutex<HashMap<String, Vec<String>>>);

impl Superseded {
    /// Notes that `old` is not current any more, because a write returned `new`. A write that changed nothing makes no event,
    /// so it supersedes nothing.
    pub fn note<K: Resource>(&self, old: &K, new: &K) {
        let (Some(uid), Some(before)) = (old.uid(), old.resource_version()) else {
            return;
        };
        if new.resource_version().as_ref() == Some(&before) {
            return;
        }
        self.insert(uid, before);
    }

    /// Notes that `old` was deleted.
    pub fn note_deleted<K: Resource>(&self, old: &K) {
        if let (Some(uid), Some(before)) = (old.uid(), old.resource_version()) {
            self.insert(uid, before);
        }
    }

    fn insert(&self, uid: String, version: String) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ENTRIES {
            entries.clear();
        }
        entries.entry(uid).or_default().push(version);
    }

    /// Whether a newer version of this object is known to exist.
    pub fn is_old<K: Resource>(&self, object: &K) -> bool {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(uid) = object.uid() else { return false };
        let version = object.resource_version().unwrap_or_default();
        match entries.get(&uid) {
            None => false,
            Some(versions) if versions.contains(&version) => true,
            Some(_) => {
                entries.remove(&uid);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;

    fn version(version: &str) -> ConfigMap {
        let metadata = ObjectMeta {
            uid: Some("u".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        ConfigMap {
            metadata,
            ..ConfigMap::default()
        }
    }

    #[test]
    fn a_version_that_we_replaced_is_old_until_a_newer_one_is_seen() {
        let superseded = Superseded::default();
        superseded.note(&version("1"), &version("2"));
        assert!(superseded.is_old(&version("1")));
        assert!(!superseded.is_old(&version("2")));
        assert!(!superseded.is_old(&version("1")));
    }

    #[test]
    fn all_versions_between_the_cache_and_the_last_write_are_old() {
        let superseded = Superseded::default();
        superseded.note(&version("1"), &version("2"));
        superseded.note(&version("2"), &version("3"));
        assert!(superseded.is_old(&version("1")));
        assert!(superseded.is_old(&version("2")));
        assert!(!superseded.is_old(&version("3")));
    }

    #[test]
    fn a_write_that_changed_nothing_supersedes_nothing() {
        let superseded = Superseded::default();
        superseded.note(&version("1"), &version("1"));
        assert!(!superseded.is_old(&version("1")));
    }
}
