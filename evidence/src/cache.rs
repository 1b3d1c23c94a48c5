//! Verified issuers, kept by the exact bytes of their certificates.
//!
//! A hit says that these bytes led to a trusted root once; the caller still compares the time with
//! the validity that all of them have in common. A cache belongs to one set of anchors.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::nvidia::Issuer;
use crate::sev_snp::VerifiedKey;
use crate::tdx::VerifiedPck;

/// Entries a cache holds before it starts over. A device's issuers take less than 3 KiB.
const CAPACITY: usize = 4_096;

/// Remembers issuers and endorsement keys that were verified.
#[derive(Debug, Default)]
pub struct Cache {
    nvidia: Store<Issuer>,
    amd: Store<VerifiedKey>,
    intel: Store<VerifiedPck>,
}

impl Cache {
    /// A cache that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) const fn nvidia(&self) -> &Store<Issuer> {
        &self.nvidia
    }

    pub(crate) const fn amd(&self) -> &Store<VerifiedKey> {
        &self.amd
    }

    pub(crate) const fn intel(&self) -> &Store<VerifiedPck> {
        &self.intel
    }
}

/// Values by the certificates they come from.
#[derive(Debug)]
pub(crate) struct Store<V>(RwLock<HashMap<Vec<u8>, Arc<V>>>);

impl<V> Default for Store<V> {
    fn default() -> Self {
        Self(RwLock::new(HashMap::new()))
    }
}

impl<V> Store<V> {
    /// The value of these certificates, one after the other.
    pub(crate) fn get(&self, certificates: &[&[u8]]) -> Option<Arc<V>> {
        let key = certificates.concat();
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned()
    }

    pub(crate) fn put(&self, certificates: &[&[u8]], value: &Arc<V>) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= CAPACITY {
            map.clear();
        }
        map.insert(certificates.concat(), Arc::clone(value));
    }
}
