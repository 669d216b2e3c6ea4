//! Waiting for a moment that may never be set.

use tokio::time::Instant;

/// Waits until then; for ever if that is not set.
pub async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
