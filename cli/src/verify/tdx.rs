//! `vouch verify tdx`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use vouch_evidence::tdx::{self, Collateral, Quote};
use vouch_evidence::{Explanation, Rejection, Verifier, decode};

use super::outcome::{Claims, Outcome};
use super::{Common, ReportData, no_debug, read, report_data};
use crate::output::{self, Failure};

/// `verify tdx`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch verify tdx --quote quote.bin --collateral collateral.json --at 2025-06-20T00:00:00Z

Exit status: 0 accepted, 1 rejected, 2 inconclusive, 64 bad usage.")]
pub struct Tdx {
    /// Quote, version 4 or 5; raw, hex or base64.
    #[arg(long, value_name = "FILE")]
    quote: PathBuf,
    /// Intel's collateral for it, as JSON (the layout of dcap-qvl).
    #[arg(long, value_name = "FILE")]
    collateral: Option<PathBuf>,
    /// Report data the quote must carry, 64 bytes.
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    report_data: Option<ReportData>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(args: &Tdx) -> Result<output::Report, Failure> {
    let quote = read("--quote", &args.quote)?;
    let collateral = args
        .collateral
        .as_deref()
        .map(|path| read("--collateral", path))
        .transpose()?;
    let mut outcome = Outcome {
        subject: "TDX evidence".into(),
        ..Outcome::default()
    };
    if let Err(rejection) = verify(&quote, collateral.as_deref(), args, &mut outcome) {
        outcome.rejections.push(rejection);
    }
    if args.report_data.is_none() {
        let why = "no --report-data given: the quote may be of another session";
        outcome.not_checked.push(("report data", why.into()));
    }
    if args.collateral.is_none() {
        for what in ["revocation", "quoting enclave", "platform's TCB"] {
            outcome
                .not_checked
                .push((what, "no --collateral given".into()));
        }
    }
    Ok(outcome.report())
}

fn verify(
    quote: &[u8],
    collateral: Option<&[u8]>,
    args: &Tdx,
    outcome: &mut Outcome,
) -> Result<(), Rejection> {
    let quote = decode::binary(quote).map_err(|r| r.within("quote"))?;
    let quote = Quote::parse(&quote)?;
    let anchors = args.common.anchors()?;
    let verifier = Verifier::new(&anchors, args.common.time());
    let mut explanation = Explanation::default();
    let verified = collateral
        .map(|json| {
            let collateral = Collateral::from_json(json)?;
            tdx::verify_collateral(&collateral, &verifier, &mut explanation)
        })
        .transpose()
        .and_then(|collateral| {
            tdx::verify_observed(&quote, collateral.as_ref(), &verifier, &mut explanation)
        })
        .and_then(|quote| {
            let claims = quote.claims();
            outcome.subject = format!("TDX domain, {}", claims.kind.name());
            outcome.claims.push(to_claims(&claims));
            if let Some(ReportData(data)) = &args.report_data {
                tdx::check_report_data(&quote, data, &mut explanation)?;
            }
            no_debug("td_attributes.debug", claims.debug())
        });
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    verified
}

fn to_claims(claims: &tdx::Claims) -> Claims {
    let hexed = |bytes: &[u8]| Value::String(hex::encode(bytes));
    let appraisal = claims.appraisal.as_ref();
    let concerns: Vec<&str> = claims.concerns().map(tdx::Concern::meaning).collect();
    vec![
        ("kind", json!("tdx")),
        ("tdx", json!(claims.kind.name())),
        ("version", json!(claims.version)),
        ("device", json!(claims.device)),
        ("fmspc", hexed(&claims.fmspc)),
        (
            "tcb_status",
            json!(claims.status().map(tdx::TcbStatus::name)),
        ),
        (
            "tcb_date",
            json!(appraisal.map(|appraisal| appraisal.date.to_string())),
        ),
        (
            "advisories",
            json!(appraisal.map(|appraisal| &appraisal.advisories)),
        ),
        ("measurement", hexed(&claims.measurement)),
        ("workload", json!(claims.workload)),
        ("rtmr", claims.rtmr.iter().map(hex::encode).collect()),
        ("report_data", hexed(&claims.report_data)),
        ("config_id", hexed(&claims.config_id)),
        ("owner", hexed(&claims.owner)),
        ("owner_config", hexed(&claims.owner_config)),
        ("module", hexed(&claims.module)),
        ("tcb_svn", hexed(&claims.tcb_svn)),
        ("debug", json!(claims.debug())),
        ("concerns", json!(concerns)),
        ("trailing_bytes", json!(claims.trailing)),
        ("simulated", json!(claims.simulated)),
    ]
}
