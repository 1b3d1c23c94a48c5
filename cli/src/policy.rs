//! `vouch policy`: usage policies on chain.

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use vouch_abi::Policy;
use vouch_abi::id::policy_id;
use vouch_client::send;

use crate::chain::{ChainArgs, SignerArgs};
use crate::output::{Exit, Failure, Format, Report, fields};
use crate::policy_file;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a policy known under its id.
    Publish(Publish),
    /// Show a policy: a published one by its id, or a file.
    Show(Show),
}

/// `policy publish`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch policy publish policy.toml

The file has one key for each clause, each a requirement or \"any\", and the royalty:
  cpu_kind = [\"sev_snp\"]            gpu_architecture = [\"hopper\"]   purposes = [\"train\", \"infer\"]
  cpu_tcb = \"any\"                   gpu_count = 1                   max_uses = 100
  debug_off = true                  gpu_mode = [\"single_gpu\"]       max_uses_per_buyer = \"any\"
  rim_match = \"any\"                 workload = [\"0x…\"]              window = { not_after = \"2027-01-01T00:00:00Z\" }
  revocation = \"any\"                buyers = \"any\"                  max_duration = \"1h\"
  evidence_age = \"10m\"              providers = \"any\"               output_bytes = 1000000
  export = \"any\"                    output_rows = \"any\"             total_output_bytes = \"any\"
  royalty = \"2.5 %\"                                               total_output_rows = \"any\"")]
pub struct Publish {
    /// TOML or JSON file.
    file: PathBuf,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    format: Format,
}

/// `policy show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch policy show policy.toml
  vouch policy show 0x8f5d…")]
pub struct Show {
    /// Policy id, or a file.
    policy: String,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        match self {
            Self::Publish(args) => args.format.emit(publish(&args).await),
            Self::Show(args) => args.format.emit(show(&args).await),
        }
    }
}

/// Reads a policy file.
pub fn load(path: &Path) -> Result<Policy, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("reading policy {shown}"));
    policy_file::parse(&text.map_err(Failure::Usage)?)
        .with_context(|| format!("policy {shown}"))
        .map_err(Failure::Usage)
}

async fn publish(args: &Publish) -> Result<Report, Failure> {
    let policy = load(&args.file)?;
    let (market, _) = args.chain.market_as(&args.signer).await?;
    let id = policy_id(&policy);
    let receipt = send(market.usage().publish(policy.clone())).await?;
    let json = json!({
        "policy": id,
        "terms": policy_file::show(&policy),
        "transaction": receipt.transaction_hash,
    });
    Ok(Report::new(json, format!("{id}\n")))
}

async fn show(args: &Show) -> Result<Report, Failure> {
    let policy = match args.policy.parse::<B256>() {
        Ok(id) => args.chain.market().await?.published_policy(id).await?,
        Err(_) => load(Path::new(&args.policy))?,
    };
    let terms = policy_file::show(&policy);
    let id = policy_id(&policy);
    let mut rows = vec![("policy".to_owned(), id.to_string())];
    for (name, value) in terms.as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        rows.push((name.clone(), value));
    }
    let text = fields(
        rows.iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    Ok(Report::new(json!({ "policy": id, "terms": terms }), text))
}
