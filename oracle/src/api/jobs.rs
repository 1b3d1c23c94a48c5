//! Jobs, their verdicts, and what operators signed.

use alloy::primitives::{Address, B256};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vouch_abi::Receipt;

use super::request::{Query, Word, word};
use super::{Api, ErrorAnswer, Refusal};
use crate::facts::Order;
use crate::quorum::{Answer, MAX_SHARES, Shares};
use crate::schema;
use crate::store::model::{Equivocation, Job, StoredVerdict};
use crate::store::{Store, StoreError};

/// Most jobs in one answer.
const MAX_JOBS: usize = 1000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JobsQuery {
    /// Only those of an order.
    #[param(value_type = Option<schema::Word>, nullable = false)]
    order: Option<String>,
    /// Only those at a stage.
    #[param(nullable = false)]
    stage: Option<StageName>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StageName {
    Seen,
    Fetched,
    Verified,
    Signed,
    Submitted,
    Final,
    Abandoned,
}

impl StageName {
    /// As in `Stage::name`.
    const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Fetched => "fetched",
            Self::Verified => "verified",
            Self::Signed => "signed",
            Self::Submitted => "submitted",
            Self::Final => "final",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Jobs.
#[derive(Serialize, ToSchema)]
pub(super) struct Jobs {
    jobs: Vec<Shown>,
}

/// The newest jobs, newest first, or an order's.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    tag = "jobs",
    params(JobsQuery),
    responses(
        (status = 200, description = "At most 1000", body = Jobs),
        (status = 400, description = "The query", body = ErrorAnswer),
        (status = 429, description = "Too many requests", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn jobs(
    State(api): State<Api>,
    Query(query): Query<JobsQuery>,
) -> Result<Json<Jobs>, Refusal> {
    let wanted = |job: &Job| query.stage.is_none_or(|s| s.name() == job.stage.name());
    let mut found = Vec::new();
    match &query.order {
        Some(order) => found.extend(api.store.jobs_of(word("order", order)?)?),
        None => found.extend(api.store.newest(None, MAX_JOBS)?),
    }
    found.retain(wanted);
    let shown = found.into_iter().map(|job| show(&api.store, job));
    let jobs = shown.collect::<Result<Vec<_>, _>>()?;
    Ok(Json(Jobs { jobs }))
}

/// A job with its verdict.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Shown {
    #[serde(flatten)]
    job: Job,
    verdict: Option<StoredVerdict>,
    /// Who signed which digest.
    operators: Vec<Signature>,
}

/// An operator's signature, in short.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Signature {
    /// The operator.
    #[schema(value_type = schema::Account)]
    signer: Address,
    /// What it signed.
    #[schema(value_type = schema::Word)]
    digest: B256,
    /// When it came here, in Unix milliseconds.
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

/// A job.
#[derive(Serialize, ToSchema)]
pub(super) struct OneJob {
    job: Shown,
}

/// A verdict by its digest, with the signatures of operators who reached it and of those who did not.
#[utoipa::path(
    get,
    path = "/v1/verdicts/{digest}",
    tag = "jobs",
    params(("digest" = schema::Word, Path, description = "EIP-712 digest of the verdict")),
    responses(
        (status = 200, description = "The job that it decides", body = OneJob),
        (status = 400, description = "Not a digest", body = ErrorAnswer),
        (status = 404, description = "Not known here", body = ErrorAnswer),
        (status = 429, description = "Too many requests", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn verdict(
    State(api): State<Api>,
    Word(digest): Word,
) -> Result<Json<OneJob>, Refusal> {
    let job = job_of(&api, digest)?;
    let job = show(&api.store, job)?;
    Ok(Json(OneJob { job }))
}

/// The job that a verdict decides.
pub(super) fn job_of(api: &Api, digest: B256) -> Result<Job, Refusal> {
    let missing = || {
        let message = format!("no verdict with digest {digest}");
        Refusal(StatusCode::NOT_FOUND, "verdict_missing", message)
    };
    let id = api.store.job_of_verdict(digest)?.ok_or_else(missing)?;
    api.store.job(&id)?.ok_or_else(missing)
}

/// Proofs against operators.
#[derive(Serialize, ToSchema)]
pub(super) struct Equivocations {
    equivocations: Vec<Equivocation>,
}

/// Operators who signed two verdicts about the same evidence in the same block.
#[utoipa::path(
    get,
    path = "/v1/equivocations",
    tag = "quorum",
    responses(
        (status = 200, description = "At most 1000", body = Equivocations),
        (status = 429, description = "Too many requests", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn equivocations(State(api): State<Api>) -> Result<Json<Equivocations>, Refusal> {
    let found = api.store.equivocations().take(MAX_JOBS);
    let equivocations = found.collect::<Result<Vec<_>, _>>()?;
    Ok(Json(Equivocations { equivocations }))
}

/// Takes other operators' signatures, and answers with what is known of the same jobs.
#[utoipa::path(
    post,
    path = "/v1/signatures",
    tag = "quorum",
    request_body = Shares,
    responses(
        (status = 200, description = "What became of each", body = Answer),
        (status = 400, description = "Not JSON, or too many", body = ErrorAnswer),
        (status = 413, description = "Too many bytes", body = ErrorAnswer),
        (status = 415, description = "Another content type than JSON", body = ErrorAnswer),
        (status = 422, description = "Other fields or types", body = ErrorAnswer),
        (status = 429, description = "Too many requests", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn signatures(
    State(api): State<Api>,
    body: Result<Json<Shares>, JsonRejection>,
) -> Result<Json<Answer>, Refusal> {
    let Json(Shares { shares }) =
        body.map_err(|rejection| Refusal::malformed(rejection.status(), rejection.body_text()))?;
    if shares.len() > MAX_SHARES {
        let found = shares.len();
        let message = format!("shares: expected at most {MAX_SHARES}, found {found}");
        return Err(Refusal::malformed(StatusCode::BAD_REQUEST, message));
    }
    Ok(Json(api.exchange.receive(shares).await?))
}

/// What a settled order came to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceiptShown {
    /// The order.
    #[schema(value_type = schema::Word)]
    order: B256,
    /// Who paid.
    #[schema(value_type = schema::Account)]
    buyer: Address,
    /// The assets, in the order of the legs.
    #[schema(value_type = Vec<schema::Word>)]
    assets: Vec<B256>,
    /// What each leg was paid, in the token's units, decimal.
    paid: Vec<String>,
    /// Of the confidential machine.
    #[schema(value_type = schema::Word)]
    measurement: B256,
    /// The devices that served the order.
    #[schema(value_type = Vec<schema::Word>)]
    devices: Vec<B256>,
    /// SHA-256 of the finish bundle.
    #[schema(value_type = schema::Word)]
    evidence: B256,
    /// SHA-256 of the sealed outputs.
    #[schema(value_type = schema::Word)]
    outputs: B256,
    /// EIP-712 digest of the finish verdict.
    #[schema(value_type = schema::Word)]
    verdict: B256,
    /// Unix seconds.
    settled_at: u64,
}

impl From<Receipt> for ReceiptShown {
    fn from(receipt: Receipt) -> Self {
        Self {
            order: receipt.order,
            buyer: receipt.buyer,
            assets: receipt.assets,
            paid: receipt.paid.iter().map(ToString::to_string).collect(),
            measurement: receipt.measurement,
            devices: receipt.devices,
            evidence: receipt.evidence,
            outputs: receipt.outputs,
            verdict: receipt.verdict,
            settled_at: receipt.settledAt,
        }
    }
}

/// The receipt of a settled order.
#[utoipa::path(
    get,
    path = "/v1/receipts/{order}",
    tag = "jobs",
    params(("order" = schema::Word, Path, description = "The order's id")),
    responses(
        (status = 200, description = "The receipt", body = ReceiptShown),
        (status = 400, description = "Not an id", body = ErrorAnswer),
        (status = 404, description = "Not known, refunded, or not settled yet", body = ErrorAnswer),
        (status = 429, description = "Too many requests", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
    )
)]
pub(super) async fn receipt(
    State(api): State<Api>,
    Word(id): Word,
) -> Result<Json<ReceiptShown>, Refusal> {
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
    Ok(Json((*receipt).into()))
}
