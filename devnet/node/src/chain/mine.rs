//! Making blocks.

use std::{collections::HashSet, sync::Arc};

use alloy::{
    consensus::{
        EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, Transaction,
        constants::EMPTY_WITHDRAWALS,
        proofs::{calculate_receipt_root, calculate_transaction_root},
    },
    eips::eip7685::EMPTY_REQUESTS_HASH,
    primitives::{Address, B256, Bloom, keccak256, logs_bloom},
};

use super::{
    Chain,
    block::{Block, MinedTx, Receipt, block_env, tx_type},
    events::{BlockEvent, Event},
    pool::Pool,
    tx::SentTx,
};
use crate::execute::{RecentPrograms, Run, Strictness};

impl Chain {
    /// Makes the first block.
    pub(super) fn push_genesis(&mut self, timestamp: u64) {
        let header = Header {
            state_root: self.roots.state_root(&mut self.history),
            timestamp,
            gas_limit: self.gas_limit,
            base_fee_per_gas: Some(self.base_fee.initial()),
            ..empty_header()
        };
        let block = Block::new(header, Vec::new(), self.history.version());
        self.append(block);
    }

    /// Makes a block of what waits and tells the subscribers. Returns its number.
    pub fn mine(&mut self) -> u64 {
        let timestamp = self.clock.take();
        let mut pool = std::mem::take(&mut self.pool);
        let (mut header, txs) = self.assemble(timestamp, &mut pool);
        self.pool = pool;
        self.next_base_fee = None;
        self.next_prevrandao = None;
        header.state_root = self.roots.state_root(&mut self.history);
        let block = Block::new(header, txs, self.history.version());
        self.append(block);
        self.announce_head();
        self.head().number()
    }

    /// Runs `question` as if a block had been made now; nothing stays.
    pub(super) fn with_pending<R>(&mut self, question: impl FnOnce(&Self, &Block) -> R) -> R {
        let version = self.history.version();
        let (header, txs) = self.assemble(self.clock.peek(), &mut self.pool.clone());
        let block = Block::new(header, txs, self.history.version());
        let answer = question(self, &block);
        self.history.truncate(version);
        answer
    }

    /// The block that would be made now.
    pub fn pending_block(&mut self) -> Block {
        self.with_pending(|_, block| block.clone())
    }

    fn append(&mut self, block: Block) {
        let number = block.number();
        self.hashes.push(block.hash);
        self.by_hash.insert(block.hash, number);
        for (index, mined) in block.txs.iter().enumerate() {
            self.txs.insert(mined.tx.hash, (number, index));
        }
        self.blocks.push(block);
    }

    fn announce_head(&self) {
        self.announce(self.head(), false);
    }

    fn announce(&self, block: &Block, removed: bool) {
        let logs = block
            .logs()
            .map(|log| alloy::rpc::types::Log { removed, ..log })
            .collect();
        let event = BlockEvent {
            header: block.header.clone(),
            hash: block.hash,
            size: block.size,
            logs,
            removed,
        };
        // Nobody listening is no fault.
        let _ = self.events.send(Event::Block(Arc::new(event)));
    }

    /// Takes the blocks after `number` off the chain and leaves the state alone.
    pub(super) fn take_off(&mut self, number: u64) {
        while self.head().number() > number {
            let Some(block) = self.blocks.pop() else {
                break;
            };
            self.hashes.pop();
            self.by_hash.remove(&block.hash);
            for mined in &block.txs {
                self.txs.remove(&mined.tx.hash);
            }
            self.announce(&block, true);
        }
    }

    /// Takes back every block after `number`. The state becomes that after the block.
    pub(super) fn take_back(&mut self, number: u64) {
        self.take_off(number);
        let (end, timestamp) = (self.head().end, self.head().header.timestamp);
        self.history.truncate(end);
        self.clock.rewind(timestamp);
    }

    /// Runs transactions from `pool` until none fits, committing each to the state.
    fn assemble(&mut self, timestamp: u64, pool: &mut Pool) -> (Header, Vec<MinedTx>) {
        let parent = self.head();
        let number = parent.number() + 1;
        let mut header = Header {
            parent_hash: parent.hash,
            number,
            timestamp,
            beneficiary: self.coinbase,
            gas_limit: self.gas_limit,
            base_fee_per_gas: Some(self.next_base_fee()),
            mix_hash: self.next_prevrandao.unwrap_or_else(|| {
                keccak256([parent.hash.as_slice(), &number.to_be_bytes()].concat())
            }),
            ..empty_header()
        };
        let txs = self.run_all(&mut header, pool);
        let envelopes: Vec<_> = txs.iter().map(|mined| mined.tx.envelope.clone()).collect();
        let receipts: Vec<_> = txs
            .iter()
            .map(|mined| mined.receipt.envelope(tx_type(&mined.tx)))
            .collect();
        header.transactions_root = calculate_transaction_root(&envelopes);
        header.receipts_root = calculate_receipt_root(&receipts);
        header.logs_bloom = txs
            .iter()
            .fold(Bloom::ZERO, |bloom, mined| bloom | mined.receipt.bloom);
        (header, txs)
    }

    fn run_all(&mut self, header: &mut Header, pool: &mut Pool) -> Vec<MinedTx> {
        let mut txs: Vec<MinedTx> = Vec::new();
        let mut recent = RecentPrograms::default();
        let mut skipped: HashSet<B256> = HashSet::new();
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        loop {
            let room = header.gas_limit - header.gas_used;
            let next = pool.next(
                base_fee,
                |sender| self.history.account(sender).nonce,
                |tx| tx.envelope.gas_limit() <= room && !skipped.contains(&tx.hash),
            );
            let Some(tx) = next else { break };
            let before = self.history.version();
            let run = Run {
                chain_id: self.chain_id,
                block: block_env(header),
                recent: recent.clone(),
                tx: tx.env(),
                checks: if self.holds_code(&tx) {
                    Strictness::SenderWithCode
                } else {
                    Strictness::Block
                },
            };
            match self.machine.execute(&mut self.db(before), run) {
                Ok(outcome) => {
                    header.gas_used += outcome.result.tx_gas_used();
                    let receipt = receipt(&tx, &outcome.result, header, &txs);
                    let ran_after = std::mem::replace(&mut recent, outcome.recent);
                    self.history.commit(outcome.state);
                    pool.remove(&tx.hash);
                    pool.prune(tx.sender, self.history.account(&tx.sender).nonce);
                    txs.push(MinedTx {
                        tx,
                        receipt,
                        before,
                        recent: ran_after,
                    });
                }
                Err(error) => {
                    tracing::warn!(hash = %tx.hash, %error, "transaction dropped: it may not run");
                    skipped.insert(tx.hash);
                    pool.remove(&tx.hash);
                }
            }
        }
        txs
    }

    /// Whether the sender is a contract, which only impersonation makes possible.
    fn holds_code(&self, tx: &SentTx) -> bool {
        let hash = self.history.account(&tx.sender).code_hash;
        let code = self.history.code(&hash);
        !code.is_empty() && !code.is_eip7702() && self.may_impersonate(&tx.sender)
    }

    /// Whether transactions from `address` need no signature.
    pub fn may_impersonate(&self, address: &Address) -> bool {
        self.auto_impersonate || self.impersonated.contains(address)
    }
}

fn receipt(
    tx: &SentTx,
    result: &revm::context::result::ExecutionResult,
    header: &Header,
    earlier: &[MinedTx],
) -> Receipt {
    let logs = result.logs().to_vec();
    Receipt {
        success: result.is_success(),
        gas_used: result.tx_gas_used(),
        cumulative_gas_used: header.gas_used,
        effective_gas_price: tx.envelope.effective_gas_price(header.base_fee_per_gas),
        contract: tx
            .envelope
            .is_create()
            .then(|| tx.sender.create(tx.envelope.nonce())),
        bloom: logs_bloom(&logs),
        first_log: earlier.last().map_or(0, |last| {
            last.receipt.first_log + last.receipt.logs.len() as u64
        }),
        logs,
        output: Receipt::output_of(result),
    }
}

/// The fields no block of this chain varies.
fn empty_header() -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        state_root: B256::ZERO,
        ..Header::default()
    }
}
