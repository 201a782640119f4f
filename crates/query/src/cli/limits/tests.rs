use super::*;

#[test]
fn a_time_has_a_number_and_a_unit() {
    for (text, milliseconds) in [
        ("250ms", 250),
        ("90s", 90_000),
        ("1.5s", 1_500),
        ("5min", 300_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
    ] {
        assert_eq!(
            duration(text),
            Ok(Duration::from_millis(milliseconds)),
            "{text}"
        );
    }
    for text in [
        "", "90", "0s", "0.0min", "s", "1d", "-1s", "1.2.3s", "1e400s", "\u{663}s",
    ] {
        let error = duration(text).unwrap_err();
        assert!(error.contains("90s"), "{text}: {error}");
    }
    // Longer than anybody waits, and no more than can be counted.
    assert!(duration("99999999999999h").is_ok());
    assert!(duration(&format!("{}h", "9".repeat(40))).is_err());
}
