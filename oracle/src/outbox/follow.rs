//! Transactions in flight: receipts, replacements, nonces that went to others.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::Decodable2718;
use alloy::eips::eip1559::Eip1559Estimation;
use alloy::primitives::{Address, B256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::TransactionReceipt;
use futures::StreamExt;
use tokio::sync::mpsc;
use vouch_client::market;

use super::{AT_ONCE, Flying, Outbox, OutboxError, REBROADCAST};
use crate::store::model::{Flight, JobId, Mined, OutboxEntry};
use crate::time::now_ms;

/// Fees of a replacement, in percent of those it replaces.
const BUMP_PERCENT: u128 = 125;
/// What nodes ask a replacement to offer at least, in percent of what it replaces.
pub(super) const LEAST_PERCENT: u128 = 110;

/// Who sent a transaction, and under which nonce.
type Place = (Address, u64);

impl Outbox {
    /// Looks after what is in flight, of accounts that have used up `used` nonces.
    pub(super) async fn follow(
        &mut self,
        provider: &DynProvider,
        used: &HashMap<Address, u64>,
        done: &mpsc::Sender<JobId>,
    ) -> Result<(), OutboxError> {
        let mut waiting: BTreeMap<Place, Vec<JobId>> = BTreeMap::new();
        for (id, flying) in &self.flying {
            if !self.rests(id) {
                let place = (flying.from, flying.nonce);
                waiting.entry(place).or_default().push(*id);
            }
        }
        // A nonce that was free when it was asked for has no receipt that must be seen now.
        let is_used = |(from, nonce): &Place| used.get(from).is_some_and(|used| nonce < used);
        let mined: Vec<_> = waiting.extract_if(.., |place, _| is_used(place)).collect();
        let mined = mined.into_iter().map(|(_, ids)| ids).collect();
        self.mined(provider, mined, done).await?;
        let mut again = Vec::new();
        let mut fees = None;
        for ((_, nonce), ids) in waiting {
            self.landed.retain(|id, _| !ids.contains(id));
            match self.wait(provider, nonce, ids.clone(), &mut fees).await {
                Ok(flight) => again.extend(flight),
                Err(OutboxError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    for id in &ids {
                        self.rest(id, &error, done).await?;
                    }
                }
            }
        }
        if !again.is_empty() {
            let again = self.store.durable(again).await?;
            self.broadcast(provider, &again).await;
        }
        Ok(())
    }

    /// Looks for the receipts of nonces that are used up.
    async fn mined(
        &mut self,
        provider: &DynProvider,
        used: Vec<Vec<JobId>>,
        done: &mpsc::Sender<JobId>,
    ) -> Result<(), OutboxError> {
        let mut open = Vec::new();
        for mut ids in used {
            let looked = |id: &JobId| self.landed.get(id);
            ids.retain(|id| looked(id).is_none_or(|at| at.elapsed() >= REBROADCAST));
            let mut hashes = Vec::new();
            for id in &ids {
                let entry = self.store.outbox_entry(id)?;
                if let Some(flight) = entry.and_then(|entry| entry.flight) {
                    hashes = flight.hashes;
                    break;
                }
            }
            if !ids.is_empty() {
                open.push((ids, hashes));
            }
        }
        let asked: Vec<_> = open
            .into_iter()
            .map(|(ids, hashes)| receipt(provider, ids, hashes))
            .collect();
        let asked: Vec<_> = futures::stream::iter(asked)
            .buffered(AT_ONCE)
            .collect()
            .await;
        for (ids, receipt) in asked {
            if let Ok(Some(receipt)) = &receipt
                && receipt.status()
            {
                self.landed(&ids, receipt)?;
                continue;
            }
            for id in ids {
                let Some(entry) = self.store.outbox_entry(&id)? else {
                    continue;
                };
                let result = match &receipt {
                    Ok(Some(receipt)) => self.failed(provider, &id, &entry, receipt).await,
                    Ok(None) => {
                        tracing::warn!(job = %id, code = "nonce_used", "the nonce went to another transaction");
                        self.ground(&id)
                    }
                    Err(error) => Err(OutboxError::Build(format!("no receipt: {error}"))),
                };
                match result {
                    Ok(()) => {}
                    Err(OutboxError::Store(error)) => return Err(error.into()),
                    Err(error) => self.rest(&id, &error, done).await?,
                }
            }
        }
        Ok(())
    }

    /// What to broadcast for a nonce that is not used up: its transaction, after a while again or with
    /// higher fees. What the chain asks for now is asked for once, into `fees`.
    async fn wait(
        &mut self,
        provider: &DynProvider,
        nonce: u64,
        mut ids: Vec<JobId>,
        fees: &mut Option<Eip1559Estimation>,
    ) -> Result<Option<(Vec<JobId>, Flight)>, OutboxError> {
        let carries = |id: &JobId| self.flying.get(id).is_some_and(|flying| flying.carries);
        ids.sort_by_key(|id| !carries(id));
        let carrier = ids.first().filter(|id| carries(id)).copied();
        let Some((carrier, flying)) = carrier.and_then(|id| Some((id, *self.flying.get(&id)?)))
        else {
            // Mined, done with, and reorganised away: nobody has its bytes any more.
            tracing::warn!(
                code = "flight_lost",
                nonce,
                verdicts = ids.len(),
                "sent anew"
            );
            for id in &ids {
                self.ground(id)?;
            }
            return Ok(None);
        };
        // A clock that was set back must not make the wait longer.
        let age = now_ms().checked_sub(flying.at_ms);
        let long = age.is_none_or(|age| Duration::from_millis(age) >= self.replace_after);
        if long && flying.from != self.gas.address() {
            // Nobody raises its fees any more. Should it be mined after all, one of the two fails.
            tracing::warn!(
                job = %carrier, code = "left_behind", from = %flying.from, nonce,
                verdicts = ids.len(), "no receipt under the former gas key, sent anew"
            );
            for id in &ids {
                self.ground(id)?;
            }
            return Ok(None);
        }
        let least = flying.max_fee_per_gas.saturating_mul(LEAST_PERCENT) / 100 + 1;
        let replace = long && least <= self.max_fee;
        let sent = self.sent.get(&carrier);
        if !replace && sent.is_some_and(|at| at.elapsed() < REBROADCAST) {
            return Ok(None);
        }
        let entry = self.store.outbox_entry(&carrier)?;
        let Some(flight) = entry.and_then(|entry| entry.flight) else {
            // Written, and lost with the disk before anybody saw it.
            self.flying.retain(|id, _| !ids.contains(id));
            return Ok(None);
        };
        if !replace {
            return Ok(Some((ids, flight)));
        }
        let sent = TxEnvelope::decode_2718_exact(&flight.raw)
            .map_err(|error| OutboxError::Build(format!("in the store: {error}")))?;
        let now = match fees {
            Some(fees) => *fees,
            None => *fees.insert(provider.estimate_eip1559_fees().await?),
        };
        let raised = |fee: u128, now: u128| {
            let bumped = fee.saturating_mul(BUMP_PERCENT) / 100 + 1;
            bumped.max(now).min(self.max_fee)
        };
        let replacement = Flight {
            max_fee_per_gas: raised(flight.max_fee_per_gas, now.max_fee_per_gas),
            max_priority_fee_per_gas: raised(
                flight.max_priority_fee_per_gas,
                now.max_priority_fee_per_gas,
            ),
            ..flight
        };
        tracing::warn!(job = %carrier, code = "replaced", nonce, "no receipt, replacing");
        self.metrics.replaced();
        let replacement = self.signed(sent.input().clone(), replacement).await?;
        self.store.replaced(&ids, &replacement)?;
        for (place, id) in ids.iter().enumerate() {
            self.flying
                .insert(*id, Flying::of(&replacement, place == 0));
        }
        Ok(Some((ids, replacement)))
    }

    /// An entry needs another transaction.
    fn ground(&mut self, id: &JobId) -> Result<(), OutboxError> {
        self.flying.remove(id);
        Ok(self.store.grounded(id)?)
    }

    /// The entry's transaction was mined, and did nothing.
    async fn failed(
        &mut self,
        provider: &DynProvider,
        id: &JobId,
        entry: &OutboxEntry,
        receipt: &TransactionReceipt,
    ) -> Result<(), OutboxError> {
        self.ground(id)?;
        if entry.released {
            return Ok(());
        }
        *self.failed.entry(*id).or_default() += 1;
        let input = entry.input.clone();
        let replayed = market::replay(provider, receipt, self.escrow, input).await;
        Err(replayed.into())
    }

    /// The entries' transaction was mined, and did what it should.
    fn landed(&mut self, ids: &[JobId], receipt: &TransactionReceipt) -> Result<(), OutboxError> {
        let at_ms = now_ms();
        let mut new = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(entry) = self.store.outbox_entry(id)? else {
                continue;
            };
            self.landed.insert(*id, Instant::now());
            let Some(job) = self.store.job(id)? else {
                self.ground(id)?;
                continue;
            };
            let noted = job.mined.as_ref();
            let noted = noted.is_some_and(|mined| mined.tx == receipt.transaction_hash);
            if noted && !entry.released {
                continue;
            }
            let mined = Mined {
                tx: receipt.transaction_hash,
                block: receipt.block_number.unwrap_or_default(),
                gas_used: receipt.gas_used,
                at_ms,
                latency_ms: at_ms.saturating_sub(job.seen_at_ms),
            };
            new.push((*id, mined));
        }
        self.store.mined(&new)?;
        for (id, mined) in &new {
            self.metrics.mined(mined);
            tracing::info!(
                job = %id, tx = %mined.tx, block = mined.block, gas_used = mined.gas_used,
                latency_ms = mined.latency_ms, "verdict on chain"
            );
        }
        Ok(())
    }
}

/// The receipt of whichever of these transactions was mined; hands back who asks.
async fn receipt(
    provider: &DynProvider,
    ids: Vec<JobId>,
    hashes: Vec<B256>,
) -> (Vec<JobId>, Result<Option<TransactionReceipt>, OutboxError>) {
    for hash in hashes.into_iter().rev() {
        match provider.get_transaction_receipt(hash).await {
            Ok(Some(receipt)) if receipt.block_number.is_some() => return (ids, Ok(Some(receipt))),
            Ok(_) => {}
            Err(error) => return (ids, Err(error.into())),
        }
    }
    (ids, Ok(None))
}
