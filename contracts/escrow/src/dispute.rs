//! Disputes: who may stop the payment of a finished order, what that costs, and how it ends.
//!
//! ```text
//!          dispute, with a bond            verdict stands
//! Finished ────────────────────▶ Disputed ────────────────▶ Settled
//!                                    │ verdict falls, or nobody decided in time
//!                                    └────────────────────▶ Refunded
//! ```
//!
//! What is disputed is the finish verdict, not what the challenger says of it: a resolver may look at anything,
//! whoever was first. An order is disputed once at most, because both ends are final.
//!
//! A resolver is trusted by those who sell under a challenge window: it can do no more than choose between the two
//! ends of a disputed order. It cannot be exchanged while it decides.

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, U256};
use stylus_sdk::prelude::*;
use vouch_abi::{
    Dispute, IEscrow, Terms, Verdict,
    call::{self, Answer, Revert},
    terms::divide,
};
use vouch_protocol::Class;

use crate::{
    Escrow,
    flows::Flows,
    money::{self, Split},
    rules::{Record, State, before},
};

/// How long a resolver may think, in seconds: a week.
pub const PERIOD: u64 = 7 * 24 * 60 * 60;

/// The part of the prices that a dispute puts at stake at least: an eighth. A dispute that fails has kept
/// the payees from their money for up to [`PERIOD`].
const STAKE: u32 = 8;

/// What becomes of a disputed verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It was right.
    Stands,
    /// It should have been a rejection; `forged` decides about the provider's bond.
    Falls {
        /// The evidence was not authentic.
        forged: bool,
    },
}

impl Ruling {
    /// The ruling that a verdict should have had this reason; none where the reason decides nothing.
    pub fn of(reason: u16) -> Option<Self> {
        match Class::of(reason)? {
            Class::Accepted => Some(Self::Stands),
            Class::Forged => Some(Self::Falls { forged: true }),
            Class::Policy => Some(Self::Falls { forged: false }),
            _ => None,
        }
    }
}

/// What a challenger puts at stake: as much as the provider, or an eighth of the prices where that is more.
pub fn bond(terms: &Terms) -> U256 {
    let (part, _) = divide(&money::prices(terms), STAKE);
    part.max(terms.bond)
}

/// Until when a dispute opened at `now` can be decided.
pub const fn deadline(now: u64) -> u64 {
    now.saturating_add(PERIOD)
}

impl Record {
    /// Somebody disputes the finish verdict, saying that it should have had `reason`.
    ///
    /// # Errors
    /// `WrongState`, `WindowClosed`, `NoRejection`.
    pub fn dispute(
        self,
        order: &B256,
        terms: &Terms,
        reason: u16,
        now: u64,
        block: u64,
    ) -> Result<Self, Revert> {
        self.expect(order, State::Finished)?;
        let closes = self.window_closes(terms);
        if now >= closes {
            return Err(IEscrow::WindowClosed { closes, time: now }.into());
        }
        if !matches!(Ruling::of(reason), Some(Ruling::Falls { .. })) {
            return Err(IEscrow::NoRejection { reason }.into());
        }
        Ok(Self {
            state: State::Disputed,
            since_block: block,
            ..self
        })
    }

    /// What becomes of the order if its resolver says now that the verdict should have had `reason`.
    ///
    /// # Errors
    /// `WrongState`, `DeadlinePassed`, `Inconclusive`.
    pub fn resolve(
        &self,
        order: &B256,
        dispute: &Dispute,
        reason: u16,
        now: u64,
    ) -> Result<Ruling, Revert> {
        self.expect(order, State::Disputed)?;
        before(dispute.deadline, now)?;
        Ruling::of(reason).ok_or_else(|| IEscrow::Inconclusive { reason }.into())
    }

    /// Whether a disputed order may be refunded now because nobody has decided.
    ///
    /// # Errors
    /// `WrongState`, `DeadlineNotPassed`.
    pub fn give_up(&self, order: &B256, dispute: &Dispute, now: u64) -> Result<(), Revert> {
        self.expect(order, State::Disputed)?;
        let deadline = dispute.deadline;
        if now <= deadline {
            return Err(IEscrow::DeadlineNotPassed {
                deadline,
                time: now,
            }
            .into());
        }
        Ok(())
    }
}

/// A dispute that failed: the legs' payees, who all waited, share the challenger's bond equally.
pub fn compensate(terms: &Terms, flows: &mut Flows) {
    let count = u16::try_from(terms.legs.len()).unwrap_or(u16::MAX);
    for (share, leg) in money::shares(bond(terms), count).zip(&terms.legs) {
        flows.give(terms.token, leg.payee, share);
    }
}

/// A verdict that fell: the buyer gets the prices, and what the challenger gets beside its own bond is in the
/// second place. For forged evidence that is half of the provider's bond: less than all of it, so that a provider
/// does not save its bond by disputing itself.
pub fn overturn(terms: &Terms, forged: bool) -> (Split, U256) {
    let mut split = Split::rejected(terms, forged);
    let (reward, _) = divide(&split.bond_to_buyer, 2);
    split.bond_to_buyer = split.bond_to_buyer.saturating_sub(reward);
    (split, reward)
}

impl Escrow {
    pub(crate) fn dispute(
        &mut self,
        order: B256,
        terms: &Terms,
        (evidence, reason): (B256, u16),
        flows: &mut Flows,
    ) -> Answer {
        self.enter()?;
        let now = self.vm().block_timestamp();
        let record = self.record(order);
        let disputed = record.dispute(&order, terms, reason, now, self.block()?)?;
        let resolver = self.resolver.get();
        if resolver.is_zero() {
            return Err(IEscrow::NoResolver {}.into());
        }
        let challenger = self.vm().msg_sender();
        let (bond, deadline) = (bond(terms), deadline(now));
        self.keep(order, &disputed);
        let mut opened = challenger.into_word();
        opened.0[..8].copy_from_slice(&deadline.to_be_bytes());
        let mut kept = self.disputes.setter(order);
        kept.opened.set(opened);
        kept.resolver.set(resolver);
        self.owe(terms.token, &bond)?;
        self.log(&IEscrow::OrderDisputed {
            order,
            challenger,
            resolver,
            evidence,
            reason,
            bond,
            deadline,
        });
        flows.take(terms.token, bond);
        Ok(vec![])
    }

    pub(crate) fn resolve(
        &mut self,
        order: B256,
        terms: &Terms,
        verdict: Verdict,
        reason: u16,
        flows: &mut Flows,
    ) -> Answer {
        self.enter()?;
        let (now, caller) = (self.vm().block_timestamp(), self.vm().msg_sender());
        let (record, dispute) = (self.record(order), self.dispute_of(order));
        let ruling = record.resolve(&order, &dispute, reason, now)?;
        if caller != dispute.resolver {
            return Err(IEscrow::NotResolver {
                caller,
                resolver: dispute.resolver,
            }
            .into());
        }
        let (verdict, digest) = self.finished_by(order, verdict)?;
        let overturned = match ruling {
            Ruling::Stands => None,
            Ruling::Falls { forged } => Some(overturn(terms, forged)),
        };
        let reward = overturned.as_ref().map(|(_, reward)| *reward);
        self.log(&IEscrow::DisputeResolved {
            order,
            challenger: dispute.challenger,
            reason,
            reward: reward.unwrap_or_default(),
        });
        if let Some(split) = overturned {
            return self.give_back(order, terms, &record, reason, &split, flows);
        }
        compensate(terms, flows);
        self.settle_now(order, terms, &record, verdict, digest, flows);
        Ok(vec![])
    }

    /// Nobody decided: buyer, provider and challenger get back what is theirs. The oracle fee is spent.
    pub(crate) fn give_up(&mut self, order: B256, terms: &Terms, flows: &mut Flows) -> Answer {
        self.enter()?;
        let (record, dispute) = (self.record(order), self.dispute_of(order));
        record.give_up(&order, &dispute, self.vm().block_timestamp())?;
        let split = (Split::rejected(terms, false), U256::ZERO);
        self.give_back(order, terms, &record, 0, &split, flows)
    }

    /// The verdict does not count: pays the challenger its bond and its reward, and the others by `split`.
    fn give_back(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        reason: u16,
        (split, reward): &(Split, U256),
        flows: &mut Flows,
    ) -> Answer {
        let challenger = self.dispute_of(order).challenger;
        let paid = bond(terms).saturating_add(*reward);
        flows.give(terms.token, challenger, paid);
        let refunded = record.refunded(self.block()?);
        self.refund_now(order, terms, &refunded, reason, split, flows);
        Ok(vec![])
    }

    pub(crate) fn set_resolver(&mut self, call: IEscrow::setResolverCall) -> Answer {
        self.only_governor()?;
        let resolver = call.resolver;
        self.resolver.set(resolver);
        self.log(&IEscrow::ResolverSet { resolver });
        Ok(Vec::new())
    }

    pub(crate) fn dispute_of(&self, order: B256) -> Dispute {
        let kept = self.disputes.getter(order);
        let opened = kept.opened.get();
        let deadline = opened.iter().take(8);
        Dispute {
            challenger: Address::from_word(opened),
            deadline: deadline.fold(0, |number, byte| number << 8 | u64::from(*byte)),
            resolver: kept.resolver.get(),
        }
    }

    pub(crate) fn dispute_answer(&self, order: B256) -> Answer {
        call::returns::<IEscrow::disputeOfCall>(self.dispute_of(order))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use vouch_abi::Leg;

    use super::*;

    fn terms(prices: &[u64], bond: u64) -> Terms {
        let leg = |price: &u64| Leg {
            payee: Address::repeat_byte(*price as u8),
            amount: U256::from(*price),
            ..Leg::default()
        };
        Terms {
            legs: prices.iter().map(leg).collect(),
            bond: U256::from(bond),
            challengeWindow: 100,
            ..Terms::default()
        }
    }

    fn finished(at: u64) -> Record {
        Record::placed(1).start(5, 2).finish(at, 3)
    }

    #[test]
    fn the_stake_is_the_providers_or_an_eighth_of_the_prices() {
        for (prices, provider, expected) in [
            (&[80, 80][..], 0, 20),
            (&[80, 80], 19, 20),
            (&[80, 80], 21, 21),
            (&[7], 0, 0),
            (&[], 3, 3),
        ] {
            let terms = terms(prices, provider);
            assert_eq!(bond(&terms), U256::from(expected), "{prices:?} {provider}");
        }
    }

    #[test]
    fn a_window_is_open_for_disputes_or_for_settlement_and_never_for_both() {
        let (terms, order) = (terms(&[1], 0), B256::repeat_byte(1));
        for now in [1_000, 1_099, 1_100, u64::MAX] {
            let disputed = finished(1_000).dispute(&order, &terms, 100, now, 4).is_ok();
            let settled = finished(1_000).settle(&order, &terms, now).is_ok();
            assert_eq!((disputed, settled), (now < 1_100, now >= 1_100), "{now}");
        }
    }

    #[test]
    fn only_a_rejection_disputes_and_only_what_decides_resolves() {
        let (terms, order) = (terms(&[1], 0), B256::repeat_byte(1));
        for reason in [0, 99, 300, 404, 500, u16::MAX] {
            let dispute = finished(1).dispute(&order, &terms, reason, 1, 4);
            assert!(dispute.is_err(), "{reason}");
        }
        let disputed = finished(1).dispute(&order, &terms, 200, 1, 4).unwrap();
        let dispute = Dispute {
            deadline: deadline(1),
            ..Dispute::default()
        };
        let resolve = |reason, now| disputed.resolve(&order, &dispute, reason, now).ok();
        assert_eq!(resolve(0, 1), Some(Ruling::Stands));
        assert_eq!(resolve(110, 1), Some(Ruling::Falls { forged: true }));
        assert_eq!(resolve(200, 1), Some(Ruling::Falls { forged: false }));
        for undecided in [99, 300, 404, 500] {
            assert_eq!(resolve(undecided, 1), None, "{undecided}");
        }
        // To the last second one can resolve, then only give up.
        for (now, decides) in [(1 + PERIOD, true), (2 + PERIOD, false)] {
            assert_eq!(resolve(0, now).is_some(), decides);
            assert_eq!(disputed.give_up(&order, &dispute, now).is_ok(), !decides);
        }
    }

    #[test]
    fn a_disputed_order_can_do_nothing_else() {
        let (terms, order) = (terms(&[1], 0), B256::repeat_byte(1));
        let disputed = finished(1).dispute(&order, &terms, 200, 1, 4).unwrap();
        let late = u64::MAX;
        assert!(disputed.settle(&order, &terms, late).is_err());
        assert!(disputed.expire(&order, &terms, late).is_err());
        assert!(disputed.dispute(&order, &terms, 200, 1, 5).is_err());
        assert_eq!(disputed.phase(), None);
        assert_eq!(Record::unpack(&disputed.pack()), disputed);
        for other in [Record::placed(1), finished(1), Record::settled(B256::ZERO)] {
            let never = Dispute::default();
            assert!(other.resolve(&order, &never, 0, 0).is_err());
            assert!(other.give_up(&order, &never, late).is_err());
        }
    }

    #[test]
    fn every_ruling_pays_out_what_was_locked() {
        let terms = terms(&[80, 81, 83], 41);
        let locked = money::prices(&terms) + terms.bond;
        for (forged, rewarded) in [(true, 20), (false, 0)] {
            let (split, reward) = overturn(&terms, forged);
            assert_eq!(reward, U256::from(rewarded));
            let out = split.refund + split.bond_to_buyer + split.bond_to_provider + reward;
            assert_eq!(out, locked, "forged: {forged}");
        }
        let mut flows = Flows::default();
        compensate(&terms, &mut flows);
        let shared: U256 = flows.outward.iter().map(|flow| flow.amount).sum();
        assert_eq!(shared, bond(&terms));
    }
}
