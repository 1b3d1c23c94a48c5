//! Logs and filters.

use serde_json::{Value, json};

use crate::harness::{ALICE, ANSWERER, BOB, Client, NOBODY, word};

async fn answering() -> (Client, String) {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    (client, contract)
}

fn length(value: &Value) -> usize {
    value
        .as_array()
        .unwrap_or_else(|| panic!("an array, not {value}"))
        .len()
}

#[tokio::test]
async fn logs_are_found_by_what_they_are() {
    let (client, contract) = answering().await;
    client.send(json!({ "from": ALICE, "to": contract })).await;
    let all = json!({ "fromBlock": "0x0" });
    let found = client.ok("eth_getLogs", json!([all])).await;
    assert_eq!(length(&found), 1);
    let log = &found[0];
    assert_eq!(log["address"], contract);
    assert_eq!(log["topics"], json!([word(7)]));
    assert_eq!(log["data"], word(42));
    assert_eq!(
        (&log["blockNumber"], &log["logIndex"]),
        (&json!("0x2"), &json!("0x0"))
    );
    let by_hash = json!([{ "blockHash": log["blockHash"] }]);
    assert_eq!(client.ok("eth_getLogs", by_hash).await, found);

    for (fields, count) in [
        (json!({ "address": contract }), 1),
        (json!({ "address": [NOBODY, contract] }), 1),
        (json!({ "address": NOBODY }), 0),
        (json!({ "topics": [word(7)] }), 1),
        (json!({ "topics": [[word(1), word(7)]] }), 1),
        (json!({ "topics": [null] }), 1),
        (json!({ "topics": [word(8)] }), 0),
        (json!({ "topics": [null, word(7)] }), 0),
        (json!({ "toBlock": "0x1" }), 0),
        (json!({ "toBlock": "0x999" }), 1),
    ] {
        let mut filter = all.clone();
        for (key, value) in fields.as_object().unwrap() {
            filter[key] = value.clone();
        }
        let found = client.ok("eth_getLogs", json!([filter])).await;
        assert_eq!(length(&found), count, "{fields}");
    }
}

#[tokio::test]
async fn ranges_that_make_no_sense_are_refused_or_empty() {
    let (client, _) = answering().await;
    let reversed = json!([{ "fromBlock": "0x1", "toBlock": "0x0" }]);
    assert_eq!(client.ok("eth_getLogs", reversed).await, json!([]));
    let future = json!([{ "fromBlock": "0x50", "toBlock": "0x60" }]);
    assert_eq!(client.fails("eth_getLogs", future).await.0, -32602);
    let unknown = json!([{ "blockHash": word(1) }]);
    let (code, message, _) = client.fails("eth_getLogs", unknown).await;
    assert_eq!((code, message.as_str()), (-32000, "unknown block"));
}

#[tokio::test]
async fn a_log_filter_reports_each_log_once() {
    let (client, contract) = answering().await;
    let filter = client
        .ok("eth_newFilter", json!([{ "address": contract }]))
        .await;
    assert_eq!(
        client.ok("eth_getFilterChanges", json!([filter])).await,
        json!([])
    );
    client.send(json!({ "from": ALICE, "to": contract })).await;
    client.send(json!({ "from": ALICE, "to": contract })).await;
    assert_eq!(
        length(&client.ok("eth_getFilterChanges", json!([filter])).await),
        2
    );
    assert_eq!(
        client.ok("eth_getFilterChanges", json!([filter])).await,
        json!([])
    );
}

#[tokio::test]
async fn a_log_filter_with_a_beginning_reports_what_there_was() {
    let (client, contract) = answering().await;
    client.send(json!({ "from": ALICE, "to": contract })).await;
    let filter = client
        .ok("eth_newFilter", json!([{ "fromBlock": "0x0" }]))
        .await;
    assert_eq!(
        length(&client.ok("eth_getFilterChanges", json!([filter])).await),
        1
    );
    assert_eq!(
        client.ok("eth_getFilterChanges", json!([filter])).await,
        json!([])
    );
    assert_eq!(
        length(&client.ok("eth_getFilterLogs", json!([filter])).await),
        1
    );
    let future = json!([{ "fromBlock": "0x99" }]);
    assert_eq!(client.fails("eth_newFilter", future).await.0, -32602);
}

#[tokio::test]
async fn block_and_transaction_filters_report_hashes() {
    let (client, _) = answering().await;
    let blocks = client.ok("eth_newBlockFilter", json!([])).await;
    let pending = client
        .ok("eth_newPendingTransactionFilter", json!([]))
        .await;
    let receipt = client.send(json!({ "from": ALICE, "to": BOB })).await;
    let changes = client.ok("eth_getFilterChanges", json!([blocks])).await;
    assert_eq!(changes, json!([receipt["blockHash"]]));
    let changes = client.ok("eth_getFilterChanges", json!([pending])).await;
    assert_eq!(changes, json!([receipt["transactionHash"]]));
}

#[tokio::test]
async fn a_removed_filter_is_gone() {
    let (client, _) = answering().await;
    let filter = client.ok("eth_newBlockFilter", json!([])).await;
    assert_eq!(
        client.ok("eth_uninstallFilter", json!([filter])).await,
        true
    );
    assert_eq!(
        client.ok("eth_uninstallFilter", json!([filter])).await,
        false
    );
    for method in ["eth_getFilterChanges", "eth_getFilterLogs"] {
        let (code, message, _) = client.fails(method, json!([filter])).await;
        assert_eq!((code, message.as_str()), (-32000, "filter not found"));
    }
}

#[tokio::test]
async fn a_failed_transaction_leaves_no_log() {
    let client = Client::new().await;
    // Logs, then reverts.
    let contract = client.deploy("5f5fa05f5ffd").await;
    let receipt = client
        .send(json!({ "from": ALICE, "to": contract, "gas": "0x100000" }))
        .await;
    assert_eq!(
        (&receipt["status"], &receipt["logs"]),
        (&json!("0x0"), &json!([]))
    );
    assert_eq!(
        client
            .ok("eth_getLogs", json!([{ "fromBlock": "0x0" }]))
            .await,
        json!([])
    );
}
