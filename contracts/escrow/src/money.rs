//! Who gets what. Every way out of an order splits exactly what the order locked: prices and
//! oracle fee from the buyer, and after acceptance the provider's bond.
//!
//! Sums are saturating here; they cannot overflow, because terms whose total does not fit a word
//! are refused when the order is placed.

use alloc::vec::Vec;

use alloy_primitives::U256;
use vouch_abi::{
    Terms,
    terms::{checked_scale, is_compute},
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

    /// Pays legs: those whose attested clauses are `held`, or compute alone.
    fn of_legs(terms: &Terms, held: Option<&LegClauses>, seconds: u64) -> Self {
        let mut paid = Vec::with_capacity(terms.legs.len());
        let mut refund = U256::ZERO;
        for (index, leg) in terms.legs.iter().enumerate() {
            let due = Clauses(leg.clauses).intersection(Clauses::ATTESTED);
            let compute = is_compute(leg);
            let earned = if !held.map_or(compute, |held| held.leg(index).covers(due)) {
                U256::ZERO
            } else if compute {
                // Never more than was locked for it.
                checked_scale(&leg.rate, seconds)
                    .unwrap_or(leg.amount)
                    .min(leg.amount)
            } else {
                leg.amount
            };
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

/// What the buyer locks: prices and oracle fee.
pub fn locked(terms: &Terms) -> U256 {
    prices(terms).saturating_add(terms.oracleFee)
}

/// What the legs cost together, at most.
pub fn prices(terms: &Terms) -> U256 {
    let mut sum = U256::ZERO;
    for leg in &terms.legs {
        sum = sum.saturating_add(leg.amount);
    }
    sum
}

/// A fee in equal shares; what does not divide goes to the first. None where nobody shares.
pub fn shares(fee: U256, count: u16) -> impl Iterator<Item = U256> {
    let (share, rest) = divide(fee, count.max(1));
    (0..count).map(move |index| {
        if index == 0 {
            share.saturating_add(rest)
        } else {
            share
        }
    })
}

/// Quotient and remainder, byte by byte: a general 256-bit division costs a contract kilobytes.
pub(crate) fn divide(dividend: U256, divisor: u16) -> (U256, U256) {
    let mut bytes = dividend.to_be_bytes::<32>();
    let divisor = u32::from(divisor);
    let mut rest = 0_u32;
    for byte in &mut bytes {
        // Less than 2^24, as the rest is less than the divisor.
        let part = rest << 8 | u32::from(*byte);
        *byte = (part / divisor).to_be_bytes()[3];
        rest = part % divisor;
    }
    (U256::from_be_bytes(bytes), U256::from(rest))
}
