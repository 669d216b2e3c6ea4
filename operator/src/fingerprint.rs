//! Hash of what we want an object to be, kept as an annotation on it, so that nothing is sent when it matches.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// 16 hex digits over the JSON of a value whose maps are sorted (all of Kubernetes' are).
pub fn fingerprint<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_vec(value).expect("Kubernetes objects are JSON");
    hex::encode(&Sha256::digest(json)[..8])
}
