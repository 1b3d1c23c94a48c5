//! `vouch deploy`: puts the contracts on a chain.

use std::path::PathBuf;

use alloy::primitives::{Address, U256};
use alloy::providers::Provider;
use clap::Args;
use serde_json::json;
use vouch_client::deploy::{Files, Setup, Step, deploy};

use crate::chain::{ChainArgs, SignerArgs};
use crate::output::{Exit, Failure, Format, Report, Style, fields};

/// `deploy`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch deploy --key 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80 \\
    --operators 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --wasm-dir target/wasm32-unknown-unknown/release

The account becomes the governor. What is already there is kept, so an interrupted deployment can
be run again.")]
pub struct Deploy {
    /// Oracle operators, whose verdicts count.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', required = true)]
    operators: Vec<Address>,
    /// How many operators must agree [default: more than two thirds of them].
    #[arg(long, value_name = "N")]
    quorum: Option<u16>,
    /// Smallest oracle fee of an order, in the token's smallest units.
    #[arg(long, value_name = "UNITS", default_value = "0")]
    fee: U256,
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
    chain: ChainArgs,
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
    let quorum = args
        .quorum
        .unwrap_or_else(|| default_quorum(args.operators.len()));
    if quorum == 0 || usize::from(quorum) > args.operators.len() {
        return Err(Failure::usage(format!(
            "--quorum {quorum}: expected 1 to {}, the number of operators",
            args.operators.len()
        )));
    }
    let (provider, governor) = args.chain.provider_as(&args.signer).await?;
    let files = Files {
        wasm: args.wasm_dir.clone(),
        cache: args.cache_dir.clone(),
        deployment: args.chain.deployment_file(provider.get_chain_id().await?),
    };
    let setup = Setup {
        governor,
        operators: args.operators.clone(),
        quorum,
        fee: args.fee,
        token_name: "Vouch test dollar".to_owned(),
        token_symbol: "vUSD".to_owned(),
    };
    let style = Style::stderr();
    let deployment = deploy(&provider, &setup, &files, |step| {
        let line = match step {
            Step::Kept(contract, address) => format!("{contract} kept at {address}"),
            Step::Deployed(contract, address, size, gas) => {
                format!("{contract} deployed at {address}: {size} bytes, {gas} gas")
            }
            Step::Bound(contract) => format!("{contract} bound to the escrow"),
        };
        eprintln!("{}", style.dim(line));
    })
    .await?;
    let mut rows: Vec<(&str, String)> = deployment
        .contracts
        .iter()
        .map(|(contract, entry)| (contract.name(), entry.address.to_string()))
        .collect();
    rows.push(("governor", governor.to_string()));
    rows.push(("quorum", format!("{quorum} of {}", args.operators.len())));
    rows.push(("written to", files.deployment.display().to_string()));
    let json = json!({
        "deployment": deployment,
        "file": files.deployment,
        "governor": governor,
        "operators": args.operators,
        "quorum": quorum,
    });
    Ok(Report::new(json, fields(rows)))
}

/// More than two thirds: a third of the operators may be wrong.
pub fn default_quorum(operators: usize) -> u16 {
    u16::try_from(operators * 2 / 3 + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_quorum_is_more_than_two_thirds_and_reachable() {
        for (operators, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 5), (10, 7)] {
            assert_eq!(default_quorum(operators), quorum, "{operators}");
        }
    }
}
