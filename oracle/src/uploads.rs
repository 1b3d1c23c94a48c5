//! What parties of orders left here that was not announced yet. Announcing costs gas, leaving a bundle does not: so
//! there is a limit for each order, and what nobody announced goes with its order.
//!
//! An empty file marks each such bundle, in a folder for its order beside the bundles: it survives a crash, and the
//! daemons that share the bundles share it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use alloy::primitives::B256;

use crate::bundles::{BundleError, Bundles};

/// Most bundles of an order that are here without having been announced.
pub const UNANNOUNCED: usize = 16;

/// The marks.
#[derive(Clone, Debug)]
pub struct Uploads {
    dir: PathBuf,
    /// Counting and marking are one step.
    marking: Arc<Mutex<()>>,
}

/// A mark that has been there for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The order.
    pub order: B256,
    /// SHA-256 of the bundle.
    pub evidence: B256,
}

impl Uploads {
    /// The marks beside a store's bundles.
    pub fn beside(bundles: &Bundles) -> Self {
        Self {
            dir: bundles.dir().join("uploads"),
            marking: Arc::default(),
        }
    }

    /// Marks a bundle of an order, whose evidence in `announced` no longer counts. Says whether there was room;
    /// what is marked or announced already has its place.
    ///
    /// # Errors
    /// [`BundleError::Disk`].
    pub async fn mark(
        &self,
        order: B256,
        evidence: B256,
        announced: Vec<B256>,
    ) -> Result<bool, BundleError> {
        let this = self.clone();
        let work = move || {
            let _one = this.marking.lock().unwrap_or_else(PoisonError::into_inner);
            let dir = this.dir.join(hex::encode(order));
            let mut marked = Vec::new();
            for (found, path) in entries(&dir)? {
                if announced.contains(&found) {
                    std::fs::remove_file(path)?;
                } else {
                    marked.push(found);
                }
            }
            if announced.contains(&evidence) || marked.contains(&evidence) {
                return Ok(true);
            }
            if marked.len() >= UNANNOUNCED {
                return Ok(false);
            }
            std::fs::create_dir_all(&dir)?;
            std::fs::File::create(dir.join(hex::encode(evidence)))?;
            Ok(true)
        };
        self.blocking(work).await
    }

    /// The marks that are older than `age`.
    ///
    /// # Errors
    /// [`BundleError::Disk`].
    pub async fn older_than(&self, age: Duration) -> Result<Vec<Mark>, BundleError> {
        let this = self.clone();
        let work = move || {
            let now = SystemTime::now();
            let mut old = Vec::new();
            for (order, dir) in entries(&this.dir)? {
                for (evidence, path) in entries(&dir)? {
                    let since = std::fs::metadata(path)?.modified()?;
                    if now.duration_since(since).is_ok_and(|found| found > age) {
                        old.push(Mark { order, evidence });
                    }
                }
            }
            Ok(old)
        };
        self.blocking(work).await
    }

    /// Removes a mark, and the order's folder with its last one.
    ///
    /// # Errors
    /// [`BundleError::Disk`].
    pub async fn forget(&self, mark: Mark) -> Result<(), BundleError> {
        let this = self.clone();
        let work = move || {
            let _one = this.marking.lock().unwrap_or_else(PoisonError::into_inner);
            let dir = this.dir.join(hex::encode(mark.order));
            match std::fs::remove_file(dir.join(hex::encode(mark.evidence))) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            // Not empty yet: the next mark's.
            let _ = std::fs::remove_dir(&dir);
            Ok(())
        };
        self.blocking(work).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, BundleError> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|e| Err(std::io::Error::other(e)))
            .map_err(|source| BundleError::Disk {
                path: self.dir.clone(),
                source,
            })
    }
}

/// What a folder holds whose name is 32 bytes of hex; nothing where there is no folder.
fn entries(dir: &Path) -> std::io::Result<Vec<(B256, PathBuf)>> {
    let read = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry?;
        if let Some(Ok(word)) = entry.file_name().to_str().map(B256::from_str) {
            found.push((word, entry.path()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: B256 = B256::repeat_byte(1);
    const OTHER: B256 = B256::repeat_byte(2);

    fn uploads() -> (tempfile::TempDir, Uploads) {
        let dir = tempfile::tempdir().unwrap();
        let bundles = Bundles::open(dir.path().join("evidence"), 1024).unwrap();
        (dir, Uploads::beside(&bundles))
    }

    fn evidence(n: usize) -> B256 {
        B256::with_last_byte(u8::try_from(n).unwrap())
    }

    #[tokio::test]
    async fn an_order_has_so_many_places_and_announced_evidence_needs_none() {
        let (_dir, uploads) = uploads();
        for n in 0..UNANNOUNCED {
            assert!(uploads.mark(ORDER, evidence(n), vec![]).await.unwrap());
        }
        let more = evidence(UNANNOUNCED);
        assert!(!uploads.mark(ORDER, more, vec![]).await.unwrap());
        // What has a place keeps it, other orders have theirs.
        assert!(uploads.mark(ORDER, evidence(0), vec![]).await.unwrap());
        assert!(uploads.mark(OTHER, more, vec![]).await.unwrap());
        assert!(uploads.mark(ORDER, more, vec![more]).await.unwrap());
        // One is announced: its place is free, once.
        let announced = vec![evidence(3)];
        let next = evidence(UNANNOUNCED + 1);
        assert!(uploads.mark(ORDER, next, announced.clone()).await.unwrap());
        let last = evidence(UNANNOUNCED + 2);
        assert!(!uploads.mark(ORDER, last, announced).await.unwrap());
    }

    #[tokio::test]
    async fn old_marks_are_found_and_forgotten() {
        let (_dir, uploads) = uploads();
        assert!(uploads.older_than(Duration::ZERO).await.unwrap().is_empty());
        uploads.mark(ORDER, evidence(1), vec![]).await.unwrap();
        let young = uploads.older_than(Duration::from_secs(3600)).await;
        assert!(young.unwrap().is_empty());
        let mark = Mark {
            order: ORDER,
            evidence: evidence(1),
        };
        assert_eq!(
            uploads.older_than(Duration::ZERO).await.unwrap(),
            vec![mark]
        );
        uploads.forget(mark).await.unwrap();
        uploads.forget(mark).await.unwrap();
        assert!(uploads.older_than(Duration::ZERO).await.unwrap().is_empty());
        assert!(!uploads.dir.join(hex::encode(ORDER)).exists());
    }

    #[tokio::test]
    async fn other_files_are_left_alone() {
        let (_dir, uploads) = uploads();
        std::fs::create_dir_all(uploads.dir.join("lost+found")).unwrap();
        std::fs::write(uploads.dir.join("note"), b"mine").unwrap();
        assert!(uploads.mark(ORDER, evidence(1), vec![]).await.unwrap());
        assert_eq!(uploads.older_than(Duration::ZERO).await.unwrap().len(), 1);
        assert!(uploads.dir.join("note").exists());
    }
}
