//! What an authentic quote says, in owned form.

use alloy_primitives::B256;
use vouch_protocol::{device, statement};

use super::pck::SgxType;
use super::report::{Attributes, Kind};
use super::status::TcbStatus;
use super::tcb::Appraisal;
use super::verify::AuthenticQuote;

/// What a TDX trust domain says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Version of the quote: 4 or 5.
    pub version: u16,
    /// TDX 1.0, 1.5 or 1.5-Ex.
    pub kind: Kind,
    /// The identity under which the machine is busy on chain.
    pub device: B256,
    /// The platform as set up, where it can have several processors.
    pub platform_instance: Option<[u8; 16]>,
    /// The processor.
    pub ppid: [u8; 16],
    /// Family, model, stepping, platform and configuration.
    pub fmspc: [u8; 6],
    /// The platform's memory protection.
    pub sgx_type: SgxType,
    /// Measurement of the domain at its launch (MRTD).
    pub measurement: [u8; 48],
    /// The measurement's asset digest.
    pub workload: B256,
    /// Measurements that the domain extended while it ran.
    pub rtmr: [[u8; 48]; 4],
    /// 64 bytes of the domain's choice.
    pub report_data: [u8; 64],
    /// The domain's attributes.
    pub attributes: Attributes,
    /// Extended features the domain may use.
    pub xfam: u64,
    /// 48 bytes of configuration, of the owner's choice.
    pub config_id: [u8; 48],
    /// The owner.
    pub owner: [u8; 48],
    /// The owner's configuration.
    pub owner_config: [u8; 48],
    /// Digest over the service domains that are bound: `None` where there are none, or where TDX 1.0
    /// does not say.
    pub service_td: Option<[u8; 48]>,
    /// Measurement of the TDX module.
    pub module: [u8; 48],
    /// The TCB at the domain's launch.
    pub tcb_svn: [u8; 16],
    /// The TCB now. TDX 1.5 only.
    pub current_tcb_svn: Option<[u8; 16]>,
    /// What Intel says of the platform; `None` where no collateral was given.
    pub appraisal: Option<Appraisal>,
    /// Bytes after the quote, which nothing vouches for.
    pub trailing: usize,
    /// The chain ends in a simulator's root.
    pub simulated: bool,
}

/// Something about a trust domain that a careful policy does not accept in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Concern {
    /// The host can look into the domain.
    Debug,
    /// Attribute bits are set that nobody here knows.
    ReservedAttributes,
    /// The host can surprise the domain's kernel by taking pages away.
    SeptVeEnabled,
    /// A migration domain can move the domain to another machine.
    Migratable,
    /// Service domains are bound, which can look into the domain.
    ServiceTd,
}

impl Concern {
    /// Every concern that a policy can waive, by bit. Debugging has a clause of its own.
    pub const WAIVABLE: [Self; 4] = [
        Self::ReservedAttributes,
        Self::SeptVeEnabled,
        Self::Migratable,
        Self::ServiceTd,
    ];

    /// The bit in `Policy.tdxStatuses` with which a policy waives it, after those of the statuses.
    pub const fn waiver_bit(self) -> Option<u32> {
        match self {
            Self::Debug => None,
            Self::ReservedAttributes => Some(9),
            Self::SeptVeEnabled => Some(10),
            Self::Migratable => Some(11),
            Self::ServiceTd => Some(12),
        }
    }

    /// The name of the waiver in policy files and messages.
    pub const fn waiver(self) -> &'static str {
        match self {
            Self::Debug => "",
            Self::ReservedAttributes => "AllowReservedAttributes",
            Self::SeptVeEnabled => "AllowSeptVe",
            Self::Migratable => "AllowMigration",
            Self::ServiceTd => "AllowServiceTd",
        }
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Debug => "the host can look into the domain",
            Self::ReservedAttributes => "reserved attribute bits are set",
            Self::SeptVeEnabled => "SEPT_VE_DISABLE is off",
            Self::Migratable => "the domain can be moved to another machine",
            Self::ServiceTd => "service domains are bound",
        }
    }
}

impl Claims {
    /// The host can look into the domain.
    pub const fn debug(&self) -> bool {
        self.attributes.debug()
    }

    /// How Intel rates the platform, where collateral was given.
    pub fn status(&self) -> Option<TcbStatus> {
        self.appraisal.as_ref().map(|appraisal| appraisal.status)
    }

    /// What a careful policy looks at.
    pub fn concerns(&self) -> impl Iterator<Item = Concern> {
        let attributes = self.attributes;
        [
            (attributes.debug(), Concern::Debug),
            (attributes.reserved() != 0, Concern::ReservedAttributes),
            (!attributes.sept_ve_disable(), Concern::SeptVeEnabled),
            (attributes.migratable(), Concern::Migratable),
            (
                self.service_td.is_some() || attributes.service_td_extension(),
                Concern::ServiceTd,
            ),
        ]
        .into_iter()
        .filter_map(|(holds, concern)| holds.then_some(concern))
    }
}

impl AuthenticQuote<'_> {
    /// What the domain says, without the bytes it said it in.
    pub fn claims(&self) -> Claims {
        let (quote, platform) = (self.report(), self.device());
        let (report, pck) = (&quote.report, &platform.pck);
        Claims {
            version: quote.version,
            kind: report.kind,
            device: device::cpu(pck.platform()),
            platform_instance: pck.platform_instance,
            ppid: pck.ppid,
            fmspc: pck.fmspc,
            sgx_type: pck.sgx_type,
            measurement: *report.mr_td,
            workload: statement::workload_digest(report.mr_td),
            rtmr: report.rtmr.map(|rtmr| *rtmr),
            report_data: *report.report_data,
            attributes: report.attributes,
            xfam: report.xfam,
            config_id: *report.mr_config_id,
            owner: *report.mr_owner,
            owner_config: *report.mr_owner_config,
            service_td: report
                .td15
                .map(|td15| *td15.mr_service_td)
                .filter(|digest| digest.iter().any(|byte| *byte != 0)),
            module: *report.mr_seam,
            tcb_svn: *report.tcb_svn,
            current_tcb_svn: report.td15.map(|td15| *td15.current_tcb_svn),
            appraisal: platform.appraisal.clone(),
            trailing: quote.trailing,
            simulated: self.is_simulated(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tdx::TcbStatus;

    #[test]
    fn waivers_follow_the_statuses() {
        let first = u32::try_from(TcbStatus::ALL.len()).unwrap();
        for (bit, concern) in (first..).zip(Concern::WAIVABLE) {
            assert_eq!(concern.waiver_bit(), Some(bit));
            assert!(concern.waiver().starts_with("Allow"));
        }
    }
}
