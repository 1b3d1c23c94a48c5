//! A chain in memory: just what an oracle sees of one. It mines what it is told to, when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Instant;

use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::Decodable2718;
use alloy::primitives::{Address, B256, Bytes, keccak256};
use alloy::sol_types::SolCall;
use anyhow::{Context, Result, ensure};
use vouch_abi::IEscrow;
use vouch_client::calls::calls;

use super::orders::{Batch, Event, Order};

/// Blocks whose events are kept: a daemon that is further behind would miss some, and the run would not end.
const KEPT: usize = 4096;

/// How an order stands.
#[derive(Debug, Default)]
struct Standing {
    announced: Option<Instant>,
    submitted: Option<Instant>,
    decided: bool,
}

/// A block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) hash: B256,
    pub(super) parent: B256,
    pub(super) timestamp: u64,
    /// JSON objects, separated by commas.
    logs: String,
}

/// A transaction that waits for its block.
#[derive(Debug)]
struct Waiting {
    hash: B256,
    orders: Vec<B256>,
}

/// The chain.
#[derive(Debug)]
pub(super) struct Chain {
    escrow: Address,
    blocks: Vec<Block>,
    orders: HashMap<B256, Standing>,
    /// Transactions by sender and nonce.
    pool: HashMap<Address, BTreeMap<u64, Waiting>>,
    /// Nonces used up, by sender.
    nonces: HashMap<Address, u64>,
    /// Where a transaction was mined, and whether it succeeded.
    receipts: HashMap<B256, (u64, bool, Address)>,
    /// When each verdict was submitted first, after its evidence was announced.
    latencies: Vec<f64>,
    /// Verdicts that took effect.
    decided: usize,
    /// Transactions that failed: they brought a verdict that was there already.
    failed: usize,
}

impl Chain {
    /// A chain with a first block.
    pub(super) fn new(escrow: Address) -> Self {
        let mut chain = Self {
            escrow,
            blocks: Vec::new(),
            orders: HashMap::new(),
            pool: HashMap::new(),
            nonces: HashMap::new(),
            receipts: HashMap::new(),
            latencies: Vec::new(),
            decided: 0,
            failed: 0,
        };
        chain.mine(keccak256(b"vouch/load/genesis"), Vec::new());
        chain
    }

    /// Mines the block in which a batch's orders are placed and accepted.
    pub(super) fn accept(&mut self, batch: &Batch) {
        for order in &batch.orders {
            self.orders.insert(order.id, Standing::default());
        }
        self.mine(batch.block, batch.before.clone());
    }

    /// Mines a block with whatever was sent, and with announcements of evidence.
    pub(super) fn go_on<'a>(&mut self, announced: impl IntoIterator<Item = &'a Order>) {
        let mined = self.receipts.len();
        let mut events = self.execute();
        let now = Instant::now();
        for order in announced {
            if let Some(standing) = self.orders.get_mut(&order.id) {
                standing.announced = Some(now);
            }
            events.push((order.id, order.announced.clone()));
        }
        // Transactions that failed leave no event, but a receipt.
        if events.is_empty() && self.receipts.len() == mined {
            return;
        }
        let number = self.blocks.len() as u64;
        let hash = keccak256([b"vouch/load/block".as_slice(), &number.to_be_bytes()].concat());
        self.mine(hash, events);
    }

    /// Runs what waits, in the order of nonces.
    fn execute(&mut self) -> Vec<(B256, Event)> {
        let number = self.blocks.len() as u64;
        let mut events = Vec::new();
        for (sender, pool) in &mut self.pool {
            let nonce = self.nonces.entry(*sender).or_default();
            while let Some(tx) = pool.remove(nonce) {
                *nonce += 1;
                let open = |order: &B256| {
                    let standing = self.orders.get(order);
                    standing.is_some_and(|standing| !standing.decided)
                };
                let succeeds = tx.orders.iter().all(open);
                self.receipts.insert(tx.hash, (number, succeeds, *sender));
                if !succeeds {
                    self.failed += 1;
                    continue;
                }
                for order in tx.orders {
                    if let Some(standing) = self.orders.get_mut(&order) {
                        standing.decided = true;
                    }
                    self.decided += 1;
                    let started = IEscrow::OrderStarted {
                        order,
                        verdict: tx.hash,
                        sessionKey: B256::ZERO,
                        devices: Vec::new(),
                    };
                    events.push((order, Event::of(&started)));
                }
            }
        }
        events
    }

    fn mine(&mut self, hash: B256, events: Vec<(B256, Event)>) {
        let number = self.blocks.len();
        let mut logs = String::new();
        for (index, (tx, event)) in events.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let topics: Vec<String> = event.topics.iter().map(|t| format!("\"{t}\"")).collect();
            // Writing to a string does not fail.
            let _ = write!(
                logs,
                r#"{separator}{{"address":"{:#x}","topics":[{}],"data":"{}","blockNumber":"{number:#x}","blockHash":"{hash}","transactionHash":"{tx}","transactionIndex":"{index:#x}","logIndex":"{index:#x}","removed":false}}"#,
                self.escrow,
                topics.join(","),
                event.data,
            );
        }
        let parent = self.blocks.last().map_or(B256::ZERO, |block| block.hash);
        self.blocks.push(Block {
            hash,
            parent,
            timestamp: super::now(),
            logs,
        });
        if let Some(old) = number.checked_sub(KEPT) {
            self.blocks[old].logs = String::new();
        }
    }

    /// Takes a signed transaction; whose it is, is known by where it was sent. Sent again, it changes nothing.
    pub(super) fn send(&mut self, sender: Address, raw: &[u8]) -> Result<B256> {
        let tx = TxEnvelope::decode_2718_exact(raw).context("a transaction")?;
        let hash = *tx.tx_hash();
        if self.receipts.contains_key(&hash) {
            return Ok(hash);
        }
        let used = self.nonces.get(&sender).copied().unwrap_or_default();
        ensure!(tx.nonce() >= used, "nonce too low");
        let now = Instant::now();
        let orders = decided_by(tx.input())?;
        for order in &orders {
            let standing = self.orders.get_mut(order).context("no such order")?;
            let announced = standing.announced.context("nothing was announced")?;
            if standing.submitted.is_none() {
                standing.submitted = Some(now);
                self.latencies.push((now - announced).as_secs_f64());
            }
        }
        let waiting = Waiting { hash, orders };
        self.pool
            .entry(sender)
            .or_default()
            .insert(tx.nonce(), waiting);
        Ok(hash)
    }

    /// Refuses what the escrow would: a verdict about an order that has one.
    pub(super) fn check(&self, calldata: &[u8]) -> Result<()> {
        for order in decided_by(calldata)? {
            let standing = self.orders.get(&order).context("no such order")?;
            ensure!(!standing.decided, "order {order} is decided");
        }
        Ok(())
    }

    pub(super) fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    pub(super) fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    /// The events of some blocks, a JSON list.
    pub(super) fn logs(&self, from: u64, to: u64) -> String {
        let blocks = self.blocks.iter().take(to as usize + 1);
        let logs: Vec<&str> = blocks
            .skip(from as usize)
            .map(|block| block.logs.as_str())
            .filter(|logs| !logs.is_empty())
            .collect();
        format!("[{}]", logs.join(","))
    }

    pub(super) fn nonce(&self, sender: Address) -> u64 {
        self.nonces.get(&sender).copied().unwrap_or_default()
    }

    pub(super) fn receipt(&self, tx: &B256) -> Option<(u64, bool, Address)> {
        self.receipts.get(tx).copied()
    }

    /// The number of an order's state, as the escrow keeps it.
    pub(super) fn state(&self, order: &B256) -> u8 {
        match self.orders.get(order) {
            None => 0,
            Some(standing) if standing.decided => 3,
            Some(_) => 2,
        }
    }

    /// Seconds from evidence announced to verdict submitted, of those submitted.
    pub(super) fn latencies(&self) -> &[f64] {
        &self.latencies
    }

    /// Verdicts that took effect, each once by the rules of this chain.
    pub(super) const fn decided(&self) -> usize {
        self.decided
    }

    /// Transactions that failed.
    pub(super) const fn failed(&self) -> usize {
        self.failed
    }
}

/// The orders whose verdicts a transaction brings.
fn decided_by(calldata: &[u8]) -> Result<Vec<B256>> {
    let each = calls(calldata).into_iter().map(|call| {
        let call = IEscrow::submitVerdictCall::abi_decode(&call).context("a call")?;
        Ok(call.verdict.order)
    });
    each.collect()
}

/// The placing transaction of any of these orders.
pub(super) fn placed(hash: B256, escrow: Address, calldata: &Bytes) -> String {
    format!(
        r#"{{"hash":"{hash}","type":"0x2","chainId":"0x7a69","nonce":"0x0","gas":"0x5208","maxFeePerGas":"0x1","maxPriorityFeePerGas":"0x0","gasPrice":"0x1","to":"{escrow:#x}","from":"{escrow:#x}","value":"0x0","input":"{calldata}","accessList":[],"r":"0x1","s":"0x1","v":"0x0","yParity":"0x0","blockHash":"{hash}","blockNumber":"0x1","transactionIndex":"0x0"}}"#
    )
}
