//! The command line of `longshore-runner`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use longshore_runner::lifecycle::StopSignals;
use longshore_runner::replay::replay;
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
    /// Replay recorded transcripts of claude and say what was understood; fails if anything was lost.
    Replay {
        /// Transcripts, one JSON object per line.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    // First of all: the environment and the memory of this process hold the model key. Without this, any process of the
    // same user could read both from /proc.
    nix::sys::prctl::set_dumpable(false).context("the process cannot be made unreadable")?;
    let cli = Cli::parse();
    match cli.command {
        Command::Serve(flags) => {
            // A pod may be told to go the moment that its container has started.
            StopSignals::hold().context("signals cannot be held")?;
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
        Command::Replay { files } => replay_all(&files),
    }
}

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
fn replay_all(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut lost = 0;
    for file in files {
        let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let report = replay(&String::from_utf8_lossy(&bytes));
        println!(
            "{}: {} turns, {} texts, {} tools, {} approvals, {} lost",
            file.display(),
            report.turns,
            report.texts,
            report.tools,
            report.approvals,
            report.lost.len()
        );
        print!("{report}");
        lost += report.lost.len();
    }
    Ok(if lost == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        format.init();
    } else {
        format.json().init();
    }
}
