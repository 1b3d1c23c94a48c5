//! What fails: inside the EVM, at the pool's door, and at the node's.

use alloy::primitives::{U256, hex};
use alloy::sol_types::SolCall;
use serde_json::json;

use super::{ALICE, BOB, GAS_PRICE, NOBODY, PROBE, Probe, to_probe, transaction, view};
use crate::differential::step::Script;

pub(super) fn reverts(s: &mut Script) {
    let value = U256::from(5);
    s.call(
        "call fails with text",
        "eth_call",
        view(Probe::failWithTextCall {}),
    );
    s.call(
        "call fails with error",
        "eth_call",
        view(Probe::failWithErrorCall { value }),
    );
    s.call(
        "call fails with nothing",
        "eth_call",
        view(Probe::failWithNothingCall {}),
    );
    s.call(
        "call fails with assert",
        "eth_call",
        view(Probe::failWithAssertCall {}),
    );
    s.call(
        "call fails with division",
        "eth_call",
        view(Probe::failWithDivisionCall { by: U256::ZERO }),
    );
    s.call(
        "call fails with invalid",
        "eth_call",
        view(Probe::failInvalidCall {}),
    );
    s.call(
        "call of no function",
        "eth_call",
        json!([{"to": PROBE, "data": "0x12345678"}, "latest"]),
    );
    let burn = hex::encode_prefixed(Probe::burnCall {}.abi_encode());
    s.call(
        "call out of gas",
        "eth_call",
        json!([{"from": ALICE, "to": PROBE, "data": burn, "gas": "0x186a0"}, "latest"]),
    );
    s.call(
        "call with too little gas",
        "eth_call",
        json!([{"from": ALICE, "to": PROBE, "data": burn, "gas": "0x64"}, "latest"]),
    );
    s.call(
        "call beyond the balance",
        "eth_call",
        json!([{"from": NOBODY, "to": BOB, "value": "0xde0b6b3a7640000"}, "latest"]),
    );
    // With the gas spelled out a failing transaction is mined, as on a real chain.
    s.send(
        "mined failure with text",
        to_probe(Probe::failWithTextCall {}),
    );
    s.send(
        "mined failure with error",
        to_probe(Probe::failWithErrorCall { value }),
    );
    s.send(
        "mined failure after writing",
        to_probe(Probe::failAfterWritingCall {}),
    );
    s.call("nothing was written", "eth_call", view(Probe::countCall {}));
    s.send(
        "mined out of gas",
        transaction(ALICE, PROBE, Probe::burnCall {}.abi_encode(), 0, 60_000),
    );
    s.send(
        "mined invalid",
        transaction(
            ALICE,
            PROBE,
            Probe::failInvalidCall {}.abi_encode(),
            0,
            60_000,
        ),
    );
    s.send(
        "value to a function that takes none",
        transaction(ALICE, PROBE, Probe::clearCall {}.abi_encode(), 1, 60_000),
    );
    s.send(
        "endless recursion",
        transaction(
            ALICE,
            PROBE,
            Probe::recurseCall { depth: U256::MAX }.abi_encode(),
            0,
            1_000_000,
        ),
    );
    s.send("failing transaction without gas", json!({"from": ALICE, "to": PROBE, "data": hex::encode_prefixed(Probe::failWithTextCall {}.abi_encode())}));
    s.call(
        "nonce after failures",
        "eth_getTransactionCount",
        json!([ALICE, "latest"]),
    );
}

pub(super) fn refused(s: &mut Script) {
    let with = |key: &str, value: &str| {
        let mut transaction = transaction(ALICE, BOB, vec![], 1, 21_000);
        transaction[key] = json!(value);
        json!([transaction])
    };
    s.call(
        "gas below the intrinsic cost",
        "eth_sendTransaction",
        with("gas", "0x5207"),
    );
    s.call(
        "gas above the block's limit",
        "eth_sendTransaction",
        with("gas", "0x3b9aca01"),
    );
    s.call(
        "value beyond the balance",
        "eth_sendTransaction",
        with("value", "0xffffffffffffffffffff"),
    );
    s.call("nonce too low", "eth_sendTransaction", with("nonce", "0x0"));
    s.call(
        "sender without a key",
        "eth_sendTransaction",
        with("from", NOBODY),
    );
    s.call(
        "price below the base fee",
        "eth_sendTransaction",
        with("gasPrice", "0x1"),
    );
    // Taken, and mined: what comes next must not be asked before.
    s.send(
        "both kinds of price",
        with("maxFeePerGas", GAS_PRICE)[0].clone(),
    );
    let tip = json!([{"from": ALICE, "to": BOB, "gas": "0x5208", "maxFeePerGas": GAS_PRICE, "maxPriorityFeePerGas": "0x174876e800"}]);
    s.call("tip above the price", "eth_sendTransaction", tip);
    s.call("raw garbage", "eth_sendRawTransaction", json!(["0x1234"]));
    s.call("raw nothing", "eth_sendRawTransaction", json!(["0x"]));
    s.call(
        "nonce after refusals",
        "eth_getTransactionCount",
        json!([ALICE, "latest"]),
    );
}

pub(super) fn malformed(s: &mut Script) {
    let init_code = format!("0x{}", "00".repeat(49_153));
    let creation =
        json!([{"from": ALICE, "data": init_code, "gas": "0x989680", "gasPrice": GAS_PRICE}]);
    s.call("init code past its limit", "eth_sendTransaction", creation);
    s.call("unknown method", "eth_doSomething", json!([]));
    s.call("unknown name space", "vouch_doSomething", json!([]));
    s.call("malformed: too few parameters", "eth_getBalance", json!([]));
    s.call(
        "malformed: wrong type",
        "eth_getBalance",
        json!([1, "latest"]),
    );
    s.call(
        "malformed: short address",
        "eth_getBalance",
        json!(["0x1234", "latest"]),
    );
    s.call(
        "malformed: unknown tag",
        "eth_getBalance",
        json!([ALICE, "newest"]),
    );
    s.call(
        "malformed: number without prefix",
        "eth_getBlockByNumber",
        json!(["12", false]),
    );
    s.call(
        "malformed: odd hash",
        "eth_getTransactionByHash",
        json!(["0x1234"]),
    );
    s.call(
        "malformed: parameters of the wrong kind",
        "eth_call",
        json!([{"to": 5}, "latest"]),
    );
    s.call(
        "malformed: odd data",
        "eth_call",
        json!([{"to": PROBE, "data": "0x123"}, "latest"]),
    );
}
