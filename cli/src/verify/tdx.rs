//! `vouch verify tdx`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use vouch_collateral::Wanted;
use vouch_evidence::judge::Devices;
use vouch_evidence::session::CpuClaims;
use vouch_evidence::tdx::{self, AuthenticCollateral, Collateral, Quote};
use vouch_evidence::{Explanation, Rejection, Time, Verifier, decode};
use vouch_protocol::Reason;

use super::judged::{self, Judge};
use super::outcome::{Claims, Outcome};
use super::supplies::{Sources, Supplies};
use super::{Common, ReportData, no_debug, read, report_data};
use crate::output::{self, Failure};

/// `verify tdx`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch verify tdx --quote quote.bin --collateral collateral.json --at 2025-06-20T00:00:00Z
  vouch verify tdx --quote quote.bin --fetch --policy policy.toml

Intel's collateral is JSON in the layout of dcap-qvl.
Exit status: 0 accepted, 1 rejected, 2 inconclusive, 64 bad usage.")]
pub struct Tdx {
    /// Quote, version 4 or 5; raw, hex or base64.
    #[arg(long, value_name = "FILE")]
    quote: PathBuf,
    /// Report data the quote must carry, 64 bytes.
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    report_data: Option<ReportData>,
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    judge: Judge,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(args: &Tdx) -> Result<output::Report, Failure> {
    let quote = read("--quote", &args.quote)?;
    let supplies = args.sources.open(&[])?;
    let policy = args.judge.open()?;
    let mut outcome = Outcome {
        subject: "TDX evidence".into(),
        ..Outcome::default()
    };
    let mut explanation = Explanation::default();
    let verified = verify(&quote, &supplies, args, &mut explanation, &mut outcome).await;
    match (verified, &policy) {
        (Err(rejection), _) => outcome.rejections.push(rejection),
        (Ok(machine), Some(policy)) => machine.judge(policy, args.common.time(), &mut outcome),
        (Ok(machine), None) => machine.by_default(&supplies, &mut outcome),
    }
    if args.report_data.is_none() {
        let why = "no --report-data given: the quote may be of another session";
        outcome.not_checked.push(("report data", why.into()));
    }
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    Ok(outcome.report())
}

/// A domain whose quote holds.
pub(super) struct Machine {
    pub(super) claims: tdx::Claims,
    /// Why Intel says nothing of the platform, where it does not.
    pub(super) unrated: Option<Rejection>,
    pub(super) revocation: Result<Time, Rejection>,
}

impl Machine {
    pub(super) fn new(claims: tdx::Claims, collateral: Result<Time, Rejection>) -> Self {
        Self {
            claims,
            unrated: collateral.as_ref().err().cloned(),
            revocation: collateral,
        }
    }

    pub(super) fn judge(
        self,
        policy: &vouch_evidence::policy::Policy,
        at: Time,
        outcome: &mut Outcome,
    ) {
        let cpu = CpuClaims::Tdx {
            claims: Box::new(self.claims),
            unrated: self.unrated,
        };
        let view = Devices {
            gpus: None,
            cpu: Some(&cpu),
            revocation: &self.revocation,
            at,
        };
        judged::devices(policy, &view, outcome);
    }

    /// No debugging; and where collateral was given or asked for, it must say something.
    pub(super) fn by_default(self, supplies: &Supplies, outcome: &mut Outcome) {
        if let Err(rejection) = no_debug("td_attributes.debug", self.claims.debug()) {
            outcome.rejections.push(rejection);
        }
        let wanted = supplies.found.tdx.is_some() || supplies.fetches();
        match self.unrated {
            None => {}
            Some(rejection) if wanted => outcome.rejections.push(rejection),
            Some(_) => {
                for what in ["revocation", "quoting enclave", "platform's TCB"] {
                    let why = "no --collateral of Intel's given, and no --fetch";
                    outcome.not_checked.push((what, why.into()));
                }
            }
        }
    }
}

/// Intel's collateral for a quote, given or fetched, verified.
pub(super) async fn collateral(
    quote: &Quote<'_>,
    supplies: &Supplies,
    verifier: &Verifier<'_>,
    anchors: &vouch_evidence::Anchors,
    at: Time,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Result<AuthenticCollateral, Rejection> {
    let collateral = match &supplies.found.tdx {
        Some(json) => Some(Collateral::from_json(json)?),
        None => {
            let mut wanted = Wanted::default();
            wanted.tdx(quote);
            supplies.gather(wanted, anchors, at, outcome).await.tdx
        }
    };
    match collateral {
        Some(collateral) => tdx::verify_collateral(&collateral, verifier, explanation),
        None => Err(Rejection::new(
            Reason::TcbInfoMissing,
            "collateral",
            "Intel's collateral for the platform",
            "none",
        )),
    }
}

async fn verify(
    quote: &[u8],
    supplies: &Supplies,
    args: &Tdx,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Result<Machine, Rejection> {
    let quote = decode::binary(quote).map_err(|r| r.within("quote"))?;
    let quote = Quote::parse(&quote)?;
    let anchors = args.common.anchors()?;
    let at = args.common.time();
    let verifier = Verifier::new(&anchors, at);
    let collateral = collateral(
        &quote,
        supplies,
        &verifier,
        &anchors,
        at,
        explanation,
        outcome,
    )
    .await;
    // What is missing or stale is not the platform's fault: its quote is looked at all the same.
    let collateral = match collateral {
        Err(rejection) if rejection.class().is_conclusive() => return Err(rejection),
        other => other,
    };
    let authentic = tdx::verify_observed(&quote, collateral.as_ref().ok(), &verifier, explanation)?;
    let claims = authentic.claims();
    outcome.subject = format!("TDX domain, {}", claims.kind.name());
    outcome.claims.push(to_claims(&claims));
    if let Some(ReportData(data)) = &args.report_data {
        tdx::check_report_data(&authentic, data, explanation)?;
    }
    let made = collateral.map(|collateral| collateral.revocation_made());
    Ok(Machine::new(claims, made))
}

pub(super) fn to_claims(claims: &tdx::Claims) -> Claims {
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
