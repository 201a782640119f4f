use super::{Difference, Origin};

fn agree(expected: &str, got: &str) -> bool {
    super::agree(expected, got, Origin::Anywhere)
}

fn compare(expected: &[(usize, String)], got: &str) -> Result<(), Difference> {
    super::compare(expected, got, Origin::Anywhere)
}

fn page(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| (at + 1, line.to_owned())).collect()
}

#[test]
fn numbers_agree_to_two_digits_and_small_whole_ones_exactly() {
    for (expected, got) in [
        ("| 0.5585411 | 0.005 |", "|   0.5585 |  0.00502 |"),
        ("15,041 rows, 5.73 MiB", "15,083 rows, 5.72 MiB"),
        ("accuracy 91.6%", "accuracy 91.3%"),
        ("bias -1.25e-3", "bias -1.2e-3"),
        ("| NaN |", "| NaN |"),
        ("| 0.0 |", "| 0.0 |"),
    ] {
        assert!(agree(expected, got), "{expected}: {got}");
    }
    for (expected, got) in [
        ("| 0.5585411 |", "| 0.57 |"),
        ("| 0.5585411 |", "| -0.5585411 |"),
        ("| 132 |", "| 135 |"),
        ("class_3", "class_4"),
        ("15,041 rows", "16,041 rows"),
        ("| 0.0 |", "| 0.1 |"),
        ("| 1.0 |", "| NaN |"),
        ("| 1.0 |", "| 1.0 | 1.0 |"),
        ("loss", "accuracy"),
    ] {
        assert!(!agree(expected, got), "{expected}: {got}");
    }
}

#[test]
fn times_dates_and_random_names_are_any() {
    for (expected, got) in [
        ("trained in 0.20 s: loss", "trained in 14.1 s: loss"),
        ("took 12ms", "took 1.5ms"),
        (
            "began  2026-11-29T16:18:43.433Z",
            "began  2031-01-02T03:04:05.678Z",
        ),
        ("run  87eb52b79685684b", "run  0123456789abcdef"),
    ] {
        assert!(agree(expected, got), "{expected}: {got}");
    }
    assert!(!agree("trained in 0.20 s", "trained in a moment"));
}

#[test]
fn a_tables_columns_are_compared_and_their_widths_are_not() {
    assert!(agree("+---+---+", "+-----+-------+"));
    assert!(!agree("+---+---+", "+-----+-------+---+"));
}

#[test]
fn lines_that_are_left_out_are_counted_where_the_page_counts_them() {
    let got = "head\nrow 1\nrow 2\nrow 3\nfoot\n";
    for expected in [
        "head\n...\nfoot",
        "head\nrow 1\n... 2 rows\nfoot",
        "...",
        "...\nrow 2\n...",
        "head\n...",
    ] {
        assert_eq!(compare(&page(expected), got), Ok(()), "{expected}");
    }
    for expected in [
        "head\nrow 1\n... 1 row\nfoot",
        "head\n...\nrow 4\nfoot",
        "head",
    ] {
        assert!(compare(&page(expected), got).is_err(), "{expected}");
    }
}

#[test]
fn a_lines_rest_may_be_left_out() {
    assert!(agree(
        "kept 20 captures in ...",
        "kept 20 captures in traces/digits"
    ));
    assert!(!agree(
        "kept 20 captures in ...",
        "kept 19 captures in traces/digits"
    ));
    assert!(!agree("kept 20 captures in ...", "kept 20"));
}

#[test]
fn a_difference_names_the_pages_line() {
    let difference = compare(
        &page("one\n...\nthree 3\nfour"),
        "one\ntwo\nthree 3\nfive\n",
    );
    assert_eq!(
        difference,
        Err(Difference {
            line: 4,
            expected: "four".to_owned(),
            got: "five".to_owned(),
        })
    );
}

#[test]
fn whole_numbers_of_a_training_may_differ_by_a_little() {
    let agree = |expected, got| super::agree(expected, got, Origin::Training);
    for (expected, got) in [
        ("25 mistakes", "28 mistakes"),
        ("| 5 |", "| 6 |"),
        ("297 samples", "297 samples"),
    ] {
        assert!(agree(expected, got), "{expected}: {got}");
    }
    for (expected, got) in [
        ("25 mistakes", "30 mistakes"),
        ("| 5 |", "| 7 |"),
        ("| 0.558 |", "| 0.57 |"),
        ("25 mistakes", "25 samples"),
    ] {
        assert!(!agree(expected, got), "{expected}: {got}");
    }
    let printed = |num_rows: usize| format!("head\n{}foot\n", "row\n".repeat(num_rows));
    let expected = page("head\n... 17 rows\nfoot");
    for (num_rows, is_held) in [(14, false), (15, true), (17, true), (19, true), (20, false)] {
        let held = super::compare(&expected, &printed(num_rows), Origin::Training).is_ok();
        assert_eq!(held, is_held, "{num_rows} rows");
    }
    let printed = printed(16);
    assert!(compare(&expected, &printed).is_err());
}
