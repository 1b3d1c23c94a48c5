//! A usage policy of the contracts as the verifier judges by it.

use vouch_evidence::policy::{Bits, CpuTcb, Policy, Term, Workloads};
use vouch_evidence::sev_snp::Tcb;
use vouch_protocol::{Clause, Clauses};

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
    // Whether the order's workload is in a tree, or its publisher's, the chain has checked.
    let workloads = match policy.workloadRoot.is_zero() && policy.publisher.is_zero() {
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
