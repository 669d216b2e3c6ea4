//! Longshore's operator: turns custom resources into volumes, Jobs and StatefulSets.
//!
//! Never talks to Telegram, and copies bounded result text without reading or logging it. Folders `topic`, `task`, `schedule`,
//! `session` and `class` hold one reconciler each, all of one shape: observe, (admit), plan, apply, status. `plan` and the builders are
//! pure; IO lives in `cluster` (API server), `agent` (runners), `watch` and the server.

mod agent;
mod class;
mod clock;
mod cluster;
mod conditions;
mod connections;
mod context;
mod controller;
mod events;
mod fingerprint;
mod furniture;
mod index;
mod leader;
mod ledger;
mod metrics;
mod notices;
mod pod;
mod policy;
mod requeue;
mod run;
mod schedule;
mod scope;
mod server;
mod session;
mod settings;
#[cfg(test)]
mod simulation;
mod status;
mod task;
mod topic;
mod uninstall;
mod wake;
mod watch;

use anyhow::Context as _;
use clap::Parser;
use settings::{Cli, Command, LogFormat, Settings};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    log(cli.log_format);
    let client = kube::Client::try_default()
        .await
        .context("no way to the API server is configured")?;
    match cli.command {
        Command::Run(args) => run::run(client, Settings::try_from(args)?).await,
        Command::Uninstall(args) => uninstall::uninstall(client, args).await,
    }
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().init(),
        LogFormat::Text => lines.init(),
    }
}

/// An error with all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
