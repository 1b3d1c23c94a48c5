//! WebSocket: requests as over HTTP, and subscriptions.

use std::collections::HashMap;

use alloy::{primitives::U256, rpc::types::Filter};
use axum::extract::ws::{Message, WebSocket};
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{
    RpcError, json,
    params::Params,
    server::{Connection, answer_body},
};
use crate::{
    chain::{BlockEvent, Event, wants},
    node::ChainHandle,
};

/// Most subscriptions of one connection.
const CAPACITY: usize = 1024;

/// What a subscriber hears of.
#[derive(Clone, Debug)]
enum Topic {
    Heads,
    Logs(Box<Filter>),
    Pending { full: bool },
}

/// The subscriptions of one connection.
#[derive(Debug, Default)]
struct Subscriptions {
    topics: Mutex<(u64, HashMap<U256, Topic>)>,
}

impl Connection for Subscriptions {
    fn own(&self, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
        match method {
            "eth_subscribe" => Some(self.subscribe(params)),
            "eth_unsubscribe" => Some(
                params
                    .quantity(0, "subscription")
                    .map(|id| json!(self.topics.lock().1.remove(&id).is_some())),
            ),
            _ => None,
        }
    }
}

impl Subscriptions {
    fn subscribe(&self, params: &Params) -> Result<Value, RpcError> {
        let topic = match params.text(0, "subscription")?.as_str() {
            "newHeads" => Topic::Heads,
            "newPendingTransactions" => {
                let full = params.maybe::<Value>(1, "full", "true or false")?;
                Topic::Pending {
                    full: full == Some(Value::Bool(true)),
                }
            }
            "logs" => {
                let filter = match params.get(1) {
                    Some(_) => params.filter(1)?,
                    None => Filter::new(),
                };
                Topic::Logs(Box::new(filter))
            }
            other => {
                return Err(RpcError::invalid_params(format!(
                    "invalid `subscription` (parameter 0): expected newHeads, logs or newPendingTransactions, got \"{other}\""
                )));
            }
        };
        let mut topics = self.topics.lock();
        if topics.1.len() >= CAPACITY {
            return Err(RpcError::invalid_params(format!(
                "this connection has {CAPACITY} subscriptions, the most there may be"
            )));
        }
        topics.0 += 1;
        let id = U256::from(topics.0);
        topics.1.insert(id, topic);
        Ok(json!(id))
    }

    fn all(&self) -> Vec<(U256, Topic)> {
        let mut all: Vec<_> = self
            .topics
            .lock()
            .1
            .iter()
            .map(|(id, topic)| (*id, topic.clone()))
            .collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }
}

/// Serves one connection until it closes.
pub(super) async fn talk(socket: WebSocket, chain: ChainHandle) {
    let (mut sender, mut receiver) = socket.split();
    let subscriptions = Subscriptions::default();
    let mut news = chain.subscribe();
    loop {
        let replies: Vec<Value> = tokio::select! {
            // News first: what a request causes is told after its answer, what came before it
            // is told before.
            biased;
            event = news.recv() => match event {
                Ok(event) => notifications(&chain, &subscriptions, event).await,
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "a subscriber is too slow: closing its connection");
                    return;
                }
                Err(RecvError::Closed) => return,
            },
            message = receiver.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    answer_body(&chain, text.as_bytes(), &subscriptions).await.into_iter().collect()
                }
                Some(Ok(Message::Binary(bytes))) => {
                    answer_body(&chain, &bytes, &subscriptions).await.into_iter().collect()
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Vec::new(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        };
        for reply in replies {
            if sender.send(Message::text(reply.to_string())).await.is_err() {
                return;
            }
        }
    }
}

async fn notifications(
    chain: &ChainHandle,
    subscriptions: &Subscriptions,
    event: Event,
) -> Vec<Value> {
    let mut told = Vec::new();
    for (id, topic) in subscriptions.all() {
        match (&topic, &event) {
            (Topic::Heads, Event::Block(block)) if !block.removed => {
                told.push(notification(id, json::head(block)));
            }
            (Topic::Logs(filter), Event::Block(block)) => {
                told.extend(matching(filter, block).map(|log| notification(id, log)));
            }
            (Topic::Pending { full: false }, Event::Pending(hash)) => {
                told.push(notification(id, json!(hash)));
            }
            (Topic::Pending { full: true }, Event::Pending(hash)) => {
                let hash = *hash;
                let tx = chain.run(move |chain| {
                    let mined = chain.mined(&hash).map(|(_, _, mined)| mined.tx.clone());
                    mined.or_else(|| chain.pool().get(&hash).cloned())
                });
                if let Ok(Some(tx)) = tx.await {
                    told.push(notification(id, json::waiting_tx(&tx)));
                }
            }
            _ => {}
        }
    }
    told
}

fn matching(filter: &Filter, block: &BlockEvent) -> impl Iterator<Item = Value> {
    block
        .logs
        .iter()
        .filter(|log| wants(filter, log))
        .map(|log| json!(log))
}

fn notification(id: U256, result: Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": { "subscription": id, "result": result },
    })
}
