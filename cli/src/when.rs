//! Times and durations as people write them.

use jiff::{SignedDuration, Timestamp};

/// Seconds in `90`, `90s`, `15m`, `1h 30m` or `30d`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?}: expected a duration such as 90s, 15m, 1h 30m or 30d");
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    if text.trim().is_empty() {
        return Err(wrong());
    }
    // jiff has no days without a calendar: here a day is 24 hours.
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (
            days.trim().parse::<u64>().map_err(|_| wrong())?,
            rest.trim(),
        ),
        None => (0, text),
    };
    let rest = match rest {
        "" => 0,
        rest => {
            let parsed = rest.parse::<SignedDuration>().map_err(|_| wrong())?;
            u64::try_from(parsed.as_secs()).map_err(|_| wrong())?
        }
    };
    days.checked_mul(86_400)
        .and_then(|days| days.checked_add(rest))
        .ok_or_else(wrong)
}

/// As [`duration`], for fields of 32 bits.
///
/// # Errors
/// A sentence that says what was expected.
pub fn short_duration(text: &str) -> Result<u32, String> {
    u32::try_from(duration(text)?).map_err(|_| format!("{text:?}: expected at most 4294967295 s"))
}

/// Unix seconds of `2026-06-01T00:00:00Z`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn instant(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?}: expected RFC 3339, such as 2026-06-01T00:00:00Z");
    let time: Timestamp = text.parse().map_err(|_| wrong())?;
    u64::try_from(time.as_second()).map_err(|_| wrong())
}

/// The system's time, Unix seconds.
pub fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

/// `1h 30m`, `45s`, `30d`.
pub fn show_duration(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("1h 30m", 5_400),
            ("30d", 2_592_000),
            ("1d 2h", 93_600),
        ] {
            assert_eq!(duration(text), Ok(seconds), "{text}");
            assert_eq!(duration(&show_duration(seconds)), Ok(seconds));
        }
        for text in [
            "",
            "soon",
            "-1",
            "-1h",
            "1.5x",
            "d",
            "99999999999999999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(short_duration("100000d").is_err());
    }

    #[test]
    fn instants_need_a_zone() {
        assert_eq!(instant("1970-01-01T00:01:00Z"), Ok(60));
        assert_eq!(instant("1970-01-01T01:01:00+01:00"), Ok(60));
        for text in [
            "",
            "2026-06-01",
            "2026-06-01T00:00:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(instant(text).is_err(), "{text}");
        }
    }
}
