//! Transactions in: signed, sent by the node, replaced, refused.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, U256},
    providers::{Provider, ProviderBuilder},
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
};
use serde_json::json;
use vouch_devnet::{Config, Mining, accounts::ARBITRUM_DEV_KEY};

use crate::harness::{ALICE, ANSWERER, BOB, Client, NOBODY, number, reverter};

async fn manual() -> Client {
    Client::with(Config {
        mining: Mining::Manual,
        ..Config::default()
    })
    .await
}

#[tokio::test]
async fn a_signed_transaction_is_mined_before_its_hash_returns() {
    let client = Client::new().await;
    let signer = PrivateKeySigner::from_bytes(&ARBITRUM_DEV_KEY).unwrap();
    let provider = ProviderBuilder::new()
        .wallet(signer)
        .connect_http(client.node.http_url().parse().unwrap());
    let to = Address::repeat_byte(7);
    let tx = TransactionRequest::default()
        .with_to(to)
        .with_value(U256::from(5));
    let pending = provider.send_transaction(tx).await.unwrap();
    let receipt = provider
        .get_transaction_receipt(*pending.tx_hash())
        .await
        .unwrap();
    assert!(receipt.unwrap().status());
    assert_eq!(provider.get_balance(to).await.unwrap(), U256::from(5));
}

#[tokio::test]
async fn every_type_of_transaction_is_kept_as_it_came() {
    let client = Client::new().await;
    let price = "0x77359400";
    for (kind, request) in [
        (
            "0x0",
            json!({ "from": ALICE, "to": BOB, "gasPrice": price }),
        ),
        (
            "0x1",
            json!({ "from": ALICE, "to": BOB, "gasPrice": price, "accessList": [] }),
        ),
        (
            "0x2",
            json!({ "from": ALICE, "to": BOB, "maxFeePerGas": price }),
        ),
    ] {
        let receipt = client.send(request).await;
        assert_eq!(receipt["type"], kind);
        let hash = &receipt["transactionHash"];
        let tx = client.ok("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!(tx["type"], kind);
        assert_eq!(tx.get("accessList").is_some(), kind != "0x0");
        let raw = client
            .ok("eth_getRawTransactionByHash", json!([hash]))
            .await;
        assert!(raw.as_str().unwrap().len() > 100);
    }
}

#[tokio::test]
async fn what_waits_shows_as_waiting() {
    let client = manual().await;
    let request = json!({ "from": ALICE, "to": BOB, "value": "0x1" });
    let hash = client.ok("eth_sendTransaction", json!([request])).await;
    assert!(
        client
            .ok("eth_getTransactionReceipt", json!([hash]))
            .await
            .is_null()
    );
    let tx = client.ok("eth_getTransactionByHash", json!([hash])).await;
    assert!(tx["blockNumber"].is_null());
    let pending = client
        .ok("eth_getTransactionCount", json!([ALICE, "pending"]))
        .await;
    let latest = client
        .ok("eth_getTransactionCount", json!([ALICE, "latest"]))
        .await;
    assert_eq!((pending, latest), (json!("0x1"), json!("0x0")));
    let block = client
        .ok("eth_getBlockByNumber", json!(["pending", false]))
        .await;
    assert_eq!(block["transactions"], json!([hash]));
    let before = client.balance(BOB).await;
    let soon = client.ok("eth_getBalance", json!([BOB, "pending"])).await;
    assert_eq!(number(&soon), before + 1);
    // Asking about the future did not bring it about.
    assert_eq!(client.height().await, 0);
    assert_eq!(client.balance(BOB).await, before);

    client.ok("evm_mine", json!([])).await;
    let receipt = client.ok("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["blockNumber"], "0x1");
    assert_eq!(
        client.ok("txpool_status", json!([])).await["pending"],
        "0x0"
    );
}

#[tokio::test]
async fn a_gap_in_nonces_holds_back_what_follows() {
    let client = Client::new().await;
    let later = json!({ "from": ALICE, "to": BOB, "nonce": "0x1" });
    let hash = client.ok("eth_sendTransaction", json!([later])).await;
    assert_eq!(client.height().await, 0);
    assert_eq!(client.ok("txpool_status", json!([])).await["queued"], "0x1");
    client
        .send(json!({ "from": ALICE, "to": BOB, "nonce": "0x0" }))
        .await;
    let receipt = client.ok("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["blockNumber"], "0x1");
    assert_eq!(receipt["transactionIndex"], "0x1");
}

#[tokio::test]
async fn refusals_have_the_words_clients_know() {
    let client = Client::new().await;
    client.send(json!({ "from": ALICE, "to": BOB })).await;
    let too_rich = "0xd3c21bcecceda1000000";
    let table = [
        (json!({ "nonce": "0x0" }), -32003, "nonce too low"),
        (
            json!({ "value": too_rich }),
            -32003,
            "Insufficient funds for gas * price + value",
        ),
        (json!({ "gas": "0x1000" }), -32000, "intrinsic gas too low"),
        (
            json!({ "gas": "0x77359400" }),
            -32000,
            "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit",
        ),
        (
            json!({ "gasPrice": "0x1" }),
            -32003,
            "max fee per gas less than block base fee",
        ),
        (
            json!({ "maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x87359400" }),
            -32003,
            "max priority fee per gas higher than max fee per gas",
        ),
        (json!({ "from": NOBODY }), -32602, "No Signer available"),
        (
            json!({ "chainId": "0x1" }),
            -32602,
            "transaction-provided chain ID (1) does not match the signer's chain ID (31337)",
        ),
    ];
    for (fields, code, message) in table {
        let mut request = json!({ "from": ALICE, "to": BOB });
        for (key, value) in fields.as_object().unwrap() {
            request[key] = value.clone();
        }
        let (got, said, _) = client.fails("eth_sendTransaction", json!([request])).await;
        assert_eq!((got, said.as_str()), (code, message), "{fields}");
    }
    assert_eq!(client.height().await, 1);
}

#[tokio::test]
async fn replacing_takes_a_higher_fee() {
    let client = manual().await;
    let request = |fee: &str, value: &str| {
        json!([{ "from": ALICE, "to": BOB, "nonce": "0x0", "gas": "0x5208", "value": value,
                 "maxFeePerGas": fee, "maxPriorityFeePerGas": "0x1" }])
    };
    client
        .ok("eth_sendTransaction", request("0x77359400", "0x0"))
        .await;
    let (code, message, _) = client
        .fails("eth_sendTransaction", request("0x77359400", "0x0"))
        .await;
    assert_eq!(
        (code, message.as_str()),
        (-32003, "transaction already imported")
    );
    let (code, message, _) = client
        .fails("eth_sendTransaction", request("0x77359400", "0x1"))
        .await;
    assert_eq!(
        (code, message.as_str()),
        (-32003, "replacement transaction underpriced")
    );
    let better = client
        .ok("eth_sendTransaction", request("0x77359401", "0x1"))
        .await;
    client.ok("evm_mine", json!([])).await;
    assert_eq!(client.latest().await["transactions"][0]["hash"], better);
    assert_eq!(
        client.latest().await["transactions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_transaction_for_another_chain_is_refused() {
    let client = Client::new().await;
    let other = Client::with(Config {
        chain_id: 412_346,
        ..Config::default()
    })
    .await;
    assert_eq!(other.ok("eth_chainId", json!([])).await, "0x64aba");
    let request = json!([{ "from": ALICE, "to": BOB, "gas": "0x5208" }]);
    let raw = other.ok("eth_signTransaction", request).await;
    let (code, message, _) = client.fails("eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(code, -32003);
    assert!(message.contains("expected 31337, got 412346"), "{message}");
    other.ok("eth_sendRawTransaction", json!([raw])).await;
}

#[tokio::test]
async fn a_reverting_transaction_is_mined_as_failed() {
    let client = Client::new().await;
    let contract = client.deploy(&reverter("1234")).await;
    let receipt = client
        .send(json!({ "from": ALICE, "to": contract, "gas": "0x100000" }))
        .await;
    assert_eq!(receipt["status"], "0x0");
    assert_eq!(receipt["logs"], json!([]));
    // Without a gas limit the estimate fails, and it is sent all the same.
    let receipt = client.send(json!({ "from": ALICE, "to": contract })).await;
    assert_eq!(receipt["status"], "0x0");
}

#[tokio::test]
async fn an_impersonated_account_needs_no_key() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    client
        .ok("anvil_setBalance", json!([contract, "0xde0b6b3a7640000"]))
        .await;
    let request = json!([{ "from": contract, "to": BOB, "value": "0x5" }]);
    assert_eq!(
        client.fails("eth_sendTransaction", request.clone()).await.0,
        -32602
    );
    client
        .ok("anvil_impersonateAccount", json!([contract]))
        .await;
    let before = client.balance(BOB).await;
    let hash = client.ok("eth_sendTransaction", request.clone()).await;
    let receipt = client.ok("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(
        (&receipt["status"], &receipt["from"]),
        (&json!("0x1"), &json!(contract))
    );
    assert_eq!(client.balance(BOB).await, before + 5);
    client
        .ok("anvil_stopImpersonatingAccount", json!([contract]))
        .await;
    assert_eq!(client.fails("eth_sendTransaction", request).await.0, -32602);
}

#[tokio::test]
async fn equal_transactions_of_two_impersonated_accounts_have_two_hashes() {
    let client = Client::new().await;
    client
        .ok("anvil_autoImpersonateAccount", json!([true]))
        .await;
    let mut hashes = Vec::new();
    for sender in [NOBODY, "0x00000000000000000000000000000000000000bb"] {
        client
            .ok("anvil_setBalance", json!([sender, "0xde0b6b3a7640000"]))
            .await;
        let request = json!([{ "from": sender, "to": BOB, "value": "0x1" }]);
        hashes.push(client.ok("eth_sendTransaction", request).await);
    }
    assert_ne!(hashes[0], hashes[1]);
}

#[tokio::test]
async fn waiting_for_the_receipt_returns_it() {
    let mining = Mining::Interval(std::time::Duration::from_millis(50));
    let client = Client::with(Config {
        mining,
        ..Config::default()
    })
    .await;
    let request = json!([{ "from": ALICE, "to": BOB, "value": "0x1" }]);
    let receipt = client.ok("eth_sendTransactionSync", request).await;
    assert_eq!(receipt["status"], "0x1");
    let request = json!([{ "from": ALICE, "to": BOB, "gas": "0x5208", "nonce": "0x1" }]);
    let raw = client.ok("eth_signTransaction", request).await;
    let receipt = client.ok("eth_sendRawTransactionSync", json!([raw])).await;
    assert_eq!(receipt["from"], ALICE);
    assert_eq!(
        client
            .fails("eth_sendRawTransactionSync", json!([raw]))
            .await
            .0,
        -32003
    );
}

#[tokio::test]
async fn filling_completes_without_sending() {
    let client = Client::new().await;
    let request = json!([{ "from": ALICE, "to": BOB, "value": "0x1" }]);
    let filled = client.ok("eth_fillTransaction", request).await;
    assert_eq!(filled["tx"]["gas"], "0x5208");
    assert_eq!(filled["tx"]["nonce"], "0x0");
    assert!(number(&filled["tx"]["maxFeePerGas"]) >= 100_000_000);
    assert!(filled["raw"].as_str().unwrap().starts_with("0x02"));
    assert_eq!(client.height().await, 0);
    let unknown = json!([B256::repeat_byte(1)]);
    assert!(
        client
            .ok("eth_getTransactionByHash", unknown)
            .await
            .is_null()
    );
}
