//! The stand-in as a program of its own. Needs no file at run time, so it runs in an empty image.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::Parser;
use longshore_model::{Model, server};

/// Answers like the Anthropic Messages API, from a script.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on; use 0.0.0.0 in a pod.
    #[arg(long, env = "LONGSHORE_MODEL_LISTEN", default_value = "127.0.0.1:8780")]
    listen: SocketAddr,
    /// Rules as JSON, instead of the ones built in.
    #[arg(long, env = "LONGSHORE_MODEL_SCRIPT")]
    script: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let script = match &args.script {
        None => server::default_script(),
        Some(path) => {
            let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&json).with_context(|| format!("{} is not a script", path.display()))?
        }
    };
    let mut model = Model::start(args.listen, script)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    tracing::info!(url = model.url(), "listening");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        () = model.ended() => anyhow::bail!("the server ended"),
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    model.stop().await;
    Ok(())
}
