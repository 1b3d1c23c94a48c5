//! The operator's web page, and the events that keep it live.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use futures::Stream;
use serde_json::{Value, json};

use super::{Api, Refusal, show};
use crate::store::StoreError;

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

/// `GET /v1/state`: the newest jobs, the queue and the peers, once.
pub(super) async fn state(State(api): State<Api>) -> Result<Json<Value>, Refusal> {
    Ok(Json(snapshot(&api)?))
}

/// `GET /v1/events`: the newest jobs, the queue and the peers, whenever they change.
pub(super) async fn events(
    State(api): State<Api>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let listener = api.listener()?;
    let stream = futures::stream::unfold((api, Value::Null), async |(api, last)| {
        loop {
            match snapshot(&api) {
                Ok(now) if now != last => {
                    let event = Event::default().event("state").data(now.to_string());
                    return Some((Ok(event), (api, now)));
                }
                Ok(_) => {}
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

fn snapshot(api: &Api) -> Result<Value, StoreError> {
    let jobs = api.store.newest(None, JOBS)?.into_iter();
    let jobs = jobs.map(|job| show(&api.store, job));
    let mut waiting = Vec::new();
    for id in api.store.outbox()?.into_iter().take(JOBS) {
        if let Some(entry) = api.store.outbox_entry(&id)? {
            let flight = entry.flight.as_ref();
            waiting.push(json!({
                "job": id.to_string(),
                "nonce": flight.map(|flight| flight.nonce),
                "replacements": flight.map(|flight| flight.hashes.len().saturating_sub(1)),
                "since": entry.at_ms,
            }));
        }
    }
    Ok(json!({
        "market": api.store.market()?,
        "cursor": api.store.cursor()?,
        "head": *api.head.borrow(),
        "open": api.store.open_jobs()?.len(),
        "outbox": waiting,
        "operators": api.exchange.own(),
        "quorum": api.exchange.operators().last_quorum(),
        "peers": api.exchange.peers(),
        "gas": api.gas.borrow().clone(),
        "equivocations": api.store.equivocations().take(10).collect::<Result<Vec<_>, _>>()?,
        "jobs": jobs.collect::<Result<Vec<_>, _>>()?,
    }))
}
