//! The quote as it is encoded, little-endian.
//!
//! Source: Intel, TDX DCAP Quoting Library API, Appendix A (versions 4 and 5).

use alloc::format;

use vouch_protocol::Reason;

use super::report::{self, TdReport};
use crate::check::hex;
use crate::cursor::Cursor;
use crate::rejection::Rejection;

/// Bytes of the largest quote that is looked at. Real ones have five to eight thousand.
pub const MAX_QUOTE_LEN: usize = 64 * 1024;
/// Bytes of a quote's header.
pub const HEADER_LEN: usize = 48;
/// Bytes of an enclave's report.
pub const QE_REPORT_LEN: usize = 384;

/// The only quoting-enclave vendor there is: Intel.
const INTEL: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
const ECDSA_P256: u16 = 2;
const TEE_SGX: u32 = 0;
const TEE_TDX: u32 = 0x81;
/// Certification data: a quoting enclave's report with its own certification data.
const QE_REPORT: u16 = 6;
/// Certification data: the PCK certificate with its chain, PEM.
const PCK_CHAIN: u16 = 5;
const SIGNATURE: &str = "signature_data";

/// The report of the quoting enclave, an SGX enclave.
#[derive(Clone, Copy, Debug)]
pub struct QeReport<'a> {
    /// What the PCK signs.
    pub signed: &'a [u8; QE_REPORT_LEN],
    /// `MISCSELECT`.
    pub misc_select: u32,
    /// `ATTRIBUTES`.
    pub attributes: &'a [u8; 16],
    /// Measurement of the enclave.
    pub mr_enclave: &'a [u8; 32],
    /// Digest of the key that signed the enclave.
    pub mr_signer: &'a [u8; 32],
    /// Product of the signer.
    pub product_id: u16,
    /// Security version of the enclave.
    pub security_version: u16,
    /// What the enclave binds.
    pub report_data: &'a [u8; 64],
}

/// How the platform's certification key (PCK) is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certification<'a> {
    /// Its certificate, the certificate of its issuer and the root, PEM.
    Chain(&'a [u8]),
    /// In a way that only Intel can resolve, of this type: the certificates come with collateral.
    Reference(u16),
}

/// A parsed quote. Nothing is verified yet.
#[derive(Clone, Debug)]
pub struct Quote<'a> {
    /// 4 or 5.
    pub version: u16,
    /// 20 bytes of the quoting enclave's choice.
    pub user_data: &'a [u8; 20],
    /// What the TDX module said of the trust domain.
    pub report: TdReport<'a>,
    /// What the attestation key signs: header and report.
    pub signed: &'a [u8],
    /// The attestation key's signature, `r || s`, big-endian.
    pub signature: &'a [u8; 64],
    /// The attestation key, `x || y`, big-endian.
    pub attestation_key: &'a [u8; 64],
    /// The quoting enclave.
    pub qe_report: QeReport<'a>,
    /// The PCK's signature on the quoting enclave's report.
    pub qe_signature: &'a [u8; 64],
    /// Further bytes that the quoting enclave binds.
    pub qe_authentication: &'a [u8],
    /// How to find the PCK.
    pub certification: Certification<'a>,
    /// Bytes of the quote. What follows is padding that nothing vouches for.
    pub length: usize,
    /// Bytes that follow.
    pub trailing: usize,
    /// Where the report begins.
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "for verification"))]
    pub(crate) report_at: usize,
    /// Where the signature begins.
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "for verification"))]
    pub(crate) signature_at: usize,
    /// Where the quoting enclave's report begins.
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "for verification"))]
    pub(crate) qe_report_at: usize,
}

impl<'a> Quote<'a> {
    /// Reads one quote. Bytes may follow it; they are counted and left alone.
    ///
    /// # Errors
    /// `malformed`; `version_unsupported`, `device_unsupported`, `algorithm_unsupported`;
    /// `cpu_quoting_enclave_invalid` where the quoting enclave is not Intel's.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        if bytes.len() > MAX_QUOTE_LEN {
            return Err(Rejection::malformed(
                "quote",
                format!("at most {MAX_QUOTE_LEN} bytes"),
                format!("{} bytes", bytes.len()),
            ));
        }
        let mut input = Cursor::new(bytes);
        let (version, user_data) = header(&mut input)?;
        let kind = report::Kind::read(version, &mut input)?;
        let report_at = input.offset();
        let report = TdReport::read(kind, &mut input)?;
        let signed = bytes.get(..input.offset()).unwrap_or_default();

        let data_len = length(&mut input, SIGNATURE)?;
        let signature_at = input.offset();
        let mut data = Cursor::within(input.bytes(data_len, SIGNATURE)?, signature_at);
        let signature = data.array("signature")?;
        let attestation_key = data.array("attestation_key")?;
        let at = data.offset();
        let certification_type = data.u16("certification_data.type")?;
        if certification_type != QE_REPORT {
            return Err(Rejection::malformed(
                "certification_data.type",
                "6 (a quoting enclave's report)",
                format!("{certification_type}"),
            )
            .at(at));
        }
        let mut qe = section(&mut data, "certification_data")?;
        end(&data, "signature_data")?;
        let qe_report_at = qe.offset();
        let qe_report = qe_report(qe.array("qe_report")?)?;
        let qe_signature = qe.array("qe_report_signature")?;
        let authentication_len = usize::from(qe.u16("qe_authentication_data.size")?);
        let qe_authentication = qe.bytes(authentication_len, "qe_authentication_data")?;
        let pck_type = qe.u16("pck_certification_data.type")?;
        let pck = section(&mut qe, "pck_certification_data")?;
        end(&qe, "certification_data")?;
        Ok(Self {
            version,
            user_data,
            report,
            signed,
            signature,
            attestation_key,
            qe_report,
            qe_signature,
            qe_authentication,
            certification: if pck_type == PCK_CHAIN {
                Certification::Chain(pck.rest())
            } else {
                Certification::Reference(pck_type)
            },
            length: input.offset(),
            trailing: input.rest().len(),
            report_at,
            signature_at,
            qe_report_at,
        })
    }
}

/// Everything before the report: the version and the quoting enclave's own bytes.
fn header<'a>(input: &mut Cursor<'a>) -> Result<(u16, &'a [u8; 20]), Rejection> {
    let version = input.u16("header.version")?;
    if !matches!(version, 4 | 5) {
        return Err(Rejection::new(
            Reason::VersionUnsupported,
            "header.version",
            "4 or 5",
            format!("{version}"),
        )
        .at(0));
    }
    let at = input.offset();
    let algorithm = input.u16("header.attestation_key_type")?;
    if algorithm != ECDSA_P256 {
        return Err(Rejection::new(
            Reason::AlgorithmUnsupported,
            "header.attestation_key_type",
            "2 (ECDSA P-256 with SHA-256)",
            format!("{algorithm}"),
        )
        .at(at));
    }
    let at = input.offset();
    let tee = input.u32("header.tee_type")?;
    if tee != TEE_TDX {
        return Err(Rejection::new(
            Reason::DeviceUnsupported,
            "header.tee_type",
            "0x81 (TDX)",
            if tee == TEE_SGX {
                "0 (SGX)".into()
            } else {
                format!("0x{tee:x}")
            },
        )
        .at(at));
    }
    // Once SVNs, now reserved, and not always zero: the signature covers them and nobody reads them.
    input.array::<4>("header.reserved")?;
    let at = input.offset();
    let vendor = input.array::<16>("header.qe_vendor_id")?;
    if *vendor != INTEL {
        return Err(Rejection::new(
            Reason::CpuQuotingEnclaveInvalid,
            "header.qe_vendor_id",
            hex(&INTEL),
            hex(vendor),
        )
        .at(at));
    }
    Ok((version, input.array("header.user_data")?))
}

/// A length and as many bytes.
fn section<'a>(input: &mut Cursor<'a>, field: &'static str) -> Result<Cursor<'a>, Rejection> {
    let length = length(input, field)?;
    let at = input.offset();
    Ok(Cursor::within(input.bytes(length, field)?, at))
}

fn length(input: &mut Cursor<'_>, field: &'static str) -> Result<usize, Rejection> {
    let at = input.offset();
    let length = input.u32(field)?;
    usize::try_from(length).map_err(|_| {
        Rejection::malformed(
            field,
            format!("at most {MAX_QUOTE_LEN} bytes"),
            format!("{length}"),
        )
        .at(at)
    })
}

fn end(input: &Cursor<'_>, field: &'static str) -> Result<(), Rejection> {
    if input.is_empty() {
        return Ok(());
    }
    Err(Rejection::malformed(
        field,
        "nothing after its last field",
        format!("{} bytes", input.rest().len()),
    )
    .at(input.offset()))
}

/// `REPORTBODY` of an SGX enclave. Intel SDM, volume 3D, 38.15.
fn qe_report(signed: &[u8; QE_REPORT_LEN]) -> Result<QeReport<'_>, Rejection> {
    let mut input = Cursor::new(signed);
    input.array::<16>("qe_report.cpu_svn")?;
    let misc_select = input.u32("qe_report.misc_select")?;
    input.array::<28>("qe_report.reserved")?;
    let attributes = input.array("qe_report.attributes")?;
    let mr_enclave = input.array("qe_report.mr_enclave")?;
    input.array::<32>("qe_report.reserved")?;
    let mr_signer = input.array("qe_report.mr_signer")?;
    input.array::<96>("qe_report.reserved")?;
    let product_id = input.u16("qe_report.isv_prod_id")?;
    let security_version = input.u16("qe_report.isv_svn")?;
    input.array::<60>("qe_report.reserved")?;
    Ok(QeReport {
        signed,
        misc_select,
        attributes,
        mr_enclave,
        mr_signer,
        product_id,
        security_version,
        report_data: input.array("qe_report.report_data")?,
    })
}
