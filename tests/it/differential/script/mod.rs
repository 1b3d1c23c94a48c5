//! The script: EVM-only JSON-RPC calls, in an order in which later ones build on earlier ones.

mod blocks;
mod calls;
mod control;
mod failures;
mod logs;
mod raw;

use alloy::primitives::{U256, hex};
use alloy::sol;
use alloy::sol_types::{SolCall, SolConstructor};
use anyhow::Result;
use serde_json::{Value, json};
use vouch_tests::node::ACCOUNTS;

use super::step::Script;
use vouch_tests::solidity;

sol! {
    contract Probe {
        constructor(uint256 start);
        function count() external view returns (uint256);
        function add(uint256 n) external returns (uint256);
        function pack(uint128 a, uint128 b) external;
        function clear() external;
        function note(string text) external;
        function failWithText() external;
        function failWithError(uint256 value) external;
        function failWithNothing() external;
        function failWithAssert() external;
        function failWithDivision(uint256 by) external;
        function failAfterWriting() external;
        function failInvalid() external;
        function burn() external;
        function spend(uint256 rounds) external;
        function fill(uint256 length) external;
        function environment() external view;
        function time() external view;
        function balances(address who) external view;
        function precompiles() external view;
        function transient(uint256 value) external;
        function leftover() external view;
        function create(uint256 start) external payable;
        function create2(bytes32 salt, uint256 start) external;
        function createFailing() external;
        function callChild(address child, uint256 value) external;
        function delegateToChild(address child, uint256 value) external;
        function staticToChild(address child) external;
        function recurse(uint256 depth) external;
        function send(address to) external payable;
        function destroy(address heir) external;
        function paid(address who) external view returns (uint256);
    }
}

/// First unlocked account: sends almost everything.
pub(super) const ALICE: &str = ACCOUNTS[0].0;
/// Second unlocked account.
pub(super) const BOB: &str = ACCOUNTS[1].0;
/// An address nobody has used.
pub(super) const NOBODY: &str = "0x00000000000000000000000000000000000a11ce";
/// Where the probe lands: Alice's first deployment.
pub(super) const PROBE: &str = "0x5fbdb2315678afecb367f032d93f642f64180aa3";
/// Price of every transaction: above both nodes' base fees, so the effective price is the same.
pub(super) const GAS_PRICE: &str = "0x77359400";

/// The whole script.
pub(super) async fn script() -> Result<Script> {
    let bytecode = solidity::bytecode("Probe.sol", "Probe").await?;
    let mut script = Script::default();
    blocks::genesis(&mut script);
    deploy(&mut script, &bytecode);
    calls::transactions(&mut script);
    calls::views(&mut script);
    calls::estimates(&mut script, &bytecode);
    failures::reverts(&mut script);
    failures::refused(&mut script);
    logs::logs(&mut script);
    raw::signed(&mut script)?;
    blocks::lookups(&mut script);
    control::state(&mut script);
    control::snapshots(&mut script);
    control::mining(&mut script);
    control::time(&mut script);
    failures::malformed(&mut script);
    Ok(script)
}

/// A transaction with everything spelled out, so both nodes make the same bytes of it.
pub(super) fn transaction(from: &str, to: &str, data: Vec<u8>, value: u64, gas: u64) -> Value {
    json!({
        "from": from,
        "to": to,
        "data": hex::encode_prefixed(data),
        "value": format!("{value:#x}"),
        "gas": format!("{gas:#x}"),
        "gasPrice": GAS_PRICE,
    })
}

/// Alice's call of the probe.
pub(super) fn to_probe(call: impl SolCall) -> Value {
    transaction(ALICE, PROBE, call.abi_encode(), 0, 500_000)
}

/// Parameters of `eth_call`: Alice asks the probe.
pub(super) fn view(call: impl SolCall) -> Value {
    json!([{"from": ALICE, "to": PROBE, "data": hex::encode_prefixed(call.abi_encode())}, "latest"])
}

/// Bytecode and constructor argument of the probe.
pub(super) fn init_code(bytecode: &[u8], start: u64) -> String {
    let arguments = Probe::constructorCall {
        start: U256::from(start),
    }
    .abi_encode();
    hex::encode_prefixed([bytecode, &arguments].concat())
}

fn deploy(script: &mut Script, bytecode: &[u8]) {
    let creation = json!({
        "from": ALICE, "data": init_code(bytecode, 5), "gas": "0x4c4b40", "gasPrice": GAS_PRICE, "value": "0x1",
    });
    script.send("deploy", creation);
    script.call("deployed code", "eth_getCode", json!([PROBE, "latest"]));
    script.call(
        "deployed nonce",
        "eth_getTransactionCount",
        json!([PROBE, "latest"]),
    );
    script.call(
        "deployed balance",
        "eth_getBalance",
        json!([PROBE, "latest"]),
    );
    script.call(
        "deployer's nonce",
        "eth_getTransactionCount",
        json!([ALICE, "latest"]),
    );
    script.call(
        "deployer's balance",
        "eth_getBalance",
        json!([ALICE, "latest"]),
    );
    script.call(
        "code before it was there",
        "eth_getCode",
        json!([PROBE, "0x0"]),
    );
    // Code larger than EIP-170 allows, init code larger than EIP-3860 allows, and code that begins with 0xEF.
    let returning = |n: u32| format!("0x62{n:06x}6000f3");
    let create = |data: String| json!({"from": ALICE, "data": data, "gas": "0x989680", "gasPrice": GAS_PRICE});
    script.send("deploy at the code limit", create(returning(24_576)));
    script.send("deploy past the code limit", create(returning(24_577)));
    script.send(
        "deploy code that begins with EF",
        create("0x60ef60005360016000f3".into()),
    );
    script.send("deploy failing constructor", create("0x60006000fd".into()));
    script.send("deploy nothing", create("0x".into()));
}
