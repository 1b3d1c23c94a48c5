//! The protocol's and marketplaces' shares used against buyers and sellers.

use alloy::primitives::{Address, B256, U256};
use vouch_abi::{Fee, IEscrow, IOffers, Offer, OrderRequest, Terms};
use vouch_laws::market::{
    BUYERS, DATASET_OWNER, DATASET_PRICE, FEE, GOVERNOR, LOCKED, MAX_DURATION, MINTED, MODEL_OWNER,
    MODEL_PRICE, Market, PROVIDER, RATE, STRANGER,
};
use vouch_laws::shares::{MARKETPLACE, TREASURY};
use vouch_protocol::Phase;
use vouch_protocol::clause::LegClauses;

use super::{balanced, refused, submit, tell};

const PRICES: u128 = LOCKED - FEE;

/// The governor sets the protocol's fee.
fn set(market: &mut Market, from: Address, fee: Fee) -> Result<(), vouch_laws::lab::Reverted> {
    let offers = market.offers;
    let call = IOffers::setProtocolFeeCall { fee };
    market.lab.tell(from, offers, &call).map(|_| ())
}

fn fee(recipient: Address, rate: u32) -> Fee {
    Fee { recipient, rate }
}

/// A market with a fee of 1 %, and an order with 5 % for a marketplace.
fn taxed() -> (Market, OrderRequest) {
    let mut market = Market::new();
    set(&mut market, GOVERNOR, fee(TREASURY, 10_000)).expect("a fee");
    let mut request = market.request(0, 0, 1);
    request.maxProtocolFee = 10_000;
    request.marketplaceFee = fee(MARKETPLACE, 50_000);
    (market, request)
}

/// Accepts, starts, and finishes ten seconds later.
fn run(market: &mut Market, terms: &Terms, order: B256, dataset_holds: bool) {
    let accept = IEscrow::acceptCall {
        terms: terms.clone(),
    };
    tell(market, PROVIDER, &accept).expect("accepted");
    let start = market.verdict(order, terms, Phase::Start, 1);
    submit(market, terms, &start).expect("started");
    market.lab.pass(10);
    let mut finish = market.verdict(order, terms, Phase::Finish, 1);
    if !dataset_holds {
        let mut held = LegClauses::from_be_bytes(finish.clauses.to_be_bytes());
        held.0[0] = 0;
        finish.clauses = U256::from_be_bytes(held.to_be_bytes());
    }
    submit(market, terms, &finish).expect("paid");
}

#[test]
fn sellers_get_their_prices_and_shares_come_on_top() {
    let (mut market, request) = taxed();
    let (order, terms) = market.place(BUYERS[0], request).expect("an order");
    assert_eq!(
        market.balance(0, BUYERS[0]),
        MINTED - LOCKED - PRICES / 100 - PRICES / 20
    );
    run(&mut market, &terms, order, true);
    let earned = DATASET_PRICE + MODEL_PRICE + 10 * RATE;
    for (who, amount) in [
        (DATASET_OWNER, DATASET_PRICE),
        (MODEL_OWNER, MODEL_PRICE),
        (PROVIDER, MINTED + 10 * RATE),
        (TREASURY, earned / 100),
        (MARKETPLACE, earned / 20),
        (
            BUYERS[0],
            MINTED - FEE - earned - earned / 100 - earned / 20,
        ),
    ] {
        assert_eq!(market.balance(0, who), amount, "{who}");
    }
    balanced(&mut market);
}

#[test]
fn nobody_shares_in_what_is_not_earned() {
    let (mut market, request) = taxed();
    let (order, terms) = market.place(BUYERS[0], request).expect("an order");
    run(&mut market, &terms, order, false);
    let earned = MODEL_PRICE + 10 * RATE;
    assert_eq!(market.balance(0, DATASET_OWNER), 0);
    assert_eq!(market.balance(0, TREASURY), earned / 100);
    assert_eq!(market.balance(0, MARKETPLACE), earned / 20);
    balanced(&mut market);
    // And a refund gives back the shares too.
    let (mut market, request) = taxed();
    let (_, terms) = market.place(BUYERS[0], request).expect("an order");
    market.lab.pass(u64::from(MAX_DURATION) * 1_000);
    tell(
        &mut market,
        STRANGER,
        &IEscrow::refundCall {
            terms: terms.clone(),
        },
    )
    .expect("refunded");
    assert_eq!(market.balance(0, BUYERS[0]), MINTED);
    tell(&mut market, STRANGER, &IEscrow::restoreCall { terms }).expect("restored");
    balanced(&mut market);
}

#[test]
fn a_fee_raised_in_front_of_an_order_stops_it() {
    let (mut market, request) = taxed();
    set(&mut market, GOVERNOR, fee(TREASURY, 10_001)).expect("a higher fee");
    refused::<IOffers::InvalidFee>(market.place(BUYERS[0], request), "more than agreed");
    assert_eq!(market.balance(0, BUYERS[0]), MINTED);
}

#[test]
fn an_order_keeps_the_fee_it_was_placed_under() {
    let (mut market, request) = taxed();
    let (order, terms) = market.place(BUYERS[0], request).expect("an order");
    set(&mut market, GOVERNOR, fee(STRANGER, 50_000)).expect("a higher fee");
    run(&mut market, &terms, order, true);
    assert_eq!(market.balance(0, STRANGER), 0);
    let earned = DATASET_PRICE + MODEL_PRICE + 10 * RATE;
    assert_eq!(market.balance(0, TREASURY), earned / 100);
}

#[test]
fn fees_are_the_governors_and_within_their_limits() {
    let (mut market, request) = taxed();
    refused::<IOffers::NotGovernor>(set(&mut market, STRANGER, fee(STRANGER, 1)), "a stranger's");
    for (what, wrong) in [
        ("above 5 %", fee(TREASURY, 50_001)),
        ("nobody's", fee(Address::ZERO, 1)),
        ("of nothing", fee(TREASURY, 0)),
    ] {
        refused::<IOffers::InvalidFee>(set(&mut market, GOVERNOR, wrong), what);
    }
    for (what, wrong) in [
        ("above 20 %", fee(MARKETPLACE, 200_001)),
        ("nobody's", fee(Address::ZERO, 1)),
        ("of nothing", fee(MARKETPLACE, 0)),
    ] {
        let request = OrderRequest {
            marketplaceFee: wrong,
            ..request.clone()
        };
        refused::<IOffers::InvalidFee>(market.place(BUYERS[0], request), what);
    }
    set(&mut market, GOVERNOR, Fee::default()).expect("no fee");
    market.place(BUYERS[0], request).expect("an order");
}

#[test]
fn a_share_cannot_be_offered() {
    let mut market = Market::new();
    let mut request = market.request(0, 0, 1);
    let offer = Offer {
        kind: 5,
        owner: STRANGER,
        ..request.legs[1].offer.clone()
    };
    let publish = IOffers::publishCall {
        offer: offer.clone(),
        uri: "ipfs://x".into(),
    };
    let offers = market.offers;
    refused::<IOffers::InvalidOffer>(market.lab.tell(STRANGER, offers, &publish), "published");
    request.legs[1].offer = offer;
    refused::<IEscrow::InvalidLeg>(market.place(BUYERS[0], request), "ordered");
}
