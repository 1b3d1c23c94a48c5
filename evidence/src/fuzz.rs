//! Inner parsers, for fuzzing alone: what they read is read in earnest only after its signature was
//! verified, so fuzzing from outside would never get to them.

use std::vec::Vec;

use crate::nvidia::rim;
use crate::rejection::Rejection;
use crate::revocation::crl::Crl;
use crate::tdx;

/// Reads TCB info.
///
/// # Errors
/// As verification of collateral.
pub fn tcb_info(text: &str) -> Result<(), Rejection> {
    tdx::TcbInfo::read(text).map(|_| ())
}

/// Reads the identity of a quoting enclave.
///
/// # Errors
/// As verification of collateral.
pub fn qe_identity(text: &str) -> Result<(), Rejection> {
    tdx::QeIdentity::read(text).map(|_| ())
}

/// Reads a certificate revocation list.
///
/// # Errors
/// `malformed`.
pub fn crl(der: &[u8]) -> Result<(), Rejection> {
    Crl::parse(der).map(|_| ())
}

/// Reads a manifest's tree and writes its canonical form.
///
/// # Errors
/// `malformed`.
pub fn canonical_xml(xml: &[u8]) -> Result<Vec<u8>, Rejection> {
    rim::canonical(xml)
}
