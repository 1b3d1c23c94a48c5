//! From a parsed report and a chain to an authentic report.

use alloc::borrow::ToOwned;
use alloc::format;

use vouch_protocol::Reason;

use super::chain::{self, DeviceIdentity, Kind};
use super::report::{NONCE_AT, Report};
use crate::anchors::Anchors;
use crate::authentic::Authentic;
use crate::check::{Compared, Observe, Rule, ensure, hex, skip};
use crate::rejection::{Rejection, Text};
use crate::signature;
use crate::time::Time;
use crate::verifier::Verifier;

/// A GPU or switch report whose chain and signature hold.
pub type AuthenticReport<'a> = Authentic<Report<'a>, DeviceIdentity>;

const SPDM: &str = "SPDM 1.1, 10.11.1; captures";
static SIGNATURE: Rule = Rule {
    field: "report.signature",
    reason: Reason::GpuSignatureInvalid,
    source: SPDM,
};
static FIRMWARE: Rule = Rule {
    field: "report.opaque.fwid",
    reason: Reason::GpuFirmwareMismatch,
    source: "NVIDIA attestation SDK, FWID match",
};
static FAMILY: Rule = Rule {
    field: "report.opaque",
    reason: Reason::GpuFamilyMismatch,
    source: "NVIDIA attestation SDK, opaque data; captures",
};
static NONCE: Rule = Rule {
    field: "report.request.nonce",
    reason: Reason::GpuNonceMismatch,
    source: "SPDM 1.1, 10.11",
};

/// Verifies a report under its chain, leaf first.
///
/// # Errors
/// `gpu_chain_invalid`, `gpu_root_untrusted`, `gpu_family_mismatch`, `certificate_expired`,
/// `device_unsupported`, `gpu_signature_invalid`, `gpu_firmware_mismatch`, or `malformed`.
pub fn verify<'a>(
    report: &Report<'a>,
    chain: &[&[u8]],
    anchors: &Anchors,
    time: Time,
) -> Result<AuthenticReport<'a>, Rejection> {
    verify_observed(report, chain, &Verifier::new(anchors, time), &mut ())
}

/// Verifies a report and shows every check to `observer`.
///
/// # Errors
/// As [`verify`].
pub fn verify_observed<'a, O: Observe>(
    report: &Report<'a>,
    chain: &[&[u8]],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<AuthenticReport<'a>, Rejection> {
    let verified = chain::verify(chain, verifier, observer)?;
    let signed = signature::verify_p384(&verified.key, report.signed, report.signature);
    ensure(observer, &SIGNATURE, signed, || {
        Compared::new(
            format!(
                "ECDSA P-384 with SHA-384 by the leaf over bytes 0 to {}",
                report.signed.len()
            ),
            if signed {
                "a signature that verifies"
            } else {
                "a signature that does not verify"
            },
        )
        .at(report.signed.len())
    })?;
    check_kind(report, &verified.identity, observer)?;
    check_firmware(report, &verified.identity, observer)?;
    Ok(Authentic::new(
        report.clone(),
        verified.identity,
        verified.simulated,
        verifier.time,
    ))
}

/// The report answers this nonce.
///
/// # Errors
/// `gpu_nonce_mismatch`.
pub fn check_nonce<O: Observe>(
    report: &AuthenticReport<'_>,
    nonce: &[u8; 32],
    observer: &mut O,
) -> Result<(), Rejection> {
    let found = report.report().nonce;
    ensure(observer, &NONCE, found == nonce, || {
        Compared::new(hex(nonce), hex(found)).at(NONCE_AT)
    })
}

/// What the report says of its device fits what the chain says.
fn check_kind<O: Observe>(
    report: &Report<'_>,
    identity: &DeviceIdentity,
    observer: &mut O,
) -> Result<(), Rejection> {
    let opaque = &report.opaque;
    let is_gpu = matches!(identity.kind, Kind::Gpu(_));
    let fits = opaque.driver_version.is_some() == is_gpu
        && opaque.switch_gpu_pdis.is_none_or(|_| !is_gpu)
        && opaque.chip_info.is_none_or(|chip| chip == identity.chip);
    ensure(observer, &FAMILY, fits, || {
        let chip: Text = match opaque.chip_info {
            None => "no chip name".into(),
            Some(chip) => format!("chip {chip:?}").into(),
        };
        let driver = if opaque.driver_version.is_some() {
            "a driver version"
        } else {
            "no driver version"
        };
        Compared::new(
            format!("the report of a {} ({})", identity.kind, identity.chip),
            format!("a report with {driver} and {chip}"),
        )
    })
}

/// The report repeats the certificate's firmware identity, where it carries one.
fn check_firmware<O: Observe>(
    report: &Report<'_>,
    identity: &DeviceIdentity,
    observer: &mut O,
) -> Result<(), Rejection> {
    match report.opaque.fwid {
        Some(fwid) => ensure(observer, &FIRMWARE, *fwid == identity.fwid, || {
            Compared::new(hex(&identity.fwid), hex(fwid)).at(report.opaque.fwid_at)
        }),
        None => {
            skip(
                observer,
                &FIRMWARE,
                hex(&identity.fwid),
                "no such field in this report".to_owned(),
            );
            Ok(())
        }
    }
}
