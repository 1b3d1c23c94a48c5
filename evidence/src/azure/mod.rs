//! Azure's confidential machines: a hardware report that the paravisor took, and a TPM quote by a
//! key that the report vouches for.
//!
//! **Decides** whether a runtime claims blob is the one in the hardware's report data, whether the
//! TPM quote in turn is by the attestation key of that blob, and answers the verifier's nonce.
//!
//! **Leaves alone** the hardware report itself ([`crate::sev_snp`], [`crate::tdx`]) and what the
//! platform configuration registers should be: they are claims.
//!
//! Source: Azure, Guest attestation for confidential VMs, HCL report; TCG TPM 2.0 Library, part 2,
//! 10.12; captures.

mod evidence;
mod hcl;
mod tpm;

pub use evidence::Evidence;
pub use hcl::{Hardware, HclReport};
pub use tpm::{MAX_NONCE_LEN, PCRS, TpmQuote};

use std::format;
use std::vec::Vec;

use vouch_protocol::Reason;

use crate::bundle::SevSnpChain;
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::digest::sha256;
use crate::rejection::Rejection;
use crate::verifier::Verifier;
use crate::{sev_snp, tdx};

const HCL: &str = "Azure guest attestation, HCL report";
static RUNTIME: Rule = Rule {
    field: "runtime_data",
    reason: Reason::CpuTpmBindingInvalid,
    source: HCL,
};
static HARDWARE: Rule = Rule {
    field: "hcl.hardware",
    reason: Reason::CpuTpmBindingInvalid,
    source: HCL,
};
static PRIVILEGE: Rule = Rule {
    field: "report.vmpl",
    reason: Reason::CpuPrivilegeRefused,
    source: HCL,
};

/// What the TPM vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmClaims {
    /// SHA-256 platform configuration registers, 0 to 23.
    pub pcrs: Vec<[u8; 32]>,
    /// The verifier's nonce.
    pub nonce: Vec<u8>,
    /// Times the machine was reset.
    pub reset_count: u32,
}

/// A quote of the machine's TPM, as Azure's agents send it.
#[derive(Clone, Debug)]
pub struct TpmEvidence {
    /// `TPMS_ATTEST`.
    pub message: Vec<u8>,
    /// RSASSA-PKCS1-v1.5 with SHA-256.
    pub signature: Vec<u8>,
    /// Registers 0 to 23.
    pub pcrs: Vec<[u8; 32]>,
}

/// Verifies a SEV-SNP machine of Azure: the report that its paravisor took, and the TPM's quote with
/// the verifier's `nonce`.
///
/// # Errors
/// Those of [`sev_snp::verify`]; `cpu_tpm_binding_invalid`, `cpu_privilege_refused`, `malformed`.
pub fn verify_sev_snp<O: Observe>(
    hcl: &HclReport<'_>,
    vek: &[u8],
    chain: Option<&SevSnpChain>,
    tpm: &TpmEvidence,
    nonce: &[u8],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<(sev_snp::Claims, TpmClaims), Rejection> {
    let Hardware::SevSnp(report) = hcl.hardware else {
        return Err(Rejection::new(
            HARDWARE.reason,
            HARDWARE.field,
            "a SEV-SNP report",
            "a TDX report",
        ));
    };
    let report = sev_snp::Report::parse(report).map_err(|r| r.within("report"))?;
    let chain = chain.map(|chain| sev_snp::Chain {
        signer: &chain.signer,
        root: &chain.root,
    });
    let authentic = sev_snp::verify_observed(&report, vek, chain.as_ref(), verifier, observer)?;
    check_runtime(hcl, report.report_data, observer)?;
    ensure(observer, &PRIVILEGE, report.vmpl == 0, || {
        Compared::new("VMPL 0, the paravisor's", format!("VMPL {}", report.vmpl))
    })?;
    let tpm = tpm::verify(hcl.runtime_data, tpm, nonce, observer)?;
    Ok((authentic.claims(), tpm))
}

/// Verifies a TDX machine of Azure: its quote, the report that its paravisor took, and the TPM's
/// quote with the verifier's `nonce`.
///
/// # Errors
/// Those of [`tdx::verify`]; `cpu_tpm_binding_invalid`, `malformed`.
pub fn verify_tdx<O: Observe>(
    hcl: &HclReport<'_>,
    quote: &tdx::Quote<'_>,
    collateral: Option<&tdx::AuthenticCollateral>,
    tpm: &TpmEvidence,
    nonce: &[u8],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<(tdx::Claims, TpmClaims), Rejection> {
    let authentic = tdx::verify_observed(quote, collateral, verifier, observer)?;
    let claims = authentic.claims();
    let Hardware::Tdx(report) = hcl.hardware else {
        return Err(Rejection::new(
            HARDWARE.reason,
            HARDWARE.field,
            "a TDX report",
            "a SEV-SNP report",
        ));
    };
    // The paravisor's own report has no signature: it must say what the quote says.
    let same = report.get(128..192) == Some(claims.report_data.as_slice());
    ensure(observer, &HARDWARE, same, || {
        Compared::new(
            "the report data of the quote",
            if same {
                "the same"
            } else {
                "other report data"
            },
        )
    })?;
    check_runtime(hcl, &claims.report_data, observer)?;
    let tpm = tpm::verify(hcl.runtime_data, tpm, nonce, observer)?;
    Ok((claims, tpm))
}

/// The hardware vouches for the runtime data: its SHA-256, then zeros.
fn check_runtime<O: Observe>(
    hcl: &HclReport<'_>,
    report_data: &[u8; 64],
    observer: &mut O,
) -> Result<(), Rejection> {
    let mut expected = [0; 64];
    if let Some(half) = expected.first_chunk_mut::<32>() {
        *half = sha256(hcl.runtime_data);
    }
    ensure(observer, &RUNTIME, *report_data == expected, || {
        Compared::new(hex(&expected), hex(report_data))
    })
}
