//! What tests may do: time, mining, snapshots, state.

use serde_json::json;
use vouch_devnet::{Config, Mining};

use crate::harness::{ALICE, ANSWERER, BOB, Client, NOBODY, number, word};

#[tokio::test]
async fn a_revert_brings_everything_back_once() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    client.ok("anvil_setBalance", json!([NOBODY, "0x5"])).await;
    let before = client.latest().await;
    let snapshot = client.ok("evm_snapshot", json!([])).await;
    let receipt = client.send(json!({ "from": ALICE, "to": contract })).await;
    client.ok("anvil_setBalance", json!([NOBODY, "0x6"])).await;
    client.ok("anvil_mine", json!([3])).await;
    assert_eq!(client.ok("evm_revert", json!([snapshot])).await, true);

    assert_eq!(client.latest().await, before);
    assert_eq!(client.balance(NOBODY).await, 5);
    let slot = client
        .ok("eth_getStorageAt", json!([contract, "0x0", "latest"]))
        .await;
    assert_eq!(slot, word(0));
    let hash = json!([receipt["transactionHash"]]);
    assert!(
        client
            .ok("eth_getTransactionReceipt", hash.clone())
            .await
            .is_null()
    );
    assert!(client.ok("eth_getTransactionByHash", hash).await.is_null());
    assert_eq!(client.ok("evm_revert", json!([snapshot])).await, false);
    // The same transaction may run again.
    assert_eq!(
        client.send(json!({ "from": ALICE, "to": contract })).await["status"],
        "0x1"
    );
}

#[tokio::test]
async fn a_revert_uses_up_later_snapshots_and_keeps_earlier_ones() {
    let client = Client::new().await;
    let first = client.ok("evm_snapshot", json!([])).await;
    client.ok("evm_mine", json!([])).await;
    let second = client.ok("evm_snapshot", json!([])).await;
    client.ok("evm_mine", json!([])).await;
    let third = client.ok("evm_snapshot", json!([])).await;
    assert_eq!(client.ok("evm_revert", json!([second])).await, true);
    assert_eq!(client.height().await, 1);
    assert_eq!(client.ok("evm_revert", json!([third])).await, false);
    assert_eq!(client.ok("evm_revert", json!([first])).await, true);
    assert_eq!(client.height().await, 0);
}

#[tokio::test]
async fn a_revert_brings_back_what_waited() {
    let client = Client::with(Config {
        mining: Mining::Manual,
        ..Config::default()
    })
    .await;
    client
        .ok("eth_sendTransaction", json!([{ "from": ALICE, "to": BOB }]))
        .await;
    let snapshot = client.ok("evm_snapshot", json!([])).await;
    client.ok("evm_mine", json!([])).await;
    assert_eq!(
        client.ok("txpool_status", json!([])).await["pending"],
        "0x0"
    );
    client.ok("evm_revert", json!([snapshot])).await;
    assert_eq!(
        client.ok("txpool_status", json!([])).await["pending"],
        "0x1"
    );
}

#[tokio::test]
async fn time_goes_where_it_is_sent_and_never_back() {
    let client = Client::with(Config {
        timestamp: Some(1_800_000_000),
        ..Config::default()
    })
    .await;
    client
        .ok("evm_setNextBlockTimestamp", json!([1_900_000_000u64]))
        .await;
    client.ok("evm_mine", json!([])).await;
    assert_eq!(number(&client.latest().await["timestamp"]), 1_900_000_000);
    let (code, message, _) = client.fails("evm_setNextBlockTimestamp", json!([5])).await;
    assert_eq!(code, -32602);
    assert_eq!(
        message,
        "Timestamp error: 5 is lower than previous block's timestamp"
    );
    client.ok("evm_increaseTime", json!(["0xe10"])).await;
    client.ok("evm_mine", json!([])).await;
    assert!(number(&client.latest().await["timestamp"]) >= 1_900_003_600);
    client
        .ok("anvil_setBlockTimestampInterval", json!([100]))
        .await;
    let now = number(&client.latest().await["timestamp"]);
    client.ok("anvil_mine", json!(["0x2"])).await;
    assert_eq!(number(&client.latest().await["timestamp"]), now + 200);
    assert_eq!(
        client
            .ok("anvil_removeBlockTimestampInterval", json!([]))
            .await,
        true
    );
    client
        .ok("evm_mine", json!([{ "timestamp": 2_000_000_000u64 }]))
        .await;
    assert_eq!(number(&client.latest().await["timestamp"]), 2_000_000_000);
}

#[tokio::test]
async fn mining_modes_can_be_changed() {
    let client = Client::new().await;
    assert_eq!(client.ok("anvil_getAutomine", json!([])).await, true);
    client.ok("evm_setAutomine", json!([false])).await;
    client
        .ok("eth_sendTransaction", json!([{ "from": ALICE, "to": BOB }]))
        .await;
    assert_eq!(client.height().await, 0);
    client.ok("evm_setIntervalMining", json!([1])).await;
    assert_eq!(client.ok("anvil_getIntervalMining", json!([])).await, 1);
    let request = json!([{ "from": ALICE, "to": BOB }]);
    let receipt = client.ok("eth_sendTransactionSync", request).await;
    assert_eq!(receipt["blockNumber"], "0x1");
    client.ok("evm_setIntervalMining", json!([0])).await;
    assert!(
        client
            .ok("anvil_getIntervalMining", json!([]))
            .await
            .is_null()
    );
    client.ok("hardhat_mine", json!(["0x3"])).await;
    assert!(client.height().await >= 4);
}

#[tokio::test]
async fn state_can_be_set_under_every_alias() {
    let client = Client::new().await;
    for (prefix, value) in [("anvil", 1u64), ("hardhat", 2), ("evm", 3)] {
        let name = |method: &str| format!("{prefix}_{method}");
        client
            .ok(&name("setBalance"), json!([NOBODY, format!("0x{value:x}")]))
            .await;
        client
            .ok(&name("setNonce"), json!([NOBODY, format!("0x{value:x}")]))
            .await;
        client
            .ok(
                &name("setCode"),
                json!([NOBODY, format!("0x5f{value:02x}")]),
            )
            .await;
        client
            .ok(&name("setStorageAt"), json!([NOBODY, "0x1", word(value)]))
            .await;
        assert_eq!(client.balance(NOBODY).await, u128::from(value));
        let info = client
            .ok("eth_getAccountInfo", json!([NOBODY, "latest"]))
            .await;
        assert_eq!(info["nonce"], format!("0x{value:x}"));
        assert_eq!(info["code"], format!("0x5f{value:02x}"));
        let slot = client
            .ok("eth_getStorageAt", json!([NOBODY, "0x1", "latest"]))
            .await;
        assert_eq!(slot, word(value));
    }
}

#[tokio::test]
async fn the_next_block_gets_what_was_set() {
    let client = Client::new().await;
    client
        .ok("anvil_setNextBlockBaseFeePerGas", json!(["0x5"]))
        .await;
    client.ok("anvil_setCoinbase", json!([NOBODY])).await;
    client
        .ok("evm_setBlockGasLimit", json!(["0x1312d00"]))
        .await;
    client.ok("anvil_setPrevRandao", json!([word(7)])).await;
    client.ok("evm_mine", json!([])).await;
    let block = client.latest().await;
    assert_eq!(block["baseFeePerGas"], "0x5");
    assert_eq!(block["miner"], NOBODY);
    assert_eq!(block["gasLimit"], "0x1312d00");
    assert_eq!(block["mixHash"], word(7));
}

#[tokio::test]
async fn a_reset_chain_is_fresh() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    let rich = client.balance(BOB).await;
    client.ok("anvil_reset", json!([])).await;
    assert_eq!(client.height().await, 0);
    assert_eq!(
        client.ok("eth_getCode", json!([contract, "latest"])).await,
        "0x"
    );
    assert_eq!(client.balance(ALICE).await, rich);
    assert_eq!(client.deploy(ANSWERER).await, contract);
    let fork = json!([{ "forking": { "jsonRpcUrl": "http://localhost:1" } }]);
    assert_eq!(client.fails("anvil_reset", fork).await.0, -32602);
}

#[tokio::test]
async fn rolling_back_undoes_blocks_and_no_more() {
    let client = Client::new().await;
    client
        .send(json!({ "from": ALICE, "to": NOBODY, "value": "0x1" }))
        .await;
    client
        .send(json!({ "from": ALICE, "to": NOBODY, "value": "0x2" }))
        .await;
    client.ok("anvil_rollback", json!([1])).await;
    assert_eq!(client.height().await, 1);
    assert_eq!(client.balance(NOBODY).await, 1);
    assert_eq!(client.fails("anvil_rollback", json!([2])).await.0, -32602);
    assert_eq!(client.height().await, 1);
}

#[tokio::test]
async fn a_reorganisation_replaces_blocks() {
    let client = Client::new().await;
    client
        .send(json!({ "from": ALICE, "to": NOBODY, "value": "0x1" }))
        .await;
    let old = client
        .send(json!({ "from": ALICE, "to": NOBODY, "value": "0x2" }))
        .await;
    let tx = json!({ "from": ALICE, "to": NOBODY, "value": "0x5" });
    client.ok("anvil_reorg", json!([1, [[tx, 0]]])).await;
    assert_eq!(client.height().await, 2);
    assert_eq!(client.balance(NOBODY).await, 6);
    let hash = json!([old["transactionHash"]]);
    assert!(client.ok("eth_getTransactionReceipt", hash).await.is_null());
    let gone = json!([old["blockHash"], false]);
    assert!(client.ok("eth_getBlockByHash", gone).await.is_null());
    assert_eq!(client.fails("anvil_reorg", json!([9, []])).await.0, -32602);
    assert_eq!(
        client.fails("anvil_reorg", json!([1, [[tx, 1]]])).await.0,
        -32602
    );
    assert_eq!(client.height().await, 2);
}

#[tokio::test]
async fn a_dumped_state_loads_into_another_node() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    client.send(json!({ "from": ALICE, "to": contract })).await;
    let dump = client.ok("anvil_dumpState", json!([])).await;
    let other = Client::new().await;
    assert_eq!(other.ok("anvil_loadState", json!([dump])).await, true);
    let slot = other
        .ok("eth_getStorageAt", json!([contract, "0x0", "latest"]))
        .await;
    assert_eq!(slot, word(42));
    assert_eq!(
        other.ok("eth_call", json!([{ "to": contract }])).await,
        word(42)
    );
    for bad in ["0x", "0x7b7d", "0x1f8b08"] {
        assert_eq!(
            other.fails("anvil_loadState", json!([bad])).await.0,
            -32602,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn waiting_transactions_can_be_dropped() {
    let client = Client::with(Config {
        mining: Mining::Manual,
        ..Config::default()
    })
    .await;
    let send = async |nonce: &str| {
        let request = json!([{ "from": ALICE, "to": BOB, "nonce": nonce }]);
        client.ok("eth_sendTransaction", request).await
    };
    let hash = send("0x0").await;
    assert_eq!(
        client.ok("anvil_dropTransaction", json!([hash])).await,
        hash
    );
    assert!(
        client
            .ok("anvil_dropTransaction", json!([hash]))
            .await
            .is_null()
    );
    send("0x0").await;
    send("0x1").await;
    client
        .ok("anvil_removePoolTransactions", json!([BOB]))
        .await;
    assert_eq!(
        client.ok("txpool_status", json!([])).await["pending"],
        "0x2"
    );
    client
        .ok("anvil_removePoolTransactions", json!([ALICE]))
        .await;
    assert_eq!(
        client.ok("txpool_status", json!([])).await["pending"],
        "0x0"
    );
}

#[tokio::test]
async fn tools_recognise_the_node() {
    let client = Client::new().await;
    let version = client.ok("web3_clientVersion", json!([])).await;
    assert!(version.as_str().unwrap().starts_with("anvil/"), "{version}");
    let info = client.ok("anvil_nodeInfo", json!([])).await;
    let typed: alloy::rpc::types::anvil::NodeInfo = serde_json::from_value(info).unwrap();
    assert_eq!(typed.environment.chain_id, 31337);
    client.ok("evm_snapshot", json!([])).await;
    let metadata = client.ok("anvil_metadata", json!([])).await;
    let typed: alloy::rpc::types::anvil::Metadata = serde_json::from_value(metadata).unwrap();
    assert_eq!(typed.snapshots.len(), 1);
}
