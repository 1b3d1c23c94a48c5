//! Any sequence of calls at any times on several orders: money held is money owed, terminal states
//! stay, and at the end everybody's calls alone bring every order to an end.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use escrow::{
    money::{Split, locked, shares},
    rules::{Effect, Record, State},
};
use proptest::prelude::*;
use vouch_abi::Terms;

use crate::samples::*;

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Accept(usize),
    Verdict {
        order: usize,
        phase: u8,
        reason: u16,
        clauses: u64,
        age: u64,
    },
    Settle(usize),
    Refund(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let order = 0..3_usize;
    prop_oneof![
        (0..120_u64).prop_map(Step::Wait),
        order.clone().prop_map(Step::Accept),
        (
            order.clone(),
            1..4_u8,
            prop::sample::select(vec![0_u16, 0, 0, 110, 202, 300]),
            any::<u64>(),
            0..20_u64,
        )
            .prop_map(|(order, phase, reason, clauses, age)| Step::Verdict {
                order,
                phase,
                reason,
                clauses,
                age,
            }),
        order.clone().prop_map(Step::Settle),
        order.prop_map(Step::Refund),
    ]
}

/// The escrow, as a ledger of one token.
#[derive(Debug)]
struct Ledger {
    now: u64,
    orders: Vec<(B256, Terms, Record)>,
    held: U256,
    credits: U256,
    received: BTreeMap<Address, U256>,
    /// Calls of `settle_now` and `refund_now`, by order.
    ends: BTreeMap<B256, u32>,
    verdicts: BTreeMap<B256, (U256, u64)>,
}

impl Ledger {
    fn new() -> Self {
        let mut ledger = Self {
            now: NOW,
            orders: vec![],
            held: U256::ZERO,
            credits: U256::ZERO,
            received: BTreeMap::new(),
            ends: BTreeMap::new(),
            verdicts: BTreeMap::new(),
        };
        for n in 0..3 {
            let mut terms = terms();
            terms.salt = B256::repeat_byte(n);
            terms.challengeWindow = u64::from(n) * 25;
            ledger.held += locked(&terms);
            ledger
                .orders
                .push((B256::repeat_byte(n), terms, Record::placed(0)));
        }
        ledger
    }

    fn pay(&mut self, order: B256, terms: &Terms, split: &Split) {
        *self.ends.entry(order).or_default() += 1;
        for (to, amount) in transfers(split, terms) {
            self.held -= amount;
            *self.received.entry(to).or_default() += amount;
        }
    }

    fn reward(&mut self, terms: &Terms) {
        self.credits += shares(terms.oracleFee, 3).fold(U256::ZERO, |sum, share| sum + share);
    }

    fn apply(&mut self, step: &Step) {
        let index = match step {
            Step::Wait(seconds) => {
                self.now += seconds;
                return;
            }
            Step::Accept(order)
            | Step::Settle(order)
            | Step::Refund(order)
            | Step::Verdict { order, .. } => *order,
        };
        let (order, terms, record) = self.orders[index].clone();
        let now = self.now;
        let next = match step {
            Step::Accept(_) => {
                let Ok(next) = record.accept(&order, &terms, &PROVIDER, now, 0) else {
                    return;
                };
                self.held += terms.bond;
                next
            }
            Step::Verdict {
                phase,
                reason,
                clauses,
                age,
                ..
            } => {
                let mut verdict = verdict(*phase, *reason, now.saturating_sub(*age));
                verdict.order = order;
                verdict.clauses = all_clauses() ^ U256::from(*clauses);
                let Ok(effect) = record.judge(&order, &terms, &verdict, now) else {
                    return;
                };
                match effect {
                    Effect::Start => record.start(verdict.observedAt, 0),
                    Effect::Beat => {
                        let beaten = record.beat(&terms, &verdict);
                        assert!(beaten.beat_at >= record.beat_at, "a heartbeat went back");
                        self.orders[index].2 = beaten;
                        return;
                    }
                    Effect::Finish => {
                        self.reward(&terms);
                        self.verdicts
                            .insert(order, (verdict.clauses, verdict.observedAt));
                        let finished = record.finish(now, 0);
                        if terms.challengeWindow != 0 {
                            finished
                        } else {
                            self.settle(order, &terms, &finished)
                        }
                    }
                    Effect::Reject { forged } => {
                        self.reward(&terms);
                        self.pay(order, &terms, &Split::rejected(&terms, forged));
                        record.refunded(0)
                    }
                }
            }
            Step::Settle(_) => {
                if record.settle(&order, &terms, now).is_err() {
                    return;
                }
                self.settle(order, &terms, &record)
            }
            _ => {
                if record.expire(&order, &terms, now).is_err() {
                    return;
                }
                self.pay(
                    order,
                    &terms,
                    &Split::expired(&terms, record.bonded(), record.attested()),
                );
                record.refunded(0)
            }
        };
        assert!(record.state < State::Settled, "left a terminal state");
        assert!(next.state > record.state, "went back");
        self.orders[index].2 = next;
    }

    fn settle(&mut self, order: B256, terms: &Terms, record: &Record) -> Record {
        let (clauses, observed_at) = self.verdicts[&order];
        self.pay(
            order,
            terms,
            &Split::earned(terms, clauses, record.started_at, observed_at),
        );
        Record::settled(B256::ZERO)
    }

    /// What the open orders have locked, and what operators were credited.
    fn owed(&self) -> U256 {
        self.orders
            .iter()
            .fold(self.credits, |owed, (_, terms, record)| {
                owed + match record.state {
                    State::Placed => locked(terms),
                    State::Accepted | State::Running => locked(terms) + terms.bond,
                    State::Finished => locked(terms) + terms.bond - terms.oracleFee,
                    _ => U256::ZERO,
                }
            })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn money_held_is_money_owed_and_every_order_ends_once(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut ledger = Ledger::new();
        for step in &steps {
            ledger.apply(step);
            prop_assert_eq!(ledger.held, ledger.owed(), "after {:?}", step);
        }
        // Whatever happened: anybody can end every order once its deadlines are over.
        ledger.apply(&Step::Wait(10_000));
        for order in 0..3 {
            ledger.apply(&Step::Refund(order));
            ledger.apply(&Step::Settle(order));
        }
        for (order, _, record) in &ledger.orders {
            prop_assert!(record.state >= State::Settled);
            prop_assert_eq!(ledger.ends.get(order), Some(&1), "paid once");
        }
        prop_assert_eq!(ledger.held, ledger.credits, "only operators' credits are left");
    }
}
