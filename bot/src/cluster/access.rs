//! Topic tokens, from the Secret that the operator keeps.
//!
//! The keys are read once and again whenever a runner refuses both tokens, so a rotation needs no restart.

use std::sync::{Arc, PoisonError, RwLock};

use longshore_wire::token::{ACCESS_SECRET, access_keys, topic_token};
use secrecy::{ExposeSecret, SecretSlice};

use super::Cluster;
use super::write::WriteError;

type Pair = Vec<Arc<SecretSlice<u8>>>;

/// Keys as they were read last; the current one first.
#[derive(Clone, Default)]
pub struct Keys {
    known: Arc<RwLock<Pair>>,
}

impl Cluster {
    /// Tokens for the runners of a topic, the likelier one first. `fresh` reads the Secret again.
    pub async fn tokens(&self, topic_uid: &str, fresh: bool) -> Result<Vec<String>, WriteError> {
        let mut keys = self.keys.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        if keys.is_empty() || fresh {
            let secret = self.secret_api.get(ACCESS_SECRET).await.map_err(WriteError::from)?;
            let mut data = secret.data.unwrap_or_default();
            keys = access_keys(|name| Some(data.remove(name)?.0))
                .into_iter()
                .map(|key| Arc::new(SecretSlice::from(key)))
                .collect();
            self.keys
                .known
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(&keys);
        }
        Ok(keys
            .iter()
            .map(|key| topic_token(key.expose_secret(), topic_uid))
            .collect())
    }
}
