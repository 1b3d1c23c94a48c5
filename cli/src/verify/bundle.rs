//! `vouch verify bundle`.

use std::path::PathBuf;

use alloy::primitives::B256;
use clap::Args;
use serde_json::json;
use vouch_collateral::Wanted;
use vouch_evidence::bundle::Bundle;
use vouch_evidence::session::{self, Expected, SessionClaims, Started, Supplement};
use vouch_evidence::{Explanation, Rejection, Verifier};
use vouch_protocol::{Phase, Statement};

use super::judged::{self, Judge};
use super::outcome::{Claims, Outcome};
use super::supplies::{Kind, Sources, Supplies};
use super::{Common, no_debug, read};
use crate::output::{self, Failure};

/// `verify bundle`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch verify bundle start.json --challenge 0x5b1c… --inputs 0x77de…
  vouch verify bundle finish.json --start start.json --outputs 0x0f2a…
  vouch verify bundle start.json --fetch --policy policy.toml --explain

What is not given is taken from the bundle itself, and listed as not checked.
Exit status: 0 accepted, 1 rejected, 2 inconclusive, 64 bad usage.")]
pub struct VerifyBundle {
    /// Evidence bundle, JSON.
    bundle: PathBuf,
    /// The order's challenge for this phase.
    #[arg(long, value_name = "HEX")]
    challenge: Option<B256>,
    /// Digest of the order's inputs.
    #[arg(long, value_name = "HEX")]
    inputs: Option<B256>,
    /// SHA-256 of the outputs that were delivered.
    #[arg(long, value_name = "HEX")]
    outputs: Option<B256>,
    /// SHA-256 under which the bundle was announced.
    #[arg(long, value_name = "HEX")]
    digest: Option<B256>,
    /// The bundle that started the session; needed for one that finishes it.
    #[arg(long, value_name = "FILE")]
    start: Option<PathBuf>,
    /// Reference manifest (RIM) besides the bundle's own. May be repeated.
    #[arg(long, value_name = "FILE")]
    rim: Vec<PathBuf>,
    /// OCSP answer besides the bundle's own. May be repeated.
    #[arg(long, value_name = "FILE")]
    ocsp: Vec<PathBuf>,
    /// Revocation list besides the bundle's own. May be repeated.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    judge: Judge,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(args: &VerifyBundle) -> Result<output::Report, Failure> {
    let json = read("BUNDLE", &args.bundle)?;
    let start = args
        .start
        .as_deref()
        .map(|path| read("--start", path))
        .transpose()?;
    let supplies = args.sources.open(&[
        (Kind::Manifest, &args.rim),
        (Kind::Ocsp, &args.ocsp),
        (Kind::Crl, &args.crl),
    ])?;
    let policy = args.judge.open()?;
    let mut outcome = Outcome {
        subject: "evidence bundle".into(),
        ..Outcome::default()
    };
    match verify(&json, start.as_deref(), &supplies, args, &mut outcome).await? {
        Ok(claims) => match &policy {
            Some(policy) => judged::session(policy, &claims, &mut outcome),
            None => by_default(&claims, &supplies, &mut outcome),
        },
        Err(rejection) => outcome.rejections.push(rejection),
    }
    for (what, given) in [
        ("challenge", args.challenge.is_some()),
        ("inputs", args.inputs.is_some()),
        ("digest", args.digest.is_some()),
    ] {
        if !given {
            let why = format!("no --{what} given: the bundle's own was taken");
            outcome.not_checked.push((what, why));
        }
    }
    if policy.is_none() {
        outcome.not_checked.push((
            "policies",
            "no --policy given: what the devices are like is shown, not judged".into(),
        ));
    }
    Ok(outcome.report())
}

/// Without a policy: no debugging, and nothing that the collateral at hand speaks against.
fn by_default(claims: &SessionClaims, supplies: &Supplies, outcome: &mut Outcome) {
    let gpu = claims.gpus.iter().any(|gpu| gpu.claims.debug == Some(true));
    for (field, debug) in [("cpu.debug", claims.cpu.debug()), ("gpus.debug", gpu)] {
        if let Err(rejection) = no_debug(field, debug) {
            outcome.rejections.push(rejection);
        }
    }
    let manifests = claims.gpus.iter().enumerate().map(|(index, gpu)| {
        let compared = gpu.manifests.clone();
        compared.map_err(|r| r.within(&format!("gpus[{index}]")))
    });
    let manifests = manifests.collect::<Result<Vec<()>, _>>();
    let unrated = match &claims.cpu {
        session::CpuClaims::Tdx { unrated, .. } => unrated.clone().map_or(Ok(()), Err),
        _ => Ok(()),
    };
    let given = &supplies.found;
    let fetches = supplies.fetches();
    let revocation =
        fetches || !given.collateral.ocsp.is_empty() || !given.collateral.crls.is_empty();
    for (what, checked, wanted) in [
        (
            "reference manifests",
            manifests.map(|_| ()),
            fetches || !given.collateral.manifests.is_empty(),
        ),
        (
            "revocation",
            claims.revocation.clone().map(|_| ()),
            revocation,
        ),
        ("platform's TCB", unrated, fetches || given.tdx.is_some()),
    ] {
        match checked {
            Ok(()) => {}
            // What speaks against the devices is never left out.
            Err(rejection) if wanted || rejection.class().is_conclusive() => {
                outcome.rejections.push(rejection);
            }
            Err(rejection) => outcome.not_checked.push((what, rejection.to_string())),
        }
    }
}

async fn verify(
    json: &[u8],
    start: Option<&[u8]>,
    supplies: &Supplies,
    args: &VerifyBundle,
    outcome: &mut Outcome,
) -> Result<Result<SessionClaims, Rejection>, Failure> {
    let parsed = match Bundle::from_json(json).and_then(|bundle| Ok((statement(json)?, bundle))) {
        Ok(parsed) => parsed,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let (statement, bundle) = parsed;
    let phase = if statement.outputs.is_zero() {
        Phase::Start
    } else {
        Phase::Finish
    };
    let start = match (phase, start) {
        (Phase::Start, Some(_)) => {
            return Err(Failure::usage(
                "--start: this bundle starts a session itself",
            ));
        }
        (Phase::Finish, None) => {
            return Err(Failure::usage(
                "this bundle finishes a session: give the one that started it with --start FILE",
            ));
        }
        (_, start) => start,
    };
    let time = args.common.time();
    let anchors = match args.common.anchors() {
        Ok(anchors) => anchors,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let verifier = Verifier::new(&anchors, time);
    let wanted = match supplies.fetches() {
        true => Wanted::of_bundle(&bundle, &verifier),
        false => Wanted::default(),
    };
    let gathered = supplies.gather(wanted, &anchors, time, outcome).await;
    let supplement = supplies.supplement(gathered, time);
    let mut explanation = Explanation::default();
    let session = Session {
        json,
        statement: &statement,
        supplement: &supplement,
        verifier,
    };
    let verified = verify_both(&session, start, args, &mut explanation);
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    Ok(verified.inspect(|claims| {
        outcome.subject = format!(
            "{phase} evidence of {}",
            output::count(claims.devices.len(), "device")
        );
        outcome.claims.push(to_claims(claims));
    }))
}

/// A bundle and what it is verified with.
struct Session<'a> {
    json: &'a [u8],
    statement: &'a Statement,
    supplement: &'a Supplement,
    verifier: Verifier<'a>,
}

fn statement(json: &[u8]) -> Result<Statement, Rejection> {
    let bundle = Bundle::from_json(json)?;
    Statement::decode(&bundle.statement).map_err(|error| {
        let reason = vouch_protocol::Reason::Malformed;
        Rejection::new(
            reason,
            "statement",
            "a session statement",
            error.to_string(),
        )
    })
}

fn verify_both(
    session: &Session<'_>,
    start: Option<&[u8]>,
    args: &VerifyBundle,
    explanation: &mut Explanation,
) -> Result<SessionClaims, Rejection> {
    let Session {
        json,
        statement,
        supplement,
        verifier,
    } = *session;
    let time = args.common.time();
    let evidence = args.digest.unwrap_or_else(|| Bundle::digest(json));
    let challenge = args.challenge.unwrap_or(statement.challenge);
    let inputs = args.inputs.unwrap_or(statement.inputs);
    let challenged_at = time;
    let expected = match start {
        None => Expected::Start {
            evidence,
            challenge,
            challenged_at,
            inputs,
        },
        Some(start) => {
            let said = self::statement(start).map_err(|r| r.within("start"))?;
            let before = Expected::Start {
                evidence: Bundle::digest(start),
                challenge: said.challenge,
                challenged_at,
                inputs,
            };
            let claims = session::verify_observed(start, &before, &verifier, &mut ())
                .map_err(|r| r.within("start"))?;
            Expected::Finish {
                evidence,
                challenge,
                challenged_at,
                inputs,
                outputs: args.outputs.unwrap_or(statement.outputs),
                started: Started {
                    at: time,
                    session_key: claims.statement.encryption_key,
                    devices: claims.devices,
                    measurement: claims.measurement,
                },
            }
        }
    };
    session::verify_with(json, &expected, Some(supplement), &verifier, explanation)
}

fn to_claims(claims: &SessionClaims) -> Claims {
    let statement = &claims.statement;
    let datasets: Vec<_> = statement
        .datasets
        .iter()
        .map(|dataset| {
            json!({
                "records": dataset.records,
                "bytes": dataset.bytes,
                "schema": dataset.schema,
                "quality": dataset.quality,
            })
        })
        .collect();
    vec![
        ("phase", json!(claims.phase.name())),
        ("digest", json!(claims.evidence)),
        ("challenge", json!(statement.challenge)),
        ("signing_key", json!(statement.signing_key)),
        ("encryption_key", json!(statement.encryption_key)),
        ("inputs", json!(statement.inputs)),
        ("outputs", json!(statement.outputs)),
        ("output_bytes", json!(statement.counters.output_bytes)),
        ("output_rows", json!(statement.counters.output_rows)),
        ("datasets", json!(datasets)),
        (
            "gpus",
            json!(
                claims
                    .gpus
                    .iter()
                    .map(|gpu| &gpu.claims.model)
                    .collect::<Vec<_>>()
            ),
        ),
        ("switches", json!(claims.switches.len())),
        ("cpu", json!(claims.cpu.kind().name())),
        ("debug", json!(claims.cpu.debug())),
        ("workload", json!(claims.measurement)),
        ("devices", json!(claims.devices)),
        ("simulated", json!(claims.simulated)),
    ]
}
