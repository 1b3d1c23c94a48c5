//! The HTTP server: evidence in and out, verification, jobs, receipts, health.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use alloy::primitives::B256;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use vouch_client::revert;
use vouch_evidence::Anchors;

use crate::bundles::{self, BundleError, Bundles};
use crate::facts::Order;
use crate::judge;
use crate::metrics::Metrics;
use crate::store::model::{BlockRef, Job};
use crate::store::{Store, StoreError};

/// Most jobs in one answer.
const MAX_JOBS: usize = 1000;

/// What the server shows.
#[derive(Clone, Debug)]
pub struct Api {
    /// Jobs and receipts.
    pub store: Arc<Store>,
    /// Bundles.
    pub bundles: Bundles,
    /// Whom `POST /v1/verify` trusts.
    pub anchors: Arc<Anchors>,
    /// The newest block.
    pub head: watch::Receiver<Option<BlockRef>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Told of new bundles, so that jobs need not wait for their next try.
    pub arrived: tokio::sync::mpsc::Sender<B256>,
}

/// An error answer: `{"error": {"code", "message"}}`.
#[derive(Debug)]
struct Refusal(StatusCode, &'static str, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.1, "message": self.2 } });
        (self.0, Json(body)).into_response()
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

/// The routes.
pub fn router(api: Api) -> Router {
    // One byte more, so that the store's own limit gives the answer.
    let limit = usize::try_from(api.bundles.max_bytes()).unwrap_or(usize::MAX);
    Router::new()
        .route("/v1/evidence/{digest}", get(get_evidence).put(put_evidence))
        .route("/v1/verify", post(verify))
        .route("/v1/jobs", get(jobs))
        .route("/v1/receipts/{order}", get(receipt))
        .route("/v1/status", get(status))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(limit.saturating_add(1)))
        .with_state(api)
}

async fn get_evidence(
    State(api): State<Api>,
    Path(digest): Path<String>,
) -> Result<Response, Refusal> {
    let digest = word("digest", &digest)?;
    match api.bundles.get(digest).await? {
        Some(bytes) => Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response()),
        None => Err(Refusal(
            StatusCode::NOT_FOUND,
            "evidence_missing",
            format!("no evidence with SHA-256 {digest}"),
        )),
    }
}

async fn put_evidence(
    State(api): State<Api>,
    Path(digest): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let digest = word("digest", &digest)?;
    api.bundles.put(digest, body.to_vec()).await?;
    // Full only when jobs are being looked at anyway.
    let _ = api.arrived.try_send(digest);
    Ok(StatusCode::CREATED)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyQuery {
    /// For a finish bundle: digest of its session's start bundle, which is in the evidence store.
    start: Option<String>,
}

async fn verify(
    State(api): State<Api>,
    Query(query): Query<VerifyQuery>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
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
    let digest = bundles::digest(&body);
    let anchors = Arc::clone(&api.anchors);
    let judged =
        tokio::task::spawn_blocking(move || judge::examine(&body, start.as_deref(), at, &anchors))
            .await;
    let mut answer = judged.map_err(|e| {
        Refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "verification_failed",
            e.to_string(),
        )
    })?;
    answer["evidence"] = json!(digest);
    answer["at"] = json!(revert::time(at));
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobsQuery {
    order: Option<String>,
    stage: Option<String>,
}

async fn jobs(
    State(api): State<Api>,
    Query(query): Query<JobsQuery>,
) -> Result<Json<Value>, Refusal> {
    let wanted = |job: &Job| query.stage.as_ref().is_none_or(|s| s == job.stage.name());
    let mut found = Vec::new();
    match &query.order {
        Some(order) => found.extend(api.store.jobs_of(word("order", order)?)?),
        None => {
            for job in api.store.jobs()? {
                let job = job?;
                if wanted(&job) {
                    found.push(job);
                }
                if found.len() == MAX_JOBS {
                    break;
                }
            }
        }
    }
    found.retain(wanted);
    let shown = found
        .into_iter()
        .map(|job| show(&api.store, job))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({ "jobs": shown })))
}

/// A job with its verdict.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    job: Job,
    verdict: Option<crate::store::model::StoredVerdict>,
}

/// A job with what is known of its verdict.
///
/// # Errors
/// [`StoreError`].
pub fn show(store: &Store, job: Job) -> Result<Shown, StoreError> {
    let verdict = store.verdict(&job.id)?;
    Ok(Shown { job, verdict })
}

async fn receipt(
    State(api): State<Api>,
    Path(order): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let id = word("order", &order)?;
    let order = Order::from_facts(id, &api.store.facts(id)?);
    let not_found = |what: &str| {
        let message = format!("order {id}: {what}");
        Refusal(StatusCode::NOT_FOUND, "receipt_missing", message)
    };
    let order = order.ok_or_else(|| not_found("not known"))?;
    let receipt = order.receipt.ok_or_else(|| match order.refunded {
        Some(reason) => not_found(&format!("refunded, reason {reason}")),
        None => not_found("not settled yet"),
    })?;
    Ok(Json(json!({
        "order": receipt.order,
        "buyer": receipt.buyer,
        "assets": receipt.assets,
        "paid": receipt.paid.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "measurement": receipt.measurement,
        "devices": receipt.devices,
        "evidence": receipt.evidence,
        "outputs": receipt.outputs,
        "verdict": receipt.verdict,
        "settledAt": receipt.settledAt,
    })))
}

/// What the daemon is doing, in numbers.
///
/// # Errors
/// [`StoreError`].
pub fn summary(store: &Store, head: Option<BlockRef>) -> Result<Value, StoreError> {
    let mut stages: BTreeMap<&str, u64> = BTreeMap::new();
    for job in store.jobs()? {
        *stages.entry(job?.stage.name()).or_default() += 1;
    }
    let market = store.market()?;
    Ok(json!({
        "market": market,
        "cursor": store.cursor()?,
        "head": head,
        "jobs": stages,
        "outbox": store.outbox()?.len(),
    }))
}

async fn status(State(api): State<Api>) -> Result<Json<Value>, Refusal> {
    let head = *api.head.borrow();
    Ok(Json(summary(&api.store, head)?))
}

/// Ready once intake has seen the head: before that, answers would be about the past.
async fn ready(State(api): State<Api>) -> Result<&'static str, Refusal> {
    match *api.head.borrow() {
        Some(_) => Ok("ready\n"),
        None => Err(Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "the chain has not been read yet".to_owned(),
        )),
    }
}

async fn metrics(State(api): State<Api>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.metrics.encode()).into_response()
}

fn word(name: &str, text: &str) -> Result<B256, Refusal> {
    B256::from_str(text).map_err(|_| {
        let message = format!(
            "{name}: expected 32 bytes of hex, found {} characters",
            text.len()
        );
        Refusal(StatusCode::BAD_REQUEST, "malformed", message)
    })
}
