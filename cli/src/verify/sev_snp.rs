//! `vouch verify sev-snp`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use vouch_collateral::{Request, Wanted};
use vouch_evidence::judge::Devices;
use vouch_evidence::session::CpuClaims;
use vouch_evidence::sev_snp::{self, AuthenticReport, Chain, Report};
use vouch_evidence::{Anchors, Explanation, Rejection, Time, Verifier, decode};
use vouch_protocol::Reason;

use super::judged::{self, Judge};
use super::outcome::{Claims, Outcome};
use super::supplies::{Kind, Sources, Supplies};
use super::{Common, ReportData, no_debug, read, report_data};
use crate::output::{self, Failure};

/// `verify sev-snp`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch verify sev-snp --report report.bin --vek vcek.pem
  vouch verify sev-snp --report report.bin --vek vcek.der --crl milan.crl --explain
  vouch verify sev-snp --report report.bin --fetch --policy policy.toml

Exit status: 0 accepted, 1 rejected, 2 inconclusive, 64 bad usage.")]
pub struct SevSnp {
    /// Attestation report, 1184 bytes; raw, hex or base64.
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// VCEK or VLEK certificate; PEM or DER, also in hex or base64. Not needed with --fetch.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["fetch", "offline", "collateral"])]
    vek: Option<PathBuf>,
    /// ASK (or ASVK) and ARK [default: those built in]. The root must be a pinned one in any case.
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// AMD's revocation list for the product; DER or PEM. May be repeated.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Report data the report must carry, 64 bytes.
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    report_data: Option<ReportData>,
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    judge: Judge,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(args: &SevSnp) -> Result<output::Report, Failure> {
    let report = read("--report", &args.report)?;
    let vek = args.vek.as_deref().map(|path| read("--vek", path));
    let vek = vek.transpose()?;
    let chain = args.chain.as_deref().map(|path| read("--chain", path));
    let chain = chain.transpose()?;
    let supplies = args.sources.open(&[(Kind::Crl, &args.crl)])?;
    let policy = args.judge.open()?;
    let mut outcome = Outcome {
        subject: "SEV-SNP evidence".into(),
        ..Outcome::default()
    };
    let mut explanation = Explanation::default();
    let keys = certificates(&report, vek, chain, &supplies, args, &mut outcome).await;
    let verified = match keys {
        Ok((report, certificates)) => {
            verify(
                &report,
                &certificates,
                &supplies,
                args,
                &mut explanation,
                &mut outcome,
            )
            .await
        }
        Err(rejection) => Err(rejection),
    };
    match (verified, &policy) {
        (Err(rejection), _) => outcome.rejections.push(rejection),
        (Ok(machine), Some(policy)) => {
            let cpu = CpuClaims::SevSnp(Box::new(machine.claims));
            let view = Devices {
                gpus: None,
                cpu: Some(&cpu),
                revocation: &machine.revocation,
                at: args.common.time(),
            };
            judged::devices(policy, &view, &mut outcome);
        }
        (Ok(machine), None) => {
            if let Err(rejection) = no_debug("policy.debug", machine.claims.debug()) {
                outcome.rejections.push(rejection);
            }
            revocation(&supplies, machine.revocation, &mut outcome);
        }
    }
    if args.report_data.is_none() {
        let why = "no --report-data given: the report may be of another session";
        outcome.not_checked.push(("report data", why.into()));
    }
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    Ok(outcome.report())
}

/// A machine whose report holds, and when its revocation list was made.
pub(super) struct Machine {
    pub(super) claims: sev_snp::Claims,
    pub(super) revocation: Result<Time, Rejection>,
}

/// A list that was given or fetched must hold; without one, it is not checked.
pub(super) fn revocation(
    supplies: &Supplies,
    revocation: Result<Time, Rejection>,
    outcome: &mut Outcome,
) {
    let wanted = supplies.fetches() || !supplies.found.collateral.crls.is_empty();
    match revocation {
        Err(rejection) if wanted => outcome.rejections.push(rejection),
        Ok(_) if wanted => {}
        _ => {
            let why = "no list of revoked keys given (--crl), and no --fetch";
            outcome.not_checked.push(("revocation", why.into()));
        }
    }
}

/// The report's bytes, and its key's certificate with those above it, where they are given.
async fn certificates(
    report: &[u8],
    vek: Option<Vec<u8>>,
    chain: Option<Vec<u8>>,
    supplies: &Supplies,
    args: &SevSnp,
    outcome: &mut Outcome,
) -> Result<(Vec<u8>, Vec<Vec<u8>>), Rejection> {
    let report = decode::binary(report).map_err(|r| r.within("report"))?;
    let mut given = match vek {
        Some(vek) => decode::certificates(&vek).map_err(|r| r.within("vek"))?,
        None => {
            let parsed = Report::parse(&report)?;
            let (anchors, at) = (args.common.anchors()?, args.common.time());
            vec![endorsement(&parsed, supplies, &anchors, at, outcome).await?]
        }
    };
    if let Some(chain) = chain {
        given.truncate(1);
        given.extend(decode::certificates(&chain).map_err(|r| r.within("chain"))?);
    }
    Ok((report, given))
}

/// The certificate of the key that signed a report: from the files, else fetched by chip and TCB.
pub(super) async fn endorsement(
    report: &Report<'_>,
    supplies: &Supplies,
    anchors: &Anchors,
    at: Time,
    outcome: &mut Outcome,
) -> Result<Vec<u8>, Rejection> {
    let subject = format!("SEV-{}", report.endorsement);
    let named = |der: &&Vec<u8>| {
        vouch_evidence::x509::Certificate::parse(der)
            .is_ok_and(|certificate| certificate.common_name() == Some(&subject))
    };
    let certificates = &supplies.found.certificates;
    let candidates: Vec<_> = certificates.iter().filter(named).collect();
    // A folder may hold the keys of many chips: which of them signed, the signature says.
    let signed = |der: &&&Vec<u8>| sev_snp::verify(report, der, None, anchors, at).is_ok();
    if let Some(der) = candidates.iter().find(signed).or(candidates.first()) {
        return Ok((*der).clone());
    }
    let missing = |found: String| {
        let expected = format!("the {} of this chip and TCB", report.endorsement);
        Rejection::new(Reason::CertificateMissing, "vek", expected, found)
    };
    match supplies.first(&Request::vcek(report), at, outcome).await {
        Ok(Some(der)) => Ok(der),
        Ok(None) => Err(missing("none in --collateral, and no --fetch".into())),
        Err(error) => Err(missing(error.cause.to_string())),
    }
}

async fn verify(
    report: &[u8],
    certificates: &[Vec<u8>],
    supplies: &Supplies,
    args: &SevSnp,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Result<Machine, Rejection> {
    let chain = match certificates {
        [_] => None,
        // AMD's own order is ASK, ARK; some have it the other way round.
        [_, a, b] if is_self_issued(a) && !is_self_issued(b) => Some(Chain { signer: b, root: a }),
        [_, signer, root] => Some(Chain { signer, root }),
        other => {
            let found = format!("{} certificates", other.len().saturating_sub(1));
            return Err(Rejection::new(
                Reason::CpuChainInvalid,
                "chain",
                "two certificates, ASK and ARK",
                found,
            ));
        }
    };
    let anchors = args.common.anchors()?;
    let verifier = Verifier::new(&anchors, args.common.time());
    let report = Report::parse(report)?;
    let vek = certificates.first().map(Vec::as_slice).unwrap_or_default();
    let authentic = sev_snp::verify_observed(&report, vek, chain.as_ref(), &verifier, explanation)?;
    let claims = authentic.claims();
    outcome.subject = format!("SEV-SNP machine, {}", claims.generation);
    outcome.claims.push(to_claims(&claims));
    if let Some(ReportData(data)) = &args.report_data {
        sev_snp::check_report_data(&authentic, data, explanation)?;
    }
    let revocation = revoked(
        &authentic,
        supplies,
        args.common.time(),
        &anchors,
        explanation,
        outcome,
    )
    .await;
    Ok(Machine { claims, revocation })
}

/// Whether the report's key is on AMD's list, given or fetched.
pub(super) async fn revoked(
    authentic: &AuthenticReport<'_>,
    supplies: &Supplies,
    at: Time,
    anchors: &Anchors,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Result<Time, Rejection> {
    let mut lists = supplies.found.collateral.crls.clone();
    if lists.is_empty() {
        let key = authentic.device();
        let mut wanted = Wanted::default();
        wanted.amd_crl(key.generation, key.kind);
        lists = supplies
            .gather(wanted, anchors, at, outcome)
            .await
            .collateral
            .crls;
    }
    sev_snp::check_revocation(authentic, &lists, at, explanation)
}

/// A certificate that names itself as its issuer: the root. Only to tell the two apart.
fn is_self_issued(der: &[u8]) -> bool {
    vouch_evidence::x509::Certificate::parse(der).is_ok_and(|c| c.issuer == c.subject)
}

pub(super) fn to_claims(claims: &sev_snp::Claims) -> Claims {
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
