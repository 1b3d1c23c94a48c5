//! The SGX extension of a platform's certification key (PCK) certificate.
//!
//! Source: Intel, SGX PCK Certificate and CRL Profile Specification, 1.3.5.

use alloc::format;

use vouch_protocol::Reason;

use crate::check::hex;
use crate::der::{Der, DerError, tag};
use crate::rejection::Rejection;
use crate::x509::Certificate;

/// 1.2.840.113741.1.13.1
pub(crate) const SGX_EXTENSION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];

const PPID: u8 = 1;
const TCB: u8 = 2;
const PCE_ID: u8 = 3;
const FMSPC: u8 = 4;
const SGX_TYPE: u8 = 5;
const PLATFORM_INSTANCE: u8 = 6;
/// Arc of the PCE's security version among the TCB's; components have 1 to 16.
const PCE_SVN: u8 = 17;
const CPU_SVN: u8 = 18;

/// What a platform's memory protection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SgxType {
    /// With integrity and replay protection, small.
    Standard,
    /// Without cryptographic integrity.
    Scalable,
    /// With cryptographic integrity.
    ScalableWithIntegrity,
}

/// The platform, as its certificate describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pck {
    /// The processor.
    pub ppid: [u8; 16],
    /// Security versions of the platform's components.
    pub components: [u8; 16],
    /// Security version of the provisioning certification enclave.
    pub pce_svn: u16,
    /// The provisioning certification enclave.
    pub pce_id: [u8; 2],
    /// Family, model, stepping, platform and configuration: which TCB info the platform has.
    pub fmspc: [u8; 6],
    /// The platform's memory protection.
    pub sgx_type: SgxType,
    /// The platform as set up, where it can have several processors.
    pub platform_instance: Option<[u8; 16]>,
}

impl Pck {
    /// What names the platform: its instance, or where there is none its processor.
    pub fn platform(&self) -> &[u8; 16] {
        self.platform_instance.as_ref().unwrap_or(&self.ppid)
    }

    /// Reads the extension of a PCK certificate.
    ///
    /// # Errors
    /// `cpu_chain_invalid`.
    pub fn read(certificate: &Certificate<'_>) -> Result<Self, Rejection> {
        let Some(value) = certificate.extension(SGX_EXTENSION) else {
            return Err(Rejection::new(
                Reason::CpuChainInvalid,
                "sgx_extension",
                "extension 1.2.840.113741.1.13.1",
                "none",
            ));
        };
        read(value).map_err(|error| {
            let found = value.get(error.offset..).unwrap_or_default();
            Rejection::new(
                Reason::CpuChainInvalid,
                "sgx_extension",
                format!("{}, once", error.expected),
                if found.is_empty() {
                    "the end of the extension".into()
                } else {
                    hex(found.get(..8).unwrap_or(found))
                },
            )
            .at(error.offset)
        })
    }
}

fn read(value: &[u8]) -> Result<Pck, DerError> {
    let mut input = Der::new(value);
    let mut fields = input.enter(tag::SEQUENCE, "the SGX extension")?;
    input.end("nothing after the SGX extension")?;
    let (mut ppid, mut tcb, mut pce_id, mut fmspc, mut sgx_type, mut platform_instance) =
        (None, None, None, None, None, None);
    while !fields.is_empty() {
        let error = fields.error("a known field");
        let mut field = fields.enter(tag::SEQUENCE, "a field")?;
        match arc(&mut field, SGX_EXTENSION)? {
            PPID => once(&mut ppid, octets(&mut field, "a PPID of 16 bytes")?, error)?,
            TCB => once(&mut tcb, read_tcb(&mut field)?, error)?,
            PCE_ID => once(
                &mut pce_id,
                octets(&mut field, "a PCEID of 2 bytes")?,
                error,
            )?,
            FMSPC => once(
                &mut fmspc,
                octets(&mut field, "an FMSPC of 6 bytes")?,
                error,
            )?,
            SGX_TYPE => once(&mut sgx_type, read_type(&mut field)?, error)?,
            PLATFORM_INSTANCE => once(
                &mut platform_instance,
                octets(&mut field, "a platform instance of 16 bytes")?,
                error,
            )?,
            // Configuration flags, and what may come: nothing is decided by them.
            _ => {
                field.any("a value")?;
            }
        }
        field.end("nothing after a field's value")?;
    }
    let missing = |expected| fields.error(expected);
    let (components, pce_svn) = tcb.ok_or_else(|| missing("a TCB"))?;
    Ok(Pck {
        ppid: ppid.ok_or_else(|| missing("a PPID"))?,
        components,
        pce_svn,
        pce_id: pce_id.ok_or_else(|| missing("a PCEID"))?,
        fmspc: fmspc.ok_or_else(|| missing("an FMSPC"))?,
        sgx_type: sgx_type.ok_or_else(|| missing("an SGX type"))?,
        platform_instance,
    })
}

/// Components and the PCE's security version.
fn read_tcb(field: &mut Der<'_>) -> Result<([u8; 16], u16), DerError> {
    let prefix = [SGX_EXTENSION, &[TCB]].concat();
    let mut list = field.enter(tag::SEQUENCE, "a TCB")?;
    let mut components = [None; 16];
    let mut pce_svn = None;
    while !list.is_empty() {
        let error = list.error("a known TCB component");
        let mut one = list.enter(tag::SEQUENCE, "a TCB component")?;
        let arc = arc(&mut one, &prefix)?;
        let slot = arc
            .checked_sub(1)
            .and_then(|index| components.get_mut(usize::from(index)));
        match (arc, slot) {
            (_, Some(slot)) => {
                let svn = one.u64("a security version")?;
                once(slot, u8::try_from(svn).map_err(|_| error)?, error)?;
            }
            (PCE_SVN, _) => {
                let svn = one.u64("a security version")?;
                once(&mut pce_svn, u16::try_from(svn).map_err(|_| error)?, error)?;
            }
            // The raw form of the components.
            (CPU_SVN, _) => {
                octets::<16>(&mut one, "a CPUSVN of 16 bytes")?;
            }
            _ => return Err(error),
        }
        one.end("nothing after a security version")?;
    }
    let mut all = [0; 16];
    for (to, from) in all.iter_mut().zip(components) {
        *to = from.ok_or_else(|| list.error("16 TCB components"))?;
    }
    Ok((all, pce_svn.ok_or_else(|| list.error("a PCESVN"))?))
}

fn read_type(field: &mut Der<'_>) -> Result<SgxType, DerError> {
    let error = field.error("an SGX type of 0, 1 or 2");
    match field.expect(tag::ENUMERATED, "an SGX type")?.value {
        [0] => Ok(SgxType::Standard),
        [1] => Ok(SgxType::Scalable),
        [2] => Ok(SgxType::ScalableWithIntegrity),
        _ => Err(error),
    }
}

/// The last arc of an identifier under `prefix`.
fn arc(field: &mut Der<'_>, prefix: &[u8]) -> Result<u8, DerError> {
    let error = field.error("an identifier of Intel's SGX extension");
    match field.oid("an identifier")?.strip_prefix(prefix) {
        Some([arc]) if *arc < 0x80 => Ok(*arc),
        _ => Err(error),
    }
}

fn octets<const N: usize>(field: &mut Der<'_>, what: &'static str) -> Result<[u8; N], DerError> {
    let error = field.error(what);
    let value = field.expect(tag::OCTET_STRING, what)?.value;
    value.try_into().map_err(|_| error)
}

fn once<T>(slot: &mut Option<T>, value: T, error: DerError) -> Result<(), DerError> {
    if slot.replace(value).is_some() {
        return Err(error);
    }
    Ok(())
}
