//! What a pack says of itself. The SHA-256 of these bytes is the asset digest of its offer.

use alloy_primitives::B256;

use crate::digest::sha256;
use crate::error::Error;

/// First bytes of a manifest; the version changes with the encoding.
pub(crate) const DOMAIN: &[u8; 13] = b"vouch/pack/v1";
/// Bytes of a manifest.
pub const MANIFEST_LEN: usize = HEADER_LEN + 32;
/// Bytes of plaintext in a chunk, unless chosen otherwise.
pub const DEFAULT_CHUNK_LEN: u32 = 1 << 20;
/// What precedes the root: known before the first chunk is encrypted, and authenticated with each.
pub(crate) const HEADER_LEN: usize = DOMAIN.len() + 8 + 4 + NONCE_LEN + 32;
/// Bytes of the nonce that all chunks share; STREAM adds a counter and a mark of the last chunk.
pub(crate) const NONCE_LEN: usize = 7;
/// Bytes that encryption adds to a chunk.
pub(crate) const TAG_LEN: u64 = 16;
/// So that hostile manifests cost no memory.
const MAX_CHUNK_LEN: u32 = 1 << 24;
/// 64 MiB of tree: 2 TiB in chunks of the default size.
const MAX_CHUNKS: u64 = 1 << 21;

/// The manifest of a pack: `DOMAIN || size || chunk length || nonce || key commitment || root`,
/// integers big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Bytes of the asset, decrypted.
    pub size: u64,
    /// Bytes of plaintext in every chunk but the last: a power of two from 4 KiB to 16 MiB.
    pub chunk_len: u32,
    /// What all chunks' nonces begin with.
    pub nonce: [u8; NONCE_LEN],
    /// [`crate::ContentKey::commitment`] of the key.
    pub commitment: B256,
    /// Root of the tree over the encrypted chunks.
    pub root: B256,
}

impl Manifest {
    /// The canonical encoding.
    pub fn encode(&self) -> [u8; MANIFEST_LEN] {
        let mut out = [0; MANIFEST_LEN];
        let (header, root) = out.split_at_mut(HEADER_LEN);
        header.copy_from_slice(&self.header());
        root.copy_from_slice(self.root.as_slice());
        out
    }

    /// Reads exactly one manifest.
    ///
    /// # Errors
    /// [`Error::Manifest`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |field, expected: &str, found: String| Error::Manifest {
            field,
            expected: expected.to_owned(),
            found,
        };
        if bytes.len() != MANIFEST_LEN {
            let found = format!("{} bytes", bytes.len());
            return Err(refuse("length", &format!("{MANIFEST_LEN} bytes"), found));
        }
        let mut rest = bytes;
        if take(&mut rest) != *DOMAIN {
            return Err(refuse("version", "vouch/pack/v1", "other bytes".into()));
        }
        let manifest = Self {
            size: u64::from_be_bytes(take(&mut rest)),
            chunk_len: u32::from_be_bytes(take(&mut rest)),
            nonce: take(&mut rest),
            commitment: B256::new(take(&mut rest)),
            root: B256::new(take(&mut rest)),
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads the manifest of an asset.
    ///
    /// # Errors
    /// [`Error::Digest`] where the bytes are not those that the digest names, [`Error::Manifest`].
    pub fn decode_as(bytes: &[u8], asset: B256) -> Result<Self, Error> {
        let found = sha256(bytes);
        if found != asset {
            return Err(Error::Digest {
                what: "manifest",
                expected: asset,
                found,
            });
        }
        Self::decode(bytes)
    }

    /// Whether a pack like this can be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |field, expected: String, found: u64| Error::Manifest {
            field,
            expected,
            found: found.to_string(),
        };
        let chunk_len = self.chunk_len;
        if !chunk_len.is_power_of_two() || !(4096..=MAX_CHUNK_LEN).contains(&chunk_len) {
            let expected = format!("a power of two from 4096 to {MAX_CHUNK_LEN}");
            return Err(refuse("chunk length", expected, chunk_len.into()));
        }
        if self.chunks() > MAX_CHUNKS {
            let expected = format!("at most {MAX_CHUNKS} chunks; take larger ones");
            return Err(refuse("size", expected, self.size));
        }
        Ok(())
    }

    /// The digest that names the asset.
    pub fn digest(&self) -> B256 {
        sha256(&self.encode())
    }

    /// How many chunks there are. An empty asset has one.
    pub const fn chunks(&self) -> u64 {
        let chunks = self.size.div_ceil(self.chunk_len as u64);
        if chunks == 0 { 1 } else { chunks }
    }

    /// Whether a chunk is the last one.
    pub const fn is_last(&self, index: u64) -> bool {
        index + 1 == self.chunks()
    }

    /// Bytes of an encrypted chunk.
    pub const fn encrypted_len(&self, index: u64) -> u64 {
        TAG_LEN
            + if self.is_last(index) {
                self.size - index * self.chunk_len as u64
            } else {
                self.chunk_len as u64
            }
    }

    /// Where an encrypted chunk begins in the data.
    pub const fn offset(&self, index: u64) -> u64 {
        index * (self.chunk_len as u64 + TAG_LEN)
    }

    /// Bytes of all encrypted chunks.
    pub const fn data_len(&self) -> u64 {
        self.size + self.chunks() * TAG_LEN
    }

    /// Bytes of the tree.
    pub const fn tree_len(&self) -> u64 {
        self.chunks() * 32
    }

    /// Everything but the root: authenticated with each chunk.
    pub(crate) fn header(&self) -> [u8; HEADER_LEN] {
        let parts: [&[u8]; 5] = [
            DOMAIN,
            &self.size.to_be_bytes(),
            &self.chunk_len.to_be_bytes(),
            &self.nonce,
            self.commitment.as_slice(),
        ];
        let mut out = [0; HEADER_LEN];
        let mut at = 0;
        for part in parts {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        out
    }
}

/// The next bytes; the length has been checked.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((head, tail)) => {
            *rest = tail;
            *head
        }
        None => [0; N],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(size: u64) -> Manifest {
        Manifest {
            size,
            chunk_len: 4096,
            nonce: [1; NONCE_LEN],
            commitment: B256::repeat_byte(2),
            root: B256::repeat_byte(3),
        }
    }

    #[test]
    fn encoding_round_trips_and_every_byte_is_in_the_digest() {
        let encoded = manifest(10_000).encode();
        assert_eq!(Manifest::decode(&encoded).unwrap(), manifest(10_000));
        for at in 0..encoded.len() {
            let mut other = encoded;
            other[at] ^= 1;
            let error = Manifest::decode_as(&other, manifest(10_000).digest()).unwrap_err();
            assert!(matches!(error, Error::Digest { .. }), "byte {at}: {error}");
        }
    }

    #[test]
    fn impossible_manifests_are_refused() {
        let encoded = manifest(1).encode();
        for length in 0..encoded.len() {
            assert!(Manifest::decode(&encoded[..length]).is_err(), "{length}");
        }
        assert!(Manifest::decode(&[&encoded[..], &[0]].concat()).is_err());
        for chunk_len in [0, 1, 2048, 4097, MAX_CHUNK_LEN * 2, u32::MAX] {
            let other = Manifest {
                chunk_len,
                ..manifest(1)
            };
            assert!(Manifest::decode(&other.encode()).is_err(), "{chunk_len}");
        }
        assert!(Manifest::decode(&manifest(u64::MAX).encode()).is_err());
    }

    #[test]
    fn the_last_chunk_holds_the_rest() {
        for (size, chunks, last) in [(0, 1, 16), (1, 1, 17), (4096, 1, 4112), (4097, 2, 17)] {
            let manifest = manifest(size);
            assert_eq!(manifest.chunks(), chunks, "{size}");
            assert_eq!(manifest.encrypted_len(chunks - 1), last, "{size}");
            let end = manifest.offset(chunks - 1) + last;
            assert_eq!(manifest.data_len(), end, "{size}");
        }
    }
}
