//! Blocks and what their transactions did.

use std::sync::Arc;

use alloy::{
    consensus::{BlockBody, Header, ReceiptEnvelope, TxType, Typed2718},
    eips::eip4895::Withdrawals,
    primitives::{Address, B256, Bloom, Bytes, Log},
    rlp::Encodable,
    rpc::types::Log as RpcLog,
};
use revm::{
    context::{BlockEnv, result::ExecutionResult},
    primitives::U256,
};

use super::{history::Version, tx::SentTx};
use crate::execute::RecentPrograms;

/// What a transaction did.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Whether it succeeded.
    pub success: bool,
    /// Gas it used.
    pub gas_used: u64,
    /// Gas used in the block up to and including it.
    pub cumulative_gas_used: u64,
    /// Wei paid per gas.
    pub effective_gas_price: u128,
    /// The contract it created.
    pub contract: Option<Address>,
    /// Logs it left.
    pub logs: Vec<Log>,
    /// Bloom filter of the logs.
    pub bloom: Bloom,
    /// Index in the block of the first log.
    pub first_log: u64,
    /// What it returned.
    pub output: Bytes,
}

impl Receipt {
    /// The form that goes into the receipts root.
    pub fn envelope(&self, tx_type: TxType) -> ReceiptEnvelope {
        let receipt = alloy::consensus::Receipt {
            status: self.success.into(),
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs.clone(),
        };
        ReceiptEnvelope::from_typed(tx_type, receipt.with_bloom())
    }

    /// The output of a result, whatever its kind.
    pub fn output_of(result: &ExecutionResult) -> Bytes {
        result.output().cloned().unwrap_or_default()
    }
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub struct MinedTx {
    /// The transaction.
    pub tx: Arc<SentTx>,
    /// What it did.
    pub receipt: Receipt,
    /// The state it ran on.
    pub before: Version,
    /// Stylus programs run before it in the block.
    pub recent: RecentPrograms,
}

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its header.
    pub header: Header,
    /// The hash of its header.
    pub hash: B256,
    /// Its transactions.
    pub txs: Vec<MinedTx>,
    /// The state after it.
    pub end: Version,
    /// Length of its RLP encoding in bytes.
    pub size: usize,
}

impl Block {
    /// A block of these parts.
    pub fn new(header: Header, txs: Vec<MinedTx>, end: Version) -> Self {
        let body = BlockBody {
            transactions: txs.iter().map(|mined| mined.tx.envelope.clone()).collect(),
            ommers: Vec::<Header>::new(),
            withdrawals: Some(Withdrawals::default()),
        };
        let block = alloy::consensus::Block { header, body };
        let size = block.length();
        let header = block.header;
        let hash = header.hash_slow();
        Self {
            header,
            hash,
            txs,
            end,
            size,
        }
    }

    /// The block's number.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// Its base fee in wei.
    pub fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }

    /// What a transaction in it sees of it.
    pub fn env(&self) -> BlockEnv {
        block_env(&self.header)
    }

    /// The logs of one transaction, placed.
    pub fn logs_of(&self, index: usize) -> impl Iterator<Item = RpcLog> {
        self.txs.get(index).into_iter().flat_map(move |mined| {
            mined
                .receipt
                .logs
                .iter()
                .zip(mined.receipt.first_log..)
                .map(move |(log, log_index)| RpcLog {
                    inner: log.clone(),
                    block_hash: Some(self.hash),
                    block_number: Some(self.header.number),
                    block_timestamp: Some(self.header.timestamp),
                    transaction_hash: Some(mined.tx.hash),
                    transaction_index: Some(index as u64),
                    log_index: Some(log_index),
                    removed: false,
                })
        })
    }

    /// All its logs, placed.
    pub fn logs(&self) -> impl Iterator<Item = RpcLog> {
        (0..self.txs.len()).flat_map(|index| self.logs_of(index))
    }
}

/// What transactions see of the block with this header.
pub(crate) fn block_env(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        ..BlockEnv::default()
    }
}

/// The type of a transaction, for its receipt.
pub(crate) fn tx_type(tx: &SentTx) -> TxType {
    TxType::try_from(tx.envelope.ty()).unwrap_or(TxType::Legacy)
}
