//! From a parsed quote and Intel's collateral to an authentic quote.

use std::format;

use vouch_protocol::Reason;

use super::authentic::{AuthenticCollateral, verify_collateral};
use super::chain::{self, Source, VerifiedPck};
use super::collateral::Collateral;
use super::pck::Pck;
use super::quote::{Certification, Quote};
use super::report::REPORT_DATA_AT;
use super::tcb::{self, Appraisal};
use crate::anchors::Anchors;
use crate::authentic::Authentic;
use crate::check::{Compared, Observe, Rule, ensure, hex, skip};
use crate::digest::sha256;
use crate::rejection::{Rejection, Text};
use crate::signature::{self, P256_KEY_LEN};
use crate::time::Time;
use crate::verifier::Verifier;

const QUOTE: &str = "Intel TDX DCAP Quoting Library API, appendix A";
const QVL: &str = "Intel PCS API v4; DCAP quote verification";
static SIGNATURE: Rule = Rule {
    field: "quote.signature",
    reason: Reason::CpuSignatureInvalid,
    source: QUOTE,
};
static BINDING: Rule = Rule {
    field: "qe_report.report_data",
    reason: Reason::CpuQuotingEnclaveInvalid,
    source: QUOTE,
};
static QE_SIGNATURE: Rule = Rule {
    field: "qe_report_signature",
    reason: Reason::CpuQuotingEnclaveInvalid,
    source: QUOTE,
};
static ROOT: Rule = Rule {
    field: "collateral.root",
    reason: Reason::TcbInfoMissing,
    source: QVL,
};
static ISSUER: Rule = Rule {
    field: "collateral.pck_crl.issuer",
    reason: Reason::RevocationMissing,
    source: QVL,
};
static PLATFORM: Rule = Rule {
    field: "collateral.tcb_info.fmspc",
    reason: Reason::TcbInfoMissing,
    source: QVL,
};
static REVOCATION: Rule = Rule {
    field: "pck_chain.revocation",
    reason: Reason::RevocationMissing,
    source: QVL,
};
static QE_IDENTITY: Rule = Rule {
    field: "qe_report.identity",
    reason: Reason::TcbInfoMissing,
    source: QVL,
};
static TCB: Rule = Rule {
    field: "tcb.status",
    reason: Reason::TcbInfoMissing,
    source: QVL,
};
static REPORT_DATA: Rule = Rule {
    field: "report.report_data",
    reason: Reason::CpuReportDataMismatch,
    source: "Vouch protocol, Bindings 4",
};

/// The platform that a quote comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// What its certificate says.
    pub pck: Pck,
    /// What Intel says of it. `None` where no collateral was given: then the PCK may be revoked, and
    /// everything that the quote rests on may be out of date.
    pub appraisal: Option<Appraisal>,
}

/// A quote whose signatures and chain hold, with its platform.
pub type AuthenticQuote<'a> = Authentic<Quote<'a>, Platform>;

/// Verifies a quote. Without collateral revocation, the quoting enclave's version and the TCB are not
/// checked, and [`Platform::appraisal`] is `None`.
///
/// # Errors
/// `cpu_signature_invalid`, `cpu_quoting_enclave_invalid`, `cpu_chain_invalid`,
/// `cpu_root_untrusted`, `certificate_expired`, `certificate_missing`, `revoked`,
/// `cpu_tcb_too_low`, `measurement_mismatch`, `tcb_info_missing`, `revocation_missing`, or
/// `malformed`; and those of [`verify_collateral`].
pub fn verify<'a>(
    quote: &Quote<'a>,
    collateral: Option<&Collateral>,
    anchors: &Anchors,
    time: Time,
) -> Result<AuthenticQuote<'a>, Rejection> {
    let verifier = Verifier::new(anchors, time);
    let collateral = collateral
        .map(|collateral| verify_collateral(collateral, &verifier, &mut ()))
        .transpose()?;
    verify_observed(quote, collateral.as_ref(), &verifier, &mut ())
}

/// Verifies a quote and shows every check to `observer`.
///
/// # Errors
/// As [`verify`].
pub fn verify_observed<'a, O: Observe>(
    quote: &Quote<'a>,
    collateral: Option<&AuthenticCollateral>,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<AuthenticQuote<'a>, Rejection> {
    check_signature(quote, observer)?;
    check_binding(quote, observer)?;
    let source = match (quote.certification, collateral) {
        (Certification::Chain(pem), _) => Source::Pem(pem),
        (Certification::Reference(_), Some(collateral)) if !collateral.pck_chain.is_empty() => {
            Source::Der(&collateral.pck_chain)
        }
        (Certification::Reference(kind), _) => {
            return Err(Rejection::new(
                Reason::CertificateMissing,
                "pck_chain",
                "the PCK's certificates, in the quote or the collateral",
                format!("certification data of type {kind}"),
            ));
        }
    };
    let verified = chain::verify(&source, verifier, observer)?;
    let signed = signature::verify_p256(&verified.key, quote.qe_report.signed, quote.qe_signature);
    ensure(observer, &QE_SIGNATURE, signed, || {
        Compared::new(
            "ECDSA P-256 with SHA-256 by the PCK over the quoting enclave's report",
            outcome(signed),
        )
        .at(quote.qe_report_at)
    })?;
    tcb::check_quoting_enclave(&quote.qe_report, observer)?;
    let appraisal = match collateral {
        Some(collateral) => Some(appraise(quote, &verified, collateral, verifier, observer)?),
        None => {
            let none = "no collateral was given";
            skip(
                observer,
                &REVOCATION,
                "a PCK and issuer that are not revoked",
                none,
            );
            skip(observer, &QE_IDENTITY, "a current quoting enclave", none);
            skip(observer, &TCB, "Intel's rating of the platform", none);
            None
        }
    };
    Ok(Authentic::new(
        quote.clone(),
        Platform {
            pck: verified.pck.clone(),
            appraisal,
        },
        verified.simulated,
        verifier.time,
    ))
}

/// The quote carries exactly these 64 bytes.
///
/// # Errors
/// `cpu_report_data_mismatch`.
pub fn check_report_data<O: Observe>(
    quote: &AuthenticQuote<'_>,
    expected: &[u8; 64],
    observer: &mut O,
) -> Result<(), Rejection> {
    let quote = quote.report();
    let found = quote.report.report_data;
    ensure(observer, &REPORT_DATA, found == expected, || {
        Compared::new(hex(expected), hex(found)).at(quote.report_at.saturating_add(REPORT_DATA_AT))
    })
}

/// The attestation key signed header and report.
fn check_signature<O: Observe>(quote: &Quote<'_>, observer: &mut O) -> Result<(), Rejection> {
    let mut key = [4; P256_KEY_LEN];
    if let Some(point) = key.last_chunk_mut() {
        *point = *quote.attestation_key;
    }
    let signed = signature::verify_p256(&key, quote.signed, quote.signature);
    ensure(observer, &SIGNATURE, signed, || {
        Compared::new(
            format!(
                "ECDSA P-256 with SHA-256 by the attestation key over bytes 0 to {}",
                quote.signed.len()
            ),
            outcome(signed),
        )
        .at(quote.signature_at)
    })
}

/// The quoting enclave bound the attestation key.
fn check_binding<O: Observe>(quote: &Quote<'_>, observer: &mut O) -> Result<(), Rejection> {
    let digest = sha256(&[quote.attestation_key.as_slice(), quote.qe_authentication].concat());
    let found = quote.qe_report.report_data;
    let bound =
        found.starts_with(&digest) && found.iter().skip(digest.len()).all(|byte| *byte == 0);
    ensure(observer, &BINDING, bound, || {
        Compared::new(
            format!(
                "{}, SHA-256 of attestation key and authentication data, and zeros",
                hex(&digest)
            ),
            hex(found),
        )
        .at(quote.qe_report_at.saturating_add(320))
    })
}

/// What Intel says of the platform, once it is certain that it speaks of this one.
fn appraise<O: Observe>(
    quote: &Quote<'_>,
    verified: &VerifiedPck,
    collateral: &AuthenticCollateral,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Appraisal, Rejection> {
    collateral
        .check_time(verifier.time, observer)
        .map_err(|r| r.within("collateral"))?;
    let same_root = collateral.root == verified.root;
    ensure(observer, &ROOT, same_root, || {
        Compared::new(
            "collateral under the root of the quote",
            if same_root {
                "it"
            } else {
                "under another root"
            },
        )
    })?;
    let same_issuer = collateral.pck_issuer == verified.issuer
        && collateral.pck_issuer_spki == verified.issuer_spki;
    ensure(observer, &ISSUER, same_issuer, || {
        let name = |der| format!("{:?}", crate::x509::common_name(der).unwrap_or_default());
        Compared::new(
            format!("a revocation list of {}", name(&verified.issuer)),
            format!("of {}", name(&collateral.pck_issuer)),
        )
    })?;
    collateral
        .revoked_by_root
        .check(&verified.issuer_serial, observer)
        .map_err(|r| r.within("pck_chain.issuer"))?;
    collateral
        .revoked_pcks
        .check(&verified.serial, observer)
        .map_err(|r| r.within("pck_chain.pck"))?;
    let (pck, info) = (&verified.pck, &collateral.tcb_info);
    let same_platform = info.fmspc == pck.fmspc && info.pce_id == pck.pce_id;
    ensure(observer, &PLATFORM, same_platform, || {
        let name = |fmspc, pce_id| -> Text {
            format!("FMSPC {}, PCEID {}", hex(fmspc), hex(pce_id)).into()
        };
        Compared::new(
            name(&pck.fmspc, &pck.pce_id),
            name(&info.fmspc, &info.pce_id),
        )
    })?;
    let quoting_enclave =
        tcb::rate_quoting_enclave(&quote.qe_report, &collateral.qe_identity, observer)?;
    let mut appraisal = tcb::appraise(&quote.report, pck, quoting_enclave, info, observer)?;
    appraisal.evaluation = appraisal.evaluation.min(collateral.qe_identity.evaluation);
    appraisal.valid_until = collateral.valid_until();
    Ok(appraisal)
}

const fn outcome(signed: bool) -> &'static str {
    if signed {
        "a signature that verifies"
    } else {
        "a signature that does not verify"
    }
}
