//! What may be told to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::{Store, StoreError};

/// A value that may be told to others: everything that was in the store when it was made is on disk, so a
/// crash does not make this daemon say something else later.
#[derive(Clone, Debug)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// The value.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// What was written, and what the disk has of it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Changes written so far.
    written: AtomicU64,
    /// How many of them the disk has. Held while it is waited for: who waits for its turn is mostly served by then.
    synced: Mutex<u64>,
}

impl Progress {
    /// Counts a change that was written.
    pub(super) fn wrote(&self) {
        self.written.fetch_add(1, Ordering::Release);
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }
}

impl Store {
    /// Waits until the disk has everything that was written before; many who wait at a time wait for
    /// one write.
    ///
    /// # Errors
    /// [`StoreError`]: then `value` must not be told.
    pub async fn durable<T>(self: &Arc<Self>, value: T) -> Result<Durable<T>, StoreError> {
        let wanted = self.progress.written();
        let mut synced = self.progress.synced.lock().await;
        if *synced < wanted {
            let (store, written) = (Arc::clone(self), self.progress.written());
            let done = tokio::task::spawn_blocking(move || store.backend.sync()).await;
            done.map_err(|error| StoreError::Server(format!("not synced: {error}")))??;
            *synced = written;
        }
        Ok(Durable(value))
    }
}
