//! WebSocket: requests and subscriptions.

use alloy::{
    primitives::{Address, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::{Filter, TransactionRequest},
    transports::ws::WsConnect,
};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{ALICE, ANSWERER, Client, word};

async fn connected(client: &Client) -> DynProvider {
    let socket = WsConnect::new(client.node.ws_url());
    ProviderBuilder::new()
        .connect_ws(socket)
        .await
        .expect("a WebSocket")
        .erased()
}

#[tokio::test]
async fn requests_are_answered_as_over_http() {
    let client = Client::new().await;
    let provider = connected(&client).await;
    assert_eq!(provider.get_block_number().await.unwrap(), 0);
    let version = provider.get_client_version().await.unwrap();
    assert_eq!(client.ok("web3_clientVersion", json!([])).await, version);
    let unknown = provider
        .raw_request::<_, Value>("eth_nonsense".into(), ())
        .await;
    assert_eq!(unknown.unwrap_err().as_error_resp().unwrap().code, -32601);
}

#[tokio::test]
async fn heads_are_told_in_order() {
    let client = Client::new().await;
    let provider = connected(&client).await;
    let mut heads = provider.subscribe_blocks().await.unwrap().into_stream();
    client.ok("anvil_mine", json!([3])).await;
    for number in 1..=3 {
        let head = heads.next().await.unwrap();
        assert_eq!(head.number, number);
        assert_eq!(head.hash, head.inner.hash_slow());
    }
}

#[tokio::test]
async fn only_wanted_logs_are_told() {
    let client = Client::new().await;
    let contract: Address = client.deploy(ANSWERER).await.parse().unwrap();
    let other: Address = client.deploy(ANSWERER).await.parse().unwrap();
    let provider = connected(&client).await;
    let mut logs = provider
        .subscribe_logs(&Filter::new().address(contract))
        .await
        .unwrap()
        .into_stream();
    for to in [other, contract] {
        client.send(json!({ "from": ALICE, "to": to })).await;
    }
    let log = logs.next().await.unwrap();
    assert_eq!(log.address(), contract);
    assert_eq!(json!(log.data().data), word(42));
    assert_eq!(log.block_number, Some(4));
}

#[tokio::test]
async fn a_log_taken_back_is_told_as_removed() {
    let client = Client::new().await;
    let contract: Address = client.deploy(ANSWERER).await.parse().unwrap();
    let provider = connected(&client).await;
    let mut logs = provider
        .subscribe_logs(&Filter::new().address(contract))
        .await
        .unwrap()
        .into_stream();
    let snapshot = client.ok("evm_snapshot", json!([])).await;
    client.send(json!({ "from": ALICE, "to": contract })).await;
    client.ok("evm_revert", json!([snapshot])).await;
    let (first, second) = (logs.next().await.unwrap(), logs.next().await.unwrap());
    assert_eq!((first.removed, second.removed), (false, true));
    assert_eq!(first.transaction_hash, second.transaction_hash);
}

#[tokio::test]
async fn incoming_transactions_are_told() {
    let client = Client::new().await;
    let provider = connected(&client).await;
    let mut pending = provider
        .subscribe_pending_transactions()
        .await
        .unwrap()
        .into_stream();
    let receipt = client.send(json!({ "from": ALICE, "to": ALICE })).await;
    assert_eq!(
        json!(pending.next().await.unwrap()),
        receipt["transactionHash"]
    );
}

#[tokio::test]
async fn a_transaction_can_be_awaited_on_the_socket() {
    let client = Client::new().await;
    let provider = connected(&client).await;
    let from: Address = ALICE.parse().unwrap();
    let request = TransactionRequest::default()
        .from(from)
        .to(from)
        .value(U256::from(1));
    let receipt = provider
        .send_transaction(request)
        .await
        .unwrap()
        .get_receipt()
        .await
        .unwrap();
    assert!(receipt.status());
}

#[tokio::test]
async fn subscriptions_need_a_socket_and_a_known_topic() {
    let client = Client::new().await;
    assert_eq!(
        client.fails("eth_subscribe", json!(["newHeads"])).await.0,
        -32601
    );
    let provider = connected(&client).await;
    let unknown = provider
        .raw_request::<_, Value>("eth_subscribe".into(), ["nonsense"])
        .await;
    let error = unknown.unwrap_err();
    let error = error.as_error_resp().unwrap();
    assert_eq!(error.code, -32602);
    assert!(error.message.contains("newHeads"), "{}", error.message);
}
