//! The report as bytes: `ATTESTATION_REPORT`, 1184 bytes, little-endian.
//!
//! Source: AMD 56860, SEV-SNP Firmware ABI, `ATTESTATION_REPORT`.

use alloc::format;

use vouch_protocol::Reason;

use super::chain::Endorsement;
use super::generation::{Generation, Tcb};
use crate::cursor::Cursor;
use crate::rejection::Rejection;
use crate::signature::P384_SIGNATURE_LEN;

/// Bytes of a report.
pub const REPORT_LEN: usize = 0x4a0;
/// Bytes from the start that are signed.
pub const SIGNED_LEN: usize = 0x2a0;
/// Offset of the report data.
pub const REPORT_DATA_AT: usize = 0x50;

const ECDSA_P384_SHA384: u32 = 1;
/// Bytes of a signature component, of which the low 48 are used.
const COMPONENT_LEN: usize = 72;

/// What the guest's owner asked of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    /// The host may read and change the guest's memory.
    pub const fn debug(self) -> bool {
        self.0 & (1 << 19) != 0
    }

    /// A migration agent may take the guest elsewhere.
    pub const fn migration_agent(self) -> bool {
        self.0 & (1 << 18) != 0
    }

    /// Hyper-threads may be on.
    pub const fn smt(self) -> bool {
        self.0 & (1 << 16) != 0
    }
}

/// A parsed report. Nothing is verified yet.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Version of the layout: 2 to 5.
    pub version: u32,
    /// Security version that the guest's owner gave it.
    pub guest_svn: u32,
    /// What the guest's owner asked of the platform.
    pub policy: GuestPolicy,
    /// Privilege level that asked for the report; 0 is the highest.
    pub vmpl: u32,
    /// TCB the platform runs.
    pub current_tcb: Tcb,
    /// Bits about the platform; reserved ones are set by real machines.
    pub platform_info: u64,
    /// What signed the report.
    pub endorsement: Endorsement,
    /// The chip's identity is left out of its reports.
    pub chip_id_masked: bool,
    /// 64 bytes of the guest's choice.
    pub report_data: &'a [u8; 64],
    /// Launch measurement of the guest.
    pub measurement: &'a [u8; 48],
    /// 32 bytes of the host's choice at launch.
    pub host_data: &'a [u8; 32],
    /// Digest of the key that signed the guest's identity block.
    pub id_key_digest: &'a [u8; 48],
    /// Unique to this guest.
    pub report_id: &'a [u8; 32],
    /// TCB the signing key was derived for.
    pub reported_tcb: Tcb,
    /// From the CPUID family and model; `None` in version 2, which has none.
    pub generation: Option<Generation>,
    /// The chip; zero where masked, and with a VLEK.
    pub chip_id: &'a [u8; 64],
    /// TCB below which the platform cannot go back.
    pub committed_tcb: Tcb,
    /// TCB at the guest's launch.
    pub launch_tcb: Tcb,
    /// `r || s`, big-endian.
    pub signature: [u8; P384_SIGNATURE_LEN],
    /// What is signed.
    pub signed: &'a [u8; SIGNED_LEN],
}

impl<'a> Report<'a> {
    /// Reads one report of exactly [`REPORT_LEN`] bytes.
    ///
    /// # Errors
    /// `malformed`; `version_unsupported`, `device_unsupported`, `algorithm_unsupported`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let bytes: &[u8; REPORT_LEN] = bytes.try_into().map_err(|_| {
            Rejection::malformed(
                "report",
                format!("{REPORT_LEN} bytes"),
                format!("{} bytes", bytes.len()),
            )
            .at(bytes.len().min(REPORT_LEN))
        })?;
        let signed = bytes.first_chunk::<SIGNED_LEN>().ok_or_else(|| {
            Rejection::malformed("report", format!("{REPORT_LEN} bytes"), "fewer")
        })?;
        let mut input = Cursor::new(bytes);
        let version = input.u32("version")?;
        if !(2..=5).contains(&version) {
            return Err(Rejection::new(
                Reason::VersionUnsupported,
                "version",
                "2 to 5",
                format!("{version}"),
            )
            .at(0));
        }
        let guest_svn = input.u32("guest_svn")?;
        let policy = policy(&mut input)?;
        input.array::<16>("family_id")?;
        input.array::<16>("image_id")?;
        let vmpl = input.u32("vmpl")?;
        let at = input.offset();
        let algorithm = input.u32("signature_algo")?;
        if algorithm != ECDSA_P384_SHA384 {
            return Err(Rejection::new(
                Reason::AlgorithmUnsupported,
                "signature_algo",
                "1 (ECDSA P-384 with SHA-384)",
                format!("{algorithm}"),
            )
            .at(at));
        }
        let current_tcb = tcb(&mut input, "current_tcb")?;
        let platform_info = input.u64("platform_info")?;
        let (endorsement, chip_id_masked) = key_info(&mut input)?;
        input.zeros(4, "reserved")?;
        let report_data = input.array("report_data")?;
        let measurement = input.array("measurement")?;
        let host_data = input.array("host_data")?;
        let id_key_digest = input.array("id_key_digest")?;
        input.array::<48>("author_key_digest")?;
        let report_id = input.array("report_id")?;
        input.array::<32>("report_id_ma")?;
        let reported_tcb = tcb(&mut input, "reported_tcb")?;
        let generation = cpuid(&mut input, version)?;
        input.zeros(21, "reserved")?;
        let chip_id = input.array("chip_id")?;
        let committed_tcb = tcb(&mut input, "committed_tcb")?;
        for field in ["current_version", "committed_version"] {
            input.array::<3>(field)?;
            input.zeros(1, "reserved")?;
        }
        let launch_tcb = tcb(&mut input, "launch_tcb")?;
        if version >= 5 {
            input.u64("launch_mit_vector")?;
            input.u64("current_mit_vector")?;
        }
        let reserved = SIGNED_LEN.saturating_sub(input.offset());
        input.zeros(reserved, "reserved")?;
        let signature = signature(&mut input)?;
        Ok(Self {
            version,
            guest_svn,
            policy,
            vmpl,
            current_tcb,
            platform_info,
            endorsement,
            chip_id_masked,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            report_id,
            reported_tcb,
            generation,
            chip_id,
            committed_tcb,
            launch_tcb,
            signature,
            signed,
        })
    }
}

/// Bit 17 is one; bits 26 and up are zero.
fn policy(input: &mut Cursor<'_>) -> Result<GuestPolicy, Rejection> {
    let at = input.offset();
    let policy = input.u64("policy")?;
    if policy & (1 << 17) == 0 || policy >> 26 != 0 {
        return Err(Rejection::malformed(
            "policy",
            "bit 17 set and bits 26 to 63 zero",
            format!("0x{policy:x}"),
        )
        .at(at));
    }
    Ok(GuestPolicy(policy))
}

/// `KEY_INFO`: what signed, and whether the chip is named.
fn key_info(input: &mut Cursor<'_>) -> Result<(Endorsement, bool), Rejection> {
    let at = input.offset();
    let info = input.u32("key_info")?;
    let endorsement = match (info >> 2) & 7 {
        0 => Endorsement::Vcek,
        1 => Endorsement::Vlek,
        other => {
            return Err(Rejection::new(
                Reason::CpuSignatureInvalid,
                "key_info.signing_key",
                "0 (VCEK) or 1 (VLEK)",
                if other == 7 {
                    "7 (not signed)".into()
                } else {
                    format!("{other}")
                },
            )
            .at(at));
        }
    };
    if info >> 5 != 0 {
        return Err(
            Rejection::malformed("key_info", "bits 5 to 31 zero", format!("0x{info:x}")).at(at),
        );
    }
    Ok((endorsement, info & 2 != 0))
}

fn cpuid(input: &mut Cursor<'_>, version: u32) -> Result<Option<Generation>, Rejection> {
    if version < 3 {
        input.zeros(3, "reserved")?;
        return Ok(None);
    }
    let at = input.offset();
    let [family, model, _stepping] = *input.array::<3>("cpuid")?;
    Generation::from_cpuid(family, model)
        .map(Some)
        .ok_or_else(|| {
            Rejection::new(
                Reason::DeviceUnsupported,
                "cpuid",
                "Milan, Genoa or Turin",
                format!("family 0x{family:02x}, model 0x{model:02x}"),
            )
            .at(at)
        })
}

fn tcb(input: &mut Cursor<'_>, field: &'static str) -> Result<Tcb, Rejection> {
    input.array(field).map(|bytes| Tcb(*bytes))
}

/// Two little-endian numbers of 72 bytes, of which 48 are used, and zeros.
fn signature(input: &mut Cursor<'_>) -> Result<[u8; P384_SIGNATURE_LEN], Rejection> {
    let mut signature = [0; P384_SIGNATURE_LEN];
    for half in signature.chunks_exact_mut(P384_SIGNATURE_LEN / 2) {
        let number = input.bytes(half.len(), "signature")?;
        for (to, from) in half.iter_mut().rev().zip(number) {
            *to = *from;
        }
        input.zeros(COMPONENT_LEN.saturating_sub(half.len()), "signature")?;
    }
    let rest = input.rest().len();
    input.zeros(rest, "signature")?;
    Ok(signature)
}
