//! Deadlines, to the second.

use alloy::primitives::Bytes;
use vouch_abi::{IEscrow, Verdict};
use vouch_laws::market::{BUYERS, GOVERNOR, MINTED, Market, PACE, PROVIDER, STRANGER};
use vouch_laws::step::Mode;
use vouch_protocol::Phase;

use super::{accepted, balanced, placed, refused, running, submit, tell};

#[test]
fn the_last_second_counts_and_the_next_does_not() {
    // In each state: what goes on until the deadline, and the refund from the second after it.
    for state in 1..=3 {
        let mut market = Market::new();
        let (order, terms) = match state {
            1 => placed(&mut market, 1),
            2 => accepted(&mut market, 1),
            _ => running(&mut market, 1),
        };
        market.lab.pass(state * PACE);
        let go_on = |market: &mut Market| match state {
            1 => {
                let terms = terms.clone();
                tell(market, PROVIDER, &IEscrow::acceptCall { terms })
            }
            2 => {
                let verdict = market.verdict(order, &terms, Phase::Start, 1);
                submit(market, &terms, &verdict)
            }
            _ => {
                let verdict = market.verdict(order, &terms, Phase::Finish, 2);
                submit(market, &terms, &verdict)
            }
        };
        let refund = IEscrow::refundCall {
            terms: terms.clone(),
        };
        go_on(&mut market.clone()).unwrap_or_else(|data| panic!("state {state}: {data}"));
        refused::<IEscrow::DeadlineNotPassed>(
            tell(&mut market, STRANGER, &refund),
            "a refund in the last second",
        );
        market.lab.pass(1);
        refused::<IEscrow::DeadlinePassed>(go_on(&mut market), "after the deadline");
        tell(&mut market, STRANGER, &refund).expect("refunded");
        assert_eq!(market.balance(0, BUYERS[0]), MINTED, "state {state}");
        assert_eq!(market.balance(0, PROVIDER), MINTED, "state {state}");
        balanced(&mut market);
    }
}

#[test]
fn orders_whose_deadlines_lie_behind_are_not_placed() {
    let mut market = Market::new();
    let request = market.request(0, 0, 1);
    for past in [0, 1, market.lab.now() - 1, market.lab.now()] {
        let mut request = request.clone();
        request.deadlines.accept = past;
        refused::<IEscrow::DeadlinePassed>(market.place(BUYERS[0], request), "accept");
    }
    for (first, second) in [(1, 0), (2, 1), (3, 2)] {
        let mut request = request.clone();
        let deadlines = &mut request.deadlines;
        let mut all = [
            deadlines.accept,
            deadlines.start,
            deadlines.finish,
            deadlines.settle,
        ];
        all.swap(first, second);
        [
            deadlines.accept,
            deadlines.start,
            deadlines.finish,
            deadlines.settle,
        ] = all;
        assert!(
            market.place(BUYERS[0], request).is_err(),
            "{first} before {second}"
        );
    }
    balanced(&mut market);
}

#[test]
fn verdicts_of_another_time_do_not_count() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    let mut finish = market.verdict(order, &terms, Phase::Finish, 2);
    finish.observedAt += 1;
    refused::<IEscrow::ObservedInFuture>(submit(&mut market, &terms, &finish), "tomorrow's");
    finish.observedAt -= 2;
    refused::<IEscrow::ObservedBeforeStart>(submit(&mut market, &terms, &finish), "yesterday's");
}

/// Nobody who has a part in an order can keep it from being refunded, nor can the governor.
#[test]
fn nobody_holds_up_a_refund() {
    let mut market = Market::new();
    let (_, terms) = running(&mut market, 1);
    market.lab.pass(3 * PACE + 1);
    tell(
        &mut market,
        GOVERNOR,
        &IEscrow::setPausedCall { paused: true },
    )
    .expect("paused");
    let nobody = vouch_abi::IAttestation::setOperatorsCall {
        added: vec![STRANGER],
        removed: market.keys[..3].iter().map(|key| key.address()).collect(),
        quorum: 1,
    };
    market
        .must(GOVERNOR, market.attestation, &nobody)
        .expect("no operators");
    market
        .misbehave(0, Mode::Burns as u8, STRANGER, Bytes::new())
        .expect("a mode");
    let refund = IEscrow::refundCall { terms };
    tell(&mut market, STRANGER, &refund).expect("refunded");
    refused::<IEscrow::WrongState>(tell(&mut market, STRANGER, &refund), "twice");
    balanced(&mut market);
}

/// A settlement waits for the window, and then for nobody.
#[test]
fn a_window_ends_by_anybodys_call() {
    let mut market = Market::new();
    let request = market.request(0, 100, 1);
    let (order, terms) = market.place(BUYERS[0], request).expect("an order");
    tell(
        &mut market,
        PROVIDER,
        &IEscrow::acceptCall {
            terms: terms.clone(),
        },
    )
    .expect("accepted");
    let start = market.verdict(order, &terms, Phase::Start, 1);
    submit(&mut market, &terms, &start).expect("started");
    let finish = market.verdict(order, &terms, Phase::Finish, 1);
    submit(&mut market, &terms, &finish).expect("finished");
    let settle = IEscrow::settleCall {
        terms: terms.clone(),
        verdict: finish.clone(),
    };
    market.lab.pass(99);
    refused::<IEscrow::WindowOpen>(tell(&mut market, STRANGER, &settle), "a second early");
    market.lab.pass(1);
    let other = IEscrow::settleCall {
        terms: terms.clone(),
        verdict: Verdict {
            attempt: 7,
            ..finish
        },
    };
    refused::<IEscrow::VerdictMismatch>(tell(&mut market, STRANGER, &other), "another verdict");
    market.lab.pass(10_000);
    let refund = IEscrow::refundCall { terms };
    refused::<IEscrow::WrongState>(tell(&mut market, STRANGER, &refund), "a refund instead");
    tell(&mut market, STRANGER, &settle).expect("settled");
    balanced(&mut market);
}
