//! Pure Rust, without std: `p384` for ECDSA, and RSASSA-PSS verification on `crypto-bigint`.
//!
//! Only public values are handled, so nothing here needs constant time.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U4096};
use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha384};

use super::{P384_KEY_LEN, P384_SIGNATURE_LEN, RSA_4096_LEN, RsaKey};

const HASH_LEN: usize = 48;
const SALT_LEN: usize = 48;
/// Length of the masked data block of a 4096-bit key.
const DB_LEN: usize = RSA_4096_LEN - HASH_LEN - 1;
/// Zero bytes at the front of the data block.
const PADDING_LEN: usize = DB_LEN - SALT_LEN - 1;

/// See [`super::verify_p384`].
pub fn verify_p384(
    key: &[u8; P384_KEY_LEN],
    message: &[u8],
    signature: &[u8; P384_SIGNATURE_LEN],
) -> bool {
    let Ok(key) = VerifyingKey::from_sec1_bytes(key) else {
        return false;
    };
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    key.verify(message, &signature).is_ok()
}

/// See [`super::verify_rsa_pss_sha384`].
pub fn verify_rsa_pss_sha384(key: &RsaKey<'_>, message: &[u8], signature: &[u8]) -> bool {
    let (Ok(modulus), Ok(signature)) = (
        <&[u8; RSA_4096_LEN]>::try_from(key.modulus),
        <&[u8; RSA_4096_LEN]>::try_from(signature),
    ) else {
        return false;
    };
    // Exactly 4096 bits: the encoded message then has one bit less, which `emsa_pss` relies on.
    if modulus.first().is_none_or(|byte| byte & 0x80 == 0) || key.exponent != 65_537 {
        return false;
    }
    raise_to_65537(modulus, signature).is_some_and(|encoded| emsa_pss_verify(&encoded, message))
}

/// RSAVP1 (RFC 8017, 5.2.2) for the exponent 2^16 + 1.
fn raise_to_65537(
    modulus: &[u8; RSA_4096_LEN],
    signature: &[u8; RSA_4096_LEN],
) -> Option<[u8; RSA_4096_LEN]> {
    let modulus = U4096::from_be_slice(modulus);
    let signature = U4096::from_be_slice(signature);
    if signature >= modulus {
        return None;
    }
    let params = FixedMontyParams::new_vartime(Option::from(Odd::new(modulus))?);
    let base = FixedMontyForm::new(&signature, &params);
    let power = base.square_repeat_vartime(16).mul(&base);
    power.retrieve().to_be_bytes().as_ref().try_into().ok()
}

/// EMSA-PSS-VERIFY (RFC 8017, 9.1.2) for 4095 bits, SHA-384, MGF1 with SHA-384, salt of 48 bytes.
fn emsa_pss_verify(encoded: &[u8; RSA_4096_LEN], message: &[u8]) -> bool {
    let Some((masked, rest)) = encoded.split_first_chunk::<DB_LEN>() else {
        return false;
    };
    let Some((hash, trailer)) = rest.split_first_chunk::<HASH_LEN>() else {
        return false;
    };
    if trailer != [0xbc] || masked.first().is_none_or(|byte| byte & 0x80 != 0) {
        return false;
    }
    let mut db = *masked;
    for (counter, block) in (0u32..).zip(db.chunks_mut(HASH_LEN)) {
        let mask = Sha384::new()
            .chain_update(hash)
            .chain_update(counter.to_be_bytes())
            .finalize();
        for (byte, mask) in block.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    if let Some(first) = db.first_mut() {
        *first &= 0x7f;
    }
    let Some((padding, rest)) = db.split_first_chunk::<PADDING_LEN>() else {
        return false;
    };
    let [1, salt @ ..] = rest else { return false };
    if padding.iter().any(|byte| *byte != 0) {
        return false;
    }
    let expected = Sha384::new()
        .chain_update([0; 8])
        .chain_update(Sha384::digest(message))
        .chain_update(salt)
        .finalize();
    expected.as_slice() == hash
}
