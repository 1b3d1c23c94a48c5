//! Many pieces of evidence at once, on every core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::vec::Vec;

use crate::nvidia::{self, Claims, Report};
use crate::rejection::Rejection;
use crate::verifier::Verifier;

/// A raw report and its chain, leaf first.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Raw bytes.
    pub report: &'a [u8],
    /// DER certificates.
    pub chain: &'a [&'a [u8]],
}

/// Verifies GPU and switch reports on as many threads as there are cores. The results are in the
/// order of the items, and the same as one by one.
pub fn verify(items: &[Item<'_>], verifier: &Verifier<'_>) -> Vec<Result<Claims, Rejection>> {
    map(items, |item| {
        let report = Report::parse(item.report)?;
        nvidia::verify_observed(&report, item.chain, verifier, &mut ())
            .map(|authentic| authentic.claims())
    })
}

/// `work` on every item, in parallel, with the results in order.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    mine.push((index, work(item)));
                }
                done.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .append(&mut mine);
            });
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::anchors::Anchors;
    use crate::time::Time;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1_000).collect();
        assert_eq!(
            map(&items, |item| item * 2),
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
        assert!(map(&[] as &[usize], |item| *item).is_empty());
    }

    #[test]
    fn a_bad_item_spoils_no_other() {
        let anchors = Anchors::vendor();
        let verifier = Verifier::new(&anchors, Time::from_unix(0));
        let items = vec![
            Item {
                report: &[1],
                chain: &[]
            };
            5
        ];
        assert_eq!(
            verify(&items, &verifier)
                .iter()
                .filter(|result| result.is_err())
                .count(),
            5
        );
    }
}
