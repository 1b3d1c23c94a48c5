//! From a session's claims and the legs' policies to the clauses that hold.

use std::format;
use std::string::String;
use std::vec::Vec;

use alloy_primitives::B256;
use vouch_protocol::clause::{LegClauses, MAX_LEGS};
use vouch_protocol::reason::Class;
use vouch_protocol::{Clause, Clauses, Phase, Reason};

use crate::policy::{CpuTcb, Policy, Requirements, Workloads, names};
use crate::rejection::Rejection;
use crate::session::{CpuClaims, GpuClaims, SessionClaims};
use crate::tdx::{Concern, TcbStatus};
use crate::time::Time;

/// One leg of an order, as far as a verdict judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The clauses that the leg's payment depends on.
    pub required: Clauses,
    /// The policy of the leg's offer.
    pub policy: Policy,
    /// A dataset leg's place among the dataset legs, and what the buyer asks of the data.
    pub dataset: Option<(usize, Requirements)>,
}

/// Devices, with what the collateral says of them.
#[derive(Clone, Copy, Debug)]
pub struct Devices<'a> {
    /// GPUs; `None` where they were not looked at.
    pub gpus: Option<&'a [GpuClaims]>,
    /// The CPU; `None` where it was not looked at.
    pub cpu: Option<&'a CpuClaims>,
    /// When the oldest revocation answer was made, or why one of them does not count.
    pub revocation: &'a Result<Time, Rejection>,
    /// When the devices were verified.
    pub at: Time,
}

/// What became of one clause of one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Index of the leg.
    pub leg: usize,
    /// The clause.
    pub clause: Clause,
    /// `Accepted` where it holds.
    pub reason: Reason,
    /// What was asked for.
    pub expected: String,
    /// What is.
    pub found: String,
}

impl Finding {
    /// Whether the clause holds.
    pub fn holds(&self) -> bool {
        self.reason == Reason::Accepted
    }
}

/// What a session is worth to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The clauses that hold, leg by leg.
    pub clauses: LegClauses,
    /// The verdict's reason. A class that is not conclusive makes no verdict.
    pub reason: Reason,
    /// Every clause that was judged.
    pub findings: Vec<Finding>,
}

/// Judges a session for the legs of an order. `workload` is the digest of the order's workload leg,
/// where it has one: what ran must be what was ordered.
///
/// The reason is `accepted` where all required clauses of at least one leg hold; one that is not
/// conclusive where a required clause could not be judged; otherwise the reason that all failed
/// clauses share, or `no_leg_holds`.
pub fn judge(claims: &SessionClaims, legs: &[Leg], workload: Option<B256>) -> Judgement {
    let judged = match claims.phase {
        Phase::Start | Phase::Heartbeat => Clauses::AT_START,
        Phase::Finish => Clauses::ATTESTED,
    };
    let mut words = [0; MAX_LEGS];
    let mut findings = Vec::new();
    let mut any_leg = false;
    for ((index, leg), word) in legs.iter().enumerate().zip(&mut words) {
        let required = leg.required.intersection(judged);
        let mut holding = Clauses::NONE;
        for clause in required.iter() {
            let (expected, outcome) = judge_clause(clause, claims, leg, workload);
            let (reason, found) = match outcome {
                Ok(found) => (Reason::Accepted, found),
                Err((reason, found)) => (reason, found),
            };
            if reason == Reason::Accepted {
                holding = holding.with(clause);
            }
            findings.push(Finding {
                leg: index,
                clause,
                reason,
                expected,
                found,
            });
        }
        any_leg |= holding.covers(required);
        *word = holding.0;
    }
    // What was paid for did not run: nobody's clauses matter then.
    if workload.is_some_and(|ordered| ordered != claims.measurement) {
        return Judgement {
            clauses: LegClauses::default(),
            reason: Reason::WorkloadRefused,
            findings,
        };
    }
    let reason = overall(&findings, any_leg);
    Judgement {
        clauses: LegClauses(words),
        reason,
        findings,
    }
}

fn overall(findings: &[Finding], any_leg: bool) -> Reason {
    let mut failed = findings
        .iter()
        .map(|finding| finding.reason)
        .filter(|reason| *reason != Reason::Accepted);
    if let Some(open) = failed
        .clone()
        .find(|reason| !reason.class().is_conclusive())
    {
        return open;
    }
    if let Some(forged) = failed
        .clone()
        .find(|reason| reason.class() == Class::Forged)
    {
        return forged;
    }
    if any_leg {
        return Reason::Accepted;
    }
    match failed.next() {
        Some(first) if failed.all(|other| other == first) => first,
        _ => Reason::NoLegHolds,
    }
}

/// What was asked for, and what was found, with a reason where it does not hold.
type Judged = (String, Result<String, (Reason, String)>);

fn judged(
    expected: impl Into<String>,
    holds: bool,
    reason: Reason,
    found: impl Into<String>,
) -> Judged {
    let found = found.into();
    (
        expected.into(),
        if holds {
            Ok(found)
        } else {
            Err((reason, found))
        },
    )
}

fn judge_clause(
    clause: Clause,
    claims: &SessionClaims,
    leg: &Leg,
    workload: Option<B256>,
) -> Judged {
    let policy = &leg.policy;
    // A leg that requires a clause its policy does not have is contradictory: it cannot hold.
    let absent = || {
        judged(
            "a requirement in the policy",
            false,
            Reason::NoLegHolds,
            "any",
        )
    };
    match clause {
        Clause::CpuKind
        | Clause::CpuTcb
        | Clause::DebugOff
        | Clause::GpuArchitecture
        | Clause::GpuCount
        | Clause::GpuMode
        | Clause::RimMatch
        | Clause::Revocation => judge_devices_clause(clause, &claims.as_devices(), policy),
        Clause::EvidenceAge => policy.evidence_age.required().map(|most| {
            judged(
                format!("at most {most} s"),
                claims.age <= u64::from(*most),
                Reason::EvidenceTooOld,
                format!("up to {} s", claims.age),
            )
        }),
        Clause::Workload => policy.workload.required().map(|allowed| {
            let found = claims.measurement;
            judged(
                "a workload that the policy allows",
                allowed.allow(found, workload),
                Reason::WorkloadRefused,
                format!("{found}"),
            )
        }),
        Clause::MaxDuration => policy.max_duration.required().map(|most| {
            let holds = claims
                .duration
                .is_some_and(|duration| duration <= u64::from(*most));
            let found = claims
                .duration
                .map_or_else(|| "not finished".into(), |duration| format!("{duration} s"));
            judged(
                format!("at most {most} s"),
                holds,
                Reason::UsageExceeded,
                found,
            )
        }),
        Clause::OutputBytes => policy.output_bytes.required().map(|most| {
            let found = claims.statement.counters.output_bytes;
            judged(
                format!("at most {most} bytes"),
                found <= *most,
                Reason::UsageExceeded,
                format!("{found} bytes"),
            )
        }),
        Clause::OutputRows => policy.output_rows.required().map(|most| {
            let found = claims.statement.counters.output_rows;
            judged(
                format!("at most {most} rows"),
                found <= *most,
                Reason::UsageExceeded,
                format!("{found} rows"),
            )
        }),
        Clause::Export => policy.export.required().map(|()| {
            let outputs = claims.statement.outputs;
            judged(
                "no outputs exported",
                outputs.is_zero(),
                Reason::UsageExceeded,
                format!("outputs {outputs}"),
            )
        }),
        Clause::Requirements => leg
            .dataset
            .as_ref()
            .map(|(index, asked)| requirements(claims, *index, asked)),
        // Enforced on chain before money was locked; never asked of a verdict.
        Clause::Buyers
        | Clause::Providers
        | Clause::Purposes
        | Clause::MaxUses
        | Clause::MaxUsesPerBuyer
        | Clause::Window
        | Clause::TotalOutputBytes
        | Clause::TotalOutputRows => None,
    }
    .unwrap_or_else(absent)
}

/// Judges devices outside of a session, as far as they go: a clause about something that was not
/// looked at has no finding.
pub fn judge_devices(devices: &Devices<'_>, policy: &Policy) -> Vec<Finding> {
    let judged = |clause: Clause| {
        let (expected, outcome) = judge_devices_clause(clause, devices, policy)?;
        let (reason, found) = match outcome {
            Ok(found) => (Reason::Accepted, found),
            Err((reason, found)) => (reason, found),
        };
        Some(Finding {
            leg: 0,
            clause,
            reason,
            expected,
            found,
        })
    };
    policy.required().iter().filter_map(judged).collect()
}

/// `None` where the policy does not ask, or the clause is not about these devices.
fn judge_devices_clause(clause: Clause, devices: &Devices<'_>, policy: &Policy) -> Option<Judged> {
    let Devices { gpus, cpu, .. } = *devices;
    match clause {
        Clause::CpuKind => cpu.zip(policy.cpu_kind.required()).map(|(cpu, kinds)| {
            let found = cpu.kind();
            judged(
                names(*kinds, &[(0, "sev_snp"), (1, "tdx")]),
                kinds.has_cpu(found),
                Reason::CpuKindRefused,
                found.name(),
            )
        }),
        Clause::CpuTcb => cpu
            .zip(policy.cpu_tcb.required())
            .map(|(cpu, tcb)| cpu_tcb(cpu, tcb)),
        Clause::DebugOff => policy.debug_off.required().map(|()| {
            let cpu = cpu.is_some_and(CpuClaims::debug);
            let gpu = gpus
                .unwrap_or_default()
                .iter()
                .position(|gpu| gpu.claims.debug == Some(true));
            let found = match (cpu, gpu) {
                (true, _) => "the CPU can be debugged".into(),
                (false, Some(index)) => format!("gpus[{index}] can be debugged"),
                (false, None) => "no debugging".into(),
            };
            judged(
                "no debugging",
                !cpu && gpu.is_none(),
                Reason::DebugEnabled,
                found,
            )
        }),
        Clause::GpuArchitecture => {
            gpus.zip(policy.gpu_architecture.required())
                .map(|(gpus, allowed)| {
                    let other = gpus
                        .iter()
                        .filter_map(|gpu| gpu.claims.architecture())
                        .find(|a| !allowed.has_architecture(*a));
                    let found = other.map_or("all of them", crate::nvidia::Architecture::name);
                    judged(
                        names(*allowed, &[(0, "hopper"), (1, "blackwell")]),
                        other.is_none(),
                        Reason::GpuArchitectureRefused,
                        found,
                    )
                })
        }
        Clause::GpuCount => gpus.zip(policy.gpu_count.required()).map(|(gpus, least)| {
            let count = gpus.len();
            judged(
                format!("at least {least}"),
                count >= usize::from(*least),
                Reason::GpuTooFew,
                format!("{count}"),
            )
        }),
        Clause::GpuMode => gpus.zip(policy.gpu_mode.required()).map(|(gpus, allowed)| {
            let other = gpus
                .iter()
                .map(|gpu| gpu.claims.mode)
                .find(|mode| mode.is_none_or(|mode| !allowed.has_mode(mode)));
            let found = match other {
                None => "all of them",
                Some(None) => "a mode that the report does not name",
                Some(Some(mode)) => mode.name(),
            };
            judged(
                names(
                    *allowed,
                    &[(0, "single_gpu"), (1, "multi_gpu"), (2, "protected_pcie")],
                ),
                other.is_none(),
                Reason::GpuModeRefused,
                found,
            )
        }),
        Clause::RimMatch => gpus.zip(policy.rim_match.required()).map(|(gpus, ())| {
            let failed = gpus
                .iter()
                .enumerate()
                .find_map(|(index, gpu)| gpu.manifests.as_ref().err().map(|r| (index, r)));
            (
                String::from("measurements of the vendor's manifests"),
                failed.map_or_else(
                    || Ok("all of them".into()),
                    |(index, rejection)| {
                        Err((rejection.reason, format!("gpus[{index}].{rejection}")))
                    },
                ),
            )
        }),
        Clause::Revocation => policy
            .revocation
            .required()
            .map(|most| revocation(devices, *most)),
        Clause::Workload => match policy.workload.required() {
            Some(allowed @ Workloads::Listed(_)) => cpu.map(|cpu| {
                let found = cpu.workload();
                judged(
                    "a workload that the policy allows",
                    allowed.allow(found, None),
                    Reason::WorkloadRefused,
                    format!("{found}"),
                )
            }),
            _ => None,
        },
        _ => None,
    }
}

fn revocation(devices: &Devices<'_>, most: u32) -> Judged {
    let expected = format!("an answer for every chain, at most {most} s old");
    match devices.revocation {
        Ok(made) => {
            let age = devices.at.since(*made);
            judged(
                expected,
                age <= u64::from(most),
                Reason::RevocationTooOld,
                format!("{age} s"),
            )
        }
        Err(rejection) => (expected, Err((rejection.reason, format!("{rejection}")))),
    }
}

fn cpu_tcb(cpu: &CpuClaims, tcb: &CpuTcb) -> Judged {
    match cpu {
        CpuClaims::SevSnp(snp) => judged(
            format!("at least {}", tcb.min_snp),
            snp.reported_tcb.covers(tcb.min_snp),
            Reason::CpuTcbTooLow,
            format!("{}", snp.reported_tcb),
        ),
        CpuClaims::Tdx { claims, unrated } => {
            let statuses = TcbStatus::ALL.map(|status| (status.bit(), status.name()));
            let expected = names(tcb.tdx_statuses, &statuses);
            // What the domain itself says needs no rating.
            let waived = |concern: &Concern| {
                let bit = concern.waiver_bit();
                bit.is_none_or(|bit| tcb.tdx_statuses.has_status(bit))
            };
            if let Some(concern) = claims.concerns().find(|concern| !waived(concern)) {
                return judged(
                    concern.waiver(),
                    false,
                    Reason::CpuAttributesRefused,
                    concern.meaning(),
                );
            }
            match (claims.status(), unrated) {
                (Some(status), _) => judged(
                    expected,
                    tcb.tdx_statuses.has_status(status.bit()),
                    Reason::PlatformStatusRefused,
                    status.name(),
                ),
                (None, Some(unrated)) => (expected, Err((unrated.reason, format!("{unrated}")))),
                (None, None) => judged(expected, false, Reason::TcbInfoMissing, "no rating"),
            }
        }
    }
}

fn requirements(claims: &SessionClaims, index: usize, asked: &Requirements) -> Judged {
    let expected = format!(
        "at least {} records, {} bytes and {} millionths well formed, of schema {}",
        asked.min_records, asked.min_bytes, asked.min_quality, asked.schema
    );
    let Some(measure) = claims.statement.datasets.get(index) else {
        return judged(
            expected,
            false,
            Reason::RequirementsUnmet,
            "no measure of this dataset",
        );
    };
    let holds = measure.records >= asked.min_records
        && measure.bytes >= asked.min_bytes
        && measure.quality >= asked.min_quality
        && (asked.schema.is_zero() || measure.schema == asked.schema);
    let found = format!(
        "{} records, {} bytes, {} millionths, schema {}",
        measure.records, measure.bytes, measure.quality, measure.schema
    );
    judged(expected, holds, Reason::RequirementsUnmet, found)
}
