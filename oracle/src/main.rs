//! `vouch-oracle`: the operator's daemon.

// What the clients of a key service are made of is nested deeply.
#![recursion_limit = "256"]

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use alloy::primitives::B256;
use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vouch_oracle::config::Config;
use vouch_oracle::store::Store;
use vouch_oracle::store::model::Stage;
use vouch_oracle::telemetry::{Format, Telemetry};
use vouch_oracle::tls::Authorities;
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
    /// A `PostgreSQL` server that several daemons share, instead of the embedded database.
    #[arg(
        long,
        value_name = "URL",
        env = "VOUCH_ORACLE_STORE",
        hide_env_values = true
    )]
    store: Option<String>,
}

impl ConfigArg {
    fn load(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(&self.config)?;
        if let Some(url) = &self.store {
            config.store.url = Some(url.clone());
        }
        Ok(config)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT. SIGHUP makes it read its keys and certificate again.
    Run(ConfigArg),
    #[command(flatten)]
    Once(Once),
}

/// What is done and over.
#[derive(Debug, Subcommand)]
enum Once {
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
    /// Take the jobs of an order up again that were given up. The embedded store must not be in use.
    Retry {
        /// The order's id.
        order: String,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Write every job with its verdict and signatures, one JSON object per line.
    Export(ConfigArg),
    /// Write the `OpenAPI` document of the API.
    Openapi,
}

#[tokio::main]
async fn main() -> ExitCode {
    match answer(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", vouch_client::told(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn answer(args: Args) -> anyhow::Result<()> {
    let format = match args.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let (telemetry, done) = match args.command {
        Command::Run(file) => {
            let config = file.load()?;
            let telemetry = Telemetry::start(format, Some(&config))?;
            (telemetry, run(config, file.config).await)
        }
        Command::Once(command) => {
            let telemetry = Telemetry::start(format, None)?;
            (telemetry, once(command).await)
        }
    };
    telemetry.stop().await;
    done
}

async fn once(command: Once) -> anyhow::Result<()> {
    match command {
        Once::CheckConfig(file) => {
            daemon::check(file.load()?).await?.reach().await?;
            println!("{}: ok", file.config.display());
            Ok(())
        }
        Once::Status(file) => {
            let config = file.load()?;
            let url = format!("{}/v1/status", config.own_url());
            show(&config, &url, |store| {
                Ok(serde_json::to_value(api::summary(store, None)?)?)
            })
            .await
        }
        Once::Job { order, config } => {
            let config = config.load()?;
            let id = order_id(&order)?;
            let url = format!("{}/v1/jobs?order={id}", config.own_url());
            show(&config, &url, |store| {
                let jobs = store.jobs_of(id)?.into_iter();
                let shown: Result<Vec<_>, _> = jobs.map(|job| api::show(store, job)).collect();
                Ok(serde_json::json!({ "jobs": shown? }))
            })
            .await
        }
        Once::Retry { order, config } => {
            let id = order_id(&order)?;
            retry(&config.load()?, id).await
        }
        Once::Export(file) => {
            let store = store_to_read(&file.load()?)?;
            let mut out = std::io::stdout().lock();
            for job in store.jobs()? {
                let shown = api::show(&store, job?)?;
                serde_json::to_writer(&mut out, &shown)?;
                std::io::Write::write_all(&mut out, b"\n")?;
            }
            Ok(())
        }
        Once::Openapi => {
            print!("{}", api::document()?);
            Ok(())
        }
    }
}

fn order_id(text: &str) -> anyhow::Result<B256> {
    B256::from_str(text).with_context(|| format!("order {text:?}: expected 32 bytes of hex"))
}

fn authorities(config: &Config) -> anyhow::Result<Authorities> {
    Ok(Authorities::load(config.trust.authorities.as_deref())?)
}

fn store_to_read(config: &Config) -> anyhow::Result<Store> {
    Ok(match &config.store.url {
        Some(url) => Store::connect_to_read(url, &authorities(config)?)?,
        None => Store::open_to_read(&config.store.dir)?,
    })
}

async fn retry(config: &Config, order: B256) -> anyhow::Result<()> {
    let market = store_to_read(config)?.market()?;
    let market = market.context("the store is empty")?;
    let store = match &config.store.url {
        Some(url) => Store::connect(url, &authorities(config)?, market)?,
        None => Store::open(&config.store.dir, market)
            .context("the store is in use: stop the daemon first")?,
    };
    let mut taken = 0;
    for job in store.jobs_of(order)? {
        if matches!(job.stage, Stage::Abandoned { .. }) {
            store.retry(&job.id)?;
            taken += 1;
        }
    }
    anyhow::ensure!(taken > 0, "order {order}: no job of it was given up");
    println!("{taken} taken up again");
    Ok(())
}

async fn run(config: Config, file: PathBuf) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let asked = Arc::new(Notify::new());
    let reload = daemon::Reload {
        file,
        asked: Arc::clone(&asked),
    };
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            asked.notify_one();
        }
    });
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
    daemon::run(checked, reload, cancel).await
}

/// Asks the running daemon; where none runs, reads its store.
async fn show(
    config: &Config,
    url: &str,
    read: impl FnOnce(&Store) -> anyhow::Result<serde_json::Value>,
) -> anyhow::Result<()> {
    // The daemon's certificate does not bear this machine's own address, over which it is asked.
    let http = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .build()?;
    let answer = match http.get(url).send().await {
        Ok(response) => response.json().await?,
        Err(_) => {
            let store = store_to_read(config)
                .with_context(|| format!("no daemon at {url}, and no store"))?;
            read(&store)?
        }
    };
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(())
}
