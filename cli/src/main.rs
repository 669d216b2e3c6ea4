//! `kubectl-longshore`: reads the command line, runs one command, says in one sentence what went wrong.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use kubectl_longshore::args::{Cli, Command};
use kubectl_longshore::change::{self, Wish};
use kubectl_longshore::cluster::Cluster;
use kubectl_longshore::{chat, explain, logs, rotate, status};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(code) => code,
        // Whoever reads has seen enough, e.g. `| head`.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let out = &mut std::io::stdout();
    if let Command::Explain(wanted) = &cli.command
        && !wanted.file.is_empty()
    {
        explain::run(None, wanted, out).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let cluster = Cluster::connect(cli.namespace, cli.context).await?;
    match cli.command {
        Command::Status { topic } => status::run(&cluster, topic.as_deref(), out).await?,
        Command::End(change) => change::run(&cluster, Wish::End, &change, out).await?,
        Command::Suspend(change) => change::run(&cluster, Wish::Suspend, &change, out).await?,
        Command::Resume(change) => change::run(&cluster, Wish::Resume, &change, out).await?,
        Command::Chat(chat) => {
            if !chat::run(&cluster, &chat).await? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Logs(logs) => logs::run(&cluster, &logs).await?,
        Command::Explain(wanted) => explain::run(Some(&cluster), &wanted, out).await?,
        Command::RotateKeys { dry_run } => rotate::run(&cluster, dry_run, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes
        .into_iter()
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

#[expect(clippy::print_stderr, reason = "this is where a person reads what went wrong")]
fn complain(error: &anyhow::Error) {
    eprintln!("kubectl longshore: {error}");
}
