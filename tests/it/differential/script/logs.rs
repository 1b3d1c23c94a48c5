//! Logs and filters.

use alloy::primitives::{B256, U256, keccak256};
use serde_json::json;

use super::{ALICE, NOBODY, PROBE, Probe, to_probe, transaction};
use crate::differential::step::Script;

pub(super) fn logs(s: &mut Script) {
    let counted = keccak256("Counted(address,uint256)");
    let noted = keccak256("Noted(bytes32,bytes32,bytes32,string)");
    let all = json!({"fromBlock": "0x0", "toBlock": "latest"});
    s.call("every log", "eth_getLogs", json!([all]));
    s.call(
        "logs of the probe",
        "eth_getLogs",
        json!([{"fromBlock": "0x0", "address": PROBE}]),
    );
    s.call(
        "logs of nobody",
        "eth_getLogs",
        json!([{"fromBlock": "0x0", "address": NOBODY}]),
    );
    s.call(
        "logs of either",
        "eth_getLogs",
        json!([{"fromBlock": "0x0", "address": [NOBODY, PROBE], "topics": [counted]}]),
    );
    s.call(
        "logs by topic",
        "eth_getLogs",
        json!([{"fromBlock": "0x0", "topics": [noted]}]),
    );
    s.call(
        "logs by one of two topics",
        "eth_getLogs",
        json!([{"fromBlock": "0x0", "topics": [[noted, counted]]}]),
    );
    s.call(
        "logs by second topic",
        "eth_getLogs",
        json!([{"fromBlock": "0x0", "topics": [null, B256::with_last_byte(1)]}]),
    );
    s.call(
        "logs by fourth topic",
        "eth_getLogs",
        json!([{"fromBlock": "0x0", "topics": [noted, null, null, keccak256("")]}]),
    );
    s.call(
        "logs of a range",
        "eth_getLogs",
        json!([{"fromBlock": "0x1", "toBlock": "0x1"}]),
    );
    s.call(
        "logs of an empty range",
        "eth_getLogs",
        json!([{"fromBlock": "0x3", "toBlock": "0x2"}]),
    );
    s.call("logs of now", "eth_getLogs", json!([{}]));
    s.call(
        "a block to ask",
        "eth_getBlockByNumber",
        json!(["0x1", false]),
    )
    .save_at("logsBlock", "/hash");
    s.call(
        "logs of a block",
        "eth_getLogs",
        json!([{"blockHash": "$logsBlock"}]),
    );
    s.call(
        "logs of an unknown block",
        "eth_getLogs",
        json!([{"blockHash": B256::repeat_byte(0x22)}]),
    );

    s.call(
        "new log filter",
        "eth_newFilter",
        json!([{"address": PROBE, "topics": [counted]}]),
    )
    .save("logFilter")
    .handle();
    s.call("new block filter", "eth_newBlockFilter", json!([]))
        .save("blockFilter")
        .handle();
    s.call(
        "new pending filter",
        "eth_newPendingTransactionFilter",
        json!([]),
    )
    .save("pendingFilter")
    .handle();
    s.call(
        "no changes yet",
        "eth_getFilterChanges",
        json!(["$logFilter"]),
    );
    s.send(
        "seen by the filter",
        to_probe(Probe::addCall { n: U256::from(1) }),
    );
    s.send(
        "not seen by the filter",
        to_probe(Probe::noteCall { text: "x".into() }),
    );
    s.send(
        "no log at all",
        transaction(ALICE, NOBODY, vec![], 1, 21_000),
    );
    s.call("log changes", "eth_getFilterChanges", json!(["$logFilter"]));
    s.call(
        "log changes only once",
        "eth_getFilterChanges",
        json!(["$logFilter"]),
    );
    s.call(
        "all of the filter's logs",
        "eth_getFilterLogs",
        json!(["$logFilter"]),
    );
    s.call(
        "block changes",
        "eth_getFilterChanges",
        json!(["$blockFilter"]),
    )
    .handle();
    s.call(
        "block changes only once",
        "eth_getFilterChanges",
        json!(["$blockFilter"]),
    );
    s.call(
        "pending changes",
        "eth_getFilterChanges",
        json!(["$pendingFilter"]),
    );
    s.call(
        "remove filter",
        "eth_uninstallFilter",
        json!(["$logFilter"]),
    );
    s.call(
        "remove filter twice",
        "eth_uninstallFilter",
        json!(["$logFilter"]),
    );
    s.call(
        "changes of a removed filter",
        "eth_getFilterChanges",
        json!(["$logFilter"]),
    );
    s.call(
        "changes of no filter",
        "eth_getFilterChanges",
        json!(["0xabcdef"]),
    );
}
