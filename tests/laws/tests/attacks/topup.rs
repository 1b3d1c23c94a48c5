//! Top-ups of what is over, of what overflows, by whom they are no business.

use alloy::primitives::{Address, B256};
use vouch_abi::{IEscrow, Terms};
use vouch_laws::lab::{Done, Reverted};
use vouch_laws::market::{
    BUYERS, DATASET_PRICE, FEE, LOCKED, MAX_DURATION, MINTED, MODEL_PRICE, Market, PACE, PROVIDER,
    RATE, STRANGER,
};
use vouch_laws::step::Mode;
use vouch_protocol::Phase;

use super::{accepted, balanced, placed, refused, running, submit, tell};

fn top_up(
    market: &mut Market,
    by: Address,
    terms: &Terms,
    duration: u32,
) -> Result<Done, Reverted> {
    let terms = terms.clone();
    tell(market, by, &IEscrow::topUpCall { terms, duration })
}

/// The order finishes after so many seconds.
fn finish(market: &mut Market, order: B256, terms: &Terms, seconds: u64) {
    market.lab.pass(seconds);
    let verdict = market.verdict(order, terms, Phase::Finish, 2);
    submit(market, terms, &verdict).expect("paid");
}

#[test]
fn what_is_topped_up_is_earned_by_the_second_and_the_rest_is_the_buyer_s() {
    let longest = u64::from(MAX_DURATION);
    for (seconds, earned) in [
        (longest - 1, longest - 1),
        (longest + 50, longest + 50),
        (800, 700),
    ] {
        let mut market = Market::new();
        let (order, terms) = running(&mut market, 1);
        // Somebody else's money becomes the buyer's where it is not earned.
        top_up(&mut market, BUYERS[1], &terms, 60).expect("topped up");
        top_up(&mut market, BUYERS[0], &terms, 40).expect("topped up again");
        assert_eq!(market.balance(0, BUYERS[1]), MINTED - 60 * RATE);
        balanced(&mut market);
        finish(&mut market, order, &terms, seconds);
        let compute = RATE * u128::from(earned);
        assert_eq!(market.balance(0, PROVIDER), MINTED + compute, "{seconds} s");
        let paid = DATASET_PRICE + MODEL_PRICE + FEE + compute;
        assert_eq!(
            market.balance(0, BUYERS[0]),
            MINTED + 60 * RATE - paid,
            "{seconds} s"
        );
        balanced(&mut market);
    }
}

#[test]
fn an_order_that_dies_gives_back_what_was_topped_up() {
    let mut market = Market::new();
    let (_, terms) = placed(&mut market, 1);
    top_up(&mut market, BUYERS[0], &terms, 100).expect("before anybody accepted");
    assert_eq!(market.balance(0, BUYERS[0]), MINTED - LOCKED - 100 * RATE);
    market.lab.pass(3 * PACE);
    let refund = IEscrow::refundCall {
        terms: terms.clone(),
    };
    tell(&mut market, STRANGER, &refund).expect("refunded");
    assert_eq!(market.balance(0, BUYERS[0]), MINTED);
    balanced(&mut market);
}

#[test]
fn nothing_is_topped_up_that_is_over_or_late() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    finish(&mut market, order, &terms, 5);
    refused::<IEscrow::WrongState>(top_up(&mut market, BUYERS[0], &terms, 1), "paid");
    let (_, late) = accepted(&mut market, 2);
    market.lab.pass(3 * PACE);
    refused::<IEscrow::DeadlinePassed>(top_up(&mut market, BUYERS[0], &late, 1), "late");
    let mut other = late.clone();
    other.legs[0].amount += alloy::primitives::U256::from(1);
    refused::<IEscrow::WrongState>(top_up(&mut market, BUYERS[0], &other, 1), "no order");
    balanced(&mut market);
}

#[test]
fn a_top_up_is_for_some_seconds_that_fit_and_are_paid() {
    let mut market = Market::new();
    let (_, terms) = running(&mut market, 1);
    refused::<IEscrow::InvalidOrder>(top_up(&mut market, BUYERS[0], &terms, 0), "nothing");
    let poor = top_up(&mut market, STRANGER, &terms, 1);
    assert!(poor.is_err(), "nobody's money");
    top_up(&mut market, BUYERS[0], &terms, 1).expect("topped up");
    refused::<IEscrow::InvalidOrder>(top_up(&mut market, BUYERS[0], &terms, u32::MAX), "too many");
    market
        .misbehave(0, Mode::TakesFee as u8, Address::ZERO, vec![].into())
        .expect("told");
    refused::<IEscrow::TokenRefused>(top_up(&mut market, BUYERS[0], &terms, 10), "a fee");
    balanced(&mut market);
}
