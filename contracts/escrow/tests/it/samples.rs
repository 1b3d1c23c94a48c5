//! An order as it should be.

use alloy_primitives::{Address, B256, U256};
use escrow::{flows::Flows, money::Split};
use vouch_abi::{
    Deadlines, Fee, Leg, Offer, Royalty, Terms, Verdict, wire::Request, wire::RequestedLeg,
};
use vouch_protocol::clause::{Clauses, LegClauses};

pub(crate) const NOW: u64 = 1_000;
pub(crate) const ORDER: B256 = B256::repeat_byte(0x0d);
pub(crate) const BUYER: Address = Address::repeat_byte(0xb0);
pub(crate) const PROVIDER: Address = Address::repeat_byte(0xc0);
pub(crate) const OWNER: Address = Address::repeat_byte(0xd0);
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
pub(crate) const TREASURY: Address = Address::repeat_byte(0x7e);
pub(crate) const MARKETPLACE: Address = Address::repeat_byte(0x3a);
pub(crate) const STRANGER: Address = Address::repeat_byte(0xee);

pub(crate) fn offer(kind: u8, price: u64) -> Offer {
    let compute = kind == 4;
    Offer {
        owner: if compute { PROVIDER } else { OWNER },
        kind,
        digest: if compute {
            B256::ZERO
        } else {
            B256::repeat_byte(kind)
        },
        token: TOKEN,
        price: U256::from(price),
        policy: B256::repeat_byte(0x90),
        salt: B256::with_last_byte(kind),
        ..Default::default()
    }
}

/// Requires everything a policy can require.
pub(crate) fn requested(kind: u8, price: u64) -> RequestedLeg {
    RequestedLeg {
        offer: offer(kind, price),
        any: 0,
        signature: Default::default(),
        royalties: Vec::new(),
    }
}

/// Of a model that was made from two others' assets.
pub(crate) fn royalties() -> Vec<Royalty> {
    let royalty = |parent, rate| Royalty {
        payee: Address::repeat_byte(parent),
        digest: B256::repeat_byte(parent),
        rate,
    };
    vec![royalty(0xe1, 50_000), royalty(0xe2, 200_000)]
}

pub(crate) fn deadlines() -> Deadlines {
    Deadlines {
        accept: NOW + 100,
        start: NOW + 200,
        finish: NOW + 300,
        settle: NOW + 450,
    }
}

pub(crate) fn request() -> Request {
    Request {
        legs: vec![
            requested(1, 1_000),
            requested(2, 2_000),
            requested(3, 0),
            requested(4, 3),
        ],
        resultKey: B256::repeat_byte(1),
        purpose: 0b0100,
        maxDuration: 600,
        deadlines: deadlines(),
        challengeWindow: 50,
        bond: U256::from(500),
        oracleFee: U256::from(51),
        maxProtocolFee: 10_000,
        marketplaceFee: Fee {
            recipient: MARKETPLACE,
            rate: 25_000,
        },
        ..Default::default()
    }
}

pub(crate) fn protocol_fee() -> Fee {
    Fee {
        recipient: TREASURY,
        rate: 10_000,
    }
}

pub(crate) fn terms() -> Terms {
    vouch_abi::terms::derive(&request(), BUYER, protocol_fee(), NOW).unwrap()
}

/// A leg for tests of the money.
pub(crate) fn leg(kind: u8, payee: Address, amount: u64, rate: u64) -> Leg {
    Leg {
        kind,
        payee,
        amount: U256::from(amount),
        rate: U256::from(rate),
        clauses: Clauses::POLICY.0,
        ..Default::default()
    }
}

/// Every clause of every leg.
pub(crate) fn all_clauses() -> U256 {
    U256::from_be_bytes(LegClauses([u32::MAX; 8]).to_be_bytes())
}

pub(crate) fn verdict(phase: u8, reason: u16, observed_at: u64) -> Verdict {
    Verdict {
        order: ORDER,
        phase,
        reason,
        clauses: all_clauses(),
        observedAt: observed_at,
        ..Default::default()
    }
}

/// What leaves an order, by receiver.
pub(crate) fn transfers(split: &Split, terms: &Terms) -> Vec<(Address, U256)> {
    let mut flows = Flows::default();
    split.pay(terms, &mut flows);
    let flows = flows.outward.iter();
    flows.map(|flow| (flow.account, flow.amount)).collect()
}
