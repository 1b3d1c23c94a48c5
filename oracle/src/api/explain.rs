//! One job's evidence as a person looks at it: the certificate chains, and every check that was made.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use vouch_client::revert;
use vouch_evidence::bundle::{Bundle, CpuEvidence};
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Check, Outcome, Time};
use vouch_protocol::Reason;

use super::{Api, Refusal, word};
use vouch_verdict::Decision;

/// `GET /v1/explanations/{digest of a verdict}`: the verification made again.
pub(super) async fn explanation(
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
    Ok(Json(json!({
        "job": job.id,
        "at": revert::time(job.block.timestamp),
        "reason": { "code": reason.code(), "name": reason.name(), "class": reason.class().name() },
        "detail": detail,
        "chains": chains(&bundle, Time::from_unix(job.block.timestamp)),
        "checks": checks.iter().map(check).collect::<Vec<_>>(),
    })))
}

fn check(check: &Check) -> Value {
    let (outcome, reason) = match check.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(reason) => ("failed", Some(Reason::name(reason))),
        Outcome::NotChecked => ("not checked", None),
    };
    json!({
        "field": check.field.to_string(),
        "outcome": outcome,
        "reason": reason,
        "expected": check.expected.to_string(),
        "found": check.found.to_string(),
        "source": check.source,
    })
}

/// The certificates of each device, leaf first. Nothing here is verified: the checks say what was.
fn chains(bundle: &[u8], at: Time) -> Vec<Value> {
    let Ok(bundle) = Bundle::from_json(bundle) else {
        return Vec::new();
    };
    let mut chains = Vec::new();
    for (kind, devices) in [("gpus", &bundle.gpus), ("switches", &bundle.switches)] {
        for (i, device) in devices.iter().enumerate() {
            let certificates = device.chain.iter().map(|der| certificate(der, at));
            chains.push(json!({
                "device": format!("{kind}[{i}]"),
                "certificates": certificates.collect::<Vec<_>>(),
            }));
        }
    }
    if let CpuEvidence::SevSnp { vek, chain, .. } = &bundle.cpu {
        let mut certificates = vec![certificate(vek, at)];
        if let Some(chain) = chain {
            certificates.push(certificate(&chain.signer, at));
            certificates.push(certificate(&chain.root, at));
        }
        chains.push(json!({ "device": "cpu", "certificates": certificates }));
    }
    chains
}

fn certificate(der: &[u8], at: Time) -> Value {
    match Certificate::parse(der) {
        Ok(parsed) => json!({
            "subject": parsed.common_name(),
            "issuer": parsed.issuer_common_name(),
            "key": parsed.key.name(),
            "notBefore": parsed.not_before.to_string(),
            "notAfter": parsed.not_after.to_string(),
            "valid": parsed.not_before <= at && at <= parsed.not_after,
        }),
        Err(rejection) => json!({ "error": rejection.to_string() }),
    }
}
