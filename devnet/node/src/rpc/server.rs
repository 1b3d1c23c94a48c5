//! HTTP: requests, batches, and the way to WebSocket.

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequestParts, Request, State, ws::WebSocketUpgrade},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_http::cors::CorsLayer;

use super::{RpcError, dispatch, params::Params, send};
use crate::{chain::Event, node::ChainHandle};

/// Longest request body in bytes.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// Most requests in a batch.
const MOST_REQUESTS: usize = 10_000;

/// How long methods that wait for a receipt wait.
const RECEIPT_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Answers requests until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, chain: ChainHandle) {
    let app = Router::new()
        .fallback(answer_http)
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(CorsLayer::permissive())
        .with_state(chain);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the server stopped");
    }
}

async fn answer_http(State(chain): State<ChainHandle>, request: Request) -> Response {
    if request.method() == Method::GET {
        let (mut parts, _) = request.into_parts();
        return match WebSocketUpgrade::from_request_parts(&mut parts, &chain).await {
            Ok(upgrade) => upgrade
                .max_message_size(MOST_BYTES)
                .on_upgrade(|socket| super::socket::talk(socket, chain)),
            Err(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "this is a JSON-RPC node: send a POST request or open a WebSocket\n",
            )
                .into_response(),
        };
    }
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let Ok(body) = axum::body::to_bytes(request.into_body(), MOST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match answer_body(&chain, &body, &Http).await {
        Some(answer) => (
            [(CONTENT_TYPE, "application/json")],
            Bytes::from(answer.to_string()),
        )
            .into_response(),
        None => StatusCode::OK.into_response(),
    }
}

/// What a connection can do beyond the methods of the chain.
pub(super) trait Connection: Sync {
    /// Answers a method of the connection itself; `None` if it is none.
    fn own(&self, method: &str, params: &Params) -> Option<Result<Value, RpcError>>;
}

/// HTTP has no subscriptions.
pub(super) struct Http;

impl Connection for Http {
    fn own(&self, _: &str, _: &Params) -> Option<Result<Value, RpcError>> {
        None
    }
}

/// Answers one body or message: a request, or a batch of them. Nothing is due to notifications.
pub(super) async fn answer_body(
    chain: &ChainHandle,
    body: &[u8],
    connection: &impl Connection,
) -> Option<Value> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Some(response(Value::Null, Err(RpcError::parse())));
    };
    let Value::Array(requests) = value else {
        return answer_request(chain, value, connection).await;
    };
    if requests.is_empty() || requests.len() > MOST_REQUESTS {
        return Some(response(Value::Null, Err(RpcError::invalid_request())));
    }
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        answers.extend(answer_request(chain, request, connection).await);
    }
    (!answers.is_empty()).then_some(Value::Array(answers))
}

async fn answer_request(
    chain: &ChainHandle,
    request: Value,
    connection: &impl Connection,
) -> Option<Value> {
    let Value::Object(mut fields) = request else {
        return Some(response(Value::Null, Err(RpcError::invalid_request())));
    };
    let id = fields.remove("id");
    let named = match &id {
        None | Some(Value::Null | Value::String(_)) => true,
        Some(Value::Number(number)) => number.is_i64() || number.is_u64(),
        Some(_) => false,
    };
    if !named {
        return Some(response(Value::Null, Err(RpcError::invalid_request())));
    }
    let versioned = fields
        .get("jsonrpc")
        .is_some_and(|version| version == "2.0");
    let (true, Some(Value::String(method))) = (versioned, fields.remove("method")) else {
        return Some(response(
            id.unwrap_or_default(),
            Err(RpcError::invalid_request()),
        ));
    };
    let answer = match Params::new(fields.remove("params")) {
        Ok(params) => answer_method(chain, method, params, connection).await,
        Err(error) => Err(error),
    };
    id.map(|id| response(id, answer))
}

async fn answer_method(
    chain: &ChainHandle,
    method: String,
    params: Params,
    connection: &impl Connection,
) -> Result<Value, RpcError> {
    tracing::debug!(%method, "request");
    if let Some(answer) = connection.own(&method, &params) {
        return answer;
    }
    if let Some(sends) = send::waits_for_receipt(&method) {
        return send_and_wait(chain, sends, params).await;
    }
    let run = move |chain: &mut crate::chain::Chain| dispatch(chain, &method, &params);
    chain
        .run(run)
        .await
        .map_err(|error| RpcError::internal(error.to_string()))?
}

/// Sends a transaction and waits until it is in a block.
async fn send_and_wait(
    chain: &ChainHandle,
    method: &'static str,
    params: Params,
) -> Result<Value, RpcError> {
    let failed = |error: crate::node::ChainFailed| RpcError::internal(error.to_string());
    let mut news = chain.subscribe();
    let hash = chain
        .run(move |chain| dispatch(chain, method, &params))
        .await
        .map_err(failed)??;
    let wait = async {
        loop {
            let wanted = hash.clone();
            let receipt = chain
                .run(move |chain| send::awaited_receipt(chain, &wanted))
                .await;
            match receipt.map_err(failed)? {
                Some(receipt) => return Ok(receipt),
                None => loop {
                    use tokio::sync::broadcast::error::RecvError;
                    match news.recv().await {
                        Ok(Event::Block(_)) | Err(RecvError::Lagged(_)) => break,
                        Ok(Event::Pending(_)) => {}
                        Err(RecvError::Closed) => {
                            return Err(RpcError::internal("the node is stopping"));
                        }
                    }
                },
            }
        }
    };
    tokio::time::timeout(RECEIPT_WAIT, wait)
        .await
        .unwrap_or_else(|_| {
            Err(RpcError {
                code: 4,
                message: format!(
                    "transaction {hash} was accepted but is in no block after {} seconds",
                    RECEIPT_WAIT.as_secs()
                ),
                data: Some(hash),
            })
        })
}

fn response(id: Value, answer: Result<Value, RpcError>) -> Value {
    match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    }
}
