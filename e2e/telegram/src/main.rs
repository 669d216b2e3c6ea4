//! The emulator as a program of its own. Needs no file at run time, so it runs in an empty image.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use longshore_telegram_emulator::{Emulator, Options};

/// Acts as Telegram for one bot, with a chat page at `/`.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on; use 0.0.0.0 in a pod.
    #[arg(long, env = "LONGSHORE_TELEGRAM_LISTEN", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// The only bot token accepted; without it, the first one that is seen.
    #[arg(long, env = "LONGSHORE_TELEGRAM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Start with a person (id 1001) and a forum, so that the chat page can be used at once.
    #[arg(long, env = "LONGSHORE_TELEGRAM_DEMO")]
    demo: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let options = Options {
        token: args.token,
        demo: args.demo,
    };
    let mut emulator = Emulator::start(args.listen, options)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    tracing::info!(url = emulator.url(), "listening");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        () = emulator.ended() => anyhow::bail!("the server ended"),
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    emulator.stop().await;
    Ok(())
}
