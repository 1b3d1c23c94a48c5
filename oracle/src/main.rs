//! `vouch-oracle`: the operator's daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use alloy::primitives::B256;
use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use vouch_oracle::config::Config;
use vouch_oracle::store::Store;
use vouch_oracle::{api, daemon};

/// Follows orders, verifies evidence, signs and submits verdicts.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example:\n  vouch-oracle run --config oracle.toml"
)]
struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// How log lines look. Levels come from `RUST_LOG`, for example `vouch_oracle=debug`.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, clap::Args)]
struct ConfigArg {
    /// The configuration; oracle/oracle.example.toml explains every key.
    #[arg(long, value_name = "FILE", env = "VOUCH_ORACLE_CONFIG")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT.
    Run(ConfigArg),
    /// Check the configuration against the chain, and stop.
    CheckConfig(ConfigArg),
    /// Show cursor, jobs by stage and outbox, as JSON.
    Status(ConfigArg),
    /// Show the jobs of an order, as JSON.
    Job {
        /// The order's id.
        order: String,
        #[command(flatten)]
        config: ConfigArg,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match answer(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(args: Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,vouch_oracle=info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    match args.command {
        Command::Run(file) => run(Config::load(&file.config)?).await,
        Command::CheckConfig(file) => {
            daemon::check(Config::load(&file.config)?).await?;
            println!("{}: ok", file.config.display());
            Ok(())
        }
        Command::Status(file) => {
            let config = Config::load(&file.config)?;
            let url = format!("http://{}/v1/status", config.server.listen);
            show(&config, &url, |store| Ok(api::summary(store, None)?)).await
        }
        Command::Job { order, config } => {
            let config = Config::load(&config.config)?;
            let id = B256::from_str(&order)
                .with_context(|| format!("order {order:?}: expected 32 bytes of hex"))?;
            let url = format!("http://{}/v1/jobs?order={id}", config.server.listen);
            show(&config, &url, |store| {
                let jobs = store.jobs_of(id)?.into_iter();
                let shown: Result<Vec<_>, _> = jobs.map(|job| api::show(store, job)).collect();
                Ok(serde_json::json!({ "jobs": shown? }))
            })
            .await
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let cancel = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    let checked = tokio::select! {
        checked = daemon::check(config) => checked?,
        () = cancel.cancelled() => return Ok(()),
    };
    daemon::run(checked, cancel).await
}

/// Asks the running daemon; where none runs, reads its store.
async fn show(
    config: &Config,
    url: &str,
    read: impl FnOnce(&Store) -> anyhow::Result<serde_json::Value>,
) -> anyhow::Result<()> {
    let answer = match reqwest::get(url).await {
        Ok(response) => response.json().await?,
        Err(_) => {
            let store = Store::open_to_read(&config.store.dir)
                .with_context(|| format!("no daemon at {url}, and no store"))?;
            read(&store)?
        }
    };
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(())
}
