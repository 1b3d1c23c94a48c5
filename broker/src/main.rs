//! `vouch-broker`: an owner's keys, and who got them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use alloy::primitives::B256;
use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use vouch_broker::config::Config;
use vouch_broker::journal::{Answer, Journal};
use vouch_broker::keys::{Keys, RootKey};
use vouch_broker::reconcile::reconcile;
use vouch_broker::server::{Broker, journal_file, keys_file, now};
use vouch_client::revert::time;
use vouch_client::told;
use vouch_content::ContentKey;
use zeroize::Zeroizing;

/// Holds an owner's content keys, and releases each to the session that may use it, once.
#[derive(Debug, Parser)]
#[command(name = "vouch-broker", version, disable_help_subcommand = true)]
struct Cli {
    /// Configuration, TOML.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "broker.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve sessions until stopped.
    Run,
    /// Make the root key, in the file that the configuration names.
    Init,
    /// Take over an asset's content key, as `vouch asset pack` wrote it. Remove the file afterwards.
    Import {
        /// The asset's digest.
        asset: B256,
        /// File of the key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Never release an asset's key again.
    Revoke {
        /// The asset's digest.
        asset: B256,
    },
    /// Encrypt all keys under a new root key, in a new file; the content stays as it is.
    Rotate {
        /// File of the new root key; made where it is not there.
        #[arg(long, value_name = "FILE")]
        new_root_key: PathBuf,
    },
    /// The assets whose keys are here.
    List,
    /// Every release and refusal, after checking that none was changed.
    Log,
    /// Every use of the assets on chain next to the journal. Exit status 1 where they do not match.
    Reconcile,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(&cli).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", told(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<ExitCode> {
    let config = Config::load(&cli.config)?;
    let dir = &config.store.dir;
    let open = || -> Result<Keys> {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Keys::open(
            &keys_file(dir),
            RootKey::load(&config.store.root_key)?,
        )?)
    };
    match &cli.command {
        Command::Run => serve(&config).await?,
        Command::Init => {
            let root = RootKey::create(&config.store.root_key)?;
            println!("{}", root.id());
        }
        Command::Import { asset, key } => open()?.import(*asset, &read_key(key)?, now())?,
        Command::Revoke { asset } => open()?.revoke(*asset, now())?,
        Command::Rotate { new_root_key } => {
            let mut keys = open()?;
            let root = match new_root_key.exists() {
                true => RootKey::load(new_root_key)?,
                false => RootKey::create(new_root_key)?,
            };
            keys.rotate(root)?;
            eprintln!(
                "name {} as store.root_key and start the broker again",
                new_root_key.display()
            );
        }
        Command::List => {
            for (asset, held) in open()?.held() {
                let state = held
                    .revoked_at
                    .map_or("released to sessions".to_owned(), |at| {
                        format!("revoked at {}", time(at))
                    });
                println!("{asset}  imported at {}  {state}", time(held.imported_at));
            }
        }
        Command::Log => log(dir)?,
        Command::Reconcile => return compare(&config, &open()?).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: &Config) -> Result<()> {
    let broker = Arc::new(Broker::start(config).await?);
    let listener = tokio::net::TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("server.listen {}", config.server.listen))?;
    println!("Listening on {}", listener.local_addr()?);
    let router = broker.router(config.store.content.as_deref());
    let stopped = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await?;
    Ok(())
}

fn log(dir: &Path) -> Result<()> {
    let journal = Journal::open(&journal_file(dir))?;
    for entry in journal.entries() {
        let answer = match &entry.answer {
            Answer::Released { evidence } => format!("released on evidence {evidence}"),
            Answer::Refused { code, detail } => format!("refused, {code}: {detail}"),
        };
        let (at, order, asset) = (time(entry.at), entry.order, entry.asset);
        println!(
            "{} at {at}  order {order}  asset {asset}  session {}  {answer}",
            entry.number, entry.session
        );
    }
    println!(
        "{} entries, unbroken; the last one's hash is {}",
        journal.entries().len(),
        journal.head()
    );
    Ok(())
}

async fn compare(config: &Config, keys: &Keys) -> Result<ExitCode> {
    let endpoints = config.endpoints().await?;
    let Some((_, market)) = endpoints.markets.first() else {
        bail!("chain.endpoints: expected at least one, found none");
    };
    let journal = Journal::open(&journal_file(&config.store.dir))?;
    let assets: BTreeSet<B256> = keys.held().keys().copied().collect();
    let uses = reconcile(market, journal.entries(), &assets, &config.owners).await?;
    println!("{}", serde_json::to_string_pretty(&uses)?);
    Ok(match uses.iter().any(|found| found.fault.is_some()) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn read_key(path: &Path) -> Result<ContentKey> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let text = Zeroizing::new(text);
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key)
        .with_context(|| format!("{}: expected 64 hex digits", path.display()))?;
    Ok(ContentKey::from_bytes(key))
}
