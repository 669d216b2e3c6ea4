//! Nothing of a browser outlives its test.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use longshore_browser::{Browser, folder, with_browser};

/// Processes that work in this folder.
fn at_work_in(folder: &Path) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let commands = processes.map(|process| fs::read(process.path().join("cmdline")).unwrap_or_default());
    let name = folder.display().to_string();
    commands
        .filter(|command| String::from_utf8_lossy(command).contains(&name))
        .count()
}

fn home(browser: &Browser) -> Result<PathBuf> {
    let file = browser.file("mark", b"")?;
    Ok(file.parent().context("the file is in a folder")?.to_owned())
}

#[tokio::test]
async fn a_browser_ends_with_its_test() -> Result<()> {
    let browser = Browser::start().await?;
    let home = home(&browser)?;
    ensure!(at_work_in(&home) > 1, "no process of it is known");
    browser.stop().await?;
    ensure!(at_work_in(&home) == 0 && !home.exists());
    Ok(())
}

#[tokio::test]
async fn a_browser_ends_with_a_test_that_panics_and_a_picture_is_kept() -> Result<()> {
    let picture = folder().join("panics.png");
    let _ = fs::remove_file(&picture);
    let mut place = None;
    let test = with_browser("panics", async |browser| {
        browser.open("data:text/html,hello").await?;
        place = Some(home(browser)?);
        panic!("as tests do");
    });
    ensure!(
        AssertUnwindSafe(test).catch_unwind().await.is_err(),
        "the panic was lost"
    );
    let home = place.context("it never started")?;
    ensure!(at_work_in(&home) == 0 && !home.exists());
    ensure!(fs::read(&picture)?.starts_with(b"\x89PNG"));
    Ok(())
}

#[tokio::test]
async fn a_browser_that_is_dropped_ends_too() -> Result<()> {
    let browser = Browser::start().await?;
    let home = home(&browser)?;
    drop(browser);
    ensure!(at_work_in(&home) == 0 && !home.exists());
    Ok(())
}
