//! The command line of `longshore-runner`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use longshore_runner::serve::serve;
use longshore_runner::settings::{Flags, Settings};
use tracing_subscriber::EnvFilter;

/// Runs the claude CLI as a Longshore agent.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the agent's API and drive claude: process 1 of an agent pod.
    Serve(Flags),
}

fn main() -> anyhow::Result<ExitCode> {
    // First of all: the environment and the memory of this process hold the model key. Without this, any process of the
    // same user could read both from /proc.
    nix::sys::prctl::set_dumpable(false).context("the process cannot be made unreadable")?;
    let cli = Cli::parse();
    match cli.command {
        Command::Serve(flags) => {
            log();
            let settings = Settings::from_env(flags)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            let status = runtime.block_on(serve(settings))?;
            runtime.shutdown_background();
            Ok(ExitCode::from(status))
        }
    }
}

fn log() {
    let filter = EnvFilter::try_from_env("LONGSHORE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        format.init();
    } else {
        format.json().init();
    }
}
