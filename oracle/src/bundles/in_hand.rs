//! Bundles on their way from one step to the next, so that the second need not read and hash them again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy::primitives::B256;

/// Most bytes of them together. What is dropped is read from the evidence store.
const BYTES: usize = 16 << 20;

/// Bundles in hand, each for the first that asks for it.
#[derive(Debug, Default)]
pub struct InHand {
    bundles: Mutex<VecDeque<(B256, Vec<u8>)>>,
}

impl InHand {
    /// Keeps a bundle whose digest was checked, the newest ones where there are too many.
    pub fn keep(&self, digest: B256, bytes: Vec<u8>) {
        let mut bundles = self.bundles();
        bundles.push_back((digest, bytes));
        let mut held: usize = bundles.iter().map(|(_, bytes)| bytes.len()).sum();
        while held > BYTES {
            let Some((_, dropped)) = bundles.pop_front() else {
                return;
            };
            held -= dropped.len();
        }
    }

    /// Gives a bundle away; none where it is not in hand.
    pub fn take(&self, digest: B256) -> Option<Vec<u8>> {
        let mut bundles = self.bundles();
        let place = bundles.iter().position(|(other, _)| *other == digest)?;
        bundles.remove(place).map(|(_, bytes)| bytes)
    }

    fn bundles(&self) -> MutexGuard<'_, VecDeque<(B256, Vec<u8>)>> {
        // Each entry is whole.
        self.bundles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_given_away_once() {
        let hand = InHand::default();
        let (one, two) = (B256::with_last_byte(1), B256::with_last_byte(2));
        hand.keep(one, vec![1]);
        assert_eq!(hand.take(two), None);
        assert_eq!(hand.take(one), Some(vec![1]));
        assert_eq!(hand.take(one), None);
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let hand = InHand::default();
        for n in 0..3 {
            hand.keep(B256::with_last_byte(n), vec![n; BYTES / 2]);
        }
        assert_eq!(hand.take(B256::with_last_byte(0)), None);
        assert!(hand.take(B256::with_last_byte(1)).is_some());
        hand.keep(B256::with_last_byte(9), vec![0; BYTES + 1]);
        assert_eq!(hand.take(B256::with_last_byte(9)), None);
    }
}
