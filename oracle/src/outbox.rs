//! Sends what is in the outbox, one sender for one gas key.
//!
//! A transaction is signed and written to the store before it is first broadcast, so its nonce and
//! hash survive a crash. An entry leaves when the chain shows its job decided and its nonce used.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::eips::Encodable2718;
use alloy::network::{EthereumWallet, NetworkWallet, TransactionBuilder};
use alloy::primitives::{Address, B256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use vouch_client::{Error, market};

use crate::chain::Endpoints;
use crate::metrics::Metrics;
use crate::pipeline::backoff;
use crate::store::model::{BlockRef, Flight, JobId, Mined, OutboxEntry, Stage, Trouble};
use crate::store::{Store, StoreError};
use crate::time::now_ms;

/// How often receipts are asked for while something is in flight.
const TICK: Duration = Duration::from_millis(100);
/// How often a waiting transaction is broadcast again, in case the endpoint forgot it.
const REBROADCAST: Duration = Duration::from_secs(5);
/// Fees of a replacement, in percent of those it replaces. Nodes ask for 110.
const BUMP_PERCENT: u128 = 125;
/// Gas limit, in percent of the estimate.
const GAS_PERCENT: u64 = 120;

/// Failures after which the wait for an endpoint grows no longer.
const CHAIN_TRIES: u32 = 3;
/// Refusals after which signatures are collected anew: the operators have changed since.
const SIGNERS: [&str; 3] = ["NotOperator", "QuorumNotReached", "SignersNotAscending"];

/// Why an entry made no progress.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain did not answer, or the contract refuses.
    #[error(transparent)]
    Chain(#[from] Error),
    /// The transaction cannot be built.
    #[error("transaction: {0}")]
    Build(String),
    /// Fees are higher than allowed.
    #[error("the chain asks {asked} wei per gas, submit.max_fee_gwei allows {allowed}")]
    Fees {
        /// The chain's.
        asked: u128,
        /// Configured.
        allowed: u128,
    },
}

impl From<alloy::transports::TransportError> for OutboxError {
    fn from(error: alloy::transports::TransportError) -> Self {
        Self::Chain(error.into())
    }
}

/// The sender.
#[derive(Debug)]
pub struct Outbox {
    store: Arc<Store>,
    endpoints: Arc<Endpoints>,
    escrow: Address,
    chain_id: u64,
    wallet: EthereumWallet,
    from: Address,
    replace_after: Duration,
    max_fee: u128,
    head: watch::Receiver<Option<BlockRef>>,
    metrics: Arc<Metrics>,
    /// Entries that wait before the next try: since when, how often.
    resting: HashMap<JobId, (Instant, u32)>,
    /// When each entry was broadcast last.
    sent: HashMap<JobId, Instant>,
}

impl Outbox {
    /// A sender with one gas key.
    #[allow(clippy::too_many_arguments, reason = "constructed once, by the daemon")]
    pub fn new(
        store: Arc<Store>,
        endpoints: Arc<Endpoints>,
        market: &vouch_client::Market,
        gas: PrivateKeySigner,
        replace_after: Duration,
        max_fee: u128,
        head: watch::Receiver<Option<BlockRef>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            endpoints,
            escrow: market.addresses.escrow,
            chain_id: market.chain_id,
            from: gas.address(),
            wallet: gas.into(),
            replace_after,
            max_fee,
            head,
            metrics,
            resting: HashMap::new(),
            sent: HashMap::new(),
        }
    }

    /// Runs until cancelled; `wake` tells of new entries, `done` of abandoned jobs.
    pub async fn run(
        mut self,
        wake: Arc<Notify>,
        done: mpsc::Sender<JobId>,
        cancel: CancellationToken,
    ) {
        loop {
            let pending = match self.tick(&done).await {
                Ok(pending) => pending,
                Err(error) => {
                    tracing::error!(code = "outbox_failed", %error, "outbox failed");
                    true
                }
            };
            let tick = async {
                // Other workers on a shared store fill it without telling.
                match pending || self.store.is_shared() {
                    true => tokio::time::sleep(TICK).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = wake.notified() => {}
                () = tick => {}
            }
        }
    }

    /// Looks after every entry once; says whether any is left.
    ///
    /// # Errors
    /// [`OutboxError::Store`]. What goes wrong with one entry is logged and noted in its job.
    pub async fn tick(&mut self, done: &mpsc::Sender<JobId>) -> Result<bool, OutboxError> {
        let entries = self.store.outbox()?;
        self.metrics.outbox(entries.len());
        let pending = !entries.is_empty();
        self.resting
            .retain(|id, _| entries.iter().any(|(other, _)| other == id));
        self.sent
            .retain(|id, _| entries.iter().any(|(other, _)| other == id));
        for (id, entry) in entries {
            if self
                .resting
                .get(&id)
                .is_some_and(|(until, _)| *until > Instant::now())
            {
                continue;
            }
            let result = match &entry.flight {
                None => self.launch(&id, &entry).await,
                Some(flight) => self.follow(&id, &entry, flight).await,
            };
            match result {
                Ok(()) => {}
                Err(OutboxError::Store(error)) => return Err(error.into()),
                Err(error) => self.rest(&id, &error, done).await?,
            }
        }
        Ok(pending)
    }

    fn provider(&self) -> Result<DynProvider, OutboxError> {
        self.endpoints
            .current()
            .ok_or_else(|| OutboxError::Build("no endpoint is up".into()))
    }

    /// First broadcast. A call that the contract would refuse never gets a nonce.
    async fn launch(&mut self, id: &JobId, entry: &OutboxEntry) -> Result<(), OutboxError> {
        let provider = self.provider()?;
        let request = TransactionRequest::default()
            .from(self.from)
            .to(self.escrow)
            .input(entry.input.clone().into());
        let gas = provider.estimate_gas(request).await?;
        let fees = provider.estimate_eip1559_fees().await?;
        if fees.max_fee_per_gas > self.max_fee {
            return Err(OutboxError::Fees {
                asked: fees.max_fee_per_gas,
                allowed: self.max_fee,
            });
        }
        let mined = provider.get_transaction_count(self.from).await?;
        let flying = self.store.outbox()?.into_iter();
        let next = flying
            .filter_map(|(_, entry)| entry.flight.map(|flight| flight.nonce + 1))
            .max();
        let flight = Flight {
            nonce: mined.max(next.unwrap_or(0)),
            raw: Default::default(),
            hashes: Vec::new(),
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            gas: gas.saturating_mul(GAS_PERCENT) / 100,
            at_ms: now_ms(),
        };
        self.send(&provider, id, entry, flight).await
    }

    /// Signs, writes down, broadcasts.
    async fn send(
        &mut self,
        provider: &DynProvider,
        id: &JobId,
        entry: &OutboxEntry,
        mut flight: Flight,
    ) -> Result<(), OutboxError> {
        let request = TransactionRequest::default()
            .with_from(self.from)
            .with_to(self.escrow)
            .with_input(entry.input.clone())
            .with_chain_id(self.chain_id)
            .with_nonce(flight.nonce)
            .with_gas_limit(flight.gas)
            .with_max_fee_per_gas(flight.max_fee_per_gas)
            .with_max_priority_fee_per_gas(flight.max_priority_fee_per_gas);
        let signed = NetworkWallet::<alloy::network::Ethereum>::sign_request(&self.wallet, request)
            .await
            .map_err(|e| OutboxError::Build(e.to_string()))?;
        let hash = *signed.tx_hash();
        flight.raw = signed.encoded_2718().into();
        flight.hashes.push(hash);
        flight.at_ms = now_ms();
        self.store.in_flight(id, Some(&flight))?;
        tracing::info!(
            job = %id, tx = %hash, nonce = flight.nonce, gas = flight.gas,
            max_fee_per_gas = flight.max_fee_per_gas, "sending"
        );
        self.broadcast(provider, id, &flight).await;
        Ok(())
    }

    /// An endpoint that refuses may know the transaction already; the receipt will tell.
    async fn broadcast(&mut self, provider: &DynProvider, id: &JobId, flight: &Flight) {
        self.sent.insert(*id, Instant::now());
        if let Err(error) = provider.send_raw_transaction(&flight.raw).await {
            tracing::warn!(job = %id, code = "broadcast_failed", nonce = flight.nonce, %error, "broadcast refused");
        }
    }

    async fn follow(
        &mut self,
        id: &JobId,
        entry: &OutboxEntry,
        flight: &Flight,
    ) -> Result<(), OutboxError> {
        let provider = self.provider()?;
        // Asked first: a transaction mined between the two questions must not seem lost.
        let used = provider.get_transaction_count(self.from).await? > flight.nonce;
        if let Some(receipt) = receipt(&provider, &flight.hashes).await? {
            return self.landed(&provider, id, entry, receipt).await;
        }
        if used {
            tracing::warn!(job = %id, code = "nonce_used", nonce = flight.nonce, "the nonce went to another transaction");
            return Ok(self.store.in_flight(id, None)?);
        }
        let age = Duration::from_millis(now_ms().saturating_sub(flight.at_ms));
        if age >= self.replace_after && flight.max_fee_per_gas < self.max_fee {
            let bump = |fee: u128| fee.saturating_mul(BUMP_PERCENT) / 100 + 1;
            let replacement = Flight {
                max_fee_per_gas: bump(flight.max_fee_per_gas).min(self.max_fee),
                max_priority_fee_per_gas: bump(flight.max_priority_fee_per_gas).min(self.max_fee),
                ..flight.clone()
            };
            tracing::warn!(job = %id, code = "replaced", nonce = flight.nonce, "no receipt, replacing");
            self.metrics.replaced();
            return self.send(&provider, id, entry, replacement).await;
        }
        if self
            .sent
            .get(id)
            .is_none_or(|at| at.elapsed() >= REBROADCAST)
        {
            self.broadcast(&provider, id, flight).await;
        }
        Ok(())
    }

    async fn landed(
        &self,
        provider: &DynProvider,
        id: &JobId,
        entry: &OutboxEntry,
        receipt: TransactionReceipt,
    ) -> Result<(), OutboxError> {
        if !receipt.status() {
            self.store.in_flight(id, None)?;
            if entry.released {
                return Ok(());
            }
            let input = entry.input.clone();
            return Err(market::replay(provider, &receipt, self.escrow, input)
                .await
                .into());
        }
        let Some(job) = self.store.job(id)? else {
            return Ok(self.store.in_flight(id, None)?);
        };
        if job
            .mined
            .as_ref()
            .is_some_and(|m| m.tx == receipt.transaction_hash)
            && !entry.released
        {
            return Ok(());
        }
        let at_ms = now_ms();
        let mined = Mined {
            tx: receipt.transaction_hash,
            block: receipt.block_number.unwrap_or_default(),
            gas_used: receipt.gas_used,
            at_ms,
            latency_ms: at_ms.saturating_sub(job.seen_at_ms),
        };
        self.store.mined(id, &mined)?;
        self.metrics.mined(&mined);
        tracing::info!(
            job = %id, tx = %mined.tx, block = mined.block, gas_used = mined.gas_used,
            latency_ms = mined.latency_ms, "verdict on chain"
        );
        Ok(())
    }

    /// Notes why an entry waits; gives its job up where the chain says it is too late.
    async fn rest(
        &mut self,
        id: &JobId,
        error: &OutboxError,
        done: &mpsc::Sender<JobId>,
    ) -> Result<(), OutboxError> {
        let tries = self.resting.get(id).map_or(0, |(_, tries)| tries + 1);
        let revert = match error {
            OutboxError::Chain(error) => error.revert(),
            _ => None,
        };
        // An endpoint may answer the next question: it is not left alone for long.
        let wait = backoff(match revert {
            Some(_) => tries,
            None => tries.min(CHAIN_TRIES),
        });
        self.resting.insert(*id, (Instant::now() + wait, tries));
        let code = revert.map_or("send_failed", |_| "refused");
        tracing::warn!(job = %id, code, %error, retry_ms = wait.as_millis() as u64, "not sent");
        let Some(job) = self.store.job(id)? else {
            return Ok(());
        };
        if job.stage.is_over() {
            return Ok(());
        }
        let late = revert.is_some_and(|revert| revert.is("DeadlinePassed")) || self.too_late(id)?;
        let result = if late {
            self.metrics.abandoned();
            self.store.abandoned(id, error.to_string())
        } else {
            let trouble = Trouble {
                reason: None,
                detail: error.to_string(),
                at_ms: now_ms(),
            };
            match revert.is_some_and(|revert| SIGNERS.iter().any(|name| revert.is(name))) {
                true => self.store.unsigned(id),
                false => self.store.troubled(id, &job.stage, &trouble).map(|_| ()),
            }
        };
        match result {
            // The chain decided meanwhile.
            Ok(()) | Err(StoreError::Overtaken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if self
            .store
            .job(id)?
            .is_some_and(|job| job.stage != Stage::Submitted)
        {
            let _ = done.send(*id).await;
        }
        Ok(())
    }

    fn too_late(&self, id: &JobId) -> Result<bool, StoreError> {
        let head = *self.head.borrow();
        let order = crate::facts::Order::from_facts(id.order, &self.store.facts(id.order)?);
        Ok(match (head, order) {
            (Some(head), Some(order)) => head.timestamp > order.deadline(id.phase.0),
            _ => false,
        })
    }
}

async fn receipt(
    provider: &DynProvider,
    hashes: &[B256],
) -> Result<Option<TransactionReceipt>, OutboxError> {
    for hash in hashes.iter().rev() {
        if let Some(receipt) = provider.get_transaction_receipt(*hash).await?
            && receipt.block_number.is_some()
        {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}
