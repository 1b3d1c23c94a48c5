//! Files in a directory. Each is whole before it bears its name, and on disk where that is asked for.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::BundleError;
use super::objects::{Listing, Object, Write};

/// A directory of files by name.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The directory at a path, which is made where it is not there.
    ///
    /// # Errors
    /// [`BundleError::Disk`].
    pub fn open(root: PathBuf) -> Result<Self, BundleError> {
        std::fs::create_dir_all(&root).map_err(|source| disk(&root, source))?;
        Ok(Self { root })
    }

    /// Where a file is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) async fn read(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, BundleError> {
        read(self.path(name), limit).await
    }

    pub(super) async fn write(
        &self,
        name: &str,
        bytes: Vec<u8>,
        write: Write,
    ) -> Result<(), BundleError> {
        blocking(self.path(name), move |path| {
            // A file that rotted is written anew.
            if write == Write::ToDisk && std::fs::read(path).is_ok_and(|kept| kept == bytes) {
                return std::fs::File::open(path)?.sync_all();
            }
            let (draft, mut file) = match (draft_beside(path), path.parent()) {
                (Err(e), Some(folder)) if e.kind() == ErrorKind::NotFound => {
                    std::fs::create_dir_all(folder)?;
                    draft_beside(path)?
                }
                (made, _) => made?,
            };
            std::io::Write::write_all(&mut file, &bytes)?;
            if write == Write::ToDisk {
                file.sync_all()?;
            }
            std::fs::rename(&draft, path)
        })
        .await
    }

    /// Removes a file, and with the last one of a folder the folder.
    pub(super) async fn remove(&self, name: &str) -> Result<(), BundleError> {
        let root = self.root.clone();
        blocking(self.path(name), move |path| {
            match std::fs::remove_file(path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            if let Some(folder) = path.parent().filter(|folder| *folder != root) {
                // Not empty yet: the next file's.
                let _ = std::fs::remove_dir(folder);
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Listing, BundleError> {
        blocking(self.path(folder), |path| {
            let mut listing = Listing::default();
            let entries = match std::fs::read_dir(path) {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(listing),
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                match entry.metadata() {
                    // Removed meanwhile.
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                    Ok(meta) if meta.is_dir() => listing.folders.push(name),
                    Ok(meta) => listing.objects.push(Object {
                        name,
                        since: meta.modified()?,
                    }),
                }
            }
            Ok(listing)
        })
        .await
    }
}

/// The bytes of a file; none where there is no file.
pub(super) async fn read(path: PathBuf, limit: u64) -> Result<Option<Vec<u8>>, BundleError> {
    // Whether there is a file the system mostly knows at once. What is in it is read by a thread that may block, in one
    // visit.
    let file = match std::fs::File::open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        file => file,
    };
    let read = blocking(path, move |_| {
        let file = file?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(meta.len().min(limit) as usize);
        // One byte more than allowed shows that there are more.
        let mut limited = std::io::Read::take(file, limit.saturating_add(1));
        std::io::Read::read_to_end(&mut limited, &mut bytes)?;
        Ok(Some(bytes))
    });
    match read.await? {
        Some(bytes) if bytes.len() as u64 > limit => Err(BundleError::TooLarge { limit }),
        read => Ok(read),
    }
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
) -> Result<T, BundleError> {
    let name = path.clone();
    let done = tokio::task::spawn_blocking(move || work(&name)).await;
    done.unwrap_or_else(|e| Err(std::io::Error::other(e)))
        .map_err(|source| disk(&path, source))
}

fn disk(path: &Path, source: std::io::Error) -> BundleError {
    BundleError::Disk {
        path: path.to_owned(),
        source,
    }
}

/// A new file beside `path`, under a name no other writer uses.
fn draft_beside(path: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{count}.tmp", std::process::id()));
    let file = std::fs::File::create(&draft)?;
    Ok((draft, file))
}
