//! Evidence in and out, and its verification for whoever asks.

use std::sync::Arc;

use alloy::primitives::B256;
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vouch_client::revert;

use super::request::{Body, Query, Word, word};
use super::upload::Unwelcome;
use super::{Api, ErrorAnswer, Refusal};
use crate::bundles::{self, BundleError};
use crate::schema;
use crate::uploads::UNANNOUNCED;

/// A bundle, byte for byte.
#[utoipa::path(
    get,
    path = "/v1/evidence/{digest}",
    tag = "evidence",
    params(("digest" = schema::Word, Path, description = "SHA-256 of the bundle")),
    responses(
        (status = 200, description = "The bundle", body = serde_json::Value),
        (status = 400, description = "Not a digest", body = ErrorAnswer),
        (status = 404, description = "Not here", body = ErrorAnswer),
        (status = 429, description = "Too many requests", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn get_evidence(
    State(api): State<Api>,
    Word(digest): Word,
) -> Result<Response, Refusal> {
    match api.bundles.get(digest).await? {
        Some(bytes) => Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response()),
        None => Err(Refusal(
            StatusCode::NOT_FOUND,
            "evidence_missing",
            format!("no evidence with SHA-256 {digest}"),
        )),
    }
}

/// Leaves a bundle of an order here, signed by its provider or buyer. Leaving it again changes nothing.
#[utoipa::path(
    put,
    path = "/v1/evidence/{digest}",
    tag = "evidence",
    params(("digest" = schema::Word, Path, description = "SHA-256 of the bundle")),
    security(("party" = [])),
    request_body(
        content = Vec<u8>,
        content_type = "application/octet-stream",
        description = "The bundle, byte for byte as its digest was announced; any content type is taken"
    ),
    responses(
        (status = 201, description = "It is kept"),
        (status = 400, description = "Not a digest, no body, or the bytes have another digest", body = ErrorAnswer),
        (status = 401, description = "No authorization, or one that is not good now", body = ErrorAnswer),
        (status = 403, description = "Not signed by the order's provider or buyer", body = ErrorAnswer),
        (status = 404, description = "The order was not seen here, or not yet", body = ErrorAnswer),
        (status = 409, description = "The order is paid or refunded", body = ErrorAnswer),
        (status = 413, description = "More than evidence.max_bytes", body = ErrorAnswer),
        (status = 429, description = "Too many requests, or bundles of the order that were not announced", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn put_evidence(
    State(api): State<Api>,
    Word(digest): Word,
    request: Request,
) -> Result<StatusCode, Refusal> {
    // Before the body: a stranger's is not read.
    let order = api.welcome(digest, request.headers())?;
    let Body(body) = Body::from_request(request, &()).await?;
    let found = bundles::digest(&body);
    if found != digest {
        let expected = digest;
        return Err(BundleError::Digest { expected, found }.into());
    }
    let jobs = api.store.jobs_of(order)?.into_iter();
    let announced = jobs.map(|job| job.id.evidence).collect();
    if !api.uploads.mark(order, digest, announced).await? {
        api.metrics.upload_refused(Unwelcome::TooMany);
        let message = format!(
            "order {order}: expected at most {UNANNOUNCED} bundles that are not announced yet"
        );
        return Err(Unwelcome::TooMany.refuse(message));
    }
    api.bundles.put(digest, body.to_vec()).await?;
    // Full only when jobs are being looked at anyway.
    let _ = api.arrived.try_send(digest);
    Ok(StatusCode::CREATED)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyQuery {
    /// For a finish bundle: digest of its session's start bundle, which is in the evidence store.
    #[param(value_type = Option<schema::Word>, nullable = false)]
    start: Option<String>,
}

/// What a bundle is worth by itself, for no order.
#[derive(Serialize, ToSchema)]
pub(super) struct Verification {
    #[serde(flatten)]
    #[schema(inline)]
    examined: Examined,
    /// SHA-256 of the bundle.
    #[schema(value_type = schema::Word)]
    evidence: B256,
    /// The time of verification, UTC.
    at: String,
}

/// What the examination came to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Examined {
    /// `accepted`, `rejected` or `inconclusive`.
    verdict: String,
    /// Why it was not accepted.
    reasons: Vec<Reason>,
    /// What the hardware vouches for; none where it does not.
    claims: Option<Claims>,
}

/// A row of the table of reasons, and what was found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// Its number.
    code: u16,
    /// Its class.
    class: String,
    /// Its name.
    name: String,
    /// What was expected and what came.
    detail: String,
}

/// What evidence claims, verified.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Claims {
    /// What it answers.
    #[schema(value_type = schema::Word)]
    challenge: B256,
    /// Digest of the inputs' digests.
    #[schema(value_type = schema::Word)]
    inputs: B256,
    /// The session's X25519 key.
    #[schema(value_type = schema::Word)]
    session_key: B256,
    /// Of the confidential machine.
    #[schema(value_type = schema::Word)]
    measurement: B256,
    /// The devices.
    #[schema(value_type = Vec<schema::Word>)]
    devices: Vec<B256>,
    /// How many GPUs.
    gpus: usize,
    /// How many switches.
    switches: usize,
    /// Kind of the confidential machine.
    cpu: String,
    /// Whether a simulator made it.
    simulated: bool,
}

/// Verifies a bundle by itself: its own challenge, at the newest block's time.
#[utoipa::path(
    post,
    path = "/v1/verify",
    tag = "evidence",
    params(VerifyQuery),
    request_body(
        content = Vec<u8>,
        content_type = "application/octet-stream",
        description = "The bundle; any content type is taken"
    ),
    responses(
        (status = 200, description = "What it is worth; bytes that are no bundle are worth nothing", body = Verification),
        (status = 400, description = "The query or an empty body", body = ErrorAnswer),
        (status = 404, description = "The start bundle is not here", body = ErrorAnswer),
        (status = 413, description = "More than evidence.max_bytes", body = ErrorAnswer),
        (status = 429, description = "Too many requests or verifications", body = ErrorAnswer),
        (status = 500, description = "The verifier or the store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn verify(
    State(api): State<Api>,
    Query(query): Query<VerifyQuery>,
    Body(body): Body,
) -> Result<Json<Verification>, Refusal> {
    if body.len() as u64 > api.bundles.max_bytes() {
        let limit = api.bundles.max_bytes();
        return Err(BundleError::TooLarge { limit }.into());
    }
    let at = match *api.head.borrow() {
        Some(head) => head.timestamp,
        None => crate::time::now_ms() / 1000,
    };
    let start = match &query.start {
        None => None,
        Some(start) => {
            let digest = word("start", start)?;
            let found = api.bundles.get(digest).await?;
            let missing = || {
                let message = format!("start: no evidence with SHA-256 {digest}");
                Refusal(StatusCode::NOT_FOUND, "evidence_missing", message)
            };
            Some(found.ok_or_else(missing)?)
        }
    };
    let evidence = bundles::digest(&body);
    let _permit = api.busy()?;
    let anchors = Arc::clone(&api.anchors);
    let failed = |detail: String| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Refusal(status, "verification_failed", detail)
    };
    let examined = tokio::task::spawn_blocking(move || {
        let found = vouch_verdict::examine(&body, start.as_deref(), at, &anchors);
        serde_json::from_value(found)
    });
    let examined = examined.await.map_err(|e| failed(e.to_string()))?;
    Ok(Json(Verification {
        examined: examined.map_err(|e| failed(e.to_string()))?,
        evidence,
        at: revert::time(at),
    }))
}

#[cfg(test)]
mod tests {
    use vouch_evidence::Anchors;
    use vouch_simulator::{Machine, Options, Session};

    use super::*;

    /// 2027-01-15, when the simulator's certificates are valid.
    const AT: u64 = 1_800_000_000;

    #[test]
    fn examinations_have_the_described_shape() {
        let found = vouch_verdict::examine(b"garbage", None, 0, &Anchors::vendor());
        let examined: Examined = serde_json::from_value(found).unwrap();
        assert_eq!(examined.verdict, "rejected");
        assert_eq!(examined.reasons.len(), 1);
        assert!(examined.claims.is_none());

        let roots = vouch_simulator::roots();
        let anchors = Anchors::vendor()
            .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
            .unwrap();
        let start = Session::generate().start(B256::ZERO, B256::ZERO);
        let bundle = Machine::new(b"shape").bundle(&start, &Options::default());
        let found = vouch_verdict::examine(&bundle.to_json(), None, AT, &anchors);
        let examined: Examined = serde_json::from_value(found).unwrap();
        assert_eq!(examined.verdict, "accepted", "{examined:?}");
        assert!(examined.claims.unwrap().simulated);
    }
}
