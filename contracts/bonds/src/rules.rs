//! What a bond is, how long it stays, and what contradicts what.

use alloy_primitives::{B256, U256, keccak256};
use vouch_abi::{DEVELOPMENT, IBonds, VerdictShare, call::Revert, codec};

const DAY: u64 = 86_400;
/// Least delay of a market with real money, in seconds: a contradiction must be found in that time.
pub const LEAST_DELAY: u64 = 7 * DAY;
/// Most delay.
pub const MOST_DELAY: u64 = 90 * DAY;
/// One part of this many of a lost bond is the reporter's. Little enough that an operator who reports
/// itself still loses nearly all.
pub const REPORTERS_PART: u64 = 10;

/// Refuses delays in which nothing would be found, or that never end.
///
/// # Errors
/// `DelayOutOfRange`.
pub fn check_delay(delay: u64, chain_id: u64) -> Result<(), Revert> {
    let least = if DEVELOPMENT.contains(&chain_id) {
        0
    } else {
        LEAST_DELAY
    };
    if (least..=MOST_DELAY).contains(&delay) {
        return Ok(());
    }
    Err(IBonds::DelayOutOfRange {
        delay,
        least,
        most: MOST_DELAY,
    }
    .into())
}

/// What a job is known by here: everything two statements must have in common. As the operators' daemons
/// have it, the block of the announcement is part of it: after a reorganisation an honest operator may come
/// to another verdict.
///
/// # Errors
/// `NoContradiction` unless the statements differ in the verdict and in nothing else.
pub fn contradiction(first: &VerdictShare, second: &VerdictShare) -> Result<B256, Revert> {
    let job = |share: &VerdictShare| VerdictShare {
        verdict: B256::ZERO,
        ..share.clone()
    };
    if job(first) != job(second) || first.verdict == second.verdict {
        return Err(IBonds::NoContradiction {}.into());
    }
    Ok(keccak256(codec::encode(&job(first))))
}

/// What the reporter gets of a lost bond, rounded down.
pub fn reward(lost: U256) -> U256 {
    lost / U256::from(REPORTERS_PART)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    fn share() -> VerdictShare {
        let word = B256::repeat_byte;
        VerdictShare {
            verdict: word(1),
            order: word(2),
            phase: 1,
            attempt: 0,
            evidence: word(3),
            outputs: word(4),
            announcedIn: word(5),
        }
    }

    #[test]
    fn two_verdicts_about_one_job_are_a_contradiction() {
        let other = VerdictShare {
            verdict: B256::repeat_byte(9),
            ..share()
        };
        let job = contradiction(&share(), &other).unwrap();
        assert_eq!(contradiction(&other, &share()), Ok(job), "in either order");
        let third = VerdictShare {
            verdict: B256::repeat_byte(8),
            ..share()
        };
        assert_eq!(contradiction(&share(), &third), Ok(job), "once for a job");
    }

    #[test]
    fn contradiction_errors_for_the_same_verdict_and_for_other_jobs() {
        let word = B256::repeat_byte(7);
        let second = |change: fn(&mut VerdictShare, B256)| {
            let mut share = share();
            share.verdict = B256::repeat_byte(9);
            change(&mut share, word);
            share
        };
        let none: Revert = IBonds::NoContradiction {}.into();
        assert_eq!(contradiction(&share(), &share()), Err(none.clone()));
        for (what, change) in [
            ("order", (|s, w| s.order = w) as fn(&mut VerdictShare, B256)),
            ("phase", |s, _| s.phase = 2),
            ("attempt", |s, _| s.attempt = 1),
            ("evidence", |s, w| s.evidence = w),
            ("outputs", |s, w| s.outputs = w),
            ("block", |s, w| s.announcedIn = w),
        ] {
            let found = contradiction(&share(), &second(change));
            assert_eq!(found, Err(none.clone()), "another {what}");
        }
    }

    #[test]
    fn delays_have_a_floor_and_a_ceiling() {
        for (chain_id, delay, least) in [
            (42_161, LEAST_DELAY - 1, LEAST_DELAY),
            (42_161, MOST_DELAY + 1, LEAST_DELAY),
            (31_337, u64::MAX, 0),
        ] {
            let most = MOST_DELAY;
            let expected = IBonds::DelayOutOfRange { delay, least, most };
            assert_eq!(check_delay(delay, chain_id), Err(expected.into()));
        }
        assert_eq!(check_delay(LEAST_DELAY, 42_161), Ok(()));
        assert_eq!(check_delay(0, 31_337), Ok(()));
    }

    #[test]
    fn a_reporter_gets_a_tenth_and_never_more_than_there_is() {
        for (lost, expected) in [(0, 0), (9, 0), (10, 1), (1_000, 100)] {
            assert_eq!(reward(U256::from(lost)), U256::from(expected));
        }
        assert!(reward(U256::MAX) < U256::MAX);
    }
}
