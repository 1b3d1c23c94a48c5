//! The JSON form of blocks, transactions and receipts, field by field as Anvil writes it.

use std::sync::Arc;

use alloy::{
    consensus::{Header, Transaction},
    eips::Typed2718,
    primitives::{B256, U64, U256},
};
use serde_json::{Map, Value, json};

use crate::chain::{
    BlockEvent, SentTx,
    block::{Block, MinedTx},
};

/// A number as Ethereum writes it in JSON.
pub(crate) fn quantity(number: u64) -> Value {
    json!(U64::from(number))
}

fn wide(number: u128) -> Value {
    json!(U256::from(number))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A header with its hash.
fn header(header: &Header, hash: B256) -> Map<String, Value> {
    let mut fields = object(json!(header));
    fields.insert("hash".into(), json!(hash));
    fields
}

/// A block, with whole transactions or their hashes.
pub(crate) fn block(block: &Block, full: bool) -> Value {
    let mut fields = header(&block.header, block.hash);
    fields.insert("totalDifficulty".into(), json!("0x0"));
    fields.insert("size".into(), quantity(block.size as u64));
    fields.insert("uncles".into(), json!([]));
    fields.insert("withdrawals".into(), json!([]));
    let txs = block
        .txs
        .iter()
        .enumerate()
        .map(|(index, mined)| match full {
            true => mined_tx(block, index, mined),
            false => json!(mined.tx.hash),
        });
    fields.insert("transactions".into(), txs.collect());
    fields.into()
}

/// A block as `newHeads` reports it.
pub(crate) fn head(event: &BlockEvent) -> Value {
    let mut fields = header(&event.header, event.hash);
    fields.insert("size".into(), quantity(event.size as u64));
    fields.into()
}

fn unplaced(tx: &SentTx) -> Map<String, Value> {
    let mut fields = object(json!(tx.envelope));
    fields.insert("hash".into(), json!(tx.hash));
    fields.insert("from".into(), json!(tx.sender));
    fields
}

/// A transaction in a block.
pub(crate) fn mined_tx(block: &Block, index: usize, mined: &MinedTx) -> Value {
    let mut fields = unplaced(&mined.tx);
    fields.insert("blockHash".into(), json!(block.hash));
    fields.insert("blockNumber".into(), quantity(block.number()));
    fields.insert("transactionIndex".into(), quantity(index as u64));
    fields.insert("blockTimestamp".into(), quantity(block.header.timestamp));
    fields.insert("gasPrice".into(), wide(mined.receipt.effective_gas_price));
    fields.into()
}

/// A transaction that waits, or that was never sent.
pub(crate) fn waiting_tx(tx: &SentTx) -> Value {
    let mut fields = unplaced(tx);
    for place in ["blockHash", "blockNumber", "transactionIndex"] {
        fields.insert(place.into(), Value::Null);
    }
    fields.insert("gasPrice".into(), wide(tx.envelope.max_fee_per_gas()));
    fields.into()
}

/// A receipt.
pub(crate) fn receipt(block: &Block, index: usize, mined: &MinedTx) -> Value {
    let (tx, receipt) = (&mined.tx, &mined.receipt);
    let mut fields = object(json!({
        "type": quantity(tx.envelope.ty().into()),
        "status": quantity(receipt.success.into()),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used),
        "logs": block.logs_of(index).collect::<Vec<_>>(),
        "logsBloom": receipt.bloom,
        "transactionHash": tx.hash,
        "transactionIndex": quantity(index as u64),
        "blockHash": block.hash,
        "blockNumber": quantity(block.number()),
        "gasUsed": quantity(receipt.gas_used),
        "effectiveGasPrice": wide(receipt.effective_gas_price),
        "blobGasPrice": "0x1",
        "from": tx.sender,
        "to": tx.envelope.to(),
        "contractAddress": receipt.contract,
        // A plain number, unlike every other field: so it is in Anvil.
        "blockTimestamp": block.header.timestamp,
    }));
    if let Some(list) = tx.envelope.authorization_list() {
        fields.insert("authorizationList".into(), json!(list));
    }
    fields.into()
}

/// One line for a waiting transaction.
pub(crate) fn summary(tx: &Arc<SentTx>) -> String {
    let envelope = &tx.envelope;
    let to = envelope
        .to()
        .map_or_else(|| "contract creation".into(), |to| format!("{to:?}"));
    let (value, gas, price) = (
        envelope.value(),
        envelope.gas_limit(),
        envelope.max_fee_per_gas(),
    );
    format!("{to}: {value} wei + {gas} gas × {price} wei")
}
