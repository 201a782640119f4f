//! The one spelling of a moment.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};

/// The years that RFC 3339 can spell, in milliseconds since 1970: 0000-01-01T00:00:00.000Z to
/// 9999-12-31T23:59:59.999Z.
const SPELLED_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// Now, as RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.
///
/// A machine's clock may be wrong by any amount, and before 1970 as well: it is told as it is, as far
/// as there is a spelling for it.
pub fn now() -> String {
    spelled(SystemTime::now())
}

fn spelled(time: SystemTime) -> String {
    // `Utc::now` panics before 1970.
    let ms = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        // The millisecond that has begun, as after 1970.
        Err(error) => {
            let before = error.duration().as_nanos().div_ceil(1_000_000);
            i64::try_from(before).map_or(i64::MIN, |before| -before)
        }
    };
    let ms = ms.clamp(*SPELLED_MS.start(), *SPELLED_MS.end());
    DateTime::<Utc>::from_timestamp_millis(ms)
        .expect("chrono reaches further than RFC 3339")
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds since 1970 of an RFC 3339 time, below 0 before; `None` if it is none.
pub fn parse_ms(time: &str) -> Option<i64> {
    DateTime::<FixedOffset>::parse_from_rfc3339(time)
        .ok()
        .map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn any_clock_has_a_spelling_that_is_read_again() {
        let before = |ms| UNIX_EPOCH.checked_sub(Duration::from_millis(ms)).unwrap();
        let after = |ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap();
        let far = Duration::from_secs(300_000_000_000);
        // By `date -u -d @N`.
        for (time, expected, ms) in [
            (after(0), "1970-01-01T00:00:00.000Z", 0),
            (
                after(1_769_860_800_001),
                "2026-01-31T12:00:00.001Z",
                1_769_860_800_001,
            ),
            (before(1), "1969-12-31T23:59:59.999Z", -1),
            (before(3_600_000), "1969-12-31T23:00:00.000Z", -3_600_000),
            (
                before(4_000_000_250),
                "1969-11-15T16:53:19.750Z",
                -4_000_000_250,
            ),
            // Less than a millisecond before: the one that has begun.
            (
                UNIX_EPOCH.checked_sub(Duration::from_nanos(1)).unwrap(),
                "1969-12-31T23:59:59.999Z",
                -1,
            ),
            (
                UNIX_EPOCH.checked_add(far).unwrap(),
                "9999-12-31T23:59:59.999Z",
                253_402_300_799_999,
            ),
            (
                UNIX_EPOCH.checked_sub(far).unwrap(),
                "0000-01-01T00:00:00.000Z",
                -62_167_219_200_000,
            ),
        ] {
            assert_eq!(spelled(time), expected);
            assert_eq!(parse_ms(expected), Some(ms));
        }
        assert!(parse_ms(&now()).is_some());
        assert_eq!(parse_ms("yesterday"), None);
    }
}
