//! Local ends of pods' ports, as `kubectl port-forward` makes them.
//!
//! The way in is the kubelet, so it works on any cluster and past every NetworkPolicy.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A listener on loopback whose connections end at a port of a pod. Closed when dropped.
pub struct Forward {
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl Forward {
    /// Opens a local end for `port` of `pod`.
    ///
    /// # Errors
    /// When no local port can be had. A pod that is not there shows as a closed connection.
    pub async fn open(client: kube::Client, namespace: &str, pod: &str, port: u16) -> Result<Self> {
        Self::open_at(client, namespace, pod, port, 0).await
    }

    /// The same at a local port of the caller's choice; 0 takes a free one.
    ///
    /// # Errors
    /// When the local port cannot be had.
    pub async fn open_at(client: kube::Client, namespace: &str, pod: &str, port: u16, local: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", local))
            .await
            .context("no local port for a forward")?;
        let address = listener.local_addr()?;
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let pod = pod.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(carry(pods.clone(), pod.clone(), port, connection));
            }
        });
        Ok(Self {
            address,
            _accepting: AbortOnDropHandle::new(accepting),
        })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Copies both ways until one side closes. Errors end the connection, which is how its user learns of them.
async fn carry(pods: Api<Pod>, pod: String, port: u16, mut connection: TcpStream) {
    let Ok(mut forwarder) = pods.portforward(&pod, &[port]).await else {
        return;
    };
    let Some(mut stream) = forwarder.take_stream(port) else {
        return;
    };
    let _ = tokio::io::copy_bidirectional(&mut connection, &mut stream).await;
}
