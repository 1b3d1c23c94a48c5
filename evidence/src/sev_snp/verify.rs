//! From a parsed report and an endorsement key to an authentic report.

use alloc::format;

use vouch_protocol::Reason;

use super::chain::{self, Chain, Endorsement, EndorsementKey};
use super::generation::Generation;
use super::report::{REPORT_DATA_AT, Report, SIGNED_LEN};
use crate::anchors::Anchors;
use crate::authentic::Authentic;
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::rejection::{Rejection, Text};
use crate::signature;
use crate::time::Time;
use crate::verifier::Verifier;

/// A report whose chain and signature hold, and whose key is of the reported chip and TCB.
pub type AuthenticReport<'a> = Authentic<Report<'a>, EndorsementKey>;

const ABI: &str = "AMD 56860, ATTESTATION_REPORT";
const KDS: &str = "AMD 57230, VCEK and VLEK certificate format";
static SIGNATURE: Rule = Rule {
    field: "report.signature",
    reason: Reason::CpuSignatureInvalid,
    source: ABI,
};
static KEY_KIND: Rule = Rule {
    field: "report.key_info",
    reason: Reason::CpuChainInvalid,
    source: ABI,
};
static PRODUCT: Rule = Rule {
    field: "report.cpuid",
    reason: Reason::CpuChainInvalid,
    source: KDS,
};
static TCB: Rule = Rule {
    field: "report.reported_tcb",
    reason: Reason::CpuTcbMismatch,
    source: KDS,
};
static CHIP: Rule = Rule {
    field: "report.chip_id",
    reason: Reason::CpuChipMismatch,
    source: KDS,
};
static REPORT_DATA: Rule = Rule {
    field: "report.report_data",
    reason: Reason::CpuReportDataMismatch,
    source: "Vouch protocol, Bindings 4",
};

/// Turin names its chip in eight bytes.
const TURIN_CHIP_ID_LEN: usize = 8;

/// Verifies a report under the certificate of its endorsement key (VCEK or VLEK, DER). AMD's signing
/// keys and roots are built in; `chain` brings others of the same roots.
///
/// # Errors
/// `cpu_chain_invalid`, `cpu_root_untrusted`, `certificate_expired`, `cpu_signature_invalid`,
/// `cpu_tcb_mismatch`, `cpu_chip_mismatch`, or `malformed`.
pub fn verify<'a>(
    report: &Report<'a>,
    vek: &[u8],
    chain: Option<&Chain<'_>>,
    anchors: &Anchors,
    time: Time,
) -> Result<AuthenticReport<'a>, Rejection> {
    verify_observed(report, vek, chain, &Verifier::new(anchors, time), &mut ())
}

/// Verifies a report and shows every check to `observer`.
///
/// # Errors
/// As [`verify`].
pub fn verify_observed<'a, O: Observe>(
    report: &Report<'a>,
    vek: &[u8],
    chain: Option<&Chain<'_>>,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<AuthenticReport<'a>, Rejection> {
    let verified = chain::verify(vek, chain, verifier, observer)?;
    let identity = &verified.identity;
    ensure(
        observer,
        &KEY_KIND,
        report.endorsement == identity.kind,
        || {
            Compared::new(
                format!("a certificate of a {}", report.endorsement),
                format!("of a {}", identity.kind),
            )
            .at(0x48)
        },
    )?;
    let signed = signature::verify_p384(&verified.key, report.signed, &report.signature);
    ensure(observer, &SIGNATURE, signed, || {
        Compared::new(
            format!(
                "ECDSA P-384 with SHA-384 by the {} over bytes 0 to {SIGNED_LEN}",
                identity.kind
            ),
            if signed {
                "a signature that verifies"
            } else {
                "a signature that does not verify"
            },
        )
        .at(SIGNED_LEN)
    })?;
    // Version 2 has no CPUID: the certificate's product stands, and its TCB and chip must fit.
    let same = report
        .generation
        .is_none_or(|generation| generation == identity.generation);
    ensure(observer, &PRODUCT, same, || {
        let found: Text = match report.generation {
            Some(generation) => generation.name().into(),
            None => "not named (report version 2)".into(),
        };
        Compared::new(
            format!("{}, as the certificate says", identity.generation),
            found,
        )
        .at(0x188)
    })?;
    check_tcb(report, identity, observer)?;
    check_chip(report, identity, observer)?;
    Ok(Authentic::new(
        report.clone(),
        identity.clone(),
        verified.simulated,
        verifier.time,
    ))
}

/// The report carries exactly these 64 bytes.
///
/// # Errors
/// `cpu_report_data_mismatch`.
pub fn check_report_data<O: Observe>(
    report: &AuthenticReport<'_>,
    expected: &[u8; 64],
    observer: &mut O,
) -> Result<(), Rejection> {
    let found = report.report().report_data;
    ensure(observer, &REPORT_DATA, found == expected, || {
        Compared::new(hex(expected), hex(found)).at(REPORT_DATA_AT)
    })
}

/// Every patch level in the certificate is exactly that of the reported TCB, and none is missing
/// that the TCB uses.
fn check_tcb<O: Observe>(
    report: &Report<'_>,
    identity: &EndorsementKey,
    observer: &mut O,
) -> Result<(), Rejection> {
    let components = report.reported_tcb.components(identity.generation);
    for (arc, name, reported) in components {
        let certified = identity
            .patch_levels
            .iter()
            .find(|(found, _)| *found == arc)
            .map(|(_, level)| *level);
        // Components without a meaning need no extension, but then must be zero.
        let required = matches!(arc, 1 | 2 | 3 | 8 | 9);
        let equal =
            certified == Some(reported) || (certified.is_none() && !required && reported == 0);
        ensure(observer, &TCB, equal, || {
            let expected: Text = match certified {
                Some(level) => format!("{name} {level}, as the certificate says").into(),
                None => format!("{name} in the certificate").into(),
            };
            Compared::new(expected, format!("{name} {reported}")).at(0x180)
        })?;
    }
    let stray = identity
        .patch_levels
        .iter()
        .find(|(arc, level)| *level != 0 && components.iter().all(|(known, ..)| known != arc));
    ensure(observer, &TCB, stray.is_none(), || {
        let found: Text = match stray {
            Some((arc, level)) => {
                format!("extension 1.3.6.1.4.1.3704.1.3.{arc} with level {level}").into()
            }
            None => "none".into(),
        };
        Compared::new(
            format!("no patch level that {} does not have", identity.generation),
            found,
        )
    })
}

/// A VCEK is of the chip that reported. A VLEK is of no chip, and then none is named.
fn check_chip<O: Observe>(
    report: &Report<'_>,
    identity: &EndorsementKey,
    observer: &mut O,
) -> Result<(), Rejection> {
    let chip_id = report.chip_id.as_slice();
    let named = chip_id.iter().any(|byte| *byte != 0);
    let fits = match (identity.kind, &identity.hardware_id, identity.generation) {
        (Endorsement::Vcek, Some(id), Generation::Turin) => {
            let (head, rest) = chip_id
                .split_at_checked(TURIN_CHIP_ID_LEN)
                .unwrap_or_default();
            named && id == head && rest.iter().all(|byte| *byte == 0)
        }
        (Endorsement::Vcek, Some(id), Generation::Milan | Generation::Genoa) => {
            named && id == chip_id
        }
        (Endorsement::Vcek, None, _) | (Endorsement::Vlek, Some(_), _) => false,
        (Endorsement::Vlek, None, _) => !named && identity.csp_id.is_some(),
    };
    ensure(observer, &CHIP, fits, || {
        let expected: Text = match (identity.kind, &identity.hardware_id) {
            (Endorsement::Vcek, Some(id)) => format!("chip {}, as the VCEK says", hex(id)).into(),
            (Endorsement::Vcek, None) => "a chip in the VCEK".into(),
            (Endorsement::Vlek, _) => "no chip, and a cloud provider in the VLEK".into(),
        };
        let found: Text = if named {
            hex(chip_id).into()
        } else {
            "no chip".into()
        };
        Compared::new(expected, found).at(0x1a0)
    })
}
