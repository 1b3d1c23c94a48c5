//! What only a development node can do: change state, go back, mine at will, turn the clock.

use alloy::primitives::{B256, U256};
use serde_json::json;

use super::{ALICE, BOB, NOBODY, PROBE, Probe, to_probe, transaction, view};
use crate::differential::step::Script;

/// A contract somebody else might own: nobody has its key.
const STRANGER: &str = "0x000000000000000000000000000000000000beef";

/// The fourth unlocked account: sends nothing before the pool is looked at.
const CAROL: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";

pub(super) fn state(s: &mut Script) {
    s.call(
        "set balance",
        "anvil_setBalance",
        json!([STRANGER, "0xde0b6b3a7640000"]),
    );
    s.call(
        "set balance by another name",
        "hardhat_setBalance",
        json!([NOBODY, "0x64"]),
    );
    s.call("balance set", "eth_getBalance", json!([STRANGER, "latest"]));
    s.call("set nonce", "anvil_setNonce", json!([STRANGER, "0x9"]));
    s.call(
        "nonce set",
        "eth_getTransactionCount",
        json!([STRANGER, "latest"]),
    );
    s.call(
        "set code",
        "anvil_setCode",
        json!([NOBODY, "0x602a60005260206000f3"]),
    );
    s.call("code set", "eth_call", json!([{"to": NOBODY}, "latest"]));
    s.call(
        "set storage",
        "anvil_setStorageAt",
        json!([PROBE, "0x0", B256::with_last_byte(77)]),
    );
    s.call("storage set", "eth_call", view(Probe::countCall {}));
    s.call(
        "stranger is locked",
        "eth_sendTransaction",
        json!([transaction(STRANGER, BOB, vec![], 1, 60_000)]),
    );
    s.call("impersonate", "anvil_impersonateAccount", json!([STRANGER]));
    s.send(
        "stranger sends",
        transaction(STRANGER, ALICE, vec![], 1, 60_000),
    );
    s.call(
        "stop impersonating",
        "anvil_stopImpersonatingAccount",
        json!([STRANGER]),
    );
    s.call(
        "stranger is locked again",
        "eth_sendTransaction",
        json!([transaction(STRANGER, BOB, vec![], 1, 60_000)]),
    );
    s.call(
        "impersonate everyone",
        "anvil_autoImpersonateAccount",
        json!([true]),
    );
    s.send(
        "stranger sends again",
        transaction(STRANGER, ALICE, vec![], 1, 60_000),
    );
    s.call(
        "impersonate nobody",
        "anvil_autoImpersonateAccount",
        json!([false]),
    );
    s.call(
        "set coinbase",
        "anvil_setCoinbase",
        json!(["0x00000000000000000000000000000000c01bbace"]),
    );
    s.send(
        "with a coinbase",
        transaction(ALICE, ALICE, vec![], 0, 21_000),
    );
    s.call(
        "block with a coinbase",
        "eth_getBlockByNumber",
        json!(["latest", false]),
    );
}

pub(super) fn snapshots(s: &mut Script) {
    s.call("snapshot", "evm_snapshot", json!([]))
        .save("snapshot")
        .handle();
    s.call("height at the snapshot", "eth_blockNumber", json!([]));
    s.send(
        "after the snapshot",
        to_probe(Probe::addCall {
            n: U256::from(1000),
        }),
    );
    s.call(
        "count after the snapshot",
        "eth_call",
        view(Probe::countCall {}),
    );
    s.call("revert", "evm_revert", json!(["$snapshot"]));
    s.call("height after reverting", "eth_blockNumber", json!([]));
    s.call(
        "count after reverting",
        "eth_call",
        view(Probe::countCall {}),
    );
    s.call(
        "nonce after reverting",
        "eth_getTransactionCount",
        json!([ALICE, "latest"]),
    );
    s.call(
        "undone receipt",
        "eth_getTransactionReceipt",
        json!(["$hash"]),
    );
    s.call(
        "undone transaction",
        "eth_getTransactionByHash",
        json!(["$hash"]),
    );
    s.call("revert twice", "evm_revert", json!(["$snapshot"]));
    s.call("revert to nothing", "evm_revert", json!(["0xffff"]));
    s.send(
        "another history",
        to_probe(Probe::addCall { n: U256::from(2) }),
    );
    s.call("snapshot by another name", "anvil_snapshot", json!([]))
        .save("snapshot2")
        .handle();
    s.call(
        "revert by another name",
        "anvil_revert",
        json!(["$snapshot2"]),
    );
}

pub(super) fn mining(s: &mut Script) {
    s.call("mines at once", "anvil_getAutomine", json!([]));
    s.call("stop mining", "evm_setAutomine", json!([false]));
    s.call("no longer mines", "anvil_getAutomine", json!([]));
    s.call(
        "waits",
        "eth_sendTransaction",
        json!([to_probe(Probe::addCall { n: U256::from(1) })]),
    )
    .save("waiting");
    s.call(
        "waits too",
        "eth_sendTransaction",
        json!([transaction(ALICE, BOB, vec![], 3, 60_000)]),
    )
    .save("waiting2");
    s.call(
        "no receipt yet",
        "eth_getTransactionReceipt",
        json!(["$waiting"]),
    );
    s.call(
        "pending transaction",
        "eth_getTransactionByHash",
        json!(["$waiting"]),
    );
    s.call(
        "pending nonce",
        "eth_getTransactionCount",
        json!([ALICE, "pending"]),
    );
    s.call(
        "latest nonce",
        "eth_getTransactionCount",
        json!([ALICE, "latest"]),
    );
    s.call("pool", "txpool_status", json!([]));
    s.call(
        "pending block's size",
        "eth_getBlockTransactionCountByNumber",
        json!(["pending"]),
    );
    s.call("drop one", "anvil_dropTransaction", json!(["$waiting2"]));
    s.call("pool after dropping", "txpool_status", json!([]));
    s.call("mine", "evm_mine", json!([]));
    s.call(
        "mined receipt",
        "eth_getTransactionReceipt",
        json!(["$waiting"]),
    );
    s.call(
        "dropped receipt",
        "eth_getTransactionReceipt",
        json!(["$waiting2"]),
    );
    gap(s);
    s.call("mine again", "evm_setAutomine", json!([true]));
    s.call("mine five", "anvil_mine", json!(["0x5"]));
    s.call("height after mining", "eth_blockNumber", json!([]));
    s.call(
        "mine by another name",
        "hardhat_mine",
        json!(["0x2", "0xa"]),
    );
    s.call(
        "an empty block",
        "eth_getBlockByNumber",
        json!(["latest", true]),
    );
    s.call(
        "set the block's gas limit",
        "evm_setBlockGasLimit",
        json!(["0x1c9c380"]),
    );
}

/// A transaction ahead of its turn waits for the one before it.
fn gap(s: &mut Script) {
    let with_nonce = |nonce: &str| {
        let mut transaction = transaction(CAROL, BOB, vec![], 1, 60_000);
        transaction["nonce"] = json!(nonce);
        json!([transaction])
    };
    s.call(
        "ahead of its turn",
        "eth_sendTransaction",
        with_nonce("0x1"),
    )
    .save("ahead");
    s.call("pool with a gap", "txpool_status", json!([]));
    s.call("mine with a gap", "evm_mine", json!([]));
    s.call(
        "still ahead",
        "eth_getTransactionReceipt",
        json!(["$ahead"]),
    );
    s.call("closes the gap", "eth_sendTransaction", with_nonce("0x0"))
        .save("closing");
    s.call("pool without a gap", "txpool_status", json!([]));
    s.call("mine without a gap", "evm_mine", json!([]));
    s.call(
        "closing receipt",
        "eth_getTransactionReceipt",
        json!(["$closing"]),
    );
    s.call(
        "ahead's receipt",
        "eth_getTransactionReceipt",
        json!(["$ahead"]),
    );
}

pub(super) fn time(s: &mut Script) {
    s.call(
        "next time",
        "evm_setNextBlockTimestamp",
        json!(["0x6fc23ac00"]),
    );
    s.call("mine at that time", "evm_mine", json!([]));
    s.call(
        "block of that time",
        "eth_getBlockByNumber",
        json!(["latest", false]),
    );
    s.call(
        "time seen by contracts",
        "eth_call",
        json!([{"to": PROBE, "data": "0x16ada547"}, "0x1"]),
    )
    .clock();
    s.call(
        "time in the past",
        "evm_setNextBlockTimestamp",
        json!(["0x1"]),
    );
    s.call("increase time", "evm_increaseTime", json!(["0xe10"]))
        .clock();
    s.call("mine later", "evm_mine", json!([]));
    s.call(
        "later block",
        "eth_getBlockByNumber",
        json!(["latest", false]),
    );
    s.call("set time", "evm_setTime", json!(["0x6fc23d000"]))
        .clock();
    s.call(
        "set interval",
        "anvil_setBlockTimestampInterval",
        json!([100]),
    );
    s.call("mine at intervals", "anvil_mine", json!(["0x3"]));
    s.call(
        "block at intervals",
        "eth_getBlockByNumber",
        json!(["latest", false]),
    );
    s.call(
        "remove interval",
        "anvil_removeBlockTimestampInterval",
        json!([]),
    );
    s.call(
        "mine at a time",
        "evm_mine",
        json!([{"timestamp": "0x6fc240000"}]),
    );
    s.call(
        "block at a time",
        "eth_getBlockByNumber",
        json!(["latest", false]),
    );
}
