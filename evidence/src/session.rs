//! Binds a bundle of evidence to one phase of one order.
//!
//! A bundle passes when its bytes are the announced ones, its statement answers the order's
//! challenge, every GPU and switch report answers the statement, and the CPU vouches for exactly
//! those reports and that statement (protocol, Bindings 1 to 6). What the devices are like is for
//! [`crate::judge`].

use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec::Vec;

use alloy_primitives::B256;
use vouch_protocol::{Counters, Phase, Reason, Statement, Transcript};

use crate::anchors::Anchors;
use crate::bundle::{Bundle, CpuEvidence, DeviceEvidence};
use crate::check::{Compared, Observe, Rule, ensure};
use crate::nvidia::{self, Kind};
use crate::policy::CpuKind;
use crate::rejection::Rejection;
use crate::sev_snp;
use crate::time::Time;
use crate::verifier::Verifier;

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
static PRIVILEGE: Rule = Rule {
    field: "cpu.report.vmpl",
    reason: Reason::CpuPrivilegeRefused,
    source: "AMD 56860, VMPL",
};

/// What the session's start showed, that its finish must show again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// When the start was observed.
    pub at: Time,
    /// The session's encryption key, as in the start verdict.
    pub session_key: B256,
    /// The devices, as in the start verdict.
    pub devices: Vec<B256>,
    /// The workload's digest, as in the start verdict.
    pub measurement: B256,
}

/// What evidence is expected to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Evidence for a start verdict.
    Start {
        /// Announced digest of the bundle.
        evidence: B256,
        /// [`vouch_protocol::challenge()`] of the phase.
        challenge: B256,
        /// When the challenge's block was made: the evidence is not older.
        challenged_at: Time,
        /// [`vouch_protocol::statement::inputs_digest`] of the order's assets.
        inputs: B256,
    },
    /// Evidence for a finish verdict.
    Finish {
        /// Announced digest of the bundle.
        evidence: B256,
        /// [`vouch_protocol::challenge()`] of the phase.
        challenge: B256,
        /// When the challenge's block was made.
        challenged_at: Time,
        /// [`vouch_protocol::statement::inputs_digest`] of the order's assets.
        inputs: B256,
        /// SHA-256 of the sealed outputs that the provider delivered.
        outputs: B256,
        /// What the start verdict said.
        started: Started,
    },
}

impl Expected {
    /// The phase that the evidence is for.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Start { .. } => Phase::Start,
            Self::Finish { .. } => Phase::Finish,
        }
    }

    const fn common(&self) -> (B256, B256, Time, B256) {
        match self {
            Self::Start {
                evidence,
                challenge,
                challenged_at,
                inputs,
            }
            | Self::Finish {
                evidence,
                challenge,
                challenged_at,
                inputs,
                ..
            } => (*evidence, *challenge, *challenged_at, *inputs),
        }
    }

    const fn started(&self) -> Option<&Started> {
        match self {
            Self::Start { .. } => None,
            Self::Finish { started, .. } => Some(started),
        }
    }
}

/// A GPU of the session, with what the collateral says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuClaims {
    /// What the GPU says of itself.
    pub claims: nvidia::Claims,
    /// Whether its measurements are those of its vendor's manifests, or why that is not known.
    pub manifests: Result<(), Rejection>,
    /// When the oldest of the revocation answers for its chain was made, or why there is none.
    pub revocation: Result<Time, Rejection>,
}

/// What the CPU says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpuClaims {
    /// AMD SEV-SNP.
    SevSnp(sev_snp::Claims),
}

impl CpuClaims {
    /// The kind of TEE.
    pub const fn kind(&self) -> CpuKind {
        match self {
            Self::SevSnp(_) => CpuKind::SevSnp,
        }
    }

    /// The identity under which the CPU is busy on chain.
    pub const fn device(&self) -> B256 {
        match self {
            Self::SevSnp(claims) => claims.device,
        }
    }

    /// The workload's digest: SHA-256 of the launch measurement.
    pub const fn workload(&self) -> B256 {
        match self {
            Self::SevSnp(claims) => claims.workload,
        }
    }

    /// Whether the host can look into the machine.
    pub const fn debug(&self) -> bool {
        match self {
            Self::SevSnp(claims) => claims.debug(),
        }
    }

    /// Whether the chain ends in a simulator's root.
    pub const fn simulated(&self) -> bool {
        match self {
            Self::SevSnp(claims) => claims.simulated,
        }
    }
}

/// What a session that was verified says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClaims {
    /// Start or finish.
    pub phase: Phase,
    /// SHA-256 of the bundle.
    pub evidence: B256,
    /// What the session says of itself.
    pub statement: Statement,
    /// Its GPUs.
    pub gpus: Vec<GpuClaims>,
    /// Its switches.
    pub switches: Vec<nvidia::Claims>,
    /// Its CPU.
    pub cpu: CpuClaims,
    /// Every device's identity on chain: GPUs, switches, CPU.
    pub devices: Vec<B256>,
    /// The attested workload's digest.
    pub measurement: B256,
    /// Most seconds that can have passed since the evidence was made.
    pub age: u64,
    /// Seconds since the start was observed. Finish only.
    pub duration: Option<u64>,
    /// Any chain ends in a simulator's root.
    pub simulated: bool,
    /// When it was verified.
    pub verified_at: Time,
}

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
    let cpu = cpu(&bundle.cpu, &report_data, verifier, observer)?;

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
            .map(|claims| crate::session::with_collateral(claims, &bundle, verifier))
            .collect(),
        switches,
        measurement: cpu.workload(),
        cpu,
        devices,
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
        Expected::Finish {
            outputs, started, ..
        } => {
            same(observer, &OUTPUTS, *outputs, statement.outputs)?;
            same(
                observer,
                &KEYS,
                started.session_key,
                statement.encryption_key,
            )
        }
    }
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

fn cpu<O: Observe>(
    evidence: &CpuEvidence,
    report_data: &[u8; 64],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<CpuClaims, Rejection> {
    observer.enter(|| "cpu".to_owned());
    let claims = match evidence {
        CpuEvidence::SevSnp { report, vek, chain } => {
            let chain = chain.as_ref().map(|chain| sev_snp::Chain {
                signer: &chain.signer,
                root: &chain.root,
            });
            sev_snp::Report::parse(report)
                .map_err(|rejection| rejection.within("report"))
                .and_then(|report| {
                    sev_snp::verify_observed(&report, vek, chain.as_ref(), verifier, observer)
                })
                .and_then(|authentic| {
                    sev_snp::check_report_data(&authentic, report_data, observer)?;
                    Ok(CpuClaims::SevSnp(authentic.claims()))
                })
        }
    };
    observer.leave();
    let claims = claims.map_err(|rejection| rejection.within("cpu"))?;
    // Below the highest privilege level, software that nobody measured can ask for reports.
    match &claims {
        CpuClaims::SevSnp(claims) => ensure(observer, &PRIVILEGE, claims.vmpl == 0, || {
            Compared::new("VMPL 0", format!("VMPL {}", claims.vmpl)).at(0x30)
        })?,
    }
    Ok(claims)
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

/// Adds what the bundle's collateral says of a GPU.
fn with_collateral(
    claims: nvidia::Claims,
    _bundle: &Bundle,
    _verifier: &Verifier<'_>,
) -> GpuClaims {
    let driver = claims.driver_version.clone().unwrap_or_default();
    GpuClaims {
        manifests: Err(Rejection::new(
            Reason::ManifestMissing,
            "collateral.manifests",
            format!(
                "manifests of driver {driver} and VBIOS {}",
                claims.vbios_version.as_deref().unwrap_or_default()
            ),
            "none",
        )),
        revocation: Err(Rejection::new(
            Reason::RevocationMissing,
            "collateral.ocsp",
            "answers for the chain of the GPU",
            "none",
        )),
        claims,
    }
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
