//! From a bundle and an order to a verdict: the one place where an order meets the verifier.
//!
//! Decides what the evidence of an order must be bound to, which clauses each leg asks of it, and what is
//! signed. Pure: the same case gives the same verdict to every operator, to the broker that runs it again
//! before it hands out a key, and to anybody who checks it later. Trusts what it is given to be what the
//! chain says; leaves fetching, keys and clocks to its callers.

#![forbid(unsafe_code)]

mod examine;
mod policy;

pub use examine::examine;
pub use policy::attested;

use alloy::primitives::B256;
use vouch_abi::{Terms, Verdict};
use vouch_client::convert;
use vouch_evidence::judge::{Finding, Judgement, Leg, judge};
use vouch_evidence::policy::Requirements;
use vouch_evidence::session::{self, Expected, SessionClaims, Started, Supplement};
use vouch_evidence::{Anchors, Cache, Observe, Time, Verifier};
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Clauses, Phase, Reason};

/// Kinds of a leg, as in the contracts.
const DATASET: u8 = 1;
const MODEL: u8 = 2;
const WORKLOAD: u8 = 3;

/// What a provider announced on chain: one bundle for one phase of one order.
#[derive(Clone, Copy, Debug)]
pub struct Announcement {
    /// The order.
    pub order: B256,
    /// Start, finish or heartbeat.
    pub phase: Phase,
    /// The provider's count of attempts at this phase.
    pub attempt: u8,
    /// SHA-256 of the bundle.
    pub evidence: B256,
    /// SHA-256 of the sealed outputs; zero at the start. Of a heartbeat the number of its challenge's block.
    pub outputs: B256,
}

/// Everything a verdict depends on.
#[derive(Debug)]
pub struct Case {
    /// The bundle.
    pub bundle: Vec<u8>,
    /// What the provider announced.
    pub announced: Announcement,
    /// The terms of its order.
    pub terms: Terms,
    /// The policies of its legs, in their order.
    pub policies: Vec<vouch_abi::Policy>,
    /// The challenge of the phase and attempt.
    pub challenge: B256,
    /// Time of the challenge's block.
    pub challenged_at: u64,
    /// Time of the announcement's block: the time of verification, and but for heartbeats of the verdict.
    pub observed_at: u64,
    /// The start verdict, for a finish and a heartbeat.
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

/// Decides a case, and shows every check of its evidence to `observer`. With a `cache`, which belongs to the `anchors`, what
/// issued a device's certificate is verified once: the decision is the same, and the observer is not shown it again.
pub fn decide<O: Observe>(
    case: &Case,
    anchors: &Anchors,
    cache: Option<&Cache>,
    observer: &mut O,
) -> Decision {
    let terms = &case.terms;
    let mut verdict = Verdict {
        order: case.announced.order,
        phase: case.announced.phase as u8,
        attempt: case.announced.attempt,
        evidence: case.announced.evidence,
        inputs: inputs(case),
        outputs: match case.announced.phase {
            Phase::Heartbeat => B256::ZERO,
            Phase::Start | Phase::Finish => case.announced.outputs,
        },
        observedAt: match case.announced.phase {
            // The session lived after the block that challenged it; whether it did until the announcement, nobody
            // knows.
            Phase::Heartbeat => case.challenged_at,
            Phase::Start | Phase::Finish => case.observed_at,
        },
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
    let mut verifier = Verifier::new(anchors, time);
    if let Some(cache) = cache {
        verifier = verifier.with_cache(cache);
    }
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
    let (evidence, challenge) = (case.announced.evidence, case.challenge);
    let challenged_at = Time::from_unix(case.challenged_at);
    let inputs = inputs(case);
    Ok(match case.announced.phase {
        Phase::Start => Expected::Start {
            evidence,
            challenge,
            challenged_at,
            inputs,
        },
        Phase::Heartbeat => Expected::Heartbeat {
            evidence,
            challenge,
            challenged_at,
            inputs,
            started: started(case)?,
        },
        Phase::Finish => Expected::Finish {
            evidence,
            challenge,
            challenged_at,
            inputs,
            outputs: case.announced.outputs,
            started: started(case)?,
        },
    })
}

fn started(case: &Case) -> Result<Started, String> {
    let start = case
        .started
        .as_ref()
        .ok_or("the start verdict is not at hand")?;
    Ok(Started {
        at: Time::from_unix(start.observedAt),
        session_key: start.sessionKey,
        devices: start.devices.clone(),
        measurement: start.measurement,
    })
}

fn inputs(case: &Case) -> B256 {
    let legs = case.terms.legs.iter();
    let assets = legs.filter(|leg| leg.kind == DATASET || leg.kind == MODEL);
    inputs_digest(assets.map(|leg| &leg.digest))
}

fn legs(case: &Case) -> Vec<Leg> {
    let asked = &case.terms.requirements;
    let requirements = Requirements {
        min_records: asked.minRecords,
        min_bytes: asked.minBytes,
        schema: asked.schema,
        min_quality: asked.minQuality,
    };
    let mut datasets = 0..;
    let legs = case.terms.legs.iter().zip(&case.policies);
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
