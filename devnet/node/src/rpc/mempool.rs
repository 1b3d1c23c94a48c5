//! The waiting transactions, and filters.

use serde_json::{Map, Value, json};

use super::{Answer, json, json::quantity, params::Params};
use crate::chain::{Chain, Changes, SentTx, Watch};

/// Runs a method of this group.
pub(super) fn call(chain: &mut Chain, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "txpool_status" => {
            let (ready, waiting): (Vec<bool>, Vec<bool>) =
                states(chain).into_iter().partition(|ready| *ready);
            let (ready, waiting) = (ready.len() as u64, waiting.len() as u64);
            Ok(json!({ "pending": quantity(ready), "queued": quantity(waiting) }))
        }
        "txpool_content" => Ok(listing(chain, |tx| json::waiting_tx(tx))),
        "txpool_inspect" => Ok(listing(chain, |tx| json!(json::summary(tx)))),
        "eth_newBlockFilter" => install(chain, Watch::Blocks),
        "eth_newPendingTransactionFilter" => install(chain, Watch::Pending),
        "eth_newFilter" => params
            .filter(0)
            .and_then(|filter| install(chain, Watch::Logs(Box::new(filter)))),
        "eth_getFilterChanges" => changes(chain, params),
        "eth_getFilterLogs" => logs(chain, params),
        "eth_uninstallFilter" => params
            .quantity(0, "id")
            .map(|id| json!(chain.filters().uninstall(&id))),
        _ => return None,
    })
}

fn states(chain: &Chain) -> Vec<bool> {
    chain
        .pool()
        .iter(|sender| chain.nonce(sender))
        .map(|(ready, _)| ready)
        .collect()
}

fn listing(chain: &Chain, show: impl Fn(&std::sync::Arc<SentTx>) -> Value) -> Value {
    use alloy::consensus::Transaction;
    let mut lists: [Map<String, Value>; 2] = Default::default();
    for (ready, tx) in chain.pool().iter(|sender| chain.nonce(sender)) {
        let by_nonce = lists[usize::from(!ready)]
            .entry(format!("{:?}", tx.sender))
            .or_insert_with(|| json!({}));
        by_nonce[tx.envelope.nonce().to_string()] = show(tx);
    }
    let [pending, queued] = lists;
    json!({ "pending": pending, "queued": queued })
}

fn install(chain: &mut Chain, watch: Watch) -> Answer {
    Ok(json!(chain.install_filter(watch)?))
}

fn changes(chain: &mut Chain, params: &Params) -> Answer {
    let id = params.quantity(0, "id")?;
    Ok(match chain.filter_changes(&id)? {
        Changes::Hashes(hashes) => json!(hashes),
        Changes::Logs(logs) => json!(logs),
    })
}

fn logs(chain: &mut Chain, params: &Params) -> Answer {
    let id = params.quantity(0, "id")?;
    Ok(json!(chain.filter_logs(&id)?))
}
