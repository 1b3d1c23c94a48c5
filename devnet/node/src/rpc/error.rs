//! JSON-RPC errors.

use serde::Serialize;
use serde_json::Value;

use crate::chain::Error as ChainError;

/// The `error` member of a response.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RpcError {
    /// What kind of error, by JSON-RPC 2.0 and the habits of Ethereum nodes.
    pub code: i64,
    /// What went wrong.
    pub message: String,
    /// Revert data, if the call reverted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The body is no JSON.
    pub(crate) fn parse() -> Self {
        Self::new(-32700, "Parse error")
    }

    /// The body is JSON but no request.
    pub(crate) fn invalid_request() -> Self {
        Self::new(-32600, "Invalid request")
    }

    /// There is no such method.
    pub(crate) fn method_not_found() -> Self {
        Self::new(-32601, "Method not found")
    }

    /// A parameter is missing or malformed.
    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// The node failed.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(-32603, message)
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            data: error.data().map(|data| Value::String(data.to_string())),
        }
    }
}
