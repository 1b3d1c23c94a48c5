//! Usage policies, as far as a verdict judges them: each clause a requirement or an explicit *any*.

use std::string::String;
use std::vec::Vec;

use alloy_primitives::B256;
use vouch_protocol::{Clause, Clauses};

use crate::nvidia::{Architecture, Mode};
use crate::sev_snp::Tcb;

/// One clause. There is no third state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term<T> {
    /// The policy does not care.
    Any,
    /// The policy asks for this.
    Require(T),
}

impl<T> Term<T> {
    /// What is asked for.
    pub const fn required(&self) -> Option<&T> {
        match self {
            Self::Any => None,
            Self::Require(value) => Some(value),
        }
    }
}

/// A kind of CPU TEE; the discriminant is its bit in `Policy.cpuKinds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CpuKind {
    /// AMD SEV-SNP.
    SevSnp = 0,
    /// Intel TDX.
    Tdx = 1,
}

impl CpuKind {
    /// `sev_snp` or `tdx`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SevSnp => "sev_snp",
            Self::Tdx => "tdx",
        }
    }
}

/// A set that a bit mask of the contracts stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits(pub u16);

impl Bits {
    const fn has(self, bit: u32) -> bool {
        self.0 & 1u16.wrapping_shl(bit) != 0
    }

    /// Whether a CPU kind is in `Policy.cpuKinds`.
    pub const fn has_cpu(self, kind: CpuKind) -> bool {
        self.has(match kind {
            CpuKind::SevSnp => 0,
            CpuKind::Tdx => 1,
        })
    }

    /// Whether an architecture is in `Policy.gpuArchitectures`.
    pub const fn has_architecture(self, architecture: Architecture) -> bool {
        self.has(match architecture {
            Architecture::Hopper => 0,
            Architecture::Blackwell => 1,
        })
    }

    /// Whether a mode is in `Policy.gpuModes`.
    pub const fn has_mode(self, mode: Mode) -> bool {
        self.has(match mode {
            Mode::Single => 0,
            Mode::Multi => 1,
            Mode::ProtectedPcie => 2,
        })
    }

    /// Whether a TDX status with this bit is in `Policy.tdxStatuses`.
    pub const fn has_status(self, bit: u32) -> bool {
        self.has(bit)
    }
}

/// What a CPU's TCB must be, for each kind of TEE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTcb {
    /// SEV-SNP: smallest reported TCB, byte by byte.
    pub min_snp: Tcb,
    /// TDX: statuses that are good enough, and concerns that are waived
    /// ([`crate::tdx::Concern::waiver_bit`]). A concern that is not waived is refused.
    pub tdx_statuses: Bits,
}

/// Which workloads a policy allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workloads {
    /// These digests.
    Listed(Vec<B256>),
    /// The order's own, which was proven on chain to be in the policy's tree when it was placed.
    Ordered,
}

impl Workloads {
    /// Whether the policy allows `digest` in an order of the workload `ordered`.
    pub fn allow(&self, digest: B256, ordered: Option<B256>) -> bool {
        match self {
            Self::Listed(list) => list.contains(&digest),
            Self::Ordered => ordered == Some(digest),
        }
    }
}

/// The attested clauses of a usage policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// [`Clause::CpuKind`]
    pub cpu_kind: Term<Bits>,
    /// [`Clause::CpuTcb`]
    pub cpu_tcb: Term<CpuTcb>,
    /// [`Clause::DebugOff`]
    pub debug_off: Term<()>,
    /// [`Clause::GpuArchitecture`]
    pub gpu_architecture: Term<Bits>,
    /// [`Clause::GpuCount`]
    pub gpu_count: Term<u8>,
    /// [`Clause::GpuMode`]
    pub gpu_mode: Term<Bits>,
    /// [`Clause::RimMatch`]
    pub rim_match: Term<()>,
    /// [`Clause::Revocation`]: greatest age in seconds.
    pub revocation: Term<u32>,
    /// [`Clause::EvidenceAge`]: greatest age in seconds.
    pub evidence_age: Term<u32>,
    /// [`Clause::Workload`]
    pub workload: Term<Workloads>,
    /// [`Clause::MaxDuration`]: seconds.
    pub max_duration: Term<u32>,
    /// [`Clause::OutputBytes`]
    pub output_bytes: Term<u64>,
    /// [`Clause::OutputRows`]
    pub output_rows: Term<u64>,
    /// [`Clause::Export`]: outputs must not be exported.
    pub export: Term<()>,
}

impl Policy {
    /// The policy that asks for nothing.
    pub const fn any() -> Self {
        Self {
            cpu_kind: Term::Any,
            cpu_tcb: Term::Any,
            debug_off: Term::Any,
            gpu_architecture: Term::Any,
            gpu_count: Term::Any,
            gpu_mode: Term::Any,
            rim_match: Term::Any,
            revocation: Term::Any,
            evidence_age: Term::Any,
            workload: Term::Any,
            max_duration: Term::Any,
            output_bytes: Term::Any,
            output_rows: Term::Any,
            export: Term::Any,
        }
    }

    /// The clauses that are required.
    pub const fn required(&self) -> Clauses {
        let mut clauses = Clauses::NONE;
        macro_rules! add {
            ($($field:ident $clause:ident),* $(,)?) => {
                $(if self.$field.required().is_some() { clauses = clauses.with(Clause::$clause); })*
            };
        }
        add!(
            cpu_kind CpuKind,
            cpu_tcb CpuTcb,
            debug_off DebugOff,
            gpu_architecture GpuArchitecture,
            gpu_count GpuCount,
            gpu_mode GpuMode,
            rim_match RimMatch,
            revocation Revocation,
            evidence_age EvidenceAge,
            workload Workload,
            max_duration MaxDuration,
            output_bytes OutputBytes,
            output_rows OutputRows,
            export Export,
        );
        clauses
    }
}

/// What a dataset must measure to be worth paying for. Zero asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Records.
    pub min_records: u64,
    /// Bytes, decrypted.
    pub min_bytes: u64,
    /// SHA-256 of the schema.
    pub schema: B256,
    /// Share of well-formed records, in millionths.
    pub min_quality: u32,
}

/// Names in a set of bits, for messages.
pub(crate) fn names(bits: Bits, all: &[(u32, &'static str)]) -> String {
    let names: Vec<&str> = all
        .iter()
        .filter(|(bit, _)| bits.has(*bit))
        .map(|(_, name)| *name)
        .collect();
    names.join(" or ")
}
