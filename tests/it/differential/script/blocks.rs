//! Chain identity, blocks and transactions as they can be looked up.

use serde_json::json;

use super::{ALICE, BOB, NOBODY, PROBE};
use crate::differential::step::Script;

pub(super) fn genesis(s: &mut Script) {
    s.call("chain id", "eth_chainId", json!([]));
    s.call("network id", "net_version", json!([]));
    s.call("listening", "net_listening", json!([]));
    s.call("syncing", "eth_syncing", json!([]));
    s.call("accounts", "eth_accounts", json!([]));
    s.call("first block number", "eth_blockNumber", json!([]));
    s.call("keccak", "web3_sha3", json!(["0x766f756368"]));
    s.call("keccak of nothing", "web3_sha3", json!(["0x"]));
    s.call("rich account", "eth_getBalance", json!([ALICE, "latest"]));
    s.call("poor account", "eth_getBalance", json!([NOBODY, "latest"]));
    s.call(
        "fresh nonce",
        "eth_getTransactionCount",
        json!([ALICE, "pending"]),
    );
    s.call("genesis", "eth_getBlockByNumber", json!(["0x0", false]))
        .save_at("genesis", "/hash");
    s.call(
        "genesis by hash",
        "eth_getBlockByHash",
        json!(["$genesis", true]),
    );
    s.call(
        "genesis by name",
        "eth_getBlockByNumber",
        json!(["earliest", false]),
    );
    s.call("suggested price", "eth_gasPrice", json!([]));
    s.call("suggested tip", "eth_maxPriorityFeePerGas", json!([]));
    s.call(
        "fee history of genesis",
        "eth_feeHistory",
        json!(["0x1", "latest", [50.0]]),
    );
    s.call("blob base fee", "eth_blobBaseFee", json!([]));
}

pub(super) fn lookups(s: &mut Script) {
    s.call("block 1", "eth_getBlockByNumber", json!(["0x1", false]))
        .save_at("block1", "/hash");
    s.call(
        "block 1 with transactions",
        "eth_getBlockByNumber",
        json!(["0x1", true]),
    )
    .save_at("tx1", "/transactions/0/hash");
    s.call(
        "block 1 by hash",
        "eth_getBlockByHash",
        json!(["$block1", false]),
    );
    s.call("block 1's receipts", "eth_getBlockReceipts", json!(["0x1"]));
    s.call(
        "block 1's receipts by hash",
        "eth_getBlockReceipts",
        json!(["$block1"]),
    );
    s.call(
        "block 1's count",
        "eth_getBlockTransactionCountByNumber",
        json!(["0x1"]),
    );
    s.call(
        "block 1's count by hash",
        "eth_getBlockTransactionCountByHash",
        json!(["$block1"]),
    );
    s.call(
        "block 1's first",
        "eth_getTransactionByBlockNumberAndIndex",
        json!(["0x1", "0x0"]),
    );
    s.call(
        "block 1's second",
        "eth_getTransactionByBlockNumberAndIndex",
        json!(["0x1", "0x1"]),
    );
    s.call(
        "block 1's first by hash",
        "eth_getTransactionByBlockHashAndIndex",
        json!(["$block1", "0x0"]),
    );
    s.call(
        "block 1's uncles",
        "eth_getUncleCountByBlockNumber",
        json!(["0x1"]),
    );
    s.call(
        "first transaction",
        "eth_getTransactionByHash",
        json!(["$tx1"]),
    );
    s.call(
        "first transaction raw",
        "eth_getRawTransactionByHash",
        json!(["$tx1"]),
    );
    s.call("latest", "eth_getBlockByNumber", json!(["latest", false]));
    s.call("safe", "eth_getBlockByNumber", json!(["safe", false]));
    s.call(
        "finalized",
        "eth_getBlockByNumber",
        json!(["finalized", false]),
    );
    s.call(
        "future block",
        "eth_getBlockByNumber",
        json!(["0xffff", false]),
    );
    s.call(
        "future block's receipts",
        "eth_getBlockReceipts",
        json!(["0xffff"]),
    );
    let unknown = format!("0x{}", "11".repeat(32));
    s.call(
        "unknown block",
        "eth_getBlockByHash",
        json!([unknown, false]),
    );
    s.call(
        "unknown transaction",
        "eth_getTransactionByHash",
        json!([unknown]),
    );
    s.call(
        "unknown receipt",
        "eth_getTransactionReceipt",
        json!([unknown]),
    );
    s.call(
        "balance at block 0",
        "eth_getBalance",
        json!([ALICE, "0x0"]),
    );
    s.call(
        "balance at block 1",
        "eth_getBalance",
        json!([ALICE, "0x1"]),
    );
    s.call(
        "balance at a hash",
        "eth_getBalance",
        json!([ALICE, {"blockHash": "$block1"}]),
    );
    s.call(
        "balance at a number",
        "eth_getBalance",
        json!([ALICE, {"blockNumber": "0x1"}]),
    );
    s.call(
        "balance in the future",
        "eth_getBalance",
        json!([ALICE, "0xffff"]),
    );
    s.call(
        "nonce at block 1",
        "eth_getTransactionCount",
        json!([ALICE, "0x1"]),
    );
    s.call(
        "storage at block 1",
        "eth_getStorageAt",
        json!([PROBE, "0x0", "0x1"]),
    );
    s.call(
        "storage now",
        "eth_getStorageAt",
        json!([PROBE, "0x0", "latest"]),
    );
    s.call(
        "storage nobody wrote",
        "eth_getStorageAt",
        json!([NOBODY, "0x7", "latest"]),
    );
    s.call(
        "code of a plain account",
        "eth_getCode",
        json!([BOB, "latest"]),
    );
    s.call("account", "eth_getAccountInfo", json!([PROBE, "latest"]));
    s.call("fee history", "eth_feeHistory", json!(["0x2", "0x3", []]));
}
