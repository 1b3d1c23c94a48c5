//! Policies by their ids, which are hashes of them: one that was read once never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::primitives::B256;
use vouch_abi::Policy;
use vouch_client::{Error, Market};

use crate::facts::Order;

/// Policies that are kept; then they are read anew.
const KEPT: usize = 1024;

/// Policies that were read before.
#[derive(Debug, Default)]
pub struct Policies {
    known: Mutex<HashMap<B256, Arc<Policy>>>,
}

impl Policies {
    /// The policies of an order's legs, in their order.
    ///
    /// # Errors
    /// Those of [`Market::policies_of`].
    pub async fn of(&self, market: &Market, order: &Order) -> Result<Vec<Policy>, Error> {
        let ids = order.terms.legs.iter().map(|leg| leg.policy);
        let known: Option<Vec<Arc<Policy>>> = {
            let known = self.known();
            ids.clone().map(|id| known.get(&id).cloned()).collect()
        };
        if let Some(known) = known {
            return Ok(known.iter().map(|policy| (**policy).clone()).collect());
        }
        let read = market
            .policies_of(Some(order.placed.tx), &order.terms)
            .await?;
        let mut known = self.known();
        if known.len() + read.len() > KEPT {
            known.clear();
        }
        known.extend(ids.zip(read.iter().cloned().map(Arc::new)));
        Ok(read)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<B256, Arc<Policy>>> {
        // Each entry is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
