//! Binds a bundle of evidence to one phase of one order.
//!
//! A bundle passes when its bytes are the announced ones, its statement answers the order's
//! challenge, every GPU and switch report answers the statement, and the CPU vouches for exactly
//! those reports and that statement (protocol, Bindings 1 to 6). What the devices are like is for
//! [`crate::judge`].

mod claims;
mod collateral;
mod expected;
mod supplement;

use std::borrow::ToOwned;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec::Vec;

use alloy_primitives::B256;
use vouch_protocol::{Counters, Reason, Statement, Transcript};

use crate::anchors::Anchors;
use crate::bundle::{Bundle, CpuEvidence, DeviceEvidence};
use crate::check::{Compared, Observe, Rule, ensure, skip};
use crate::nvidia::{self, Kind};
use crate::rejection::Rejection;
use crate::time::Time;
use crate::verifier::Verifier;
use crate::{sev_snp, tdx};

pub use claims::{CpuClaims, GpuClaims, SessionClaims};
pub use expected::{Expected, Started};
pub use supplement::Supplement;

const BINDINGS: &str = "Vouch protocol, Bindings";
static DIGEST: Rule = Rule {
    field: "bundle",
    reason: Reason::EvidenceDigestMismatch,
    source: BINDINGS,
};
static CHALLENGE: Rule = Rule {
    field: "statement.challenge",
    reason: Reason::ChallengeMismatch,
    source: BINDINGS,
};
static INPUTS: Rule = Rule {
    field: "statement.inputs",
    reason: Reason::InputsDigestMismatch,
    source: BINDINGS,
};
static OUTPUTS: Rule = Rule {
    field: "statement.outputs",
    reason: Reason::OutputsDigestMismatch,
    source: BINDINGS,
};
static UNTOUCHED: Rule = Rule {
    field: "statement.counters",
    reason: Reason::Malformed,
    source: BINDINGS,
};
static KEYS: Rule = Rule {
    field: "statement.encryption_key",
    reason: Reason::SessionMismatch,
    source: BINDINGS,
};
static DEVICES: Rule = Rule {
    field: "devices",
    reason: Reason::SessionMismatch,
    source: BINDINGS,
};
static DISTINCT: Rule = Rule {
    field: "devices",
    reason: Reason::GpuDuplicate,
    source: BINDINGS,
};
static KIND: Rule = Rule {
    field: "report",
    reason: Reason::GpuFamilyMismatch,
    source: BINDINGS,
};
static REVOCATION_LIST: Rule = Rule {
    field: "crl",
    reason: Reason::RevocationMissing,
    source: "AMD 57230, certificate revocation list",
};
static PRIVILEGE: Rule = Rule {
    field: "report.vmpl",
    reason: Reason::CpuPrivilegeRefused,
    source: "AMD 56860, VMPL",
};

/// Verifies a bundle for what is expected of it.
///
/// # Errors
/// The first [`Rejection`], whose path names the device: `gpus[1].report.signature`.
pub fn verify(
    bundle: &[u8],
    expected: &Expected,
    anchors: &Anchors,
    time: Time,
) -> Result<SessionClaims, Rejection> {
    verify_observed(bundle, expected, &Verifier::new(anchors, time), &mut ())
}

/// Verifies a bundle and shows every check to `observer`.
///
/// # Errors
/// As [`verify`].
pub fn verify_observed<O: Observe>(
    json: &[u8],
    expected: &Expected,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<SessionClaims, Rejection> {
    verify_with(json, expected, None, verifier, observer)
}

/// Verifies a bundle with collateral besides its own, which answers what the bundle's leaves open.
///
/// # Errors
/// As [`verify`].
pub fn verify_with<O: Observe>(
    json: &[u8],
    expected: &Expected,
    supplement: Option<&Supplement>,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<SessionClaims, Rejection> {
    let (evidence, _, challenged_at, _) = expected.common();
    let digest = Bundle::digest(json);
    same(observer, &DIGEST, evidence, digest)?;
    let bundle = Bundle::from_json(json)?;
    let statement = Statement::decode(&bundle.statement).map_err(|error| {
        Rejection::malformed("statement", "a session statement", format!("{error}"))
    })?;
    check_statement(&statement, expected, observer)?;

    let transcript = statement.transcript();
    let mut hashed = Vec::new();
    let gpus = devices(
        "gpus",
        &bundle.gpus,
        &transcript,
        verifier,
        &mut hashed,
        observer,
    )?;
    let switches = devices(
        "switches",
        &bundle.switches,
        &transcript,
        verifier,
        &mut hashed,
        observer,
    )?;
    check_distinct(gpus.iter().chain(&switches), observer)?;
    nvidia::check_topology(&gpus, &switches, observer)?;
    let report_data = transcript.report_data(hashed.iter().copied());
    let (cpu, cpu_revocation) = cpu(&bundle, supplement, &report_data, verifier, observer)?;

    let sources = collateral::sources(&bundle, supplement, verifier);
    let manifests = collateral::manifests(&sources, observer);
    // Every chain has an answer, or the clause says which has none.
    let revocation =
        collateral::revocation(&bundle, &sources, &manifests, observer).and_then(|devices| {
            cpu_revocation.map(|cpu| collateral::earlier(devices, cpu).unwrap_or(cpu))
        });
    let nvidia = gpus.iter().chain(&switches);
    let devices: Vec<B256> = nvidia
        .clone()
        .map(|claims| claims.device)
        .chain([cpu.device()])
        .collect();
    if let Some(started) = expected.started() {
        check_continued(started, &devices, cpu.workload(), observer)?;
    }
    let simulated = cpu.simulated() || nvidia.clone().any(|claims| claims.simulated);
    Ok(SessionClaims {
        phase: expected.phase(),
        evidence: digest,
        statement,
        gpus: gpus
            .into_iter()
            .map(|claims| collateral::compare(claims, &manifests, observer))
            .collect(),
        switches,
        measurement: cpu.workload(),
        cpu,
        devices,
        revocation,
        age: verifier.time.since(challenged_at),
        duration: expected
            .started()
            .map(|started| verifier.time.since(started.at)),
        simulated,
        verified_at: verifier.time,
    })
}

fn check_statement<O: Observe>(
    statement: &Statement,
    expected: &Expected,
    observer: &mut O,
) -> Result<(), Rejection> {
    let (_, challenge, _, inputs) = expected.common();
    same(observer, &CHALLENGE, challenge, statement.challenge)?;
    same(observer, &INPUTS, inputs, statement.inputs)?;
    match expected {
        Expected::Start { .. } => {
            same(observer, &OUTPUTS, B256::ZERO, statement.outputs)?;
            let untouched =
                statement.counters == Counters::default() && statement.datasets.is_empty();
            ensure(observer, &UNTOUCHED, untouched, || {
                let found = format!(
                    "{} bytes, {} rows, {} datasets measured",
                    statement.counters.output_bytes,
                    statement.counters.output_rows,
                    statement.datasets.len()
                );
                Compared::new("nothing counted or measured before the start", found)
            })
        }
        Expected::Heartbeat { started, .. } => {
            // Nothing has been delivered yet; what was counted so far is the session's business.
            same(observer, &OUTPUTS, B256::ZERO, statement.outputs)?;
            same_keys(started, statement, observer)
        }
        Expected::Finish {
            outputs, started, ..
        } => {
            same(observer, &OUTPUTS, *outputs, statement.outputs)?;
            same_keys(started, statement, observer)
        }
    }
}

fn same_keys<O: Observe>(
    started: &Started,
    statement: &Statement,
    observer: &mut O,
) -> Result<(), Rejection> {
    same(
        observer,
        &KEYS,
        started.session_key,
        statement.encryption_key,
    )
}

fn devices<'a, O: Observe>(
    list: &str,
    evidence: &'a [DeviceEvidence],
    transcript: &Transcript,
    verifier: &Verifier<'_>,
    hashed: &mut Vec<&'a [u8]>,
    observer: &mut O,
) -> Result<Vec<nvidia::Claims>, Rejection> {
    let nonce = transcript.gpu_nonce();
    let mut found = Vec::with_capacity(evidence.len());
    for (index, device) in evidence.iter().enumerate() {
        let scope = || format!("{list}[{index}]");
        observer.enter(scope);
        let claims = verify_device(device, list == "gpus", &nonce, verifier, hashed, observer);
        observer.leave();
        found.push(claims.map_err(|rejection| rejection.within(&scope()))?);
    }
    Ok(found)
}

fn verify_device<'a, O: Observe>(
    device: &'a DeviceEvidence,
    is_gpu: bool,
    nonce: &[u8; 32],
    verifier: &Verifier<'_>,
    hashed: &mut Vec<&'a [u8]>,
    observer: &mut O,
) -> Result<nvidia::Claims, Rejection> {
    let report = nvidia::Report::parse(&device.report)?;
    let chain: Vec<&[u8]> = device.chain.iter().map(Vec::as_slice).collect();
    let authentic = nvidia::verify_observed(&report, &chain, verifier, observer)?;
    nvidia::check_nonce(&authentic, nonce, observer)?;
    let claims = authentic.claims();
    ensure(
        observer,
        &KIND,
        matches!(claims.kind, Kind::Gpu(_)) == is_gpu,
        || {
            Compared::new(
                if is_gpu { "a GPU" } else { "an NVSwitch" },
                format!("a {}", claims.kind),
            )
        },
    )?;
    hashed.push(report.bytes);
    Ok(claims)
}

/// What the CPU says, and when the revocation list for its chain was made.
type Cpu = (CpuClaims, Result<Time, Rejection>);

fn cpu<O: Observe>(
    bundle: &Bundle,
    supplement: Option<&Supplement>,
    report_data: &[u8; 64],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Cpu, Rejection> {
    observer.enter(|| "cpu".to_owned());
    let claims = match &bundle.cpu {
        CpuEvidence::SevSnp { report, vek, chain } => {
            let chain = chain.as_ref().map(|chain| sev_snp::Chain {
                signer: &chain.signer,
                root: &chain.root,
            });
            sev_snp(
                report,
                vek,
                chain.as_ref(),
                &collateral::sources(bundle, supplement, verifier),
                report_data,
                verifier,
                observer,
            )
        }
        CpuEvidence::Tdx { quote, collateral } => tdx(
            quote,
            collateral.as_deref(),
            supplement,
            report_data,
            verifier,
            observer,
        ),
    };
    observer.leave();
    claims.map_err(|rejection| rejection.within("cpu"))
}

fn sev_snp<O: Observe>(
    report: &[u8],
    vek: &[u8],
    chain: Option<&sev_snp::Chain<'_>>,
    sources: &[collateral::Source<'_>],
    report_data: &[u8; 64],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Cpu, Rejection> {
    let report = sev_snp::Report::parse(report).map_err(|rejection| rejection.within("report"))?;
    let authentic = sev_snp::verify_observed(&report, vek, chain, verifier, observer)?;
    sev_snp::check_report_data(&authentic, report_data, observer)?;
    // Below the highest privilege level, software that nobody measured can ask for reports.
    ensure(observer, &PRIVILEGE, report.vmpl == 0, || {
        Compared::new("VMPL 0", format!("VMPL {}", report.vmpl)).at(0x30)
    })?;
    if sources
        .iter()
        .all(|source| source.documents.crls.is_empty())
    {
        let needed = "the revocation list of AMD's root";
        skip(observer, &REVOCATION_LIST, needed, "none");
    }
    let revocation = collateral::settle(sources.iter(), |source| {
        let lists = &source.documents.crls;
        sev_snp::check_revocation(&authentic, lists, source.verifier.time, observer)
    });
    Ok((CpuClaims::SevSnp(Box::new(authentic.claims())), revocation))
}

fn tdx<O: Observe>(
    quote: &[u8],
    own: Option<&[u8]>,
    supplement: Option<&Supplement>,
    report_data: &[u8; 64],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Cpu, Rejection> {
    let quote = tdx::Quote::parse(quote).map_err(|rejection| rejection.within("quote"))?;
    let missing = |reason| {
        Rejection::new(
            reason,
            "collateral",
            "Intel's collateral for the platform",
            "none",
        )
    };
    let more = supplement.map(|supplement| {
        let later = collateral::later(verifier, supplement);
        (supplement.tdx.as_deref(), later)
    });
    let sources = [(own, *verifier)].into_iter().chain(more);
    // Intel's collateral that is missing or stale is not the platform's fault: clauses that need it
    // stay open. Anything else about it is.
    let collateral = collateral::settle(sources, |(json, verifier)| {
        let json = json.ok_or_else(|| missing(Reason::TcbInfoMissing))?;
        let collateral = tdx::Collateral::from_json(json)?;
        let authentic = tdx::verify_collateral(&collateral, &verifier, observer)?;
        Ok((authentic, verifier))
    });
    let collateral = match collateral {
        Err(rejection) if rejection.class().is_conclusive() => return Err(rejection),
        other => other,
    };
    let (collateral, verifier) = match collateral {
        Ok((collateral, verifier)) => (Ok(collateral), verifier),
        Err(rejection) => (Err(rejection), *verifier),
    };
    let authentic = tdx::verify_observed(&quote, collateral.as_ref().ok(), &verifier, observer)?;
    tdx::check_report_data(&authentic, report_data, observer)?;
    let revocation = match &collateral {
        Ok(collateral) => Ok(collateral.revocation_made),
        Err(rejection) if rejection.reason == Reason::TcbInfoMissing => {
            Err(missing(Reason::RevocationMissing))
        }
        Err(rejection) => Err(rejection.clone()),
    };
    Ok((
        CpuClaims::Tdx {
            claims: Box::new(authentic.claims()),
            unrated: collateral.err(),
        },
        revocation,
    ))
}

/// No device counts twice, whatever firmware it runs: neither its leaf nor its chip.
fn check_distinct<'a, O: Observe>(
    claims: impl Iterator<Item = &'a nvidia::Claims> + Clone,
    observer: &mut O,
) -> Result<(), Rejection> {
    let repeated = claims.clone().enumerate().find(|(index, one)| {
        claims
            .clone()
            .take(*index)
            .any(|other| other.device == one.device || (one.pdi.is_some() && other.pdi == one.pdi))
    });
    ensure(observer, &DISTINCT, repeated.is_none(), || {
        let found: String = match repeated {
            Some((index, claims)) => format!("device {index}, {}, a second time", claims.device),
            None => "distinct devices".into(),
        };
        Compared::new("each device once", found)
    })
}

/// The finish comes from the machine that started.
fn check_continued<O: Observe>(
    started: &Started,
    devices: &[B256],
    workload: B256,
    observer: &mut O,
) -> Result<(), Rejection> {
    let sorted = |devices: &[B256]| {
        let mut devices = devices.to_vec();
        devices.sort_unstable();
        devices
    };
    ensure(
        observer,
        &DEVICES,
        sorted(&started.devices) == sorted(devices),
        || {
            Compared::new(
                format!("the devices that started, {:?}", started.devices),
                format!("{devices:?}"),
            )
        },
    )?;
    ensure(observer, &DEVICES, started.measurement == workload, || {
        Compared::new(
            format!("the workload that started, {}", started.measurement),
            format!("{workload}"),
        )
    })
}

fn same<O: Observe>(
    observer: &mut O,
    rule: &'static Rule,
    expected: B256,
    found: B256,
) -> Result<(), Rejection> {
    ensure(observer, rule, expected == found, || {
        Compared::new(format!("{expected}"), format!("{found}"))
    })
}
