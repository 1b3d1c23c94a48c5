//! Content keys: one for each pack, never used for another.

use alloy_primitives::B256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::digest::Hasher;
use crate::error::Error;

const COMMITMENT: &[u8] = b"vouch/key/v1";

/// The key of one pack. Wiped when dropped; never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ContentKey([u8; 32]);

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

impl ContentKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate() -> Result<Self, Error> {
        random().map(Self)
    }

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a manifest says of its key: the key cannot be found from it, and no other key has it.
    /// ChaCha20-Poly1305 alone would let a forger make one ciphertext for two keys.
    pub fn commitment(&self) -> B256 {
        let mut hash = Hasher::default();
        hash.update(COMMITMENT);
        hash.update(&self.0);
        hash.finish()
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Randomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown_and_its_commitment_is_its_own() {
        let key = ContentKey::from_bytes([7; 32]);
        assert_eq!(format!("{key:?}"), "ContentKey(..)");
        assert_ne!(
            key.commitment(),
            ContentKey::from_bytes([8; 32]).commitment()
        );
        assert_ne!(
            ContentKey::generate().unwrap(),
            ContentKey::generate().unwrap()
        );
    }
}
