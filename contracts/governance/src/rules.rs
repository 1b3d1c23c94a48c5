//! How long changes take.

use alloy_primitives::B256;
use vouch_abi::{DEVELOPMENT, IGovernance, call::Revert};

const DAY: u64 = 86_400;
/// Least delay of a market with real money, in seconds.
pub const LEAST_DELAY: u64 = DAY;
/// Most delay: a fault must be mendable.
pub const MOST_DELAY: u64 = 30 * DAY;
/// Seconds for which a call can be made once its delay is over. What nobody has called by then was
/// forgotten, and would come as a surprise later.
pub const GRACE: u64 = 14 * DAY;

/// Refuses delays that are no warning, or that never end.
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
    Err(IGovernance::DelayOutOfRange {
        delay,
        least,
        most: MOST_DELAY,
    }
    .into())
}

/// When a scheduled call can be made, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First second.
    pub from: u64,
    /// Last second.
    pub until: u64,
}

impl Window {
    /// Of a call that is scheduled now.
    pub const fn after(now: u64, delay: u64) -> Self {
        // A time of zero would mean that nothing is scheduled.
        let from = now.saturating_add(delay);
        Self::starting(if from == 0 { 1 } else { from })
    }

    /// Of a call that can be made from `from` on.
    pub const fn starting(from: u64) -> Self {
        Self {
            from,
            until: from.saturating_add(GRACE),
        }
    }

    /// Refuses calls out of their time.
    ///
    /// # Errors
    /// `TooEarly`, `TooLate`.
    pub fn check(self, operation: B256, time: u64) -> Result<(), Revert> {
        let Self { from, until } = self;
        if time < from {
            return Err(IGovernance::TooEarly {
                operation,
                from,
                time,
            }
            .into());
        }
        if time > until {
            return Err(IGovernance::TooLate {
                operation,
                until,
                time,
            }
            .into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATION: B256 = B256::repeat_byte(7);

    #[test]
    fn delays_have_a_floor_and_a_ceiling() {
        for (chain_id, delay, least) in [
            (42_161, 0, LEAST_DELAY),
            (42_161, LEAST_DELAY - 1, LEAST_DELAY),
            (421_614, MOST_DELAY + 1, LEAST_DELAY),
            (42_161, u64::MAX, LEAST_DELAY),
            (31_337, MOST_DELAY + 1, 0),
        ] {
            let expected = IGovernance::DelayOutOfRange {
                delay,
                least,
                most: MOST_DELAY,
            };
            assert_eq!(check_delay(delay, chain_id), Err(expected.into()));
        }
        for (chain_id, delay) in [
            (42_161, LEAST_DELAY),
            (42_161, MOST_DELAY),
            (31_337, 0),
            (412_346, 0),
        ] {
            assert_eq!(check_delay(delay, chain_id), Ok(()));
        }
    }

    #[test]
    fn a_window_opens_and_closes_to_the_second() {
        let window = Window::after(1_000, 60);
        let until = 1_060 + GRACE;
        assert_eq!(window, Window { from: 1_060, until });
        for time in [1_060, until] {
            assert_eq!(window.check(OPERATION, time), Ok(()));
        }
        let early = IGovernance::TooEarly {
            operation: OPERATION,
            from: 1_060,
            time: 1_059,
        };
        assert_eq!(window.check(OPERATION, 1_059), Err(early.into()));
        let late = IGovernance::TooLate {
            operation: OPERATION,
            until,
            time: until + 1,
        };
        assert_eq!(window.check(OPERATION, until + 1), Err(late.into()));
    }

    #[test]
    fn times_do_not_overflow_and_are_never_zero() {
        assert_eq!(Window::after(0, 0).from, 1);
        let last = Window::after(u64::MAX, MOST_DELAY);
        assert_eq!((last.from, last.until), (u64::MAX, u64::MAX));
    }
}
