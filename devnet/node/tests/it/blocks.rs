//! Blocks: what is in them and how they hang together.

use alloy::{
    consensus::Header,
    primitives::B256,
    providers::{Provider, ProviderBuilder},
};
use serde_json::{Value, json};
use vouch_devnet::{BaseFee, Config};

use crate::harness::{ALICE, ANSWERER, BOB, Client, number};

#[tokio::test]
async fn a_block_hash_is_the_hash_of_its_header() {
    let client = Client::new().await;
    client.deploy(ANSWERER).await;
    for tag in ["0x0", "0x1"] {
        let block = client.ok("eth_getBlockByNumber", json!([tag, false])).await;
        let header: Header = serde_json::from_value(block.clone()).unwrap();
        assert_eq!(json!(header.hash_slow()), block["hash"]);
    }
}

#[tokio::test]
async fn blocks_name_their_parents_and_differ() {
    let client = Client::new().await;
    client.ok("anvil_mine", json!([3])).await;
    let mut parent = Value::Null;
    for number in 0..=3 {
        let tag = format!("0x{number:x}");
        let block = client.ok("eth_getBlockByNumber", json!([tag, false])).await;
        if !parent.is_null() {
            assert_eq!(block["parentHash"], parent);
        }
        parent = block["hash"].clone();
    }
}

#[tokio::test]
async fn the_state_root_follows_the_state_and_nothing_else() {
    let client = Client::new().await;
    let root = |block: &Value| block["stateRoot"].clone();
    let first = root(&client.latest().await);
    client.ok("evm_mine", json!([])).await;
    assert_eq!(root(&client.latest().await), first);
    let snapshot = client.ok("evm_snapshot", json!([])).await;
    client
        .send(json!({ "from": ALICE, "to": BOB, "value": "0x1" }))
        .await;
    let changed = root(&client.latest().await);
    assert_ne!(changed, first);
    client.ok("evm_revert", json!([snapshot])).await;
    client.ok("evm_mine", json!([])).await;
    assert_eq!(root(&client.latest().await), first);
}

#[tokio::test]
async fn alloy_reads_blocks_transactions_and_receipts() {
    let client = Client::new().await;
    let receipt = client
        .send(json!({ "from": ALICE, "to": BOB, "value": "0x1" }))
        .await;
    let provider = ProviderBuilder::new().connect_http(client.node.http_url().parse().unwrap());
    let block = provider.get_block(1.into()).full().await.unwrap().unwrap();
    assert_eq!(block.header.hash_slow(), block.header.hash);
    let hash: B256 = receipt["transactionHash"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let read = provider
        .get_transaction_receipt(hash)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.block_hash, Some(block.header.hash));
    assert_eq!(read.gas_used, 21_000);
    let tx = provider
        .get_transaction_by_hash(hash)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(tx.block_number, Some(1));
}

#[tokio::test]
async fn unknown_blocks_are_null_and_their_states_errors() {
    let client = Client::new().await;
    assert!(
        client
            .ok("eth_getBlockByNumber", json!(["0x5", false]))
            .await
            .is_null()
    );
    let unknown = json!([B256::repeat_byte(9), false]);
    assert!(client.ok("eth_getBlockByHash", unknown).await.is_null());
    assert!(
        client
            .ok("eth_getBlockReceipts", json!(["0x5"]))
            .await
            .is_null()
    );
    let (code, message, _) = client.fails("eth_getBalance", json!([ALICE, "0x5"])).await;
    assert_eq!(code, -32602);
    assert_eq!(
        message,
        "BlockOutOfRangeError: block height is 0 but requested was 5"
    );
    let hash = json!({ "blockHash": B256::repeat_byte(9) });
    assert_eq!(
        client.fails("eth_getBalance", json!([ALICE, hash])).await.0,
        -32001
    );
}

#[tokio::test]
async fn past_states_stay_readable() {
    let client = Client::new().await;
    let before = client.balance(BOB).await;
    client
        .send(json!({ "from": ALICE, "to": BOB, "value": "0x7" }))
        .await;
    assert_eq!(client.balance(BOB).await, before + 7);
    let old = client.ok("eth_getBalance", json!([BOB, "0x0"])).await;
    assert_eq!(number(&old), before);
    let nonce = client
        .ok("eth_getTransactionCount", json!([ALICE, "0x0"]))
        .await;
    assert_eq!(nonce, "0x0");
}

#[tokio::test]
async fn the_base_fee_is_constant_unless_it_may_move() {
    let client = Client::new().await;
    client.ok("anvil_mine", json!([3])).await;
    assert_eq!(client.latest().await["baseFeePerGas"], "0x5f5e100");
    assert_eq!(client.ok("eth_gasPrice", json!([])).await, "0x5f5e100");

    let base_fee = BaseFee::Adjusting(1_000_000_000);
    let client = Client::with(Config {
        base_fee,
        ..Config::default()
    })
    .await;
    client.ok("anvil_mine", json!([2])).await;
    assert!(number(&client.latest().await["baseFeePerGas"]) < 1_000_000_000);
}

#[tokio::test]
async fn fee_history_has_one_fee_more_than_blocks() {
    let client = Client::new().await;
    client
        .send(json!({ "from": ALICE, "to": BOB, "value": "0x1" }))
        .await;
    let history = client
        .ok("eth_feeHistory", json!(["0x5", "latest", [10, 90]]))
        .await;
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 2);
    assert_eq!(history["reward"].as_array().unwrap().len(), 2);
    let plain = client.ok("eth_feeHistory", json!([1, "latest", []])).await;
    assert_eq!(plain["reward"], json!([]));
}
