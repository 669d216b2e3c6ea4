//! `rotate-keys`: a new current key in `longshore-access`; the current one becomes the previous one, the previous one is gone.
//!
//! A pod is told when it starts which tokens to take. So the previous key may go only when every pod, and everything that would make
//! one from an older template, takes the token of the current key. The operator looks at the Secret once a minute, so for a while
//! after a rotation pods still start with the older keys: the next rotation waits for that, too.

use std::collections::BTreeMap;
use std::io::Write;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Secret};
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use longshore_crds::{Topic, meta};
use longshore_wire::AgentConfig;
use longshore_wire::agent::AGENT_CONFIG_ENV;
use longshore_wire::token::{ACCESS_SECRET, CURRENT_KEY, KEY_BYTES, PREVIOUS_KEY, accepts, access_keys, topic_token};
use rand::RngCore;

use crate::cluster::{Cluster, ClusterError, Right, rights};

/// Time in which the operator, and whoever takes its place, has seen a rotation.
const SETTLED: SignedDuration = SignedDuration::from_secs(150);

/// Why the keys were not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The API server did not help.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It would lock somebody out.
    #[error("the keys are not rotated: {0}")]
    Refused(String),
    /// Nobody reads any more.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// Something that runs, or starts, an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Kind and name, for people.
    pub what: String,
    /// What the agent is told; none when that cannot be read.
    pub config: Option<AgentConfig>,
}

/// Rotates the keys of the namespace.
pub async fn run(cluster: &Cluster, dry_run: bool, out: &mut dyn Write) -> Result<(), RotateError> {
    let secrets = cluster.api::<Secret>();
    let secret = secrets
        .get(ACCESS_SECRET)
        .await
        .map_err(|error| cluster.explain(error, rights::ROTATE))?;
    let topics: BTreeMap<String, String> = list::<Topic>(cluster, rights::TOPICS, "")
        .await?
        .into_iter()
        .map(|topic| (topic.name_any(), topic.uid().unwrap_or_default()))
        .collect();
    let agents = agents(cluster).await?;
    let (now, new) = (Timestamp::now(), fresh_key());
    let rotated = rotate(secret, &topics, &agents, new, now).map_err(RotateError::Refused)?;
    if dry_run {
        return Ok(writeln!(
            out,
            "{ACCESS_SECRET} in namespace {} would be rotated; no agent depends on its previous key",
            cluster.namespace
        )?);
    }
    // With its resourceVersion, so that nothing that was written meanwhile is lost.
    let replaced = secrets.replace(ACCESS_SECRET, &PostParams::default(), &rotated).await;
    replaced.map_err(|error| cluster.explain(error, rights::ROTATE))?;
    writeln!(
        out,
        "{ACCESS_SECRET} in namespace {} is rotated. The key before stays good until the next rotation",
        cluster.namespace
    )?;
    Ok(())
}

/// The Secret with a new current key, or why it cannot have one yet.
pub fn rotate(
    mut secret: Secret,
    topics: &BTreeMap<String, String>,
    agents: &[Agent],
    new: Vec<u8>,
    now: Timestamp,
) -> Result<Secret, String> {
    let mut data = secret.data.take().unwrap_or_default();
    let keys = access_keys(|name| data.get(name).map(|bytes| bytes.0.clone()));
    let Some(current) = keys.first() else {
        return Err(format!(
            "{ACCESS_SECRET} holds no usable key; delete it, and the operator makes another"
        ));
    };
    if let Some(last) = secret
        .annotations()
        .get(meta::ROTATED)
        .and_then(|text| text.parse::<Timestamp>().ok())
    {
        let settled = last.saturating_add(SETTLED).unwrap_or(Timestamp::MAX);
        if now < settled {
            let left = settled.duration_since(now).as_secs();
            return Err(format!(
                "they were rotated {} ago; try again in {left}s",
                crate::times::age(last, now)
            ));
        }
    }
    if keys.len() > 1 {
        let late: Vec<&str> = agents
            .iter()
            .filter(|agent| !knows(agent, topics, current))
            .map(|agent| agent.what.as_str())
            .collect();
        if !late.is_empty() {
            return Err(format!(
                "these started before the last rotation and depend on the previous key: {}. Wait until they have ended or been suspended, or delete their sessions and tasks",
                late.join(", ")
            ));
        }
    }
    data.insert(PREVIOUS_KEY.to_owned(), ByteString(current.clone()));
    data.insert(CURRENT_KEY.to_owned(), ByteString(new));
    secret.data = Some(data);
    secret
        .annotations_mut()
        .insert(meta::ROTATED.to_owned(), now.to_string());
    Ok(secret)
}

/// Whether an agent takes the token of this key. Nobody can make a token for a topic that is gone, so its agents depend on no key.
fn knows(agent: &Agent, topics: &BTreeMap<String, String>, key: &[u8]) -> bool {
    let Some(config) = &agent.config else {
        return false;
    };
    let uid = topics.get(&config.topic);
    uid.is_none_or(|uid| accepts(&config.token_sha256, &topic_token(key, uid)))
}

/// Everything that runs an agent or starts one from a template.
async fn agents(cluster: &Cluster) -> Result<Vec<Agent>, ClusterError> {
    let ours = format!("{}={},{}", meta::MANAGED_BY.0, meta::MANAGED_BY.1, meta::KIND_LABEL);
    let mut found = Vec::new();
    for pod in list::<Pod>(cluster, rights::PODS, &ours).await? {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if !matches!(phase, Some("Succeeded" | "Failed")) {
            found.push(agent("pod", &pod, pod.spec.as_ref()));
        }
    }
    for set in list::<StatefulSet>(cluster, rights::STATEFUL_SETS, &ours).await? {
        let spec = set.spec.as_ref();
        // One without pods gets a new template before it has one again.
        if spec.and_then(|spec| spec.replicas) != Some(0) {
            found.push(agent(
                "statefulset",
                &set,
                spec.and_then(|spec| spec.template.spec.as_ref()),
            ));
        }
    }
    for job in list::<Job>(cluster, rights::JOBS, &ours).await? {
        let over = job
            .status
            .as_ref()
            .is_some_and(|status| status.completion_time.is_some() || status.failed.unwrap_or(0) > 0);
        if !over {
            found.push(agent(
                "job",
                &job,
                job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()),
            ));
        }
    }
    Ok(found)
}

fn agent(kind: &str, object: &impl ResourceExt, spec: Option<&PodSpec>) -> Agent {
    Agent {
        what: format!("{kind}/{}", object.name_any()),
        config: spec.and_then(config),
    }
}

fn config(spec: &PodSpec) -> Option<AgentConfig> {
    let variables = spec
        .containers
        .iter()
        .flat_map(|container| container.env.iter().flatten());
    let json = variables
        .into_iter()
        .find(|variable| variable.name == AGENT_CONFIG_ENV)?
        .value
        .as_deref()?;
    serde_json::from_str(json).ok()
}

async fn list<K>(cluster: &Cluster, right: Right, labels: &str) -> Result<Vec<K>, ClusterError>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let found = cluster.api::<K>().list(&ListParams::default().labels(labels)).await;
    Ok(found.map_err(|error| cluster.explain(error, right))?.items)
}

fn fresh_key() -> Vec<u8> {
    let mut key = vec![0; KEY_BYTES];
    rand::rng().fill_bytes(&mut key);
    key
}

#[cfg(test)]
mod tests {
    use longshore_wire::token::token_sha256;
    use serde_json::json;

    use super::*;

    const OLD: &[u8] = &[1; 32];
    const NOW: &[u8] = &[2; 32];
    const NEW: &[u8] = &[3; 32];

    fn secret(previous: bool) -> Secret {
        let mut data = BTreeMap::from([(CURRENT_KEY.to_owned(), ByteString(NOW.to_vec()))]);
        if previous {
            data.insert(PREVIOUS_KEY.to_owned(), ByteString(OLD.to_vec()));
        }
        Secret {
            data: Some(data),
            ..Secret::default()
        }
    }

    fn pod(name: &str, topic: &str, keys: &[&[u8]]) -> Agent {
        let digests: Vec<_> = keys.iter().map(|key| token_sha256(&topic_token(key, "uid"))).collect();
        let config = json!({
            "kind": "session", "namespace": "team", "name": "one", "uid": "0b1c7a52-0000-4000-8000-000000000001", "topic": topic,
            "tokenSha256": digests, "baseUrl": "http://model", "permissionMode": "default", "approvalTimeoutSeconds": 1,
            "memoryWarnPercent": 80, "memoryRecyclePercent": 90, "drainSeconds": 1,
        });
        let spec = json!({"containers": [{"name": "agent", "env": [{"name": "LONGSHORE_AGENT", "value": config.to_string()}]}]});
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        Agent {
            what: format!("pod/{name}"),
            config: config_of(&spec),
        }
    }

    fn config_of(spec: &PodSpec) -> Option<AgentConfig> {
        let found = config(spec);
        assert!(found.is_some());
        found
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn rotated(secret: Secret, agents: &[Agent], second: i64) -> Result<Secret, String> {
        let topics = BTreeMap::from([("deep".to_owned(), "uid".to_owned())]);
        rotate(secret, &topics, agents, NEW.to_vec(), at(second))
    }

    #[test]
    fn the_current_key_becomes_the_previous_one() {
        // The first rotation throws nothing away: who knows the current key alone stays reachable.
        let done = rotated(secret(false), &[pod("a", "deep", &[NOW])], 0).unwrap();
        let data = done.data.unwrap();
        assert_eq!(
            (data[CURRENT_KEY].0.as_slice(), data[PREVIOUS_KEY].0.as_slice()),
            (NEW, NOW)
        );
    }

    #[test]
    fn nothing_is_thrown_away_that_an_agent_depends_on() {
        let agents = [pod("fresh", "deep", &[NOW, OLD]), pod("late", "deep", &[OLD])];
        let error = rotated(secret(true), &agents, 0).unwrap_err();
        assert!(error.contains("pod/late") && !error.contains("fresh"), "{error}");
        assert!(rotated(secret(true), &agents[..1], 0).is_ok());
        assert!(rotated(secret(true), &[pod("orphan", "gone", &[OLD])], 0).is_ok());
        let unreadable = Agent {
            what: "job/odd".to_owned(),
            config: None,
        };
        assert!(rotated(secret(true), &[unreadable], 0).unwrap_err().contains("job/odd"));
    }

    #[test]
    fn the_next_rotation_waits_until_the_operator_has_seen_the_last_one() {
        let once = rotated(secret(false), &[], 0).unwrap();
        let error = rotated(once.clone(), &[], 149).unwrap_err();
        assert!(error.contains("try again in 1s"), "{error}");
        assert!(rotated(once, &[], 150).is_ok());
    }

    #[test]
    fn a_secret_without_keys_is_not_rotated() {
        assert!(
            rotated(Secret::default(), &[], 0)
                .unwrap_err()
                .contains("no usable key")
        );
    }
}
