//! The evidence store: bundles by SHA-256 digest, in a directory or a bucket, and the sources they are
//! fetched from. Bytes that do not have their digest never get in.

mod bucket;
mod directory;
mod in_hand;
mod objects;
mod sources;

pub use bucket::Bucket;
pub use directory::Directory;
pub use in_hand::InHand;
pub use objects::Objects;
pub use sources::{Source, Sources};

pub(crate) use objects::Write;

use std::path::PathBuf;

use alloy::primitives::B256;
use sha2::{Digest, Sha256};

/// Why a bundle was not stored or found.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bytes have another digest.
    #[error("evidence {expected}: the bytes have SHA-256 {found}")]
    Digest {
        /// Asked for.
        expected: B256,
        /// Of the bytes.
        found: B256,
    },
    /// Too many bytes.
    #[error("evidence: expected at most {limit} bytes (evidence.max_bytes)")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The disk failed.
    #[error("evidence store {}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bucket's service failed, or cannot be asked.
    #[error("evidence.bucket {object}: {source}")]
    Bucket {
        /// The bucket and the object.
        object: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// The bucket's credentials cannot be read.
    #[error("evidence.bucket.credentials: {}: {detail}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// A source failed.
    #[error("source {source_name}: {detail}")]
    Source {
        /// Which.
        source_name: String,
        /// What happened.
        detail: String,
    },
    /// The configuration names a source that cannot be one.
    #[error("evidence.sources: {source_name:?}: {detail}")]
    Unusable {
        /// Which.
        source_name: String,
        /// Why not.
        detail: String,
    },
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> B256 {
    B256::new(Sha256::digest(bytes).into())
}

/// Bundles, each under its digest in hex.
#[derive(Clone, Debug)]
pub struct Bundles {
    objects: Objects,
    max_bytes: u64,
}

impl Bundles {
    /// The store at a place.
    pub const fn new(objects: Objects, max_bytes: u64) -> Self {
        Self { objects, max_bytes }
    }

    /// The store in a directory, which is made where it is not there.
    ///
    /// # Errors
    /// [`BundleError::Disk`].
    pub fn open(dir: PathBuf, max_bytes: u64) -> Result<Self, BundleError> {
        let directory = Directory::open(dir)?;
        Ok(Self::new(Objects::Directory(directory), max_bytes))
    }

    /// The place, where there may be more than bundles.
    pub(crate) const fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Most bytes of a bundle.
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Stores a bundle under its digest. Storing it again changes nothing.
    ///
    /// # Errors
    /// [`BundleError::Digest`], [`BundleError::TooLarge`], and where the place fails.
    pub async fn put(&self, expected: B256, bytes: Vec<u8>) -> Result<(), BundleError> {
        self.check(expected, &bytes)?;
        let name = hex::encode(expected);
        self.objects.write(&name, bytes, Write::ToDisk).await
    }

    /// As [`Self::put`], for a bundle that can be fetched again: a power cut may take it.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn put_fetched(&self, expected: B256, bytes: Vec<u8>) -> Result<(), BundleError> {
        self.check(expected, &bytes)?;
        let name = hex::encode(expected);
        self.objects.write(&name, bytes, Write::ToSystem).await
    }

    /// A bundle; none where it is not here. What has rotted is not here.
    ///
    /// # Errors
    /// [`BundleError::TooLarge`], and where the place fails.
    pub async fn get(&self, expected: B256) -> Result<Option<Vec<u8>>, BundleError> {
        let name = hex::encode(expected);
        let Some(bytes) = self.objects.read(&name, self.max_bytes).await? else {
            return Ok(None);
        };
        Ok(self.check(expected, &bytes).is_ok().then_some(bytes))
    }

    /// Removes a bundle; one that is not here is gone already.
    ///
    /// # Errors
    /// Where the place fails.
    pub async fn remove(&self, digest: B256) -> Result<(), BundleError> {
        self.objects.remove(&hex::encode(digest)).await
    }

    fn check(&self, expected: B256, bytes: &[u8]) -> Result<(), BundleError> {
        if bytes.len() as u64 > self.max_bytes {
            let limit = self.max_bytes;
            return Err(BundleError::TooLarge { limit });
        }
        let found = digest(bytes);
        if found != expected {
            return Err(BundleError::Digest { expected, found });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn bundles(limit: u64) -> (tempfile::TempDir, Bundles) {
        let dir = tempfile::tempdir().unwrap();
        let bundles = Bundles::open(dir.path().join("evidence"), limit).unwrap();
        (dir, bundles)
    }

    #[tokio::test]
    async fn a_bundle_is_found_by_its_digest_and_stored_once() {
        let (_dir, bundles) = bundles(1024);
        let id = digest(b"bundle");
        assert_eq!(bundles.get(id).await.unwrap(), None);
        bundles.put(id, b"bundle".to_vec()).await.unwrap();
        bundles.put(id, b"bundle".to_vec()).await.unwrap();
        assert_eq!(
            bundles.get(id).await.unwrap().as_deref(),
            Some(&b"bundle"[..])
        );
        bundles.remove(id).await.unwrap();
        assert_eq!(bundles.get(id).await.unwrap(), None);
        bundles.remove(id).await.unwrap();
    }

    #[tokio::test]
    async fn other_and_too_many_bytes_are_refused() {
        let (_dir, bundles) = bundles(8);
        let error = bundles.put(digest(b"a"), b"b".to_vec()).await.unwrap_err();
        assert!(matches!(error, BundleError::Digest { .. }), "{error}");
        let large = vec![0; 9];
        let error = bundles.put(digest(&large), large).await.unwrap_err();
        assert!(
            matches!(error, BundleError::TooLarge { limit: 8 }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_rotted_on_disk_is_not_there() {
        let (dir, bundles) = bundles(1024);
        let id = digest(b"bundle");
        bundles.put(id, b"bundle".to_vec()).await.unwrap();
        let path = dir.path().join("evidence").join(hex::encode(id));
        std::fs::write(path, b"bundlf").unwrap();
        assert_eq!(bundles.get(id).await.unwrap(), None);
        bundles.put(id, b"bundle".to_vec()).await.unwrap();
        assert!(bundles.get(id).await.unwrap().is_some());
    }
}
