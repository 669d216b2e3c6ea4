//! What a test run may use of the person who starts it: nothing that costs.

use std::process::Command;

use anyhow::{Result, ensure};
use longshore_e2e::install::{Options, RealServices};

#[test]
fn a_key_in_the_environment_is_for_the_demo_alone() -> Result<()> {
    if std::env::var_os("ANTHROPIC_API_KEY").is_none_or(|key| key != "a key") {
        // The environment of a running program is not changed; another one with the keys tells.
        let name = "a_key_in_the_environment_is_for_the_demo_alone";
        let mut again = Command::new(std::env::current_exe()?);
        again.args(["--exact", name]).env("ANTHROPIC_API_KEY", "a key");
        let told = again.env("TELEGRAM_BOT_TOKEN", "a token").output()?;
        ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
        return Ok(());
    }
    let tests = Options::named("test").services;
    ensure!(tests.model.is_none() && tests.telegram.is_none());
    let demo = RealServices::of_environment();
    ensure!(demo.model.as_deref() == Some("a key") && demo.telegram.as_deref() == Some("a token"));
    Ok(())
}
