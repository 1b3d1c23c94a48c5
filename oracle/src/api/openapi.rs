//! The API's description, made from the routes' own types.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{evidence, explain, health, jobs, page};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "vouch-oracle",
        description = "Evidence in, verdicts out: one operator's daemon. Errors are `{\"error\": {\"code\", \"message\"}}` with stable codes.",
        license(name = "MIT OR Apache-2.0")
    ),
    servers((url = "/")),
    paths(
        evidence::get_evidence,
        evidence::put_evidence,
        evidence::verify,
        jobs::jobs,
        jobs::verdict,
        jobs::receipt,
        explain::explanation,
        jobs::signatures,
        jobs::equivocations,
        page::state,
        page::events,
        health::status,
        health::health,
        health::ready,
        health::metrics,
        openapi,
    ),
    // What is only in a query is not found by itself.
    components(schemas(jobs::StageName)),
    modifiers(&Party)
)]
struct Document;

/// How a party of an order shows that it is one.
struct Party;

impl Modify for Party {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        // A scheme of our own, for which OpenAPI has no other way.
        let header = ApiKeyValue::with_description(
            "Authorization",
            "`Vouch order=0x…,deadline=SECONDS,signature=0x…`: EIP-712 signature of `EvidenceUpload(bytes32 order,bytes32 \
             evidence,uint64 deadline)` by the order's provider or buyer, in the domain {Vouch, 1, chain id, escrow}",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("party", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}

/// The `OpenAPI` document, JSON.
///
/// # Errors
/// None that are known: it is made of constants.
pub fn document() -> Result<String, serde_json::Error> {
    Document::openapi().to_pretty_json().map(|text| text + "\n")
}

/// This document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub(super) async fn openapi() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    match document() {
        Ok(text) => (kind, text).into_response(),
        Err(error) => super::Refusal(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            "document_failed",
            error.to_string(),
        )
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_OPENAPI=1` writes the committed copy anew.
    #[test]
    fn the_committed_copy_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/oracle.openapi.json");
        let made = document().unwrap();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(
            kept == made,
            "docs/oracle.openapi.json is old: UPDATE_OPENAPI=1 cargo test -p vouch-oracle openapi"
        );
    }
}
