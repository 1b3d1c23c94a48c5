//! Amounts at the ends of their ranges.

use alloy::primitives::{B256, U256};
use vouch_abi::{IEscrow, IOffers, LegRequest, Offer, OrderRequest, Terms};
use vouch_laws::market::{BUYERS, DATASET_OWNER, GOVERNOR, Market, PROVIDER, STRANGER};
use vouch_protocol::Phase;

use super::{balanced, refused, running, submit, tell};

/// Publishes the same offer at another price.
fn at_price(market: &mut Market, leg: &LegRequest, price: U256) -> LegRequest {
    let offer = Offer {
        price,
        salt: B256::from(price),
        ..leg.offer.clone()
    };
    let publish = IOffers::publishCall {
        offer: offer.clone(),
        uri: "ipfs://x".into(),
    };
    let offers = market.offers;
    market
        .must(offer.owner, offers, &publish)
        .expect("published");
    LegRequest {
        offer,
        ..leg.clone()
    }
}

/// A request in which leg `index` has another price.
fn priced(market: &mut Market, index: usize, price: U256) -> OrderRequest {
    let mut request = market.request(0, 0, 1);
    request.legs[index] = at_price(market, &request.legs[index].clone(), price);
    request
}

#[test]
fn sums_that_do_not_fit_are_refused() {
    let mut market = Market::new();
    let most = U256::MAX;
    let rate = most / U256::from(600) + U256::from(1);
    let request = priced(&mut market, 2, rate);
    refused::<IEscrow::InvalidLeg>(market.place(BUYERS[0], request), "rate times seconds");
    for price in [most, most - U256::from(3_000)] {
        let request = priced(&mut market, 0, price);
        refused::<IEscrow::InvalidOrder>(market.place(BUYERS[0], request), "sum of legs");
    }
    let mut request = market.request(0, 0, 1);
    request.bond = most;
    refused::<IEscrow::InvalidOrder>(market.place(BUYERS[0], request), "bond on top");
    let mut request = market.request(0, 0, 1);
    request.oracleFee = most;
    refused::<IEscrow::InvalidOrder>(market.place(BUYERS[0], request), "fee on top");
    let mut request = market.request(0, 0, 1);
    (request.deadlines.finish, request.deadlines.settle) = (u64::MAX - 1, u64::MAX);
    request.challengeWindow = 2;
    refused::<IEscrow::InvalidOrder>(market.place(BUYERS[0], request), "window past the end");
    balanced(&mut market);
}

/// The largest sum that fits passes every check but the token's.
#[test]
fn the_largest_order_is_refused_by_its_token_only() {
    let mut market = Market::new();
    let rest = U256::from(2_000 + 3 * 600 + 50 + 500);
    let request = priced(&mut market, 0, U256::MAX - rest);
    let placed = market.place(BUYERS[0], request);
    let data = placed.expect_err("nobody has that much");
    assert!(!data.is_empty(), "refused with a reason");
    balanced(&mut market);
}

/// Deadlines as far away as can be: nothing wraps around.
#[test]
fn deadlines_at_the_end_of_time_are_deadlines() {
    let mut market = Market::new();
    let mut request = market.request(0, 0, 1);
    request.deadlines.accept = u64::MAX - 3;
    request.deadlines.start = u64::MAX - 2;
    request.deadlines.finish = u64::MAX - 1;
    request.deadlines.settle = u64::MAX;
    let (_, terms) = market.place(BUYERS[0], request).expect("an order");
    // No longer than a program stays activated.
    market.lab.pass(300 * 86_400);
    let refund = IEscrow::refundCall { terms };
    refused::<IEscrow::DeadlineNotPassed>(tell(&mut market, STRANGER, &refund), "early");
}

/// One unit for each, a fee that does not divide: everything arrives, nothing is left over.
#[test]
fn dust_is_paid_to_the_unit() {
    let mut market = Market::new();
    let mut request = market.request(0, 0, 1);
    for index in 0..3 {
        request.legs[index] = at_price(&mut market, &request.legs[index].clone(), U256::from(1));
    }
    request.bond = U256::from(1);
    request.oracleFee = U256::from(11);
    let (order, terms) = market.place(BUYERS[0], request).expect("an order");
    run_to_the_end(&mut market, order, &terms, 0);
    assert_eq!(market.balance(0, DATASET_OWNER), 1);
    let shares: Vec<u128> = (0..2)
        .map(|n| {
            market
                .credit(0, market.keys[n].address())
                .expect("an answer")
        })
        .collect();
    assert_eq!(shares, [6, 5], "the rest is the first signer's");
    for n in 0..2 {
        let (signer, token) = (market.keys[n].address(), market.tokens[0]);
        tell(&mut market, signer, &IEscrow::withdrawCall { token }).expect("withdrawn");
    }
    assert_eq!(market.balance(0, market.escrow), 0);
}

/// Nothing to pay is nothing to transfer: such an order works like any other.
#[test]
fn amounts_of_zero_are_amounts() {
    let mut market = Market::new();
    let fee = vouch_abi::IAttestation::setFeeCall { fee: U256::ZERO };
    market
        .must(GOVERNOR, market.attestation, &fee)
        .expect("no fee");
    let mut request = market.request(0, 0, 1);
    for index in 0..3 {
        request.legs[index] = at_price(&mut market, &request.legs[index].clone(), U256::ZERO);
    }
    request.bond = U256::ZERO;
    request.oracleFee = U256::ZERO;
    // Not even a token that always fails is in the way.
    market
        .misbehave(0, 1, STRANGER, Default::default())
        .expect("a mode");
    let (order, terms) = market.place(BUYERS[0], request).expect("an order");
    run_to_the_end(&mut market, order, &terms, 60);
    assert_eq!(market.state(order).expect("an answer"), 5);
    for account in [DATASET_OWNER, PROVIDER, market.keys[0].address()] {
        assert_eq!(market.credit(0, account).expect("an answer"), 0);
    }
    let token = market.tokens[0];
    refused::<IEscrow::NothingToWithdraw>(
        tell(&mut market, PROVIDER, &IEscrow::withdrawCall { token }),
        "withdrawing nothing",
    );
    balanced(&mut market);
}

fn run_to_the_end(market: &mut Market, order: B256, terms: &Terms, seconds: u64) {
    let accept = IEscrow::acceptCall {
        terms: terms.clone(),
    };
    tell(market, PROVIDER, &accept).expect("accepted");
    let start = market.verdict(order, terms, Phase::Start, 1);
    submit(market, terms, &start).expect("started");
    market.lab.pass(seconds);
    let finish = market.verdict(order, terms, Phase::Finish, 1);
    submit(market, terms, &finish).expect("finished");
}

/// More attested time than was paid for pays what was paid for.
#[test]
fn compute_is_paid_up_to_what_was_locked() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    market.lab.pass(999);
    let before = market.balance(0, PROVIDER);
    let finish = market.verdict(order, &terms, Phase::Finish, 2);
    submit(&mut market, &terms, &finish).expect("paid");
    assert_eq!(market.balance(0, PROVIDER) - before, 3 * 600 + 500);
    balanced(&mut market);
}
