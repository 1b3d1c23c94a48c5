//! What clients get wrong. Every answer names what was wrong; the node goes on.

use serde_json::{Value, json};
use vouch_devnet::{Config, Node, StartError};

use crate::harness::{ALICE, BOB, Client};

#[tokio::test]
async fn malformed_parameters_are_named() {
    let client = Client::new().await;
    let table = [
        ("eth_getBalance", json!([]), "address"),
        ("eth_getBalance", json!(["0x12"]), "address"),
        ("eth_getBalance", json!([5]), "address"),
        ("eth_getBalance", json!([ALICE, "newest"]), "block"),
        ("eth_getBalance", json!([ALICE, 5]), "block"),
        ("eth_getStorageAt", json!([ALICE, "zz"]), "slot"),
        ("eth_getBlockByNumber", json!(["latest", "yes"]), "full"),
        ("eth_getBlockByHash", json!(["0x00", false]), "hash"),
        ("eth_getTransactionReceipt", json!(["0x00"]), "hash"),
        ("eth_getLogs", json!([{ "address": "x" }]), "filter"),
        ("eth_getLogs", json!(["latest"]), "filter"),
        ("eth_call", json!([]), "transaction"),
        ("eth_call", json!([{ "to": "x" }]), "transaction"),
        (
            "eth_call",
            json!([{ "to": BOB, "data": "0x1" }]),
            "transaction",
        ),
        (
            "eth_call",
            json!([{ "to": BOB }, "latest", { BOB: { "balance": {} } }]),
            "stateOverrides",
        ),
        (
            "eth_call",
            json!([{ "to": BOB }, "latest", {}, { "time": "x" }]),
            "blockOverrides",
        ),
        ("eth_feeHistory", json!(["x", "latest", []]), "blockCount"),
        (
            "eth_feeHistory",
            json!([1, "latest", ["x"]]),
            "rewardPercentiles",
        ),
        ("eth_sendRawTransaction", json!(["zz"]), "transaction"),
        ("eth_sendRawTransaction", json!([]), "transaction"),
        ("anvil_setBalance", json!([ALICE]), "balance"),
        ("anvil_setBalance", json!([ALICE, "-1"]), "balance"),
        ("anvil_setCode", json!([ALICE, "0x1"]), "code"),
        ("anvil_mine", json!(["many"]), "blocks"),
        ("evm_increaseTime", json!([-5]), "seconds"),
        ("evm_revert", json!([]), "snapshot"),
        ("evm_setAutomine", json!(["on"]), "enabled"),
        (
            "debug_traceCall",
            json!([{ "to": BOB }, "latest", "callTracer"]),
            "options",
        ),
        ("personal_sign", json!(["0x00", "x"]), "address"),
    ];
    for (method, params, name) in table {
        let (code, message, _) = client.fails(method, params.clone()).await;
        assert_eq!(code, -32602, "{method} {params}: {message}");
        assert!(
            message.contains(&format!("`{name}`")),
            "{method} {params}: {message}"
        );
        assert!(message.contains("expected"), "{method} {params}: {message}");
    }
    assert_eq!(client.height().await, 0);
}

#[tokio::test]
async fn raw_transactions_that_are_none_are_refused() {
    let client = Client::new().await;
    for (raw, message) in [
        ("0x", "Empty transaction data"),
        ("0x00", "Failed to decode transaction"),
        ("0x02c0", "Failed to decode transaction"),
        ("0xffffffff", "Failed to decode transaction"),
    ] {
        let (code, said, _) = client.fails("eth_sendRawTransaction", json!([raw])).await;
        assert_eq!((code, said.as_str()), (-32602, message), "{raw}");
    }
    // A valid transaction with something behind it.
    let request = json!([{ "from": ALICE, "to": BOB, "gas": "0x5208" }]);
    let raw = client.ok("eth_signTransaction", request).await;
    let longer = format!("{}00", raw.as_str().unwrap());
    assert_eq!(
        client
            .fails("eth_sendRawTransaction", json!([longer]))
            .await
            .0,
        -32602
    );
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_refused() {
    let client = Client::new().await;
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("5", -32600),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#, -32600),
        (r#"{"id":1,"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_nonsense"}"#,
            -32601,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"anvil_nonsense"}"#,
            -32601,
        ),
    ] {
        let answer = client.post(body).await;
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item() {
    let client = Client::new().await;
    let batch = json!([
        { "jsonrpc": "2.0", "id": "a", "method": "eth_chainId" },
        7,
        { "jsonrpc": "2.0", "method": "evm_mine" },
        { "jsonrpc": "2.0", "id": 3, "method": "eth_blockNumber", "params": [] },
        { "jsonrpc": "2.0", "id": 4, "method": "eth_nonsense" },
    ]);
    let answers = client.post(batch.to_string()).await;
    assert_eq!(answers.as_array().unwrap().len(), 4, "{answers}");
    assert_eq!(
        (&answers[0]["id"], &answers[0]["result"]),
        (&json!("a"), &json!("0x7a69"))
    );
    assert_eq!(answers[1]["error"]["code"], -32600);
    // The notification was carried out, before what came after it.
    assert_eq!(answers[2]["result"], "0x1");
    assert_eq!(answers[3]["error"]["code"], -32601);
}

#[tokio::test]
async fn a_notification_gets_no_answer() {
    let client = Client::new().await;
    let answer = client
        .post(r#"{"jsonrpc":"2.0","method":"evm_mine"}"#)
        .await;
    assert_eq!(answer, Value::Null);
    assert_eq!(client.height().await, 1);
}

#[tokio::test]
async fn too_many_blocks_at_once_are_refused() {
    let client = Client::new().await;
    assert_eq!(
        client
            .fails("anvil_mine", json!(["0xffffffffffff"]))
            .await
            .0,
        -32602
    );
    assert_eq!(client.height().await, 0);
}

#[tokio::test]
async fn configurations_that_cannot_work_are_refused() {
    let mnemonic = "not a mnemonic".to_owned();
    let bad = Node::spawn(Config {
        mnemonic,
        ..Config::default()
    })
    .await;
    assert!(matches!(bad, Err(StartError::Accounts { .. })), "{bad:?}");
    let node = Node::spawn(Config::default()).await.unwrap();
    let port = node.address().port();
    let taken = Node::spawn(Config {
        port,
        ..Config::default()
    })
    .await;
    assert!(matches!(taken, Err(StartError::Listen { .. })), "{taken:?}");
    let missing = Some("/nonexistent/state.json".into());
    let unreadable = Node::spawn(Config {
        load_state: missing,
        ..Config::default()
    })
    .await;
    assert!(
        matches!(unreadable, Err(StartError::State { .. })),
        "{unreadable:?}"
    );
}
