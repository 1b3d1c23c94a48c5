//! `vouch verify azure`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use vouch_evidence::azure::{self, Evidence, Hardware, HclReport, TpmClaims, TpmQuote};
use vouch_evidence::judge::Devices;
use vouch_evidence::session::CpuClaims;
use vouch_evidence::{Explanation, Rejection, Verifier, decode, sev_snp, tdx};
use vouch_protocol::Reason;

use super::judged::{self, Judge};
use super::outcome::{Claims, Outcome};
use super::supplies::{Kind, Sources, Supplies};
use super::{Common, no_debug, read, sev_snp as snp, tdx as intel};
use crate::output::{self, Failure};

/// `verify azure`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch verify azure --evidence evidence.json --nonce 6368616c6c656e6765
  vouch verify azure --evidence evidence.json --fetch --explain

The evidence is what attestation agents send: an object of hcl_report, tpm_quote (message, signature,
pcrs), and vcek (SEV-SNP) or td_quote (TDX); bytes as a list, hexadecimal or base64.
Exit status: 0 accepted, 1 rejected, 2 inconclusive, 64 bad usage.")]
pub struct Azure {
    /// The machine's evidence, JSON.
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// VCEK certificate, where it is not in the evidence; PEM or DER, also in hex or base64.
    #[arg(long, value_name = "FILE")]
    vek: Option<PathBuf>,
    /// AMD's revocation list for the product. May be repeated.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// The nonce that the TPM's quote must answer, up to 64 bytes.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    judge: Judge,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Bytes; clap reads a bare vector as a list.
#[derive(Clone, Debug)]
struct Nonce(Vec<u8>);

fn nonce(text: &str) -> Result<Nonce, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = hex::decode(digits).map_err(|error| error.to_string())?;
    match bytes.len() {
        1..=azure::MAX_NONCE_LEN => Ok(Nonce(bytes)),
        found => Err(format!(
            "expected 1 to {} bytes, found {found}",
            azure::MAX_NONCE_LEN
        )),
    }
}

/// What the machine's CPU says.
enum Machine {
    SevSnp(Box<snp::Machine>),
    Tdx(Box<intel::Machine>),
}

pub(super) async fn run(args: &Azure) -> Result<output::Report, Failure> {
    let json = read("--evidence", &args.evidence)?;
    let vek = args.vek.as_deref().map(|path| read("--vek", path));
    let vek = vek.transpose()?;
    let supplies = args.sources.open(&[(Kind::Crl, &args.crl)])?;
    let policy = args.judge.open()?;
    let mut outcome = Outcome {
        subject: "evidence of an Azure machine".into(),
        ..Outcome::default()
    };
    let mut explanation = Explanation::default();
    let verified = verify(&json, vek, &supplies, args, &mut explanation, &mut outcome).await;
    let at = args.common.time();
    match (verified, &policy) {
        (Err(rejection), _) => outcome.rejections.push(rejection),
        (Ok(Machine::SevSnp(machine)), Some(policy)) => {
            let cpu = CpuClaims::SevSnp(Box::new(machine.claims));
            let view = Devices {
                gpus: None,
                cpu: Some(&cpu),
                revocation: &machine.revocation,
                at,
            };
            judged::devices(policy, &view, &mut outcome);
        }
        (Ok(Machine::SevSnp(machine)), None) => {
            if let Err(rejection) = no_debug("policy.debug", machine.claims.debug()) {
                outcome.rejections.push(rejection);
            }
            snp::revocation(&supplies, machine.revocation, &mut outcome);
        }
        (Ok(Machine::Tdx(machine)), Some(policy)) => machine.judge(policy, at, &mut outcome),
        (Ok(Machine::Tdx(machine)), None) => machine.by_default(&supplies, &mut outcome),
    }
    if args.nonce.is_none() {
        let why = "no --nonce given: the TPM's quote may be an old one";
        outcome.not_checked.push(("nonce", why.into()));
    }
    let why = "registers are shown; what they should be, the machine's owner knows";
    outcome
        .not_checked
        .push(("platform configuration", why.into()));
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    Ok(outcome.report())
}

async fn verify(
    json: &[u8],
    vek: Option<Vec<u8>>,
    supplies: &Supplies,
    args: &Azure,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Result<Machine, Rejection> {
    let evidence = Evidence::from_json(json)?;
    let hcl = HclReport::parse(&evidence.hcl)?;
    let anchors = args.common.anchors()?;
    let at = args.common.time();
    let verifier = Verifier::new(&anchors, at);
    let nonce = match &args.nonce {
        Some(Nonce(nonce)) => nonce.as_slice(),
        None => TpmQuote::parse(&evidence.tpm.message)?.nonce,
    };
    match (hcl.hardware, &evidence.quote) {
        (Hardware::SevSnp(bytes), _) => {
            let report = sev_snp::Report::parse(bytes).map_err(|r| r.within("report"))?;
            let vek = match (vek, evidence.vek) {
                (Some(given), _) => {
                    let mut list = decode::certificates(&given).map_err(|r| r.within("vek"))?;
                    list.swap_remove(0)
                }
                (None, Some(own)) => own,
                (None, None) => snp::endorsement(&report, supplies, &anchors, at, outcome).await?,
            };
            let (claims, tpm) = azure::verify_sev_snp(
                &hcl,
                &vek,
                None,
                &evidence.tpm,
                nonce,
                &verifier,
                explanation,
            )?;
            outcome.subject = format!("Azure machine, SEV-SNP, {}", claims.generation);
            outcome.claims.push(with_tpm(snp::to_claims(&claims), &tpm));
            let quiet = &mut Explanation::default();
            let authentic = sev_snp::verify_observed(&report, &vek, None, &verifier, quiet)?;
            let revocation =
                snp::revoked(&authentic, supplies, at, &anchors, explanation, outcome).await;
            Ok(Machine::SevSnp(Box::new(snp::Machine {
                claims,
                revocation,
            })))
        }
        (Hardware::Tdx(_), Some(quote)) => {
            let quote = tdx::Quote::parse(quote)?;
            let collateral = intel::collateral(
                &quote,
                supplies,
                &verifier,
                &anchors,
                at,
                explanation,
                outcome,
            )
            .await;
            let collateral = match collateral {
                Err(rejection) if rejection.class().is_conclusive() => return Err(rejection),
                other => other,
            };
            let (claims, tpm) = azure::verify_tdx(
                &hcl,
                &quote,
                collateral.as_ref().ok(),
                &evidence.tpm,
                nonce,
                &verifier,
                explanation,
            )?;
            outcome.subject = format!("Azure machine, {}", claims.kind.name());
            outcome
                .claims
                .push(with_tpm(intel::to_claims(&claims), &tpm));
            let made = collateral.map(|collateral| collateral.revocation_made());
            Ok(Machine::Tdx(Box::new(intel::Machine::new(claims, made))))
        }
        (Hardware::Tdx(_), None) => Err(Rejection::new(
            Reason::Malformed,
            "td_quote",
            "the quote of the TDX machine whose report this is",
            "none",
        )),
    }
}

fn with_tpm(mut claims: Claims, tpm: &TpmClaims) -> Claims {
    let pcrs = tpm.pcrs.iter().enumerate();
    let pcrs = pcrs.map(|(index, pcr)| (format!("{index:02}"), Value::String(hex::encode(pcr))));
    claims.push(("tpm_nonce", json!(hex::encode(&tpm.nonce))));
    claims.push(("tpm_resets", json!(tpm.reset_count)));
    claims.push(("pcrs", Value::Object(pcrs.collect())));
    claims
}
