//! `sum` of integers.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt64Array};

use super::{LAYOUTS, assert_rows, error, ints, query, session};

const MAX: i64 = i64::MAX;

fn longs(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn columns(x: &[Option<i64>]) -> [(&'static str, ArrayRef); 2] {
    let k: Vec<i32> = (0..x.len() as i32).map(|row| row / 3).collect();
    [("k", ints(&k)), ("x", longs(x))]
}

/// On the way to it a sum may be larger than what it is in the end.
#[test]
fn a_sum_that_fits_is_exact() {
    let x = [Some(MAX), Some(1), Some(-2), Some(5), None, Some(5), None];
    let by_group = "SELECT k, sum(x) FROM t GROUP BY k ORDER BY k";
    let expected = [
        format!("0|{}", MAX - 1),
        "1|10".to_owned(),
        "2|NULL".to_owned(),
    ];
    assert_rows(
        &columns(&x),
        by_group,
        &expected.each_ref().map(String::as_str),
    );
    let lowest = [Some(i64::MIN), Some(MAX), Some(-MAX)];
    let whole = "SELECT sum(x), sum(x) FILTER (WHERE x > 0), sum(x) FILTER (WHERE k > 7) FROM t";
    let expected = format!("{}|{MAX}|NULL", i64::MIN);
    assert_rows(&columns(&lowest), whole, &[&expected]);
}

#[test]
fn a_sum_that_does_not_fit_is_an_error() {
    let x = [Some(MAX), Some(1), Some(0), Some(2)];
    let wrong = "the sum of integers is 9223372036854775808, which does not fit into 64 bits";
    for layout in LAYOUTS {
        let session = session(&columns(&x), layout);
        for sql in [
            "SELECT k, sum(x) FROM t GROUP BY k",
            "SELECT sum(x) FROM t WHERE k = 0",
            "SELECT sum(DISTINCT x), count(DISTINCT k) FROM t WHERE k = 0",
            "SELECT sum(x) OVER (ORDER BY x DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) \
             FROM t WHERE x <> 2",
        ] {
            let told = error(&session, sql);
            assert!(told.contains(wrong), "{layout:?}, {sql}: {told}");
        }
        // As it says.
        let decimal = "SELECT sum(CAST(x AS DECIMAL(38, 0))) FROM t WHERE k = 0";
        assert_eq!(query(&session, decimal), ["9223372036854775808"]);
    }
}

#[test]
fn windows_and_distinct_values_have_sums_of_their_own() {
    let x = [Some(3), Some(3), Some(4), None, Some(3), Some(10)];
    let distinct = "SELECT sum(DISTINCT x), count(DISTINCT k), count(DISTINCT x) FROM t";
    assert_rows(&columns(&x), distinct, &["17|2|3"]);
    let window = "SELECT k, x, sum(x) OVER (PARTITION BY k ORDER BY x \
                  ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WHERE x > 2 ORDER BY k, x, 3";
    let expected = ["0|3|3", "0|3|6", "0|4|7", "1|3|3", "1|10|13"];
    assert_rows(&columns(&x), window, &expected);
}

#[test]
fn unsigned_integers_have_their_own_range_and_other_numbers_their_own_sums() {
    let x: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX - 1, 1]));
    let columns = [("k", ints(&[1, 1])), ("x", x)];
    assert_rows(&columns, "SELECT sum(x) FROM t", &["18446744073709551615"]);
    let sql = "SELECT sum(k + 1), sum(k * 0.5), sum(CAST(k AS DOUBLE) / 4) FROM t";
    assert_rows(&columns, sql, &["4|1.0|0.5"]);
    let more: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1]));
    let columns = [("k", ints(&[1, 1])), ("x", more)];
    for layout in LAYOUTS {
        let told = error(
            &session(&columns, layout),
            "SELECT k, sum(x) FROM t GROUP BY k",
        );
        assert!(told.contains("is 18446744073709551616, which"), "{told}");
    }
}
