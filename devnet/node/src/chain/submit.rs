//! Taking transactions in.

use std::sync::Arc;

use alloy::{
    consensus::Transaction,
    primitives::{B256, U256},
};

use super::{Chain, Error, Event, tx::SentTx};
use crate::config::Mining;

/// Gas of any transaction (`G_transaction` in the yellow paper).
const TX: u64 = 21_000;
/// Gas of creating a contract (`G_txcreate`).
const CREATE: u64 = 32_000;
/// Gas per byte of calldata that is zero (EIP-2028).
const ZERO_BYTE: u64 = 4;
/// Gas per other byte of calldata (EIP-2028).
const BYTE: u64 = 16;
/// Gas per word of init code (EIP-3860).
const INITCODE_WORD: u64 = 2;
/// Gas per address of an access list (EIP-2930).
const ACCESS_ADDRESS: u64 = 2_400;
/// Gas per slot of an access list (EIP-2930).
const ACCESS_SLOT: u64 = 1_900;
/// Gas per authorization (EIP-7702).
const AUTHORIZATION: u64 = 25_000;
/// Most bytes of init code (EIP-3860).
const MAX_INIT_CODE: usize = 49_152;

impl Chain {
    /// Takes a transaction in and, when each transaction gets a block, makes one.
    ///
    /// # Errors
    /// The transaction can never run, or not instead of one that waits.
    pub fn submit(&mut self, tx: SentTx) -> Result<B256, Error> {
        let runnable = tx.envelope.nonce() <= self.pending_nonce(&tx.sender);
        let hash = self.take_in(tx)?;
        if self.mining() == Mining::Auto && runnable {
            self.mine();
        }
        Ok(hash)
    }

    /// Takes a transaction in and makes no block.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(super) fn take_in(&mut self, tx: SentTx) -> Result<B256, Error> {
        self.check(&tx)?;
        let hash = tx.hash;
        self.pool.insert(Arc::new(tx))?;
        self.filters.note_pending(hash);
        // Nobody listening is no fault.
        let _ = self.events.send(Event::Pending(hash));
        Ok(hash)
    }

    fn check(&self, tx: &SentTx) -> Result<(), Error> {
        let envelope = &tx.envelope;
        if let Some(got) = envelope.chain_id()
            && got != self.chain_id
        {
            return Err(Error::WrongChain {
                expected: self.chain_id,
                got,
            });
        }
        let account = self.history.account(&tx.sender);
        if envelope.nonce() < account.nonce {
            return Err(Error::NonceTooLow);
        }
        if envelope.nonce() == u64::MAX {
            return Err(Error::NonceMax);
        }
        if envelope.gas_limit() > self.gas_limit {
            return Err(Error::GasAboveBlock);
        }
        if envelope.is_create() && envelope.input().len() > MAX_INIT_CODE {
            return Err(Error::InitCodeTooLong);
        }
        if envelope.gas_limit() < intrinsic_gas(tx) {
            return Err(Error::IntrinsicGas);
        }
        if envelope.max_fee_per_gas() < u128::from(self.next_base_fee()) {
            return Err(Error::FeeBelowBaseFee);
        }
        if envelope
            .max_priority_fee_per_gas()
            .is_some_and(|tip| tip > envelope.max_fee_per_gas())
        {
            return Err(Error::TipAboveFee);
        }
        let gas_cost =
            U256::from(envelope.gas_limit()).checked_mul(U256::from(envelope.max_fee_per_gas()));
        match gas_cost.and_then(|cost| cost.checked_add(envelope.value())) {
            Some(cost) if cost <= account.balance => Ok(()),
            _ => Err(Error::InsufficientFunds),
        }
    }
}

/// The gas a transaction costs before anything runs.
fn intrinsic_gas(tx: &SentTx) -> u64 {
    let envelope = &tx.envelope;
    let input = envelope.input();
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let length = input.len() as u64;
    let create = match envelope.is_create() {
        true => CREATE + length.div_ceil(32) * INITCODE_WORD,
        false => 0,
    };
    let access = envelope.access_list().map_or(0, |list| {
        let slots: usize = list.iter().map(|item| item.storage_keys.len()).sum();
        list.len() as u64 * ACCESS_ADDRESS + slots as u64 * ACCESS_SLOT
    });
    let authorizations = envelope.authorization_list().map_or(0, <[_]>::len) as u64;
    TX + create
        + zeros * ZERO_BYTE
        + (length - zeros) * BYTE
        + access
        + authorizations * AUTHORIZATION
}
