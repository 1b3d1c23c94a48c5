//! Signatures of secp256k1, as contracts have them recovered.

use alloy_primitives::{Address, B256, U256, address};

/// The precompile that recovers the signer of a digest.
pub const ECRECOVER: Address = address!("0000000000000000000000000000000000000001");
/// Bytes of a signature: `r || s || v`.
pub const LENGTH: usize = 65;
/// Half the order of secp256k1: of the two `s` that verify, only the smaller is taken.
pub const HALF_ORDER: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

/// The input of the precompile that recovers signers, `digest || v || r || s`, for a signature whose
/// shape is right.
pub fn recovery_input(digest: B256, signature: &[u8]) -> Option<[u8; 128]> {
    let (r, rest) = signature.split_first_chunk::<32>()?;
    let (s, v) = rest.split_first_chunk::<32>()?;
    let &[v @ (27 | 28)] = v else { return None };
    if U256::from_be_bytes(*s) > HALF_ORDER {
        return None;
    }
    let mut input = [0; 128];
    let words: [&[u8; 32]; 4] = [&digest.0, &B256::with_last_byte(v).0, r, s];
    input
        .iter_mut()
        .zip(words.into_iter().flatten())
        .for_each(|(to, from)| *to = *from);
    Some(input)
}
