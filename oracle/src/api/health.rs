//! How the daemon is doing: for probes, for scrapers, and in numbers.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, ErrorAnswer, Refusal};
use crate::quorum::PeerState;
use crate::schema;
use crate::store::model::BlockRef;
use crate::store::{MarketId, Store, StoreError};

/// What a store holds, in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Summary {
    /// Whose it is.
    market: Option<MarketId>,
    /// The last block that was taken in.
    cursor: Option<BlockRef>,
    /// The newest block, where the daemon runs.
    head: Option<BlockRef>,
    /// Jobs by stage.
    jobs: BTreeMap<&'static str, u64>,
    /// Transactions that wait.
    outbox: usize,
}

/// What the daemon is doing, in numbers.
///
/// # Errors
/// [`StoreError`].
pub fn summary(store: &Store, head: Option<BlockRef>) -> Result<Summary, StoreError> {
    let mut jobs: BTreeMap<&'static str, u64> = BTreeMap::new();
    for job in store.jobs()? {
        *jobs.entry(job?.stage.name()).or_default() += 1;
    }
    Ok(Summary {
        market: store.market()?,
        cursor: store.cursor()?,
        head,
        jobs,
        outbox: store.outbox()?.len(),
    })
}

/// The store in numbers, and the operators.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    #[serde(flatten)]
    summary: Summary,
    /// The addresses this daemon signs with.
    #[schema(value_type = Vec<schema::Account>)]
    operators: Vec<Address>,
    /// The other operators' daemons.
    peers: Vec<PeerState>,
}

/// What the daemon is doing, in numbers.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "operation",
    responses(
        (status = 200, description = "In numbers", body = Status),
        (status = 429, description = "Too many requests", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn status(State(api): State<Api>) -> Result<Json<Status>, Refusal> {
    let head = *api.head.borrow();
    Ok(Json(Status {
        summary: summary(&api.store, head)?,
        operators: api.exchange.own(),
        peers: api.exchange.peers(),
    }))
}

/// Whether the daemon runs.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain"))
)]
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Whether the head has been seen: before that, answers would be about the past.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "It follows the chain", body = String, content_type = "text/plain"),
        (status = 503, description = "Not yet", body = ErrorAnswer),
    )
)]
pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, Refusal> {
    match *api.head.borrow() {
        Some(_) => Ok("ready\n"),
        None => Err(Refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "the chain has not been read yet".to_owned(),
        )),
    }
}

/// Metrics, as Prometheus reads them.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((
        status = 200,
        description = "OpenMetrics text",
        body = String,
        content_type = "application/openmetrics-text"
    ))
)]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.metrics.encode()).into_response()
}
