//! Plain JSON-RPC over HTTP: what a node answers, before any client library has touched it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A JSON-RPC endpoint.
#[derive(Debug)]
pub struct Rpc {
    url: String,
    http: reqwest::Client,
    next_id: AtomicU64,
}

impl Rpc {
    /// A client of the node at `url`.
    pub fn new(url: impl Into<String>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .context("making an HTTP client")?;
        Ok(Self {
            url: url.into(),
            http,
            next_id: AtomicU64::new(1),
        })
    }

    /// Posts `body` as it is and gives the answer as JSON.
    pub async fn post(&self, body: String) -> Result<Value> {
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body);
        let response = request
            .send()
            .await
            .with_context(|| format!("calling {}", self.url))?;
        let text = response.text().await.context("reading the answer")?;
        serde_json::from_str(&text).with_context(|| format!("the answer is not JSON: {text}"))
    }

    /// The whole answer to one call: an object with `result` or `error`.
    pub async fn answer(&self, method: &str, params: &Value) -> Result<Value> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let mut answer = self.post(request.to_string()).await?;
        let found = answer.get("id").cloned();
        if found != Some(json!(id)) {
            bail!("{method}: expected an answer with id {id}, got {answer}");
        }
        if let Some(object) = answer.as_object_mut() {
            object.remove("id");
            object.remove("jsonrpc");
        }
        Ok(answer)
    }

    /// The result of one call; an error of the node is an error here.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let mut answer = self.answer(method, &params).await?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => bail!("{method} {params}: {}", answer["error"]),
        }
    }
}
