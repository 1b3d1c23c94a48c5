//! What is answered where there is no answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vouch_client::upload::SCHEME;

use crate::bundles::BundleError;
use crate::store::StoreError;

/// An error answer: its status, its stable code, and what was expected and came.
#[derive(Debug)]
pub(super) struct Refusal(pub StatusCode, pub &'static str, pub String);

/// The body of every answer that is not a success.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorAnswer {
    error: ErrorBody,
}

/// Why there is no other answer.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ErrorBody {
    /// Stable, for programs.
    #[schema(example = "evidence_missing")]
    code: &'static str,
    /// For people.
    message: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = ErrorBody {
            code: self.1,
            message: self.2,
        };
        let mut answer = (self.0, Json(ErrorAnswer { error })).into_response();
        if self.0 == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(SCHEME);
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

impl Refusal {
    /// A request that cannot be read.
    pub(super) fn malformed(status: StatusCode, message: impl Into<String>) -> Self {
        Self(status, "malformed", message.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(code = "store_failed", %error, "request failed");
        let message = "the store failed; see the daemon's log".to_owned();
        Self(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", message)
    }
}

impl From<BundleError> for Refusal {
    fn from(error: BundleError) -> Self {
        let (status, code) = match error {
            BundleError::Digest { .. } => (StatusCode::BAD_REQUEST, "evidence_digest_mismatch"),
            BundleError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "evidence_too_large"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "evidence_store_failed"),
        };
        Self(status, code, error.to_string())
    }
}
