//! `vouch deploy`: puts the contracts on a chain.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, U256};
use alloy::providers::Provider;
use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use vouch_client::cache::{self, Bid};
use vouch_client::deploy::{Files, Setup, Step, deploy};
use vouch_client::is_development;

use crate::chain::{ChainArgs, SignerArgs};
use crate::output::{Exit, Failure, Format, Report, Style, fields};

/// `deploy`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch deploy --key 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80 \\
    --operators 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --wasm-dir target/wasm32-unknown-unknown/release

  vouch deploy --chain arbitrum-sepolia --keystore key.json --password-file password

The account owns the market, or offers it to --owner, who takes it with `vouch govern accept`. What is
already there is kept, so an interrupted deployment can be run again; what was built from other sources is
refused.")]
pub struct Deploy {
    /// One of the configuration's chains: devnet, nitro-dev or arbitrum-sepolia. Its endpoint is used
    /// where --rpc is not given, and its chain id must be the endpoint's.
    #[arg(long, value_name = "NAME")]
    chain: Option<String>,
    /// The configuration that --chain looks into.
    #[arg(long, value_name = "FILE", default_value = "deployments/market.toml")]
    config: PathBuf,
    /// Deploy all anew; the deployment file of before is kept beside the new one, as `….json.old`.
    #[arg(long)]
    fresh: bool,
    /// Oracle operators, whose verdicts count [default: the configuration's].
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    operators: Vec<Address>,
    /// How many operators must agree [default: more than two thirds of them].
    #[arg(long, value_name = "N")]
    quorum: Option<u16>,
    /// Smallest oracle fee of an order, in the token's smallest units [default: 0].
    #[arg(long, value_name = "UNITS")]
    fee: Option<U256>,
    /// Who is to own the market [default: the account that deploys it].
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<Address>,
    /// How long every change of the market is announced before it can be made: 1d to 30d, on development
    /// chains anything up to 30d [default: the configuration's, or 2d, or 5s on development chains].
    #[arg(long, value_name = "DURATION", value_parser = crate::when::duration)]
    delay: Option<u64>,
    /// How long an operator's bond can still be lost once it is taken out: 7d to 90d, on development
    /// chains anything up to 90d [default: the configuration's, or 14d, or 5s on development chains].
    #[arg(long, value_name = "DURATION", value_parser = crate::when::duration)]
    bond_delay: Option<u64>,
    /// Most wei to bid for each contract's place in the chain's program cache [default: 10^15].
    #[arg(long, value_name = "WEI")]
    max_cache_bid: Option<U256>,
    /// Directory of the contracts' wasm files.
    #[arg(
        long,
        env = "VOUCH_WASM_DIR",
        value_name = "DIR",
        default_value = "target/wasm32-unknown-unknown/release"
    )]
    wasm_dir: PathBuf,
    /// Directory of compressed programs, to be quick the next time.
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    at: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    format: Format,
}

impl Deploy {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        self.format.emit(run(&self).await)
    }
}

async fn run(args: &Deploy) -> Result<Report, Failure> {
    let mut at = args.at.clone();
    let (mut config, mut expected) = (Config::default(), None);
    if let Some(name) = &args.chain {
        config = Config::load(&args.config)?;
        let chain = config.chain(name, &args.config)?;
        at.rpc.get_or_insert(chain.rpc);
        expected = Some(chain.id);
    }
    let operators = if args.operators.is_empty() {
        config.operators
    } else {
        args.operators.clone()
    };
    if operators.is_empty() {
        return Err(Failure::usage(
            "no operators: name them with --operators, or in the configuration of --chain",
        ));
    }
    let quorum = args
        .quorum
        .or(config.quorum)
        .unwrap_or_else(|| default_quorum(operators.len()));
    if quorum == 0 || usize::from(quorum) > operators.len() {
        return Err(Failure::usage(format!(
            "--quorum {quorum}: expected 1 to {}, the number of operators",
            operators.len()
        )));
    }
    let (provider, deployer) = at.provider_as(&args.signer).await?;
    let chain_id = provider.get_chain_id().await?;
    if let (Some(expected), Some(name)) = (expected, &args.chain)
        && chain_id != expected
    {
        return Err(Failure::usage(format!(
            "--chain {name}: expected chain id {expected}, the endpoint serves {chain_id}"
        )));
    }
    let files = Files {
        wasm: args.wasm_dir.clone(),
        cache: args.cache_dir.clone(),
        deployment: at.deployment_file(chain_id),
    };
    if args.fresh && files.deployment.exists() {
        // Kept under another name: the old market's money is still there.
        let old = free_name(&files.deployment);
        std::fs::rename(&files.deployment, &old)
            .with_context(|| format!("renaming {}", files.deployment.display()))
            .map_err(Failure::Failed)?;
        eprintln!("the old deployment is kept in {}", old.display());
    }
    let owner = args.owner.or(config.owner).unwrap_or(deployer);
    let (delay, bond_delay) = match is_development(chain_id) {
        true => (DEVELOPMENT_DELAY, DEVELOPMENT_DELAY),
        false => (DELAY, BOND_DELAY),
    };
    let delay = args.delay.or(config.delay).unwrap_or(delay);
    let bond_delay = args.bond_delay.or(config.bond_delay).unwrap_or(bond_delay);
    let setup = Setup {
        deployer,
        owner,
        delay,
        bond_delay,
        operators: operators.clone(),
        quorum,
        fee: args.fee.or(config.fee).unwrap_or_default(),
        token_name: "Vouch test dollar".to_owned(),
        token_symbol: "vUSD".to_owned(),
    };
    let max_cache_bid = args
        .max_cache_bid
        .or(config.max_cache_bid)
        .unwrap_or(U256::from(MAX_CACHE_BID));
    let style = Style::stderr();
    let deployment = deploy(&provider, &setup, &files, |step| {
        let line = match step {
            Step::Kept(contract, address) => format!("{contract} kept at {address}"),
            Step::Deployed(contract, address, size, gas) => {
                format!("{contract} deployed at {address}: {size} bytes, {gas} gas")
            }
            Step::Bound(contract) => format!("{contract} bound to the escrow"),
            Step::Proposed(owner) => {
                format!("the market is offered to {owner}: vouch govern accept takes it")
            }
        };
        eprintln!("{}", style.dim(line));
    })
    .await?;
    cache::bid(
        &provider,
        &deployment,
        max_cache_bid,
        |contract, bid| {
            let line = match bid {
                Bid::Kept => format!("{contract} is cached"),
                Bid::Placed(wei) => format!("{contract} cached for a bid of {wei} wei"),
                Bid::TooDear(wei) => format!(
                    "{contract} not cached: the smallest bid is {wei} wei, --max-cache-bid {max_cache_bid}"
                ),
                Bid::NoManager => format!("{contract} not cached: the chain has no cache manager"),
            };
            eprintln!("{}", style.dim(line));
        },
    )
    .await?;
    let mut rows: Vec<(&str, String)> = deployment
        .contracts
        .iter()
        .map(|(contract, entry)| (contract.name(), entry.address.to_string()))
        .collect();
    rows.push(("owner", owner.to_string()));
    rows.push(("changes after", crate::when::show_duration(delay)));
    rows.push(("quorum", format!("{quorum} of {}", operators.len())));
    rows.push(("written to", files.deployment.display().to_string()));
    let json = json!({
        "deployment": deployment,
        "file": files.deployment,
        "owner": owner,
        "delay": delay,
        "bondDelay": bond_delay,
        "operators": operators,
        "quorum": quorum,
    });
    Ok(Report::new(json, fields(rows)))
}

/// `31337.json.old`, or with a number where that is another market's already.
fn free_name(deployment: &Path) -> PathBuf {
    let mut name = deployment.with_extension("json.old");
    let mut count = 1_u32;
    while name.exists() {
        count += 1;
        name = deployment.with_extension(format!("json.old{count}"));
    }
    name
}

/// Seconds that changes of a market are announced for, where nothing else is said.
const DELAY: u64 = 2 * 86_400;
/// Seconds that a bond can still be lost for.
const BOND_DELAY: u64 = 14 * 86_400;
/// Both on development chains: long enough to see that it is there.
pub(crate) const DEVELOPMENT_DELAY: u64 = 5;

/// Wei, for each contract, where nothing else is said.
const MAX_CACHE_BID: u64 = 1_000_000_000_000_000;

/// What is deployed on whichever chain, and which chains there are: `deployments/market.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Config {
    #[serde(default)]
    operators: Vec<Address>,
    quorum: Option<u16>,
    fee: Option<U256>,
    owner: Option<Address>,
    /// Seconds.
    delay: Option<u64>,
    /// Seconds.
    bond_delay: Option<u64>,
    max_cache_bid: Option<U256>,
    #[serde(default)]
    chains: BTreeMap<String, Chain>,
}

/// One chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    id: u64,
    rpc: String,
}

impl Config {
    fn load(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--config {}", path.display()))
            .map_err(Failure::Usage)?;
        toml::from_str(&text)
            .with_context(|| format!("--config {}", path.display()))
            .map_err(Failure::Usage)
    }

    fn chain(&self, name: &str, path: &Path) -> Result<Chain, Failure> {
        self.chains.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.chains.keys().map(String::as_str).collect();
            Failure::usage(format!(
                "--chain {name}: expected one of {}, the chains of {}",
                known.join(", "),
                path.display()
            ))
        })
    }
}

/// More than two thirds: a third of the operators may be wrong.
pub fn default_quorum(operators: usize) -> u16 {
    u16::try_from(operators * 2 / 3 + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_configuration_names_the_chains() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deployments/market.toml");
        let config = Config::load(&path).unwrap();
        for (name, id) in [
            ("devnet", 31_337),
            ("nitro-dev", 412_346),
            ("arbitrum-sepolia", 421_614),
        ] {
            assert_eq!(config.chain(name, &path).unwrap().id, id);
        }
        let unknown = config.chain("mainnet", &path).unwrap_err().to_string();
        assert!(unknown.contains("arbitrum-sepolia"), "{unknown}");
        assert!(toml::from_str::<Config>("operator = []").is_err());
    }

    #[test]
    fn the_default_quorum_is_more_than_two_thirds_and_reachable() {
        for (operators, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 5), (10, 7)] {
            assert_eq!(default_quorum(operators), quorum, "{operators}");
        }
    }
}
