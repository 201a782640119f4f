//! `pad`, `vec_filter` and the measures.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type};

use super::{
    Layout, assert_rows, error, ints, lists, lists_with_null_element, query, session, value,
};

fn table() -> [(&'static str, ArrayRef); 3] {
    let widths: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(1), None, Some(4)]));
    [
        ("k", ints(&[1, 2, 3, 4])),
        (
            "x",
            lists(&[Some(&[1.0, 2.0]), Some(&[]), Some(&[5.0]), None]),
        ),
        ("width", widths),
    ]
}

/// A list of booleans with NULLs among its flags.
fn mask(rows: &[&[Option<bool>]], nulls: Option<Vec<bool>>) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.len()));
    let flags = rows
        .iter()
        .copied()
        .flatten()
        .copied()
        .collect::<BooleanArray>();
    let item = Arc::new(Field::new_list_field(DataType::Boolean, true));
    Arc::new(ListArray::new(
        item,
        offsets,
        Arc::new(flags),
        nulls.map(NullBuffer::from),
    ))
}

fn in_order(columns: &[(&str, ArrayRef)], expression: &str) -> Vec<String> {
    query(
        &session(columns, Layout::Whole),
        &format!("SELECT {expression} FROM t"),
    )
}

#[test]
fn pad_fills_up_with_zeros() {
    assert_eq!(
        in_order(&table(), "pad(x, 3)"),
        [
            "[1.0, 2.0, 0.0]",
            "[0.0, 0.0, 0.0]",
            "[5.0, 0.0, 0.0]",
            "NULL"
        ]
    );
    assert_rows(
        &table(),
        "SELECT vec_sum(pad(x, 3)) FROM t",
        &["[6.0, 2.0, 0.0]"],
    );
}

#[test]
fn pad_fills_up_with_a_value_to_a_width_of_each_row() {
    assert_eq!(
        in_order(&table(), "pad(x, width, -1)"),
        ["[1.0, 2.0]", "[-1.0]", "NULL", "NULL"]
    );
    assert_eq!(
        in_order(&table(), "pad(x, 2, k)"),
        ["[1.0, 2.0]", "[2.0, 2.0]", "[5.0, 3.0]", "NULL"]
    );
    assert_eq!(
        in_order(&table(), "pad(x, 2, NULL)"),
        ["NULL", "NULL", "NULL", "NULL"]
    );
}

#[test]
fn pad_leaves_lists_of_the_full_width_as_they_are() {
    let full = lists(&[Some(&[0.0]), Some(&[1.0, 2.0]), Some(&[3.0, 4.0])]).slice(1, 2);
    assert_eq!(
        in_order(&[("x", Arc::clone(&full))], "pad(x, 2)"),
        ["[1.0, 2.0]", "[3.0, 4.0]"]
    );
    let doubles = cast(&full, &DataType::new_list(DataType::Float64, true)).unwrap();
    assert_eq!(
        in_order(&[("x", doubles)], "pad(x, 2)"),
        ["[1.0, 2.0]", "[3.0, 4.0]"]
    );
    assert_eq!(value("pad([1.5, 2.5], 2)"), "[1.5, 2.5]");
}

#[test]
fn pad_names_both_numbers_when_a_list_is_too_long() {
    let ctx = session(&table(), Layout::Whole);
    for (sql, expected) in [
        (
            "SELECT pad(x, 1) FROM t",
            "pad: a list of 2 elements does not fit into width 1",
        ),
        (
            "SELECT pad(x, -1) FROM t WHERE k = 2",
            "pad: a list of 0 elements does not fit into width -1",
        ),
        (
            "SELECT pad(x, 'a') FROM t",
            "Cannot cast string 'a' to value of Int64",
        ),
        (
            "SELECT pad(x) FROM t",
            "1 arguments do not fit pad(list, width [, value])",
        ),
        (
            "SELECT pad(k, 2) FROM t",
            "pad takes a list of numbers, not Int32",
        ),
        (
            "SELECT pad(x, 3000000000) FROM t",
            "have more than 2147483647 elements in all",
        ),
    ] {
        let message = error(&ctx, sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[test]
fn a_null_element_is_refused_by_name() {
    let columns = [("x", lists_with_null_element())];
    let ctx = session(&columns, Layout::Whole);
    for (function, sql) in [
        ("pad", "SELECT pad(x, 2) FROM t"),
        ("pad", "SELECT pad(x, 1) FROM t"),
        ("vec_norm", "SELECT vec_norm(x) FROM t"),
        ("list_std", "SELECT list_std(x) FROM t"),
        ("list_mean_by", "SELECT list_mean_by(x, [0]) FROM t"),
        ("vec_corr", "SELECT vec_corr(x, [1.0]) FROM t"),
    ] {
        let message = error(&ctx, sql);
        assert!(
            message.contains(&format!("{function}: a list holds a NULL element")),
            "{sql}: {message}"
        );
    }
}

#[test]
fn null_rows_may_hide_anything() {
    // The row is NULL, yet its offsets show three elements, one of them NULL.
    let values = arrow::array::Float32Array::from(vec![Some(1.0), None, Some(3.0), Some(4.0)]);
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let offsets = OffsetBuffer::from_lengths([3, 1]);
    let nulls = NullBuffer::from(vec![false, true]);
    let x: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(values), Some(nulls)));
    let columns = [("x", x), ("m", mask(&[&[Some(true)], &[Some(true)]], None))];
    assert_eq!(in_order(&columns, "pad(x, 2)"), ["NULL", "[4.0, 0.0]"]);
    assert_eq!(in_order(&columns, "vec_norm(x)"), ["NULL", "4.0"]);
    assert_eq!(in_order(&columns, "vec_filter(x, m)"), ["NULL", "[4.0]"]);
    assert_rows(
        &columns,
        "SELECT vec_mean(x), vec_var(x) FROM t",
        &["[4.0]|[0.0]"],
    );
    assert_rows(
        &columns,
        "SELECT vec_collect(x ORDER BY x IS NULL) FROM t",
        &["[[4.0], NULL]"],
    );
}

#[test]
fn vec_filter_keeps_what_the_mask_selects() {
    let x = lists(&[
        Some(&[1.0, 2.0, 3.0]),
        Some(&[4.0]),
        Some(&[]),
        None,
        Some(&[5.0, 6.0]),
    ]);
    let rows: &[&[Option<bool>]] = &[
        &[Some(true), None, Some(true)],
        &[Some(false)],
        &[],
        &[Some(true)],
        &[Some(true), Some(true)],
    ];
    let m = mask(rows, Some(vec![true, true, true, true, false]));
    let columns = [("x", x), ("m", m)];
    assert_eq!(
        in_order(&columns, "vec_filter(x, m)"),
        ["[1.0, 3.0]", "[]", "[]", "NULL", "NULL"]
    );
    let sliced = columns.map(|(name, array)| (name, array.slice(1, 3)));
    assert_eq!(in_order(&sliced, "vec_filter(x, m)"), ["[]", "[]", "NULL"]);
}

#[test]
fn vec_filter_keeps_the_elements_type_and_takes_one_mask_for_all() {
    assert_eq!(
        value("vec_filter([1, NULL, 3], [true, true, false])"),
        "[1, NULL]"
    );
    assert_eq!(value("vec_filter(['a', 'b'], [false, true])"), "[b]");
    assert_eq!(value("vec_filter([], [])"), "[]");
    assert_eq!(value("vec_filter(NULL, [true])"), "NULL");
    assert_eq!(value("vec_filter([1.0], NULL)"), "NULL");
    let columns = [("x", lists(&[Some(&[1.0, 2.0]), Some(&[3.0, 4.0])]))];
    assert_eq!(
        in_order(&columns, "vec_filter(x, [false, true])"),
        ["[2.0]", "[4.0]"]
    );
    assert_eq!(
        in_order(&columns, "arrow_typeof(vec_filter(x, [false, true]))")[0],
        "List(non-null Float32)"
    );
}

#[test]
fn vec_filter_refuses_what_is_no_mask() {
    let ctx = session(&table(), Layout::Whole);
    for (sql, expected) in [
        (
            "SELECT vec_filter(x, [true]) FROM t WHERE k = 1",
            "vec_filter: a list of 2 elements and a mask of 1 have unequal lengths",
        ),
        (
            "SELECT vec_filter(x, [1]) FROM t",
            "vec_filter takes a list of booleans as its mask",
        ),
        (
            "SELECT vec_filter(k, [true]) FROM t",
            "vec_filter takes a list and a mask, not Int32",
        ),
        (
            "SELECT vec_filter(x) FROM t",
            "1 arguments do not fit vec_filter(list, mask)",
        ),
    ] {
        let message = error(&ctx, sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[test]
fn measures_of_short_lists() {
    for (expression, expected) in [
        ("vec_norm([3.0, 4.0])", "5.0"),
        ("vec_norm([3, -4])", "5.0"),
        ("vec_norm(arrow_cast([], 'List(Float32)'))", "0.0"),
        // Deviations -2, -1, 0 and 3 from 3: squares 14, a quarter of which is 3.5.
        ("list_std([1.0, 2.0, 3.0, 6.0])", "1.8708287"),
        ("list_std([2, 4])", "1.0"),
        ("list_std([0.1, 0.1, 0.1])", "0.0"),
        ("list_std([7.0])", "0.0"),
        ("list_std(arrow_cast([], 'List(Float32)'))", "NULL"),
        ("list_std(NULL)", "NULL"),
        ("list_std(['NaN'::double])", "NaN"),
        ("list_std([1.0, 'NaN'::double])", "NaN"),
        ("list_std([1.0, 'inf'::double])", "NaN"),
        ("vec_l2_distance([1.0, 2.0], [4.0, 6.0])", "5.0"),
        ("vec_l2_distance([1, 2], [1.0, 2.0])", "0.0"),
        ("vec_cosine([1.0, 0.0], [1.0, 1.0])", "0.70710677"),
        ("vec_cosine([1.0, 2.0], [-2.0, -4.0])", "-1.0"),
        ("vec_cosine([0.0, 0.0], [1.0, 1.0])", "NULL"),
        ("vec_corr([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])", "1.0"),
        ("vec_corr([1.0, 2.0, 3.0], [6.0, 4.0, 2.0])", "-1.0"),
        // Deviations -1.5 -0.5 0.5 1.5 and -0.75 0.25 -0.75 1.25: products 2.5, squares 5 and 2.75.
        (
            "vec_corr([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 1.0, 3.0])",
            "0.6741999",
        ),
        ("vec_corr([0.1, 0.1, 0.1], [1.0, 2.0, 3.0])", "NULL"),
        ("vec_corr([1.0], [2.0])", "NULL"),
        ("vec_norm(NULL)", "NULL"),
        ("vec_corr([1.0, 2.0], NULL)", "NULL"),
        ("vec_l2_distance([1.0, 'NaN'::double], [1.0, 1.0])", "NaN"),
        ("vec_cosine([1.0, 'NaN'::double], [1.0, 1.0])", "NaN"),
        ("vec_corr([1.0, 'NaN'::double], [1.0, 2.0])", "NaN"),
        ("arrow_typeof(vec_cosine([1.0], [1.0]))", "Float32"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn measures_of_lists_longer_than_the_vector_lanes() {
    // 1 to 19: the sum of squares is 19 * 20 * 39 / 6 = 2,470; a distance of 2 at each of 19 places
    // is sqrt(76).
    let upwards = (1..=19).map(|number| number as f32).collect::<Vec<_>>();
    let shifted = upwards
        .iter()
        .map(|number| number + 2.0)
        .collect::<Vec<_>>();
    let downwards = upwards.iter().rev().copied().collect::<Vec<_>>();
    let columns = [
        ("a", lists(&[Some(&upwards)])),
        ("b", lists(&[Some(&shifted)])),
        ("c", lists(&[Some(&downwards)])),
    ];
    // The product of 1..19 with itself reversed: sum of i * (20 - i) = 20 * 190 - 2,470 = 1,330.
    assert_eq!(
        in_order(
            &columns,
            "vec_norm(a), vec_l2_distance(a, b), vec_corr(a, b), vec_corr(a, c), vec_cosine(a, c)"
        ),
        [format!(
            "{}|{}|1.0|-1.0|{}",
            2470_f32.sqrt(),
            76_f32.sqrt(),
            (1330.0_f64 / 2470.0) as f32
        )]
    );
}

#[test]
fn measures_take_one_list_for_all_rows_and_mixed_types() {
    let columns = [(
        "x",
        lists(&[Some(&[9.0]), Some(&[3.0, 4.0]), None, Some(&[0.0, 1.0])]).slice(1, 3),
    )];
    assert_eq!(
        in_order(&columns, "vec_l2_distance(x, [3.0, 5.0])"),
        ["1.0", "NULL", "5.0"]
    );
    assert_eq!(
        in_order(&columns, "vec_l2_distance([0, 0], x)"),
        ["5.0", "NULL", "1.0"]
    );
    assert_eq!(in_order(&columns, "vec_norm(x)"), ["5.0", "NULL", "1.0"]);
}

#[test]
fn measures_name_unequal_lengths() {
    let ctx = session(&table(), Layout::Whole);
    for function in ["vec_l2_distance", "vec_cosine", "vec_corr"] {
        let message = error(
            &ctx,
            &format!("SELECT {function}(x, [1.0, 2.0, 3.0]) FROM t WHERE k = 1"),
        );
        assert!(
            message.contains(&format!("{function}: lists of unequal length: 2 and 3")),
            "{message}"
        );
        let message = error(&ctx, &format!("SELECT {function}(x) FROM t"));
        assert!(
            message.contains(&format!("1 arguments do not fit {function}(a, b)")),
            "{message}"
        );
    }
}

/// Lists of groups, of which some are NULL.
fn groups(rows: &[Option<&[Option<i32>]>]) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
        rows.iter().map(|row| row.map(|row| row.iter().copied())),
    ))
}

#[test]
fn list_mean_by_has_the_mean_of_each_group_at_its_place() {
    let x = lists(&[
        Some(&[9.0]),
        Some(&[1.0, 2.0, 3.0, 4.0]),
        Some(&[1.0, 5.0]),
        Some(&[]),
        None,
        Some(&[1.0]),
    ]);
    let g = groups(&[
        Some(&[Some(7)]),
        Some(&[Some(2), Some(0), Some(2), None]),
        Some(&[None, None]),
        Some(&[]),
        Some(&[Some(0)]),
        None,
    ]);
    let columns = [("x", x.slice(1, 5)), ("g", g.slice(1, 5))];
    assert_eq!(
        in_order(&columns, "list_mean_by(x, g)"),
        ["[2.0, NULL, 2.0]", "[]", "[]", "NULL", "NULL"]
    );
    assert_eq!(
        in_order(&columns, "arrow_typeof(list_mean_by(x, g))")[0],
        "List(Float32)"
    );
}

#[test]
fn list_mean_by_takes_one_list_for_all_and_any_numbers() {
    let columns = [(
        "x",
        lists(&[Some(&[1.0, 2.0, 4.0]), Some(&[0.0, f32::NAN, 8.0])]),
    )];
    assert_eq!(
        in_order(&columns, "list_mean_by(x, [1, 1, 0])"),
        ["[4.0, 1.5]", "[8.0, NaN]"]
    );
    let ctx = session(
        &[(
            "g",
            groups(&[Some(&[Some(0), Some(0)]), Some(&[Some(1), Some(0)])]),
        )],
        Layout::Whole,
    );
    assert_eq!(
        query(&ctx, "SELECT list_mean_by([2, 4], g) FROM t"),
        ["[3.0]", "[4.0, 2.0]"]
    );
    // In f32, 16,777,216 + 1 is 16,777,216.
    let large = [("x", lists(&[Some(&[16_777_216.0, 1.0, 1.0])]))];
    assert_eq!(
        in_order(&large, "list_mean_by(x, [0, 0, 0])"),
        ["[5592406.0]"]
    );
    assert_eq!(value("list_mean_by([1.0], NULL)"), "NULL");
    assert_eq!(value("list_mean_by(NULL, [1])"), "NULL");
}

#[test]
fn list_mean_by_refuses_what_are_no_groups() {
    let ctx = session(&table(), Layout::Whole);
    for (sql, expected) in [
        (
            "SELECT list_mean_by(x, [0]) FROM t WHERE k = 1",
            "list_mean_by: a list of 2 elements and groups of 1 have unequal lengths",
        ),
        (
            "SELECT list_mean_by(x, [0, -1]) FROM t WHERE k = 1",
            "list_mean_by: -1 is no group: they count from 0 to 65535",
        ),
        (
            "SELECT list_mean_by(x, [0, 65536]) FROM t WHERE k = 1",
            "list_mean_by: 65536 is no group",
        ),
        (
            "SELECT list_mean_by(x, ['a']) FROM t",
            "list_mean_by takes a list of whole numbers as its groups",
        ),
        (
            "SELECT list_mean_by(k, [0]) FROM t",
            "list_mean_by takes a list of numbers, not Int32",
        ),
        (
            "SELECT list_mean_by(x) FROM t",
            "1 arguments do not fit list_mean_by(list, groups)",
        ),
    ] {
        let message = error(&ctx, sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}
