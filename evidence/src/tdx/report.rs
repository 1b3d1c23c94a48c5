//! What the TDX module says of a trust domain, in its three sizes.
//!
//! Source: Intel, TDX Module ABI Specification, `TDREPORT_STRUCT`, and the quote's body types.

use alloc::format;

use vouch_protocol::Reason;

use crate::cursor::Cursor;
use crate::rejection::Rejection;

/// Offset of the report data in a report.
pub const REPORT_DATA_AT: usize = 520;

/// Which report a quote carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// TDX 1.0, 584 bytes.
    Td10,
    /// TDX 1.5, 648 bytes.
    Td15,
    /// TDX 1.5 with service domains described, 885 bytes.
    Td15Ex,
}

impl Kind {
    /// Bytes of a report.
    pub const fn size(self) -> usize {
        match self {
            Self::Td10 => 584,
            Self::Td15 => 648,
            Self::Td15Ex => 885,
        }
    }

    /// `TD 1.0`, `TD 1.5` or `TD 1.5-Ex`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Td10 => "TD 1.0",
            Self::Td15 => "TD 1.5",
            Self::Td15Ex => "TD 1.5-Ex",
        }
    }

    /// Version 4 has only one kind; version 5 names it and its size.
    pub(crate) fn read(version: u16, input: &mut Cursor<'_>) -> Result<Self, Rejection> {
        if version == 4 {
            return Ok(Self::Td10);
        }
        let at = input.offset();
        let number = input.u16("body.type")?;
        let kind = match number {
            2 => Self::Td10,
            3 => Self::Td15,
            4 => Self::Td15Ex,
            _ => {
                return Err(Rejection::new(
                    if number == 1 {
                        Reason::DeviceUnsupported
                    } else {
                        Reason::VersionUnsupported
                    },
                    "body.type",
                    "2 (TD 1.0), 3 (TD 1.5) or 4 (TD 1.5-Ex)",
                    format!("{number}"),
                )
                .at(at));
            }
        };
        let at = input.offset();
        let size = input.u32("body.size")?;
        if usize::try_from(size) != Ok(kind.size()) {
            return Err(Rejection::malformed(
                "body.size",
                format!("{} bytes of {}", kind.size(), kind.name()),
                format!("{size}"),
            )
            .at(at));
        }
        Ok(kind)
    }
}

/// `ATTRIBUTES` of a trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes(pub u64);

impl Attributes {
    /// Bits 1 to 3, 7 to 15, 23 to 26 and 32 to 61 must be zero.
    const RESERVED: u64 = 0x3fff_ffff_0780_ff8e;

    /// The host can look into the domain: any of the bits for domains under debug, 0 to 7.
    pub const fn debug(self) -> bool {
        self.0 & 0xff != 0
    }

    /// Reserved bits that are set.
    pub const fn reserved(self) -> u64 {
        self.0 & Self::RESERVED
    }

    /// Service domains are described and bound.
    pub const fn service_td_extension(self) -> bool {
        self.0 & (1 << 17) != 0
    }

    /// The host cannot surprise the domain's kernel by taking pages away.
    pub const fn sept_ve_disable(self) -> bool {
        self.0 & (1 << 28) != 0
    }

    /// A migration domain can move the domain to another machine.
    pub const fn migratable(self) -> bool {
        self.0 & (1 << 29) != 0
    }
}

/// What only TDX 1.5 reports.
#[derive(Clone, Copy, Debug)]
pub struct Td15<'a> {
    /// The TCB now, which differs from the one at launch after an update that preserved domains.
    pub current_tcb_svn: &'a [u8; 16],
    /// Digest over the service domains that are bound; zero where there are none.
    pub mr_service_td: &'a [u8; 48],
}

/// A trust domain's report.
#[derive(Clone, Copy, Debug)]
pub struct TdReport<'a> {
    /// TDX 1.0, 1.5 or 1.5-Ex.
    pub kind: Kind,
    /// The TCB at the domain's launch: security version of the module, its major version, others.
    pub tcb_svn: &'a [u8; 16],
    /// Measurement of the TDX module.
    pub mr_seam: &'a [u8; 48],
    /// Who signed the module: zero for Intel.
    pub mr_signer_seam: &'a [u8; 48],
    /// The module's attributes.
    pub seam_attributes: &'a [u8; 8],
    /// The domain's attributes.
    pub attributes: Attributes,
    /// Extended features the domain may use.
    pub xfam: u64,
    /// Measurement of the domain at its launch.
    pub mr_td: &'a [u8; 48],
    /// 48 bytes of configuration, of the owner's choice.
    pub mr_config_id: &'a [u8; 48],
    /// The owner.
    pub mr_owner: &'a [u8; 48],
    /// The owner's configuration.
    pub mr_owner_config: &'a [u8; 48],
    /// Measurements that the domain extended while it ran.
    pub rtmr: [&'a [u8; 48]; 4],
    /// 64 bytes of the domain's choice.
    pub report_data: &'a [u8; 64],
    /// What only TDX 1.5 reports.
    pub td15: Option<Td15<'a>>,
}

impl<'a> TdReport<'a> {
    pub(crate) fn read(kind: Kind, input: &mut Cursor<'a>) -> Result<Self, Rejection> {
        let at = input.offset();
        let mut body = Cursor::within(input.bytes(kind.size(), "report")?, at);
        let input = &mut body;
        let mut report = Self {
            kind,
            tcb_svn: input.array("report.tee_tcb_svn")?,
            mr_seam: input.array("report.mr_seam")?,
            mr_signer_seam: input.array("report.mr_signer_seam")?,
            seam_attributes: input.array("report.seam_attributes")?,
            attributes: Attributes(input.u64("report.td_attributes")?),
            xfam: input.u64("report.xfam")?,
            mr_td: input.array("report.mr_td")?,
            mr_config_id: input.array("report.mr_config_id")?,
            mr_owner: input.array("report.mr_owner")?,
            mr_owner_config: input.array("report.mr_owner_config")?,
            rtmr: [
                input.array("report.rtmr0")?,
                input.array("report.rtmr1")?,
                input.array("report.rtmr2")?,
                input.array("report.rtmr3")?,
            ],
            report_data: input.array("report.report_data")?,
            td15: None,
        };
        if kind != Kind::Td10 {
            report.td15 = Some(Td15 {
                current_tcb_svn: input.array("report.tee_tcb_svn2")?,
                mr_service_td: input.array("report.mr_service_td")?,
            });
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_attributes_are_the_specified_ones() {
        let reserved: u64 = (1..=3)
            .chain(7..=15)
            .chain(23..=26)
            .chain(32..=61)
            .map(|bit| 1u64 << bit)
            .sum();
        assert_eq!(Attributes::RESERVED, reserved);
        assert_eq!(Attributes(u64::MAX).reserved(), reserved);
    }

    #[test]
    fn each_debug_bit_counts() {
        assert!((0..8).all(|bit| Attributes(1 << bit).debug()));
        assert!(!Attributes(!0xff).debug());
    }
}
