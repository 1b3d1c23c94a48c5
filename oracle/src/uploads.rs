//! What parties of orders left here that was not announced yet. Announcing costs gas, leaving a bundle does not: so
//! there is a limit for each order, and what nobody announced goes with its order.
//!
//! An empty object marks each such bundle, in a folder for its order beside the bundles: it survives a crash, and the
//! daemons that share the bundles share it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use alloy::primitives::B256;
use tokio::sync::Mutex;

use crate::bundles::{BundleError, Bundles, Objects, Write};

/// The folder of all marks.
const FOLDER: &str = "uploads";
/// Most bundles of an order that are here without having been announced.
pub const UNANNOUNCED: usize = 16;

/// The marks.
#[derive(Clone, Debug)]
pub struct Uploads {
    objects: Objects,
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
            objects: bundles.objects().clone(),
            marking: Arc::default(),
        }
    }

    /// Marks a bundle of an order, whose evidence in `announced` no longer counts. Says whether there was room;
    /// what is marked or announced already has its place.
    ///
    /// # Errors
    /// Where the evidence store fails.
    pub async fn mark(
        &self,
        order: B256,
        evidence: B256,
        announced: Vec<B256>,
    ) -> Result<bool, BundleError> {
        let _one = self.marking.lock().await;
        let mut marked = Vec::new();
        for object in self.objects.list(&folder(order)).await?.objects {
            let Ok(found) = B256::from_str(&object.name) else {
                continue;
            };
            if announced.contains(&found) {
                self.objects.remove(&name(order, found)).await?;
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
        let mark = name(order, evidence);
        self.objects.write(&mark, Vec::new(), Write::ToDisk).await?;
        Ok(true)
    }

    /// The marks that are older than `age`.
    ///
    /// # Errors
    /// Where the evidence store fails.
    pub async fn older_than(&self, age: Duration) -> Result<Vec<Mark>, BundleError> {
        let now = SystemTime::now();
        let mut old = Vec::new();
        for order in self.objects.list(FOLDER).await?.folders {
            let Ok(order) = B256::from_str(&order) else {
                continue;
            };
            for object in self.objects.list(&folder(order)).await?.objects {
                let aged = now.duration_since(object.since);
                if let Ok(evidence) = B256::from_str(&object.name)
                    && aged.is_ok_and(|found| found > age)
                {
                    old.push(Mark { order, evidence });
                }
            }
        }
        Ok(old)
    }

    /// Removes a mark.
    ///
    /// # Errors
    /// Where the evidence store fails.
    pub async fn forget(&self, mark: Mark) -> Result<(), BundleError> {
        let _one = self.marking.lock().await;
        self.objects.remove(&name(mark.order, mark.evidence)).await
    }
}

fn folder(order: B256) -> String {
    format!("{FOLDER}/{}", hex::encode(order))
}

fn name(order: B256, evidence: B256) -> String {
    format!("{}/{}", folder(order), hex::encode(evidence))
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
        let left = uploads.objects.list(FOLDER).await.unwrap();
        assert!(left.folders.is_empty(), "{left:?}");
    }

    #[tokio::test]
    async fn other_files_are_left_alone() {
        let (dir, uploads) = uploads();
        let marks = dir.path().join("evidence").join(FOLDER);
        std::fs::create_dir_all(marks.join("lost+found")).unwrap();
        std::fs::write(marks.join("note"), b"mine").unwrap();
        assert!(uploads.mark(ORDER, evidence(1), vec![]).await.unwrap());
        assert_eq!(uploads.older_than(Duration::ZERO).await.unwrap().len(), 1);
        assert!(marks.join("note").exists());
    }
}
