//! Heartbeats that claim more than the session lived, and orders that die after some.

use alloy::primitives::{B256, U256};
use vouch_abi::{IAttestation, IEscrow, Terms, Verdict};
use vouch_laws::lab::{Done, Reverted};
use vouch_laws::market::{BUYERS, MAX_DURATION, MINTED, Market, PACE, PROVIDER, RATE, STRANGER};
use vouch_protocol::{Phase, Reason};

use super::{accepted, balanced, refused, running, submit, tell};

/// A heartbeat observed now.
fn beat(market: &Market, order: B256, terms: &Terms) -> Verdict {
    market.verdict(order, terms, Phase::Heartbeat, 2)
}

fn die(market: &mut Market, terms: &Terms) -> Result<Done, Reverted> {
    market.lab.pass(3 * PACE);
    let terms = terms.clone();
    tell(market, STRANGER, &IEscrow::refundCall { terms })
}

#[test]
fn an_order_that_dies_pays_for_the_seconds_that_were_attested() {
    for (seconds, paid) in [(0, 0_u32), (40, 40), (2_000, MAX_DURATION)] {
        let mut market = Market::new();
        let (order, terms) = running(&mut market, 1);
        market.lab.pass(seconds);
        if seconds > 0 {
            let verdict = beat(&market, order, &terms);
            submit(&mut market, &terms, &verdict).expect("a heartbeat");
        }
        market.lab.pass(5);
        die(&mut market, &terms).expect("refunded");
        let earned = RATE * u128::from(paid);
        assert_eq!(market.balance(0, PROVIDER), MINTED + earned, "{seconds} s");
        assert_eq!(market.balance(0, BUYERS[0]), MINTED - earned, "{seconds} s");
        balanced(&mut market);
        let terms = terms.clone();
        refused::<IEscrow::WrongState>(
            tell(&mut market, STRANGER, &IEscrow::refundCall { terms }),
            "twice",
        );
    }
}

#[test]
fn heartbeats_are_neither_replayed_nor_reordered_nor_foretold() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    market.lab.pass(10);
    let early = beat(&market, order, &terms);
    market.lab.pass(10);
    let late = beat(&market, order, &terms);
    let mut tomorrow = late.clone();
    tomorrow.observedAt += 1;
    refused::<IEscrow::ObservedInFuture>(submit(&mut market, &terms, &tomorrow), "tomorrow's");
    submit(&mut market, &terms, &late).expect("a heartbeat");
    refused::<IEscrow::BeatNotLater>(submit(&mut market, &terms, &late), "replayed");
    refused::<IEscrow::BeatNotLater>(submit(&mut market, &terms, &early), "reordered");
    let mut before = early;
    before.observedAt -= 11;
    refused::<IEscrow::ObservedBeforeStart>(submit(&mut market, &terms, &before), "before");
}

/// The signatures of one phase are nothing in another.
#[test]
fn a_heartbeat_is_no_finish_and_comes_at_no_other_time() {
    let mut market = Market::new();
    let (order, terms) = accepted(&mut market, 1);
    let unstarted = beat(&market, order, &terms);
    refused::<IEscrow::WrongPhase>(submit(&mut market, &terms, &unstarted), "before the start");
    let start = market.verdict(order, &terms, Phase::Start, 2);
    submit(&mut market, &terms, &start).expect("started");
    market.lab.pass(10);
    let verdict = beat(&market, order, &terms);
    let signatures = market.sign(&verdict, &super::BOTH);
    let finish = Verdict {
        phase: Phase::Finish as u8,
        ..verdict.clone()
    };
    // Other bytes were signed: they recover to nobody.
    assert!(market.submit(&terms, &finish, signatures).is_err());
    market.lab.pass(3 * PACE + 1);
    refused::<IEscrow::DeadlinePassed>(submit(&mut market, &terms, &verdict), "too late");
    balanced(&mut market);
}

#[test]
fn a_heartbeat_keeps_its_devices_and_a_rejected_one_ends_the_order() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    market.lab.pass(10);
    let verdict = beat(&market, order, &terms);
    submit(&mut market, &terms, &verdict).expect("a heartbeat");
    let device = verdict.devices[0];
    let attestation = market.attestation;
    let holder = IAttestation::holderOfCall { device };
    let held = market.lab.ask(attestation, &holder).unwrap();
    assert_eq!(held.order, order[..24], "the order's still");
    market.lab.pass(10);
    let mut rejected = beat(&market, order, &terms);
    rejected.reason = Reason::GpuSignatureInvalid.code();
    submit(&mut market, &terms, &rejected).expect("a rejection");
    let held = market.lab.ask(attestation, &holder).unwrap();
    assert_eq!(held.until, 0, "given back");
    let state = market.state(order).unwrap();
    assert_eq!(state, 6, "refunded");
    assert_eq!(
        U256::from(market.balance(0, PROVIDER)) + terms.bond,
        U256::from(MINTED)
    );
    balanced(&mut market);
}
