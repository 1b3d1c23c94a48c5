//! Who gets what. Every way out of an order splits exactly what the order locked: prices and
//! fees from the buyer, and after acceptance the provider's bond. The protocol's and a marketplace's share come
//! on top of what is earned: no payee gets less because of them.
//!
//! Sums are saturating here; they cannot overflow, because terms whose total does not fit a word
//! are refused when the order is placed.

use alloc::vec::Vec;

use alloy_primitives::U256;
use vouch_abi::{
    Terms,
    terms::{checked_scale, checked_share, divide, is_compute, is_share, uses_offer},
};
use vouch_protocol::clause::{Clauses, LegClauses};

use crate::flows::Flows;

/// What leaves an order, and to whom. The oracle fee is not in it where operators earned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What each leg's payee earned, in the order of the legs.
    pub paid: Vec<U256>,
    /// What the buyer gets back of its own.
    pub refund: U256,
    /// The part of the bond that goes to the buyer.
    pub bond_to_buyer: U256,
    /// The part of the bond that the provider gets back.
    pub bond_to_provider: U256,
}

impl Split {
    /// A finish verdict: a leg whose attested clauses all hold is paid, the buyer gets the rest.
    /// Clauses that the chain enforces were enforced when the order was placed.
    pub fn earned(terms: &Terms, clauses: U256, started_at: u64, observed_at: u64) -> Self {
        let held = LegClauses::from_be_bytes(clauses.to_be_bytes());
        let seconds = observed_at.saturating_sub(started_at);
        Self::of_legs(terms, Some(&held), seconds)
    }

    /// Pays legs: those whose attested clauses are `held`, or compute alone; and the shares in them.
    fn of_legs(terms: &Terms, held: Option<&LegClauses>, seconds: u64) -> Self {
        let mut paid = Vec::with_capacity(terms.legs.len());
        let mut refund = U256::ZERO;
        // Shares stand behind the legs that they are shares of.
        let mut shared = U256::ZERO;
        for (index, leg) in terms.legs.iter().enumerate() {
            let due = Clauses(leg.clauses).intersection(Clauses::ATTESTED);
            let compute = is_compute(leg);
            let earned = if is_share(leg) {
                let rate = leg.rate.saturating_to();
                checked_share(&shared, rate)
                    .unwrap_or(leg.amount)
                    .min(leg.amount)
            } else if !uses_offer(leg) {
                // A royalty: paid where the rest of the price is.
                let mut before = terms.legs.iter().zip(&paid);
                let due =
                    before.any(|(sold, paid)| sold.offer == leg.offer && !U256::is_zero(paid));
                if due { leg.amount } else { U256::ZERO }
            } else if !held.map_or(compute, |held| held.leg(index).covers(due)) {
                U256::ZERO
            } else if compute {
                // Never more than was locked for it.
                checked_scale(&leg.rate, seconds)
                    .unwrap_or(leg.amount)
                    .min(leg.amount)
            } else {
                leg.amount
            };
            if !is_share(leg) {
                shared = shared.saturating_add(earned);
            }
            refund = refund.saturating_add(leg.amount.saturating_sub(earned));
            paid.push(earned);
        }
        Self {
            paid,
            refund,
            bond_to_buyer: U256::ZERO,
            bond_to_provider: terms.bond,
        }
    }

    /// A rejection: the buyer gets the prices back, and the bond if the evidence was forged.
    pub fn rejected(terms: &Terms, forged: bool) -> Self {
        let (bond_to_buyer, bond_to_provider) = if forged {
            (terms.bond, U256::ZERO)
        } else {
            (U256::ZERO, terms.bond)
        };
        Self {
            paid: Vec::new(),
            refund: prices(terms),
            bond_to_buyer,
            bond_to_provider,
        }
    }

    /// A deadline: both sides get back what they locked, but for the `seconds` of compute that heartbeats attested.
    pub fn expired(terms: &Terms, bonded: bool, seconds: u64) -> Self {
        let mut split = Self::of_legs(terms, None, seconds);
        split.refund = split.refund.saturating_add(terms.oracleFee);
        if !bonded {
            split.bond_to_provider = U256::ZERO;
        }
        split
    }

    /// Lists what each receiver gets: payees in the order of their legs, provider, buyer.
    pub fn pay(&self, terms: &Terms, flows: &mut Flows) {
        for (leg, amount) in terms.legs.iter().zip(&self.paid) {
            flows.give(terms.token, leg.payee, *amount);
        }
        flows.give(terms.token, terms.provider, self.bond_to_provider);
        let to_buyer = self.refund.saturating_add(self.bond_to_buyer);
        flows.give(terms.token, terms.buyer, to_buyer);
    }
}

/// What the buyer locks: prices and fees.
pub fn locked(terms: &Terms) -> U256 {
    prices(terms).saturating_add(terms.oracleFee)
}

/// What the legs cost together, at most, shares among them.
pub fn prices(terms: &Terms) -> U256 {
    let mut sum = U256::ZERO;
    for leg in &terms.legs {
        sum = sum.saturating_add(leg.amount);
    }
    sum
}

/// A fee in equal shares; what does not divide goes to the first. None where nobody shares.
pub fn shares(fee: U256, count: u16) -> impl Iterator<Item = U256> {
    let (share, rest) = divide(&fee, count.max(1).into());
    (0..count).map(move |index| {
        if index == 0 {
            share.saturating_add(rest)
        } else {
            share
        }
    })
}
