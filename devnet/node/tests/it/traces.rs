//! Traces.

use alloy::sol_types::{Revert, SolError};
use serde_json::{Value, json};

use crate::harness::{ALICE, ANSWERER, Client, NOBODY, number, reverter, word};

#[tokio::test]
async fn the_call_tree_shows_every_call() {
    let client = Client::new().await;
    let error = hex::encode(Revert::from("no".to_owned()).abi_encode());
    let inner = client.deploy(&reverter(&error)).await;
    // CALL, DELEGATECALL, STATICCALL the reverter, then CREATE nothing.
    let address = &inner[2..];
    let outer = format!(
        "5f5f5f5f5f73{address}5af1505f5f5f5f73{address}5af4505f5f5f5f73{address}5afa505f5f5ff000"
    );
    let outer = client.deploy(&outer).await;
    let receipt = client
        .send(json!({ "from": ALICE, "to": outer, "gas": "0x100000" }))
        .await;
    let hash = &receipt["transactionHash"];
    let options = json!({ "tracer": "callTracer" });
    let trace = client
        .ok("debug_traceTransaction", json!([hash, options]))
        .await;
    assert_eq!(
        (&trace["type"], &trace["to"]),
        (&json!("CALL"), &json!(outer))
    );
    assert_eq!(trace["gasUsed"], receipt["gasUsed"]);
    let kinds: Vec<&Value> = trace["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["type"])
        .collect();
    assert_eq!(kinds, ["CALL", "DELEGATECALL", "STATICCALL", "CREATE"]);
    let call = &trace["calls"][0];
    assert_eq!(call["error"], "execution reverted");
    assert_eq!(call["revertReason"], "no");
    assert_eq!(call["output"], format!("0x{error}"));

    let options = json!({ "tracer": "callTracer", "tracerConfig": { "onlyTopCall": true } });
    let top = client
        .ok("debug_traceTransaction", json!([hash, options]))
        .await;
    assert!(top.get("calls").is_none());
}

#[tokio::test]
async fn a_transaction_is_traced_on_the_state_it_ran_on() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    let first = client
        .send(json!({ "from": ALICE, "to": contract, "gas": "0x100000" }))
        .await;
    let second = client
        .send(json!({ "from": ALICE, "to": contract, "gas": "0x100000" }))
        .await;
    assert!(number(&first["gasUsed"]) > number(&second["gasUsed"]));
    for receipt in [first, second] {
        let trace = client
            .ok(
                "debug_traceTransaction",
                json!([receipt["transactionHash"], {}]),
            )
            .await;
        assert_eq!(
            u128::from(trace["gas"].as_u64().unwrap()),
            number(&receipt["gasUsed"])
        );
        assert_eq!(trace["returnValue"], word(42));
        let steps = trace["structLogs"].as_array().unwrap();
        let store = steps.iter().find(|step| step["op"] == "SSTORE").unwrap();
        assert_eq!(store["storage"], json!({ word(0): word(42) }));
        assert_eq!(store["stack"], json!(["0x2a", "0x0"]));
    }
}

#[tokio::test]
async fn the_prestate_is_what_was_before() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    let receipt = client.send(json!({ "from": ALICE, "to": contract })).await;
    let hash = &receipt["transactionHash"];
    let options = json!({ "tracer": "prestateTracer" });
    let pre = client
        .ok("debug_traceTransaction", json!([hash, options]))
        .await;
    assert_eq!(pre[&contract]["storage"], json!({ word(0): word(0) }));
    assert_eq!(pre[ALICE]["nonce"], 1);
    let options = json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } });
    let diff = client
        .ok("debug_traceTransaction", json!([hash, options]))
        .await;
    assert_eq!(
        diff["post"][&contract]["storage"],
        json!({ word(0): word(42) })
    );
    assert_eq!(diff["post"][ALICE]["nonce"], 2);
    assert!(diff["pre"][&contract].get("storage").is_none());
}

#[tokio::test]
async fn calls_can_be_traced_with_overrides() {
    let client = Client::new().await;
    let overrides = json!({ NOBODY: { "code": format!("0x{ANSWERER}") } });
    let options = json!({
        "tracer": "callTracer", "tracerConfig": { "withLog": true }, "stateOverrides": overrides,
    });
    let call = json!({ "to": NOBODY, "data": "0x01020304" });
    let trace = client
        .ok("debug_traceCall", json!([call, "latest", options]))
        .await;
    assert_eq!(trace["output"], word(42));
    assert_eq!(trace["logs"][0]["data"], word(42));
    let options = json!({ "tracer": "4byteTracer" });
    let counts = client
        .ok("debug_traceCall", json!([call, "latest", options]))
        .await;
    assert_eq!(counts, json!({ "0x01020304-0": 1 }));
}

#[tokio::test]
async fn an_unknown_tracer_is_refused() {
    let client = Client::new().await;
    let options = json!({ "tracer": "{step: function() {}}" });
    let (code, message, _) = client
        .fails(
            "debug_traceCall",
            json!([{ "to": NOBODY }, "latest", options]),
        )
        .await;
    assert_eq!(code, -32602);
    assert!(message.contains("callTracer"), "{message}");
    let (code, message, _) = client
        .fails("debug_traceTransaction", json!([word(1), {}]))
        .await;
    assert_eq!(code, -32000);
    assert!(message.contains("not found"), "{message}");
}
