//! Arithmetic at its boundaries, to the unit: the largest that fits is taken, one more is refused and not
//! wrapped.

use alloy::primitives::{Address, B256, U256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolError};
use vouch_abi::{
    Fee, IAttestation, IBonds, IEscrow, IGovernance, IOffers, IToken, IUsage, LegRequest, Offer,
    OrderRequest, Policy, id,
};
use vouch_client::batch::Batch;
use vouch_client::verdict::{self, Signed};
use vouch_laws::lab::{Reverted, is_error};
use vouch_laws::market::{BUYERS, GOVERNOR, ITrouble, MINTED, Market, PROVIDER, STRANGER};
use vouch_laws::testvm::{ATTESTATION, BONDS, ESCROW, GOVERNANCE, Machines, OFFERS, TOKENS, USAGE};
use vouch_laws::world::World;
use vouch_protocol::{Clause, Clauses, Phase};

use super::{refused, tell};

/// Half of all words.
const HALF: U256 = U256::from_limbs([0, 0, 0, 1 << 63]);

/// A market whose first buyer has all of the first token that there can be.
fn rich() -> Market {
    let mut market = Market::new();
    let mint = ITrouble::mintCall {
        to: BUYERS[0],
        value: U256::MAX - U256::from(3 * MINTED),
    };
    market
        .must(GOVERNOR, market.tokens[0], &mint)
        .expect("minted");
    market
}

/// A request in which the dataset has this price.
fn priced(market: &mut Market, price: U256, salt: u64) -> OrderRequest {
    let mut request = market.request(0, 0, salt);
    let offer = Offer {
        price,
        salt: B256::from(price),
        ..request.legs[0].offer.clone()
    };
    let publish = IOffers::publishCall {
        offer: offer.clone(),
        uri: String::new(),
    };
    // A second order is under the same offer.
    let _ = market.lab.tell(offer.owner, market.offers, &publish);
    request.legs[0] = LegRequest {
        offer,
        ..request.legs[0].clone()
    };
    request
}

fn owed(market: &mut Market) -> U256 {
    let (escrow, token) = (market.escrow, market.tokens[0]);
    let owed = market.lab.ask(escrow, &IEscrow::owedCall { token });
    owed.expect("an answer")
}

#[test]
fn what_is_owed_of_a_token_fits_a_word() {
    let mut market = rich();
    let request = priced(&mut market, HALF, 1);
    market
        .place(BUYERS[0], request.clone())
        .expect("half of it");
    let before = owed(&mut market);

    // Another half, as an order or as two in one call.
    let other = OrderRequest {
        salt: B256::with_last_byte(2),
        ..request.clone()
    };
    refused::<IEscrow::InvalidOrder>(market.place(BUYERS[0], other.clone()), "the other half");
    let many = IEscrow::placeManyCall {
        request,
        salts: [3, 4].map(B256::with_last_byte).to_vec(),
    };
    refused::<IEscrow::InvalidOrder>(tell(&mut market, BUYERS[0], &many), "two halves");

    // As a bond: the order is not taken, and is refunded like any other.
    let mut bonded = market.request(0, 0, 5);
    bonded.bond = HALF;
    let (_, terms) = market.place(BUYERS[0], bonded).expect("placed");
    let accept = IEscrow::acceptCall {
        terms: terms.clone(),
    };
    refused::<IEscrow::InvalidOrder>(tell(&mut market, PROVIDER, &accept), "its bond");
    market.lab.pass(1_001);
    tell(&mut market, STRANGER, &IEscrow::refundCall { terms }).expect("refunded");
    assert_eq!(owed(&mut market), before);
}

#[test]
fn shares_of_the_largest_sum_that_can_be_split_fit_and_of_the_next_are_refused() {
    let mut market = rich();
    let rate = 200_000;
    let rest = U256::from(2_000 + 3 * 600);
    let most = U256::MAX / U256::from(rate) - rest;
    for (price, fits) in [(most, true), (most + U256::from(1), false)] {
        let mut request = priced(&mut market, price, 1);
        request.marketplaceFee = Fee {
            recipient: STRANGER,
            rate,
        };
        let found = market.clone().place(BUYERS[0], request);
        match fits {
            true => {
                let (_, terms) = found.expect("placed");
                let prices = price + rest;
                let share = prices * U256::from(rate) / U256::from(1_000_000);
                assert_eq!(terms.legs[3].amount, share);
            }
            false => refused::<IEscrow::InvalidOrder>(found, "one more"),
        }
    }
}

#[test]
fn the_sum_of_everything_an_order_may_lock_fits_to_the_unit() {
    let mut market = rich();
    let rest = U256::from(1_000 + 2_000 + 3 * 600 + 50);
    for (bond, fits) in [
        (U256::MAX - rest, true),
        (U256::MAX - rest + U256::from(1), false),
    ] {
        let mut request = market.request(0, 0, 1);
        request.bond = bond;
        let found = market.place(BUYERS[0], request);
        match fits {
            true => drop(found.expect("placed")),
            false => refused::<IEscrow::InvalidOrder>(found, "one more"),
        }
    }
}

/// Tells a contract something as the escrow.
fn as_escrow(machines: &Machines, to: Address, call: &impl SolCall) -> Result<(), Reverted> {
    machines
        .machine
        .send(ESCROW, to, &call.abi_encode())
        .map(drop)
}

#[test]
fn counts_of_uses_end_at_their_limit_and_at_zero() {
    let machines = Machines::fresh();
    let limited = Clauses::NONE
        .with(Clause::MaxUses)
        .with(Clause::MaxUsesPerBuyer);
    let policy = Policy {
        any: Clauses::POLICY.without(limited).0,
        maxUses: u64::MAX,
        maxUsesPerBuyer: u64::MAX,
        ..Policy::default()
    };
    let mut request = machines.request(0, 0, 1);
    request.legs.truncate(1);
    request.legs[0].offer.policy = id::policy_id(&policy);
    request.legs[0].policy = policy.clone();
    let reserve = |count| IUsage::reserveCall {
        r#use: IUsage::Use {
            buyer: BUYERS[0],
            ..Default::default()
        },
        request: request.clone(),
        count,
    };
    let release = IUsage::releaseCall {
        ids: vec![id::policy_id(&policy)],
        clauses: vec![limited.0],
        buyer: BUYERS[0],
    };
    let uses = || {
        let policy = id::policy_id(&policy);
        let asked = machines.machine.ask(USAGE, &IUsage::usesCall { policy });
        asked.expect("an answer")
    };
    as_escrow(&machines, USAGE, &release).expect("of none, none");
    assert_eq!(uses(), 0);
    as_escrow(&machines, USAGE, &reserve(u64::MAX)).expect("all");
    for more in [1, u64::MAX] {
        let found = as_escrow(&machines, USAGE, &reserve(more));
        refused::<IUsage::UsesExhausted>(found, "one more");
    }
    assert_eq!(uses(), u64::MAX);
    as_escrow(&machines, USAGE, &release).expect("one back");
    as_escrow(&machines, USAGE, &reserve(1)).expect("and gone");
}

#[test]
fn volumes_end_at_what_a_listing_holds_and_at_zero() {
    let machines = Machines::fresh();
    let most = (1_u64 << 47) - 1;
    let mut request = machines.request(0, 0, 1);
    for leg in &mut request.legs {
        leg.offer.volume = u64::MAX;
        let publish = IOffers::publishCall {
            offer: leg.offer.clone(),
            uri: String::new(),
        };
        machines.must(leg.offer.owner, OFFERS, &publish);
    }
    request.maxProtocolFee = 10_000;
    let offer = id::offer_id(&request.legs[0].offer);
    let sell = |count| IOffers::sellCall {
        buyer: BUYERS[0],
        request: request.clone(),
        count,
    };
    let volume = || {
        let asked = machines
            .machine
            .ask(OFFERS, &IOffers::availableCall { offer });
        asked.expect("an answer").volume
    };
    let restore = IOffers::restoreCall {
        offers: vec![offer],
    };
    as_escrow(&machines, OFFERS, &restore).expect("not above");
    assert_eq!(volume(), most);
    for more in [most + 1, u64::MAX] {
        let found = as_escrow(&machines, OFFERS, &sell(more));
        refused::<IOffers::VolumeExhausted>(found, "more");
    }
    as_escrow(&machines, OFFERS, &sell(most)).expect("all");
    assert_eq!(volume(), 0);
    refused::<IOffers::VolumeExhausted>(as_escrow(&machines, OFFERS, &sell(1)), "one more");
}

/// The last place among the operators is the last bit of what is remembered of a batch.
#[test]
fn sixty_four_operators_sign_and_are_remembered_and_one_more_is_too_many() {
    let machines = Machines::fresh();
    let key = |n: u8| PrivateKeySigner::from_bytes(&B256::with_last_byte(n)).expect("a key");
    let mut keys: Vec<_> = (1..=64).map(key).collect();
    keys.sort_by_key(PrivateKeySigner::address);
    let addresses: Vec<Address> = keys.iter().map(PrivateKeySigner::address).collect();
    let change = |added: Vec<Address>| IAttestation::setOperatorsCall {
        added,
        removed: vec![],
        quorum: 64,
    };
    let known = &machines.signers()[..3];
    let others = addresses.iter().filter(|address| !known.contains(address));
    let all = change(others.copied().collect()).abi_encode();
    machines.govern(ATTESTATION, &all).expect("64");
    let one_more = change(vec![key(65).address()]).abi_encode();
    let found = machines.govern(ATTESTATION, &one_more).expect_err("65");
    let failed = IGovernance::CallFailed::abi_decode(&found).expect("the target's reason");
    assert!(is_error::<IAttestation::TooManyOperators>(&failed.reason));

    let domain = verdict::domain(machines.chain_id(), ATTESTATION);
    let verdicts = [1, 2].map(|order| vouch_abi::Verdict {
        order: B256::with_last_byte(order),
        phase: Phase::Start as u8,
        ..Default::default()
    });
    let digests = verdicts
        .each_ref()
        .map(|said| verdict::digest(said, &domain));
    let batch = Batch::new(digests).expect("verdicts");
    let root = batch.digest(&domain);
    let signed = keys
        .iter()
        .map(|key| Signed::new(root, key).expect("signed"));
    let [first, _] = verdicts;
    let admit = IAttestation::admitCall {
        verdict: first,
        signatures: batch.signatures(0, signed.collect()).expect("the first"),
        busyUntil: 0,
    };
    as_escrow(&machines, ATTESTATION, &admit).expect("admitted");
    let proof = IAttestation::signersOfCall {
        digest: digests[1],
        signatures: batch.signatures(1, vec![]).expect("the second"),
    };
    let signers = machines.machine.ask(ATTESTATION, &proof);
    assert_eq!(signers.expect("remembered"), addresses);
}

/// Times do not wrap: what would be after the end of time is at its end.
#[test]
fn delays_at_the_end_of_time_end_there() {
    let mut machines = Machines::fresh();
    machines.pass(u64::MAX - machines.now() - 5);
    let amount = U256::from(5);
    let approve = IToken::approveCall {
        spender: BONDS,
        value: amount,
    };
    machines.must(PROVIDER, TOKENS[0], &approve);
    let operator = PROVIDER;
    machines.must(PROVIDER, BONDS, &IBonds::bondCall { operator, amount });
    machines.must(PROVIDER, BONDS, &IBonds::unbondCall { amount });
    let bond = IBonds::bondOfCall { operator };
    let bond = machines.machine.ask(BONDS, &bond).expect("an answer");
    assert_eq!((bond.leaving, bond.until), (amount, u64::MAX));
    let withdraw = IBonds::withdrawCall {}.abi_encode();
    let early = machines.machine.send(PROVIDER, BONDS, &withdraw);
    refused::<IBonds::StillBonded>(early, "before the end");
    machines.must(
        GOVERNOR,
        GOVERNANCE,
        &IGovernance::scheduleCall {
            target: ESCROW,
            data: IEscrow::setPausedCall { paused: true }.abi_encode().into(),
        },
    );
    machines.pass(5);
    machines.must(PROVIDER, BONDS, &IBonds::withdrawCall {});
    assert_eq!(machines.balance(0, Some(PROVIDER)), MINTED);
}
