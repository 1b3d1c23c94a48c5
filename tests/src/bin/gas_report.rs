//! Measures what the market costs, prints it beside what its peers cost, and compares it with a
//! committed baseline. `vouch_tests::gas` says what is measured.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Map, Value, json};
use vouch_tests::gas::{self, Gas, Measured, STEPS};

/// A figure may be this much over its baseline, in percent.
const TOLERANCE: u64 = 2;
/// Totals, which stand at the top of the file; steps stand under `in_use` and `first_use`.
const TOTALS: [&str; 4] = [
    "whole_deal",
    "per_order_in_batch_of_50",
    "publish_signed_offer",
    "refund",
];

/// What others take for what comes closest: in which row, who, what, gas. iExec `PoCo`, Ocean and
/// Marlin were measured on a plain EVM with an ordinary ERC-20.
const PEERS: [(&str, &str, &str, u64); 9] = [
    (
        "place",
        "iExec PoCo",
        "matchOrders, 4 signatures, with dataset",
        756_010,
    ),
    ("place", "Ocean", "createLock, one open", 246_689),
    ("place", "Marlin", "jobOpen, shortest metadata", 190_570),
    (
        "finish_verdict",
        "iExec PoCo",
        "contributeAndFinalize",
        456_772,
    ),
    ("finish_verdict", "Ocean", "claimLockAndWithdraw", 123_424),
    ("finish_verdict", "Marlin", "jobSettle", 61_512),
    (
        "whole_deal",
        "iExec PoCo",
        "match, initialize, contributeAndFinalize",
        1_429_127,
    ),
    ("refund", "Marlin", "close", 80_692),
    ("publish_offer", "iExec PoCo", "createDataset", 527_278),
];

/// Measures the market's gas on a chain of its own.
#[derive(Debug, Parser)]
struct Args {
    /// Write the figures there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail where a figure is more than 2 % over this file's.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let measured = gas::measure().await?;
    let figures = figures(&measured);
    print(&measured);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &args.check {
        check(path, &figures)?;
    }
    Ok(())
}

/// The file's content: totals of a market in use, then every step of both.
fn figures(measured: &Measured) -> Value {
    let mut file = Map::new();
    for name in TOTALS {
        if let Some(gas) = measured.in_use.get(name) {
            file.insert(name.to_owned(), json!(gas));
        }
    }
    file.insert("in_use".into(), json!(measured.in_use));
    file.insert("first_use".into(), json!(measured.first_use));
    Value::Object(file)
}

fn print(measured: &Measured) {
    println!(
        "{:<52} {:>10} {:>10}   peers",
        "gas on vouch-devnet", "in use", "first use"
    );
    let totals = TOTALS.map(|name| (name, ""));
    let others = measured
        .in_use
        .keys()
        .map(|name| (name.as_str(), ""))
        .filter(|(name, _)| !TOTALS.contains(name) && !STEPS.iter().any(|(step, _)| step == name));
    for (name, what) in STEPS.into_iter().chain(totals).chain(others) {
        let show = |gas: &Gas| gas.get(name).map_or("-".into(), ToString::to_string);
        if !measured.in_use.contains_key(name) {
            continue;
        }
        let label = if what.is_empty() {
            name.to_owned()
        } else {
            format!("{name}: {what}")
        };
        let mut peers = PEERS.iter().filter(|(row, ..)| *row == name);
        let peer = |peer: Option<&(&str, &str, &str, u64)>| {
            peer.map_or(String::new(), |(_, who, what, gas)| {
                format!("{gas:>9}  {who}: {what}")
            })
        };
        println!(
            "{label:<52} {:>10} {:>10}   {}",
            show(&measured.in_use),
            show(&measured.first_use),
            peer(peers.next())
        );
        for more in peers {
            println!("{:<52} {:>10} {:>10}   {}", "", "", "", peer(Some(more)));
        }
    }
    println!(
        "\nIn use: programs cached, everyone has dealt before, other orders open. First use: the first\n\
         deal of a fresh market, nothing cached. Money is a plain ERC-20 of the EVM. The gas model follows\n\
         the published rules and was not compared with a Nitro node; data on a parent chain comes on top.\n\
         Peers' figures were measured on a plain EVM (hardhat), with an ordinary ERC-20."
    );
}

/// Compares every figure with the baseline's.
fn check(path: &Path, figures: &Value) -> Result<()> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the baseline {}", path.display()))?;
    let baseline: Value = serde_json::from_str(&text)
        .with_context(|| format!("the baseline {} is not JSON", path.display()))?;
    let mut worse = Vec::new();
    let mut better = 0;
    for (name, expected) in flatten("", &baseline) {
        let pointer = format!("/{}", name.replace('.', "/"));
        match figures.pointer(&pointer).and_then(Value::as_u64) {
            None => worse.push(format!("{name}: expected {expected}, not measured")),
            Some(found) if found * 100 > expected * (100 + TOLERANCE) => {
                worse.push(format!("{name}: expected {expected}, found {found}"));
            }
            Some(found) if found * 100 < expected * (100 - TOLERANCE) => better += 1,
            Some(_) => {}
        }
    }
    if !worse.is_empty() {
        bail!(
            "over {TOLERANCE} % above {}:\n{}\nIf that is meant: ./scripts/gas-report --json {}",
            path.display(),
            worse.join("\n"),
            path.display()
        );
    }
    if better > 0 {
        println!(
            "\n{better} figures are over {TOLERANCE} % below {}: renew it with ./scripts/gas-report --json {}",
            path.display(),
            path.display()
        );
    }
    Ok(())
}

/// Every number of an object, under its path.
fn flatten(prefix: &str, value: &Value) -> Vec<(String, u64)> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| flatten(&format!("{prefix}{name}."), value))
            .collect(),
        other => other
            .as_u64()
            .map(|number| (prefix.trim_end_matches('.').to_owned(), number))
            .into_iter()
            .collect(),
    }
}
