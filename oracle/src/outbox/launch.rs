//! First broadcasts: several verdicts together where the contract takes them together.

use std::collections::BTreeSet;
use std::time::Instant;

use alloy::consensus::{SignableTransaction, TxEnvelope};
use alloy::eips::Encodable2718;
use alloy::eips::eip1559::Eip1559Estimation;
use alloy::network::{Ethereum, NetworkTransactionBuilder, TransactionBuilder};
use alloy::primitives::Bytes;
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::TransactionRequest;
use futures::StreamExt;
use tokio::sync::mpsc;
use vouch_client::calls;

use super::{AT_ONCE, Flying, Outbox, OutboxError};
use crate::store::Durable;
use crate::store::model::{Flight, JobId, OutboxEntry};
use crate::time::now_ms;

/// Gas limit, in percent of the estimate.
const GAS_PERCENT: u64 = 120;
/// Added to that for each time a transaction failed on chain that its estimate said would not.
const GAS_MORE_PERCENT: u64 = 80;
/// Failures after which the gas limit grows no longer.
const GAS_TRIES: u64 = 5;
/// Most verdicts in one transaction.
const TOGETHER: usize = 50;

/// A transaction that can be made: the jobs it is for, its calldata, its gas.
struct Ready {
    ids: Vec<JobId>,
    input: Bytes,
    gas: Result<u64, OutboxError>,
}

impl Outbox {
    /// Sends what has not been sent, on an account that has used up `used` nonces. A call that the
    /// contract would refuse never gets one.
    pub(super) async fn launch(
        &mut self,
        provider: &DynProvider,
        used: u64,
        new: Vec<(JobId, OutboxEntry)>,
        done: &mpsc::Sender<JobId>,
    ) -> Result<(), OutboxError> {
        if new.is_empty() {
            return Ok(());
        }
        let fees = match self.fees(provider).await {
            Ok(fees) => fees,
            Err(error) => {
                for (id, _) in &new {
                    self.rest(id, &error, done).await?;
                }
                return Ok(());
            }
        };
        let from = self.gas.address();
        let own = self.flying.values().filter(|flying| flying.from == from);
        let taken: BTreeSet<u64> = own.map(|flying| flying.nonce).collect();
        // A gap, which a reorganisation may leave, would hold up all that come after.
        let mut free = (used..).filter(|nonce| !taken.contains(nonce));
        let mut flights = Vec::new();
        for Ready { ids, input, gas } in self.ready(provider, new).await {
            let signed = match (gas, ids.first()) {
                (Ok(gas), Some(first)) => {
                    let failed = self.failed.get(first).copied().unwrap_or_default();
                    let percent = GAS_PERCENT + GAS_MORE_PERCENT * failed.min(GAS_TRIES);
                    let flight = Flight {
                        from,
                        nonce: free.next().unwrap_or(used),
                        raw: Bytes::new(),
                        hashes: Vec::new(),
                        max_fee_per_gas: fees.max_fee_per_gas,
                        max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
                        gas: gas.saturating_mul(percent) / 100,
                        at_ms: 0,
                    };
                    self.signed(input, flight).await
                }
                (Ok(_), None) => continue,
                (Err(error), _) => Err(error),
            };
            match signed {
                // An entry that is gone meanwhile would take the others down with it. The nonces after
                // this one must wait for it, so they wait for the next round.
                Ok(flight) if !self.store.launched(&ids, &flight)? => break,
                Ok(flight) => {
                    for (place, id) in ids.iter().enumerate() {
                        self.flying.insert(*id, Flying::of(&flight, place == 0));
                    }
                    flights.push((ids, flight));
                }
                Err(error) => {
                    for id in &ids {
                        self.rest(id, &error, done).await?;
                    }
                }
            }
        }
        let flights = self.store.durable(flights).await?;
        self.broadcast(provider, &flights).await;
        Ok(())
    }

    /// Entries in as few transactions as the contract takes: where it refuses some together, it is asked
    /// about each alone, and so it is about those whose transaction failed.
    async fn ready(&self, provider: &DynProvider, new: Vec<(JobId, OutboxEntry)>) -> Vec<Ready> {
        let mut ready = Vec::new();
        let (failed, fresh): (Vec<_>, Vec<_>) = new
            .into_iter()
            .partition(|(id, _)| self.failed.contains_key(id));
        let together = fresh.chunks(TOGETHER);
        for entries in together.chain(failed.chunks(TOGETHER)) {
            let fresh = entries.iter().all(|(id, _)| !self.failed.contains_key(id));
            if let ([_, _, ..], true) = (entries, fresh) {
                let inputs: Vec<Bytes> = entries.iter().map(|(_, e)| e.input.clone()).collect();
                let input = calls::batch(&inputs);
                let gas = self.estimate(provider, &input).await;
                if gas.is_ok() {
                    let ids = entries.iter().map(|(id, _)| *id).collect();
                    ready.push(Ready { ids, input, gas });
                    continue;
                }
            }
            let each = entries.iter();
            let each: Vec<_> = each
                .map(|(id, entry)| self.alone(provider, *id, entry.input.clone()))
                .collect();
            let each: Vec<Ready> = futures::stream::iter(each)
                .buffered(AT_ONCE)
                .collect()
                .await;
            ready.extend(each);
        }
        ready
    }

    async fn alone(&self, provider: &DynProvider, id: JobId, input: Bytes) -> Ready {
        Ready {
            ids: vec![id],
            gas: self.estimate(provider, &input).await,
            input,
        }
    }

    async fn estimate(&self, provider: &DynProvider, input: &Bytes) -> Result<u64, OutboxError> {
        let request = TransactionRequest::default()
            .from(self.gas.address())
            .to(self.escrow)
            .input(input.clone().into());
        Ok(provider.estimate_gas(request).await?)
    }

    /// What the chain asks for gas now.
    async fn fees(&self, provider: &DynProvider) -> Result<Eip1559Estimation, OutboxError> {
        let fees = provider.estimate_eip1559_fees().await?;
        match fees.max_fee_per_gas > self.max_fee {
            true => Err(OutboxError::Fees {
                asked: fees.max_fee_per_gas,
                allowed: self.max_fee,
            }),
            false => Ok(fees),
        }
    }

    /// A flight's transaction, signed anew.
    pub(super) async fn signed(
        &self,
        input: Bytes,
        mut flight: Flight,
    ) -> Result<Flight, OutboxError> {
        let request = TransactionRequest::default()
            .with_from(flight.from)
            .with_to(self.escrow)
            .with_input(input)
            .with_chain_id(self.chain_id)
            .with_nonce(flight.nonce)
            .with_gas_limit(flight.gas)
            .with_max_fee_per_gas(flight.max_fee_per_gas)
            .with_max_priority_fee_per_gas(flight.max_priority_fee_per_gas);
        let unsigned = NetworkTransactionBuilder::<Ethereum>::build_unsigned(request)
            .map_err(|e| OutboxError::Build(e.to_string()))?;
        let signature = self.gas.sign(unsigned.signature_hash()).await?;
        let signed: TxEnvelope = unsigned.into_envelope(signature);
        flight.hashes.push(*signed.tx_hash());
        flight.raw = signed.encoded_2718().into();
        flight.at_ms = now_ms();
        Ok(flight)
    }

    /// An endpoint that refuses may know the transaction already; the receipt will tell.
    pub(super) async fn broadcast(
        &mut self,
        provider: &DynProvider,
        flights: &Durable<Vec<(Vec<JobId>, Flight)>>,
    ) {
        for (ids, flight) in flights.get() {
            let Some(carrier) = ids.first() else { continue };
            tracing::info!(
                job = %carrier, verdicts = ids.len(), tx = ?flight.hashes.last(), nonce = flight.nonce,
                from = %flight.from, gas = flight.gas, max_fee_per_gas = flight.max_fee_per_gas, "sending"
            );
            self.sent.insert(*carrier, Instant::now());
            if let Err(error) = provider.send_raw_transaction(&flight.raw).await {
                tracing::warn!(job = %carrier, code = "broadcast_failed", nonce = flight.nonce, %error, "broadcast refused");
            }
        }
    }
}
