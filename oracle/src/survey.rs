//! Compares endpoints with one another: who lags behind the others, or shows another chain, is left
//! until that has passed.
//!
//! Of those that disagree about a block the majority is believed. Where there is none (two endpoints,
//! two answers) nobody can say who is right, and nothing new is taken in until they agree: a verdict
//! that comes later is better than one about a chain that does not exist.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::chain::Endpoints;
use crate::store::model::BlockRef;

/// How long an endpoint may take to show a block that others have.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often endpoints are compared at most.
const OFTEN: Duration = Duration::from_secs(1);

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It lacks a block that others have had for a while.
    Lags {
        /// Its newest block.
        head: u64,
        /// The others'.
        others: u64,
    },
    /// Most others have another block at a height.
    Astray {
        /// The height.
        number: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lags { head, others } => {
                write!(
                    f,
                    "its newest block is {head}, others had {others} a while ago"
                )
            }
            Self::Astray { number } => write!(f, "most others have another block {number}"),
        }
    }
}

/// What a survey found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// For each endpoint.
    pub(crate) faults: Vec<Option<Fault>>,
    /// Whether there are different chains, of which none has a majority.
    pub(crate) doubt: bool,
}

/// Compares until cancelled, where there are several endpoints.
pub async fn run(endpoints: Arc<Endpoints>, poll: Duration, cancel: CancellationToken) {
    if endpoints.len() < 2 {
        return;
    }
    let mut heads = Heads::default();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(OFTEN.max(poll * 2)) => {}
        }
        let newest = endpoints.views(None).await;
        let mut findings = Findings {
            faults: heads.lagging(&newest, Instant::now()),
            doubt: false,
        };
        let sound = newest.iter().zip(&findings.faults);
        let sound = sound.filter_map(|(head, fault)| head.filter(|_| fault.is_none()));
        if let Some(height) = sound.map(|head| head.number).min() {
            agree(&endpoints.views(Some(height)).await, height, &mut findings);
        }
        endpoints.judge(&findings);
    }
}

/// The heads of the last while.
#[derive(Debug, Default)]
struct Heads(VecDeque<(Instant, u64)>);

impl Heads {
    /// Who lacks a block that the others had already [`PATIENCE`] ago. One who claims to be far ahead of
    /// several others makes none of them lag.
    fn lagging(&mut self, newest: &[Option<BlockRef>], now: Instant) -> Vec<Option<Fault>> {
        let mut heads: Vec<u64> = newest.iter().flatten().map(|head| head.number).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        let others = heads.get(heads.len().saturating_sub(1) / 2).copied();
        // What was seen after a reorganisation counts, not what was before.
        while self.0.get(1).is_some_and(|(at, _)| now - *at >= PATIENCE) {
            self.0.pop_front();
        }
        let due = self.0.front().filter(|(at, _)| now - *at >= PATIENCE);
        let due = due.map(|(_, number)| *number).zip(others);
        // The others may have walked back themselves.
        let due = due.map(|(due, others)| due.min(others));
        self.0.extend(others.map(|others| (now, others)));
        let fault = |head: &Option<BlockRef>| {
            let (head, others) = (head.as_ref()?.number, due?);
            (head < others).then_some(Fault::Lags { head, others })
        };
        newest.iter().map(fault).collect()
    }
}

/// Finds out who has another block at a height than most of those that do not lag.
fn agree(views: &[Option<BlockRef>], number: u64, findings: &mut Findings) {
    let mut votes: HashMap<_, usize> = HashMap::new();
    let mut voters = 0;
    for (view, fault) in views.iter().zip(&findings.faults) {
        if let (Some(block), None) = (view, fault) {
            *votes.entry(block.hash).or_default() += 1;
            voters += 1;
        }
    }
    let most = votes.iter().find(|(_, count)| **count * 2 > voters);
    let Some((hash, _)) = most else {
        findings.doubt = votes.len() > 1;
        return;
    };
    for (view, fault) in views.iter().zip(&mut findings.faults) {
        if fault.is_none() && view.is_some_and(|block| block.hash != *hash) {
            *fault = Some(Fault::Astray { number });
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    fn block(number: u64, chain: u8) -> Option<BlockRef> {
        Some(BlockRef {
            number,
            hash: B256::with_last_byte(chain),
            timestamp: 1,
        })
    }

    fn heads<const N: usize>(numbers: [u64; N]) -> [Option<BlockRef>; N] {
        numbers.map(|number| block(number, 1))
    }

    /// Which of some endpoints lag, each `step` after the survey before.
    fn lag<const N: usize>(step: Duration, surveys: &[[u64; N]]) -> Vec<bool> {
        let (mut history, mut now) = (Heads::default(), Instant::now());
        let mut last = Vec::new();
        for numbers in surveys {
            last = history.lagging(&heads(*numbers), now);
            now += step;
        }
        last.iter().map(Option::is_some).collect()
    }

    #[test]
    fn who_lacks_an_old_block_lags_and_nobody_else() {
        let second = Duration::from_secs(1);
        assert_eq!(lag(PATIENCE, &[[5, 9]]), [false, false]);
        assert_eq!(lag(PATIENCE, &[[5, 9], [5, 9]]), [true, false]);
        assert_eq!(lag(second, &[[5, 9], [5, 9]]), [false, false]);
        assert_eq!(lag(second, &[[5, 9]; 6]), [true, false]);
        // It always is a little behind.
        assert_eq!(
            lag(second, &[[5, 6], [6, 7], [7, 8], [8, 9], [9, 10], [10, 11]]),
            [false, false]
        );
        // It came back, or the others went back.
        assert_eq!(lag(PATIENCE, &[[5, 9], [9, 9]]), [false, false]);
        assert_eq!(lag(PATIENCE, &[[9, 9], [7, 7]]), [false, false]);
        // One who claims to be ahead of all others.
        assert_eq!(lag(PATIENCE, &[[5, 5, 1 << 40]; 3]), [false; 3]);
        assert_eq!(lag(PATIENCE, &[[5, 9, 9]; 3]), [true, false, false]);
        assert!(lag::<0>(PATIENCE, &[[]; 3]).is_empty());
    }

    #[test]
    fn who_does_not_answer_does_not_lag() {
        let mut history = Heads::default();
        let now = Instant::now();
        history.lagging(&[block(9, 1), None], now);
        let found = history.lagging(&[None, block(5, 1)], now + PATIENCE);
        assert_eq!(found, [None, None], "the only one that is left is not left");
    }

    fn agreement(views: &[Option<BlockRef>]) -> (Vec<bool>, bool) {
        let mut findings = Findings {
            faults: vec![None; views.len()],
            doubt: false,
        };
        agree(views, 5, &mut findings);
        let astray = findings.faults.iter().map(Option::is_some).collect();
        (astray, findings.doubt)
    }

    #[test]
    fn majorities_are_believed_and_without_one_there_is_doubt() {
        let [a, b, c] = [block(5, 1), block(5, 2), block(5, 3)];
        for (views, astray, doubt) in [
            (vec![], vec![], false),
            (vec![a], vec![false], false),
            (vec![a, a], vec![false; 2], false),
            (vec![a, b], vec![false; 2], true),
            (vec![a, None], vec![false; 2], false),
            (vec![a, b, b], vec![true, false, false], false),
            (vec![a, b, None], vec![false; 3], true),
            (vec![a, b, c], vec![false; 3], true),
            (vec![a, a, b, b], vec![false; 4], true),
            (
                vec![a, a, b, None, a],
                vec![false, false, true, false, false],
                false,
            ),
        ] {
            assert_eq!(agreement(&views), (astray, doubt), "{views:?}");
        }
    }

    #[test]
    fn who_lags_has_no_vote() {
        let lags = Some(Fault::Lags { head: 5, others: 9 });
        let mut findings = Findings {
            faults: vec![lags, None],
            doubt: false,
        };
        agree(&[block(5, 1), block(5, 2)], 5, &mut findings);
        assert!(!findings.doubt);
        assert_eq!(findings.faults, [lags, None]);
    }
}
