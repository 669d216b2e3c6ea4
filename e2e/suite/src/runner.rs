//! A person's way to a runner: the topic token from `longshore-access`, a port-forward, and the HTTP API.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, ResourceExt as _};
use longshore_crds::Topic;
use longshore_wire::RUNNER_PORT;
use longshore_wire::api::{MessageAccepted, PostMessage, Status};
use longshore_wire::token::{ACCESS_SECRET, CURRENT_KEY, topic_token};

use crate::cluster::Cluster;
use crate::forward::Forward;
use crate::install::DEADLINE;

/// One claude process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claude {
    /// Process id inside the pod.
    pub pid: u32,
    /// How often claude had been started again before.
    pub restarts: u32,
    /// UID of the pod.
    pub pod: String,
}

/// A connection to the runner in one pod.
pub struct Runner {
    http: reqwest::Client,
    forward: Forward,
    token: String,
    pod: String,
}

impl Runner {
    /// Opens a forward to `pod` and derives the token of `topic`.
    ///
    /// # Errors
    /// When the Topic or the Secret is not there.
    pub async fn open(cluster: &Cluster, namespace: &str, topic: &str, pod: &str) -> Result<Self> {
        let secret = Api::<Secret>::namespaced(cluster.client.clone(), namespace)
            .get(ACCESS_SECRET)
            .await?;
        let key = secret
            .data
            .and_then(|mut data| data.remove(CURRENT_KEY))
            .context("the access Secret has no key")?;
        let topic = Api::<Topic>::namespaced(cluster.client.clone(), namespace)
            .get(topic)
            .await?;
        let token = topic_token(&key.0, &topic.uid().context("the Topic has no UID")?);
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        let give_up = Instant::now() + DEADLINE;
        loop {
            // A pod that has just taken the place of another may not be reachable yet, or no longer be the one that answers.
            let forward = Forward::open(cluster.client.clone(), namespace, pod, RUNNER_PORT).await?;
            let runner = Self {
                http: http.clone(),
                forward,
                token: token.clone(),
                pod: uid(&pods, pod).await?,
            };
            let met = match runner.status().await {
                Ok(_) if uid(&pods, pod).await? == runner.pod => return Ok(runner),
                Ok(_) => anyhow::anyhow!("another pod has taken its place"),
                Err(error) => error,
            };
            if Instant::now() > give_up {
                return Err(met.context(format!("{pod} cannot be reached")));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// When the runner does not answer with a status.
    pub async fn status(&self) -> Result<Status> {
        let url = format!("{}/v1/status", self.forward.url());
        Ok(self
            .http
            .get(url)
            .bearer_auth(&self.token)
            .timeout(Duration::from_secs(10))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// The claude process that answers now. Another one differs, even if it has the same process id in its pod.
    ///
    /// # Errors
    /// When the runner does not answer, or claude does not run.
    pub async fn claude(&self) -> Result<Claude> {
        let status = self.status().await?;
        Ok(Claude {
            pid: status.claude_pid.context("claude does not run")?,
            restarts: status.restarts,
            pod: self.pod.clone(),
        })
    }

    /// `POST /v1/messages`; the answer's status code and, for 202, its body.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn post(&self, message: &PostMessage) -> Result<(u16, Option<MessageAccepted>)> {
        let url = format!("{}/v1/messages", self.forward.url());
        let answer = self
            .http
            .post(url)
            .bearer_auth(&self.token)
            .json(message)
            .timeout(DEADLINE)
            .send()
            .await?;
        let code = answer.status().as_u16();
        Ok((code, if code == 202 { Some(answer.json().await?) } else { None }))
    }

    /// The journal so far, read from the event stream until `until` says that enough has been seen.
    ///
    /// # Errors
    /// When the stream ends first, or after [`DEADLINE`].
    pub async fn events(
        &self,
        after: u64,
        until: impl FnMut(&longshore_wire::Record) -> bool,
    ) -> Result<Vec<longshore_wire::Record>> {
        let read = tokio::time::timeout(DEADLINE, self.read_events(after, until)).await;
        read.context("the event that was waited for did not come")?
    }

    async fn read_events(
        &self,
        after: u64,
        mut until: impl FnMut(&longshore_wire::Record) -> bool,
    ) -> Result<Vec<longshore_wire::Record>> {
        use eventsource_stream::Eventsource as _;
        use futures::StreamExt as _;

        let url = format!("{}/v1/events?after={after}", self.forward.url());
        let answer = self
            .http
            .get(url)
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?;
        let mut stream = answer.bytes_stream().eventsource();
        let mut seen = Vec::new();
        while let Some(event) = stream.next().await {
            let event = event?;
            // Previews carry no sequence; they are not part of the journal.
            let Ok(record) = serde_json::from_str::<longshore_wire::Record>(&event.data) else {
                continue;
            };
            let enough = until(&record);
            seen.push(record);
            if enough {
                return Ok(seen);
            }
        }
        bail!("the event stream ended after {} records", seen.len())
    }
}

/// UID of the pod that has this name now; empty while there is none.
async fn uid(pods: &Api<Pod>, name: &str) -> Result<String> {
    Ok(pods.get_opt(name).await?.and_then(|pod| pod.uid()).unwrap_or_default())
}
