//! A node in this process and a client that speaks plain JSON to it.

use serde_json::{Value, json};
use vouch_devnet::{Config, Node, NodeHandle};

/// The first two accounts.
pub(crate) const ALICE: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
pub(crate) const BOB: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";
/// An account that has nothing.
pub(crate) const NOBODY: &str = "0x00000000000000000000000000000000000000aa";

/// Stores 42 in slot 0, logs 42 under topic 7, returns 42.
pub(crate) const ANSWERER: &str = "602a5f55602a5f52600760205fa160205ff3";

/// A node and its address.
pub(crate) struct Client {
    pub(crate) node: NodeHandle,
    http: reqwest::Client,
}

impl Client {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let node = Node::spawn(config).await.expect("the node starts");
        Self {
            node,
            http: reqwest::Client::new(),
        }
    }

    /// Posts a body and returns the answer as JSON, null if empty.
    pub(crate) async fn post(&self, body: impl Into<String>) -> Value {
        let request = self.http.post(self.node.http_url()).body(body.into());
        let bytes = request
            .send()
            .await
            .expect("an answer")
            .bytes()
            .await
            .expect("a body");
        if bytes.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// Calls a method and returns the whole response.
    pub(crate) async fn raw(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.post(body.to_string()).await
    }

    /// Calls a method that succeeds.
    pub(crate) async fn ok(&self, method: &str, params: Value) -> Value {
        let response = self.raw(method, params.clone()).await;
        assert!(
            response.get("error").is_none(),
            "{method} {params}: {response}"
        );
        response["result"].clone()
    }

    /// Calls a method that fails; returns code, message and data.
    pub(crate) async fn fails(&self, method: &str, params: Value) -> (i64, String, Value) {
        let response = self.raw(method, params.clone()).await;
        let error = response
            .get("error")
            .unwrap_or_else(|| panic!("{method} {params}: {response}"));
        let message = error["message"].as_str().expect("a message").to_owned();
        (
            error["code"].as_i64().expect("a code"),
            message,
            error["data"].clone(),
        )
    }

    /// The receipt of a transaction sent by a node's account.
    pub(crate) async fn send(&self, request: Value) -> Value {
        let hash = self.ok("eth_sendTransaction", json!([request])).await;
        self.ok("eth_getTransactionReceipt", json!([hash])).await
    }

    /// Deploys runtime code and returns its address.
    pub(crate) async fn deploy(&self, runtime: &str) -> String {
        let receipt = self
            .send(json!({ "from": ALICE, "data": init_code(runtime) }))
            .await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt["contractAddress"]
            .as_str()
            .expect("an address")
            .to_owned()
    }

    pub(crate) async fn balance(&self, address: &str) -> u128 {
        number(&self.ok("eth_getBalance", json!([address, "latest"])).await)
    }

    pub(crate) async fn height(&self) -> u128 {
        number(&self.ok("eth_blockNumber", json!([])).await)
    }

    pub(crate) async fn latest(&self) -> Value {
        self.ok("eth_getBlockByNumber", json!(["latest", true]))
            .await
    }
}

/// Init code that deploys `runtime`.
pub(crate) fn init_code(runtime: &str) -> String {
    let length = runtime.len() / 2;
    format!("0x60{length:02x}600c60003960{length:02x}6000f3{runtime}")
}

/// Runtime code that reverts with `data`.
pub(crate) fn reverter(data: &str) -> String {
    let length = data.len() / 2;
    format!("60{length:02x}600a5f3960{length:02x}5ffd{data}")
}

/// A number from its JSON form.
pub(crate) fn number(value: &Value) -> u128 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("a quantity, not {value}"));
    u128::from_str_radix(text.trim_start_matches("0x"), 16).expect("hex")
}

/// A word from a number.
pub(crate) fn word(number: u64) -> String {
    format!("0x{number:064x}")
}
