//! Transactions waiting for a block.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy::{
    consensus::Transaction,
    primitives::{Address, B256},
};

use super::{Error, tx::SentTx};

#[derive(Clone, Debug)]
struct Entry {
    tx: Arc<SentTx>,
    arrival: u64,
}

/// Waiting transactions by sender and nonce.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    by_sender: BTreeMap<Address, BTreeMap<u64, Entry>>,
    by_hash: HashMap<B256, (Address, u64)>,
    arrivals: u64,
}

impl Pool {
    /// Adds a transaction; one with the same sender and nonce is replaced if the new one offers
    /// a higher maximum fee.
    ///
    /// # Errors
    /// It is here already, or would replace one that offers as much.
    pub fn insert(&mut self, tx: Arc<SentTx>) -> Result<(), Error> {
        if self.by_hash.contains_key(&tx.hash) {
            return Err(Error::AlreadyImported);
        }
        let (sender, nonce) = (tx.sender, tx.envelope.nonce());
        if let Some(old) = self.by_sender.get(&sender).and_then(|txs| txs.get(&nonce)) {
            if old.tx.envelope.max_fee_per_gas() >= tx.envelope.max_fee_per_gas() {
                return Err(Error::Underpriced);
            }
            self.by_hash.remove(&old.tx.hash);
        }
        self.arrivals += 1;
        self.by_hash.insert(tx.hash, (sender, nonce));
        let entry = Entry {
            tx,
            arrival: self.arrivals,
        };
        self.by_sender
            .entry(sender)
            .or_default()
            .insert(nonce, entry);
        Ok(())
    }

    /// The transaction with this hash.
    pub fn get(&self, hash: &B256) -> Option<&Arc<SentTx>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        Some(&self.by_sender.get(sender)?.get(nonce)?.tx)
    }

    /// Takes out the transaction with this hash.
    pub fn remove(&mut self, hash: &B256) -> Option<Arc<SentTx>> {
        let (sender, nonce) = self.by_hash.remove(hash)?;
        let txs = self.by_sender.get_mut(&sender)?;
        let entry = txs.remove(&nonce);
        if txs.is_empty() {
            self.by_sender.remove(&sender);
        }
        entry.map(|entry| entry.tx)
    }

    /// Drops what `sender` can no longer send because its nonce is `nonce`.
    pub fn prune(&mut self, sender: Address, nonce: u64) {
        let Some(txs) = self.by_sender.get_mut(&sender) else {
            return;
        };
        let kept = txs.split_off(&nonce);
        for entry in std::mem::replace(txs, kept).into_values() {
            self.by_hash.remove(&entry.tx.hash);
        }
        if txs.is_empty() {
            self.by_sender.remove(&sender);
        }
    }

    /// Drops everything `sender` has waiting.
    pub fn remove_sender(&mut self, sender: Address) {
        for entry in self
            .by_sender
            .remove(&sender)
            .unwrap_or_default()
            .into_values()
        {
            self.by_hash.remove(&entry.tx.hash);
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.by_sender.clear();
        self.by_hash.clear();
    }

    /// The transaction to run next: of those whose nonce is their sender's next, which pay the
    /// base fee and which `fits`, the one with the highest tip; the first to arrive among equals.
    pub fn next(
        &self,
        base_fee: u64,
        nonce_of: impl Fn(&Address) -> u64,
        fits: impl Fn(&SentTx) -> bool,
    ) -> Option<Arc<SentTx>> {
        self.by_sender
            .iter()
            .filter_map(|(sender, txs)| txs.get(&nonce_of(sender)))
            .filter(|entry| fits(&entry.tx))
            .filter_map(|entry| {
                let tip = entry.tx.envelope.effective_tip_per_gas(base_fee)?;
                Some((tip, std::cmp::Reverse(entry.arrival), &entry.tx))
            })
            .max_by_key(|(tip, arrival, _)| (*tip, *arrival))
            .map(|(_, _, tx)| tx.clone())
    }

    /// The first nonce at or after `nonce` that `sender` has nothing waiting for.
    pub fn next_nonce(&self, sender: &Address, nonce: u64) -> u64 {
        let Some(txs) = self.by_sender.get(sender) else {
            return nonce;
        };
        let mut free = nonce;
        while txs.contains_key(&free) {
            free += 1;
        }
        free
    }

    /// Everything waiting: sender, whether it can run now or waits for an earlier nonce, and the
    /// transaction; by sender and nonce.
    pub fn iter(
        &self,
        nonce_of: impl Fn(&Address) -> u64,
    ) -> impl Iterator<Item = (bool, &Arc<SentTx>)> {
        self.by_sender.iter().flat_map(move |(sender, txs)| {
            let first_gap = self.next_nonce(sender, nonce_of(sender));
            txs.iter()
                .map(move |(nonce, entry)| (*nonce < first_gap, &entry.tx))
        })
    }
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::{SignableTransaction, TxEip1559, TxEnvelope},
        primitives::Signature,
    };

    use super::*;

    const ALICE: Address = Address::repeat_byte(1);
    const BOB: Address = Address::repeat_byte(2);

    fn tx(sender: Address, nonce: u64, max_fee: u128, tip: u128) -> Arc<SentTx> {
        let tx = TxEip1559 {
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: tip,
            ..TxEip1559::default()
        };
        let envelope = TxEnvelope::from(tx.into_signed(Signature::test_signature()));
        Arc::new(SentTx::impersonated(envelope, sender))
    }

    #[test]
    fn replaces_only_for_a_higher_fee() {
        let mut pool = Pool::default();
        pool.insert(tx(ALICE, 0, 10, 1)).unwrap();
        assert!(matches!(
            pool.insert(tx(ALICE, 0, 10, 1)),
            Err(Error::AlreadyImported)
        ));
        assert!(matches!(
            pool.insert(tx(ALICE, 0, 10, 2)),
            Err(Error::Underpriced)
        ));
        let better = tx(ALICE, 0, 11, 1);
        pool.insert(better.clone()).unwrap();
        assert_eq!(pool.iter(|_| 0).count(), 1);
        assert_eq!(pool.next(0, |_| 0, |_| true).unwrap().hash, better.hash);
    }

    #[test]
    fn keeps_nonce_order_and_prefers_tips() {
        let mut pool = Pool::default();
        pool.insert(tx(ALICE, 1, 100, 50)).unwrap();
        pool.insert(tx(ALICE, 0, 100, 1)).unwrap();
        pool.insert(tx(BOB, 0, 100, 2)).unwrap();
        let next = pool.next(0, |_| 0, |_| true).unwrap();
        assert_eq!(next.sender, BOB);
        pool.remove(&next.hash);
        let next = pool.next(0, |_| 0, |_| true).unwrap();
        assert_eq!((next.sender, next.envelope.nonce()), (ALICE, 0));
    }

    #[test]
    fn a_gap_waits_and_a_low_fee_waits() {
        let mut pool = Pool::default();
        pool.insert(tx(ALICE, 5, 100, 1)).unwrap();
        pool.insert(tx(BOB, 0, 3, 1)).unwrap();
        assert!(pool.next(50, |_| 0, |_| true).is_none());
        assert_eq!(pool.next_nonce(&ALICE, 0), 0);
        assert_eq!(pool.next_nonce(&ALICE, 5), 6);
        let states: Vec<bool> = pool.iter(|_| 0).map(|(ready, _)| ready).collect();
        assert_eq!(states, [false, true]);
    }

    #[test]
    fn pruned_and_removed_transactions_are_gone() {
        let mut pool = Pool::default();
        let (first, second) = (tx(ALICE, 0, 10, 1), tx(ALICE, 1, 10, 1));
        pool.insert(first.clone()).unwrap();
        pool.insert(second.clone()).unwrap();
        pool.prune(ALICE, 1);
        assert!(pool.get(&first.hash).is_none());
        assert!(pool.remove(&second.hash).is_some());
        assert!(pool.remove(&second.hash).is_none());
        assert_eq!(pool.iter(|_| 0).count(), 0);
    }
}
