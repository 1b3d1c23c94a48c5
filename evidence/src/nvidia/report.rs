//! The report as bytes: `GET_MEASUREMENTS` request, then `MEASUREMENTS` response.
//!
//! Source: DMTF DSP0274 (SPDM) 1.1.0, 10.11; NVIDIA attestation SDK for what NVIDIA puts into it.

use alloc::format;
use alloc::vec::Vec;

use vouch_protocol::Reason;

use super::opaque::Opaque;
use crate::cursor::Cursor;
use crate::rejection::Rejection;
use crate::signature::P384_SIGNATURE_LEN;

/// Bytes of the largest report that is looked at. Real ones have 2 to 5 KiB.
pub const MAX_REPORT_LEN: usize = 64 * 1024;
/// Measurement blocks a report may have.
pub const MAX_MEASUREMENTS: usize = 64;
/// Offset of the 32-byte nonce in the request.
pub const NONCE_AT: usize = 4;

const SPDM_1_1: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xe0;
const MEASUREMENTS: u8 = 0x60;
const SIGNATURE_REQUESTED: u8 = 0x01;
const ALL_MEASUREMENTS: u8 = 0xff;
const DMTF_SPECIFICATION: u8 = 0x01;
const DIGEST_LEN: u16 = 48;
/// `DMTFSpecMeasurementValueType` and `…Size`.
const DMTF_HEADER_LEN: u16 = 3;

/// One measurement of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement<'a> {
    /// Index in the report, from 1. Manifests count from 0.
    pub index: u8,
    /// `DMTFSpecMeasurementValueType`.
    pub kind: u8,
    /// SHA-384 digest; zero in an unused slot.
    pub digest: &'a [u8; 48],
    /// Offset of the digest in the report.
    pub offset: usize,
}

/// A parsed report. Nothing is verified yet.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The challenge the device was given.
    pub nonce: &'a [u8; 32],
    /// Random bytes of the device's own; not the challenge.
    pub responder_nonce: &'a [u8; 32],
    /// Measurements in the order of the report.
    pub measurements: Vec<Measurement<'a>>,
    /// What the device says of itself.
    pub opaque: Opaque<'a>,
    /// `r || s`.
    pub signature: &'a [u8; P384_SIGNATURE_LEN],
    /// Everything before the signature: what is signed.
    pub signed: &'a [u8],
    /// The report without what follows its signature: what other evidence hashes.
    pub bytes: &'a [u8],
    /// Zero bytes after the signature: some drivers add one. They are never hashed.
    pub trailing_zeros: usize,
}

impl<'a> Report<'a> {
    /// Reads one report.
    ///
    /// # Errors
    /// `malformed`, or `version_unsupported` for another SPDM version.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        if bytes.len() > MAX_REPORT_LEN {
            return Err(Rejection::malformed(
                "report",
                format!("at most {MAX_REPORT_LEN} bytes"),
                format!("{} bytes", bytes.len()),
            ));
        }
        let mut input = Cursor::new(bytes);
        version(&mut input, "request.spdm_version")?;
        constant(&mut input, "request.code", GET_MEASUREMENTS)?;
        constant(&mut input, "request.param1", SIGNATURE_REQUESTED)?;
        constant(&mut input, "request.param2", ALL_MEASUREMENTS)?;
        let nonce = input.array("request.nonce")?;
        constant(&mut input, "request.slot", 0)?;

        version(&mut input, "response.spdm_version")?;
        constant(&mut input, "response.code", MEASUREMENTS)?;
        constant(&mut input, "response.param1", 0)?;
        constant(&mut input, "response.param2", 0)?;
        let blocks_at = input.offset();
        let blocks = input.u8("response.number_of_blocks")?;
        let record_len = input.u24("response.measurement_record_length")?;
        let record_at = input.offset();
        let record = input.bytes(to_usize(record_len), "response.measurement_record")?;
        let measurements = measurements(Cursor::within(record, record_at), blocks, blocks_at)?;
        let responder_nonce = input.array("response.nonce")?;
        let opaque_len = input.u16("response.opaque_length")?;
        let opaque_at = input.offset();
        let opaque = Opaque::parse(
            input.bytes(usize::from(opaque_len), "response.opaque")?,
            opaque_at,
        )?;
        let signed = bytes.get(..input.offset()).unwrap_or_default();
        let signature = input.array("response.signature")?;
        let report = bytes.get(..input.offset()).unwrap_or_default();
        let trailing_zeros = input.rest().len();
        input.zeros(trailing_zeros, "after the signature")?;
        Ok(Self {
            nonce,
            responder_nonce,
            measurements,
            opaque,
            signature,
            signed,
            bytes: report,
            trailing_zeros,
        })
    }

    /// The measurement with this index of the report, from 1.
    pub fn measurement(&self, index: u8) -> Option<&Measurement<'a>> {
        self.measurements
            .iter()
            .find(|measurement| measurement.index == index)
    }
}

fn measurements<'a>(
    mut record: Cursor<'a>,
    blocks: u8,
    blocks_at: usize,
) -> Result<Vec<Measurement<'a>>, Rejection> {
    let count = usize::from(blocks);
    if count == 0 || count > MAX_MEASUREMENTS {
        return Err(Rejection::malformed(
            "response.number_of_blocks",
            format!("1 to {MAX_MEASUREMENTS} blocks"),
            format!("{count}"),
        )
        .at(blocks_at));
    }
    let mut seen = 0u128;
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        let at = record.offset();
        let index = record.u8("measurement.index")?;
        let bit = 1u128.checked_shl(u32::from(index)).unwrap_or(0);
        if index == 0 || usize::from(index) > MAX_MEASUREMENTS || seen & bit != 0 {
            return Err(Rejection::malformed(
                "measurement.index",
                format!("an index from 1 to {MAX_MEASUREMENTS}, each once"),
                format!("{index}"),
            )
            .at(at));
        }
        seen |= bit;
        constant(&mut record, "measurement.specification", DMTF_SPECIFICATION)?;
        number(
            &mut record,
            "measurement.size",
            DIGEST_LEN.saturating_add(DMTF_HEADER_LEN),
        )?;
        let kind = record.u8("measurement.value_type")?;
        number(&mut record, "measurement.value_size", DIGEST_LEN)?;
        let offset = record.offset();
        let digest = record.array("measurement.value")?;
        found.push(Measurement {
            index,
            kind,
            digest,
            offset,
        });
    }
    if record.is_empty() {
        Ok(found)
    } else {
        Err(Rejection::malformed(
            "response.measurement_record",
            format!("{count} blocks and nothing more"),
            format!("{} bytes more", record.rest().len()),
        )
        .at(record.offset()))
    }
}

fn version(input: &mut Cursor<'_>, field: &'static str) -> Result<(), Rejection> {
    let at = input.offset();
    match input.u8(field)? {
        SPDM_1_1 => Ok(()),
        other => Err(Rejection::new(
            Reason::VersionUnsupported,
            field,
            "SPDM 1.1 (0x11)",
            format!("0x{other:02x}"),
        )
        .at(at)),
    }
}

fn constant(input: &mut Cursor<'_>, field: &'static str, expected: u8) -> Result<(), Rejection> {
    let at = input.offset();
    let found = input.u8(field)?;
    if found == expected {
        Ok(())
    } else {
        Err(
            Rejection::malformed(field, format!("0x{expected:02x}"), format!("0x{found:02x}"))
                .at(at),
        )
    }
}

fn number(input: &mut Cursor<'_>, field: &'static str, expected: u16) -> Result<(), Rejection> {
    let at = input.offset();
    let found = input.u16(field)?;
    if found == expected {
        Ok(())
    } else {
        Err(Rejection::malformed(field, format!("{expected}"), format!("{found}")).at(at))
    }
}

/// A length that does not fit is longer than any input.
fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
