//! `vouch verify nvidia`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use vouch_evidence::nvidia::{self, FirmwareBinding, Report};
use vouch_evidence::{Explanation, Rejection, Verifier, decode};

use super::outcome::{Claims, Outcome};
use super::{Common, no_debug, read, required};
use crate::output::{self, Failure};

/// `verify nvidia`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("input").required(true).args(["report", "evidence"])),
    after_help = "Examples:
  vouch verify nvidia --report report.bin --certs chain.pem --nonce 931d…dfcb
  vouch verify nvidia --evidence evidence.json --at 2025-09-01T00:00:00Z --json

Exit status: 0 accepted, 1 rejected, 2 inconclusive, 64 bad usage."
)]
pub struct Nvidia {
    /// Attestation report: SPDM request and response; raw, hex or base64.
    #[arg(long, value_name = "FILE", requires = "certs")]
    report: Option<PathBuf>,
    /// Its five certificates, leaf first; PEM or DER, also in hex or base64.
    #[arg(long, value_name = "FILE", conflicts_with = "evidence")]
    certs: Option<PathBuf>,
    /// NVIDIA's evidence JSON: an array of arch, certificate, evidence, nonce.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// The nonce that every report must answer, 32 bytes.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// 32 bytes; clap reads a bare array as a list.
#[derive(Clone, Copy, Debug)]
struct Nonce([u8; 32]);

fn nonce(text: &str) -> Result<Nonce, String> {
    decode::hex_array(text)
        .map(Nonce)
        .map_err(|r| format!("expected {}, found {}", r.expected, r.found))
}

/// One report with its chain, and where it came from.
struct Entry {
    scope: String,
    report: Vec<u8>,
    chain: Vec<Vec<u8>>,
    hint: Option<String>,
}

pub(super) fn run(args: &Nvidia) -> Result<output::Report, Failure> {
    let list = args.evidence.is_some();
    let entries = match &args.evidence {
        Some(path) => from_json(&read("--evidence", path)?),
        None => {
            let report = read("--report", required("--report", &args.report)?)?;
            let certs = read("--certs", required("--certs", &args.certs)?)?;
            one(&report, &certs).map(|entry| vec![entry])
        }
    };
    let mut outcome = Outcome {
        list,
        ..Outcome::default()
    };
    match entries {
        Ok(entries) => verify(&entries, args, &mut outcome),
        Err(rejection) => outcome.rejections.push(rejection),
    }
    if outcome.subject.is_empty() {
        outcome.subject = "NVIDIA evidence".to_owned();
    }
    Ok(outcome.report())
}

fn one(report: &[u8], certs: &[u8]) -> Result<Entry, Rejection> {
    Ok(Entry {
        scope: String::new(),
        report: decode::binary(report).map_err(|r| r.within("report"))?,
        chain: decode::certificates(certs).map_err(|r| r.within("certs"))?,
        hint: None,
    })
}

fn from_json(bytes: &[u8]) -> Result<Vec<Entry>, Rejection> {
    let entries = decode::nvidia_evidence(bytes)?;
    let entry = |(index, entry): (usize, decode::NvidiaEvidence)| Entry {
        scope: format!("evidence[{index}]"),
        report: entry.report,
        chain: entry.chain,
        hint: Some(entry.nonce).filter(|nonce| !nonce.is_empty()),
    };
    Ok(entries.into_iter().enumerate().map(entry).collect())
}

fn verify(entries: &[Entry], args: &Nvidia, outcome: &mut Outcome) {
    let mut explanation = Explanation::default();
    let mut subjects = Vec::new();
    for entry in entries {
        match verify_one(entry, args, &mut explanation, outcome) {
            Ok(subject) => subjects.push(subject),
            Err(rejection) => outcome.rejections.push(match entry.scope.as_str() {
                "" => rejection,
                scope => rejection.within(scope),
            }),
        }
    }
    outcome.subject = match (subjects.as_slice(), entries.len()) {
        ([subject], 1) => subject.clone(),
        (_, total) => format!("{} of {}", subjects.len(), output::count(total, "report")),
    };
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    if args.nonce.is_none() {
        let hint = match entries.iter().any(|entry| entry.hint.is_some()) {
            true => "no --nonce given; the nonce in the file is not signed and proves nothing",
            false => "no --nonce given: the report may be an old one",
        };
        outcome.not_checked.push(("nonce", hint.to_owned()));
    }
    outcome.not_checked.push((
        "reference manifests",
        "measurements are shown, not compared".into(),
    ));
    outcome.not_checked.push((
        "revocation",
        "no answers of the vendor's responder given".into(),
    ));
}

fn verify_one(
    entry: &Entry,
    args: &Nvidia,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Result<String, Rejection> {
    let anchors = args.common.anchors()?;
    let chain: Vec<&[u8]> = entry.chain.iter().map(Vec::as_slice).collect();
    let report = Report::parse(&entry.report)?;
    let verifier = Verifier::new(&anchors, args.common.time());
    let report = nvidia::verify_observed(&report, &chain, &verifier, explanation)?;
    let claims = report.claims();
    outcome.claims.push(to_claims(&claims));
    if let Some(Nonce(nonce)) = &args.nonce {
        nvidia::check_nonce(&report, nonce, explanation)?;
    }
    no_debug("debug", claims.debug == Some(true))?;
    Ok(format!("{}, {}", claims.kind, claims.model))
}

fn to_claims(claims: &nvidia::Claims) -> Claims {
    let hexed = |bytes: &[u8]| Value::String(hex::encode(bytes));
    let measurements: serde_json::Map<String, Value> = claims
        .measurements
        .iter()
        .filter(|(_, digest)| *digest != [0; 48])
        .map(|(index, digest)| (format!("{index:02}"), hexed(digest)))
        .collect();
    let pdis = |pdis: &[u64]| -> Value { pdis.iter().map(|pdi| format!("{pdi:016x}")).collect() };
    vec![
        ("kind", json!(claims.kind.name())),
        (
            "architecture",
            json!(claims.architecture().map(|a| a.name())),
        ),
        ("chip", json!(claims.chip)),
        ("model", json!(claims.model)),
        ("serial", hexed(&claims.leaf_serial)),
        ("device", json!(claims.device)),
        ("pdi", json!(claims.pdi.map(|pdi| format!("{pdi:016x}")))),
        ("nonce", hexed(&claims.nonce)),
        ("driver", json!(claims.driver_version)),
        ("vbios", json!(claims.vbios_version)),
        ("project", json!(claims.project)),
        ("project_sku", json!(claims.project_sku)),
        ("chip_sku", json!(claims.chip_sku)),
        ("mode", json!(claims.mode.map(nvidia::Mode::name))),
        ("protected_pcie", json!(claims.protected_pcie)),
        ("nvdec0", json!(claims.nvdec0)),
        ("debug", json!(claims.debug)),
        (
            "firmware_bound",
            json!(claims.firmware == FirmwareBinding::Bound),
        ),
        ("switches", pdis(&claims.switch_pdis)),
        ("gpus", pdis(&claims.gpu_pdis)),
        ("measurements", Value::Object(measurements)),
        ("simulated", json!(claims.simulated)),
    ]
}
