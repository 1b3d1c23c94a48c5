//! What tests do to the chain: the methods of Anvil, Hardhat and Ganache.

use std::{collections::BTreeMap, time::Duration};

use alloy::{
    primitives::{U256, keccak256},
    rpc::types::anvil::{Forking, MineOptions, TransactionData},
};
use serde_json::{Value, json};

use super::{Answer, CLIENT_VERSION, RpcError, json, json::quantity, params::Params};
use crate::{
    chain::{Chain, Error, Replacement, now},
    config::Mining,
};

/// Runs a method of this group.
pub(super) fn call(chain: &mut Chain, method: &str, params: &Params) -> Option<Answer> {
    let name = method
        .strip_prefix("anvil_")
        .or_else(|| method.strip_prefix("hardhat_"))
        .or_else(|| method.strip_prefix("evm_"))?;
    Some(match name {
        "mine" if method.starts_with("evm_") => evm_mine(chain, params).map(|_| json!("0x0")),
        "mine_detailed" | "mineDetailed" => evm_mine(chain, params),
        "mine" => mine(chain, params),
        "setBalance" => set(params, |p| {
            chain.set_balance(p.address(0, "address")?, p.quantity(1, "balance")?);
            Ok(())
        }),
        "addBalance" => set(params, |p| {
            let address = p.address(0, "address")?;
            let at = crate::chain::At::Block(chain.head().number());
            let balance = chain.account(address, at).balance;
            chain.set_balance(address, balance.saturating_add(p.quantity(1, "balance")?));
            Ok(())
        }),
        "setCode" => set(params, |p| {
            chain.set_code(p.address(0, "address")?, p.bytes(1, "code")?);
            Ok(())
        }),
        "setNonce" | "setAccountNonce" => set(params, |p| {
            chain.set_nonce(p.address(0, "address")?, p.number(1, "nonce")?);
            Ok(())
        }),
        "setStorageAt" => set(params, |p| {
            let (slot, value) = (p.word(1, "slot")?, p.word(2, "value")?);
            chain.set_slot(p.address(0, "address")?, slot.into(), value.into());
            Ok(())
        })
        .map(|_| json!(true)),
        "impersonateAccount" => set(params, |p| {
            chain.impersonated.insert(p.address(0, "address")?);
            Ok(())
        }),
        "stopImpersonatingAccount" => set(params, |p| {
            chain.impersonated.remove(&p.address(0, "address")?);
            Ok(())
        }),
        "autoImpersonateAccount" => set(params, |p| {
            chain.auto_impersonate = p.boolean(0, "enabled")?;
            Ok(())
        }),
        "snapshot" => Ok(quantity(chain.snapshot())),
        "revert" => params
            .number(0, "snapshot")
            .map(|id| json!(chain.revert(id))),
        "increaseTime" => params
            .number(0, "seconds")
            .map(|s| json!(chain.clock().increase(s))),
        "setNextBlockTimestamp" | "setBlockTimestamp" => set(params, |p| {
            let timestamp = p.number(0, "timestamp")?;
            Ok(chain.clock().set_next(timestamp)?)
        }),
        "setTime" => params
            .number(0, "timestamp")
            .and_then(|t| Ok(json!(chain.clock().set(seconds(t))?))),
        "setBlockTimestampInterval" => set(params, |p| {
            let interval = p.number(0, "seconds")?;
            chain.clock().set_interval(Some(interval));
            Ok(())
        }),
        "removeBlockTimestampInterval" => Ok(json!(chain.clock().set_interval(None))),
        "getAutomine" => Ok(json!(chain.mining() == Mining::Auto)),
        "setAutomine" => set(params, |p| {
            let mining = if p.boolean(0, "enabled")? {
                Mining::Auto
            } else {
                Mining::Manual
            };
            chain.set_mining(mining);
            Ok(())
        }),
        "getIntervalMining" => Ok(match chain.mining() {
            Mining::Interval(interval) => json!(interval.as_secs()),
            Mining::Auto | Mining::Manual => Value::Null,
        }),
        "setIntervalMining" => set(params, |p| {
            let interval = Duration::from_secs(p.number(0, "seconds")?);
            let off = interval.is_zero();
            chain.set_mining(if off {
                Mining::Manual
            } else {
                Mining::Interval(interval)
            });
            Ok(())
        }),
        "setBlockGasLimit" => set(params, |p| {
            chain.gas_limit = p.number(0, "gasLimit")?;
            Ok(())
        })
        .map(|_| json!(true)),
        "setNextBlockBaseFeePerGas" => set(params, |p| {
            let wei = p.number(0, "baseFee")?;
            chain.set_next_base_fee(wei);
            Ok(())
        }),
        "setMinGasPrice" => Err(RpcError::invalid_params(
            "anvil_setMinGasPrice is not supported when EIP-1559 is active",
        )),
        "setPrevRandao" => set(params, |p| {
            chain.set_next_prevrandao(p.word(0, "prevRandao")?);
            Ok(())
        }),
        "setCoinbase" => set(params, |p| {
            chain.coinbase = p.address(0, "address")?;
            Ok(())
        }),
        "setChainId" => set(params, |p| {
            chain.chain_id = p.number(0, "chainId")?;
            Ok(())
        }),
        "setLoggingEnabled" => set(params, |p| p.boolean(0, "enabled").map(drop)),
        "reset" => reset(chain, params),
        "rollback" => set(params, |p| {
            Ok(chain.roll_back(p.maybe_number(0, "depth")?.unwrap_or(1))?)
        }),
        "reorg" => reorg(chain, params),
        "dropTransaction" => params
            .hash(0, "hash")
            .map(|hash| json!(chain.drop_transaction(hash))),
        "dropAllTransactions" => {
            chain.drop_transactions(None);
            Ok(Value::Null)
        }
        "removePoolTransactions" => set(params, |p| {
            chain.drop_transactions(Some(p.address(0, "address")?));
            Ok(())
        }),
        "dumpState" => Ok(json!(format!("0x{}", hex::encode(chain.dump().to_bytes())))),
        "loadState" => params.bytes(0, "state").and_then(|bytes| {
            chain.load(&bytes)?;
            Ok(json!(true))
        }),
        "nodeInfo" => Ok(node_info(chain)),
        "metadata" => Ok(metadata(chain)),
        "getGenesisTime" => Ok(json!(chain.block(0).map(|block| block.header.timestamp))),
        _ => return None,
    })
}

/// Runs a setter, whose answer is null.
fn set(params: &Params, setter: impl FnOnce(&Params) -> Result<(), RpcError>) -> Answer {
    setter(params).map(|()| Value::Null)
}

/// A timestamp that some clients give in milliseconds, as JavaScript counts.
fn seconds(timestamp: u64) -> u64 {
    // The year 2286 in seconds, or 1970 in milliseconds: nobody means the former.
    if timestamp >= 1_000_000_000_000 {
        timestamp / 1000
    } else {
        timestamp
    }
}

fn mine(chain: &mut Chain, params: &Params) -> Answer {
    let count = params.maybe_number(0, "blocks")?.unwrap_or(1);
    let interval = params.maybe_number(1, "interval")?;
    chain.mine_many(count, interval)?;
    Ok(Value::Null)
}

/// Mines as `evm_mine` is asked to and returns the blocks.
fn evm_mine(chain: &mut Chain, params: &Params) -> Answer {
    let (timestamp, count) = match params.get(0) {
        None => (None, 1),
        Some(Value::Object(_)) => {
            let expected = "an object with timestamp and blocks, or a timestamp";
            match params.object(0, "options", expected)? {
                MineOptions::Options { timestamp, blocks } => (timestamp, blocks.unwrap_or(1)),
                MineOptions::Timestamp(timestamp) => (timestamp, 1),
            }
        }
        Some(_) => (Some(params.number(0, "timestamp")?), 1),
    };
    if let Some(timestamp) = timestamp {
        chain.clock().set_next(timestamp)?;
    }
    let first = chain.head().number() + 1;
    chain.mine_many(count, None)?;
    let blocks = (first..=chain.head().number()).filter_map(|number| chain.block(number));
    Ok(blocks.map(|block| json::block(block, true)).collect())
}

fn reset(chain: &mut Chain, params: &Params) -> Answer {
    let forking: Option<Forking> = params.maybe(0, "forking", "an object with forking options")?;
    if forking.is_some_and(|forking| forking.json_rpc_url.is_some()) {
        let message = "cannot reset to a fork: this node does not fork other chains";
        return Err(Error::Refused(message.into()).into());
    }
    chain.reset(Some(now()));
    Ok(Value::Null)
}

fn reorg(chain: &mut Chain, params: &Params) -> Answer {
    let expected = "an array of pairs of a transaction, or its bytes, and a block index";
    let depth = params.number(0, "depth")?;
    let pairs: Vec<(TransactionData, u64)> = params
        .maybe(1, "txBlockPairs", expected)?
        .unwrap_or_default();
    let pairs = pairs.into_iter().map(|(tx, index)| match tx {
        TransactionData::JSON(request) => (Replacement::Request(Box::new(request)), index),
        TransactionData::Raw(bytes) => (Replacement::Signed(bytes), index),
    });
    chain.reorganise(depth, pairs.collect())?;
    Ok(Value::Null)
}

fn node_info(chain: &Chain) -> Value {
    let head = chain.head();
    json!({
        "currentBlockNumber": quantity(head.number()),
        "currentBlockTimestamp": head.header.timestamp,
        "currentBlockHash": head.hash,
        "hardFork": "Osaka",
        "transactionOrder": "fees",
        "environment": {
            "baseFee": quantity(chain.next_base_fee()),
            "chainId": chain.chain_id,
            "gasLimit": quantity(chain.gas_limit),
            "gasPrice": U256::from(chain.gas_price()),
        },
        "forkConfig": { "forkUrl": null, "forkBlockNumber": null, "forkRetryBackoff": null },
    })
}

fn metadata(chain: &Chain) -> Value {
    let head = chain.head();
    let snapshots: BTreeMap<String, (u64, _)> = chain
        .snapshots()
        .map(|(id, number, hash)| (format!("0x{id:x}"), (number, hash)))
        .collect();
    json!({
        "clientVersion": CLIENT_VERSION,
        "clientSemver": env!("CARGO_PKG_VERSION"),
        // There is no commit to name; the version stands in, so that the field has its shape.
        "clientCommitSha": keccak256(env!("CARGO_PKG_VERSION")),
        "chainId": chain.chain_id,
        "instanceId": chain.instance,
        "latestBlockNumber": head.number(),
        "latestBlockHash": head.hash,
        "forkedNetwork": null,
        "snapshots": snapshots,
    })
}
