//! One job's evidence as a person looks at it: the certificate chains, and every check that was made.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use vouch_client::revert;
use vouch_evidence::bundle::{Bundle, CpuEvidence};
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Check, Outcome, Time};
use vouch_protocol::Reason;
use vouch_verdict::Decision;

use super::jobs::job_of;
use super::request::Word;
use super::{Api, ErrorAnswer, Refusal};
use crate::schema;
use crate::store::model::JobId;

/// A verification made again.
#[derive(Serialize, ToSchema)]
pub(super) struct Explanation {
    /// The job.
    job: JobId,
    /// The time of verification, UTC.
    at: String,
    /// What it came to.
    reason: ReasonShown,
    /// What decided it, in words.
    detail: String,
    /// Certificates of each device. Nothing of them is verified: the checks say what was.
    chains: Vec<Chain>,
    /// Every check that was made.
    checks: Vec<CheckShown>,
}

/// A row of the table of reasons.
#[derive(Serialize, ToSchema)]
struct ReasonShown {
    /// Its number.
    code: u16,
    /// Its name.
    name: &'static str,
    /// Its class.
    class: &'static str,
}

/// A device's certificates, leaf first.
#[derive(Serialize, ToSchema)]
struct Chain {
    /// Which device.
    device: String,
    /// Its certificates.
    certificates: Vec<CertificateShown>,
}

/// A certificate.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum CertificateShown {
    /// One that can be read.
    #[serde(rename_all = "camelCase")]
    Readable {
        /// Common name.
        subject: Option<String>,
        /// The issuer's common name.
        issuer: Option<String>,
        /// Kind of key.
        key: &'static str,
        /// UTC.
        not_before: String,
        /// UTC.
        not_after: String,
        /// Whether the time of verification is between the two.
        valid: bool,
    },
    /// One that cannot.
    Unreadable {
        /// Why.
        error: String,
    },
}

/// A check of the evidence.
#[derive(Serialize, ToSchema)]
struct CheckShown {
    /// What was checked.
    field: String,
    /// `passed`, `failed` or `not checked`.
    outcome: &'static str,
    /// Where it failed: name in the table of reasons.
    reason: Option<&'static str>,
    /// What it had to be.
    expected: String,
    /// What it was.
    found: String,
    /// Where the rule comes from.
    source: String,
}

/// The verification behind a verdict, made again.
#[utoipa::path(
    get,
    path = "/v1/explanations/{digest}",
    tag = "jobs",
    params(("digest" = schema::Word, Path, description = "EIP-712 digest of the verdict")),
    responses(
        (status = 200, description = "Every check", body = Explanation),
        (status = 400, description = "Not a digest", body = ErrorAnswer),
        (status = 404, description = "Verdict or evidence are not here", body = ErrorAnswer),
        (status = 429, description = "Too many requests or verifications", body = ErrorAnswer),
        (status = 500, description = "The store failed", body = ErrorAnswer),
        (status = 503, description = "The chain does not answer", body = ErrorAnswer),
    )
)]
pub(super) async fn explanation(
    State(api): State<Api>,
    Word(digest): Word,
) -> Result<Json<Explanation>, Refusal> {
    let job = job_of(&api, digest)?;
    let _permit = api.busy()?;
    let explained = api.pipeline.explain(&job).await.map_err(|error| {
        let message = error.to_string();
        Refusal(StatusCode::SERVICE_UNAVAILABLE, "cannot_explain", message)
    })?;
    let (bundle, decision, checks) =
        explained.map_err(|lacking| Refusal(StatusCode::NOT_FOUND, "evidence_missing", lacking))?;
    let (reason, detail) = match decision {
        Decision::Conclusive { reason, detail, .. } | Decision::Inconclusive { reason, detail } => {
            (reason, detail)
        }
    };
    Ok(Json(Explanation {
        job: job.id,
        at: revert::time(job.block.timestamp),
        reason: ReasonShown {
            code: reason.code(),
            name: reason.name(),
            class: reason.class().name(),
        },
        detail,
        chains: chains(&bundle, Time::from_unix(job.block.timestamp)),
        checks: checks.iter().map(check).collect(),
    }))
}

fn check(check: &Check) -> CheckShown {
    let (outcome, reason) = match check.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(reason) => ("failed", Some(Reason::name(reason))),
        Outcome::NotChecked => ("not checked", None),
    };
    CheckShown {
        field: check.field.to_string(),
        outcome,
        reason,
        expected: check.expected.to_string(),
        found: check.found.to_string(),
        source: check.source.to_string(),
    }
}

fn chains(bundle: &[u8], at: Time) -> Vec<Chain> {
    let Ok(bundle) = Bundle::from_json(bundle) else {
        return Vec::new();
    };
    let mut chains = Vec::new();
    for (kind, devices) in [("gpus", &bundle.gpus), ("switches", &bundle.switches)] {
        for (i, device) in devices.iter().enumerate() {
            let certificates = device.chain.iter().map(|der| certificate(der, at));
            chains.push(Chain {
                device: format!("{kind}[{i}]"),
                certificates: certificates.collect(),
            });
        }
    }
    if let CpuEvidence::SevSnp { vek, chain, .. } = &bundle.cpu {
        let mut certificates = vec![certificate(vek, at)];
        if let Some(chain) = chain {
            certificates.push(certificate(&chain.signer, at));
            certificates.push(certificate(&chain.root, at));
        }
        chains.push(Chain {
            device: "cpu".to_owned(),
            certificates,
        });
    }
    chains
}

fn certificate(der: &[u8], at: Time) -> CertificateShown {
    match Certificate::parse(der) {
        Ok(parsed) => CertificateShown::Readable {
            subject: parsed.common_name().map(Into::into),
            issuer: parsed.issuer_common_name().map(Into::into),
            key: parsed.key.name(),
            not_before: parsed.not_before.to_string(),
            not_after: parsed.not_after.to_string(),
            valid: parsed.not_before <= at && at <= parsed.not_after,
        },
        Err(rejection) => CertificateShown::Unreadable {
            error: rejection.to_string(),
        },
    }
}
