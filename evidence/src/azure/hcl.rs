//! The paravisor's report as bytes.

use std::format;

use crate::cursor::Cursor;
use crate::rejection::Rejection;
use crate::sev_snp::REPORT_LEN;

const MAX_HCL_LEN: usize = 16 * 1024;
/// Bytes of a `TDREPORT_STRUCT`.
const TD_REPORT_LEN: usize = 1024;
const RUNTIME_HEADER_LEN: u32 = 20;

/// The hardware's report, unverified.
#[derive(Clone, Copy, Debug)]
pub enum Hardware<'a> {
    /// `ATTESTATION_REPORT`.
    SevSnp(&'a [u8]),
    /// `TDREPORT_STRUCT`, which nobody outside the machine can verify.
    Tdx(&'a [u8]),
}

/// A parsed report of the paravisor.
#[derive(Clone, Copy, Debug)]
pub struct HclReport<'a> {
    /// The hardware's report.
    pub hardware: Hardware<'a>,
    /// JSON whose SHA-256 is in the hardware's report data.
    pub runtime_data: &'a [u8],
}

impl<'a> HclReport<'a> {
    /// Reads one report.
    ///
    /// # Errors
    /// `malformed`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        if bytes.len() > MAX_HCL_LEN {
            return Err(Rejection::malformed(
                "hcl",
                format!("at most {MAX_HCL_LEN} bytes"),
                format!("{} bytes", bytes.len()),
            ));
        }
        let mut input = Cursor::new(bytes);
        expect(&mut input, "hcl.signature", u32::from_le_bytes(*b"HCLA"))?;
        let at = input.offset();
        let version = input.u32("hcl.version")?;
        if !(1..=2).contains(&version) {
            return Err(Rejection::new(
                vouch_protocol::Reason::VersionUnsupported,
                "hcl.version",
                "1 or 2",
                format!("{version}"),
            )
            .at(at));
        }
        input.array::<24>("hcl.header")?;
        let slot = input.bytes(REPORT_LEN, "hcl.hardware")?;
        let at = input.offset();
        let size = input.u32("hcl.runtime.size")?;
        expect(&mut input, "hcl.runtime.version", 1)?;
        let kind_at = input.offset();
        let kind = input.u32("hcl.runtime.report_type")?;
        expect(&mut input, "hcl.runtime.hash_type", 1)?;
        let length = input.u32("hcl.runtime.length")?;
        if size != length.saturating_add(RUNTIME_HEADER_LEN) {
            return Err(Rejection::malformed(
                "hcl.runtime.size",
                format!("{}", length.saturating_add(RUNTIME_HEADER_LEN)),
                format!("{size}"),
            )
            .at(at));
        }
        let runtime_data = input.bytes(
            usize::try_from(length).unwrap_or(usize::MAX),
            "hcl.runtime.data",
        )?;
        let rest = input.rest().len();
        input.zeros(rest, "hcl after the runtime data")?;
        let hardware = match kind {
            2 => Hardware::SevSnp(slot),
            4 => {
                let mut slot = Cursor::within(slot, 32);
                let report = slot.bytes(TD_REPORT_LEN, "hcl.hardware")?;
                let rest = slot.rest().len();
                slot.zeros(rest, "hcl.hardware")?;
                Hardware::Tdx(report)
            }
            other => {
                return Err(Rejection::malformed(
                    "hcl.runtime.report_type",
                    "2 (SEV-SNP) or 4 (TDX)",
                    format!("{other}"),
                )
                .at(kind_at));
            }
        };
        Ok(Self {
            hardware,
            runtime_data,
        })
    }
}

fn expect(input: &mut Cursor<'_>, field: &'static str, expected: u32) -> Result<(), Rejection> {
    let at = input.offset();
    let found = input.u32(field)?;
    if found == expected {
        return Ok(());
    }
    Err(Rejection::malformed(field, format!("0x{expected:x}"), format!("0x{found:x}")).at(at))
}
