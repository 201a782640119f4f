use super::*;

#[test]
fn values_are_read_and_told() {
    for (text, told) in [
        ("positive,negative,any", "positive, negative, any"),
        ("0..100", "0 to 100"),
        ("1..,all", "1 or more, all"),
        ("..-1", "-1 or less"),
        (
            "<epoch>,first,last",
            "an epoch that was captured, first, last",
        ),
    ] {
        let values: ValidValues = text.parse().unwrap();
        assert_eq!(values.to_string(), format!("{{{text}}}"));
        assert_eq!(values.describe(), told);
    }
    assert_eq!(ValidValues::default().to_string(), "");
}

#[test]
fn what_is_no_value_is_not_read() {
    for text in ["", "a,", "<epoc>", "<epoch", "a b", "1..x", "a-b"] {
        assert_eq!(text.parse::<ValidValues>(), Err(()), "{text}");
    }
}

#[test]
fn a_range_has_both_ends() {
    let range = |text: &str| text.parse::<ValidValues>().unwrap().range().unwrap();
    for (value, is_in) in [(-1, false), (0, true), (100, true), (101, false)] {
        assert_eq!(range("0..100").contains_whole(value), is_in, "{value}");
        assert_eq!(range("0..100").contains(value as f64), is_in, "{value}");
    }
    assert!(range("0..").contains_whole(i64::MAX));
    assert!(range("..0").contains_whole(i64::MIN));
    for value in [f64::NAN, f64::INFINITY, 100.5] {
        assert!(!range("0..100").contains(value), "{value}");
    }
    assert!(range("0..100").contains(2.5));
}
