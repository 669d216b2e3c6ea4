//! `longshore-bot run`: arguments, logging, signals. Everything else is in the library.

use anyhow::Context;
use clap::Parser;
use longshore_bot::health::{self, Health};
use longshore_bot::settings::{Cli, Command, LogFormat, Settings};
use longshore_bot::telegram::Telegram;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let Command::Run(args) = Cli::parse().command;
    let settings = Settings::try_from(*args)?;
    log(settings.log_format);
    tokio::runtime::Runtime::new()
        .context("the runtime")?
        .block_on(run(settings))
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let health = Health::default();
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("listen on {}", settings.listen))?;
    let serving = tokio::spawn(health::serve(listener, health.clone(), stop.clone()));
    let mut terminate = signal(SignalKind::terminate())?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = token.cancelled() => {}
        }
        token.cancel();
    });
    let client = kube::Client::try_default().await.context("no access to a cluster")?;
    let telegram = Telegram::new(
        settings.telegram_token.expose_secret(),
        settings.telegram_api_url.as_deref(),
    )?;
    let result = longshore_bot::run::run(settings, client, telegram, health, stop.clone()).await;
    stop.cancel();
    serving.await.context("the health server")??;
    Ok(result?)
}
