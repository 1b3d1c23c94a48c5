//! The operator's web page, and the events that keep it live.

use std::convert::Infallible;
use std::time::Duration;

use alloy::primitives::Address;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use futures::Stream;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Api, Balance, ErrorAnswer, Refusal, Shown, show};
use crate::quorum::PeerState;
use crate::schema;
use crate::store::model::{BlockRef, Equivocation};
use crate::store::{MarketId, StoreError};

/// Jobs on the page.
const JOBS: usize = 50;
/// How often it is looked whether anything changed.
const LOOK: Duration = Duration::from_millis(500);
/// Nothing on the page comes from elsewhere, and nothing on it runs that is not in its own file.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`
pub(super) async fn page() -> Response {
    (
        [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        Html(include_str!("../../web/index.html")),
    )
        .into_response()
}

/// `GET /page.js`
pub(super) async fn script() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("../../web/page.js")).into_response()
}

/// `GET /page.css`
pub(super) async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("../../web/page.css")).into_response()
}

/// What the page shows.
#[derive(Serialize, ToSchema)]
pub(super) struct Snapshot {
    /// Whose the store is.
    market: Option<MarketId>,
    /// The last block that was taken in.
    cursor: Option<BlockRef>,
    /// The newest block.
    head: Option<BlockRef>,
    /// How many jobs are not over.
    open: usize,
    /// Transactions that wait.
    outbox: Vec<Waiting>,
    /// The addresses this daemon signs with.
    #[schema(value_type = Vec<schema::Account>)]
    operators: Vec<Address>,
    /// How many signatures a verdict needs, as the contract said last.
    quorum: Option<u16>,
    /// The other operators' daemons.
    peers: Vec<PeerState>,
    /// Who pays for transactions.
    gas: Option<Balance>,
    /// Proofs against operators, at most ten.
    equivocations: Vec<Equivocation>,
    /// The newest jobs.
    jobs: Vec<Shown>,
}

/// A transaction that waits.
#[derive(Serialize, ToSchema)]
struct Waiting {
    /// Of which job.
    job: String,
    /// Where it was sent already.
    nonce: Option<u64>,
    /// How often it was sent with higher fees.
    replacements: Option<usize>,
    /// Unix milliseconds.
    since: u64,
}

/// The newest jobs, the queue and the peers, once.
#[utoipa::path(
    get,
    path = "/v1/state",
    tag = "operation",
    responses(
        (status = 200, description = "As the operator's page shows it", body = Snapshot),
        (status = 429, description = "Too many requests", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn state(State(api): State<Api>) -> Result<Json<Snapshot>, Refusal> {
    Ok(Json(snapshot(&api)?))
}

/// The newest jobs, the queue and the peers, whenever they change: events named `state`.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "operation",
    responses(
        (
            status = 200,
            description = "The data of each event is the answer of /v1/state",
            body = String,
            content_type = "text/event-stream"
        ),
        (status = 429, description = "Too many requests or listeners", body = ErrorAnswer),
    )
)]
pub(super) async fn events(
    State(api): State<Api>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let listener = api.listener()?;
    let stream = futures::stream::unfold((api, Value::Null), async |(api, last)| {
        loop {
            let now = snapshot(&api).map(serde_json::to_value);
            match now {
                Ok(Ok(now)) if now != last => {
                    let event = Event::default().event("state").data(now.to_string());
                    return Some((Ok(event), (api, now)));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "no news for the page"),
                Err(error) => tracing::debug!(%error, "no news for the page"),
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    let stream = futures::StreamExt::map(stream, move |event| {
        // Held for as long as somebody listens.
        let _ = &listener;
        event
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

fn snapshot(api: &Api) -> Result<Snapshot, StoreError> {
    let jobs = api.store.newest(None, JOBS)?.into_iter();
    let jobs = jobs.map(|job| show(&api.store, job));
    let mut waiting = Vec::new();
    for id in api.store.outbox()?.into_iter().take(JOBS) {
        if let Some(entry) = api.store.outbox_entry(&id)? {
            let flight = entry.flight.as_ref();
            waiting.push(Waiting {
                job: id.to_string(),
                nonce: flight.map(|flight| flight.nonce),
                replacements: flight.map(|flight| flight.hashes.len().saturating_sub(1)),
                since: entry.at_ms,
            });
        }
    }
    Ok(Snapshot {
        market: api.store.market()?,
        cursor: api.store.cursor()?,
        head: *api.head.borrow(),
        open: api.store.open_jobs()?.len(),
        outbox: waiting,
        operators: api.exchange.own(),
        quorum: api.exchange.operators().last_quorum(),
        peers: api.exchange.peers(),
        gas: api.gas.borrow().clone(),
        equivocations: api
            .store
            .equivocations()
            .take(10)
            .collect::<Result<_, _>>()?,
        jobs: jobs.collect::<Result<_, _>>()?,
    })
}
