//! The firmware identity in a leaf certificate, which the report must repeat.
//!
//! Hopper and NVSwitch use TCG's compound device id (2.23.133.5.4.1), which also names the chip's
//! key; Blackwell uses `DiceTcbInfo` (2.23.133.5.4.1.1). Source: TCG DICE Attestation Architecture
//! 1.1, 6.1.1; captures.

use vouch_protocol::Reason;

use super::chain::{Architecture, Kind};
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::der::{Der, DerError, tag};
use crate::rejection::Rejection;
use crate::x509::{Certificate, SHA384};

/// 2.23.133.5.4.1
const COMPOUND_DEVICE_ID: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x01];
/// 2.23.133.5.4.1.1
const TCB_INFO: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x01, 0x01];
/// Bit 3 of `OperationalFlags`, counted from the most significant.
const DEBUG_FLAG: u8 = 0x10;

const SOURCE: &str = "TCG DICE Attestation Architecture 1.1, 6.1.1";
static PARENT: Rule = Rule {
    field: "chain.leaf.parent_key",
    reason: Reason::GpuChainInvalid,
    source: SOURCE,
};

/// What the leaf certificate says of the device's firmware.
pub(super) struct Firmware {
    pub(super) fwid: [u8; 48],
    pub(super) debug: Option<bool>,
}

/// Reads the extension that this kind of device carries, and only that one.
pub(super) fn identity<O: Observe>(
    leaf: &Certificate<'_>,
    kind: Kind,
    parent_spki: &[u8],
    observer: &mut O,
) -> Result<Firmware, Rejection> {
    let (oid, name) = match kind {
        Kind::Gpu(Architecture::Blackwell) => (TCB_INFO, "DiceTcbInfo (2.23.133.5.4.1.1)"),
        Kind::Gpu(Architecture::Hopper) | Kind::Switch => {
            (COMPOUND_DEVICE_ID, "a compound device id (2.23.133.5.4.1)")
        }
    };
    let value = leaf.extension(oid).ok_or_else(|| {
        Rejection::new(
            Reason::GpuChainInvalid,
            "chain.leaf.extensions",
            name,
            "no such extension",
        )
    })?;
    let malformed = |error: DerError| {
        Rejection::new(
            Reason::GpuChainInvalid,
            "chain.leaf.firmware_id",
            error.expected,
            hex(value
                .get(error.offset..)
                .unwrap_or_default()
                .get(..8)
                .unwrap_or_default()),
        )
        .at(error.offset)
    };
    match kind {
        Kind::Gpu(Architecture::Blackwell) => tcb_info(value).map_err(malformed),
        Kind::Gpu(Architecture::Hopper) | Kind::Switch => {
            let (spki, fwid) = compound_device_id(value).map_err(malformed)?;
            ensure(observer, &PARENT, spki == parent_spki, || {
                Compared::new(
                    "the chip's public key",
                    if spki == parent_spki {
                        "the chip's public key"
                    } else {
                        "another key"
                    },
                )
            })?;
            Ok(Firmware { fwid, debug: None })
        }
    }
}

/// `SEQUENCE { INTEGER 1, SubjectPublicKeyInfo, FWID }`
fn compound_device_id(value: &[u8]) -> Result<(&[u8], [u8; 48]), DerError> {
    let mut input = Der::new(value);
    let mut fields = input.enter(tag::SEQUENCE, "a compound device id")?;
    input.end("nothing after the compound device id")?;
    let error = fields.error("version 1");
    if fields.u64("version 1")? != 1 {
        return Err(error);
    }
    let spki = fields
        .expect(tag::SEQUENCE, "a SubjectPublicKeyInfo")?
        .whole;
    let fwid = firmware_id(&mut fields)?;
    fields.end("nothing after the firmware id")?;
    Ok((spki, fwid))
}

/// `DiceTcbInfo`: the first firmware id counts, further ones are unused slots.
fn tcb_info(value: &[u8]) -> Result<Firmware, DerError> {
    let mut input = Der::new(value);
    let mut fields = input.enter(tag::SEQUENCE, "DiceTcbInfo")?;
    input.end("nothing after DiceTcbInfo")?;
    let mut fwid = None;
    let mut debug = None;
    let mut last = 0;
    while !fields.is_empty() {
        let error = fields.error("the fields of DiceTcbInfo, in order");
        let field = fields.any("a field of DiceTcbInfo")?;
        let number = field.tag & 0x1f;
        if field.tag & 0xc0 != 0x80
            || (last != 0 && number < last)
            || number.saturating_add(1) == last
        {
            return Err(error);
        }
        last = number.saturating_add(1);
        if field.tag == tag::context(6) {
            let mut list = Der::within(&field);
            fwid = Some(firmware_id(&mut list)?);
            while !list.is_empty() {
                firmware_id(&mut list)?;
            }
        } else if field.tag == tag::implicit(7) {
            let [_unused, flags, ..] = field.value else {
                return Err(error);
            };
            debug = Some(flags & DEBUG_FLAG != 0);
        }
    }
    let fwid = fwid.ok_or(DerError {
        offset: 0,
        expected: "a firmware id",
    })?;
    Ok(Firmware { fwid, debug })
}

/// `FWID ::= SEQUENCE { hashAlg, digest }`, with SHA-384.
fn firmware_id(fields: &mut Der<'_>) -> Result<[u8; 48], DerError> {
    let error = fields.error("a firmware id of SHA-384");
    let mut fwid = fields.enter(tag::SEQUENCE, "a firmware id")?;
    if fwid.oid("SHA-384")? != SHA384 {
        return Err(error);
    }
    let digest = fwid.expect(tag::OCTET_STRING, "a digest")?.value;
    fwid.end("nothing after the digest")?;
    digest.try_into().map_err(|_| error)
}
