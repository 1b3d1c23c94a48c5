//! What an authentic report says, in owned form.

use alloc::string::String;
use alloc::vec::Vec;

use alloy_primitives::B256;
use vouch_protocol::{device, statement};

use super::chain::Endorsement;
use super::generation::{Generation, Tcb};
use super::report::GuestPolicy;
use super::verify::AuthenticReport;

/// What a SEV-SNP machine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Version of the report.
    pub version: u32,
    /// The processor's generation.
    pub generation: Generation,
    /// VCEK or VLEK.
    pub endorsement: Endorsement,
    /// The identity under which the machine is busy on chain: of the chip, or with a VLEK, which
    /// names no chip, of the guest.
    pub device: B256,
    /// The chip: eight bytes on Turin, else 64; empty with a VLEK.
    pub chip_id: Vec<u8>,
    /// The cloud provider. VLEK only.
    pub csp_id: Option<String>,
    /// Launch measurement of the guest.
    pub measurement: [u8; 48],
    /// The measurement's asset digest.
    pub workload: B256,
    /// 64 bytes of the guest's choice.
    pub report_data: [u8; 64],
    /// 32 bytes of the host's choice at launch.
    pub host_data: [u8; 32],
    /// What the guest's owner asked of the platform.
    pub policy: GuestPolicy,
    /// Privilege level that asked for the report.
    pub vmpl: u32,
    /// The guest's security version.
    pub guest_svn: u32,
    /// TCB that the signing key is certified for.
    pub reported_tcb: Tcb,
    /// TCB below which the platform cannot go back.
    pub committed_tcb: Tcb,
    /// TCB the platform runs.
    pub current_tcb: Tcb,
    /// TCB at the guest's launch.
    pub launch_tcb: Tcb,
    /// Bits about the platform.
    pub platform_info: u64,
    /// The chain ends in a simulator's root.
    pub simulated: bool,
}

impl Claims {
    /// The host can read the guest's memory.
    pub const fn debug(&self) -> bool {
        self.policy.debug()
    }
}

impl AuthenticReport<'_> {
    /// What the machine says, without the bytes it said it in.
    pub fn claims(&self) -> Claims {
        let (report, key) = (self.report(), self.device());
        let chip_id = key.hardware_id.clone().unwrap_or_default();
        Claims {
            version: report.version,
            generation: key.generation,
            endorsement: key.kind,
            device: match key.kind {
                Endorsement::Vcek => device::cpu(&chip_id),
                Endorsement::Vlek => device::cpu(report.report_id),
            },
            chip_id,
            csp_id: key.csp_id.clone(),
            measurement: *report.measurement,
            workload: statement::workload_digest(report.measurement),
            report_data: *report.report_data,
            host_data: *report.host_data,
            policy: report.policy,
            vmpl: report.vmpl,
            guest_svn: report.guest_svn,
            reported_tcb: report.reported_tcb,
            committed_tcb: report.committed_tcb,
            current_tcb: report.current_tcb,
            launch_tcb: report.launch_tcb,
            platform_info: report.platform_info,
            simulated: self.is_simulated(),
        }
    }
}
