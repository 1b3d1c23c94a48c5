//! aws-lc-rs: the fastest sound P-384 and RSA on the host.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, UnparsedPublicKey,
};

use super::{P256_KEY_LEN, P384_KEY_LEN, P384_SIGNATURE_LEN, RsaKey};

pub(super) fn verify_p384(
    key: &[u8; P384_KEY_LEN],
    message: &[u8],
    signature: &[u8; P384_SIGNATURE_LEN],
) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key)
        .verify(message, signature)
        .is_ok()
}

pub(super) fn verify_p256(key: &[u8; P256_KEY_LEN], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
        .verify(message, signature)
        .is_ok()
}

/// The salt's length is not free: aws-lc-rs asks for as many bytes as the hash has.
pub(super) fn verify_rsa_pss_sha384(key: &RsaKey<'_>, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key.der)
        .verify(message, signature)
        .is_ok()
}

pub(super) fn verify_rsa_pkcs1_sha256(key_der: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key_der)
        .verify(message, signature)
        .is_ok()
}
