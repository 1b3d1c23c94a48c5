//! Time as an argument: the verifier has no clock.

use core::fmt;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(u64);

/// Days before each month of a common year.
const DAYS_BEFORE_MONTH: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

impl Time {
    /// The time this many seconds after the epoch.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// Seconds from `earlier` to `self`; zero where `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This many seconds later.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// The time of a UTC calendar date, or `None` where there is no such date from 1970 to 9999.
    pub fn from_utc(
        year: u16,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
    ) -> Option<Self> {
        if !(1970..=9999).contains(&year) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let leap = is_leap(year);
        let before = *DAYS_BEFORE_MONTH.get(usize::from(month.checked_sub(1)?))?;
        let length = days_in_month(month, leap);
        if day == 0 || u16::from(day) > length {
            return None;
        }
        let years = u64::from(year.checked_sub(1970)?);
        // Leap days of the years that are over: 1972 is the first after the epoch.
        let over = u64::from(year.checked_sub(1)?);
        let leap_days = leaps_through(over).checked_sub(leaps_through(1969))?;
        let days = years
            .checked_mul(365)?
            .checked_add(leap_days)?
            .checked_add(u64::from(before))?
            .checked_add(u64::from(leap && month > 2))?
            .checked_add(u64::from(day))?
            .checked_sub(1)?;
        let seconds = days
            .checked_mul(86_400)?
            .checked_add(u64::from(hour).checked_mul(3_600)?)?
            .checked_add(u64::from(minute).checked_mul(60)?)?
            .checked_add(u64::from(second))?;
        Some(Self(seconds))
    }

    /// Reads `2026-05-20T10:11:12Z`, with or without a fraction of a second: the form of vendors'
    /// JSON.
    pub fn from_rfc3339_utc(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let mut date = date.split('-');
        let (year, month, day) = (date.next()?, date.next()?, date.next()?);
        let time = match time.split_once('.') {
            Some((time, fraction))
                if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) =>
            {
                time
            }
            Some(_) => return None,
            None => time,
        };
        let mut time = time.split(':');
        let (hour, minute, second) = (time.next()?, time.next()?, time.next()?);
        if date.next().is_some() || time.next().is_some() || year.len() != 4 {
            return None;
        }
        let two = |text: &str| -> Option<u8> {
            (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse().ok())?
        };
        let year = year
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| year.parse().ok())??;
        Self::from_utc(
            year,
            two(month)?,
            two(day)?,
            two(hour)?,
            two(minute)?,
            two(second)?,
        )
    }
}

const fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Leap years from year 1 to `year`.
const fn leaps_through(year: u64) -> u64 {
    (year / 4)
        .saturating_sub(year / 100)
        .saturating_add(year / 400)
}

const fn days_in_month(month: u8, leap: bool) -> u16 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for Time {
    /// `2026-05-20T10:11:12Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, rest) = (self.0 / 86_400, self.0 % 86_400);
        if days > 2_932_896 {
            return write!(f, "{} s after 1970", self.0);
        }
        let mut year = 1970u16;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            match days.checked_sub(length) {
                Some(left) => days = left,
                None => break,
            }
            year = year.saturating_add(1);
        }
        let mut month = 1u8;
        loop {
            match days.checked_sub(u64::from(days_in_month(month, is_leap(year)))) {
                Some(left) if month < 12 => days = left,
                _ => break,
            }
            month = month.saturating_add(1);
        }
        let day = days.saturating_add(1);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            rest / 3_600,
            rest / 60 % 60,
            rest % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn calendar_dates_are_the_seconds_they_should_be() {
        for (date, unix) in [
            ((1970, 1, 1, 0, 0, 0), 0),
            ((2000, 2, 29, 12, 0, 0), 951_825_600),
            ((2024, 12, 31, 23, 59, 59), 1_735_689_599),
            ((2026, 11, 22, 0, 0, 0), 1_795_305_600),
            ((9999, 12, 31, 23, 59, 59), 253_402_300_799),
        ] {
            let (y, mo, d, h, mi, s) = date;
            let time = Time::from_utc(y, mo, d, h, mi, s).unwrap();
            assert_eq!(time.unix(), unix);
            assert_eq!(Time::from_rfc3339_utc(&time.to_string()), Some(time));
        }
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for (y, mo, d, h, mi, s) in [
            (1969, 12, 31, 0, 0, 0),
            (2023, 2, 29, 0, 0, 0),
            (2100, 2, 29, 0, 0, 0),
            (2024, 13, 1, 0, 0, 0),
            (2024, 0, 1, 0, 0, 0),
            (2024, 1, 0, 0, 0, 0),
            (2024, 4, 31, 0, 0, 0),
            (2024, 1, 1, 24, 0, 0),
            (2024, 1, 1, 0, 60, 0),
            (2024, 1, 1, 0, 0, 60),
            (10_000, 1, 1, 0, 0, 0),
        ] {
            assert_eq!(Time::from_utc(y, mo, d, h, mi, s), None);
        }
        for text in [
            "2024-01-01",
            "2024-01-01T00:00:00",
            "24-01-01T00:00:00Z",
            "2024-1-01T00:00:00Z",
            "2024-01-01T00:00:00.Z",
            "+024-01-01T00:00:00Z",
        ] {
            assert_eq!(Time::from_rfc3339_utc(text), None, "{text}");
        }
    }
}
