//! The HTTP server: evidence in and out, verification, jobs, receipts, health.

mod evidence;
mod explain;
mod health;
mod jobs;
mod openapi;
mod page;
mod rate;
mod refusal;
mod request;
mod trace;
mod upload;

pub use health::{Summary, summary};
pub use jobs::{Shown, show};
pub use openapi::document;
pub use rate::Rate;
pub use upload::Unwelcome;

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware;
use axum::routing::{get, post};
use refusal::{ErrorAnswer, Refusal};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::ToSchema;
use vouch_evidence::Anchors;

use crate::bundles::Bundles;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::quorum::{Exchange, MAX_MESSAGE_BYTES};
use crate::schema;
use crate::store::Store;
use crate::store::model::BlockRef;
use crate::uploads::Uploads;

/// Most who listen to events at a time.
const MAX_LISTENERS: usize = 32;

/// What the server shows.
#[derive(Clone, Debug)]
pub struct Api {
    /// Jobs and receipts.
    pub store: Arc<Store>,
    /// Bundles.
    pub bundles: Bundles,
    /// Those that were left here for orders.
    pub uploads: Uploads,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Balance {
    /// The account.
    #[schema(value_type = schema::Account)]
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

/// The routes. `rate` limits all but the probes; without it nobody is limited.
pub fn router(api: Api, rate: Option<Rate>) -> Router {
    // One byte more, so that the store's own limit gives the answer.
    let limit = usize::try_from(api.bundles.max_bytes()).unwrap_or(usize::MAX);
    let mut routes = Router::new()
        .route(
            "/v1/evidence/{digest}",
            get(evidence::get_evidence).put(evidence::put_evidence),
        )
        .route("/v1/verify", post(evidence::verify))
        .route("/v1/jobs", get(jobs::jobs))
        .route("/v1/receipts/{order}", get(jobs::receipt))
        .route("/v1/verdicts/{digest}", get(jobs::verdict))
        .route("/v1/equivocations", get(jobs::equivocations))
        .route(
            "/v1/signatures",
            post(jobs::signatures).layer(DefaultBodyLimit::max(MAX_MESSAGE_BYTES)),
        )
        .route("/v1/status", get(health::status))
        .route("/v1/explanations/{digest}", get(explain::explanation))
        .route("/v1/state", get(page::state))
        .route("/v1/events", get(page::events))
        .route("/v1/openapi.json", get(openapi::openapi))
        .route("/", get(page::page))
        .route("/page.js", get(page::script))
        .route("/page.css", get(page::style));
    if let Some(rate) = rate {
        let limit = middleware::from_fn_with_state(Arc::new(rate), rate::limit);
        routes = routes.route_layer(limit);
    }
    routes
        .route("/healthz", get(health::health))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(async |uri: Uri| {
            let message = format!("no such route: {}", uri.path());
            Refusal(StatusCode::NOT_FOUND, "no_route", message)
        })
        .layer(DefaultBodyLimit::max(limit.saturating_add(1)))
        .layer(middleware::from_fn(trace::request))
        .with_state(api)
}
