//! The way to one runner: through the API server to a port of its pod.
//!
//! Each HTTP connection is a port-forward of its own, so that a broken one is nothing but a connection that ended. Tests go
//! straight to a local runner.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::client::UpgradeConnectionError;
use kube::{Api, ResourceExt};
use longshore_wire::RUNNER_PORT;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::access::Keys;
use crate::cluster::{Cluster, ClusterError, explain, forbidden, rights};

/// One connection.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// It will not work later either.
    #[error(transparent)]
    Closed(ClusterError),
    /// It may work later.
    #[error("{0}")]
    NotNow(String),
}

/// A way to one runner.
pub trait Way: Send + Sync {
    /// Opens a connection.
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, WayError>>;
    /// Reads the tokens that open the runner, the likelier one first.
    fn tokens(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>>;
    /// Which instance stands at the other end now; another answer means that it was replaced. None when that cannot be known.
    fn instance(&self) -> BoxFuture<'_, Option<String>>;
}

/// A pod of the cluster.
pub struct PodWay {
    cluster: Cluster,
    pod: String,
    topic_uid: String,
}

impl PodWay {
    /// The way to the runner in `pod`.
    pub fn new(cluster: &Cluster, pod: String, topic_uid: String) -> Self {
        Self {
            cluster: cluster.clone(),
            pod,
            topic_uid,
        }
    }

    async fn forward(&self) -> Result<Box<dyn Connection>, WayError> {
        let pods: Api<Pod> = self.cluster.api();
        let mut forwarder = pods
            .portforward(&self.pod, &[RUNNER_PORT])
            .await
            .map_err(|error| self.refused(error))?;
        let stream = forwarder.take_stream(RUNNER_PORT);
        let stream = stream.ok_or_else(|| WayError::NotNow("the port-forward has no stream".to_owned()))?;
        Ok(Box::new(Forwarded { stream, forwarder }))
    }

    fn refused(&self, error: kube::Error) -> WayError {
        let namespace = &self.cluster.namespace;
        match error {
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => match status.as_u16() {
                401 | 403 => WayError::Closed(forbidden(rights::FORWARD, namespace)),
                404 => WayError::NotNow(format!("pod {} does not exist", self.pod)),
                _ => WayError::NotNow(format!("pod {} cannot be reached now (status {status})", self.pod)),
            },
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
                WayError::Closed(explain(kube::Error::Api(status), rights::FORWARD, namespace))
            }
            other => WayError::NotNow(other.to_string()),
        }
    }
}

impl Way for PodWay {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, WayError>> {
        self.forward().boxed()
    }

    fn tokens(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        async { Ok(Keys::read(&self.cluster).await?.tokens(&self.topic_uid)) }.boxed()
    }

    /// Without the right to look at pods nobody is told of a new one; the conversation goes on all the same.
    fn instance(&self) -> BoxFuture<'_, Option<String>> {
        let pods: Api<Pod> = self.cluster.api();
        async move { pods.get_metadata(&self.pod).await.ok()?.uid() }.boxed()
    }
}

/// The stream of a port-forward, which ends with it.
struct Forwarded {
    stream: DuplexStream,
    forwarder: kube::api::Portforwarder,
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

impl AsyncRead for Forwarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
