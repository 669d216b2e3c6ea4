//! The Secret `longshore-access`: the keys from which topic tokens are made.
//!
//! Made with one random key when it is missing. Keys are held in memory for a short time and never logged. Rotation is done by
//! whoever writes the Secret; both keys are tried.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::{Api, Client};
use longshore_crds::meta;
use longshore_wire::token::{ACCESS_SECRET, CURRENT_KEY, KEY_BYTES, access_keys, token_sha256, topic_token};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use tokio::time::Instant;

use crate::cluster::{self, Created, Error};

/// How long keys are used without a look at the Secret.
const FRESH: Duration = Duration::from_secs(60);

type Key = SecretBox<Vec<u8>>;

/// Newest first.
struct Keys(Vec<Key>);

/// The keys of all watched namespaces.
pub struct Access {
    client: Client,
    known: Mutex<HashMap<String, (Instant, Arc<Keys>)>>,
}

impl Access {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
        }
    }

    /// Makes the Secret if it is missing.
    pub async fn ensure(&self, namespace: &str) -> Result<(), Error> {
        self.keys(namespace).await.map(|_| ())
    }

    /// Tokens that open runners of this topic, the newest first.
    pub async fn tokens(&self, namespace: &str, topic_uid: &str) -> Result<Vec<SecretString>, Error> {
        let keys = self.keys(namespace).await?;
        Ok(keys
            .0
            .iter()
            .map(|key| topic_token(key.expose_secret(), topic_uid).into())
            .collect())
    }

    /// Digests of those tokens, for a new pod.
    pub async fn digests(&self, namespace: &str, topic_uid: &str) -> Result<Vec<String>, Error> {
        let tokens = self.tokens(namespace, topic_uid).await?;
        Ok(tokens.iter().map(|token| token_sha256(token.expose_secret())).collect())
    }

    async fn keys(&self, namespace: &str) -> Result<Arc<Keys>, Error> {
        if let Some(keys) = self.remembered(namespace) {
            return Ok(keys);
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = match cluster::get(&api, ACCESS_SECRET).await? {
            Some(found) => found,
            None => match cluster::create(&api, &fresh(namespace)).await? {
                Created::New(secret) | Created::Ours(secret) | Created::Foreign(secret) => secret,
            },
        };
        let keys = Arc::new(read(secret)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(namespace.to_owned(), (Instant::now(), Arc::clone(&keys)));
        Ok(keys)
    }

    fn remembered(&self, namespace: &str) -> Option<Arc<Keys>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(namespace)
            .filter(|(since, _)| since.elapsed() < FRESH)
            .map(|(_, keys)| Arc::clone(keys))
    }
}

fn fresh(namespace: &str) -> Secret {
    let mut key = vec![0; KEY_BYTES];
    rand::rng().fill_bytes(&mut key);
    Secret {
        metadata: ObjectMeta {
            name: Some(ACCESS_SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(
                meta::MANAGED_BY.0.to_owned(),
                meta::MANAGED_BY.1.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(CURRENT_KEY.to_owned(), ByteString(key))])),
        ..Secret::default()
    }
}

fn read(secret: Secret) -> Result<Keys, Error> {
    let mut data = secret.data.unwrap_or_default();
    let keys = access_keys(|name| Some(data.remove(name)?.0));
    if keys.is_empty() {
        let namespace = secret.metadata.namespace.unwrap_or_default();
        return Err(Error::Malformed {
            what: format!("Secret {namespace}/{ACCESS_SECRET}"),
            missing: "a key `current` of 32 random bytes",
        });
    }
    Ok(Keys(
        keys.into_iter().map(|key| SecretBox::new(Box::new(key))).collect(),
    ))
}
