//! What must hold when all is done: every order has one verdict for each phase and one payment, and
//! nothing is left over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256};
use alloy::providers::Provider;
use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent;
use anyhow::{Context, Result, bail, ensure};
use vouch_abi::{IAttestation, IEscrow};
use vouch_client::State;

use super::daemon::Daemon;
use super::fair::{DATASET_PRICE, Fair};
use super::lane::Done;

/// How long the daemon may take to close its books.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// What the audit counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Orders that were paid.
    pub settled: usize,
    /// Orders that were refunded by a verdict.
    pub refunded: usize,
    /// Verdicts on chain.
    pub verdicts: usize,
    /// Transactions that `sender` sent and that failed: gas for nothing, but nothing worse.
    pub failed: usize,
}

/// Checks orders against the chain. `senders` pay for the oracle's transactions.
pub async fn chain(fair: &Fair, orders: &[Done], senders: &[Address]) -> Result<Report> {
    let market = &fair.market;
    let mut report = Report::default();
    let filter = Filter::new()
        .address(market.addresses.attestation)
        .from_block(market.first_block)
        .event_signature(IAttestation::VerdictAdmitted::SIGNATURE_HASH);
    let mut verdicts: BTreeMap<_, usize> = BTreeMap::new();
    for log in market.provider.get_logs(&filter).await? {
        let event = IAttestation::VerdictAdmitted::decode_log(&log.inner)?.data;
        *verdicts.entry((event.order, event.phase)).or_default() += 1;
    }
    for done in orders {
        let order = done.order;
        ensure!(
            done.state == done.expected,
            "order {order}: expected {}, it is {}",
            done.expected,
            done.state
        );
        let record = market.record(order).await?;
        ensure!(
            record.state == done.state,
            "order {order}: was {}, is {}",
            done.state,
            record.state
        );
        let mut events: BTreeMap<&str, usize> = BTreeMap::new();
        for log in market.history(order).await? {
            let topic = log.topic0().copied().unwrap_or_default();
            let name = match topic {
                IEscrow::OrderStarted::SIGNATURE_HASH => "started",
                IEscrow::OrderFinished::SIGNATURE_HASH => "finished",
                IEscrow::OrderSettled::SIGNATURE_HASH => "settled",
                IEscrow::OrderRefunded::SIGNATURE_HASH => "refunded",
                _ => continue,
            };
            *events.entry(name).or_default() += 1;
        }
        let count = |name| events.get(name).copied().unwrap_or_default();
        let admitted = |phase| verdicts.get(&(order, phase)).copied().unwrap_or_default();
        let found = [
            count("started"),
            count("settled"),
            count("refunded"),
            admitted(1),
            admitted(2),
        ];
        let expected = match done.state {
            State::Settled => [1, 1, 0, 1, 1],
            _ => [0, 0, 1, 1, 0],
        };
        ensure!(
            found == expected,
            "order {order}: expected starts, payments, refunds and verdicts of each phase {expected:?}, found {found:?}"
        );
        match done.state {
            State::Settled => report.settled += 1,
            _ => report.refunded += 1,
        }
        report.verdicts += admitted(1) + admitted(2);
    }
    let total: usize = verdicts.values().sum();
    ensure!(
        total == report.verdicts,
        "{total} verdicts on chain, {} of them of these orders",
        report.verdicts
    );
    money(fair, report.settled).await?;
    report.failed = failed(fair, senders).await?;
    Ok(report)
}

/// The dataset's owner was paid once for each settled order, and the escrow holds what it owes.
async fn money(fair: &Fair, settled: usize) -> Result<()> {
    let market = &fair.market;
    let (token, escrow) = (market.addresses.token, market.addresses.escrow);
    let paid = market.balance(token, fair.owner).await?;
    let credit = market.escrow().creditOf(fair.owner, token).call().await?;
    let expected = U256::from(settled) * U256::from(DATASET_PRICE);
    ensure!(
        paid + credit == expected,
        "the dataset's owner has {}, expected {expected}",
        paid + credit
    );
    let held = market.balance(token, escrow).await?;
    let owed = market.escrow().owed(token).call().await?;
    ensure!(held == owed, "the escrow holds {held} and owes {owed}");
    Ok(())
}

async fn failed(fair: &Fair, senders: &[Address]) -> Result<usize> {
    let provider = &fair.market.provider;
    let head = provider.get_block_number().await?;
    let mut failed = 0;
    for number in fair.market.first_block..=head {
        let receipts = provider.get_block_receipts(number.into()).await?;
        failed += receipts
            .into_iter()
            .flatten()
            .filter(|receipt| !receipt.status() && senders.contains(&receipt.from))
            .count();
    }
    Ok(failed)
}

/// Waits until a daemon has closed every job and emptied its outbox.
pub async fn books(daemon: &Daemon, jobs: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let status = daemon
            .get("/v1/status")
            .await
            .context("the daemon's status")?;
        let stages = status["jobs"].as_object().cloned().unwrap_or_default();
        let count = |name: &str| stages.get(name).and_then(|n| n.as_u64()).unwrap_or(0);
        let total: u64 = stages.values().filter_map(|n| n.as_u64()).sum();
        if count("final") == total && status["outbox"] == 0 && total == jobs as u64 {
            return Ok(());
        }
        if begun.elapsed() > CLOSE_LIMIT {
            bail!("expected {jobs} jobs, all final, and an empty outbox, found {status}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
