//! How what an order locked is split.

use alloy_primitives::{Address, B256, U256};
use escrow::money::{Split, locked, shares};
use proptest::prelude::*;
use vouch_abi::{
    Terms, id,
    terms::{checked_scale, checked_share, checked_total, divide, extend},
};
use vouch_protocol::clause::{Clause, Clauses, LegClauses};

use crate::samples::*;

fn sum(amounts: impl IntoIterator<Item = U256>) -> U256 {
    amounts
        .into_iter()
        .fold(U256::ZERO, |sum, amount| sum + amount)
}

fn paid(terms: &Terms, clauses: U256, seconds: u64) -> Vec<u64> {
    let split = Split::earned(terms, clauses, 500, 500 + seconds);
    split.paid.iter().map(|amount| amount.to()).collect()
}

/// What four legs earn, with what the sample's protocol (1 %) and marketplace (2.5 %) get on top of it.
fn with_shares(legs: [u64; 4]) -> Vec<u64> {
    let sum: u64 = legs.iter().sum();
    [&legs[..], &[sum / 100, sum * 25 / 1_000]].concat()
}

fn without(leg: usize, clause: Clause) -> U256 {
    let mut held = [u32::MAX; 8];
    held[leg] &= !clause.bit().0;
    U256::from_be_bytes(LegClauses(held).to_be_bytes())
}

#[test]
fn legs_whose_clauses_hold_are_paid_and_compute_by_the_second() {
    assert_eq!(
        paid(&terms(), all_clauses(), 10),
        with_shares([1_000, 2_000, 0, 30])
    );
    assert_eq!(
        paid(&terms(), all_clauses(), 600),
        with_shares([1_000, 2_000, 0, 1_800])
    );
    assert_eq!(
        paid(&terms(), all_clauses(), 601),
        with_shares([1_000, 2_000, 0, 1_800]),
        "never more"
    );
    assert_eq!(
        paid(&terms(), all_clauses(), 0),
        with_shares([1_000, 2_000, 0, 0])
    );
    assert_eq!(paid(&terms(), U256::ZERO, 10), with_shares([0, 0, 0, 0]));
}

#[test]
fn a_leg_is_not_paid_where_one_attested_clause_is_missing() {
    for clause in Clauses::POLICY.intersection(Clauses::ATTESTED).iter() {
        assert_eq!(
            paid(&terms(), without(0, clause), 10),
            with_shares([0, 2_000, 0, 30]),
            "{clause}"
        );
        assert_eq!(
            paid(&terms(), without(3, clause), 10),
            with_shares([1_000, 2_000, 0, 0]),
            "{clause}"
        );
    }
}

#[test]
fn clauses_the_chain_enforces_are_not_asked_of_a_verdict() {
    for clause in Clauses::ON_CHAIN.iter() {
        assert_eq!(
            paid(&terms(), without(0, clause), 10),
            with_shares([1_000, 2_000, 0, 30]),
            "{clause}"
        );
    }
}

#[test]
fn clauses_of_another_leg_pay_nobody() {
    let mut held = [u32::MAX; 8];
    held[0] = 0;
    let word = U256::from_be_bytes(LegClauses(held).to_be_bytes());
    assert_eq!(paid(&terms(), word, 10), with_shares([0, 2_000, 0, 30]));
}

#[test]
fn the_bond_goes_to_the_buyer_only_where_evidence_was_forged() {
    let [forged, policy] = [true, false].map(|forged| Split::rejected(&terms(), forged));
    let bond = U256::from(500);
    assert_eq!(
        (forged.bond_to_buyer, forged.bond_to_provider),
        (bond, U256::ZERO)
    );
    assert_eq!(
        (policy.bond_to_buyer, policy.bond_to_provider),
        (U256::ZERO, bond)
    );
    assert_eq!(
        forged.refund,
        U256::from(4_800 + 48 + 120),
        "without the oracle fee: operators earned it"
    );
    let split = Split::expired(&terms(), false, 0);
    assert_eq!(
        (split.refund, split.bond_to_provider),
        (U256::from(4_851 + 48 + 120), U256::ZERO)
    );
}

#[test]
fn heartbeats_are_paid_to_compute_alone_and_never_beyond_its_amount() {
    let all = Split::earned(&terms(), all_clauses(), 0, u64::MAX).paid;
    for (seconds, compute) in [(0, 0), (1, 3), (10, 30), (u64::MAX, 1_800)] {
        let earned = with_shares([0, 0, 0, compute]).into_iter().sum::<u64>();
        let split = Split::expired(&terms(), true, seconds);
        let paid: U256 = split.paid.iter().sum();
        assert_eq!(paid, U256::from(earned), "{seconds} s");
        assert_eq!(
            split.refund,
            U256::from(4_851 + 48 + 120 - earned),
            "{seconds} s"
        );
        assert_eq!(split.bond_to_provider, terms().bond);
        for (leg, (paid, most)) in split.paid.iter().zip(&all).enumerate() {
            assert!(paid.is_zero() || (paid <= most && terms().legs[leg].kind >= 4));
        }
    }
}

/// The sample with a model of which a twentieth is one parent's, and a fifth another's.
fn derived() -> Terms {
    let mut wanted = request();
    wanted.legs[1].royalties = royalties();
    wanted.legs[1].offer.lineage = id::lineage(&royalties());
    vouch_abi::terms::derive(&wanted, BUYER, protocol_fee(), NOW).unwrap()
}

#[test]
fn royalties_are_paid_out_of_the_price_where_the_rest_of_it_is() {
    let amounts: Vec<u64> = derived().legs.iter().map(|leg| leg.amount.to()).collect();
    assert_eq!(amounts, [1_000, 1_500, 0, 1_800, 100, 400, 48, 120]);
    assert_eq!(
        locked(&derived()),
        locked(&terms()),
        "the price is the same"
    );
    let with = |model, [one, other]: [u64; 2]| {
        let sum = 1_000 + model + 30 + one + other;
        vec![1_000, model, 0, 30, one, other, sum / 100, sum * 25 / 1_000]
    };
    assert_eq!(paid(&derived(), all_clauses(), 10), with(1_500, [100, 400]));
    // The royalties' own windows say nothing.
    let mut held = [u32::MAX; 8];
    (held[4], held[5]) = (0, 0);
    let word = U256::from_be_bytes(LegClauses(held).to_be_bytes());
    assert_eq!(paid(&derived(), word, 10), with(1_500, [100, 400]));
    let refused = without(1, Clause::Workload);
    assert_eq!(paid(&derived(), refused, 10), with(0, [0, 0]));
    let expired = Split::expired(&derived(), true, 10);
    assert_eq!(sum(expired.paid), U256::from(30), "compute alone");
}

#[test]
fn what_is_topped_up_is_locked_with_its_shares_and_earned_by_the_second() {
    let mut longer = derived();
    assert_eq!(extend(&mut longer, 0), Some(()));
    assert_eq!(longer, derived(), "nothing is nothing");
    assert_eq!(extend(&mut longer, 400), Some(()));
    let more = locked(&longer) - locked(&derived());
    assert_eq!(more, U256::from(1_200 + 12 + 30));
    for (seconds, compute) in [(600, 1_800), (601, 1_803), (1_000, 3_000), (1_001, 3_000)] {
        assert_eq!(
            paid(&longer, all_clauses(), seconds)[3],
            compute,
            "{seconds} s"
        );
    }
    // As if it had been ordered so.
    let mut wanted = request();
    wanted.maxDuration = 1_000;
    wanted.legs[1].royalties = royalties();
    wanted.legs[1].offer.lineage = id::lineage(&royalties());
    let ordered = vouch_abi::terms::derive(&wanted, BUYER, protocol_fee(), NOW).unwrap();
    assert_eq!(longer.legs, ordered.legs);
}

#[test]
fn extend_errors_when_the_total_does_not_fit() {
    let mut terms = terms();
    // Shares of so much would not fit.
    terms.legs.truncate(4);
    terms.legs[3].rate = U256::MAX / U256::from(601);
    assert_eq!(extend(&mut terms.clone(), 2), None, "the amount");
    terms.legs[3].rate = U256::MAX / U256::from(700);
    terms.bond = U256::MAX / U256::from(10);
    assert_eq!(extend(&mut terms, 90), Some(()));
    assert_eq!(checked_total(&terms), None, "with the bond");
}

#[test]
fn each_receiver_gets_one_transfer() {
    let split = Split::earned(&terms(), all_clauses(), 500, 510);
    let transfers = transfers(&split, &terms());
    // Of 3,030 the protocol gets 1 %, the marketplace 2.5 %, both rounded down.
    let expected = [
        (OWNER, 3_000),
        (PROVIDER, 530),
        (TREASURY, 30),
        (MARKETPLACE, 75),
        (BUYER, 4_800 + 48 + 120 - 3_030 - 30 - 75),
    ];
    assert_eq!(
        transfers,
        expected.map(|(to, amount)| (to, U256::from(amount)))
    );
}

#[test]
fn a_fee_is_shared_equally_and_the_rest_goes_to_the_first() {
    let of = |fee: u64, count| shares(U256::from(fee), count).collect::<Vec<_>>();
    assert_eq!(of(51, 3), [17, 17, 17].map(U256::from));
    assert_eq!(of(50, 3), [18, 16, 16].map(U256::from));
    assert_eq!(of(2, 3), [2, 0, 0].map(U256::from));
    assert!(of(7, 0).is_empty());
}

fn word() -> impl Strategy<Value = U256> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(U256::from_be_bytes),
        any::<u64>().prop_map(U256::from)
    ]
}

prop_compose! {
    /// Orders between few people, so that they often meet themselves.
    fn any_terms()(
        legs in prop::collection::vec((1..=3_u8, 0..4_u8, 0..1_000_u64), 0..7),
        rate in 0..100_u64, longest in 1..1_000_u64, bond in 0..1_000_u64, oracle_fee in 0..100_u64,
        provider in 0..4_u8, buyer in 0..4_u8,
        shares in prop::collection::vec((0..4_u8, 1..200_000_u32), 0..3),
        royalties in prop::collection::vec((0..7_usize, 0..4_u8, 1..250_000_u32), 0..3),
    ) -> Terms {
        let who = Address::with_last_byte;
        let mut all: Vec<_> = legs
            .into_iter()
            .map(|(kind, payee, amount)| leg(kind, who(payee), amount, 0))
            .collect();
        all.push(leg(4, who(provider), rate * longest, rate));
        for (index, leg) in (1..).zip(&mut all) {
            leg.offer = B256::with_last_byte(index);
        }
        for (index, payee, rate) in royalties {
            let flat = all.iter_mut().filter(|leg| leg.kind < 4);
            let prices: Vec<U256> = flat.map(|leg| leg.amount).collect();
            let Some(price) = prices.get(index) else {
                continue;
            };
            let amount = price * U256::from(rate) / U256::from(1_000_000);
            all[index].amount -= amount;
            let mut royalty = leg(6, who(payee), amount.to(), rate.into());
            (royalty.offer, royalty.clauses) = (all[index].offer, 0);
            all.push(royalty);
        }
        let price: u64 = all.iter().map(|leg| leg.amount.to::<u64>()).sum();
        let part = |rate: u32| price * u64::from(rate) / 1_000_000;
        all.extend(shares.into_iter().map(|(payee, rate)| leg(5, who(payee), part(rate), rate.into())));
        Terms {
            buyer: who(buyer),
            provider: who(provider),
            legs: all,
            bond: U256::from(bond),
            oracleFee: U256::from(oracle_fee),
            ..Default::default()
        }
    }
}

proptest! {
    #[test]
    fn every_way_out_pays_exactly_what_was_locked(
        terms in any_terms(), clauses in word(), start in 0..500_u64, seconds in 0..2_000_u64,
        bonded: bool, forged: bool,
    ) {
        let out = |split: &Split| sum(transfers(split, &terms).into_iter().map(|(_, amount)| amount));
        let with_bond = locked(&terms) + terms.bond;
        let earned = Split::earned(&terms, clauses, start, start + seconds);
        prop_assert_eq!(out(&earned) + terms.oracleFee, with_bond);
        prop_assert_eq!(out(&Split::rejected(&terms, forged)) + terms.oracleFee, with_bond);
        let expected = if bonded { with_bond } else { locked(&terms) };
        prop_assert_eq!(out(&Split::expired(&terms, bonded, seconds)), expected);
    }

    #[test]
    fn every_way_out_pays_what_was_topped_up_too(
        mut terms in any_terms(), clauses in word(), seconds in 0..2_000_u64, duration: u32,
    ) {
        terms.maxDuration = 1;
        prop_assert_eq!(extend(&mut terms, duration), Some(()));
        let out = |split: &Split| sum(transfers(split, &terms).into_iter().map(|(_, amount)| amount));
        let all = locked(&terms) + terms.bond;
        let earned = Split::earned(&terms, clauses, 0, seconds);
        prop_assert_eq!(out(&earned) + terms.oracleFee, all);
        prop_assert_eq!(out(&Split::expired(&terms, true, seconds)), all);
    }

    #[test]
    fn a_royalty_is_paid_whole_with_its_price_or_not_at_all(
        terms in any_terms(), clauses in word(), seconds in 0..2_000_u64,
    ) {
        let split = Split::earned(&terms, clauses, 0, seconds);
        for (leg, paid) in terms.legs.iter().zip(&split.paid).filter(|(leg, _)| leg.kind == 6) {
            let sold = terms.legs.iter().position(|sold| sold.offer == leg.offer).unwrap();
            let expected = if split.paid[sold].is_zero() { U256::ZERO } else { leg.amount };
            prop_assert_eq!(*paid, expected);
        }
    }

    #[test]
    fn no_receiver_gets_two_transfers_and_none_gets_nothing(terms in any_terms(), clauses in word()) {
        let transfers = transfers(&Split::earned(&terms, clauses, 0, 9), &terms);
        for (i, (to, amount)) in transfers.iter().enumerate() {
            prop_assert!(!amount.is_zero());
            prop_assert!(transfers[..i].iter().all(|(other, _)| other != to));
        }
    }

    #[test]
    fn no_leg_earns_more_than_it_locked(terms in any_terms(), clauses in word(), seconds: u64) {
        let split = Split::earned(&terms, clauses, 0, seconds);
        prop_assert_eq!(split.paid.len(), terms.legs.len());
        for (leg, earned) in terms.legs.iter().zip(&split.paid) {
            prop_assert!(*earned <= leg.amount);
        }
    }

    #[test]
    fn shares_are_the_fee_and_nearly_equal(fee in word(), count in 1..100_u16) {
        let shares: Vec<U256> = shares(fee, count).collect();
        prop_assert_eq!(sum(shares.iter().copied()), fee);
        prop_assert!(shares[0] - shares[shares.len() - 1] < U256::from(count));
        prop_assert_eq!(shares[shares.len() - 1], fee / U256::from(count));
    }

    #[test]
    fn no_share_takes_of_what_a_payee_earns(terms in any_terms(), clauses in word(), seconds in 0..2_000_u64) {
        let mut free = terms.clone();
        free.legs.retain(|leg| leg.kind != 5);
        let [with, without] = [&terms, &free].map(|terms| Split::earned(terms, clauses, 0, seconds));
        let (earned, shares) = with.paid.split_at(free.legs.len());
        prop_assert_eq!(earned, without.paid.as_slice());
        let earned = sum(earned.iter().copied());
        for (leg, share) in terms.legs[free.legs.len()..].iter().zip(shares) {
            prop_assert_eq!(*share, earned * leg.rate / U256::from(1_000_000));
        }
    }

    #[test]
    fn dividing_is_division(dividend in word(), divisor in 1..1_u32 << 24) {
        prop_assert_eq!(divide(&dividend, divisor), dividend.div_rem(U256::from(divisor)));
    }

    #[test]
    fn a_share_is_checked(amount in word(), rate in 0..1_000_000_u32) {
        let expected = amount.checked_mul(U256::from(rate)).map(|all| all / U256::from(1_000_000));
        prop_assert_eq!(checked_share(&amount, rate), expected);
    }

    #[test]
    fn scaling_is_checked_multiplication(rate in word(), seconds: u64) {
        prop_assert_eq!(checked_scale(&rate, seconds), rate.checked_mul(U256::from(seconds)));
    }
}
