//! What tests may do to a chain that users of a real one cannot.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    rpc::types::TransactionRequest,
};

use super::{Chain, Error, history::Version, pool::Pool, time::Clock, tx::SentTx};
use crate::config::{BaseFee, Mining};

/// Everything [`Chain::revert`] brings back.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    version: Version,
    number: u64,
    hash: B256,
    pool: Pool,
    clock: Clock,
    next_base_fee: Option<u64>,
    next_prevrandao: Option<B256>,
}

/// A transaction for a new block of [`Chain::reorganise`].
#[derive(Clone, Debug)]
pub enum Replacement {
    /// To be completed and signed.
    Request(Box<TransactionRequest>),
    /// Signed and encoded.
    Signed(Bytes),
}

/// Most blocks one request may make.
const MOST_BLOCKS: u64 = 1_000_000;

impl Chain {
    /// Remembers the chain as it is and returns what to pass to [`Self::revert`].
    pub fn snapshot(&mut self) -> u64 {
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        let snapshot = Snapshot {
            version: self.history.version(),
            number: self.head().number(),
            hash: self.head().hash,
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            next_base_fee: self.next_base_fee,
            next_prevrandao: self.next_prevrandao,
        };
        self.snapshots.insert(id, snapshot);
        id
    }

    /// Makes the chain what it was at a snapshot, which is used up with all later ones. Returns
    /// whether there was such a snapshot.
    pub fn revert(&mut self, id: u64) -> bool {
        let Some(snapshot) = self.snapshots.remove(&id) else {
            return false;
        };
        self.snapshots.split_off(&id);
        self.take_off(snapshot.number);
        // Not the state after that block: what was set by request since belongs to the snapshot.
        self.history.truncate(snapshot.version);
        self.pool = snapshot.pool;
        self.clock = snapshot.clock;
        self.next_base_fee = snapshot.next_base_fee;
        self.next_prevrandao = snapshot.next_prevrandao;
        true
    }

    /// The snapshots: id, and number and hash of the newest block then.
    pub fn snapshots(&self) -> impl Iterator<Item = (u64, u64, B256)> {
        self.snapshots
            .iter()
            .map(|(id, snapshot)| (*id, snapshot.number, snapshot.hash))
    }

    /// Takes back the newest blocks.
    ///
    /// # Errors
    /// The chain has no more than `depth` blocks.
    pub fn roll_back(&mut self, depth: u64) -> Result<(), Error> {
        let height = self.head().number();
        let Some(number) = height.checked_sub(depth) else {
            return Err(Error::Refused(format!(
                "cannot take back {depth} blocks: the chain is {height} blocks high"
            )));
        };
        self.take_back(number);
        let version = self.history.version();
        self.snapshots
            .retain(|_, snapshot| snapshot.version <= version);
        Ok(())
    }

    /// Replaces the newest `depth` blocks by as many new ones, with `txs` in them: each with the
    /// index of its block, counted from the first new one. What was in the old blocks is dropped.
    ///
    /// # Errors
    /// The chain has no more than `depth` blocks, an index is not below `depth`, or a transaction
    /// can never run; the old blocks are gone then all the same.
    pub fn reorganise(&mut self, depth: u64, txs: Vec<(Replacement, u64)>) -> Result<(), Error> {
        if let Some((_, index)) = txs.iter().find(|(_, index)| *index >= depth) {
            return Err(Error::Refused(format!(
                "cannot put a transaction into new block {index}: there are {depth}"
            )));
        }
        self.roll_back(depth)?;
        for number in 0..depth {
            for (tx, _) in txs.iter().filter(|(_, index)| *index == number) {
                let tx = match tx {
                    Replacement::Request(request) => self.make((**request).clone(), false)?,
                    Replacement::Signed(bytes) => SentTx::decode(bytes)?,
                };
                self.take_in(tx)?;
            }
            // A new block must differ from the old one even if nothing else does.
            let seed = [self.head().hash.as_slice(), self.instance.as_slice(), &[1]].concat();
            self.next_prevrandao = Some(keccak256(seed));
            self.mine();
        }
        Ok(())
    }

    /// Makes the chain fresh again: first block, funded accounts, nothing waiting.
    pub fn reset(&mut self, timestamp: Option<u64>) {
        self.take_back(0);
        self.history.truncate(self.genesis);
        self.pool.clear();
        self.snapshots.clear();
        self.impersonated.clear();
        self.next_base_fee = None;
        self.next_prevrandao = None;
        self.blocks.clear();
        self.hashes.clear();
        self.by_hash.clear();
        let timestamp = timestamp.unwrap_or_else(super::now);
        self.clock = Clock::starting_at(timestamp);
        self.push_genesis(timestamp);
    }

    /// Makes `count` blocks, moving the clock by `interval` seconds after each.
    ///
    /// # Errors
    /// More than a million blocks are asked for.
    pub fn mine_many(&mut self, count: u64, interval: Option<u64>) -> Result<(), Error> {
        if count > MOST_BLOCKS {
            return Err(Error::Refused(format!(
                "cannot make {count} blocks at once: the most is {MOST_BLOCKS}"
            )));
        }
        for _ in 0..count {
            self.mine();
            if let Some(seconds) = interval {
                self.clock.increase(seconds);
            }
        }
        Ok(())
    }

    /// Sets when blocks are made.
    pub fn set_mining(&mut self, mining: Mining) {
        self.mining.send_replace(mining);
    }

    /// Sets an account's balance in wei.
    pub fn set_balance(&mut self, address: Address, balance: U256) {
        let account = self.history.account(&address);
        self.history.begin();
        self.history
            .write_account(address, super::history::Account { balance, ..account });
    }

    /// Sets an account's nonce.
    pub fn set_nonce(&mut self, address: Address, nonce: u64) {
        let account = self.history.account(&address);
        self.history.begin();
        self.history
            .write_account(address, super::history::Account { nonce, ..account });
        self.pool.prune(address, nonce);
    }

    /// Sets an account's code.
    pub fn set_code(&mut self, address: Address, code: Bytes) {
        let account = self.history.account(&address);
        self.history.begin();
        let code_hash = self.history.add_code(code);
        self.history.write_account(
            address,
            super::history::Account {
                code_hash,
                ..account
            },
        );
    }

    /// Sets a storage slot.
    pub fn set_slot(&mut self, address: Address, key: U256, value: U256) {
        self.history.begin();
        self.history.write_slot(address, key, value);
    }

    /// Sets the base fee of the next block, in wei.
    pub fn set_next_base_fee(&mut self, wei: u64) {
        self.next_base_fee = Some(wei);
        if let BaseFee::Constant(_) = self.base_fee {
            self.base_fee = BaseFee::Constant(wei);
        }
    }

    /// Sets what `PREVRANDAO` is in the next block.
    pub fn set_next_prevrandao(&mut self, value: B256) {
        self.next_prevrandao = Some(value);
    }

    /// The clock, to set it.
    pub fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// Drops a waiting transaction; its hash if it was there.
    pub fn drop_transaction(&mut self, hash: B256) -> Option<B256> {
        self.pool.remove(&hash).map(|tx| tx.hash)
    }

    /// Drops all waiting transactions, of one sender or of all.
    pub fn drop_transactions(&mut self, sender: Option<Address>) {
        match sender {
            Some(sender) => self.pool.remove_sender(sender),
            None => self.pool.clear(),
        }
    }
}
