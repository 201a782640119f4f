//! The one spelling of a moment.

/// Now, as RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Milliseconds since 1970 of an RFC 3339 time; `None` if it is none.
pub fn parse_ms(time: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(time)
        .ok()
        .map(|time| time.timestamp_millis())
}
