//! `vouch verify sev-snp`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use vouch_evidence::sev_snp::{self, Chain, Report};
use vouch_evidence::{Explanation, Rejection, Verifier, decode};

use super::outcome::{Claims, Outcome};
use super::{Common, ReportData, no_debug, read, report_data};
use crate::output::{self, Failure};

/// `verify sev-snp`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch verify sev-snp --report report.bin --vek vcek.pem
  vouch verify sev-snp --report report.bin --vek vcek.der --chain ask_ark.pem --explain

Exit status: 0 accepted, 1 rejected, 2 inconclusive, 64 bad usage.")]
pub struct SevSnp {
    /// Attestation report, 1184 bytes; raw, hex or base64.
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// VCEK or VLEK certificate; PEM or DER, also in hex or base64.
    #[arg(long, value_name = "FILE")]
    vek: PathBuf,
    /// ASK (or ASVK) and ARK [default: those built in]. The root must be a pinned one in any case.
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// Report data the report must carry, 64 bytes.
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    report_data: Option<ReportData>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(args: &SevSnp) -> Result<output::Report, Failure> {
    let report = read("--report", &args.report)?;
    let vek = read("--vek", &args.vek)?;
    let chain = args
        .chain
        .as_deref()
        .map(|path| read("--chain", path))
        .transpose()?;
    let mut outcome = Outcome {
        subject: "SEV-SNP evidence".into(),
        ..Outcome::default()
    };
    if let Err(rejection) = verify(&report, &vek, chain.as_deref(), args, &mut outcome) {
        outcome.rejections.push(rejection);
    }
    if args.report_data.is_none() {
        let why = "no --report-data given: the report may be of another session";
        outcome.not_checked.push(("report data", why.into()));
    }
    outcome
        .not_checked
        .push(("revocation", "no list of revoked keys given".into()));
    Ok(outcome.report())
}

fn verify(
    report: &[u8],
    vek: &[u8],
    chain: Option<&[u8]>,
    args: &SevSnp,
    outcome: &mut Outcome,
) -> Result<(), Rejection> {
    let report = decode::binary(report).map_err(|r| r.within("report"))?;
    let mut given = decode::certificates(vek).map_err(|r| r.within("vek"))?;
    if let Some(chain) = chain {
        given.truncate(1);
        given.extend(decode::certificates(chain).map_err(|r| r.within("chain"))?);
    }
    let chain = match given.as_slice() {
        [_] => None,
        // AMD's own order is ASK, ARK; some have it the other way round.
        [_, a, b] if is_self_issued(a) && !is_self_issued(b) => Some(Chain { signer: b, root: a }),
        [_, signer, root] => Some(Chain { signer, root }),
        other => {
            let found = format!("{} certificates", other.len().saturating_sub(1));
            return Err(Rejection::new(
                vouch_protocol::Reason::CpuChainInvalid,
                "chain",
                "two certificates, ASK and ARK",
                found,
            ));
        }
    };
    let anchors = args.common.anchors()?;
    let report = Report::parse(&report)?;
    let verifier = Verifier::new(&anchors, args.common.time());
    let mut explanation = Explanation::default();
    let vek = given.first().map(Vec::as_slice).unwrap_or_default();
    let verified =
        sev_snp::verify_observed(&report, vek, chain.as_ref(), &verifier, &mut explanation);
    let bound = verified.and_then(|report| {
        let claims = report.claims();
        outcome.subject = format!("SEV-SNP machine, {}", claims.generation);
        outcome.claims.push(to_claims(&claims));
        if let Some(ReportData(data)) = &args.report_data {
            sev_snp::check_report_data(&report, data, &mut explanation)?;
        }
        no_debug("policy.debug", claims.debug())
    });
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    bound
}

/// A certificate that names itself as its issuer: the root. Only to tell the two apart.
fn is_self_issued(der: &[u8]) -> bool {
    vouch_evidence::x509::Certificate::parse(der).is_ok_and(|c| c.issuer == c.subject)
}

fn to_claims(claims: &sev_snp::Claims) -> Claims {
    let hexed = |bytes: &[u8]| Value::String(hex::encode(bytes));
    let policy = claims.policy;
    vec![
        ("kind", json!("sev-snp")),
        ("generation", json!(claims.generation.name())),
        ("version", json!(claims.version)),
        ("endorsement", json!(claims.endorsement.name())),
        ("chip", hexed(&claims.chip_id)),
        ("cloud", json!(claims.csp_id)),
        ("device", json!(claims.device)),
        ("measurement", hexed(&claims.measurement)),
        ("workload", json!(claims.workload)),
        ("report_data", hexed(&claims.report_data)),
        ("host_data", hexed(&claims.host_data)),
        ("debug", json!(claims.debug())),
        ("migration_agent", json!(policy.migration_agent())),
        ("smt", json!(policy.smt())),
        ("privilege_level", json!(claims.vmpl)),
        ("guest_svn", json!(claims.guest_svn)),
        ("reported_tcb", json!(claims.reported_tcb.to_string())),
        ("committed_tcb", json!(claims.committed_tcb.to_string())),
        ("current_tcb", json!(claims.current_tcb.to_string())),
        ("launch_tcb", json!(claims.launch_tcb.to_string())),
        ("platform_info", json!(claims.platform_info)),
        ("simulated", json!(claims.simulated)),
    ]
}
