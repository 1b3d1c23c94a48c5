//! TCB info and quoting-enclave identity: the JSON that Intel signs. Read only after the signature
//! was verified.
//!
//! Source: Intel, PCS API version 4, TCB info V3 and enclave identity V2.

use core::cmp::Reverse;
use std::format;
use std::string::String;
use std::vec::Vec;

use serde::{Deserialize, Deserializer, de};
use vouch_protocol::Reason;

use super::status::{Rating, TcbStatus};
use crate::decode;
use crate::rejection::Rejection;
use crate::time::Time;

/// Levels, and module identities, of one structure that are looked at.
const MAX_LEVELS: usize = 256;
/// Advisories of one level that are looked at.
const MAX_ADVISORIES: usize = 256;

/// Who signed a TDX module, and its attributes.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) mr_signer: [u8; 48],
    pub(crate) attributes: [u8; 8],
    pub(crate) attributes_mask: [u8; 8],
}

/// A module of one major version.
#[derive(Clone, Debug)]
pub(crate) struct ModuleIdentity {
    /// `TDX_03`
    pub(crate) id: String,
    pub(crate) module: Module,
    pub(crate) levels: Vec<SvnLevel>,
}

/// A level of an enclave or module, by its security version.
#[derive(Clone, Debug)]
pub(crate) struct SvnLevel {
    pub(crate) svn: u16,
    pub(crate) rating: Rating,
}

/// A level of a platform.
#[derive(Clone, Debug)]
pub(crate) struct PlatformLevel {
    pub(crate) sgx: [u8; 16],
    pub(crate) pce_svn: u16,
    pub(crate) tdx: [u8; 16],
    pub(crate) rating: Rating,
}

/// What Intel says of the platforms of one FMSPC. Levels are in descending order.
#[derive(Clone, Debug)]
pub(crate) struct TcbInfo {
    pub(crate) issued: Time,
    pub(crate) next_update: Time,
    pub(crate) fmspc: [u8; 6],
    pub(crate) pce_id: [u8; 2],
    pub(crate) evaluation: u32,
    pub(crate) module: Module,
    pub(crate) modules: Vec<ModuleIdentity>,
    pub(crate) levels: Vec<PlatformLevel>,
}

/// What Intel says of its quoting enclave. Levels are in descending order.
#[derive(Clone, Debug)]
pub(crate) struct QeIdentity {
    pub(crate) issued: Time,
    pub(crate) next_update: Time,
    pub(crate) evaluation: u32,
    pub(crate) misc_select: [u8; 4],
    pub(crate) misc_select_mask: [u8; 4],
    pub(crate) attributes: [u8; 16],
    pub(crate) attributes_mask: [u8; 16],
    pub(crate) mr_signer: [u8; 32],
    pub(crate) product_id: u16,
    pub(crate) levels: Vec<SvnLevel>,
}

impl TcbInfo {
    /// Reads the text that was signed.
    ///
    /// # Errors
    /// `tcb_info_missing` where it is not about TDX; `version_unsupported` where it is not of
    /// version 3, or has a form that this verifier does not know.
    pub(crate) fn read(text: &str) -> Result<Self, Rejection> {
        check_kind(text, "TDX", &[3])?;
        let wire: TcbInfoWire = from_signed(text)?;
        if wire.tcb_type != 0 {
            return Err(unknown("tcb_type", "0", format!("{}", wire.tcb_type)));
        }
        let mut levels = bounded(wire.tcb_levels, "tcb_levels")?
            .into_iter()
            .map(|level| {
                Ok(PlatformLevel {
                    sgx: level.tcb.sgx.map(|component| component.svn),
                    pce_svn: level.tcb.pce_svn,
                    tdx: level.tcb.tdx.map(|component| component.svn),
                    rating: level.rating.read()?,
                })
            })
            .collect::<Result<Vec<_>, Rejection>>()?;
        levels.sort_by_key(|level| Reverse((level.sgx, level.pce_svn, level.tdx)));
        let modules = bounded(wire.modules, "tdx_module_identities")?
            .into_iter()
            .map(|identity| {
                Ok(ModuleIdentity {
                    module: Module {
                        mr_signer: identity.mr_signer.0,
                        attributes: identity.attributes.0,
                        attributes_mask: identity.attributes_mask.0,
                    },
                    levels: svn_levels(identity.levels)?,
                    id: identity.id,
                })
            })
            .collect::<Result<Vec<_>, Rejection>>()?;
        Ok(Self {
            issued: wire.issue_date.0,
            next_update: wire.next_update.0,
            fmspc: wire.fmspc.0,
            pce_id: wire.pce_id.0,
            evaluation: wire.evaluation,
            module: Module {
                mr_signer: wire.module.mr_signer.0,
                attributes: wire.module.attributes.0,
                attributes_mask: wire.module.attributes_mask.0,
            },
            modules,
            levels,
        })
    }
}

impl QeIdentity {
    /// Reads the text that was signed.
    ///
    /// # Errors
    /// As [`TcbInfo::read`].
    pub(crate) fn read(text: &str) -> Result<Self, Rejection> {
        check_kind(text, "TD_QE", &[2, 3])?;
        let wire: QeIdentityWire = from_signed(text)?;
        Ok(Self {
            issued: wire.issue_date.0,
            next_update: wire.next_update.0,
            evaluation: wire.evaluation,
            misc_select: wire.misc_select.0,
            misc_select_mask: wire.misc_select_mask.0,
            attributes: wire.attributes.0,
            attributes_mask: wire.attributes_mask.0,
            mr_signer: wire.mr_signer.0,
            product_id: wire.product_id,
            levels: svn_levels(wire.levels)?,
        })
    }
}

fn svn_levels(levels: Vec<SvnLevelWire>) -> Result<Vec<SvnLevel>, Rejection> {
    let mut levels = bounded(levels, "tcb_levels")?
        .into_iter()
        .map(|level| {
            Ok(SvnLevel {
                svn: level.tcb.svn,
                rating: level.rating.read()?,
            })
        })
        .collect::<Result<Vec<_>, Rejection>>()?;
    levels.sort_by_key(|level| Reverse(level.svn));
    Ok(levels)
}

/// What the structure says it is, before the rest of it is read.
fn check_kind(text: &str, id: &str, versions: &[u64]) -> Result<(), Rejection> {
    let kind: KindWire = from_signed(text)?;
    if kind.id != id {
        return Err(Rejection::new(
            Reason::TcbInfoMissing,
            "id",
            format!("{id:?}"),
            format!("{:?}", kind.id),
        ));
    }
    if !versions.contains(&kind.version) {
        return Err(unknown(
            "version",
            format!("one of {versions:?}"),
            format!("{}", kind.version),
        ));
    }
    Ok(())
}

fn from_signed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Rejection> {
    serde_json::from_str(text).map_err(|error| {
        unknown(
            "json",
            "Intel's version 3 (identity: 2)",
            format!("{error}"),
        )
    })
}

fn bounded<T>(list: Vec<T>, field: &'static str) -> Result<Vec<T>, Rejection> {
    if list.len() > MAX_LEVELS {
        return Err(unknown(
            field,
            format!("at most {MAX_LEVELS}"),
            format!("{}", list.len()),
        ));
    }
    Ok(list)
}

/// Intel signed it, so it is not forged: this verifier does not know it.
fn unknown(field: &'static str, expected: impl Into<String>, found: String) -> Rejection {
    Rejection::new(Reason::VersionUnsupported, field, expected.into(), found)
}

#[derive(Deserialize)]
struct KindWire {
    id: String,
    version: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TcbInfoWire {
    issue_date: Date,
    next_update: Date,
    fmspc: Hex<6>,
    pce_id: Hex<2>,
    tcb_type: u64,
    #[serde(rename = "tcbEvaluationDataNumber")]
    evaluation: u32,
    #[serde(rename = "tdxModule")]
    module: ModuleWire,
    #[serde(rename = "tdxModuleIdentities", default)]
    modules: Vec<ModuleIdentityWire>,
    tcb_levels: Vec<PlatformLevelWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModuleWire {
    #[serde(rename = "mrsigner")]
    mr_signer: Hex<48>,
    attributes: Hex<8>,
    attributes_mask: Hex<8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModuleIdentityWire {
    id: String,
    #[serde(rename = "mrsigner")]
    mr_signer: Hex<48>,
    attributes: Hex<8>,
    attributes_mask: Hex<8>,
    #[serde(rename = "tcbLevels")]
    levels: Vec<SvnLevelWire>,
}

#[derive(Deserialize)]
struct PlatformLevelWire {
    tcb: PlatformTcbWire,
    #[serde(flatten)]
    rating: RatingWire,
}

#[derive(Deserialize)]
struct PlatformTcbWire {
    #[serde(rename = "sgxtcbcomponents")]
    sgx: [ComponentWire; 16],
    #[serde(rename = "pcesvn")]
    pce_svn: u16,
    #[serde(rename = "tdxtcbcomponents")]
    tdx: [ComponentWire; 16],
}

#[derive(Clone, Copy, Deserialize)]
struct ComponentWire {
    svn: u8,
}

#[derive(Deserialize)]
struct SvnLevelWire {
    tcb: SvnWire,
    #[serde(flatten)]
    rating: RatingWire,
}

#[derive(Deserialize)]
struct SvnWire {
    #[serde(rename = "isvsvn")]
    svn: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RatingWire {
    tcb_date: Date,
    tcb_status: TcbStatus,
    #[serde(rename = "advisoryIDs", default)]
    advisories: Vec<String>,
}

impl RatingWire {
    fn read(self) -> Result<Rating, Rejection> {
        if self.advisories.len() > MAX_ADVISORIES {
            return Err(unknown(
                "advisory_ids",
                format!("at most {MAX_ADVISORIES}"),
                format!("{}", self.advisories.len()),
            ));
        }
        Ok(Rating {
            status: self.tcb_status,
            date: self.tcb_date.0,
            advisories: self.advisories,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QeIdentityWire {
    issue_date: Date,
    next_update: Date,
    #[serde(rename = "tcbEvaluationDataNumber")]
    evaluation: u32,
    #[serde(rename = "miscselect")]
    misc_select: Hex<4>,
    #[serde(rename = "miscselectMask")]
    misc_select_mask: Hex<4>,
    attributes: Hex<16>,
    attributes_mask: Hex<16>,
    #[serde(rename = "mrsigner")]
    mr_signer: Hex<32>,
    #[serde(rename = "isvprodid")]
    product_id: u16,
    #[serde(rename = "tcbLevels")]
    levels: Vec<SvnLevelWire>,
}

struct Hex<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode::hex_array(&text)
            .map(Self)
            .map_err(de::Error::custom)
    }
}

struct Date(Time);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::from_rfc3339_utc(&text)
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("a UTC date, not {text:?}")))
    }
}
