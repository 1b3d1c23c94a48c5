//! Bytes by name: in a directory, or in a bucket that several machines share.

use std::time::SystemTime;

use super::BundleError;
use super::bucket::Bucket;
use super::directory::Directory;

/// Where they are. A name has folders before it, with `/` between.
#[derive(Clone, Debug)]
pub enum Objects {
    /// Files.
    Directory(Directory),
    /// Objects of an S3-compatible service.
    Bucket(Bucket),
}

/// What a folder holds, by names without the folder's.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) folders: Vec<String>,
    pub(crate) objects: Vec<Object>,
}

/// An object in a folder.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) name: String,
    /// When it was written, by the clock of the place.
    pub(crate) since: SystemTime,
}

/// What is waited for when bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// That no power cut takes them.
    ToDisk,
    /// That no end of the process takes them.
    ToSystem,
}

impl Objects {
    /// The bytes of a name; none where there is nothing.
    pub(crate) async fn read(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, BundleError> {
        match self {
            Self::Directory(directory) => directory.read(name, limit).await,
            Self::Bucket(bucket) => bucket.read(name, limit).await,
        }
    }

    /// Gives bytes a name, all or nothing. What had it is replaced.
    pub(crate) async fn write(
        &self,
        name: &str,
        bytes: Vec<u8>,
        write: Write,
    ) -> Result<(), BundleError> {
        match self {
            Self::Directory(directory) => directory.write(name, bytes, write).await,
            Self::Bucket(bucket) => bucket.write(name, bytes).await,
        }
    }

    /// Removes a name; one that is not there is gone already.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), BundleError> {
        match self {
            Self::Directory(directory) => directory.remove(name).await,
            Self::Bucket(bucket) => bucket.remove(name).await,
        }
    }

    /// What is in a folder; nothing where there is none.
    pub(crate) async fn list(&self, folder: &str) -> Result<Listing, BundleError> {
        match self {
            Self::Directory(directory) => directory.list(folder).await,
            Self::Bucket(bucket) => bucket.list(folder).await,
        }
    }
}
