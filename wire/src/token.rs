//! Topic tokens: who may talk to a runner.
//!
//! The Secret `longshore-access` holds a current and a previous random key. The token of a topic is
//! HMAC-SHA-256(key, Topic UID) in lower-case hex. A pod is told only the SHA-256 of the tokens that were valid when it
//! started, so nothing in it lets anyone call another pod, or this one.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Name of the Secret in every watched namespace.
pub const ACCESS_SECRET: &str = "longshore-access";
/// Key of the Secret's data with the key that makes new tokens.
pub const CURRENT_KEY: &str = "current";
/// Key of the Secret's data with the key that made the tokens before the last rotation.
pub const PREVIOUS_KEY: &str = "previous";

/// Token for the topic with this UID, 64 hex digits.
pub fn topic_token(key: &[u8], topic_uid: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(topic_uid.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// What a pod is told instead of the token: its SHA-256, 64 hex digits.
pub fn token_sha256(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// Whether a presented token matches one of the digests. Takes the same time for every digest.
pub fn accepts(token_sha256s: &[String], presented: &str) -> bool {
    let digest = token_sha256(presented);
    token_sha256s.iter().fold(false, |ok, known| {
        ok | bool::from(known.as_bytes().ct_eq(digest.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_accepted_by_its_digest_and_only_by_it() {
        let token = topic_token(b"key", "uid");
        let digests = vec![token_sha256(&topic_token(b"old", "uid")), token_sha256(&token)];
        assert!(accepts(&digests, &token));
        assert!(!accepts(&digests, &topic_token(b"key", "other")));
        assert!(!accepts(&[], &token));
    }
}
