//! From a bundle and an order to a verdict: what is expected, what the verifier says, what is
//! signed. Pure: the same case gives the same verdict to every operator.

use alloy::primitives::B256;
use serde_json::{Value, json};
use vouch_abi::Verdict;
use vouch_client::convert;
use vouch_evidence::bundle::Bundle;
use vouch_evidence::judge::{Finding, Judgement, Leg, judge};
use vouch_evidence::policy::{Bits, CpuTcb, Policy, Requirements, Term, Workloads};
use vouch_evidence::session::{self, Expected, SessionClaims, Started, Supplement};
use vouch_evidence::sev_snp::Tcb;
use vouch_evidence::{Anchors, Observe, Rejection, Time, Verifier};
use vouch_protocol::statement::{Statement, inputs_digest};
use vouch_protocol::{Clause, Clauses, Phase, Reason};

use crate::facts::Order;
use crate::store::model::JobId;

/// Kinds of a leg, as in the contracts.
const DATASET: u8 = 1;
const MODEL: u8 = 2;
const WORKLOAD: u8 = 3;

/// Everything a verdict depends on.
#[derive(Debug)]
pub struct Case {
    /// The bundle.
    pub bundle: Vec<u8>,
    /// What the provider announced.
    pub job: JobId,
    /// The order.
    pub order: Order,
    /// The policies of its legs, in their order.
    pub policies: Vec<vouch_abi::Policy>,
    /// The challenge of the phase and attempt.
    pub challenge: B256,
    /// Time of the challenge's block.
    pub challenged_at: u64,
    /// Time of the announcement's block: the time of verification.
    pub observed_at: u64,
    /// The start verdict, for a finish.
    pub started: Option<Verdict>,
    /// Collateral that was fetched because the bundle's left a clause open.
    pub supplement: Option<Supplement>,
}

/// What a case comes to.
#[derive(Debug)]
pub enum Decision {
    /// Goes on chain.
    Conclusive {
        /// The verdict, unsigned.
        verdict: Box<Verdict>,
        /// Its reason.
        reason: Reason,
        /// What decided it.
        detail: String,
    },
    /// Nothing to say yet.
    Inconclusive {
        /// Why.
        reason: Reason,
        /// What is missing.
        detail: String,
    },
}

/// Decides a case, and shows every check of its evidence to `observer`.
pub fn decide<O: Observe>(case: &Case, anchors: &Anchors, observer: &mut O) -> Decision {
    let terms = &case.order.terms;
    let mut verdict = Verdict {
        order: case.job.order,
        phase: case.job.phase.into(),
        attempt: case.job.attempt,
        evidence: case.job.evidence,
        inputs: inputs(case),
        outputs: case.job.outputs,
        observedAt: case.observed_at,
        // A finish verdict gives back what the start verdict took, also where it rejects.
        devices: case
            .started
            .as_ref()
            .map_or_else(Vec::new, |start| start.devices.clone()),
        ..Default::default()
    };
    let expected = match expected(case) {
        Ok(expected) => expected,
        Err(detail) => {
            let reason = Reason::EvidenceMissing;
            return Decision::Inconclusive { reason, detail };
        }
    };
    let time = Time::from_unix(case.observed_at);
    let verifier = Verifier::new(anchors, time);
    let supplement = case.supplement.as_ref();
    let verified = session::verify_with(&case.bundle, &expected, supplement, &verifier, observer);
    let claims = match verified {
        Ok(claims) => claims,
        Err(rejection) => return conclude(verdict, rejection.reason, rejection.to_string()),
    };
    let workload = terms
        .legs
        .iter()
        .find(|leg| leg.kind == WORKLOAD)
        .map(|leg| leg.digest);
    let judgement = judge(&claims, &legs(case), workload);
    verdict.clauses = convert::clauses_to_abi(judgement.clauses);
    fill(&mut verdict, claims);
    let detail = summary(&judgement);
    conclude(verdict, judgement.reason, detail)
}

fn conclude(mut verdict: Verdict, reason: Reason, detail: String) -> Decision {
    if !reason.class().is_conclusive() {
        return Decision::Inconclusive { reason, detail };
    }
    verdict.reason = reason.code();
    Decision::Conclusive {
        verdict: Box::new(verdict),
        reason,
        detail,
    }
}

fn fill(verdict: &mut Verdict, claims: SessionClaims) {
    let statement = claims.statement;
    verdict.devices = claims.devices;
    verdict.sessionKey = statement.encryption_key;
    verdict.measurement = claims.measurement;
    verdict.outputs = statement.outputs;
    verdict.counters = convert::counters_to_abi(&statement.counters);
    verdict.datasets = statement
        .datasets
        .iter()
        .map(convert::measure_to_abi)
        .collect();
}

fn expected(case: &Case) -> Result<Expected, String> {
    let (evidence, challenge) = (case.job.evidence, case.challenge);
    let challenged_at = Time::from_unix(case.challenged_at);
    let inputs = inputs(case);
    Ok(match case.job.phase.0 {
        Phase::Start => Expected::Start {
            evidence,
            challenge,
            challenged_at,
            inputs,
        },
        Phase::Finish => {
            let start = case
                .started
                .as_ref()
                .ok_or("the start verdict is not at hand")?;
            Expected::Finish {
                evidence,
                challenge,
                challenged_at,
                inputs,
                outputs: case.job.outputs,
                started: Started {
                    at: Time::from_unix(start.observedAt),
                    session_key: start.sessionKey,
                    devices: start.devices.clone(),
                    measurement: start.measurement,
                },
            }
        }
    })
}

fn inputs(case: &Case) -> B256 {
    let legs = case.order.terms.legs.iter();
    let assets = legs.filter(|leg| leg.kind == DATASET || leg.kind == MODEL);
    inputs_digest(assets.map(|leg| &leg.digest))
}

fn legs(case: &Case) -> Vec<Leg> {
    let asked = &case.order.terms.requirements;
    let requirements = Requirements {
        min_records: asked.minRecords,
        min_bytes: asked.minBytes,
        schema: asked.schema,
        min_quality: asked.minQuality,
    };
    let mut datasets = 0..;
    let legs = case.order.terms.legs.iter().zip(&case.policies);
    legs.map(|(leg, policy)| Leg {
        required: Clauses(leg.clauses),
        policy: attested(policy),
        dataset: match leg.kind {
            DATASET => datasets.next().map(|index| (index, requirements)),
            _ => None,
        },
    })
    .collect()
}

/// The attested clauses of a policy of the contracts.
pub fn attested(policy: &vouch_abi::Policy) -> Policy {
    fn term<T>(any: Clauses, clause: Clause, value: T) -> Term<T> {
        match any.contains(clause) {
            true => Term::Any,
            false => Term::Require(value),
        }
    }
    let any = Clauses(policy.any);
    let cpu_tcb = CpuTcb {
        min_snp: Tcb(policy.minSnpTcb.0),
        tdx_statuses: Bits(policy.tdxStatuses),
    };
    let workloads = match policy.workloadRoot.is_zero() {
        true => Workloads::Listed(policy.workloads.clone()),
        false => Workloads::Ordered,
    };
    let architectures = Bits(policy.gpuArchitectures.into());
    Policy {
        cpu_kind: term(any, Clause::CpuKind, Bits(policy.cpuKinds.into())),
        cpu_tcb: term(any, Clause::CpuTcb, cpu_tcb),
        debug_off: term(any, Clause::DebugOff, ()),
        gpu_architecture: term(any, Clause::GpuArchitecture, architectures),
        gpu_count: term(any, Clause::GpuCount, policy.minGpus),
        gpu_mode: term(any, Clause::GpuMode, Bits(policy.gpuModes.into())),
        rim_match: term(any, Clause::RimMatch, ()),
        revocation: term(any, Clause::Revocation, policy.revocationMaxAge),
        evidence_age: term(any, Clause::EvidenceAge, policy.evidenceMaxAge),
        workload: term(any, Clause::Workload, workloads),
        max_duration: term(any, Clause::MaxDuration, policy.maxDuration),
        output_bytes: term(any, Clause::OutputBytes, policy.outputBytes),
        output_rows: term(any, Clause::OutputRows, policy.outputRows),
        export: term(any, Clause::Export, ()),
    }
}

fn summary(judgement: &Judgement) -> String {
    let failed: Vec<String> = judgement
        .findings
        .iter()
        .filter(|finding| !finding.holds())
        .map(describe)
        .collect();
    match failed.is_empty() {
        true => format!("all {} clauses hold", judgement.findings.len()),
        false => failed.join("; "),
    }
}

fn describe(finding: &Finding) -> String {
    let Finding {
        leg,
        clause,
        reason,
        expected,
        found,
    } = finding;
    format!("leg {leg}, {clause}: expected {expected}, found {found} ({reason})")
}

/// Verifies a bundle for nobody's order: whether it is authentic and binds its own statement. What
/// it must be bound to is the bundle's own claim, so this answers "is it real", not "is it mine".
/// A finish bundle is judged as the continuation of `start`, its session's start bundle.
pub fn examine(bundle: &[u8], start: Option<&[u8]>, at: u64, anchors: &Anchors) -> Value {
    let time = Time::from_unix(at);
    let (statement, mut expected) = match itself(bundle, time) {
        Ok(own) => own,
        Err(rejection) => return refused(rejection.reason, &rejection.to_string()),
    };
    if let Some(start) = start {
        let before = itself(start, time)
            .and_then(|(_, expected)| session::verify(start, &expected, anchors, time));
        let before = match before {
            Ok(claims) => claims,
            Err(rejection) => {
                return refused(rejection.reason, &rejection.within("start").to_string());
            }
        };
        expected = Expected::Finish {
            evidence: Bundle::digest(bundle),
            challenge: statement.challenge,
            challenged_at: time,
            inputs: before.statement.inputs,
            outputs: statement.outputs,
            started: Started {
                at: time,
                session_key: before.statement.encryption_key,
                devices: before.devices,
                measurement: before.measurement,
            },
        };
    }
    match session::verify(bundle, &expected, anchors, time) {
        Ok(claims) => json!({
            "verdict": Reason::Accepted.class().name(),
            "reasons": [],
            "claims": {
                "challenge": statement.challenge,
                "inputs": statement.inputs,
                "sessionKey": statement.encryption_key,
                "measurement": claims.measurement,
                "devices": claims.devices,
                "gpus": claims.gpus.len(),
                "switches": claims.switches.len(),
                "cpu": claims.cpu.kind().name(),
                "simulated": claims.simulated,
            },
        }),
        Err(rejection) => refused(rejection.reason, &rejection.to_string()),
    }
}

/// A bundle's statement, and the expectation that it is the start it says it is.
fn itself(bundle: &[u8], time: Time) -> Result<(Statement, Expected), Rejection> {
    let parsed = Bundle::from_json(bundle)?;
    let statement = Statement::decode(&parsed.statement).map_err(|error| {
        let (expected, found) = ("a session statement", error.to_string());
        Rejection::new(Reason::Malformed, "statement", expected, found)
    })?;
    let expected = Expected::Start {
        evidence: Bundle::digest(bundle),
        challenge: statement.challenge,
        challenged_at: time,
        inputs: statement.inputs,
    };
    Ok((statement, expected))
}

fn refused(reason: Reason, detail: &str) -> Value {
    json!({
        "verdict": match reason.class().is_conclusive() {
            true => "rejected",
            false => "inconclusive",
        },
        "reasons": [{
            "code": reason.code(),
            "class": reason.class().name(),
            "name": reason.name(),
            "detail": detail,
        }],
        "claims": null,
    })
}
