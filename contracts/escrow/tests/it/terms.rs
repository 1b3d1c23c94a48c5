//! What `place` makes of a request, and what it refuses.

use alloy_primitives::{Address, B256, U256};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use vouch_abi::{
    Deadlines, Fee, IEscrow, IOffers, Leg, Requirements, Royalty, Terms, call::Revert, id,
    wire::Request, wire::RequestedLeg,
};
use vouch_protocol::{
    clause::{Clause, Clauses},
    statement::inputs_digest,
};

use crate::samples::*;

fn derive(request: Request) -> Result<Terms, Revert> {
    vouch_abi::terms::derive(&request, BUYER, protocol_fee(), NOW)
}

fn refused(request: Request) -> Revert {
    derive(request).expect_err("refused")
}

fn invalid(field: &str) -> Revert {
    IEscrow::InvalidOrder {
        field: field.to_string(),
    }
    .into()
}

fn invalid_leg(leg: u8, field: &str) -> Revert {
    IEscrow::InvalidLeg {
        leg,
        field: field.to_string(),
    }
    .into()
}

fn with_legs(legs: Vec<RequestedLeg>) -> Request {
    Request { legs, ..request() }
}

#[test]
fn legs_come_from_their_offers() {
    let terms = derive(request()).unwrap();
    assert_eq!(
        (terms.buyer, terms.provider, terms.token),
        (BUYER, PROVIDER, TOKEN)
    );
    let amounts: Vec<u64> = terms.legs.iter().map(|leg| leg.amount.to()).collect();
    assert_eq!(
        amounts,
        [1_000, 2_000, 0, 1_800, 48, 120],
        "compute: rate times the longest duration; 1 % and 2.5 % on top of all that"
    );
    for (leg, fee) in terms.legs[4..]
        .iter()
        .zip([protocol_fee(), request().marketplaceFee])
    {
        let share = Leg {
            kind: 5,
            payee: fee.recipient,
            amount: leg.amount,
            rate: U256::from(fee.rate),
            ..Default::default()
        };
        assert_eq!(*leg, share, "no offer, no policy, no clause");
    }
    assert_eq!(terms.legs[3].rate, U256::from(3));
    assert_eq!(terms.legs[0].rate, U256::ZERO);
    for (leg, requested) in terms.legs.iter().zip(request().legs) {
        assert_eq!(leg.offer, id::offer_id(&requested.offer));
        assert_eq!(leg.payee, requested.offer.owner);
        assert_eq!(leg.digest, requested.offer.digest);
        assert_eq!(leg.clauses, Clauses::POLICY.0);
    }
    assert_eq!(vouch_abi::terms::workload(&terms).0, B256::repeat_byte(3));
    let assets = [B256::repeat_byte(1), B256::repeat_byte(2)];
    let inputs: [u8; 32] = Sha256::digest(vouch_abi::terms::inputs(&terms)).into();
    assert_eq!(
        B256::new(inputs),
        inputs_digest(&assets),
        "what the session says of its inputs"
    );
}

#[test]
fn waived_clauses_are_not_required_and_requirements_are_the_datasets() {
    let mut wanted = request();
    wanted.legs[1].any = Clauses::POLICY.0;
    wanted.requirements = Requirements {
        minRecords: 1,
        ..Default::default()
    };
    let terms = derive(wanted).unwrap();
    assert_eq!(
        terms.legs[0].clauses,
        Clauses::POLICY.with(Clause::Requirements).0
    );
    assert_eq!(terms.legs[1].clauses, 0);
    assert_eq!(terms.legs[3].clauses, Clauses::POLICY.0);
}

#[test]
fn derive_errors_when_there_are_no_legs() {
    assert_eq!(refused(with_legs(vec![])), invalid("legs"));
}

#[test]
fn derive_errors_when_there_is_not_exactly_one_compute_leg() {
    assert_eq!(
        refused(with_legs(vec![requested(1, 5)])),
        invalid("compute")
    );
    let mut second = requested(4, 3);
    second.offer.salt = B256::repeat_byte(7);
    assert_eq!(
        refused(with_legs(vec![requested(4, 3), second])),
        invalid_leg(1, "kind")
    );
}

#[test]
fn derive_errors_when_there_are_two_workload_legs() {
    let mut second = requested(3, 0);
    second.offer.salt = B256::repeat_byte(7);
    let legs = vec![requested(3, 0), second, requested(4, 3)];
    assert_eq!(refused(with_legs(legs)), invalid_leg(1, "kind"));
}

#[test]
fn derive_errors_when_a_leg_is_of_no_kind() {
    for kind in [0, 5, 255] {
        let legs = vec![requested(4, 3), requested(kind, 1)];
        assert_eq!(refused(with_legs(legs)), invalid_leg(1, "kind"));
    }
}

#[test]
fn derive_errors_when_an_offer_stands_twice() {
    let legs = vec![requested(1, 5), requested(4, 3), requested(1, 5)];
    assert_eq!(refused(with_legs(legs)), invalid_leg(2, "offer"));
}

#[test]
fn derive_errors_when_tokens_are_mixed() {
    let mut wanted = request();
    let found = Address::repeat_byte(0x71);
    wanted.legs[2].offer.token = found;
    let expected = IEscrow::MixedTokens {
        leg: 2,
        expected: TOKEN,
        found,
    };
    assert_eq!(refused(wanted), expected.into());
}

#[test]
fn derive_errors_when_a_field_is_out_of_range() {
    let requirements = Requirements {
        minQuality: 1_000_001,
        ..Default::default()
    };
    for (field, wanted) in [
        (
            "maxDuration",
            Request {
                maxDuration: 0,
                ..request()
            },
        ),
        (
            "purpose",
            Request {
                purpose: 0,
                ..request()
            },
        ),
        (
            "purpose",
            Request {
                purpose: 0b0011,
                ..request()
            },
        ),
        (
            "purpose",
            Request {
                purpose: 0b1_0000,
                ..request()
            },
        ),
        (
            "resultKey",
            Request {
                resultKey: B256::ZERO,
                ..request()
            },
        ),
        (
            "requirements.minQuality",
            Request {
                requirements,
                ..request()
            },
        ),
        (
            "challengeWindow",
            Request {
                challengeWindow: u64::MAX,
                ..request()
            },
        ),
    ] {
        assert_eq!(refused(wanted), invalid(field));
    }
}

#[test]
fn derive_errors_when_requirements_have_no_dataset() {
    let requirements = Requirements {
        minBytes: 1,
        ..Default::default()
    };
    let wanted = Request {
        requirements,
        legs: vec![requested(4, 3)],
        ..request()
    };
    assert_eq!(refused(wanted), invalid("requirements"));
}

#[test]
fn derive_errors_when_deadlines_are_past_or_not_ascending() {
    let with = |deadlines| Request {
        deadlines,
        ..request()
    };
    let d = deadlines();
    for accept in [0, NOW - 1, NOW] {
        let expected = IEscrow::DeadlinePassed {
            deadline: accept,
            time: NOW,
        };
        assert_eq!(
            refused(with(Deadlines {
                accept,
                ..d.clone()
            })),
            expected.into()
        );
    }
    for (deadlines, earlier, later) in [
        (
            Deadlines {
                start: d.accept,
                ..d.clone()
            },
            d.accept,
            d.accept,
        ),
        (
            Deadlines {
                finish: d.start,
                ..d.clone()
            },
            d.start,
            d.start,
        ),
        (
            Deadlines {
                settle: d.finish + 49,
                ..d.clone()
            },
            d.finish + 50,
            d.finish + 49,
        ),
        (
            Deadlines {
                accept: u64::MAX,
                ..d.clone()
            },
            u64::MAX,
            d.start,
        ),
    ] {
        let expected = IEscrow::DeadlinesNotAscending { earlier, later };
        assert_eq!(refused(with(deadlines)), expected.into());
    }
    assert!(
        derive(with(Deadlines {
            settle: d.finish + 50,
            ..d
        }))
        .is_ok()
    );
}

#[test]
fn derive_errors_when_an_amount_or_the_total_overflows() {
    let mut wanted = request();
    wanted.legs[3].offer.price = U256::MAX / U256::from(600) + U256::from(1);
    assert_eq!(refused(wanted), invalid_leg(3, "amount"));
    let mut wanted = request();
    wanted.legs[0].offer.price = U256::MAX;
    assert_eq!(refused(wanted), invalid("total"));
    assert_eq!(
        refused(Request {
            bond: U256::MAX,
            ..request()
        }),
        invalid("total")
    );
    assert_eq!(
        refused(Request {
            oracleFee: U256::MAX,
            ..request()
        }),
        invalid("total")
    );
    let rest = U256::MAX - U256::from(1_000 + 2_000 + 1_800 + 51 + 48 + 120);
    assert!(
        derive(Request {
            bond: rest,
            ..request()
        })
        .is_ok(),
        "exactly a word"
    );
    let more = rest + U256::from(1);
    assert_eq!(
        refused(Request {
            bond: more,
            ..request()
        }),
        invalid("total")
    );
}

#[test]
fn derive_errors_when_a_fee_is_above_its_limit_or_nobodys() {
    let fee = |recipient, rate| Fee { recipient, rate };
    let refused = |marketplace: &Fee, most, protocol: &Fee| {
        let wanted = Request {
            marketplaceFee: marketplace.clone(),
            maxProtocolFee: most,
            ..request()
        };
        vouch_abi::terms::derive(&wanted, BUYER, protocol.clone(), NOW).err()
    };
    let none = Fee::default();
    for found in [
        fee(MARKETPLACE, 200_001),
        fee(MARKETPLACE, u32::MAX),
        fee(MARKETPLACE, 0),
        fee(Address::ZERO, 1),
    ] {
        let limit = 200_000;
        let expected = IOffers::InvalidFee {
            found: found.clone(),
            limit,
        };
        assert_eq!(refused(&found, 0, &none), Some(expected.into()));
    }
    assert_eq!(refused(&fee(MARKETPLACE, 200_000), 0, &none), None);
    // The governor raised the fee after the buyer had looked.
    let (found, limit) = (fee(TREASURY, 10_001), 10_000);
    let expected = IOffers::InvalidFee {
        found: found.clone(),
        limit,
    };
    assert_eq!(refused(&none, limit, &found), Some(expected.into()));
    assert_eq!(refused(&none, 10_001, &found), None);
}

#[test]
fn royalties_become_legs_behind_those_of_the_offers() {
    let mut wanted = request();
    wanted.legs[0].royalties = royalties();
    wanted.legs[0].offer.lineage = id::lineage(&royalties());
    let terms = derive(wanted).unwrap();
    let kinds: Vec<u8> = terms.legs.iter().map(|leg| leg.kind).collect();
    assert_eq!(kinds, [1, 2, 3, 4, 6, 6, 5, 5]);
    for (leg, royalty) in terms.legs[4..6].iter().zip(royalties()) {
        assert_eq!(leg.offer, terms.legs[0].offer);
        assert_eq!((leg.payee, leg.digest), (royalty.payee, royalty.digest));
        assert_eq!((leg.policy, leg.clauses), (B256::ZERO, 0));
    }
    assert_eq!(
        vouch_abi::terms::inputs(&terms),
        [[1; 32], [2; 32]].concat(),
        "no input of the session"
    );
}

#[test]
fn derive_errors_when_royalties_are_not_the_offers_or_cannot_be_paid() {
    let wanted = |named: Vec<Royalty>, brought: Vec<Royalty>| {
        let mut wanted = request();
        wanted.legs[1].offer.lineage = id::lineage(&named);
        wanted.legs[1].royalties = brought;
        wanted
    };
    let with = |change: fn(&mut Royalty)| {
        let mut changed = royalties();
        change(&mut changed[0]);
        changed
    };
    let (none, both) = (Vec::new(), royalties());
    for (named, brought) in [
        (both.clone(), none.clone()),
        (none, both.clone()),
        (both.clone(), both[..1].to_vec()),
        (both.clone(), both.iter().rev().cloned().collect()),
        (both.clone(), with(|royalty| royalty.rate -= 1)),
        (both.clone(), with(|royalty| royalty.payee = BUYER)),
    ] {
        assert_eq!(refused(wanted(named, brought)), invalid_leg(1, "royalties"));
    }
    // What the owner itself has named, and nobody could be paid.
    for changed in [
        with(|royalty| royalty.rate = 0),
        with(|royalty| royalty.rate = 300_001),
        with(|royalty| royalty.rate = u32::MAX),
        with(|royalty| royalty.payee = Address::ZERO),
    ] {
        let wanted = wanted(changed.clone(), changed);
        assert_eq!(refused(wanted), invalid_leg(1, "royalties"));
    }
    let half = with(|royalty| royalty.rate = 300_000);
    assert!(derive(wanted(half.clone(), half)).is_ok(), "together half");
}

#[test]
fn derive_errors_when_there_are_more_legs_than_a_verdict_or_an_order_has_room_for() {
    let offers = |count: u8| {
        let mut legs = vec![requested(4, 3)];
        for number in 1..count {
            let mut leg = requested(1, 1_000);
            leg.offer.salt = B256::repeat_byte(number);
            legs.push(leg);
        }
        legs
    };
    assert!(derive(with_legs(offers(8))).is_ok());
    assert_eq!(refused(with_legs(offers(9))), invalid("legs"));
    // With two fees there is room for six royalties.
    let many = |count: usize| {
        let mut legs = offers(8);
        let one = Royalty {
            rate: 1,
            ..royalties().remove(0)
        };
        legs[1].royalties = vec![one; count];
        legs[1].offer.lineage = id::lineage(&legs[1].royalties);
        with_legs(legs)
    };
    assert!(derive(many(6)).is_ok());
    assert_eq!(refused(many(7)), invalid("legs"));
}

#[test]
fn free_legs_are_allowed() {
    let terms = derive(with_legs(vec![requested(1, 0), requested(4, 0)])).unwrap();
    assert!(terms.legs.iter().all(|leg| leg.amount.is_zero()));
}

proptest! {
    #[test]
    fn every_field_of_the_terms_reaches_the_order_id(byte in 0..32_usize, bit in 0..8_u32) {
        let id = |terms: &Terms| id::order_id(1, TOKEN, terms);
        let mut changed = terms();
        changed.salt.0[byte] ^= 1 << bit;
        prop_assert_ne!(id(&changed), id(&terms()));
        let mut changed = terms();
        changed.legs[0].amount ^= U256::from(1) << (8 * byte as u32 + bit);
        prop_assert_ne!(id(&changed), id(&terms()));
    }
}
