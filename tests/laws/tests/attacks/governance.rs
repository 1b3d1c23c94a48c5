//! Changes of the market that come too early, twice, otherwise than announced, or from inside.

use alloy::primitives::{Address, Bytes, U256};
use alloy::sol_types::SolCall;
use vouch_abi::{IGovernance, IToken};
use vouch_laws::lab::{Done, Reverted};
use vouch_laws::market::{GOVERNOR, ITrouble, Market, STRANGER};
use vouch_laws::step::Mode;

use super::refused;

const DELAY: u64 = 3_600;

/// A governor with this delay, and calls of the first token it will make.
fn governed() -> (Market, Address, IGovernance::executeCall) {
    let mut market = Market::new();
    let governance = market.governance(DELAY).expect("a governor");
    let data = IToken::transferCall {
        to: STRANGER,
        value: U256::ZERO,
    };
    let execute = IGovernance::executeCall {
        target: market.tokens[0],
        data: data.abi_encode().into(),
    };
    (market, governance, execute)
}

fn schedule(market: &mut Market, governance: Address, call: &IGovernance::executeCall) -> Done {
    let schedule = IGovernance::scheduleCall {
        target: call.target,
        data: call.data.clone(),
    };
    market
        .must(GOVERNOR, governance, &schedule)
        .expect("scheduled")
}

fn tell(market: &mut Market, governance: Address, call: &impl SolCall) -> Result<Done, Reverted> {
    market.lab.tell(STRANGER, governance, call)
}

#[test]
fn a_change_is_not_made_early_twice_or_otherwise_than_announced() {
    let (mut market, governance, execute) = governed();
    refused::<IGovernance::NotScheduled>(tell(&mut market, governance, &execute), "unannounced");
    schedule(&mut market, governance, &execute);
    refused::<IGovernance::TooEarly>(tell(&mut market, governance, &execute), "at once");
    market.lab.pass(DELAY - 1);
    refused::<IGovernance::TooEarly>(tell(&mut market, governance, &execute), "a second early");
    market.lab.pass(1);
    let mut other = execute.clone();
    other.data = [&execute.data[..], &[0]].concat().into();
    refused::<IGovernance::NotScheduled>(tell(&mut market, governance, &other), "other bytes");
    tell(&mut market, governance, &execute).expect("in time");
    refused::<IGovernance::NotScheduled>(tell(&mut market, governance, &execute), "again");
}

#[test]
fn a_cancelled_change_is_not_made() {
    let (mut market, governance, execute) = governed();
    let done = schedule(&mut market, governance, &execute);
    let event: IGovernance::OperationScheduled = done.event().expect("an event");
    let cancel = IGovernance::cancelCall {
        operation: event.operation,
    };
    refused::<IGovernance::NotOwner>(tell(&mut market, governance, &cancel), "by a stranger");
    market
        .must(GOVERNOR, governance, &cancel)
        .expect("cancelled");
    market.lab.pass(DELAY);
    refused::<IGovernance::NotScheduled>(tell(&mut market, governance, &execute), "cancelled");
}

#[test]
fn a_target_that_reenters_finds_nothing_to_execute() {
    let (mut market, governance, execute) = governed();
    schedule(&mut market, governance, &execute);
    market.lab.pass(DELAY);
    let again: Bytes = execute.abi_encode().into();
    market
        .misbehave(0, Mode::Reenters as u8, governance, again)
        .expect("a mode");
    tell(&mut market, governance, &execute).expect("executed, once");
    let token = market.tokens[0];
    let entered = market.lab.ask(token, &ITrouble::reenteredCall {});
    assert!(!entered.expect("an answer"), "executed from inside");
}

#[test]
fn a_change_that_its_target_refuses_can_be_tried_again() {
    let (mut market, governance, execute) = governed();
    schedule(&mut market, governance, &execute);
    market.lab.pass(DELAY);
    let set = |mode: Mode, market: &mut Market| {
        market
            .misbehave(0, mode as u8, STRANGER, Bytes::new())
            .expect("a mode");
    };
    set(Mode::Reverts, &mut market);
    refused::<IGovernance::CallFailed>(tell(&mut market, governance, &execute), "refused");
    set(Mode::Honest, &mut market);
    tell(&mut market, governance, &execute).expect("the second try");
}

#[test]
fn the_market_cannot_be_taken_or_given_to_nobody() {
    let (mut market, governance, _) = governed();
    let accept = IGovernance::acceptOwnershipCall {};
    refused::<IGovernance::NotProposed>(tell(&mut market, governance, &accept), "unproposed");
    // Where nobody is proposed the zero address is not somebody.
    let nobody = market.lab.tell(Address::ZERO, governance, &accept);
    refused::<IGovernance::NotProposed>(nobody, "by the zero address");
    let propose = IGovernance::proposeOwnerCall {
        account: Address::ZERO,
    };
    refused::<vouch_abi::IContract::ZeroAddress>(
        market.lab.tell(GOVERNOR, governance, &propose),
        "nobody",
    );
    let owner = market.lab.ask(governance, &IGovernance::ownerCall {});
    assert_eq!(owner.expect("an answer"), GOVERNOR);
}
