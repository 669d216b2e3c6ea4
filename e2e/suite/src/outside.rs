//! The way out of the embedded cluster, for a demo with the real services.
//!
//! That cluster has no way to the machine's network or beyond. It takes connections to a few well-known names (see
//! `e2e/cluster`, package `outside`) and hands each to a Unix socket in its state folder; this is the other end of those
//! sockets. Nothing passes unless somebody listens here.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

/// Name of the model endpoint, and the address that stands for it inside the cluster.
pub const MODEL: (&str, &str) = ("api.anthropic.com", "192.0.2.1");
/// Name of Telegram's servers, and the address that stands for them inside the cluster.
pub const TELEGRAM: (&str, &str) = ("api.telegram.org", "192.0.2.2");

/// Open ways to names outside; closed when dropped.
pub struct Outside {
    sockets: Vec<PathBuf>,
    _accepting: Vec<AbortOnDropHandle<()>>,
}

impl Outside {
    /// Carries connections of the cluster with this state folder to port 443 of these names.
    ///
    /// # Errors
    /// When a socket cannot be made there.
    pub fn open(state: &Path, names: &[&str]) -> Result<Self> {
        let targets: Vec<(&str, String)> = names.iter().map(|name| (*name, format!("{name}:443"))).collect();
        Self::open_to(state, &targets)
    }

    /// The same to targets of the caller's choice, `host:port`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_to(state: &Path, targets: &[(&str, String)]) -> Result<Self> {
        let folder = state.join("outside");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (mut sockets, mut accepting) = (Vec::new(), Vec::new());
        for (name, target) in targets {
            let path = folder.join(name);
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
            let target = target.clone();
            accepting.push(AbortOnDropHandle::new(tokio::spawn(async move {
                while let Ok((inside, _)) = listener.accept().await {
                    tokio::spawn(carry(inside, target.clone()));
                }
            })));
            sockets.push(path);
        }
        Ok(Self {
            sockets,
            _accepting: accepting,
        })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for socket in &self.sockets {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// Copies both ways until one side closes. Errors end the connection, which is how its user learns of them.
async fn carry(mut inside: UnixStream, target: String) {
    if let Ok(mut outside) = TcpStream::connect(target).await {
        let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
    }
}
