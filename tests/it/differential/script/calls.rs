//! Transactions, calls and estimates that succeed.

use alloy::primitives::{B256, U256, hex};
use alloy::sol_types::SolCall;
use serde_json::json;

use super::{ALICE, BOB, GAS_PRICE, NOBODY, PROBE, Probe, init_code, to_probe, transaction, view};
use crate::differential::step::Script;

pub(super) fn transactions(s: &mut Script) {
    s.send(
        "transfer",
        transaction(ALICE, NOBODY, vec![], 1_000_000, 21_000),
    );
    s.send(
        "transfer of nothing",
        transaction(ALICE, BOB, vec![], 0, 21_000),
    );
    s.send(
        "transfer with data",
        transaction(ALICE, BOB, vec![0, 1, 2, 0, 255], 7, 50_000),
    );
    s.send(
        "transfer to oneself",
        transaction(ALICE, ALICE, vec![], 5, 21_000),
    );
    s.call("received", "eth_getBalance", json!([NOBODY, "latest"]));
    s.send("add", to_probe(Probe::addCall { n: U256::from(3) }));
    s.send("add again", to_probe(Probe::addCall { n: U256::MAX >> 1 }));
    s.send("pack", to_probe(Probe::packCall { a: 1, b: u128::MAX }));
    s.send("clear for a refund", to_probe(Probe::clearCall {}));
    s.send("write anew", to_probe(Probe::addCall { n: U256::from(42) }));
    s.send(
        "notes",
        to_probe(Probe::noteCall {
            text: "a text that is longer than one word of the machine".into(),
        }),
    );
    s.send(
        "empty note",
        to_probe(Probe::noteCall {
            text: String::new(),
        }),
    );
    s.send(
        "much hashing",
        transaction(
            ALICE,
            PROBE,
            Probe::spendCall {
                rounds: U256::from(1000),
            }
            .abi_encode(),
            0,
            5_000_000,
        ),
    );
    s.send(
        "transient",
        to_probe(Probe::transientCall {
            value: U256::from(9),
        }),
    );
    s.send(
        "create",
        to_probe(Probe::createCall {
            start: U256::from(1),
        }),
    );
    s.send(
        "create with value",
        transaction(
            ALICE,
            PROBE,
            Probe::createCall {
                start: U256::from(2),
            }
            .abi_encode(),
            11,
            500_000,
        ),
    );
    s.send(
        "create2",
        to_probe(Probe::create2Call {
            salt: B256::with_last_byte(1),
            start: U256::from(3),
        }),
    );
    s.send(
        "create2 at the same place",
        to_probe(Probe::create2Call {
            salt: B256::with_last_byte(1),
            start: U256::from(3),
        }),
    );
    s.send(
        "caught failing creation",
        to_probe(Probe::createFailingCall {}),
    );
    s.send("receive", transaction(BOB, PROBE, vec![], 123, 100_000));
    s.send(
        "forward value",
        transaction(
            ALICE,
            PROBE,
            Probe::sendCall {
                to: NOBODY.parse().unwrap_or_default(),
            }
            .abi_encode(),
            77,
            100_000,
        ),
    );
    s.send(
        "recursion",
        transaction(
            ALICE,
            PROBE,
            Probe::recurseCall {
                depth: U256::from(50),
            }
            .abi_encode(),
            0,
            5_000_000,
        ),
    );
    let access_list = json!({
        "from": ALICE, "to": PROBE, "data": hex::encode_prefixed(Probe::addCall { n: U256::from(1) }.abi_encode()),
        "gas": "0x7a120", "gasPrice": GAS_PRICE, "type": "0x1",
        "accessList": [{"address": PROBE, "storageKeys": [B256::ZERO, B256::with_last_byte(9)]}],
    });
    s.send("with an access list", access_list);
    let dynamic = json!({
        "from": ALICE, "to": BOB, "value": "0x1", "gas": "0x5208",
        "maxFeePerGas": GAS_PRICE, "maxPriorityFeePerGas": GAS_PRICE,
    });
    s.send("with a tip", dynamic);
    // Everything but the recipient is the node's choice; the price then is too, so only effects are compared.
    s.call(
        "the node fills in",
        "eth_sendTransaction",
        json!([{"from": BOB, "to": NOBODY, "value": "0x2"}]),
    )
    .save("filled")
    .handle();
    s.call(
        "filled-in receipt",
        "eth_getTransactionReceipt",
        json!(["$filled"]),
    )
    .wait();
    s.call(
        "filled-in effect",
        "eth_getBalance",
        json!([NOBODY, "latest"]),
    );
    s.call(
        "filled-in nonce",
        "eth_getTransactionCount",
        json!([BOB, "latest"]),
    );
}

pub(super) fn views(s: &mut Script) {
    s.call("call count", "eth_call", view(Probe::countCall {}));
    s.call(
        "call add without effect",
        "eth_call",
        view(Probe::addCall { n: U256::from(1) }),
    );
    s.call("count is as it was", "eth_call", view(Probe::countCall {}));
    s.call(
        "call environment",
        "eth_call",
        view(Probe::environmentCall {}),
    );
    for who in [
        ALICE,
        PROBE,
        NOBODY,
        "0x0000000000000000000000000000000000000004",
    ] {
        let who = who.parse().unwrap_or_default();
        s.call(
            &format!("call balances of {who}"),
            "eth_call",
            view(Probe::balancesCall { who }),
        );
    }
    s.call(
        "call precompiles",
        "eth_call",
        view(Probe::precompilesCall {}),
    );
    s.call("call leftover", "eth_call", view(Probe::leftoverCall {}));
    s.call(
        "call long answer",
        "eth_call",
        view(Probe::fillCall {
            length: U256::from(10_000),
        }),
    );
    s.call(
        "call paid",
        "eth_call",
        view(Probe::paidCall {
            who: BOB.parse().unwrap_or_default(),
        }),
    );
    let count = hex::encode_prefixed(Probe::countCall {}.abi_encode());
    s.call(
        "call without a sender",
        "eth_call",
        json!([{"to": PROBE, "data": count}, "latest"]),
    );
    s.call(
        "call with input",
        "eth_call",
        json!([{"to": PROBE, "input": count}, "latest"]),
    );
    s.call(
        "call without a block",
        "eth_call",
        json!([{"to": PROBE, "data": count}]),
    );
    s.call(
        "call in the past",
        "eth_call",
        json!([{"to": PROBE, "data": count}, "0x1"]),
    );
    s.call(
        "call before it was there",
        "eth_call",
        json!([{"to": PROBE, "data": count}, "0x0"]),
    );
    s.call(
        "call in the future",
        "eth_call",
        json!([{"to": PROBE, "data": count}, "0xffff"]),
    );
    s.call(
        "call pending",
        "eth_call",
        json!([{"to": PROBE, "data": count}, "pending"]),
    );
    s.call(
        "call nobody",
        "eth_call",
        json!([{"to": NOBODY, "data": count}, "latest"]),
    );
    s.call(
        "call code",
        "eth_call",
        json!([{"from": ALICE, "data": "0x602a60005260206000f3"}, "latest"]),
    );
    let word = |n: u8| B256::with_last_byte(n);
    s.call("call with other storage", "eth_call", json!([{"to": PROBE, "data": count}, "latest", {PROBE: {"stateDiff": {word(0).to_string(): word(99)}}}]));
    s.call("call with only other storage", "eth_call", json!([{"to": PROBE, "data": count}, "latest", {PROBE: {"state": {word(0).to_string(): word(98)}}}]));
    s.call("call with other code", "eth_call", json!([{"to": NOBODY, "data": "0x"}, "latest", {NOBODY: {"code": "0x602a60005260206000f3"}}]));
    let balances = hex::encode_prefixed(
        Probe::balancesCall {
            who: NOBODY.parse().unwrap_or_default(),
        }
        .abi_encode(),
    );
    s.call("call with other balance", "eth_call", json!([{"to": PROBE, "data": balances}, "latest", {NOBODY: {"balance": "0xabc", "nonce": "0x5"}}]));
    let environment = hex::encode_prefixed(Probe::environmentCall {}.abi_encode());
    s.call("call in another block", "eth_call", json!([{"from": ALICE, "to": PROBE, "data": environment}, "latest", {}, {"number": "0x1000", "gasLimit": "0x5f5e100"}]));
    let time = hex::encode_prefixed(Probe::timeCall {}.abi_encode());
    s.call(
        "call at another time",
        "eth_call",
        json!([{"to": PROBE, "data": time}, "latest", {}, {"time": "0x77359400"}]),
    );
    s.call("access list", "eth_createAccessList", json!([{"from": ALICE, "to": PROBE, "data": hex::encode_prefixed(Probe::addCall { n: U256::from(1) }.abi_encode())}, "latest"]));
}

pub(super) fn estimates(s: &mut Script, bytecode: &[u8]) {
    s.call(
        "estimate transfer",
        "eth_estimateGas",
        json!([{"from": ALICE, "to": BOB, "value": "0x1"}]),
    );
    s.call("estimate transfer to a new account", "eth_estimateGas", json!([{"from": ALICE, "to": "0x00000000000000000000000000000000000b0b0b", "value": "0x1"}]));
    s.call(
        "estimate deployment",
        "eth_estimateGas",
        json!([{"from": ALICE, "data": init_code(bytecode, 1)}]),
    );
    let estimate =
        |data: Vec<u8>| json!([{"from": ALICE, "to": PROBE, "data": hex::encode_prefixed(data)}]);
    s.call(
        "estimate add",
        "eth_estimateGas",
        estimate(Probe::addCall { n: U256::from(1) }.abi_encode()),
    );
    s.call(
        "estimate clear",
        "eth_estimateGas",
        estimate(Probe::clearCall {}.abi_encode()),
    );
    s.call(
        "estimate recursion",
        "eth_estimateGas",
        estimate(
            Probe::recurseCall {
                depth: U256::from(30),
            }
            .abi_encode(),
        ),
    );
    s.call(
        "estimate creation",
        "eth_estimateGas",
        estimate(
            Probe::createCall {
                start: U256::from(1),
            }
            .abi_encode(),
        ),
    );
    s.call(
        "estimate failure",
        "eth_estimateGas",
        estimate(Probe::failWithTextCall {}.abi_encode()),
    );
    s.call(
        "estimate own error",
        "eth_estimateGas",
        estimate(
            Probe::failWithErrorCall {
                value: U256::from(3),
            }
            .abi_encode(),
        ),
    );
    s.call(
        "estimate without end",
        "eth_estimateGas",
        estimate(Probe::burnCall {}.abi_encode()),
    );
    s.call(
        "estimate beyond the balance",
        "eth_estimateGas",
        json!([{"from": NOBODY, "to": BOB, "value": "0xde0b6b3a7640000"}]),
    );
}
