//! The HTTP server: evidence in and out, verification, jobs, receipts, health.

mod explain;
mod page;
mod rate;

pub use rate::Rate;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use alloy::primitives::{Address, B256};
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use vouch_client::revert;
use vouch_evidence::Anchors;

use crate::bundles::{self, BundleError, Bundles};
use crate::facts::Order;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::quorum::{Answer, Exchange, MAX_MESSAGE_BYTES, MAX_SHARES, Shares};
use crate::store::model::{BlockRef, Job, StoredVerdict};
use crate::store::{Store, StoreError};

/// Most jobs in one answer.
const MAX_JOBS: usize = 1000;
/// Most who listen to events at a time.
const MAX_LISTENERS: usize = 32;

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
    /// Signatures from and for other operators.
    pub exchange: Arc<Exchange>,
    /// Makes verifications again, for people to look at.
    pub pipeline: Arc<Pipeline>,
    /// What the account that pays for transactions has.
    pub gas: watch::Receiver<Option<Balance>>,
    /// How many verifications at a time requests may cause, and how many may listen to events.
    pub limits: Arc<Limits>,
    /// Told of new bundles, so that jobs need not wait for their next try.
    pub arrived: tokio::sync::mpsc::Sender<B256>,
}

/// What an account has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// The account.
    pub account: Address,
    /// In wei, decimal.
    pub wei: String,
}

/// How much requests may cause at a time.
#[derive(Debug)]
pub struct Limits {
    verifications: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
}

impl Limits {
    /// As many verifications as the pipeline makes.
    pub fn new(workers: usize) -> Self {
        Self {
            verifications: Arc::new(Semaphore::new(workers)),
            listeners: Arc::new(Semaphore::new(MAX_LISTENERS)),
        }
    }
}

impl Api {
    /// Leave to verify something for a request.
    fn busy(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permits = Arc::clone(&self.limits.verifications);
        permits.try_acquire_owned().map_err(|_| {
            let message = "too many verifications at a time, try again".to_owned();
            Refusal(StatusCode::TOO_MANY_REQUESTS, "busy", message)
        })
    }

    /// Leave to listen to events.
    fn listener(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permits = Arc::clone(&self.limits.listeners);
        permits.try_acquire_owned().map_err(|_| {
            let message = format!("expected at most {MAX_LISTENERS} listeners");
            Refusal(StatusCode::TOO_MANY_REQUESTS, "busy", message)
        })
    }
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

/// The routes. `rate` limits all but the probes; without it nobody is limited.
pub fn router(api: Api, rate: Option<Rate>) -> Router {
    // One byte more, so that the store's own limit gives the answer.
    let limit = usize::try_from(api.bundles.max_bytes()).unwrap_or(usize::MAX);
    let mut routes = Router::new()
        .route("/v1/evidence/{digest}", get(get_evidence).put(put_evidence))
        .route("/v1/verify", post(verify))
        .route("/v1/jobs", get(jobs))
        .route("/v1/receipts/{order}", get(receipt))
        .route("/v1/verdicts/{digest}", get(verdict))
        .route("/v1/equivocations", get(equivocations))
        .route(
            "/v1/signatures",
            post(signatures).layer(DefaultBodyLimit::max(MAX_MESSAGE_BYTES)),
        )
        .route("/v1/status", get(status))
        .route("/v1/explanations/{digest}", get(explain::explanation))
        .route("/v1/state", get(page::state))
        .route("/v1/events", get(page::events))
        .route("/", get(page::page))
        .route("/page.js", get(page::script))
        .route("/page.css", get(page::style));
    if let Some(rate) = rate {
        let limit = middleware::from_fn_with_state(Arc::new(rate), rate::limit);
        routes = routes.route_layer(limit);
    }
    routes
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
    let _permit = api.busy()?;
    let anchors = Arc::clone(&api.anchors);
    let judged = tokio::task::spawn_blocking(move || {
        vouch_verdict::examine(&body, start.as_deref(), at, &anchors)
    })
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
        None => found.extend(api.store.newest(None, MAX_JOBS)?),
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
    verdict: Option<StoredVerdict>,
    /// Who signed which digest.
    operators: Vec<Signature>,
}

/// An operator's signature, in short.
#[derive(Debug, Serialize)]
struct Signature {
    signer: Address,
    digest: B256,
    at_ms: u64,
}

/// A job with what is known of its verdict.
///
/// # Errors
/// [`StoreError`].
pub fn show(store: &Store, job: Job) -> Result<Shown, StoreError> {
    let verdict = store.verdict(&job.id)?;
    let shares = store.shares(&job.id)?.into_iter();
    let operators = shares.map(|share| Signature {
        signer: share.signer,
        digest: share.digest,
        at_ms: share.at_ms,
    });
    Ok(Shown {
        job,
        verdict,
        operators: operators.collect(),
    })
}

/// A verdict by its digest, with the signatures of operators who reached it and of those who did not.
async fn verdict(
    State(api): State<Api>,
    Path(digest): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let digest = word("digest", &digest)?;
    let missing = || {
        let message = format!("no verdict with digest {digest}");
        Refusal(StatusCode::NOT_FOUND, "verdict_missing", message)
    };
    let id = api.store.job_of_verdict(digest)?.ok_or_else(missing)?;
    let job = api.store.job(&id)?.ok_or_else(missing)?;
    let shown = show(&api.store, job)?;
    Ok(Json(json!({ "job": shown })))
}

async fn equivocations(State(api): State<Api>) -> Result<Json<Value>, Refusal> {
    let found = api.store.equivocations().take(MAX_JOBS);
    let found = found.collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({ "equivocations": found })))
}

/// Other operators' signatures.
async fn signatures(
    State(api): State<Api>,
    body: Result<Json<Shares>, JsonRejection>,
) -> Result<Json<Answer>, Refusal> {
    let Json(Shares { shares }) =
        body.map_err(|rejection| Refusal(rejection.status(), "malformed", rejection.body_text()))?;
    if shares.len() > MAX_SHARES {
        let message = format!(
            "shares: expected at most {MAX_SHARES}, found {}",
            shares.len()
        );
        return Err(Refusal(StatusCode::BAD_REQUEST, "malformed", message));
    }
    Ok(Json(api.exchange.receive(shares).await?))
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
    let mut status = summary(&api.store, head)?;
    status["operators"] = json!(api.exchange.own());
    status["peers"] = json!(api.exchange.peers());
    Ok(Json(status))
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
