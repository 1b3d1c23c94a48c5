//! Which call may move an order from which state to which.

use alloy_primitives::{Address, B256, U256};
use escrow::rules::{Effect, Record, State};
use proptest::prelude::*;
use vouch_abi::{IEscrow, Verdict, call::Revert};
use vouch_protocol::{Clauses, Phase, Reason};

use crate::samples::*;

const BLOCK: u64 = 7;
/// Ids of receipts begin with a zero byte.
const RECEIPT: B256 = B256::new([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31,
]);

fn placed() -> Record {
    Record::placed(BLOCK)
}

fn accepted() -> Record {
    placed()
        .accept(&ORDER, &terms(), &PROVIDER, NOW, BLOCK)
        .unwrap()
}

fn running() -> Record {
    accepted().start(NOW + 150, BLOCK)
}

fn finished() -> Record {
    running().finish(NOW + 250, BLOCK)
}

/// A record in every state.
fn every() -> [Record; 7] {
    [
        Record::default(),
        placed(),
        accepted(),
        running(),
        finished(),
        Record::settled(RECEIPT),
        running().refunded(BLOCK),
    ]
}

fn wrong(expected: State, found: State) -> Revert {
    IEscrow::WrongState {
        order: ORDER,
        expected: expected as u8,
        found: found as u8,
    }
    .into()
}

fn passed(deadline: u64) -> Revert {
    IEscrow::DeadlinePassed {
        deadline,
        time: deadline + 1,
    }
    .into()
}

fn accept(record: Record, caller: Address, now: u64) -> Result<Record, Revert> {
    record.accept(&ORDER, &terms(), &caller, now, BLOCK)
}

fn judge(record: Record, phase: u8, reason: u16, now: u64) -> Result<Effect, Revert> {
    record.judge(&ORDER, &terms(), &verdict(phase, reason, now), now)
}

#[test]
fn accept_errors_when_the_order_is_not_placed() {
    for record in every()
        .into_iter()
        .filter(|record| record.state != State::Placed)
    {
        let expected = Err(wrong(State::Placed, record.state));
        assert_eq!(accept(record, PROVIDER, NOW), expected);
    }
}

#[test]
fn accept_errors_when_the_caller_is_not_the_provider() {
    for caller in [BUYER, OWNER, STRANGER] {
        let expected = IEscrow::NotProvider {
            caller,
            provider: PROVIDER,
        };
        assert_eq!(accept(placed(), caller, NOW), Err(expected.into()));
    }
}

#[test]
fn accept_errors_after_the_deadline() {
    let deadline = deadlines().accept;
    assert_eq!(
        accept(placed(), PROVIDER, deadline).unwrap().state,
        State::Accepted
    );
    assert_eq!(
        accept(placed(), PROVIDER, deadline + 1),
        Err(passed(deadline))
    );
}

#[test]
fn evidence_is_the_providers_in_its_phase_and_time() {
    let announce = |record: Record, phase, caller: Address, now| {
        record.announce(&ORDER, &terms(), phase, &caller, now)
    };
    assert_eq!(announce(accepted(), 1, PROVIDER, NOW), Ok(()));
    assert_eq!(announce(running(), 2, PROVIDER, NOW), Ok(()));
    let expected = IEscrow::WrongPhase {
        expected: 2,
        found: 1,
    };
    assert_eq!(announce(running(), 1, PROVIDER, NOW), Err(expected.into()));
    let expected = IEscrow::NotProvider {
        caller: STRANGER,
        provider: PROVIDER,
    };
    assert_eq!(announce(accepted(), 1, STRANGER, NOW), Err(expected.into()));
    let deadline = deadlines().start;
    assert_eq!(
        announce(accepted(), 1, PROVIDER, deadline + 1),
        Err(passed(deadline))
    );
    assert_eq!(
        announce(placed(), 1, PROVIDER, NOW),
        Err(wrong(State::Accepted, State::Placed))
    );
}

#[test]
fn verdicts_do_what_their_reason_and_phase_say() {
    let now = NOW + 180;
    assert_eq!(judge(accepted(), 1, 0, now), Ok(Effect::Start));
    assert_eq!(judge(running(), 2, 0, now), Ok(Effect::Finish));
    for record in [accepted(), running()] {
        let phase = record.phase().unwrap() as u8;
        let forged = Reason::GpuSignatureInvalid.code();
        assert_eq!(
            judge(record, phase, forged, now),
            Ok(Effect::Reject { forged: true })
        );
        let policy = Reason::DebugEnabled.code();
        assert_eq!(
            judge(record, phase, policy, now),
            Ok(Effect::Reject { forged: false })
        );
    }
}

#[test]
fn judge_errors_in_every_state_that_waits_for_no_verdict() {
    for record in every()
        .into_iter()
        .filter(|record| record.phase().is_none())
    {
        assert_eq!(
            judge(record, 1, 0, NOW),
            Err(wrong(State::Accepted, record.state))
        );
        assert_eq!(
            judge(record, 2, 0, NOW),
            Err(wrong(State::Running, record.state))
        );
    }
}

#[test]
fn judge_errors_when_the_phase_is_another() {
    for (record, expected, found) in [
        (accepted(), 1, 2),
        (running(), 2, 1),
        (accepted(), 1, 0),
        (accepted(), 1, 3),
        (running(), 2, 4),
    ] {
        let wrong = IEscrow::WrongPhase { expected, found };
        assert_eq!(judge(record, found, 0, NOW + 180), Err(wrong.into()));
    }
}

#[test]
fn judge_errors_when_the_verdict_is_of_another_order() {
    let other = B256::repeat_byte(0xff);
    let mut verdict = verdict(1, 0, NOW);
    verdict.order = other;
    let expected = IEscrow::VerdictMismatch {
        expected: ORDER,
        found: other,
    };
    assert_eq!(
        accepted().judge(&ORDER, &terms(), &verdict, NOW),
        Err(expected.into())
    );
}

#[test]
fn judge_errors_when_the_verdict_is_inconclusive() {
    for reason in [1, 99, 300, 404, 501, 600, u16::MAX] {
        let expected = IEscrow::Inconclusive { reason };
        assert_eq!(judge(accepted(), 1, reason, NOW), Err(expected.into()));
    }
}

#[test]
fn judge_errors_when_observed_in_the_future_or_before_the_start() {
    let observed = |at, now| running().judge(&ORDER, &terms(), &verdict(2, 0, at), now);
    let expected = IEscrow::ObservedInFuture {
        observedAt: NOW + 181,
        time: NOW + 180,
    };
    assert_eq!(observed(NOW + 181, NOW + 180), Err(expected.into()));
    let expected = IEscrow::ObservedBeforeStart {
        observedAt: NOW + 149,
        startedAt: NOW + 150,
    };
    assert_eq!(observed(NOW + 149, NOW + 180), Err(expected.into()));
    assert_eq!(observed(NOW + 150, NOW + 180), Ok(Effect::Finish));
}

#[test]
fn judge_errors_after_the_deadline() {
    for (record, phase, deadline) in [
        (accepted(), 1, deadlines().start),
        (running(), 2, deadlines().finish),
    ] {
        assert!(judge(record, phase, 0, deadline).is_ok());
        assert_eq!(judge(record, phase, 0, deadline + 1), Err(passed(deadline)));
    }
}

#[test]
fn settle_errors_while_the_window_is_open() {
    let settle = |now| finished().settle(&ORDER, &terms(), now);
    let closes = NOW + 300;
    let expected = IEscrow::WindowOpen {
        closes,
        time: closes - 1,
    };
    assert_eq!(settle(closes - 1), Err(expected.into()));
    assert_eq!(settle(closes), Ok(()));
    assert_eq!(
        settle(u64::MAX),
        Ok(()),
        "no deadline ends an undisputed order"
    );
}

#[test]
fn settle_errors_when_the_order_is_not_finished() {
    for record in every()
        .into_iter()
        .filter(|record| record.state != State::Finished)
    {
        let expected = Err(wrong(State::Finished, record.state));
        assert_eq!(record.settle(&ORDER, &terms(), u64::MAX), expected);
    }
}

#[test]
fn refund_errors_until_the_deadline_of_the_state() {
    let d = deadlines();
    for (record, deadline) in [
        (placed(), d.accept),
        (accepted(), d.start),
        (running(), d.finish),
    ] {
        let expected = IEscrow::DeadlineNotPassed {
            deadline,
            time: deadline,
        };
        assert_eq!(
            record.expire(&ORDER, &terms(), deadline),
            Err(expected.into())
        );
        assert_eq!(record.expire(&ORDER, &terms(), deadline + 1), Ok(()));
    }
}

#[test]
fn refund_errors_when_the_order_is_finished_over_or_none() {
    for record in every() {
        let waits = matches!(
            record.state,
            State::Placed | State::Accepted | State::Running
        );
        let result = record.expire(&ORDER, &terms(), u64::MAX);
        let expected = if waits {
            Ok(())
        } else {
            Err(wrong(State::Running, record.state))
        };
        assert_eq!(result, expected);
    }
}

#[test]
fn restore_errors_unless_refunded_and_only_once() {
    for record in every() {
        let restored = record.restore(&ORDER);
        if record.state == State::Refunded {
            let again: Revert = IEscrow::AlreadyRestored { order: ORDER }.into();
            assert_eq!(restored.unwrap().restore(&ORDER), Err(again));
        } else {
            assert_eq!(restored, Err(wrong(State::Refunded, record.state)));
        }
    }
}

proptest! {
    #[test]
    fn packing_round_trips(
        which in 0..7_usize, since in 0..1_u64 << 56, started in 0..1_u64 << 40, finished in 0..1_u64 << 40,
        beat in 0..1_u64 << 40, topped_up: u32, restored: bool,
    ) {
        let mut record = every()[which];
        if record.state != State::Settled {
            record = Record {
                since_block: since,
                started_at: started,
                finished_at: finished,
                beat_at: beat,
                topped_up,
                restored,
                ..record
            };
        }
        prop_assert_eq!(Record::unpack(&record.pack()), record);
    }

    #[test]
    fn at_any_time_an_order_moves_forwards_or_back_and_never_both(now: u64, which in 1..4_usize) {
        let record = every()[which];
        let forwards = match record.state {
            State::Placed => accept(record, PROVIDER, now).is_ok(),
            _ => judge(record, record.phase().unwrap() as u8, 0, now.max(record.started_at)).is_ok(),
        };
        let now = if record.state == State::Placed { now } else { now.max(record.started_at) };
        prop_assert_ne!(forwards, record.expire(&ORDER, &terms(), now).is_ok());
    }
}

fn heartbeat(observed_at: u64) -> Verdict {
    Verdict {
        order: ORDER,
        phase: Phase::Heartbeat as u8,
        clauses: U256::MAX,
        observedAt: observed_at,
        ..Verdict::default()
    }
}

#[test]
fn a_heartbeat_only_moves_forwards_and_only_while_running() {
    let start = NOW + 150;
    let late = start + 60;
    let once = running().beat(&terms(), &heartbeat(start + 10));
    assert_eq!(once.attested(), 10);
    assert_eq!((once.state, once.since_block), (State::Running, BLOCK));
    let judge = |record: Record, at| record.judge(&ORDER, &terms(), &heartbeat(at), late);
    assert_eq!(judge(once, start + 11), Ok(Effect::Beat));
    for (at, expected) in [
        (
            start + 10,
            IEscrow::BeatNotLater {
                observedAt: start + 10,
                beatAt: start + 10,
            }
            .into(),
        ),
        (
            start + 9,
            IEscrow::BeatNotLater {
                observedAt: start + 9,
                beatAt: start + 10,
            }
            .into(),
        ),
        (
            start - 1,
            IEscrow::ObservedBeforeStart {
                observedAt: start - 1,
                startedAt: start,
            }
            .into(),
        ),
        (
            late + 1,
            IEscrow::ObservedInFuture {
                observedAt: late + 1,
                time: late,
            }
            .into(),
        ),
    ] {
        let expected: Revert = expected;
        assert_eq!(judge(once, at), Err(expected), "{at}");
    }
    for record in every() {
        if record.state != State::Running {
            assert!(judge(record, late).is_err(), "{:?}", record.state);
        }
    }
}

#[test]
fn a_heartbeat_counts_where_the_clauses_of_compute_hold() {
    let mut terms = terms();
    for leg in &mut terms.legs {
        leg.clauses = u32::MAX;
    }
    let at_start = U256::from(Clauses::AT_START.0);
    for (index, leg) in terms.legs.iter().enumerate() {
        let verdict = Verdict {
            clauses: at_start << (32 * index),
            ..heartbeat(NOW + 160)
        };
        let beaten = running().beat(&terms, &verdict);
        let counts = leg.kind == 4;
        assert_eq!(
            beaten.attested(),
            if counts { 10 } else { 0 },
            "leg {index}"
        );
    }
}
