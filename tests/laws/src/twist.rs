//! What can be wrong with signatures.

use alloy::primitives::{Bytes, U256};
use vouch_client::verdict::SIGNATURE_LEN;

use crate::step::Twist;

/// Signatures with something wrong about them.
pub fn spoil(twist: Twist, signatures: &[u8]) -> Bytes {
    let mut each: Vec<Vec<u8>> = signatures
        .chunks(SIGNATURE_LEN)
        .map(<[u8]>::to_vec)
        .collect();
    match twist {
        Twist::Duplicate => each.extend(each.first().cloned()),
        Twist::Descending => each.reverse(),
        Twist::HighS => {
            if let Some(first) = each.first_mut() {
                *first = other_s(first);
            }
        }
        _ => {}
    }
    each.concat().into()
}

/// The other signature that verifies where this one does: `s` replaced by the order less `s`.
pub fn other_s(signature: &[u8]) -> Vec<u8> {
    const ORDER: U256 = U256::from_limbs([
        0xbfd2_5e8c_d036_4141,
        0xbaae_dce6_af48_a03b,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
    ]);
    let mut other = signature.to_vec();
    let s = U256::from_be_slice(&signature[32..64]);
    other[32..64].copy_from_slice(&(ORDER - s).to_be_bytes::<32>());
    // 27 and 28 change places.
    other[64] = 55 - signature[64];
    other
}
