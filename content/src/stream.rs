//! Chunks: STREAM over ChaCha20-Poly1305, each at its place, the last one marked.

use aead_stream::{NewStream, StreamBE32, StreamPrimitive};
use chacha20poly1305::ChaCha20Poly1305;

use crate::error::Error;
use crate::key::ContentKey;
use crate::manifest::{HEADER_LEN, Manifest};

/// The chunks of one pack, with its key.
pub(crate) struct Chunks {
    stream: StreamBE32<ChaCha20Poly1305>,
    header: [u8; HEADER_LEN],
    manifest: Manifest,
}

impl Chunks {
    /// # Errors
    /// [`Error::WrongKey`] where the manifest commits to another key.
    pub(crate) fn new(manifest: &Manifest, key: &ContentKey) -> Result<Self, Error> {
        let found = key.commitment();
        if found != manifest.commitment {
            return Err(Error::WrongKey {
                expected: manifest.commitment,
                found,
            });
        }
        Ok(Self {
            stream: StreamBE32::new(key.as_bytes().into(), &manifest.nonce.into()),
            header: manifest.header(),
            manifest: *manifest,
        })
    }

    /// Encrypts a chunk where it stands.
    pub(crate) fn encrypt(&self, index: u64, chunk: &mut Vec<u8>) -> Result<(), Error> {
        let last = self.manifest.is_last(index);
        self.stream
            .encrypt_in_place(counter(index)?, last, &self.header, chunk)
            .map_err(|_| Error::Forged(index))
    }

    /// Decrypts a chunk where it stands.
    pub(crate) fn decrypt(&self, index: u64, chunk: &mut Vec<u8>) -> Result<(), Error> {
        let last = self.manifest.is_last(index);
        self.stream
            .decrypt_in_place(counter(index)?, last, &self.header, chunk)
            .map_err(|_| Error::Forged(index))
    }
}

fn counter(index: u64) -> Result<u32, Error> {
    u32::try_from(index).map_err(|_| Error::Forged(index))
}
