//! What a verified session says.

use std::boxed::Box;
use std::vec::Vec;

use alloy_primitives::B256;
use vouch_protocol::{Phase, Statement};

use crate::judge::Devices;
use crate::nvidia;
use crate::policy::CpuKind;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::{sev_snp, tdx};

/// A GPU of the session, with what the collateral says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuClaims {
    /// What the GPU says of itself.
    pub claims: nvidia::Claims,
    /// Whether its measurements are those of its vendor's manifests, or why that is not known.
    pub manifests: Result<(), Rejection>,
}

/// What the CPU says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpuClaims {
    /// AMD SEV-SNP.
    SevSnp(Box<sev_snp::Claims>),
    /// Intel TDX.
    Tdx {
        /// What the trust domain says of itself, and Intel of its platform.
        claims: Box<tdx::Claims>,
        /// Why Intel says nothing of the platform, where it does not.
        unrated: Option<Rejection>,
    },
}

impl CpuClaims {
    /// The kind of TEE.
    pub const fn kind(&self) -> CpuKind {
        match self {
            Self::SevSnp(_) => CpuKind::SevSnp,
            Self::Tdx { .. } => CpuKind::Tdx,
        }
    }

    /// The identity under which the CPU is busy on chain.
    pub fn device(&self) -> B256 {
        match self {
            Self::SevSnp(claims) => claims.device,
            Self::Tdx { claims, .. } => claims.device,
        }
    }

    /// The workload's digest: SHA-256 of the launch measurement.
    pub fn workload(&self) -> B256 {
        match self {
            Self::SevSnp(claims) => claims.workload,
            Self::Tdx { claims, .. } => claims.workload,
        }
    }

    /// Whether the host can look into the machine.
    pub fn debug(&self) -> bool {
        match self {
            Self::SevSnp(claims) => claims.debug(),
            Self::Tdx { claims, .. } => claims.debug(),
        }
    }

    /// Whether the chain ends in a simulator's root.
    pub fn simulated(&self) -> bool {
        match self {
            Self::SevSnp(claims) => claims.simulated,
            Self::Tdx { claims, .. } => claims.simulated,
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
    /// When the oldest revocation answer for any chain of the session was made, or why one of them
    /// has none that counts.
    pub revocation: Result<Time, Rejection>,
    /// Most seconds that can have passed since the evidence was made.
    pub age: u64,
    /// Seconds since the start was observed. Finish only.
    pub duration: Option<u64>,
    /// Any chain ends in a simulator's root.
    pub simulated: bool,
    /// When it was verified.
    pub verified_at: Time,
}

impl SessionClaims {
    pub(crate) fn as_devices(&self) -> Devices<'_> {
        Devices {
            gpus: Some(&self.gpus),
            cpu: Some(&self.cpu),
            revocation: &self.revocation,
            at: self.verified_at,
        }
    }
}
