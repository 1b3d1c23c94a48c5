//! Disputes used against those who are to be paid, and resolvers who overreach.

use alloy::primitives::{Address, B256, Bytes, U256};
use vouch_abi::{IEscrow, Terms, Verdict};
use vouch_laws::lab::{Done, Reverted};
use vouch_laws::market::{
    BOND, BUYERS, DATASET_OWNER, FEE, GOVERNOR, LOCKED, MINTED, MODEL_OWNER, Market, PROVIDER,
    STRANGER,
};
use vouch_laws::step::Mode;
use vouch_protocol::{Phase, Reason};

use super::{balanced, refused, submit, tell};

const RESOLVER: Address = Address::repeat_byte(0xd1);
const WINDOW: u64 = 100;
const WEEK: u64 = 604_800;
/// An eighth of the prices.
const STAKE: u128 = (LOCKED - FEE) / 8;

fn forged() -> u16 {
    Reason::GpuSignatureInvalid.code()
}

fn appoint(market: &mut Market, resolver: Address) {
    tell(market, GOVERNOR, &IEscrow::setResolverCall { resolver }).expect("appointed");
}

/// A finished order whose window has just opened, and the verdict that finished it.
fn finished(market: &mut Market) -> (Terms, Verdict) {
    let request = market.request(0, WINDOW, 1);
    let (order, terms) = market.place(BUYERS[0], request).expect("an order");
    let accept = IEscrow::acceptCall {
        terms: terms.clone(),
    };
    tell(market, PROVIDER, &accept).expect("accepted");
    let start = market.verdict(order, &terms, Phase::Start, 1);
    submit(market, &terms, &start).expect("started");
    let finish = market.verdict(order, &terms, Phase::Finish, 1);
    submit(market, &terms, &finish).expect("finished");
    (terms, finish)
}

/// The same, disputed by somebody.
fn disputed(market: &mut Market, by: Address) -> (Terms, Verdict) {
    appoint(market, RESOLVER);
    let (terms, verdict) = finished(market);
    dispute(market, by, &terms, forged()).expect("disputed");
    (terms, verdict)
}

fn dispute(market: &mut Market, by: Address, terms: &Terms, reason: u16) -> Result<Done, Reverted> {
    let call = IEscrow::disputeCall {
        terms: terms.clone(),
        evidence: B256::ZERO,
        reason,
    };
    tell(market, by, &call)
}

fn resolve(
    market: &mut Market,
    by: Address,
    (terms, verdict): &(Terms, Verdict),
    reason: u16,
) -> Result<Done, Reverted> {
    let call = IEscrow::resolveCall {
        terms: terms.clone(),
        verdict: verdict.clone(),
        reason,
    };
    tell(market, by, &call)
}

fn refund(market: &mut Market, terms: &Terms) -> Result<Done, Reverted> {
    let terms = terms.clone();
    tell(market, STRANGER, &IEscrow::refundCall { terms })
}

/// Without anybody who decides, whoever has the result could take back the price by waiting a week.
#[test]
fn a_dispute_that_nobody_would_decide_is_refused() {
    let mut market = Market::new();
    let (terms, _) = finished(&mut market);
    refused::<IEscrow::NoResolver>(
        dispute(&mut market, BUYERS[0], &terms, forged()),
        "no resolver",
    );
    appoint(&mut market, RESOLVER);
    for undecided in [0, Reason::ManifestMissing.code(), 99, u16::MAX] {
        refused::<IEscrow::NoRejection>(
            dispute(&mut market, BUYERS[0], &terms, undecided),
            "a dispute that claims nothing",
        );
    }
    balanced(&mut market);
}

#[test]
fn griefing_by_disputing_costs_the_stake_and_pays_those_who_waited() {
    let mut market = Market::new();
    let deal = disputed(&mut market, BUYERS[1]);
    let bond = IEscrow::disputeBondOfCall {
        terms: deal.0.clone(),
    };
    let escrow = market.escrow;
    assert_eq!(market.lab.ask(escrow, &bond).unwrap(), U256::from(STAKE));
    assert_eq!(market.balance(0, BUYERS[1]), MINTED - STAKE);
    resolve(&mut market, RESOLVER, &deal, 0).expect("the verdict stands");
    assert_eq!(market.balance(0, BUYERS[1]), MINTED - STAKE);
    assert_eq!(market.balance(0, DATASET_OWNER), 1_000 + STAKE / 3);
    assert_eq!(market.balance(0, MODEL_OWNER), 2_000 + STAKE / 3);
    assert_eq!(market.balance(0, PROVIDER), MINTED + STAKE / 3);
    balanced(&mut market);
}

#[test]
fn a_dispute_after_the_window_is_refused() {
    let mut market = Market::new();
    appoint(&mut market, RESOLVER);
    let (terms, verdict) = finished(&mut market);
    market.lab.pass(WINDOW - 1);
    dispute(&mut market.clone(), BUYERS[0], &terms, forged()).expect("the last second");
    market.lab.pass(1);
    refused::<IEscrow::WindowClosed>(
        dispute(&mut market, BUYERS[0], &terms, forged()),
        "a second late",
    );
    let settle = IEscrow::settleCall {
        terms: terms.clone(),
        verdict,
    };
    tell(&mut market, STRANGER, &settle).expect("settled");
    refused::<IEscrow::WrongState>(
        dispute(&mut market, BUYERS[0], &terms, forged()),
        "a settled order",
    );
}

#[test]
fn an_order_is_disputed_once() {
    let mut market = Market::new();
    let deal = disputed(&mut market, BUYERS[1]);
    refused::<IEscrow::WrongState>(
        dispute(&mut market, BUYERS[0], &deal.0, forged()),
        "a second challenger",
    );
    resolve(&mut market, RESOLVER, &deal, 0).expect("the verdict stands");
    refused::<IEscrow::WrongState>(
        dispute(&mut market, BUYERS[0], &deal.0, forged()),
        "after the first",
    );
}

#[test]
fn a_disputed_order_is_neither_settled_nor_refunded_by_others() {
    let mut market = Market::new();
    let deal = disputed(&mut market, BUYERS[0]);
    let settle = IEscrow::settleCall {
        terms: deal.0.clone(),
        verdict: deal.1.clone(),
    };
    market.lab.pass(WINDOW);
    refused::<IEscrow::WrongState>(tell(&mut market, STRANGER, &settle), "settled");
    refused::<IEscrow::DeadlineNotPassed>(refund(&mut market, &deal.0), "refunded");
    refused::<IEscrow::WrongState>(submit(&mut market, &deal.0, &deal.1), "a verdict");
    for other in [STRANGER, GOVERNOR, PROVIDER, BUYERS[0]] {
        refused::<IEscrow::NotResolver>(
            resolve(&mut market, other, &deal, forged()),
            "resolved by another",
        );
    }
    balanced(&mut market);
}

#[test]
fn a_resolver_decides_once_in_time_and_about_one_verdict() {
    let mut market = Market::new();
    let deal = disputed(&mut market, BUYERS[1]);
    let other = Verdict {
        attempt: 7,
        ..deal.1.clone()
    };
    refused::<IEscrow::VerdictMismatch>(
        resolve(&mut market, RESOLVER, &(deal.0.clone(), other), forged()),
        "another verdict",
    );
    refused::<IEscrow::Inconclusive>(
        resolve(&mut market, RESOLVER, &deal, Reason::ManifestMissing.code()),
        "undecided",
    );
    let mut late = market.clone();
    late.lab.pass(WEEK);
    resolve(&mut late.clone(), RESOLVER, &deal, forged()).expect("the last second");
    late.lab.pass(1);
    refused::<IEscrow::DeadlinePassed>(
        resolve(&mut late, RESOLVER, &deal, forged()),
        "a second late",
    );
    resolve(&mut market, RESOLVER, &deal, forged()).expect("resolved");
    for again in [0, forged()] {
        refused::<IEscrow::WrongState>(resolve(&mut market, RESOLVER, &deal, again), "twice");
    }
    refused::<IEscrow::WrongState>(refund(&mut market, &deal.0), "a refund on top");
    balanced(&mut market);
}

/// The governor may choose who decides disputes to come, and has no say in those that are open.
#[test]
fn a_resolver_is_not_exchanged_while_it_decides() {
    let mut market = Market::new();
    let deal = disputed(&mut market, BUYERS[0]);
    appoint(&mut market, GOVERNOR);
    refused::<IEscrow::NotResolver>(
        resolve(&mut market, GOVERNOR, &deal, forged()),
        "the new one",
    );
    appoint(&mut market, Address::ZERO);
    resolve(&mut market, RESOLVER, &deal, 0).expect("the old one");
    refused::<IEscrow::NotGovernor>(
        tell(
            &mut market,
            STRANGER,
            &IEscrow::setResolverCall { resolver: STRANGER },
        ),
        "a stranger appoints itself",
    );
}

#[test]
fn a_provider_that_disputes_itself_does_not_save_its_bond() {
    let mut market = Market::new();
    let deal = disputed(&mut market, PROVIDER);
    resolve(&mut market, RESOLVER, &deal, forged()).expect("the verdict falls");
    assert_eq!(market.balance(0, PROVIDER), MINTED - BOND / 2);
    assert_eq!(market.balance(0, BUYERS[0]), MINTED - FEE + BOND / 2);
    balanced(&mut market);
}

#[test]
fn authentic_evidence_costs_no_bond() {
    let mut market = Market::new();
    let deal = disputed(&mut market, BUYERS[1]);
    let policy = Reason::DebugEnabled.code();
    resolve(&mut market, RESOLVER, &deal, policy).expect("the verdict falls");
    assert_eq!(market.balance(0, PROVIDER), MINTED);
    assert_eq!(market.balance(0, BUYERS[1]), MINTED);
    assert_eq!(market.balance(0, BUYERS[0]), MINTED - FEE);
    balanced(&mut market);
}

/// A resolver that is silent, and a token that burns all gas, hold nothing up.
#[test]
fn nobody_holds_up_the_end_of_a_dispute() {
    let mut market = Market::new();
    let (terms, _) = disputed(&mut market, BUYERS[1]);
    market.lab.pass(WEEK + 1);
    market
        .misbehave(0, Mode::Burns as u8, STRANGER, Bytes::new())
        .expect("a mode");
    refund(&mut market, &terms).expect("refunded");
    refused::<IEscrow::WrongState>(refund(&mut market, &terms), "twice");
    market
        .misbehave(0, Mode::Honest as u8, STRANGER, Bytes::new())
        .expect("a mode");
    let token = terms.token;
    for account in [PROVIDER, BUYERS[0], BUYERS[1]] {
        tell(&mut market, account, &IEscrow::withdrawCall { token }).expect("withdrawn");
    }
    assert_eq!(market.balance(0, PROVIDER), MINTED);
    assert_eq!(market.balance(0, BUYERS[1]), MINTED);
    assert_eq!(market.balance(0, BUYERS[0]), MINTED - FEE);
    balanced(&mut market);
}
