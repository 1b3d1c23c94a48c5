//! Spans of jobs and requests, as a collector gets them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;
use vouch_client::State as Order;
use vouch_tests::oracle::daemon::{Plan, tail};
use vouch_tests::oracle::fair::{Fair, Size};

const ONE: Size = Size {
    operators: 1,
    quorum: 1,
    lanes: 1,
};
const PATIENCE: Duration = Duration::from_secs(60);

/// A field of a protobuf message: its number, and its bytes where it has some.
fn fields(mut message: &[u8]) -> Result<Vec<(u64, &[u8])>> {
    fn varint(message: &mut &[u8]) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = message.split_first().context("a varint's next byte")?;
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        anyhow::bail!("a varint of more than 64 bits")
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let length = match key & 7 {
            0 => {
                varint(&mut message)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?)?,
            5 => 4,
            other => anyhow::bail!("wire type {other}"),
        };
        ensure!(message.len() >= length, "cut off");
        let (bytes, rest) = message.split_at(length);
        message = rest;
        found.push((key >> 3, bytes));
    }
    Ok(found)
}

/// Every message in field `number` of a message.
fn each(message: &[u8], number: u64) -> Result<Vec<&[u8]>> {
    let fields = fields(message)?.into_iter();
    Ok(fields
        .filter(|(n, _)| *n == number)
        .map(|(_, b)| b)
        .collect())
}

fn text(message: &[u8], number: u64) -> Result<String> {
    let bytes = each(message, number)?.pop().unwrap_or_default();
    Ok(String::from_utf8(bytes.to_vec())?)
}

/// What a collector was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    service: String,
    id: Vec<u8>,
    parent: Vec<u8>,
    name: String,
    attributes: BTreeMap<String, String>,
    events: usize,
}

/// The attributes that are texts.
fn attributes(message: &[u8], number: u64) -> Result<BTreeMap<String, String>> {
    let pairs = each(message, number)?.into_iter().map(|pair| {
        let value = each(pair, 2)?.pop().unwrap_or_default();
        anyhow::Ok((text(pair, 1)?, text(value, 1)?))
    });
    pairs.collect()
}

/// The spans of an `ExportTraceServiceRequest` (opentelemetry/proto/trace/v1/trace.proto).
fn spans(request: &[u8]) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for of_resource in each(request, 1)? {
        let resource = each(of_resource, 1)?.pop().unwrap_or_default();
        let service = attributes(resource, 1)?.remove("service.name");
        for of_scope in each(of_resource, 2)? {
            for span in each(of_scope, 2)? {
                spans.push(Span {
                    service: service.clone().unwrap_or_default(),
                    id: each(span, 2)?.concat(),
                    parent: each(span, 4)?.concat(),
                    name: text(span, 5)?,
                    attributes: attributes(span, 9)?,
                    events: each(span, 11)?.len(),
                });
            }
        }
    }
    Ok(spans)
}

type Seen = Arc<watch::Sender<Vec<Span>>>;

async fn collect(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let new = spans(&body).unwrap();
    seen.send_modify(|spans| spans.extend(new));
}

fn section(port: u16) -> String {
    format!("[traces]\nendpoint = \"http://127.0.0.1:{port}/v1/traces\"\n")
}

fn often(plan: &mut Plan) {
    let delay = ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "100".to_owned());
    plan.env.push(delay);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_sees_each_step_of_an_order_and_each_request() -> Result<()> {
    let seen = Seen::default();
    let mut spans = seen.subscribe();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let app = Router::new()
        .route("/v1/traces", post(collect))
        .with_state(seen);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let (fair, mut lanes) = Fair::open(ONE).await?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    plan.extra = section(port);
    often(&mut plan);
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let lane = lanes.first_mut().context("a lane")?;
    let done = lane.order().await.with_context(|| tail(&plan.log()))?;
    assert_eq!(done.state, Order::Settled);
    daemon.get(&format!("/v1/receipts/{}", done.order)).await?;

    let order = done.order.to_string();
    let steps = |spans: &[Span], phase: &str, name: &str| {
        spans.iter().any(|step| {
            let of = |key: &str| step.attributes.get(key).map(String::as_str);
            step.name == "step"
                && of("order") == Some(&order)
                && of("phase") == Some(phase)
                && spans
                    .iter()
                    .any(|span| span.name == name && span.parent == step.id && span.events > 0)
        })
    };
    let all = |spans: &Vec<Span>| {
        ["start", "finish"].iter().all(|phase| {
            ["fetch", "verify", "sign", "submit"]
                .iter()
                .all(|name| steps(spans, phase, name))
        }) && spans.iter().any(|span| {
            span.name == "GET /v1/receipts/{order}" && span.attributes["url.path"].ends_with(&order)
        })
    };
    let found = tokio::time::timeout(PATIENCE, spans.wait_for(all)).await;
    let found = found.map(|found| found.map(|spans| spans.clone()));
    let found = found.with_context(|| format!("{:#?}", spans.borrow()))??;
    assert!(found.iter().all(|span| span.service == "vouch-oracle"));
    // Logs are what they were: spans are not in them.
    let log = std::fs::read_to_string(plan.log())?;
    assert!(log.contains("verified") && !log.contains("step{"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_no_order() -> Result<()> {
    let (fair, mut lanes) = Fair::open(ONE).await?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    plan.extra = section(1);
    often(&mut plan);
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let lane = lanes.first_mut().context("a lane")?;
    for _ in 0..2 {
        let done = lane.order().await.with_context(|| tail(&plan.log()))?;
        assert_eq!(done.state, Order::Settled);
        daemon.get("/v1/status").await?;
        // More than one batch is lost.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let log = std::fs::read_to_string(plan.log())?;
    assert_eq!(log.matches("traces_lost").count(), 1, "{log}");
    Ok(())
}
