//! What may be told to others.

use std::sync::Arc;

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

impl Store {
    /// Waits until the disk has everything that was written before; many who wait at a time wait for
    /// one write.
    ///
    /// # Errors
    /// [`StoreError`]: then `value` must not be told.
    pub async fn durable<T>(self: &Arc<Self>, value: T) -> Result<Durable<T>, StoreError> {
        let store = Arc::clone(self);
        let synced = tokio::task::spawn_blocking(move || store.backend.sync()).await;
        synced.map_err(|error| StoreError::Server(format!("not synced: {error}")))??;
        Ok(Durable(value))
    }
}
