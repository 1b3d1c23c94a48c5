//! SHA-256, by the library that has the processor's instructions for it in every build.

use alloy_primitives::B256;
use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> B256 {
    word(&digest(&SHA256, bytes))
}

/// SHA-256, piece by piece.
#[derive(Clone)]
pub struct Hasher(Context);

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher {
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> B256 {
        word(&self.0.finish())
    }
}

fn word(digest: &Digest) -> B256 {
    // SHA-256 has 32 bytes.
    B256::try_from(digest.as_ref()).unwrap_or_default()
}
