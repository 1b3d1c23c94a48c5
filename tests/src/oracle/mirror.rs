//! An endpoint that shows the chain as it is, as it was, or as it never was.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The chain.
    Truth,
    /// Nothing after a block.
    Until(u64),
    /// Other blocks after one, in which nothing happened.
    Fork(u64),
}

/// The endpoint. JSON-RPC over HTTP.
#[derive(Debug)]
pub struct Mirror {
    address: SocketAddr,
    shows: Arc<Mutex<Shows>>,
    task: tokio::task::JoinHandle<()>,
}

impl Mirror {
    /// Shows the chain of the node at `target` (a URL).
    pub async fn start(target: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("a mirror's port")?;
        let address = listener.local_addr()?;
        let shows = Arc::new(Mutex::new(Shows::Truth));
        let shown = Arc::clone(&shows);
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = move |body: Bytes| {
            let (http, target, shows) = (http.clone(), target.clone(), *shown.lock());
            async move {
                match serve(&http, &target, &body, shows).await {
                    Ok(answer) => Json(answer).into_response(),
                    Err(error) => refusal(&error),
                }
            }
        };
        let app = Router::new().route("/", post(answer));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("a mirror ended: {error}");
            }
        });
        Ok(Self {
            address,
            shows,
            task,
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it shows something else.
    pub fn show(&self, shows: Shows) {
        *self.shows.lock() = shows;
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn refusal(error: &anyhow::Error) -> Response {
    (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response()
}

async fn serve(http: &reqwest::Client, target: &str, body: &[u8], shows: Shows) -> Result<Value> {
    let mut request: Value = serde_json::from_slice(body).context("a request")?;
    let method = request["method"].as_str().unwrap_or_default().to_owned();
    let of_blocks = method == "eth_getBlockByNumber";
    if let Shows::Until(last) = shows {
        if method == "eth_blockNumber" {
            return Ok(
                json!({"jsonrpc": "2.0", "id": request["id"], "result": format!("{last:#x}")}),
            );
        }
        if of_blocks {
            match number(&request["params"][0]) {
                Some(asked) if asked > last => {
                    return Ok(json!({"jsonrpc": "2.0", "id": request["id"], "result": null}));
                }
                Some(_) => {}
                None => request["params"][0] = json!(format!("{last:#x}")),
            }
        }
    }
    let sent = http.post(target).json(&request).send().await?;
    let mut answer: Value = sent.json().await?;
    let Shows::Fork(from) = shows else {
        return Ok(answer);
    };
    let result = &mut answer["result"];
    if of_blocks && number(&result["number"]).is_some_and(|number| number > from) {
        let first = number(&result["number"]) == Some(from + 1);
        bend(&mut result["hash"]);
        if !first {
            bend(&mut result["parentHash"]);
        }
    }
    if method == "eth_getLogs"
        && let Some(logs) = result.as_array_mut()
    {
        logs.retain(|log| number(&log["blockNumber"]).is_some_and(|number| number <= from));
    }
    Ok(answer)
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// Another hash, the same each time.
fn bend(hash: &mut Value) {
    if let Some(text) = hash.as_str() {
        let digits = text.trim_start_matches("0x");
        let turned: String = digits.chars().rev().collect();
        *hash = json!(format!("0x{turned}"));
    }
}
