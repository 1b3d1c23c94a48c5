//! Questions about the chain.

use alloy::{
    consensus::{EMPTY_ROOT_HASH, Transaction},
    eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718},
    primitives::{Address, B256, U256, keccak256},
};
use serde_json::{Value, json};

use super::{Answer, CLIENT_VERSION, RpcError, json, json::quantity, params::Params};
use crate::chain::{
    At, Chain, Error,
    block::{Block, MinedTx},
};

/// Most blocks one `eth_feeHistory` covers.
const FEE_HISTORY: u64 = 1024;

/// Runs a method of this group.
pub(super) fn call(chain: &mut Chain, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "eth_chainId" | "eth_networkId" => Ok(quantity(chain.chain_id)),
        "net_version" => Ok(json!(chain.chain_id.to_string())),
        "net_listening" => Ok(json!(true)),
        "eth_protocolVersion" => Ok(json!(1)),
        "eth_syncing" => Ok(json!(false)),
        "eth_hashrate" => Ok(json!("0x0")),
        "eth_coinbase" => Ok(json!(chain.coinbase)),
        "web3_clientVersion" => Ok(json!(CLIENT_VERSION)),
        "web3_sha3" => params.bytes(0, "data").map(|data| json!(keccak256(data))),
        "eth_accounts" | "eth_requestAccounts" => Ok(chain
            .accounts
            .derived()
            .map(|(address, _)| json!(address))
            .collect()),
        "eth_blockNumber" => Ok(quantity(chain.head().number())),
        "eth_gasPrice" => Ok(json!(U256::from(chain.gas_price()))),
        "eth_maxPriorityFeePerGas" => Ok(json!(U256::from(chain.suggested_tip()))),
        "eth_blobBaseFee" => Ok(json!("0x1")),
        "eth_feeHistory" => fee_history(chain, params),
        "eth_getBalance" => with_account(chain, params, 1, |chain, address, at| {
            json!(chain.account(address, at).balance)
        }),
        "eth_getTransactionCount" => {
            with_account(chain, params, 1, |chain, address, at| match at {
                At::Pending => quantity(chain.pending_nonce(&address)),
                At::Block(_) => quantity(chain.account(address, at).nonce),
            })
        }
        "eth_getCode" => with_account(chain, params, 1, |chain, address, at| {
            json!(chain.code(address, at))
        }),
        "eth_getStorageAt" => storage(chain, params),
        "eth_getAccount" => with_account(chain, params, 1, account),
        "eth_getAccountInfo" => with_account(chain, params, 1, |chain, address, at| {
            let account = chain.account(address, at);
            let code = chain.code(address, at);
            json!({ "balance": account.balance, "nonce": quantity(account.nonce), "code": code })
        }),
        "eth_getProof" => proof(chain, params),
        "eth_getBlockByNumber" => block_by_number(chain, params),
        "eth_getBlockByHash" => block_by_hash(chain, params),
        "eth_getBlockTransactionCountByNumber"
        | "eth_getUncleCountByBlockNumber"
        | "eth_getBlockTransactionCountByHash"
        | "eth_getUncleCountByBlockHash" => count(chain, method, params),
        "eth_getUncleByBlockNumberAndIndex" | "eth_getUncleByBlockHashAndIndex" => Ok(Value::Null),
        "eth_getBlockReceipts" => block_receipts(chain, params),
        "eth_getTransactionByHash" => transaction(chain, params),
        "eth_getTransactionByBlockNumberAndIndex"
        | "eth_getTransactionByBlockHashAndIndex"
        | "eth_getRawTransactionByBlockNumberAndIndex"
        | "eth_getRawTransactionByBlockHashAndIndex" => by_index(chain, method, params),
        "eth_getTransactionBySenderAndNonce" => by_nonce(chain, params),
        "eth_getRawTransactionByHash" | "debug_getRawTransaction" => raw(chain, params),
        "eth_getTransactionReceipt" => receipt(chain, params),
        "eth_getLogs" => logs(chain, params),
        "eth_call" => eth_call(chain, params),
        "eth_estimateGas" => estimate(chain, params),
        "eth_createAccessList" => access_list(chain, params),
        _ => return None,
    })
}

/// The block parameter at `index`, found in the chain.
fn at(chain: &Chain, params: &Params, index: usize) -> Result<At, RpcError> {
    Ok(chain.resolve(params.block(index)?)?)
}

fn with_account(
    chain: &mut Chain,
    params: &Params,
    block: usize,
    question: impl FnOnce(&mut Chain, Address, At) -> Value,
) -> Answer {
    let address = params.address(0, "address")?;
    let at = at(chain, params, block)?;
    Ok(question(chain, address, at))
}

fn storage(chain: &mut Chain, params: &Params) -> Answer {
    let address = params.address(0, "address")?;
    let slot = params.word(1, "slot")?;
    let at = at(chain, params, 2)?;
    Ok(json!(B256::from(chain.slot(address, slot.into(), at))))
}

fn account(chain: &mut Chain, address: Address, at: At) -> Value {
    let account = chain.account(address, at);
    let root = chain.storage_root(address, at);
    json!({
        "nonce": quantity(account.nonce),
        "balance": account.balance,
        "storageRoot": if account.is_empty() { EMPTY_ROOT_HASH } else { root },
        "codeHash": account.code_hash,
    })
}

fn proof(chain: &mut Chain, params: &Params) -> Answer {
    let address = params.address(0, "address")?;
    let slots: Vec<B256> = params
        .maybe(1, "slots", "an array of 32-byte slots in hex")?
        .unwrap_or_default();
    let at = at(chain, params, 2)?;
    let proof = chain.prove(address, &slots, at);
    let slots: Vec<Value> = proof
        .slots
        .iter()
        .map(|(key, value, nodes)| json!({ "key": key, "value": value, "proof": nodes }))
        .collect();
    Ok(json!({
        "address": address,
        "balance": proof.account.balance,
        "codeHash": proof.account.code_hash,
        "nonce": quantity(proof.account.nonce),
        "storageHash": proof.storage_root,
        "accountProof": proof.nodes,
        "storageProof": slots,
    }))
}

fn block_by_number(chain: &mut Chain, params: &Params) -> Answer {
    let tag = params.tag(0)?;
    let full = params.flag(1, "full")?;
    Ok(match chain.number_of(tag) {
        At::Pending => json::block(&chain.pending_block(), full),
        At::Block(number) => chain
            .block(number)
            .map_or(Value::Null, |block| json::block(block, full)),
    })
}

fn block_by_hash(chain: &mut Chain, params: &Params) -> Answer {
    let hash = params.hash(0, "hash")?;
    let full = params.flag(1, "full")?;
    Ok(chain
        .block_by_hash(&hash)
        .map_or(Value::Null, |block| json::block(block, full)))
}

/// The block that a method `...ByNumber...` or `...ByHash...` names first.
fn named_block(
    chain: &mut Chain,
    method: &str,
    params: &Params,
) -> Result<Option<Block>, RpcError> {
    if method.contains("ByHash") || method.contains("ByBlockHash") {
        let hash = params.hash(0, "hash")?;
        return Ok(chain.block_by_hash(&hash).cloned());
    }
    let tag = params.tag(0)?;
    Ok(match chain.number_of(tag) {
        At::Pending => Some(chain.pending_block()),
        At::Block(number) => chain.block(number).cloned(),
    })
}

fn count(chain: &mut Chain, method: &str, params: &Params) -> Answer {
    let Some(block) = named_block(chain, method, params)? else {
        if let Ok(BlockNumberOrTag::Number(requested)) = params.tag(0) {
            let height = chain.head().number();
            return Err(Error::BlockOutOfRange { height, requested }.into());
        }
        return Ok(Value::Null);
    };
    let uncles = method.contains("Uncle");
    Ok(quantity(if uncles { 0 } else { block.txs.len() as u64 }))
}

fn block_receipts(chain: &mut Chain, params: &Params) -> Answer {
    let at = match chain.resolve(params.block(0)?) {
        Err(Error::BlockOutOfRange { .. } | Error::UnknownBlockHash(_)) => return Ok(Value::Null),
        at => at?,
    };
    let block = match at {
        At::Pending => Some(chain.pending_block()),
        At::Block(number) => chain.block(number).cloned(),
    };
    let receipts = block.map(|block| {
        let mined = block.txs.iter().enumerate();
        mined
            .map(|(index, mined)| json::receipt(&block, index, mined))
            .collect()
    });
    Ok(receipts.unwrap_or(Value::Null))
}

fn transaction(chain: &mut Chain, params: &Params) -> Answer {
    let hash = params.hash(0, "hash")?;
    if let Some((block, index, mined)) = chain.mined(&hash) {
        return Ok(json::mined_tx(block, index, mined));
    }
    Ok(chain
        .pool()
        .get(&hash)
        .map_or(Value::Null, |tx| json::waiting_tx(tx)))
}

fn by_index(chain: &mut Chain, method: &str, params: &Params) -> Answer {
    let index = params.number(1, "index")?;
    let Some(block) = named_block(chain, method, params)? else {
        return Ok(Value::Null);
    };
    let mined = usize::try_from(index)
        .ok()
        .and_then(|index| Some((index, block.txs.get(index)?)));
    let Some((index, mined)) = mined else {
        return Ok(Value::Null);
    };
    Ok(match method.contains("Raw") {
        true => encoded(mined),
        false => json::mined_tx(&block, index, mined),
    })
}

fn by_nonce(chain: &mut Chain, params: &Params) -> Answer {
    let sender = params.address(0, "sender")?;
    let nonce = params.number(1, "nonce")?;
    let is_it = |mined: &MinedTx| mined.tx.sender == sender && mined.tx.envelope.nonce() == nonce;
    for number in (0..=chain.head().number()).rev() {
        let Some(block) = chain.block(number) else {
            continue;
        };
        if let Some(index) = block.txs.iter().position(is_it) {
            return Ok(json::mined_tx(block, index, &block.txs[index]));
        }
    }
    Ok(Value::Null)
}

fn encoded(mined: &MinedTx) -> Value {
    json!(format!(
        "0x{}",
        hex::encode(mined.tx.envelope.encoded_2718())
    ))
}

fn raw(chain: &mut Chain, params: &Params) -> Answer {
    let hash = params.hash(0, "hash")?;
    if let Some((_, _, mined)) = chain.mined(&hash) {
        return Ok(encoded(mined));
    }
    Ok(chain.pool().get(&hash).map_or(Value::Null, |tx| {
        json!(format!("0x{}", hex::encode(tx.envelope.encoded_2718())))
    }))
}

fn receipt(chain: &mut Chain, params: &Params) -> Answer {
    let hash = params.hash(0, "hash")?;
    Ok(receipt_of(chain, &hash))
}

/// The receipt of a transaction, null while it is in no block.
pub(super) fn receipt_of(chain: &Chain, hash: &B256) -> Value {
    chain
        .mined(hash)
        .map_or(Value::Null, |(block, index, mined)| {
            json::receipt(block, index, mined)
        })
}

fn logs(chain: &mut Chain, params: &Params) -> Answer {
    let filter = params.filter(0)?;
    Ok(json!(chain.logs(&filter)?))
}

fn eth_call(chain: &mut Chain, params: &Params) -> Answer {
    let request = params.request(0)?;
    let at = at(chain, params, 1)?;
    let overrides = params.overrides(2)?;
    Ok(json!(chain.call(request, at, overrides)?))
}

fn estimate(chain: &mut Chain, params: &Params) -> Answer {
    let request = params.request(0)?;
    let at = at(chain, params, 1)?;
    let overrides = params.overrides(2)?;
    Ok(quantity(chain.estimate(request, at, overrides)?))
}

fn access_list(chain: &mut Chain, params: &Params) -> Answer {
    let request = params.request(0)?;
    let at = at(chain, params, 1)?;
    let overrides = params.overrides(2)?;
    let (list, gas) = chain.access_list(request, at, overrides)?;
    Ok(json!({ "accessList": list, "gasUsed": quantity(gas) }))
}

fn fee_history(chain: &mut Chain, params: &Params) -> Answer {
    let count = params.number(0, "blockCount")?.min(FEE_HISTORY);
    let newest = match chain.resolve(BlockId::Number(params.tag(1)?))? {
        At::Block(number) => number,
        At::Pending => chain.head().number(),
    };
    let percentiles: Vec<f64> = params
        .maybe(2, "rewardPercentiles", "an array of numbers from 0 to 100")?
        .unwrap_or_default();
    let oldest = (newest + 1).saturating_sub(count);
    let blocks: Vec<&Block> = (oldest..=newest)
        .filter_map(|number| chain.block(number))
        .collect();
    let mut fees: Vec<Value> = blocks
        .iter()
        .map(|block| quantity(block.base_fee()))
        .collect();
    let after = chain
        .block(newest + 1)
        .map_or_else(|| chain.next_base_fee(), Block::base_fee);
    fees.push(quantity(after));
    let ratios: Vec<f64> = blocks
        .iter()
        .map(|block| block.header.gas_used as f64 / block.header.gas_limit as f64)
        .collect();
    let rewards: Vec<Vec<Value>> = match percentiles.is_empty() {
        true => Vec::new(),
        false => blocks
            .iter()
            .map(|block| tips(chain, block, &percentiles))
            .collect(),
    };
    Ok(json!({
        "baseFeePerGas": fees,
        "gasUsedRatio": ratios,
        "baseFeePerBlobGas": vec!["0x1"; blocks.len() + 1],
        "blobGasUsedRatio": vec![0.0; blocks.len()],
        "oldestBlock": quantity(oldest),
        "reward": rewards,
    }))
}

/// The tips paid in a block at each percentile of its gas.
fn tips(chain: &Chain, block: &Block, percentiles: &[f64]) -> Vec<Value> {
    let mut paid: Vec<(u128, u64)> = block
        .txs
        .iter()
        .map(|mined| {
            let tip = mined
                .receipt
                .effective_gas_price
                .saturating_sub(block.base_fee().into());
            (tip, mined.receipt.gas_used)
        })
        .collect();
    paid.sort_unstable();
    let total = block.header.gas_used as f64;
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = total * percentile / 100.0;
            let mut gas = 0.0;
            let tip = paid.iter().find(|(_, used)| {
                gas += *used as f64;
                gas >= threshold
            });
            json!(U256::from(
                tip.or(paid.last())
                    .map_or(chain.suggested_tip(), |(tip, _)| *tip)
            ))
        })
        .collect()
}
