//! Signature verification behind one interface, with two backends: `host` (aws-lc-rs, the fastest
//! measured) where there is std, [`portable`] everywhere, as the second opinion and for wasm.
//!
//! Keys and signatures have one form each: an uncompressed SEC 1 point and `r || s`, big-endian.

#[cfg(feature = "std")]
mod host;
pub mod portable;

#[cfg(feature = "std")]
use host as backend;
#[cfg(not(feature = "std"))]
use portable as backend;

use crate::der::{Der, DerError, tag};

/// Bytes of a P-384 signature, `r || s`.
pub const P384_SIGNATURE_LEN: usize = 96;
/// Bytes of an uncompressed P-384 point.
pub const P384_KEY_LEN: usize = 97;
/// Bytes of an uncompressed P-256 point.
pub const P256_KEY_LEN: usize = 65;
/// Bytes of an RSA-4096 signature.
pub const RSA_4096_LEN: usize = 512;

/// An RSA public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsaKey<'a> {
    /// `RSAPublicKey`, DER.
    pub der: &'a [u8],
    /// Modulus, big-endian, without leading zeros.
    pub modulus: &'a [u8],
    /// Public exponent.
    pub exponent: u64,
}

/// Whether `signature` (`r || s`) over `message` verifies with ECDSA, P-384 and SHA-384.
pub fn verify_p384(
    key: &[u8; P384_KEY_LEN],
    message: &[u8],
    signature: &[u8; P384_SIGNATURE_LEN],
) -> bool {
    backend::verify_p384(key, message, signature)
}

/// Whether `signature` over `message` verifies with RSASSA-PSS, SHA-384, MGF1 with SHA-384 and a
/// salt of 48 bytes, under a 4096-bit key with exponent 65537: AMD's only profile.
pub fn verify_rsa_pss_sha384(key: &RsaKey<'_>, message: &[u8], signature: &[u8]) -> bool {
    key.modulus.len() == RSA_4096_LEN
        && key.exponent == 65_537
        && signature.len() == RSA_4096_LEN
        && backend::verify_rsa_pss_sha384(key, message, signature)
}

/// Whether `signature` (`r || s`) over `message` verifies with ECDSA, P-256 and SHA-256.
#[cfg(feature = "std")]
pub fn verify_p256(key: &[u8; P256_KEY_LEN], message: &[u8], signature: &[u8; 64]) -> bool {
    host::verify_p256(key, message, signature)
}

/// Whether `signature` over `message` verifies with RSASSA-PKCS1-v1.5 and SHA-256, under a key of
/// 2048 to 4096 bits.
#[cfg(feature = "std")]
pub fn verify_rsa_pkcs1_sha256(key_der: &[u8], message: &[u8], signature: &[u8]) -> bool {
    host::verify_rsa_pkcs1_sha256(key_der, message, signature)
}

/// `r || s` from the DER form that certificates use, each `LEN / 2` bytes.
pub(crate) fn ecdsa_from_der<const LEN: usize>(der: &[u8]) -> Result<[u8; LEN], DerError> {
    let mut input = Der::new(der);
    let mut pair = input.enter(tag::SEQUENCE, "an ECDSA signature")?;
    let r = pair.unsigned("r of an ECDSA signature")?;
    let s = pair.unsigned("s of an ECDSA signature")?;
    pair.end("nothing after s")?;
    input.end("nothing after the ECDSA signature")?;
    let mut out = [0; LEN];
    for (half, number) in out.chunks_exact_mut(LEN / 2).zip([r, s]) {
        let padding = half.len().checked_sub(number.len()).ok_or(DerError {
            offset: 0,
            expected: "r and s within the curve's size",
        })?;
        if let Some(slot) = half.get_mut(padding..) {
            slot.copy_from_slice(number);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod wycheproof_tests;
