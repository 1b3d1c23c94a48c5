//! What the story must do to everybody's balance, worked out from the terms alone.

use alloy::primitives::{I256, U256};

/// The prices of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deal {
    pub(super) dataset: U256,
    pub(super) model: U256,
    pub(super) workload: U256,
    /// Compute, per second of attested time.
    pub(super) rate: U256,
    /// Seconds that the compute leg locks money for.
    pub(super) max_duration: u32,
    pub(super) bond: U256,
    pub(super) oracle_fee: U256,
    pub(super) operators: usize,
}

/// How the order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Paid, after this many seconds of attested time; the dataset only if it was what the buyer needs.
    Settled { seconds: u64, dataset: bool },
    /// Refunded because a deadline passed: everybody has back what they had.
    Expired,
    /// Refunded by a verdict; evidence that was forged costs the provider its bond.
    Refunded { forged: bool },
}

/// Everybody's change, in the order of [`super::cast::Cast::paid`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) dataset: I256,
    pub(super) model: I256,
    pub(super) workload: I256,
    pub(super) provider: I256,
    pub(super) buyer: I256,
    /// Credits for the operators, in ascending order of their addresses.
    pub(super) operators: Vec<I256>,
}

impl Deal {
    /// What the order locks.
    pub(super) fn locked(&self) -> U256 {
        let compute = self.rate * U256::from(self.max_duration);
        self.dataset + self.model + self.workload + compute + self.oracle_fee
    }

    /// Paid for compute.
    pub(super) fn compute(&self, seconds: u64) -> U256 {
        self.rate * U256::from(seconds.min(self.max_duration.into()))
    }

    /// What the ending must change, where the operators in `signed` signed its verdict.
    pub(super) fn changes(&self, ending: Ending, signed: &[usize]) -> Changes {
        let zero = I256::ZERO;
        let mut changes = match ending {
            Ending::Settled { seconds, dataset } => {
                let compute = self.compute(seconds);
                let dataset = if dataset { self.dataset } else { U256::ZERO };
                let paid = dataset + self.model + self.workload + compute;
                Changes {
                    dataset: plus(dataset),
                    model: plus(self.model),
                    workload: plus(self.workload),
                    provider: plus(compute),
                    buyer: -plus(paid),
                    operators: Vec::new(),
                }
            }
            Ending::Expired => Changes {
                dataset: zero,
                model: zero,
                workload: zero,
                provider: zero,
                buyer: zero,
                operators: Vec::new(),
            },
            Ending::Refunded { forged } => {
                let bond = if forged { plus(self.bond) } else { zero };
                let (dataset, model, workload) = (zero, zero, zero);
                Changes {
                    dataset,
                    model,
                    workload,
                    provider: -bond,
                    buyer: bond,
                    operators: Vec::new(),
                }
            }
        };
        if ending == Ending::Expired {
            changes.operators = vec![zero; self.operators];
            return changes;
        }
        // Whoever signed the verdict that ended the order shares the fee; what is left over of the
        // division goes to the first of them.
        changes.buyer -= plus(self.oracle_fee);
        let count = U256::from(signed.len().max(1));
        let (share, rest) = (self.oracle_fee / count, self.oracle_fee % count);
        let first = signed.iter().min();
        changes.operators = (0..self.operators)
            .map(|i| match (signed.contains(&i), Some(&i) == first) {
                (false, _) => zero,
                (true, false) => plus(share),
                (true, true) => plus(share + rest),
            })
            .collect();
        changes
    }
}

impl Changes {
    /// In the order of the table.
    pub(super) fn all(&self) -> Vec<I256> {
        let mut all = vec![
            self.dataset,
            self.model,
            self.workload,
            self.provider,
            self.buyer,
        ];
        all.extend(&self.operators);
        all
    }
}

fn plus(amount: U256) -> I256 {
    I256::from_raw(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deal() -> Deal {
        Deal {
            dataset: U256::from(120),
            model: U256::from(80),
            workload: U256::from(10),
            rate: U256::from(2),
            max_duration: 100,
            bond: U256::from(50),
            oracle_fee: U256::from(7),
            operators: 3,
        }
    }

    const fn paid(seconds: u64) -> Ending {
        Ending::Settled {
            seconds,
            dataset: true,
        }
    }

    #[test]
    fn a_dataset_that_is_not_what_the_buyer_needs_earns_nothing() {
        let ending = Ending::Settled {
            seconds: 30,
            dataset: false,
        };
        let changes = deal().changes(ending, &[1]);
        assert_eq!(
            (changes.dataset, changes.model),
            (I256::ZERO, I256::unchecked_from(80))
        );
        assert_eq!(changes.buyer, I256::unchecked_from(-(80 + 10 + 60 + 7)));
    }

    #[test]
    fn nothing_is_made_and_nothing_lost() {
        for ending in [
            paid(0),
            paid(30),
            paid(1000),
            Ending::Settled {
                seconds: 30,
                dataset: false,
            },
            Ending::Refunded { forged: true },
            Ending::Refunded { forged: false },
            Ending::Expired,
        ] {
            let sum = deal()
                .changes(ending, &[0, 1, 2])
                .all()
                .into_iter()
                .fold(I256::ZERO, |a, b| a + b);
            assert_eq!(sum, I256::ZERO, "{ending:?}");
        }
    }

    #[test]
    fn compute_is_paid_for_attested_time_and_no_more_than_was_locked() {
        let provider = |seconds| deal().changes(paid(seconds), &[1]).provider;
        assert_eq!(provider(30), I256::unchecked_from(60));
        assert_eq!(provider(1000), I256::unchecked_from(200));
        assert_eq!(deal().locked(), U256::from(120 + 80 + 10 + 200 + 7));
    }

    #[test]
    fn only_a_forger_loses_its_bond() {
        let forged = deal().changes(Ending::Refunded { forged: true }, &[0, 1]);
        assert_eq!(forged.provider, I256::unchecked_from(-50));
        assert_eq!(forged.buyer, I256::unchecked_from(50 - 7));
        let refused = deal().changes(Ending::Refunded { forged: false }, &[0, 1]);
        assert_eq!(refused.provider, I256::ZERO);
        assert_eq!(refused.buyer, I256::unchecked_from(-7));
    }

    #[test]
    fn the_fee_is_shared_by_who_signed_and_its_rest_goes_to_the_first() {
        let shares = |signed: &[usize]| {
            let ending = Ending::Refunded { forged: true };
            deal().changes(ending, signed).operators
        };
        assert_eq!(shares(&[0, 1, 2]), [3, 2, 2].map(I256::unchecked_from));
        assert_eq!(shares(&[2, 1]), [0, 4, 3].map(I256::unchecked_from));
    }
}
