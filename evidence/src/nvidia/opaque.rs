//! The opaque data of a report: a list of typed fields in which the device describes itself.
//!
//! Source of names and encodings: NVIDIA attestation SDK, `nv_opaque_data`; checked on captures.

use alloc::format;
use alloc::string::String;

use vouch_protocol::Reason;

use crate::cursor::Cursor;
use crate::rejection::Rejection;

/// The number of a field that is none.
const INVALID: u16 = 255;
/// The highest version of the layout that is known.
const LAST_VERSION: u16 = 1;

const DRIVER_VERSION: u16 = 3;
const VBIOS_VERSION: u16 = 6;
const NVDEC0_STATUS: u16 = 11;
const BOARD_ID: u16 = 14;
const CHIP_SKU: u16 = 15;
const CHIP_SKU_MOD: u16 = 16;
const PROJECT: u16 = 17;
const PROJECT_SKU: u16 = 18;
const PROJECT_SKU_MOD: u16 = 19;
const FWID: u16 = 20;
const PROTECTED_PCIE_STATUS: u16 = 21;
const PDI: u16 = 22;
const LOCK_STATUS: u16 = 25;
const SWITCH_GPU_PDIS: u16 = 26;
const VERSION: u16 = 34;
const CHIP_INFO: u16 = 35;
const FEATURE_FLAG: u16 = 36;

/// A one-byte switch of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 0xAA.
    On,
    /// 0x55.
    Off,
}

/// The fields that are used. A missing field is `None`; its meaning is for policy to say.
#[derive(Clone, Debug, Default)]
pub struct Opaque<'a> {
    /// 3: GPUs only.
    pub driver_version: Option<&'a str>,
    /// 6, as encoded: eight bytes on a GPU, text on a switch.
    pub vbios_version: Option<&'a [u8]>,
    /// 11: the video decoder, on which one golden measurement depends.
    pub nvdec0: Option<Status>,
    /// 14
    pub board_id: Option<u32>,
    /// 15
    pub chip_sku: Option<&'a str>,
    /// 16
    pub chip_sku_mod: Option<&'a str>,
    /// 17
    pub project: Option<&'a str>,
    /// 18
    pub project_sku: Option<&'a str>,
    /// 19
    pub project_sku_mod: Option<&'a str>,
    /// 20: what the leaf certificate's firmware identity must be.
    pub fwid: Option<&'a [u8; 48]>,
    /// 21
    pub protected_pcie: Option<Status>,
    /// 22: on a GPU the switch behind each of its 18 links, on a switch its own identity; eight
    /// bytes each.
    pub pdi: Option<&'a [u8]>,
    /// 25: switches only.
    pub lock_status: Option<&'a [u8; 2]>,
    /// 26: switches only: the GPU behind each of its ports.
    pub switch_gpu_pdis: Option<&'a [u8]>,
    /// 34: zero where absent.
    pub version: u16,
    /// 35: Blackwell.
    pub chip_info: Option<&'a str>,
    /// 36: from version 1.
    pub feature_flag: Option<u16>,
    /// Offset of field 20.
    pub fwid_at: usize,
}

impl<'a> Opaque<'a> {
    /// Reads the fields of `bytes`, which stand at `offset` of the report.
    pub(crate) fn parse(bytes: &'a [u8], offset: usize) -> Result<Self, Rejection> {
        let mut input = Cursor::within(bytes, offset);
        let mut opaque = Self::default();
        let mut seen = 0u64;
        while !input.is_empty() {
            let at = input.offset();
            let id = input.u16("opaque.type")?;
            // Newer firmware has fields that nobody here knows: they are signed, and not used.
            let bit = 1u64.checked_shl(u32::from(id)).unwrap_or(0);
            if id == 0 || id == INVALID || seen & bit != 0 {
                return Err(Rejection::malformed(
                    "opaque.type",
                    "a type other than 0 and 255, each once",
                    format!("{id}"),
                )
                .at(at));
            }
            seen |= bit;
            let length = input.u16("opaque.length")?;
            let at = input.offset();
            let value = input.bytes(usize::from(length), "opaque.value")?;
            opaque.set(id, value, at)?;
        }
        Ok(opaque)
    }

    fn set(&mut self, id: u16, value: &'a [u8], at: usize) -> Result<(), Rejection> {
        match id {
            DRIVER_VERSION => self.driver_version = Some(text(value, "opaque.driver_version", at)?),
            VBIOS_VERSION => self.vbios_version = Some(value),
            NVDEC0_STATUS => self.nvdec0 = Some(status(value, "opaque.nvdec0_status", at)?),
            BOARD_ID => {
                self.board_id = Some(u32::from_le_bytes(*exact(value, "opaque.board_id", at)?))
            }
            CHIP_SKU => self.chip_sku = Some(text(value, "opaque.chip_sku", at)?),
            CHIP_SKU_MOD => self.chip_sku_mod = Some(text(value, "opaque.chip_sku_mod", at)?),
            PROJECT => self.project = Some(text(value, "opaque.project", at)?),
            PROJECT_SKU => self.project_sku = Some(text(value, "opaque.project_sku", at)?),
            PROJECT_SKU_MOD => {
                self.project_sku_mod = Some(text(value, "opaque.project_sku_mod", at)?)
            }
            FWID => {
                self.fwid = Some(exact(value, "opaque.fwid", at)?);
                self.fwid_at = at;
            }
            PROTECTED_PCIE_STATUS => {
                self.protected_pcie = Some(status(value, "opaque.protected_pcie_status", at)?);
            }
            PDI => self.pdi = Some(value),
            LOCK_STATUS => self.lock_status = Some(exact(value, "opaque.lock_status", at)?),
            SWITCH_GPU_PDIS => self.switch_gpu_pdis = Some(value),
            VERSION => {
                self.version = u16::from_le_bytes(*exact(value, "opaque.version", at)?);
                if self.version > LAST_VERSION {
                    return Err(Rejection::new(
                        Reason::VersionUnsupported,
                        "opaque.version",
                        format!("at most {LAST_VERSION}"),
                        format!("{}", self.version),
                    )
                    .at(at));
                }
            }
            CHIP_INFO => self.chip_info = Some(text(value, "opaque.chip_info", at)?),
            FEATURE_FLAG => {
                self.feature_flag = Some(u16::from_le_bytes(*exact(
                    value,
                    "opaque.feature_flag",
                    at,
                )?));
            }
            _ => {}
        }
        Ok(())
    }

    /// A GPU's VBIOS version as its manifest writes it, `96.00.9F.00.01`.
    pub(crate) fn gpu_vbios(&self) -> Option<String> {
        let [d, c, b, a, e, ..] = self.vbios_version? else {
            return None;
        };
        (self.vbios_version?.len() == 8).then(|| format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}"))
    }

    /// A switch's VBIOS version, which is text.
    pub(crate) fn switch_vbios(&self) -> Option<String> {
        let text = text(self.vbios_version?, "opaque.vbios_version", 0).ok()?;
        Some(text.into())
    }
}

fn status(value: &[u8], field: &'static str, at: usize) -> Result<Status, Rejection> {
    match value {
        [0xaa] => Ok(Status::On),
        [0x55] => Ok(Status::Off),
        other => Err(Rejection::malformed(
            field,
            "0xaa or 0x55",
            crate::check::hex(other.get(..8).unwrap_or(other)),
        )
        .at(at)),
    }
}

fn exact<'a, const N: usize>(
    value: &'a [u8],
    field: &'static str,
    at: usize,
) -> Result<&'a [u8; N], Rejection> {
    value.try_into().map_err(|_| {
        Rejection::malformed(
            field,
            format!("{N} bytes"),
            format!("{} bytes", value.len()),
        )
        .at(at)
    })
}

/// Printable ASCII, padded with zero bytes.
fn text<'a>(value: &'a [u8], field: &'static str, at: usize) -> Result<&'a str, Rejection> {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    let (text, padding) = value.split_at_checked(end).unwrap_or_default();
    let printable = text.iter().all(u8::is_ascii_graphic) && padding.iter().all(|byte| *byte == 0);
    match core::str::from_utf8(text) {
        Ok(text) if printable && text.len() <= 64 => Ok(text),
        _ => Err(Rejection::malformed(
            field,
            "at most 64 printable characters, padded with zero bytes",
            crate::check::hex(value.get(..16).unwrap_or(value)),
        )
        .at(at)),
    }
}
