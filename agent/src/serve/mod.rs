//! A model behind an API: answered inside the session, counted, and never handed out.
//!
//! **Decides** whose calls are answered (the buyer's, each once) and when the budget is used up.
//! **Trusts** the workload only as far as its world lets it: each call is a run of its own with the model
//! and one request, and of what it writes the answer alone leaves. **Leaves alone** what an answer says.

mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, Signature};
use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use vouch_client::call::{ANSWER_SIGNATURE, Ask, SEQUENCE, SIGNATURE, answered, message};
use vouch_protocol::Counters;
use zeroize::Zeroizing;

use crate::report::Report;
use crate::session::Session;
use crate::workload::{Files, Limits, Workload};

/// Bytes of the largest request.
pub const MAX_REQUEST: usize = 1 << 20;
/// How long connections may take to end once nothing more is answered.
const DRAIN: Duration = Duration::from_secs(2);

/// What is served, to whom, and how much of it.
pub struct Service {
    /// The workload that answers: it finds `/in/model` and `/in/request`, and writes `/out/response`.
    pub workload: Workload,
    /// Its arguments, its own name first.
    pub arguments: Vec<String>,
    /// The model.
    pub model: Zeroizing<Vec<u8>>,
    /// The order.
    pub order: B256,
    /// Who may call.
    pub buyer: Address,
    /// Limits of one call; bytes and rows are those of all calls together.
    pub limits: Limits,
    /// The clock's Unix seconds.
    pub time: u64,
    /// Calls that are run, whatever comes of them. Answers are never more than rows may leave: each is at least
    /// one.
    pub calls: u64,
    /// When the last answer has to be there.
    pub deadline: Instant,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The model is not shown.
        f.debug_struct("Service")
            .field("order", &self.order)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

/// What has been answered so far.
#[derive(Debug)]
struct Meter {
    /// Of the last call.
    sequence: u64,
    /// Calls left.
    left: u64,
    counted: Counters,
}

struct Api {
    service: Service,
    session: Arc<Session>,
    meter: Mutex<Meter>,
    over: watch::Sender<bool>,
    report: Report,
}

impl Api {
    /// Ends the serving where no call is left that could be answered.
    fn end_where_over(&self, meter: &Meter) {
        let rows = self.service.limits.output_rows;
        if meter.left == 0 || meter.counted.output_rows >= rows {
            self.over.send_replace(true);
        }
    }
}

/// A request that is not answered.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, why }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, format!("{}\n", self.why)).into_response()
    }
}

/// Serves until the calls are used up, the buyer ends it, the deadline comes or `until` is over. Gives what left the session:
/// after that, nothing does.
///
/// # Errors
/// Where it could not begin.
pub async fn serve(
    service: Service,
    session: Arc<Session>,
    listener: TcpListener,
    until: impl Future<Output = ()>,
    report: Report,
) -> Result<Counters> {
    let address = listener.local_addr()?;
    let connections = tls::Connections::accept(listener, tls::acceptor(&session)?)?;
    let left = service.calls;
    let answers = left.min(service.limits.output_rows);
    let deadline = service.deadline;
    let (over, mut is_over) = watch::channel(false);
    let api = Arc::new(Api {
        service,
        session,
        meter: Mutex::new(Meter {
            sequence: 0,
            left,
            counted: Counters::default(),
        }),
        over,
        report,
    });
    let router = Router::new()
        .route(Ask::Infer.path(), post(infer))
        .route(Ask::End.path(), post(end))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(Arc::clone(&api));
    report.step(
        "serving",
        json!({ "address": address.to_string(), "calls": answers }),
    );
    let mut stop = is_over.clone();
    let server = axum::serve(connections, router).with_graceful_shutdown(async move {
        let _ = stop.wait_for(|over| *over).await;
    });
    let server = tokio::spawn(server.into_future());
    tokio::select! {
        _ = is_over.wait_for(|over| *over) => {}
        () = tokio::time::sleep_until(deadline.into()) => {}
        () = until => {}
    }
    api.over.send_replace(true);
    // A call that runs is waited for; its connection, which the client could keep open, only for a while.
    let mut meter = api.meter.lock().await;
    meter.left = 0;
    let counted = meter.counted;
    drop(meter);
    let abort = server.abort_handle();
    if tokio::time::timeout(DRAIN, server).await.is_err() {
        abort.abort();
    }
    report.step(
        "served",
        json!({ "bytes": counted.output_bytes, "rows": counted.output_rows }),
    );
    Ok(counted)
}

type Shared = State<Arc<Api>>;

/// Ends the session's serving.
async fn end(State(api): Shared, headers: HeaderMap, body: Bytes) -> Result<StatusCode, Refusal> {
    let sequence = authentic(&api, &headers, Ask::End, &body)?;
    let mut meter = api.meter.lock().await;
    meter.advance(sequence)?;
    meter.left = 0;
    api.over.send_replace(true);
    Ok(StatusCode::NO_CONTENT)
}

/// One answer.
async fn infer(State(api): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let sequence = authentic(&api, &headers, Ask::Infer, &body)?;
    // One call at a time: metering and the budget are exact.
    let mut meter = api.meter.lock().await;
    meter.advance(sequence)?;
    let rows_left = api.service.limits.output_rows > meter.counted.output_rows;
    if meter.left == 0 || !rows_left {
        let why = "expected calls left, found none";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, why));
    }
    meter.left -= 1;
    let response = run(&api, &body, meter.counted).await;
    let response = response.inspect_err(|_| api.end_where_over(&meter))?;
    meter.counted.output_bytes += response.len() as u64;
    meter.counted.output_rows += rows(&response);
    api.end_where_over(&meter);
    api.report.step(
        "called",
        json!({ "bytes": response.len(), "left": meter.left }),
    );
    let signed = answered(api.service.order, sequence, &body, &response);
    let signature = hex::encode(api.session.sign(&signed));
    Ok(([(ANSWER_SIGNATURE, signature)], response).into_response())
}

/// Rows of an answer: its lines, and at least one, so that a budget of rows is one of answers too.
fn rows(response: &[u8]) -> u64 {
    crate::workload::lines(response).max(1)
}

/// The number of a call that the order's buyer has signed.
fn authentic(api: &Api, headers: &HeaderMap, ask: Ask, body: &[u8]) -> Result<u64, Refusal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let sequence = header(SEQUENCE).and_then(|text| text.parse::<u64>().ok());
    let Some(sequence) = sequence else {
        let why = format!("expected the header {SEQUENCE} with a number");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
    };
    let signature = header(SIGNATURE).and_then(|text| text.parse::<Signature>().ok());
    let Some(signature) = signature else {
        let why = format!("expected the header {SIGNATURE} with 65 bytes of hex");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
    };
    let message = message(api.service.order, sequence, ask, body);
    let signer = signature.recover_address_from_msg(&message).ok();
    if signer != Some(api.service.buyer) {
        let buyer = api.service.buyer;
        let why = format!("expected a signature by the order's buyer, {buyer}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    }
    Ok(sequence)
}

impl Meter {
    fn advance(&mut self, sequence: u64) -> Result<(), Refusal> {
        if sequence <= self.sequence {
            let last = self.sequence;
            let why = format!("expected a sequence above {last}, found {sequence}");
            return Err(Refusal::new(StatusCode::CONFLICT, why));
        }
        self.sequence = sequence;
        Ok(())
    }
}

/// Runs the workload over one request, within what is left of the budget.
async fn run(api: &Arc<Api>, body: &[u8], counted: Counters) -> Result<Vec<u8>, Refusal> {
    let Service {
        limits: all,
        deadline,
        ..
    } = &api.service;
    let left = deadline.saturating_duration_since(Instant::now());
    let limits = Limits {
        output_bytes: all.output_bytes.saturating_sub(counted.output_bytes),
        output_rows: all.output_rows.saturating_sub(counted.output_rows),
        time: all.time.now().min(left).into(),
        ..all.clone()
    };
    let (running, request) = (Arc::clone(api), Zeroizing::new(body.to_vec()));
    let ran = tokio::task::spawn_blocking(move || {
        let service = &running.service;
        let inputs = Files::from([
            ("model".to_owned(), service.model.clone()),
            ("request".to_owned(), request),
        ]);
        let arguments: Vec<&str> = service.arguments.iter().map(String::as_str).collect();
        let (workload, order) = (&service.workload, service.order);
        workload.run(&arguments, &inputs, order, service.time, &limits)
    });
    let refuse = |why: String| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why);
    let outputs = match ran.await {
        Ok(Ok(outputs)) => outputs,
        // The reason's name alone: its details are the workload's to choose, and would leave uncounted.
        Ok(Err(violation)) => {
            return Err(refuse(format!(
                "the workload was stopped: {}",
                violation.code()
            )));
        }
        Err(_) => {
            let why = "the call failed";
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why));
        }
    };
    // Only the answer leaves, whatever else the workload wrote.
    match outputs.files.get("response") {
        Some(response) => Ok(response.to_vec()),
        None => Err(refuse(
            "expected the workload to write /out/response".into(),
        )),
    }
}
