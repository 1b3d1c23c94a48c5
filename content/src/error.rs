//! What is refused, and why.

use std::path::{Path, PathBuf};

use alloy_primitives::B256;

/// A pack, key, source or file that is not what it has to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A manifest's bytes are not one.
    #[error("manifest: {field}: expected {expected}, found {found}")]
    Manifest {
        /// Which part.
        field: &'static str,
        /// What it has to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Bytes with another digest than they were asked for by.
    #[error("{what}: expected SHA-256 {expected}, found {found}")]
    Digest {
        /// What they are.
        what: &'static str,
        /// The digest asked for.
        expected: B256,
        /// Theirs.
        found: B256,
    },
    /// The tree has another number of digests than the asset has chunks.
    #[error("tree: expected {expected} bytes, found {found}")]
    TreeLength {
        /// 32 for each chunk.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// A chunk is not the one that the tree names.
    #[error("chunk {index}: expected SHA-256 {expected}, found {found}")]
    Chunk {
        /// Which.
        index: u64,
        /// The tree's.
        expected: B256,
        /// Its own.
        found: B256,
    },
    /// The key is another asset's.
    #[error("key: expected the one committed to by {expected}, found the one of {found}")]
    WrongKey {
        /// The manifest's commitment.
        expected: B256,
        /// The key's.
        found: B256,
    },
    /// A chunk does not decrypt: what was packed was not made with this key and manifest.
    #[error("chunk {0}: expected an authentic chunk, found a wrong tag")]
    Forged(u64),
    /// A store has no pack of this asset.
    #[error("{}: expected a folder {} with the asset's pack, found none", store.display(), hex::encode(asset))]
    Absent {
        /// The asset asked for.
        asset: B256,
        /// The folder of packs.
        store: PathBuf,
    },
    /// Bytes are missing, or there are too many.
    #[error("{what}: expected {expected} bytes, found {found}")]
    Length {
        /// Of what.
        what: &'static str,
        /// How many there have to be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A sealed key that is none, or sealed to another recipient or for another purpose.
    #[error("sealed key: expected {expected}, found {found}")]
    Sealed {
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A source cannot be used, or answers something else.
    #[error("source {source_name}: {detail}")]
    Source {
        /// Which.
        source_name: String,
        /// What happened.
        detail: String,
    },
    /// No source had the asset.
    #[error("asset {digest}: {answers}")]
    NotFetched {
        /// Asked for.
        digest: B256,
        /// What each source said.
        answers: String,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why. Told in this error's own text, and therefore not its source.
        error: std::io::Error,
    },
    /// The bytes that were read or written elsewhere failed.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why. As above.
        error: std::io::Error,
    },
    /// The system has no randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

impl Error {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }

    pub(crate) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Io { what, error }
    }
}
