//! The keys that open the runners of a namespace. They are held for one call and never shown.

use k8s_openapi::api::core::v1::Secret;
use longshore_wire::token::{ACCESS_SECRET, access_keys, topic_token};

use crate::cluster::{Cluster, ClusterError, rights};

/// Keys of a namespace, the newest first.
pub struct Keys(Vec<Vec<u8>>);

impl Keys {
    /// Reads the Secret.
    pub async fn read(cluster: &Cluster) -> Result<Self, ClusterError> {
        let secret = cluster.api::<Secret>().get(ACCESS_SECRET).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => ClusterError::Missing(format!(
                "there is no Secret {ACCESS_SECRET} in namespace {}; the operator makes it with the first session or task",
                cluster.namespace
            )),
            other => cluster.explain(other, rights::ACCESS),
        })?;
        let mut data = secret.data.unwrap_or_default();
        let keys = access_keys(|name| Some(data.remove(name)?.0));
        if keys.is_empty() {
            return Err(ClusterError::Missing(format!(
                "Secret {ACCESS_SECRET} in namespace {} holds no usable key; delete it, and the operator makes another",
                cluster.namespace
            )));
        }
        Ok(Self(keys))
    }

    /// Tokens that open the runners of a topic, the likelier one first.
    pub fn tokens(&self, topic_uid: &str) -> Vec<String> {
        self.0.iter().map(|key| topic_token(key, topic_uid)).collect()
    }
}
