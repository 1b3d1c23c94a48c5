//! `vouch-devnet`: an Anvil-compatible node that also executes Stylus programs.

use std::{net::IpAddr, path::PathBuf, process::ExitCode, time::Duration};

use alloy::primitives::{Address, U256, utils::format_ether};
use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use vouch_devnet::{
    BaseFee, Config, Mining, Node, NodeHandle,
    config::{DEFAULT_BASE_FEE, DEFAULT_GAS_LIMIT, DEFAULT_MNEMONIC},
};

/// An Ethereum development node that speaks Anvil's JSON-RPC and also executes Stylus programs.
///
/// Its keys are public and anyone who reaches its port may change its state: use it only to
/// develop and to test.
///
/// Example: vouch-devnet --port 8547 --chain-id 412346
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Args {
    /// Port to listen on (`cargo stylus` looks for 8547); 0 takes a free one
    #[arg(short, long, default_value_t = 8545)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Chain id
    #[arg(long, alias = "chain", default_value_t = 31337)]
    chain_id: u64,
    /// Accounts to derive from the mnemonic
    #[arg(short, long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    accounts: u32,
    /// BIP-39 mnemonic the accounts are derived from
    #[arg(short, long, default_value = DEFAULT_MNEMONIC)]
    mnemonic: String,
    /// Derivation path of the accounts, without their index
    #[arg(long, default_value = "m/44'/60'/0'/0/")]
    derivation_path: String,
    /// Ether given to each account
    #[arg(long, default_value_t = 10_000)]
    balance: u64,
    /// Seconds between blocks; without it each transaction gets a block at once
    #[arg(short, long, alias = "blockTime", value_parser = clap::value_parser!(u64).range(1..))]
    block_time: Option<u64>,
    /// Make blocks only on request
    #[arg(long, visible_alias = "no-mine", conflicts_with = "block_time")]
    no_mining: bool,
    /// Gas limit of a block
    #[arg(long, default_value_t = DEFAULT_GAS_LIMIT)]
    gas_limit: u64,
    /// Most gas of one call, estimate or trace
    #[arg(long, default_value_t = 100_000_000)]
    call_gas_limit: u64,
    /// Base fee in wei
    #[arg(long, visible_alias = "block-base-fee-per-gas", default_value_t = DEFAULT_BASE_FEE)]
    base_fee: u64,
    /// Let the base fee move from block to block by the rule of EIP-1559
    #[arg(long)]
    adjust_base_fee: bool,
    /// Timestamp of the first block, in seconds since the Unix epoch
    #[arg(long)]
    timestamp: Option<u64>,
    /// Who receives the tips
    #[arg(long, default_value_t = Address::ZERO)]
    coinbase: Address,
    /// Accept transactions for any account without its key
    #[arg(long, visible_alias = "auto-unlock")]
    auto_impersonate: bool,
    /// Load the state from this file if it exists, and write it there at the end
    #[arg(long, conflicts_with_all = ["load_state", "dump_state"])]
    state: Option<PathBuf>,
    /// Load the state from this file
    #[arg(long)]
    load_state: Option<PathBuf>,
    /// Write the state to this file at the end
    #[arg(long)]
    dump_state: Option<PathBuf>,
    /// Print nothing at the start
    #[arg(short, long, visible_alias = "quiet", short_alias = 'q')]
    silent: bool,
}

impl Args {
    fn config(&self) -> Config {
        let mining = match (self.no_mining, self.block_time) {
            (true, _) => Mining::Manual,
            (false, Some(seconds)) => Mining::Interval(Duration::from_secs(seconds)),
            (false, None) => Mining::Auto,
        };
        let base_fee = match self.adjust_base_fee {
            true => BaseFee::Adjusting(self.base_fee),
            false => BaseFee::Constant(self.base_fee),
        };
        let state = self.state.clone();
        Config {
            host: self.host,
            port: self.port,
            chain_id: self.chain_id,
            accounts: self.accounts,
            mnemonic: self.mnemonic.clone(),
            derivation_path: self.derivation_path.clone(),
            balance: U256::from(self.balance) * U256::from(10).pow(U256::from(18)),
            mining,
            gas_limit: self.gas_limit,
            call_gas_limit: self.call_gas_limit,
            base_fee,
            timestamp: self.timestamp,
            coinbase: self.coinbase,
            auto_impersonate: self.auto_impersonate,
            load_state: self
                .load_state
                .clone()
                .or(state.clone().filter(|path| path.exists())),
            dump_state: self.dump_state.clone().or(state),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vouch-devnet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.config();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let node = Node::spawn(config.clone()).await?;
    if !args.silent {
        print_banner(&config, &node).await?;
    }
    println!("Listening on {}", node.address());
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for ctrl-c")?,
    }
    if let Some(path) = &config.dump_state {
        let state = node.chain().run(|chain| chain.dump().to_bytes()).await?;
        std::fs::write(path, state)
            .with_context(|| format!("cannot write the state to {}", path.display()))?;
    }
    Ok(())
}

/// Prints what Anvil prints, since launchers read accounts and keys from it.
async fn print_banner(config: &Config, node: &NodeHandle) -> anyhow::Result<()> {
    let heading = |title: &str| println!("\n{title}\n==================\n");
    let genesis = node
        .chain()
        .run(|chain| chain.block(0).map(|block| block.header.timestamp))
        .await?;
    println!("\nvouch-devnet {}", env!("CARGO_PKG_VERSION"));
    heading("Available Accounts");
    for (index, (address, _)) in node.accounts().derived().enumerate() {
        println!("({index}) {address} ({} ETH)", format_ether(config.balance));
    }
    heading("Private Keys");
    for (index, (_, key)) in node.accounts().derived().enumerate() {
        println!("({index}) {key}");
    }
    println!("\nWallet\n==================");
    println!("Mnemonic:          {}", config.mnemonic);
    println!("Derivation path:   {}", config.derivation_path);
    heading("Arbitrum Development Account (chain owner)");
    let owner = alloy::signers::local::PrivateKeySigner::from_bytes(
        &vouch_devnet::accounts::ARBITRUM_DEV_KEY,
    )?;
    println!("{} ({} ETH)", owner.address(), format_ether(config.balance));
    heading("Chain ID");
    println!("{}", config.chain_id);
    heading("Base Fee");
    println!("{}", config.base_fee.initial());
    heading("Gas Limit");
    println!("{}", config.gas_limit);
    heading("Genesis Timestamp");
    println!("{}", genesis.unwrap_or_default());
    heading("Genesis Number");
    println!("0\n");
    Ok(())
}
