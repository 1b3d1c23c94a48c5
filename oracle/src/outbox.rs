//! Sends what is in the outbox, under the gas key of the day.
//!
//! A transaction is signed and on disk before it is first broadcast, so its nonce and hash survive a
//! crash. An entry leaves when the chain shows its job decided and its nonce used.
//!
//! What all entries have in common is asked for once in each round: fees, and which nonces are used. Several
//! verdicts go in one transaction; all of its entries have its nonce and hashes, and one carries its bytes.

mod follow;
mod launch;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use alloy::providers::{DynProvider, Provider};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use vouch_client::Error;

use crate::chain::Endpoints;
use crate::keys::{Keyring, Signer};
use crate::metrics::Metrics;
use crate::pipeline::backoff;
use crate::store::model::{BlockRef, Flight, JobId, Stage, Trouble};
use crate::store::{Store, StoreError};
use crate::time::now_ms;

/// How often receipts are asked for while something is in flight.
const TICK: Duration = Duration::from_millis(100);
/// Shortest time between two rounds: what comes meanwhile goes together.
const PACE: Duration = Duration::from_millis(50);
/// Questions to the endpoint at a time.
const AT_ONCE: usize = 16;
/// How often a waiting transaction is broadcast again, in case the endpoint forgot it, and a mined one
/// asked for again, in case the chain did.
const REBROADCAST: Duration = Duration::from_secs(5);

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

/// What is needed to know of an entry in flight as long as nothing happens.
#[derive(Clone, Copy, Debug)]
struct Flying {
    from: Address,
    nonce: u64,
    at_ms: u64,
    max_fee_per_gas: u128,
    carries: bool,
}

impl Flying {
    const fn of(flight: &Flight, carries: bool) -> Self {
        Self {
            from: flight.from,
            nonce: flight.nonce,
            at_ms: flight.at_ms,
            max_fee_per_gas: flight.max_fee_per_gas,
            carries,
        }
    }
}

/// The sender.
#[derive(Debug)]
pub struct Outbox {
    store: Arc<Store>,
    endpoints: Arc<Endpoints>,
    escrow: Address,
    chain_id: u64,
    keys: Arc<Keyring>,
    /// Who pays for what is sent in this round.
    gas: Signer,
    replace_after: Duration,
    max_fee: u128,
    head: watch::Receiver<Option<BlockRef>>,
    metrics: Arc<Metrics>,
    /// Entries that wait before the next try: since when, how often.
    resting: HashMap<JobId, (Instant, u32)>,
    /// Entries in flight. Only this sender sets and ends flights, so the store is not asked again.
    flying: HashMap<JobId, Flying>,
    /// When each entry's transaction was broadcast last, by the entry that carries it.
    sent: HashMap<JobId, Instant>,
    /// Entries whose transactions were mined, and when they were looked at last: what closes them is the
    /// chain's event.
    landed: HashMap<JobId, Instant>,
    /// How often each entry's transaction failed on chain.
    failed: HashMap<JobId, u64>,
}

impl Outbox {
    /// A sender.
    #[allow(clippy::too_many_arguments, reason = "constructed once, by the daemon")]
    pub fn new(
        store: Arc<Store>,
        endpoints: Arc<Endpoints>,
        market: &vouch_client::Market,
        keys: Arc<Keyring>,
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
            gas: keys.now().gas.clone(),
            keys,
            replace_after,
            max_fee,
            head,
            metrics,
            resting: HashMap::new(),
            flying: HashMap::new(),
            sent: HashMap::new(),
            landed: HashMap::new(),
            failed: HashMap::new(),
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
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(PACE) => {}
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
        let ids: HashSet<JobId> = entries.iter().copied().collect();
        self.resting.retain(|id, _| ids.contains(id));
        self.flying.retain(|id, _| ids.contains(id));
        self.sent.retain(|id, _| ids.contains(id));
        self.landed.retain(|id, _| ids.contains(id));
        self.failed.retain(|id, _| ids.contains(id));
        self.gas = self.keys.now().gas.clone();
        let mut new = Vec::new();
        for id in entries {
            if self.flying.contains_key(&id) || self.rests(&id) {
                continue;
            }
            let Some(entry) = self.store.outbox_entry(&id)? else {
                continue;
            };
            match &entry.flight {
                Some(flight) => {
                    let flying = Flying::of(flight, !flight.raw.is_empty());
                    self.flying.insert(id, flying);
                }
                None => new.push((id, entry)),
            }
        }
        new.sort_by_key(|(_, entry)| entry.at_ms);
        if self.flying.is_empty() && new.is_empty() {
            return Ok(pending);
        }
        let asked = async {
            let provider = self.provider()?;
            let flying = self.flying.values().map(|flying| flying.from);
            let accounts: BTreeSet<Address> = flying.chain([self.gas.address()]).collect();
            let mut used = HashMap::with_capacity(accounts.len());
            for account in accounts {
                used.insert(account, provider.get_transaction_count(account).await?);
            }
            Ok::<_, OutboxError>((provider, used))
        };
        match asked.await {
            Ok((provider, used)) => {
                self.follow(&provider, &used, done).await?;
                let used = used.get(&self.gas.address()).copied().unwrap_or_default();
                self.launch(&provider, used, new, done).await?;
            }
            Err(error) => {
                let new = new.iter().map(|(id, _)| *id);
                let all: Vec<JobId> = new.chain(self.flying.keys().copied()).collect();
                for id in all {
                    self.rest(&id, &error, done).await?;
                }
            }
        }
        Ok(pending)
    }

    fn rests(&self, id: &JobId) -> bool {
        let resting = self.resting.get(id);
        resting.is_some_and(|(until, _)| *until > Instant::now())
    }

    fn provider(&self) -> Result<DynProvider, OutboxError> {
        self.endpoints
            .current()
            .ok_or_else(|| OutboxError::Build("no endpoint is up".into()))
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
        // An endpoint may answer the next question: it is not left alone for long. What fails on chain
        // costs gas each time.
        let failed = matches!(error, OutboxError::Chain(Error::Failed { .. }));
        let wait = backoff(match revert {
            None if !failed => tries.min(CHAIN_TRIES),
            _ => tries,
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
        let late = revert
            .is_some_and(|revert| revert.is("DeadlinePassed") || revert.is("BeatNotLater"))
            || self.too_late(id)?;
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

#[cfg(test)]
mod tests;
