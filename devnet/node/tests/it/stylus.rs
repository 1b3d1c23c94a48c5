//! Stylus programs through the node's eyes: deployed, activated, called, traced.

use alloy::{primitives::U256, sol, sol_types::SolCall};
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Client, NOBODY, number, word};

/// The precompile that activates programs.
const ARB_WASM: &str = "0x0000000000000000000000000000000000000071";

sol! {
    function activateProgram(address program) external payable returns (uint16 version, uint256 fee);
    function codehashVersion(bytes32 codehash) external view returns (uint16 version);
}

/// Adds the first argument word to slot 0 and returns the sum; without arguments returns slot 0.
const ADDER: &str = r#"(module
    (import "vm_hooks" "read_args" (func $read_args (param i32)))
    (import "vm_hooks" "write_result" (func $write_result (param i32 i32)))
    (import "vm_hooks" "storage_load_bytes32" (func $load (param i32 i32)))
    (import "vm_hooks" "storage_cache_bytes32" (func $cache (param i32 i32)))
    (import "vm_hooks" "storage_flush_cache" (func $flush (param i32)))
    (memory (export "memory") 1 1)
    (func (export "user_entrypoint") (param $length i32) (result i32)
        (call $load (i32.const 0) (i32.const 32))
        (if (local.get $length) (then
            (call $read_args (i32.const 64))
            (i32.store8 (i32.const 63)
                (i32.add (i32.load8_u (i32.const 63)) (i32.load8_u (i32.const 95))))
            (call $cache (i32.const 0) (i32.const 32))
            (call $flush (i32.const 0))))
        (call $write_result (i32.const 32) (i32.const 32))
        (i32.const 0)))"#;

/// The code an account of this program has.
fn program(wat: &str) -> Vec<u8> {
    let wasm = wat::parse_str(wat).unwrap();
    let mut code = vec![0xef, 0xf0, 0x00, 0x00];
    let options = brotli::enc::BrotliEncoderParams {
        quality: 11,
        ..Default::default()
    };
    brotli::BrotliCompress(&mut wasm.as_slice(), &mut code, &options).unwrap();
    code
}

/// Init code that deploys `code`, as `cargo stylus` writes it.
fn init_code(code: &[u8]) -> String {
    let length = hex::encode(U256::from(code.len()).to_be_bytes::<32>());
    format!("0x7f{length}80602b6000396000f300{}", hex::encode(code))
}

fn activation(program: &str) -> String {
    let call = activateProgramCall {
        program: program.parse().unwrap(),
    };
    format!("0x{}", hex::encode(call.abi_encode()))
}

async fn deployed(client: &Client) -> String {
    let receipt = client
        .send(json!({ "from": ALICE, "data": init_code(&program(ADDER)) }))
        .await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    receipt["contractAddress"].as_str().unwrap().to_owned()
}

async fn activated(client: &Client) -> String {
    let adder = deployed(client).await;
    let value = "0xde0b6b3a7640000";
    let receipt = client
        .send(json!({ "from": ALICE, "to": ARB_WASM, "data": activation(&adder), "value": value }))
        .await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    adder
}

#[tokio::test]
async fn a_program_runs_once_activated() {
    let client = Client::new().await;
    let adder = deployed(&client).await;
    assert!(
        client
            .raw("eth_call", json!([{ "to": adder }]))
            .await
            .get("error")
            .is_some()
    );
    let rich = client.balance(ALICE).await;
    let value = "0xde0b6b3a7640000";
    let receipt = client
        .send(json!({ "from": ALICE, "to": ARB_WASM, "data": activation(&adder), "value": value }))
        .await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    // What the fee did not take came back.
    assert!(client.balance(ALICE).await > rich - 10u128.pow(17));

    for sum in [5, 10] {
        client
            .send(json!({ "from": ALICE, "to": adder, "data": word(5) }))
            .await;
        assert_eq!(
            client.ok("eth_call", json!([{ "to": adder }])).await,
            word(sum)
        );
        let slot = client
            .ok("eth_getStorageAt", json!([adder, "0x0", "latest"]))
            .await;
        assert_eq!(slot, word(sum));
    }
    // A call keeps nothing.
    let call = json!({ "to": adder, "data": word(1) });
    assert_eq!(client.ok("eth_call", json!([call])).await, word(11));
    assert_eq!(
        client.ok("eth_call", json!([{ "to": adder }])).await,
        word(10)
    );
}

#[tokio::test]
async fn an_activation_can_be_tried_without_deploying() {
    let client = Client::new().await;
    let code = format!("0x{}", hex::encode(program(ADDER)));
    let overrides = json!({
        NOBODY: { "code": code },
        BOB: { "balance": format!("0x{}", "f".repeat(64)) },
    });
    let call = json!({
        "from": BOB, "to": ARB_WASM, "data": activation(NOBODY), "value": "0xde0b6b3a7640000",
    });
    let answer = client
        .ok("eth_call", json!([call, "latest", overrides]))
        .await;
    let bytes = hex::decode(answer.as_str().unwrap().trim_start_matches("0x")).unwrap();
    let answer = activateProgramCall::abi_decode_returns(&bytes).unwrap();
    assert_eq!(answer.version, 2);
    assert!(answer.fee > U256::ZERO);

    let broken = json!({ NOBODY: { "code": "0xeff0000000112233" }, BOB: overrides[BOB] });
    client
        .fails("eth_call", json!([call, "latest", broken]))
        .await;
}

#[tokio::test]
async fn an_activation_can_be_reverted() {
    let client = Client::new().await;
    let snapshot = client.ok("evm_snapshot", json!([])).await;
    let adder = activated(&client).await;
    let code = client.ok("eth_getCode", json!([adder, "latest"])).await;
    let hash = client.ok("web3_sha3", json!([code])).await;
    let call = codehashVersionCall {
        codehash: hash.as_str().unwrap().parse().unwrap(),
    };
    let data = format!("0x{}", hex::encode(call.abi_encode()));
    let version = json!([{ "to": ARB_WASM, "data": data }]);
    assert_eq!(client.ok("eth_call", version.clone()).await, word(2));
    client.ok("evm_revert", json!([snapshot])).await;
    let (code, _, data) = client.fails("eth_call", version).await;
    // ProgramNotActivated()
    assert_eq!((code, data), (3, json!("0x6f809c4e")));
}

#[tokio::test]
async fn an_estimate_for_a_program_suffices() {
    let client = Client::new().await;
    let adder = activated(&client).await;
    let request = json!({ "from": ALICE, "to": adder, "data": word(3) });
    let gas = client.ok("eth_estimateGas", json!([request])).await;
    let enough = json!({ "from": ALICE, "to": adder, "data": word(3), "gas": gas });
    let snapshot = client.ok("evm_snapshot", json!([])).await;
    assert_eq!(client.send(enough).await["status"], "0x1");
    client.ok("evm_revert", json!([snapshot])).await;
    let short = format!("0x{:x}", number(&gas) - 1);
    let short = json!({ "from": ALICE, "to": adder, "data": word(3), "gas": short });
    assert_eq!(client.send(short).await["status"], "0x0");
}

#[tokio::test]
async fn a_program_is_traced() {
    let client = Client::new().await;
    let adder = activated(&client).await;
    let receipt = client
        .send(json!({ "from": ALICE, "to": adder, "data": word(3) }))
        .await;
    let hash = &receipt["transactionHash"];
    let options = json!({ "tracer": "stylusTracer" });
    let steps = client
        .ok("debug_traceTransaction", json!([hash, options]))
        .await;
    let names: Vec<&Value> = steps
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["name"])
        .collect();
    let expected = [
        "user_entrypoint",
        "storage_load_bytes32",
        "read_args",
        "storage_cache_bytes32",
        "storage_flush_cache",
        "write_result",
        "user_returned",
    ];
    assert_eq!(names, expected);
    assert_eq!(steps[2]["outs"], word(3));
    let options = json!({ "tracer": "callTracer" });
    let calls = client
        .ok("debug_traceTransaction", json!([hash, options]))
        .await;
    assert_eq!(
        (&calls["to"], &calls["output"]),
        (&json!(adder), &json!(word(3)))
    );
    assert_eq!(calls["gasUsed"], receipt["gasUsed"]);
    // Its steps are not EVM instructions.
    let plain = client.ok("debug_traceTransaction", json!([hash, {}])).await;
    assert_eq!(plain["structLogs"], json!([]));
}
