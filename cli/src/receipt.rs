//! `vouch receipt`: the settled proof of use.

pub(crate) mod proof;

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use alloy::sol_types::{SolEvent, SolValue};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vouch_abi::{IEscrow, Receipt};
use vouch_client::{Market, State};

use crate::chain::{ChainArgs, Token};
use crate::output::{Exit, Failure, Format, Report, Style, fields};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The receipt of a settled order.
    Show(Show),
    /// Check a receipt against the chain.
    Verify(Verify),
}

/// `receipt show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouch receipt show 0x91ab… --json > receipt.json")]
pub struct Show {
    /// Order id.
    order: B256,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

/// `receipt verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch receipt verify receipt.json
  vouch receipt verify receipt.json --evidence http://127.0.0.1:8640 --result result.vouch

Without --evidence, whether the chain confirms the receipt. With it, also whether the hardware vouches that this
result came from these assets under this workload.
Exit status: 0 confirmed, 1 not.")]
pub struct Verify {
    /// Receipt as `vouch receipt show --json` prints it.
    file: PathBuf,
    /// Where the evidence is: dir:PATH, or the base of an operator's server.
    #[arg(long, value_name = "SOURCE")]
    evidence: Option<String>,
    /// The sealed result that was delivered.
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
    /// Also trust the simulator's roots. Its keys are public: this proves nothing.
    #[arg(long)]
    trust_simulator: bool,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        match self {
            Self::Show(args) => args.format.emit(show(&args).await),
            Self::Verify(args) => args.format.emit(verify(&args).await),
        }
    }
}

/// The id that the escrow keeps of a settled order's receipt.
pub fn hash(receipt: &Receipt) -> B256 {
    vouch_abi::id::receipt_id(receipt)
}

/// The receipt of a settled order, from the chain's events.
pub async fn find(market: &Market, order: B256) -> Result<Receipt, Failure> {
    let logs = market.history(order).await?;
    let event = logs
        .iter()
        .find_map(|log| IEscrow::OrderSettled::decode_log(&log.inner).ok());
    match event {
        Some(event) => Ok(event.data.receipt),
        None => {
            let state = market.record(order).await?.state;
            Err(Failure::Failed(anyhow!(
                "order {order}: no receipt, the order is {state}; only settled orders have one"
            )))
        }
    }
}

/// For programs; `encoded` is the whole receipt, the rest is for reading.
pub fn to_json(receipt: &Receipt, token: &Token) -> Value {
    let paid: Vec<String> = receipt
        .paid
        .iter()
        .map(|amount| token.number(*amount))
        .collect();
    json!({
        "order": receipt.order,
        "buyer": receipt.buyer,
        "assets": receipt.assets,
        "paid": paid,
        "measurement": receipt.measurement,
        "devices": receipt.devices,
        "evidence": receipt.evidence,
        "outputs": receipt.outputs,
        "verdict": receipt.verdict,
        "settled_at": vouch_client::revert::time(receipt.settledAt),
        "hash": hash(receipt),
        "encoded": alloy::primitives::Bytes::from(receipt.abi_encode()),
    })
}

/// For people.
pub fn to_text(receipt: &Receipt, token: &Token) -> String {
    let lines = |items: Vec<String>| items.join("\n");
    let legs = receipt.assets.iter().zip(&receipt.paid);
    fields([
        ("order", receipt.order.to_string()),
        ("buyer", receipt.buyer.to_string()),
        (
            "legs",
            lines(
                legs.map(|(asset, paid)| format!("{asset}  {}", token.show(*paid)))
                    .collect(),
            ),
        ),
        ("measurement", receipt.measurement.to_string()),
        (
            "devices",
            lines(receipt.devices.iter().map(B256::to_string).collect()),
        ),
        ("evidence", receipt.evidence.to_string()),
        ("outputs", receipt.outputs.to_string()),
        ("verdict", receipt.verdict.to_string()),
        ("settled at", vouch_client::revert::time(receipt.settledAt)),
        ("hash", hash(receipt).to_string()),
    ])
}

async fn show(args: &Show) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let receipt = find(&market, args.order).await?;
    let token = Token::of(&market, market.terms(args.order).await?.terms.token).await?;
    Ok(Report::new(
        to_json(&receipt, &token),
        to_text(&receipt, &token),
    ))
}

async fn verify(args: &Verify) -> Result<Report, Failure> {
    let receipt = load(&args.file)?;
    let market = args.chain.market().await?;
    let record = market.record(receipt.order).await?;
    let found = hash(&receipt);
    let confirmed = record.state == State::Settled && record.commitment == found;
    let mut json = json!({
        "order": receipt.order,
        "confirmed": confirmed,
        "state": record.state.name(),
        "hash": found,
        "hash_on_chain": record.commitment,
    });
    let style = Style::stdout();
    let mut text = match (confirmed, record.state) {
        (true, _) => format!("{} order {}\n", style.green("confirmed"), receipt.order),
        (false, State::Settled) => format!(
            "{} the chain keeps receipt {} for this order, the file's is {found}\n",
            style.red("refused"),
            record.commitment
        ),
        (false, state) => format!(
            "{} the chain has no receipt for order {}: it is {state}\n",
            style.red("refused"),
            receipt.order
        ),
    };
    let exit = if confirmed {
        Exit::Success
    } else {
        Exit::Failure
    };
    if confirmed {
        let (more, details) = prove(args, &market, &receipt).await?;
        text.push_str(&more);
        json["proof"] = details;
    }
    Ok(Report { json, text, exit })
}

/// What the result and the evidence say of a receipt that the chain confirms.
async fn prove(
    args: &Verify,
    market: &Market,
    receipt: &Receipt,
) -> Result<(String, Value), Failure> {
    let mut text = String::new();
    if let Some(path) = &args.result {
        let (found, size) = crate::asset::file_digest(path)?;
        if found != receipt.outputs {
            let expected = receipt.outputs;
            let shown = path.display();
            return Err(Failure::Failed(anyhow!(
                "--result {shown}: expected {expected}, found {found}"
            )));
        }
        text.push_str(&format!(
            "the result is the one that was vouched for, {size} bytes\n"
        ));
    }
    let Some(source) = &args.evidence else {
        return Ok((text, Value::Null));
    };
    let anchors = match args.trust_simulator {
        true => crate::verify::simulator_anchors().map_err(|rejection| anyhow!("{rejection}"))?,
        false => vouch_evidence::Anchors::vendor(),
    };
    let proof = proof::check(market, receipt, source, &anchors).await?;
    let claims = &proof.claims;
    let gpus: Vec<String> = claims
        .gpus
        .iter()
        .map(|gpu| format!("{:?}", gpu.claims.model))
        .collect();
    text.push_str(&format!(
        "the hardware vouches: {} and {}, workload {}, inputs {}, outputs {}\n",
        claims.cpu.kind().name(),
        crate::output::count(gpus.len(), "GPU"),
        claims.measurement,
        claims.statement.inputs,
        claims.statement.outputs,
    ));
    if claims.simulated {
        text.push_str(
            "the hardware is simulated: this proves nothing outside a development chain\n",
        );
    }
    let details = json!({
        "start_evidence": proof.start,
        "finish_evidence": claims.evidence,
        "workload": claims.measurement,
        "inputs": claims.statement.inputs,
        "outputs": claims.statement.outputs,
        "devices": claims.devices,
        "cpu": claims.cpu.kind().name(),
        "gpus": gpus,
        "simulated": claims.simulated,
    });
    Ok((text, details))
}

fn load(path: &Path) -> Result<Receipt, Failure> {
    let read = || {
        let text = std::fs::read(path)?;
        let json: Value = serde_json::from_slice(&text).context("expected JSON")?;
        let encoded = json.get("encoded").and_then(Value::as_str);
        let encoded = encoded.ok_or_else(|| anyhow!("encoded: expected the receipt's bytes"))?;
        let bytes = alloy::hex::decode(encoded).context("encoded: expected hex")?;
        Receipt::abi_decode_validate(&bytes).context("encoded: expected a receipt")
    };
    read()
        .with_context(|| format!("receipt {}", path.display()))
        .map_err(Failure::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_survives_its_file() {
        let receipt = Receipt {
            settledAt: 5,
            assets: vec![B256::ZERO],
            ..Receipt::default()
        };
        let token = Token {
            address: Default::default(),
            symbol: "T".into(),
            decimals: 6,
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receipt.json");
        std::fs::write(&path, to_json(&receipt, &token).to_string()).unwrap();
        assert_eq!(load(&path).unwrap(), receipt);
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receipt.json");
        for text in [
            "",
            "[]",
            "{}",
            "{\"encoded\": \"0x\"}",
            "{\"encoded\": \"zz\"}",
            "{\"encoded\": 1}",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(load(&path), Err(Failure::Usage(_))), "{text}");
        }
    }
}
