//! What time the next block gets.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Error;

/// The chain's clock. Seconds since the Unix epoch throughout.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Added to the machine's clock.
    offset: i128,
    /// Timestamp of the newest block, or the time the clock was set to since.
    last: u64,
    /// Timestamp asked for the next block.
    next: Option<u64>,
    /// Fixed distance between blocks.
    interval: Option<u64>,
}

impl Clock {
    /// A clock that reads `start` now.
    pub fn starting_at(start: u64) -> Self {
        Self {
            offset: i128::from(start) - i128::from(now()),
            last: start,
            next: None,
            interval: None,
        }
    }

    /// The chain's present.
    fn present(&self) -> u64 {
        u64::try_from(i128::from(now()) + self.offset).unwrap_or(self.last)
    }

    /// The timestamp of the next block: never below that of the newest.
    pub fn peek(&self) -> u64 {
        self.next
            .or_else(|| {
                self.interval
                    .map(|interval| self.last.saturating_add(interval))
            })
            .unwrap_or_else(|| self.present())
            .max(self.last)
    }

    /// Takes the timestamp of the next block. A timestamp asked for moves the clock with it.
    pub fn take(&mut self) -> u64 {
        let timestamp = self.peek();
        if self.next.take().is_some() {
            self.offset = i128::from(timestamp) - i128::from(now());
        }
        self.last = timestamp;
        timestamp
    }

    /// Moves the clock forward and returns the total distance from the machine's clock.
    pub fn increase(&mut self, seconds: u64) -> i64 {
        self.offset = self.offset.saturating_add(i128::from(seconds));
        i64::try_from(self.offset).unwrap_or(i64::MAX)
    }

    /// Fixes the timestamp of the next block.
    ///
    /// # Errors
    /// The newest block is later.
    pub fn set_next(&mut self, timestamp: u64) -> Result<(), Error> {
        self.not_before_last(timestamp)?;
        self.next = Some(timestamp);
        Ok(())
    }

    /// Sets the clock and returns by how far it moved, at least zero. A fixed interval counts on
    /// from there.
    ///
    /// # Errors
    /// The newest block is later.
    pub fn set(&mut self, timestamp: u64) -> Result<u64, Error> {
        self.not_before_last(timestamp)?;
        let moved = timestamp.saturating_sub(self.present());
        self.offset = i128::from(timestamp) - i128::from(now());
        self.next = None;
        self.last = timestamp;
        Ok(moved)
    }

    /// Fixes the distance between blocks; `None` lets the clock decide. Returns whether it was
    /// fixed before.
    pub fn set_interval(&mut self, interval: Option<u64>) -> bool {
        std::mem::replace(&mut self.interval, interval).is_some()
    }

    /// Goes back to a time when the newest block was at `last`.
    pub fn rewind(&mut self, last: u64) {
        self.last = last;
        self.next = None;
    }

    fn not_before_last(&self, timestamp: u64) -> Result<(), Error> {
        if timestamp < self.last {
            return Err(Error::TimestampTooLow { timestamp });
        }
        Ok(())
    }
}

/// The machine's clock.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back() {
        let mut clock = Clock::starting_at(1_000_000);
        clock.set_next(2_000_000).unwrap();
        assert_eq!(clock.take(), 2_000_000);
        assert!(clock.set_next(1_999_999).is_err());
        assert!(clock.set(5).is_err());
        assert!(clock.take() >= 2_000_000);
    }

    #[test]
    fn an_exact_timestamp_is_used_once_and_moves_the_clock() {
        let mut clock = Clock::starting_at(1_000_000);
        clock.set_next(9_000_000).unwrap();
        assert_eq!(clock.take(), 9_000_000);
        let next = clock.take();
        assert!((9_000_000..9_000_060).contains(&next), "{next}");
    }

    #[test]
    fn a_fixed_interval_ignores_the_clock() {
        let mut clock = Clock::starting_at(1_000_000);
        assert!(!clock.set_interval(Some(12)));
        assert_eq!(clock.take(), 1_000_012);
        assert_eq!(clock.take(), 1_000_024);
        assert!(clock.set_interval(None));
    }

    #[test]
    fn a_fixed_interval_counts_from_the_time_set() {
        let mut clock = Clock::starting_at(1_000_000);
        clock.set_interval(Some(100));
        let moved = clock.set(1_005_000).unwrap();
        assert!((4_990..=5_000).contains(&moved), "{moved}");
        assert_eq!(clock.take(), 1_005_100);
    }

    #[test]
    fn increase_reports_the_whole_offset() {
        let mut clock = Clock::starting_at(now());
        let first = clock.increase(10);
        assert_eq!(clock.increase(16) - first, 16);
    }
}
