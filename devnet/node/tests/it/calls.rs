//! Calls, estimates, overrides, access lists.

use alloy::sol_types::{Panic, Revert, SolError};
use serde_json::json;

use crate::harness::{ALICE, ANSWERER, BOB, Client, NOBODY, init_code, number, reverter, word};

#[tokio::test]
async fn a_call_changes_nothing() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    let answer = client
        .ok("eth_call", json!([{ "to": contract }, "latest"]))
        .await;
    assert_eq!(answer, word(42));
    let slot = client
        .ok("eth_getStorageAt", json!([contract, "0x0", "latest"]))
        .await;
    assert_eq!(slot, word(0));
    assert_eq!(client.height().await, 1);
}

#[tokio::test]
async fn reverts_carry_their_data_and_reason() {
    let client = Client::new().await;
    let error = hex::encode(Revert::from("no".to_owned()).abi_encode());
    let panic = hex::encode(Panic::from(0x11).abi_encode());
    for (data, message) in [
        ("", "execution reverted"),
        (error.as_str(), "execution reverted: no"),
        (
            panic.as_str(),
            "execution reverted: panic: arithmetic underflow or overflow (0x11)",
        ),
        (
            "ffeeddcc80",
            "execution reverted: custom error 0xffeeddcc: 80",
        ),
    ] {
        let contract = client.deploy(&reverter(data)).await;
        for method in ["eth_call", "eth_estimateGas", "eth_createAccessList"] {
            let (code, said, got) = client.fails(method, json!([{ "to": contract }])).await;
            assert_eq!((code, said.as_str()), (3, message), "{method}");
            assert_eq!(got, format!("0x{data}"), "{method}");
        }
    }
}

#[tokio::test]
async fn exceptional_ends_are_no_reverts() {
    let client = Client::new().await;
    let invalid = client.deploy("fe").await;
    let (code, message, data) = client.fails("eth_call", json!([{ "to": invalid }])).await;
    assert_eq!(
        (code, message.as_str()),
        (-32603, "EVM error InvalidFEOpcode")
    );
    assert!(data.is_null());
    let endless = client.deploy("5b5f56").await;
    let call = json!([{ "to": endless, "gas": "0x30d40" }]);
    let (code, message, _) = client.fails("eth_estimateGas", call).await;
    assert_eq!(code, -32003);
    assert_eq!(
        message,
        "Out of gas: gas required exceeds allowance: 200000"
    );
}

#[tokio::test]
async fn an_estimate_is_the_least_gas_that_suffices() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    // Calls the contract with all but a 64th of its gas: used gas alone would not do.
    let caller = format!("5f5f5f5f5f73{}5af1602057fe5b00", &contract[2..]);
    let caller = client.deploy(&caller).await;
    let request = json!({ "from": ALICE, "to": caller });
    let gas = number(&client.ok("eth_estimateGas", json!([request])).await);
    for (limit, status) in [(gas, "0x1"), (gas - 1, "0x0")] {
        let snapshot = client.ok("evm_snapshot", json!([])).await;
        let receipt = client
            .send(json!({ "from": ALICE, "to": caller, "gas": format!("0x{limit:x}") }))
            .await;
        assert_eq!(receipt["status"], status, "gas limit {limit}");
        client.ok("evm_revert", json!([snapshot])).await;
    }
    let transfer = json!([{ "from": ALICE, "to": BOB, "value": "0x1" }]);
    assert_eq!(client.ok("eth_estimateGas", transfer).await, "0x5208");
}

#[tokio::test]
async fn state_overrides_hold_for_one_call() {
    let client = Client::new().await;
    let sload = "0x5f545f5260205ff3";
    let call = json!({ "to": NOBODY });
    for overrides in [
        json!({ NOBODY: { "code": sload, "state": { word(0): word(9) } } }),
        json!({ NOBODY: { "code": sload, "stateDiff": { word(0): word(9) } } }),
    ] {
        let answer = client
            .ok("eth_call", json!([call, "latest", overrides]))
            .await;
        assert_eq!(answer, word(9));
    }
    assert_eq!(client.ok("eth_call", json!([call, "latest"])).await, "0x");
    assert_eq!(
        client.ok("eth_getCode", json!([NOBODY, "latest"])).await,
        "0x"
    );
}

#[tokio::test]
async fn a_full_state_override_hides_other_slots_and_a_diff_does_not() {
    let client = Client::new().await;
    let contract = client.deploy("5f545f5260205ff3").await;
    client
        .ok("anvil_setStorageAt", json!([contract, "0x0", word(5)]))
        .await;
    let call = json!({ "to": contract });
    let other = json!({ word(1): word(1) });
    let whole = json!({ contract.clone(): { "state": other } });
    assert_eq!(
        client.ok("eth_call", json!([call, "latest", whole])).await,
        word(0)
    );
    let diff = json!({ contract.clone(): { "stateDiff": other } });
    assert_eq!(
        client.ok("eth_call", json!([call, "latest", diff])).await,
        word(5)
    );
    let both = json!({ contract.clone(): { "state": {}, "stateDiff": {} } });
    assert_eq!(
        client
            .fails("eth_call", json!([call, "latest", both]))
            .await
            .0,
        -32602
    );
}

#[tokio::test]
async fn a_balance_override_pays_even_the_largest_value() {
    let client = Client::new().await;
    let value = "0xde0b6b3a7640000";
    let call = json!({ "from": NOBODY, "to": BOB, "value": value });
    let (code, message, _) = client.fails("eth_call", json!([call, "latest"])).await;
    assert_eq!(code, -32003);
    assert!(message.contains("Insufficient funds"), "{message}");
    let rich = json!({ NOBODY: { "balance": format!("0x{}", "f".repeat(64)) } });
    client.ok("eth_call", json!([call, "latest", rich])).await;
    client
        .ok("eth_estimateGas", json!([call, "latest", rich]))
        .await;
}

#[tokio::test]
async fn block_overrides_reach_the_program() {
    let client = Client::new().await;
    let code = json!({ NOBODY: { "code": "0x435f524260205260405ff3" } });
    let block = json!({ "number": "0x777", "time": "0x888" });
    let answer = client
        .ok("eth_call", json!([{ "to": NOBODY }, "latest", code, block]))
        .await;
    let expected = format!("{}{}", word(0x777), &word(0x888)[2..]);
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn calls_read_the_block_they_name() {
    let client = Client::new().await;
    let contract = client.deploy("435f5260205ff3").await;
    client.ok("anvil_mine", json!([5])).await;
    let at = |tag: &str| json!([{ "to": contract }, tag]);
    assert_eq!(client.ok("eth_call", at("0x3")).await, word(3));
    assert_eq!(client.ok("eth_call", at("latest")).await, word(6));
    assert_eq!(client.ok("eth_call", at("pending")).await, word(7));
    assert_eq!(client.fails("eth_call", at("0x99")).await.0, -32602);
}

#[tokio::test]
async fn access_lists_name_what_is_touched() {
    let client = Client::new().await;
    let contract = client.deploy(ANSWERER).await;
    let call = json!([{ "from": ALICE, "to": contract }]);
    let answer = client.ok("eth_createAccessList", call).await;
    let expected = json!([{ "address": contract, "storageKeys": [word(0)] }]);
    assert_eq!(answer["accessList"], expected);
    assert!(number(&answer["gasUsed"]) > 21_000);
}

#[tokio::test]
async fn code_that_begins_with_ef_cannot_be_deployed() {
    let client = Client::new().await;
    // Returns the single byte 0xef.
    let data = "0x60ef5f5360015ff3";
    let (code, message, _) = client
        .fails("eth_estimateGas", json!([{ "data": data }]))
        .await;
    assert_eq!(code, -32603);
    assert_eq!(message, "EVM error CreateContractStartingWithEF");
    let receipt = client
        .send(json!({ "from": ALICE, "data": data, "gas": "0x100000" }))
        .await;
    assert_eq!(receipt["status"], "0x0");
    let fine = json!([{ "data": init_code("00") }]);
    client.ok("eth_estimateGas", fine).await;
}
