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
/// Random bytes in a new key; shorter ones are not taken for keys.
pub const KEY_BYTES: usize = 32;

/// The keys in the Secret's data, the newest first; none without a usable current one. `take` gives what stands under a name.
pub fn access_keys(mut take: impl FnMut(&'static str) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut key = |name| take(name).filter(|bytes| bytes.len() >= KEY_BYTES);
    match key(CURRENT_KEY) {
        Some(current) => [Some(current), key(PREVIOUS_KEY)].into_iter().flatten().collect(),
        None => Vec::new(),
    }
}

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
    fn the_current_key_comes_first_and_nothing_opens_without_it() {
        let held = |names: &'static [&'static str]| {
            access_keys(|name| names.contains(&name).then(|| name.as_bytes().repeat(8)))
        };
        assert_eq!(
            held(&["current", "previous"]),
            ["current".repeat(8).into_bytes(), "previous".repeat(8).into_bytes()]
        );
        assert_eq!(held(&["current"]).len(), 1);
        assert!(held(&["previous"]).is_empty());
        assert!(access_keys(|_| Some(b"short".to_vec())).is_empty());
    }

    #[test]
    fn a_token_is_accepted_by_its_digest_and_only_by_it() {
        let token = topic_token(b"key", "uid");
        let digests = vec![token_sha256(&topic_token(b"old", "uid")), token_sha256(&token)];
        assert!(accepts(&digests, &token));
        assert!(!accepts(&digests, &topic_token(b"key", "other")));
        assert!(!accepts(&[], &token));
    }
}
