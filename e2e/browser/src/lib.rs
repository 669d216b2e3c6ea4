//! A real browser, Chromium without a window, for tests of the chat page.
//!
//! Every test has a browser of its own with an empty profile in a temporary folder. Nothing outlives it: the driver and all processes
//! of the browser end with it, also when the test panics. [`with_browser`] leaves a picture of a page that failed in
//! `target/browser/`. [`page`] knows the chat page; everything else does not.

mod browser;
pub mod page;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use anyhow::Result;
pub use browser::{Browser, Look};
use futures::FutureExt as _;

/// Where pictures of failures go.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/browser"))
}

/// Runs a test with a browser. If it fails or panics, what the page shows is kept as a picture with this name.
///
/// # Errors
/// Those of the test, and when no browser can be started.
pub async fn with_browser<F>(name: &str, test: F) -> Result<()>
where
    F: AsyncFnOnce(&Browser) -> Result<()>,
{
    let browser = Browser::start().await?;
    let played = AssertUnwindSafe(test(&browser)).catch_unwind().await;
    let failed = !matches!(played, Ok(Ok(())));
    let mut seen = String::new();
    if failed {
        let path = folder().join(format!("{name}.png"));
        seen = match browser.picture(&path).await {
            Ok(()) => format!("the page is in {}", path.display()),
            Err(error) => format!("no picture of the page: {error:#}"),
        };
        seen.push_str(&browser.complaints().await.join("\n"));
    }
    let stopped = browser.stop().await;
    match played {
        Ok(Ok(())) => stopped,
        Ok(Err(error)) => Err(error.context(seen)),
        Err(panicked) => std::panic::resume_unwind(panicked),
    }
}
