//! From a platform's security versions and Intel's levels to a rating.
//!
//! Source: Intel, PCS API version 4, TCB info; Intel SGX and TDX DCAP Quote Verification Library.

use core::fmt::Display;
use std::format;
use std::string::String;
use std::vec::Vec;

use vouch_protocol::Reason;

use super::pck::Pck;
use super::quote::QeReport;
use super::report::TdReport;
use super::status::{Rating, TcbStatus};
use super::tcb_info::{Module, ModuleIdentity, PlatformLevel, QeIdentity, SvnLevel, TcbInfo};
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::rejection::Rejection;
use crate::time::Time;

const QVL: &str = "Intel PCS API v4, TCB info; DCAP quote verification";
static PLATFORM: Rule = Rule {
    field: "tcb.platform",
    reason: Reason::CpuTcbTooLow,
    source: QVL,
};
static MODULE_KNOWN: Rule = Rule {
    field: "tcb.tdx_module.id",
    reason: Reason::TcbInfoMissing,
    source: QVL,
};
static MODULE_SIGNER: Rule = Rule {
    field: "report.mr_signer_seam",
    reason: Reason::MeasurementMismatch,
    source: QVL,
};
static MODULE_ATTRIBUTES: Rule = Rule {
    field: "report.seam_attributes",
    reason: Reason::MeasurementMismatch,
    source: QVL,
};
static MODULE_TCB: Rule = Rule {
    field: "tcb.tdx_module",
    reason: Reason::CpuTcbTooLow,
    source: QVL,
};
const QE: &str = "Intel PCS API v4, enclave identity";
static QE_SIGNER: Rule = Rule {
    field: "qe_report.mr_signer",
    reason: Reason::CpuQuotingEnclaveInvalid,
    source: QE,
};
static QE_PRODUCT: Rule = Rule {
    field: "qe_report.isv_prod_id",
    reason: Reason::CpuQuotingEnclaveInvalid,
    source: QE,
};
static QE_RELEASE: Rule = Rule {
    field: "qe_report.attributes.debug",
    reason: Reason::CpuQuotingEnclaveInvalid,
    source: QE,
};
static QE_MISC: Rule = Rule {
    field: "qe_report.misc_select",
    reason: Reason::CpuQuotingEnclaveInvalid,
    source: QE,
};
static QE_ATTRIBUTES: Rule = Rule {
    field: "qe_report.attributes",
    reason: Reason::CpuQuotingEnclaveInvalid,
    source: QE,
};
static QE_TCB: Rule = Rule {
    field: "tcb.quoting_enclave",
    reason: Reason::CpuTcbTooLow,
    source: QE,
};
static NOT_REVOKED: Rule = Rule {
    field: "tcb.status",
    reason: Reason::Revoked,
    source: QVL,
};

/// How Intel rates a platform with all that a quote rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// The rating of all parts together.
    pub status: TcbStatus,
    /// Up to when security updates are in every part.
    pub date: Time,
    /// Advisories that some part does not answer, each once.
    pub advisories: Vec<String>,
    /// The platform at the domain's launch.
    pub platform: Rating,
    /// The TDX module at the domain's launch, where Intel rates it apart.
    pub module: Option<Rating>,
    /// Platform and module now, with the quoting enclave. TDX 1.5 only.
    pub current: Option<TcbStatus>,
    /// The quoting enclave.
    pub quoting_enclave: Rating,
    /// The older of the evaluations that the collateral comes from.
    pub evaluation: u32,
    /// When the first part of the collateral is past its next update.
    pub valid_until: Time,
}

/// Compares a platform with Intel's levels. The caller has made sure that `info` is about it.
pub(crate) fn appraise<O: Observe>(
    report: &TdReport<'_>,
    pck: &Pck,
    quoting_enclave: Rating,
    info: &TcbInfo,
    observer: &mut O,
) -> Result<Appraisal, Rejection> {
    check_module(report, info, observer)?;
    let (platform, module) = rate(pck, report.tcb_svn, info, observer)?;
    let status = converge(&platform, module.as_ref(), &quoting_enclave);
    let current = match report.td15 {
        None => None,
        Some(td15) => {
            let (platform, module) = rate(pck, td15.current_tcb_svn, info, observer)?;
            Some(converge(&platform, module.as_ref(), &quoting_enclave))
        }
    };
    let status = current.map_or(status, |now| status.updated_to(now));
    ensure(observer, &NOT_REVOKED, status != TcbStatus::Revoked, || {
        Compared::new("not Revoked", status.name())
    })?;
    let parts = || [Some(&platform), module.as_ref(), Some(&quoting_enclave)];
    let mut advisories: Vec<String> = Vec::new();
    for advisory in parts().into_iter().flatten().flat_map(|p| &p.advisories) {
        if !advisories.contains(advisory) {
            advisories.push(advisory.clone());
        }
    }
    let date = parts().into_iter().flatten().map(|part| part.date).min();
    Ok(Appraisal {
        status,
        date: date.unwrap_or_default(),
        advisories,
        platform,
        module,
        current,
        quoting_enclave,
        evaluation: info.evaluation,
        valid_until: info.next_update,
    })
}

/// Digest of the key with which Intel signs its quoting enclaves, and the product that quotes TDX.
/// Every identity that Intel publishes has them.
const INTEL_SIGNER: [u8; 32] = [
    0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17, 0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03,
    0x0f, 0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf, 0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5,
];
const TDX_PRODUCT: u16 = 2;

/// The enclave that made the quote is Intel's and not under a debugger. A host can have the PCK
/// certify any enclave of its own, so without this a chain says nothing; it needs no collateral.
pub(crate) fn check_quoting_enclave<O: Observe>(
    report: &QeReport<'_>,
    observer: &mut O,
) -> Result<(), Rejection> {
    let signer = *report.mr_signer == INTEL_SIGNER;
    ensure(observer, &QE_SIGNER, signer, || {
        Compared::new(hex(&INTEL_SIGNER), hex(report.mr_signer))
    })?;
    let product = report.product_id == TDX_PRODUCT;
    ensure(observer, &QE_PRODUCT, product, || {
        Compared::new("2", format!("{}", report.product_id))
    })?;
    let [flags, ..] = *report.attributes;
    ensure(observer, &QE_RELEASE, flags & 2 == 0, || {
        Compared::new("no debugging", hex(report.attributes))
    })
}

/// The enclave that made the quote is the one that Intel describes. Says how Intel rates it.
pub(crate) fn rate_quoting_enclave<O: Observe>(
    report: &QeReport<'_>,
    identity: &QeIdentity,
    observer: &mut O,
) -> Result<Rating, Rejection> {
    ensure(
        observer,
        &QE_SIGNER,
        *report.mr_signer == identity.mr_signer,
        || Compared::new(hex(&identity.mr_signer), hex(report.mr_signer)),
    )?;
    ensure(
        observer,
        &QE_PRODUCT,
        report.product_id == identity.product_id,
        || {
            Compared::new(
                format!("{}", identity.product_id),
                format!("{}", report.product_id),
            )
        },
    )?;
    masked(
        &report.misc_select.to_le_bytes(),
        &identity.misc_select,
        &identity.misc_select_mask,
        &QE_MISC,
        observer,
    )?;
    masked(
        report.attributes,
        &identity.attributes,
        &identity.attributes_mask,
        &QE_ATTRIBUTES,
        observer,
    )?;
    svn_level(&identity.levels, report.security_version, &QE_TCB, observer)
}

/// The module is signed by whom Intel says, and has the attributes that Intel says.
fn check_module<O: Observe>(
    report: &TdReport<'_>,
    info: &TcbInfo,
    observer: &mut O,
) -> Result<(), Rejection> {
    let module: &Module = match identity(report.tcb_svn, info, observer)? {
        Some(identity) => &identity.module,
        None => &info.module,
    };
    ensure(
        observer,
        &MODULE_SIGNER,
        *report.mr_signer_seam == module.mr_signer,
        || Compared::new(hex(&module.mr_signer), hex(report.mr_signer_seam)),
    )?;
    masked(
        report.seam_attributes,
        &module.attributes,
        &module.attributes_mask,
        &MODULE_ATTRIBUTES,
        observer,
    )?;
    // Intel's own verifier asks for zero where the mask does not look.
    let outside = report
        .seam_attributes
        .iter()
        .zip(module.attributes_mask)
        .all(|(found, mask)| found & !mask == 0);
    ensure(observer, &MODULE_ATTRIBUTES, outside, || {
        Compared::new(
            format!("no bits outside {}", hex(&module.attributes_mask)),
            hex(report.seam_attributes),
        )
    })
}

/// The identity of the module's major version; version 0 has none.
fn identity<'a, O: Observe>(
    svn: &[u8; 16],
    info: &'a TcbInfo,
    observer: &mut O,
) -> Result<Option<&'a ModuleIdentity>, Rejection> {
    let [_, version, ..] = *svn;
    if version == 0 {
        return Ok(None);
    }
    let id = format!("TDX_{version:02X}");
    let found = info
        .modules
        .iter()
        .find(|module| module.id.eq_ignore_ascii_case(&id));
    ensure(observer, &MODULE_KNOWN, found.is_some(), || {
        Compared::new(
            format!("identity {id} in the TCB info"),
            if found.is_some() { "it" } else { "none" },
        )
    })?;
    Ok(found)
}

/// The levels that the platform and its module reach.
fn rate<O: Observe>(
    pck: &Pck,
    svn: &[u8; 16],
    info: &TcbInfo,
    observer: &mut O,
) -> Result<(Rating, Option<Rating>), Rejection> {
    let reached = info
        .levels
        .iter()
        .find(|level| shortfall(level, pck, svn).is_none());
    ensure(observer, &PLATFORM, reached.is_some(), || {
        let found = match reached {
            Some(level) => format!("{} as of {}", level.rating.status, level.rating.date),
            None => info
                .levels
                .last()
                .and_then(|lowest| shortfall(lowest, pck, svn))
                .unwrap_or_else(|| "no levels".into()),
        };
        Compared::new("a level of the TCB info that the platform reaches", found)
    })?;
    let module = match identity(svn, info, observer)? {
        None => None,
        Some(identity) => {
            let [module_svn, ..] = *svn;
            Some(svn_level(
                &identity.levels,
                module_svn.into(),
                &MODULE_TCB,
                observer,
            )?)
        }
    };
    let platform = reached.map(|level| level.rating.clone());
    let missing = || Rejection::new(PLATFORM.reason, PLATFORM.field, "a level", "none");
    Ok((platform.ok_or_else(missing)?, module))
}

/// The first thing in which the platform falls short of a level.
fn shortfall(level: &PlatformLevel, pck: &Pck, svn: &[u8; 16]) -> Option<String> {
    // The module's own version is in its identity, where it has one.
    let [_, version, ..] = *svn;
    let rated_apart = if version > 0 { 2 } else { 0 };
    let sgx = pck.components.iter().zip(level.sgx).enumerate();
    let tdx = svn.iter().zip(level.tdx).enumerate().skip(rated_apart);
    sgx.map(|(index, pair)| ("SGX component", index.saturating_add(1), pair))
        .chain(tdx.map(|(index, pair)| ("TDX component", index.saturating_add(1), pair)))
        .find(|(_, _, (has, needs))| *has < needs)
        .map(|(what, number, (has, needs))| below(format!("{what} {number}"), has, needs))
        .or_else(|| {
            (pck.pce_svn < level.pce_svn).then(|| below("PCESVN", pck.pce_svn, level.pce_svn))
        })
}

fn below(what: impl Display, has: impl Display, needs: impl Display) -> String {
    format!("{what} {has}, where the lowest level needs {needs}")
}

fn svn_level<O: Observe>(
    levels: &[SvnLevel],
    svn: u16,
    rule: &'static Rule,
    observer: &mut O,
) -> Result<Rating, Rejection> {
    let reached = levels.iter().find(|level| level.svn <= svn);
    ensure(observer, rule, reached.is_some(), || {
        Compared::new(
            match levels.last() {
                Some(lowest) => format!("security version {} or later", lowest.svn),
                None => "a level".into(),
            },
            match reached {
                Some(level) => format!("version {svn}: {}", level.rating.status),
                None => format!("version {svn}"),
            },
        )
    })?;
    let missing = || Rejection::new(rule.reason, rule.field, "a level", "none");
    Ok(reached.ok_or_else(missing)?.rating.clone())
}

/// Under the mask, both are the same.
fn masked<const N: usize, O: Observe>(
    found: &[u8; N],
    expected: &[u8; N],
    mask: &[u8; N],
    rule: &'static Rule,
    observer: &mut O,
) -> Result<(), Rejection> {
    let equal = found
        .iter()
        .zip(expected)
        .zip(mask)
        .all(|((found, expected), mask)| found & mask == expected & mask);
    ensure(observer, rule, equal, || {
        Compared::new(
            format!("{} under the mask {}", hex(expected), hex(mask)),
            hex(found),
        )
    })
}

fn converge(platform: &Rating, module: Option<&Rating>, quoting_enclave: &Rating) -> TcbStatus {
    let status = match module {
        Some(module) => platform.status.with_part(module.status),
        None => platform.status,
    };
    status.with_part(quoting_enclave.status)
}
